/* SPDX-License-Identifier: MIT
 *
 * Listings: which names are candidates, and when an old list is trusted.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "listing.h"
#include "scratch.h"

static const int64_t SECOND = 1000000000;

struct fixture {
    struct scratch scratch;
    int rootfd;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    scratch_make(&f->scratch);
    f->rootfd = open(f->scratch.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(f->rootfd >= 0);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    close(f->rootfd);
    scratch_remove(&f->scratch);
    free(f);
    return 0;
}

/* The candidates of `dir`, one after another with a space after each. */
static void assert_names(const struct fixture *f, const char *dir, const char *expected)
{
    struct error err = {0};
    int fd = listing_open(f->rootfd, &(struct dir){.path = dir}, &err);
    assert_true(fd >= 0);
    for (int again = 0; again < 2; again++) { /* the descriptor may be read twice */
        struct listing list;
        assert_int_equal(listing_read(fd, dir, &list, &err), 0);
        char text[4096] = "";
        for (size_t i = 0; i < list.n; i++)
            snprintf(text + strlen(text), sizeof text - strlen(text), "%s ", list.name[i]);
        assert_string_equal(text, expected);
        listing_free(&list);
    }
    close(fd);
}

static void touch_all(const struct fixture *f, const char *const *names)
{
    for (; *names; names++)
        scratch_text(&f->scratch, *names, "");
}

static void without_bids_every_nifti_counts(void **state)
{
    const struct fixture *f = *state;
    assert_names(f, "", "");
    touch_all(f, (const char *const[]){"b.nii.gz", "a.nii", ".hidden.nii", "a.txt", "z.nii.bak",
                                       "task-rest_bold.nii", NULL});
    assert_names(f, "", "a.nii b.nii.gz task-rest_bold.nii ");
}

static void with_bids_only_runs_count(void **state)
{
    const struct fixture *f = *state;
    touch_all(f, (const char *const[]){"sub-01_task-b_bold.nii.gz", "sub-01_task-a_bold.nii",
                                       "sub-01_cbv.nii", "sub-01_part-phase_bold.nii",
                                       "sub-01_sbref.nii", "extra.nii", ".sub-02_bold.nii",
                                       "sub-01_task-a_bold.json", NULL});
    assert_names(f, "", "sub-01_cbv.nii sub-01_task-a_bold.nii sub-01_task-b_bold.nii.gz ");
}

/* one BIDS name is enough, also one that is no run */
static void one_bids_name_makes_a_bids_directory(void **state)
{
    const struct fixture *f = *state;
    touch_all(f, (const char *const[]){"rest.nii", NULL});
    assert_names(f, "", "rest.nii ");
    touch_all(f, (const char *const[]){"sub-01_T1w.json", NULL});
    assert_names(f, "", "rest.nii ");
    touch_all(f, (const char *const[]){"sub-01_T1w.nii", NULL});
    assert_names(f, "", "");
}

static void plain_twin_counts(void **state)
{
    const struct fixture *f = *state;
    touch_all(f, (const char *const[]){"a.nii", "a.nii.gz", "a.nii.b.nii", "c.nii.gz", "d.nii",
                                       "d.nii.nii.gz", NULL});
    assert_names(f, "", "a.nii a.nii.b.nii c.nii.gz d.nii d.nii.nii.gz ");
}

static void directories_are_no_candidates_but_links_are(void **state)
{
    const struct fixture *f = *state;
    scratch_mkdir(&f->scratch, "dir.nii");
    scratch_mkdir(&f->scratch, "sub-01_bold.nii.gz"); /* nor do they make a BIDS directory */
    assert_int_equal(mkfifo(scratch_at(&f->scratch, "fifo.nii"), 0600), 0);
    touch_all(f, (const char *const[]){"dir.nii.gz", NULL});
    scratch_link(&f->scratch, "nowhere", "link.nii");
    assert_names(f, "", "dir.nii.gz link.nii ");
}

static void directories_are_opened_beneath_the_root(void **state)
{
    const struct fixture *f = *state;
    struct error err;
    scratch_mkdir(&f->scratch, "in");
    scratch_text(&f->scratch, "in/a.nii", "");
    scratch_link(&f->scratch, "in", "inner");
    scratch_link(&f->scratch, "/", "outer");
    assert_names(f, "inner", "a.nii ");
    assert_names(f, "in", "a.nii ");

    const struct {
        const char *dir;
        int code;
    } cases[] = {{"nothing", ENOENT}, {"in/a.nii", ENOTDIR}, {"..", EXDEV},
                 {"outer", EXDEV},    {"/", EXDEV},          {"in/../..", EXDEV}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        err = (struct error){0};
        assert_int_equal(listing_open(f->rootfd, &(struct dir){.path = cases[i].dir}, &err),
                         -cases[i].code);
        assert_int_equal(err.code, cases[i].code);
        assert_ptr_equal(strstr(err.text, cases[i].dir), err.text);
    }
}

static bool stamp(const struct fixture *f, int64_t now_ns, const struct dir_stamp *before,
                  struct dir_stamp *out)
{
    struct error err;
    bool holds;
    assert_int_equal(listing_stamp(f->rootfd, "", now_ns, before, out, &holds, &err), 0);
    return holds;
}

static void list_is_trusted_only_when_settled(void **state)
{
    const struct fixture *f = *state;
    struct dir_stamp first, second, third, fourth;
    assert_false(stamp(f, 100 * SECOND, NULL, &first));
    assert_false(stamp(f, 102 * SECOND, &first, &second));
    assert_false(second.settled);
    /* the list at hand was made too soon after a change that nobody has seen the time of */
    assert_false(stamp(f, 103 * SECOND, &second, &third));
    assert_true(third.settled);
    /* a list made at the third look is right for as long as the times stay */
    assert_true(stamp(f, 103 * SECOND, &third, &fourth));
    assert_true(stamp(f, 10000 * SECOND, &fourth, &first));
}

static void any_other_time_ends_the_trust(void **state)
{
    const struct fixture *f = *state;
    scratch_set_mtime(&f->scratch, "", 1000);
    struct dir_stamp settled, next;
    stamp(f, 0, NULL, &settled);
    assert_false(stamp(f, 3 * SECOND, &settled, &next));
    assert_true(stamp(f, 4 * SECOND, &next, &settled));

    scratch_text(&f->scratch, "new.nii", "");
    assert_false(stamp(f, 5 * SECOND, &settled, &next));
    assert_false(next.settled);
    assert_false(stamp(f, 6 * SECOND, &next, &next));
    assert_false(stamp(f, 8 * SECOND, &next, &next));
    assert_true(stamp(f, 9 * SECOND, &next, &next));

    /* the same name, another directory */
    next.ino++;
    assert_false(stamp(f, 10 * SECOND, &next, &settled));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(without_bids_every_nifti_counts),
        TEST(with_bids_only_runs_count),
        TEST(one_bids_name_makes_a_bids_directory),
        TEST(plain_twin_counts),
        TEST(directories_are_no_candidates_but_links_are),
        TEST(directories_are_opened_beneath_the_root),
        TEST(list_is_trusted_only_when_settled),
        TEST(any_other_time_ends_the_trust),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
