/* SPDX-License-Identifier: MIT
 *
 * Snapshots of real directories: what is in them, when they are made anew, and what they share.
 * The clock is the test's own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <nifti/nifti1.h>
#include <pthread.h>
#include <stdatomic.h>

#include "dataset.h"
#include "scratch.h"

static const int64_t SECOND = 1000000000;
static _Atomic int64_t the_time;

struct fixture {
    struct scratch scratch;
    struct dataset *ds;
};

/* What happens while a check is on its way: the clock is asked when one begins and when it ends. */
static struct {
    int after; /* so many times more that the clock is asked */
    void (*call)(const struct fixture *f);
    const struct fixture *f;
} meanwhile;

static int64_t clock_ns(void)
{
    if (meanwhile.call && meanwhile.after-- == 0) {
        void (*call)(const struct fixture *f) = meanwhile.call;
        meanwhile.call = NULL;
        call(meanwhile.f);
    }
    return atomic_load(&the_time);
}

static void pass(int64_t ns)
{
    atomic_fetch_add(&the_time, ns);
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct error err;
    assert_non_null(f);
    scratch_make(&f->scratch);
    assert_int_equal(dataset_open(f->scratch.path, clock_ns, &f->ds, &err), 0);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    dataset_close(f->ds);
    scratch_remove(&f->scratch);
    free(f);
    return 0;
}

/* A 2x2x2 image of `nvol` volumes; as 3-D where nvol is 0. */
static void write_nifti(const struct fixture *f, const char *name, int nvol)
{
    unsigned char bytes[352 + 8 * 64] = {0};
    nifti_1_header header = {.sizeof_hdr = 348,
                             .dim = {nvol ? 4 : 3, 2, 2, 2, nvol ? (short)nvol : 1, 1, 1, 1},
                             .datatype = DT_UINT8,
                             .bitpix = 8,
                             .pixdim = {1, 3, 3, 3, 2, 1, 1, 1},
                             .vox_offset = 352,
                             .magic = "n+1"};
    assert_true(nvol <= 64);
    memcpy(bytes, &header, sizeof header);
    scratch_write(&f->scratch, name, bytes, 352 + 8 * (size_t)(nvol ? nvol : 1));
}

static struct dir_scan *scan(const struct fixture *f, const char *dir,
                             enum scan_freshness freshness)
{
    struct dir_scan *out;
    struct error err = {0};
    if (dataset_scan(f->ds, &(struct dir){.path = dir}, freshness, &out, &err))
        fail_msg("%s", err.text);
    assert_string_equal(out->dir.path, dir);
    return out;
}

static void describe_runs(const struct dir_scan *s, FILE *f)
{
    static const char *const states[] = {"ok", "not", "absent", "broken"};
    for (size_t i = 0; i < s->nruns; i++)
        fprintf(f, "%s %s_%s %s\n", s->runs[i].run->path, s->runs[i].entities,
                s->runs[i].map_suffix, states[s->runs[i].run->state]);
    for (size_t i = 0; i < s->omissions.n; i++)
        fprintf(f, "%s %s: %s\n", s->omissions.list[i].expected ? "of course not" : "left out",
                s->omissions.list[i].path, s->omissions.list[i].reason);
    if (s->nothers > 0)
        fprintf(f, "%zu others\n", s->nothers);
    for (size_t i = 0; i < s->ngroups + s->napart; i++)
        fprintf(f, "%s '%s' of %zu\n", i < s->ngroups ? "group" : "apart", s->groups[i].prefix,
                s->groups[i].nruns);
}

static void assert_scan(const struct fixture *f, const char *dir, const char *expected)
{
    struct dir_scan *s = scan(f, dir, SCAN_NOW);
    char text[4096] = "";
    FILE *out = fmemopen(text, sizeof text, "w");
    assert_non_null(out);
    describe_runs(s, out);
    fclose(out);
    assert_string_equal(text, expected);
    dir_scan_put(s);
}

static void open_says_what_is_wrong(void **state)
{
    const struct fixture *f = *state;
    struct dataset *ds;
    struct error err;
    assert_int_equal(dataset_open("/nonexistent/dataset", clock_ns, &ds, &err), -ENOENT);
    assert_ptr_equal(strstr(err.text, "/nonexistent/dataset: "), err.text);
    scratch_text(&f->scratch, "file", "");
    assert_int_equal(dataset_open(scratch_at(&f->scratch, "file"), clock_ns, &ds, &err), -ENOTDIR);

    /* the path is absolute and without links */
    scratch_mkdir(&f->scratch, "real");
    scratch_link(&f->scratch, "real", "link");
    assert_int_equal(dataset_open(scratch_at(&f->scratch, "link"), clock_ns, &ds, &err), 0);
    char *real = realpath(scratch_at(&f->scratch, "real"), NULL);
    assert_string_equal(dataset_path(ds), real);
    struct stat a, b;
    assert_int_equal(fstat(dataset_rootfd(ds), &a) | stat(real, &b), 0);
    assert_int_equal(a.st_ino, b.st_ino);
    free(real);
    dataset_close(ds);
}

static void bids_directory(void **state)
{
    const struct fixture *f = *state;
    scratch_mkdir(&f->scratch, "sub-01");
    scratch_mkdir(&f->scratch, "sub-01/func");
    write_nifti(f, "sub-01/func/sub-01_task-b_bold.nii", 3);
    write_nifti(f, "sub-01/func/sub-01_task-a_bold.nii", 2);
    write_nifti(f, "sub-01/func/sub-01_task-a_part-phase_bold.nii", 2);
    write_nifti(f, "sub-01/func/sub-01_task-c_bold.nii", 0); /* 3-D */
    write_nifti(f, "sub-01/func/sub-01_task-d_bold.nii", 1); /* one volume */
    write_nifti(f, "sub-01/func/sub-01_task-a_sbref.nii", 2);
    write_nifti(f, "sub-01/func/other.nii", 2);
    scratch_text(&f->scratch, "sub-01/func/sub-01_task-a_events.tsv", "onset\n");
    scratch_text(&f->scratch, "sub-01/func/sub-01_task-e_bold.func.gii", "<GIFTI>\n");
    assert_scan(
        f, "sub-01/func",
        "sub-01/func/sub-01_task-a_bold.nii sub-01_task-a_boldmap ok\n"
        "sub-01/func/sub-01_task-b_bold.nii sub-01_task-b_boldmap ok\n"
        "left out sub-01/func/other.nii: no BIDS name of a run, but the directory has some\n"
        "of course not sub-01/func/sub-01_task-a_part-phase_bold.nii: a phase image, or the "
        "real or imaginary part of a complex image\n"
        "left out sub-01/func/sub-01_task-c_bold.nii: a 3-D image, not a series\n"
        "left out sub-01/func/sub-01_task-d_bold.nii: one volume, not a series\n"
        "left out sub-01/func/sub-01_task-e_bold.func.gii: not in a format that derivfs "
        "reads (.nii, .nii.gz, .nii.zst)\n"
        "1 others\n"
        "group '' of 2\n");
    assert_scan(f, "sub-01", "");
}

static void plain_directory(void **state)
{
    const struct fixture *f = *state;
    write_nifti(f, "run2.nii", 3);
    write_nifti(f, "run1.nii", 2);
    write_nifti(f, "run1.nii.gz", 2);
    write_nifti(f, "anatomy.nii", 0);
    scratch_text(&f->scratch, "garbage.nii", "this is no image");
    scratch_link(&f->scratch, ".git/annex/objects/xx/yy/MD5E-s1--0/MD5E-s1--0", "away.nii");
    assert_scan(f, "",
                "run1.nii run1_boldmap ok\n"
                "run2.nii run2_boldmap ok\n"
                "left out anatomy.nii: a 3-D image, not a series\n"
                "left out away.nii: content is not here (git annex get away.nii)\n"
                "left out garbage.nii: read header: not NIfTI: 16 bytes are too few for a header\n"
                "of course not run1.nii.gz: the same name with another ending is the run\n"
                "group '' of 2\n");
    /* alone, an anatomical image is nothing to tell */
    scratch_mkdir(&f->scratch, "anat");
    write_nifti(f, "anat/anatomy.nii", 0);
    assert_scan(f, "anat", "of course not anat/anatomy.nii: a 3-D image, not a series\n");
}

static void unlike_names_stay_apart_unless_all_are_joined(void **state)
{
    const struct fixture *f = *state;
    struct error err;
    write_nifti(f, "a.nii", 2);
    write_nifti(f, "b.nii", 3);
    assert_scan(f, "", "a.nii a_boldmap ok\nb.nii b_boldmap ok\napart '' of 2\n");
    struct fixture all = *f;
    assert_int_equal(dataset_open(f->scratch.path, clock_ns, &all.ds, &err), 0);
    dataset_join_all(all.ds);
    assert_scan(&all, "", "a.nii a_boldmap ok\nb.nii b_boldmap ok\ngroup '' of 2\n");
    dataset_close(all.ds);
}

/* A settled listing keeps what it left out; a changed one is another snapshot. */
static void omissions_are_as_fresh_as_runs(void **state)
{
    const struct fixture *f = *state;
    write_nifti(f, "sub-01_task-a_bold.nii", 2);
    write_nifti(f, "other.nii", 2);
    scratch_set_mtime(&f->scratch, ".", 1000000);
    for (int i = 0; i < 4; i++) {
        struct dir_scan *s = scan(f, "", SCAN_NOW);
        assert_int_equal(s->omissions.n, 1);
        assert_string_equal(s->omissions.list[0].path, "other.nii");
        dir_scan_put(s);
        pass(3 * SECOND);
    }
    struct dir_scan *old = scan(f, "", SCAN_NOW);
    scratch_unlink(&f->scratch, "other.nii");
    struct dir_scan *new = scan(f, "", SCAN_NOW);
    assert_ptr_not_equal(old, new);
    assert_int_equal(new->omissions.n, 0);
    dir_scan_put(old);
    dir_scan_put(new);
}

static void cbv_beside_bold(void **state)
{
    const struct fixture *f = *state;
    write_nifti(f, "sub-01_task-a_bold.nii", 2);
    write_nifti(f, "sub-01_task-a_cbv.nii", 2);
    write_nifti(f, "sub-01_task-b_cbv.nii", 2);
    assert_scan(f, "",
                "sub-01_task-a_bold.nii sub-01_task-a_boldmap ok\n"
                "sub-01_task-a_cbv.nii sub-01_task-a_cbvmap ok\n"
                "sub-01_task-b_cbv.nii sub-01_task-b_boldmap ok\n"
                "group 'bold_' of 1\n"
                "group 'cbv_' of 2\n");
}

static void unreadable_runs_stay_in_the_group(void **state)
{
    const struct fixture *f = *state;
    write_nifti(f, "sub-01_task-b_bold.nii", 2);
    scratch_text(&f->scratch, "sub-01_task-a_bold.nii", "");
    scratch_link(&f->scratch, ".git/annex/objects/xx/yy/MD5E-s1--0/MD5E-s1--0",
                 "sub-01_task-c_bold.nii");
    struct dir_scan *s = scan(f, "", SCAN_NOW);
    assert_int_equal(s->nruns, 3);
    assert_int_equal(s->ngroups, 1);
    assert_int_equal(s->groups[0].nruns, 3);
    assert_string_equal(s->groups[0].first->path, "sub-01_task-b_bold.nii");
    assert_string_equal(s->groups[0].bad->path, "sub-01_task-a_bold.nii");
    assert_int_equal(s->groups[0].bad->state, RUN_BROKEN);
    assert_int_equal(s->groups[0].runs[2]->state, RUN_ABSENT);
    assert_int_equal(s->groups[0].runs[2]->error.code, ENODATA);
    dir_scan_put(s);
}

static void links_within_the_dataset_are_runs(void **state)
{
    const struct fixture *f = *state;
    scratch_mkdir(&f->scratch, "store");
    write_nifti(f, "store/content", 2);
    scratch_mkdir(&f->scratch, "func");
    scratch_link(&f->scratch, "../store/content", "func/a.nii");
    scratch_link(&f->scratch, "/etc/passwd", "func/b.nii");
    scratch_mkdir(&f->scratch, "func/c.nii");
    assert_scan(f, "func",
                "func/a.nii a_boldmap ok\nleft out func/b.nii: cannot open: a link leads out of "
                "the dataset\ngroup '' of 1\n");
}

static void directory_failures(void **state)
{
    const struct fixture *f = *state;
    scratch_mkdir(&f->scratch, "d");
    write_nifti(f, "d/a.nii", 2);
    const struct {
        const char *dir;
        int code;
    } cases[] = {{"none", ENOENT}, {"d/a.nii", ENOTDIR}, {"..", EXDEV}};
    struct dir_scan *out;
    struct error err = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(
            dataset_scan(f->ds, &(struct dir){.path = cases[i].dir}, SCAN_NOW, &out, &err),
            -cases[i].code);
        assert_ptr_equal(strstr(err.text, cases[i].dir), err.text);
    }
    /* a directory that has gone is not remembered, and a new one of its name is another */
    assert_scan(f, "d", "d/a.nii a_boldmap ok\ngroup '' of 1\n");
    scratch_rename(&f->scratch, "d", "e");
    assert_int_equal(dataset_scan(f->ds, &(struct dir){.path = "d"}, SCAN_NOW, &out, &err),
                     -ENOENT);
    scratch_mkdir(&f->scratch, "d");
    out = scan(f, "d", SCAN_RECENT);
    assert_int_equal(out->nfiles, 0);
    dir_scan_put(out);
}

static void unchanged_is_the_same_snapshot(void **state)
{
    const struct fixture *f = *state;
    write_nifti(f, "sub-01_task-a_bold.nii", 2);
    write_nifti(f, "sub-01_task-b_bold.nii", 0); /* no run, but not read again either */
    scratch_text(&f->scratch, "sub-01_task-c_bold.nii", "broken");
    scratch_link(&f->scratch, ".git/annex/objects/xx/yy/MD5E-s1--0/MD5E-s1--0",
                 "sub-01_task-d_bold.nii");
    scratch_link(&f->scratch, "nowhere", "sub-01_task-e_bold.nii");
    struct dir_scan *first = scan(f, "", SCAN_NOW);
    assert_int_equal(first->nruns, 4);
    for (int i = 0; i < 5; i++) { /* listing the names, and later without listing them */
        pass(2 * SECOND);
        struct dir_scan *next = scan(f, "", i % 2 ? SCAN_NOW : SCAN_RECENT);
        assert_ptr_equal(next, first);
        dir_scan_put(next);
    }
    dir_scan_put(first);
}

/* A file that is there but may not be read belongs to the group until it may: nobody knows whether
 * it is a run. */
static void assert_forbidden_until_allowed(const struct fixture *f, const char *name)
{
    assert_int_equal(chmod(scratch_at(&f->scratch, name), 0), 0);
    assert_int_equal(chmod(f->scratch.path, 0755), 0);
    bool root = geteuid() == 0; /* who may read everything */
    assert_int_equal(root ? seteuid(65534) : 0, 0);
    struct dir_scan *first = scan(f, "", SCAN_NOW);
    struct dir_scan *next = scan(f, "", SCAN_NOW);
    assert_int_equal(root ? seteuid(0) : 0, 0);
    assert_int_equal(first->nruns, 2);
    assert_int_equal(first->runs[0].run->state, RUN_UNKNOWN);
    assert_int_equal(first->runs[0].run->error.code, EACCES);
    assert_null(first->fault); /* it will not pass by itself */
    assert_int_equal(first->ngroups, 1);
    assert_int_equal(first->groups[0].nruns, 2);
    assert_ptr_equal(first->groups[0].bad, first->runs[0].run);
    assert_ptr_equal(next, first);
    dir_scan_put(next);
    assert_int_equal(chmod(scratch_at(&f->scratch, name), 0644), 0);
    next = scan(f, "", SCAN_NOW);
    assert_int_equal(next->runs[0].run->state, RUN_OK);
    assert_null(next->groups[0].bad);
    dir_scan_put(first);
    dir_scan_put(next);
}

static void forbidden_file_is_unknown_until_allowed(void **state)
{
    const struct fixture *f = *state;
    write_nifti(f, "sub-01_task-a_bold.nii", 2);
    write_nifti(f, "sub-01_task-b_bold.nii", 2);
    assert_forbidden_until_allowed(f, "sub-01_task-a_bold.nii");
}

static void forbidden_file_without_bids_name_is_unknown_until_allowed(void **state)
{
    const struct fixture *f = *state;
    write_nifti(f, "a.nii", 2);
    write_nifti(f, "b.nii", 2);
    assert_forbidden_until_allowed(f, "a.nii");
}

/* `change` is done between two checks; which of the old runs a, b, c does the new snapshot share?
 */
static void assert_shared(const struct fixture *f, void (*change)(const struct fixture *),
                          const char *expected)
{
    struct dir_scan *old = scan(f, "d", SCAN_NOW);
    change(f);
    struct dir_scan *new = scan(f, "d", SCAN_NOW);
    char text[256] = "";
    for (size_t i = 0; i < new->nfiles; i++) {
        bool shared = false;
        for (size_t o = 0; o < old->nfiles; o++)
            shared |= old->files[o] == new->files[i];
        sprintf(text + strlen(text), "%s:%s ", new->files[i]->path, shared ? "shared" : "new");
    }
    assert_string_equal(text, expected);
    assert_ptr_not_equal(old, new);
    dir_scan_put(old);
    dir_scan_put(new);
}

static void add_file(const struct fixture *f)
{
    write_nifti(f, "d/b2.nii", 5);
}

static void grow_file(const struct fixture *f)
{
    write_nifti(f, "d/b.nii", 6);
}

static void touch_file(const struct fixture *f)
{
    scratch_set_mtime(&f->scratch, "d/c.nii", 12345);
}

static void remove_file(const struct fixture *f)
{
    scratch_unlink(&f->scratch, "d/a.nii");
}

static void replace_file(const struct fixture *f)
{
    write_nifti(f, "d/tmp", 3);
    scratch_rename(&f->scratch, "d/tmp", "d/b.nii");
}

/* the same names in another directory at the same place */
static void replace_directory(const struct fixture *f)
{
    scratch_mkdir(&f->scratch, "d2");
    write_nifti(f, "d2/b.nii", 2);
    assert_int_equal(
        link(scratch_at(&f->scratch, "d/b2.nii"), scratch_at(&f->scratch, "d2/b2.nii")), 0);
    scratch_rename(&f->scratch, "d", "d3");
    scratch_rename(&f->scratch, "d2", "d");
}

/* With a settled listing (the names are not listed) and with a fresh one. */
static void only_what_changed_is_probed(void **state)
{
    const struct fixture *f = *state;
    scratch_mkdir(&f->scratch, "d");
    for (int settle = 0; settle < 2; settle++) {
        write_nifti(f, "d/a.nii", 2);
        write_nifti(f, "d/b.nii", 2);
        write_nifti(f, "d/c.nii", 2);
        static const struct {
            void (*change)(const struct fixture *);
            const char *expected;
        } steps[] = {
            {add_file, "d/a.nii:shared d/b.nii:shared d/b2.nii:new d/c.nii:shared "},
            {grow_file, "d/a.nii:shared d/b.nii:new d/b2.nii:shared d/c.nii:shared "},
            {touch_file, "d/a.nii:shared d/b.nii:shared d/b2.nii:shared d/c.nii:new "},
            {remove_file, "d/b.nii:shared d/b2.nii:shared d/c.nii:shared "},
            {replace_file, "d/b.nii:new d/b2.nii:shared d/c.nii:shared "},
        };
        for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
            scratch_set_mtime(&f->scratch, "d", (time_t)(1000 + i));
            for (int s = 0; s < 3 * settle; s++) {
                dir_scan_put(scan(f, "d", SCAN_NOW));
                pass(3 * SECOND);
            }
            assert_shared(f, steps[i].change, steps[i].expected);
        }
        scratch_unlink(&f->scratch, "d/b2.nii");
    }
    write_nifti(f, "d/b2.nii", 5);
    assert_shared(f, replace_directory, "d/b.nii:new d/b2.nii:new ");
}

static void replace_and_look(const struct fixture *f)
{
    write_nifti(f, "tmp", 3);
    scratch_rename(&f->scratch, "tmp", "a.nii");
    struct dir_scan *s = scan(f, "", SCAN_NOW);
    assert_int_equal(s->runs[0].run->nifti.nvol, 3);
    dir_scan_put(s);
}

static void what_has_been_seen_once_stays_seen(void **state)
{
    const struct fixture *f = *state;
    write_nifti(f, "a.nii", 2);
    dir_scan_put(scan(f, "", SCAN_NOW));

    /* the file is replaced, and seen so by another check, when this one has looked already */
    meanwhile.after = 1;
    meanwhile.f = f;
    meanwhile.call = replace_and_look;
    struct dir_scan *late = scan(f, "", SCAN_NOW);
    assert_int_equal(late->runs[0].run->nifti.nvol, 2);
    assert_null(meanwhile.call);

    struct dir_scan *recent = scan(f, "", SCAN_RECENT);
    assert_int_equal(recent->runs[0].run->nifti.nvol, 3);
    /* and what no other check denies is recent again */
    struct dir_scan *again = scan(f, "", SCAN_RECENT);
    assert_ptr_equal(again, recent);
    write_nifti(f, "b.nii", 2);
    struct dir_scan *still = scan(f, "", SCAN_RECENT);
    assert_ptr_equal(still, recent);
    dir_scan_put(late);
    dir_scan_put(recent);
    dir_scan_put(again);
    dir_scan_put(still);
}

static void recent_snapshot_will_do_for_a_second(void **state)
{
    const struct fixture *f = *state;
    write_nifti(f, "a.nii", 2);
    struct dir_scan *first = scan(f, "", SCAN_RECENT);
    write_nifti(f, "b.nii", 2);
    pass(SECOND - 1);
    struct dir_scan *recent = scan(f, "", SCAN_RECENT);
    assert_ptr_equal(recent, first);
    pass(1);
    struct dir_scan *later = scan(f, "", SCAN_RECENT);
    assert_int_equal(later->nruns, 2);

    scratch_unlink(&f->scratch, "a.nii");
    struct dir_scan *now = scan(f, "", SCAN_NOW);
    assert_int_equal(now->nruns, 1);
    /* what is held is as it was */
    assert_int_equal(first->nruns, 1);
    assert_string_equal(first->groups[0].runs[0]->path, "a.nii");
    dir_scan_put(first);
    dir_scan_put(recent);
    dir_scan_put(later);
    dir_scan_put(now);
}

static void repaired_files_are_noticed(void **state)
{
    const struct fixture *f = *state;
    scratch_mkdir(&f->scratch, ".git");
    scratch_mkdir(&f->scratch, ".git/annex");
    scratch_mkdir(&f->scratch, ".git/annex/objects");
    scratch_link(&f->scratch, ".git/annex/objects/MD5E-s1--0.nii", "sub-01_task-a_bold.nii");
    scratch_text(&f->scratch, "sub-01_task-b_bold.nii", "broken");
    for (int i = 0; i < 3; i++) { /* a settled listing must not hide the repair */
        dir_scan_put(scan(f, "", SCAN_NOW));
        pass(3 * SECOND);
    }
    assert_scan(f, "",
                "sub-01_task-a_bold.nii sub-01_task-a_boldmap absent\n"
                "sub-01_task-b_bold.nii sub-01_task-b_boldmap broken\n"
                "group '' of 2\n");
    write_nifti(f, ".git/annex/objects/MD5E-s1--0.nii", 2);
    assert_scan(f, "",
                "sub-01_task-a_bold.nii sub-01_task-a_boldmap ok\n"
                "sub-01_task-b_bold.nii sub-01_task-b_boldmap broken\n"
                "group '' of 2\n");
    write_nifti(f, "sub-01_task-b_bold.nii", 2);
    assert_scan(f, "",
                "sub-01_task-a_bold.nii sub-01_task-a_boldmap ok\n"
                "sub-01_task-b_bold.nii sub-01_task-b_boldmap ok\n"
                "group '' of 2\n");
}

static void least_recently_used_directory_is_forgotten(void **state)
{
    const struct fixture *f = *state;
    enum { NDIRS = 257 };
    struct dir_scan *held[NDIRS];
    char dir[16];
    for (int i = 0; i < NDIRS; i++) {
        snprintf(dir, sizeof dir, "d%d", i);
        scratch_mkdir(&f->scratch, dir);
        if (i == NDIRS - 1)
            dir_scan_put(scan(f, "d0", SCAN_RECENT)); /* used again: d1 is the oldest now */
        held[i] = scan(f, dir, SCAN_RECENT);
    }
    struct dir_scan *kept = scan(f, "d0", SCAN_RECENT);
    struct dir_scan *again = scan(f, "d1", SCAN_RECENT);
    assert_ptr_equal(kept, held[0]);
    assert_ptr_not_equal(again, held[1]);
    dir_scan_put(kept);
    dir_scan_put(again);
    for (int i = 0; i < NDIRS; i++)
        dir_scan_put(held[i]);
}

struct crowd {
    const struct fixture *f;
    atomic_bool stop;
    atomic_int wrong;
};

/* run1 and run3 are always there, run2 comes and goes and changes */
static void *scan_along(void *arg)
{
    struct crowd *crowd = arg;
    for (unsigned i = 0; !atomic_load(&crowd->stop); i++) {
        struct dir_scan *s;
        struct error err;
        if (dataset_scan(crowd->f->ds, &(struct dir){.path = ""}, i % 2 ? SCAN_NOW : SCAN_RECENT,
                         &s, &err)) {
            atomic_fetch_add(&crowd->wrong, 1);
            continue;
        }
        size_t n = s->nruns;
        if (n < 2 || n > 3 || s->ngroups != 1 || s->groups[0].nruns != n ||
            strcmp(s->runs[0].entities, "run1") != 0 ||
            strcmp(s->runs[n - 1].entities, "run3") != 0)
            atomic_fetch_add(&crowd->wrong, 1);
        dir_scan_put(s);
    }
    return NULL;
}

static void threads_may_scan_one_changing_directory(void **state)
{
    enum { NTHREADS = 4, NCHANGES = 200 };
    struct crowd crowd = {.f = *state};
    pthread_t thread[NTHREADS];
    write_nifti(crowd.f, "run1.nii", 2);
    write_nifti(crowd.f, "run3.nii", 2);
    for (int i = 0; i < NTHREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, scan_along, &crowd), 0);
    for (int i = 0; i < NCHANGES; i++) {
        write_nifti(crowd.f, "tmp", 2 + i % 3);
        scratch_rename(&crowd.f->scratch, "tmp", "run2.nii");
        pass(SECOND / 2);
        /* whoever looks now sees the change, however many are looking */
        struct dir_scan *s = scan(crowd.f, "", SCAN_NOW);
        assert_int_equal(s->nruns, 3);
        assert_int_equal(s->runs[1].run->nifti.nvol, 2 + i % 3);
        dir_scan_put(s);
        scratch_unlink(&crowd.f->scratch, "run2.nii");
        pass(SECOND);
    }
    atomic_store(&crowd.stop, true);
    for (int i = 0; i < NTHREADS; i++)
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    assert_int_equal(atomic_load(&crowd.wrong), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(open_says_what_is_wrong),
        TEST(bids_directory),
        TEST(plain_directory),
        TEST(unlike_names_stay_apart_unless_all_are_joined),
        TEST(omissions_are_as_fresh_as_runs),
        TEST(cbv_beside_bold),
        TEST(unreadable_runs_stay_in_the_group),
        TEST(links_within_the_dataset_are_runs),
        TEST(directory_failures),
        TEST(unchanged_is_the_same_snapshot),
        TEST(forbidden_file_is_unknown_until_allowed),
        TEST(forbidden_file_without_bids_name_is_unknown_until_allowed),
        TEST(only_what_changed_is_probed),
        TEST(what_has_been_seen_once_stays_seen),
        TEST(recent_snapshot_will_do_for_a_second),
        TEST(repaired_files_are_noticed),
        TEST(least_recently_used_directory_is_forgotten),
        TEST(threads_may_scan_one_changing_directory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
