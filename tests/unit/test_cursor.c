/* SPDX-License-Identifier: MIT
 *
 * Cursors: volumes in order, from the middle, from the pool; and a file that changes meanwhile.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "cursor.h"
#include "images.h"
#include "scratch.h"

enum { NVOX = 4 * 3 * 2, NVOL = 5, VOLUME = NVOX * 2 };

static struct scratch dir;
static int rootfd;
static struct cursor_pool *pool;

static int setup(void **state)
{
    (void)state;
    scratch_make(&dir);
    rootfd = open(dir.path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    pool = cursor_pool_new(&(struct cursor_pool_config){.rootfd = rootfd});
    return rootfd < 0 || !pool;
}

static int teardown(void **state)
{
    (void)state;
    cursor_pool_free(pool);
    scratch_remove(&dir);
    return close(rootfd);
}

/* A run of five volumes; all samples of volume v are 100 + v. Plain, or gzip where the name says
 * so; `invalidate`: with a wrong checksum. */
static struct run *make_run(const char *name, bool invalidate)
{
    unsigned char file[IMAGE_NBYTES] = {0}, packed[4096];
    nifti_1_header h = image_n1();
    struct run *run;

    memcpy(file, &h, sizeof h);
    for (size_t i = 0; i < (size_t)NVOX * NVOL; i++) {
        int16_t value = (int16_t)(100 + i / NVOX);

        memcpy(file + 352 + 2 * i, &value, 2);
    }
    if (strstr(name, ".gz")) {
        size_t n = image_gzip(file, sizeof file, packed, sizeof packed);

        packed[n - 5] ^= invalidate; /* the last byte of the CRC-32 */
        scratch_write(&dir, name, packed, n);
    } else {
        scratch_write(&dir, name, file, sizeof file);
    }
    run = run_probe(rootfd, -1, name, NULL, NULL);
    assert_non_null(run);
    assert_int_equal(run->state, RUN_OK);
    return run;
}

static struct cursor *open_at(struct run *run, int64_t vol)
{
    struct cursor *c;
    struct error err;

    if (cursor_open(pool, run, vol, 1, NULL, &c, &err) < 0)
        fail_msg("%s", err.text);
    return c;
}

/* The next volume is number `vol`. */
static void assert_next(struct cursor *c, int vol)
{
    int16_t samples[NVOX];
    struct error err;

    assert_int_equal(cursor_read(c, samples, sizeof samples, &err), 0);
    for (size_t i = 0; i < NVOX; i++)
        assert_int_equal(samples[i], 100 + vol);
}

static void test_volumes(void **state)
{
    static const char *const names[] = {"a.nii", "a.nii.gz"};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct run *run = make_run(names[i], false);
        struct cursor *c = open_at(run, 2);
        struct error err;

        assert_next(c, 2);
        assert_next(c, 3);
        assert_int_equal(cursor_check(c, true, &err), 0);
        assert_next(c, 4);
        assert_int_equal(cursor_check(c, true, &err), 0);
        cursor_park(c); /* at the end: closed */
        c = open_at(run, 0);
        assert_next(c, 0);
        cursor_close(c);
        run_put(run);
    }
    cursor_park(NULL);
    cursor_close(NULL);
}

/* A parked cursor goes on where it stood; the nearest before is taken, and never one behind. */
static void test_pool(void **state)
{
    struct run *run = make_run("b.nii.gz", false),
               *same = run_probe(rootfd, -1, "b.nii.gz", NULL, NULL);
    struct cursor *early = open_at(run, 0), *late = open_at(run, 0), *c;

    (void)state;
    assert_next(early, 0);
    for (int vol = 0; vol < 3; vol++)
        assert_next(late, vol);
    cursor_park(late);
    cursor_park(early);
    c = open_at(same, 3);
    assert_ptr_equal(c, late);
    assert_next(c, 3);
    late = open_at(run, 2);
    assert_ptr_equal(late, early);
    assert_next(late, 2);
    early = open_at(run, 0); /* from the start, for nothing is left in the pool */
    assert_next(early, 0);
    cursor_park(c);
    cursor_close(late);
    late = open_at(run, 1); /* the parked one stands behind it */
    assert_ptr_not_equal(late, c);
    assert_next(late, 1);
    cursor_close(late);
    cursor_close(early);
    run_put(run);
    run_put(same);
}

static size_t count_open_files(void)
{
    size_t n = 0;

    for (int fd = 0; fd < 200; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

/* The pool is bounded; the oldest goes. */
static void test_pool_is_bounded(void **state)
{
    enum { MANY = 30 };
    struct run *run = make_run("c.nii", false);
    struct cursor *many[MANY], *c;
    size_t before;

    (void)state;
    cursor_pool_free(pool);
    pool = cursor_pool_new(&(struct cursor_pool_config){.rootfd = rootfd});
    before = count_open_files();
    for (size_t i = 0; i < MANY; i++)
        many[i] = open_at(run, i == 0 ? 4 : 1);
    for (size_t i = 0; i < MANY; i++)
        cursor_park(many[i]);
    assert_uint_in_range(count_open_files() - before, 1, 16);
    c = open_at(run, 4); /* not the oldest, which stood there */
    assert_next(c, 4);
    cursor_close(c);
    run_put(run);
}

static void test_changed_file(void **state)
{
    struct run *run = make_run("d.nii", false), *now;
    struct cursor *c = open_at(run, 0), *other;
    struct error err;

    (void)state;
    assert_next(c, 0);
    cursor_park(c);
    scratch_set_mtime(&dir, "d.nii", 1000);
    /* what was parked may be taken, but what it has read is not believed */
    c = open_at(run, 1);
    assert_next(c, 1);
    assert_int_equal(cursor_check(c, true, &err), -ESTALE);
    cursor_close(c);
    assert_int_equal(cursor_open(pool, run, 1, 1, NULL, &c, &err), -ESTALE);
    /* who knows the file as it is now never gets a cursor of what it was */
    now = run_probe(rootfd, -1, "d.nii", NULL, NULL);
    c = open_at(now, 0);
    cursor_park(c);
    run_put(now);
    scratch_set_mtime(&dir, "d.nii", 2000);
    now = run_probe(rootfd, -1, "d.nii", NULL, NULL);
    other = open_at(now, 0);
    assert_ptr_not_equal(other, c);
    assert_next(other, 0);
    assert_int_equal(cursor_check(other, true, &err), 0);
    cursor_close(other);
    run_put(now);
    run_put(run);
}

/* A program writes on while its write has given the file its times already: a mapping does, too. */
static void test_writing_under_the_same_times(void **state)
{
    struct run *run = make_run("e.nii", false);
    int fd = open(scratch_at(&dir, "e.nii"), O_RDWR | O_CLOEXEC);
    unsigned char *map = mmap(NULL, IMAGE_NBYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    struct cursor *c;
    struct error err;

    (void)state;
    assert_ptr_not_equal(map, MAP_FAILED);
    *(volatile unsigned char *)(map + 352) = 100; /* as it was; from here on the times stay */
    run_put(run);
    run = run_probe(rootfd, -1, "e.nii", NULL, NULL);
    c = open_at(run, 0);
    assert_next(c, 0);
    assert_int_equal(cursor_pass(c, VOLUME, &err), 0);
    assert_next(c, 2);
    map[352 + VOLUME] = 77; /* where nothing was read */
    assert_int_equal(cursor_check(c, true, &err), 0);
    cursor_close(c);
    c = open_at(run, 0);
    assert_next(c, 0);
    map[352] = 99;
    assert_true(source_is_still(rootfd, -1, "e.nii", &run->id));
    assert_int_equal(cursor_check(c, true, &err), -ESTALE);
    assert_non_null(strstr(err.text, "e.nii: it is being written"));
    cursor_close(c);
    run_put(run);
    munmap(map, IMAGE_NBYTES);
    close(fd);
}

static void test_damage_shows_at_the_end(void **state)
{
    struct run *run = make_run("e.nii.gz", true);
    struct cursor *c = open_at(run, 4);
    struct error err;
    int16_t samples[NVOX];
    int ret = cursor_read(c, samples, sizeof samples, &err);

    (void)state;
    if (ret == 0)
        ret = cursor_check(c, true, &err);
    assert_int_equal(ret, -EIO);
    cursor_close(c);
    run_put(run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_volumes),
        cmocka_unit_test(test_pool),
        cmocka_unit_test(test_pool_is_bounded),
        cmocka_unit_test(test_changed_file),
        cmocka_unit_test(test_writing_under_the_same_times),
        cmocka_unit_test(test_damage_shows_at_the_end),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
