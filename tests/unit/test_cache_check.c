/* SPDX-License-Identifier: MIT
 *
 * Entries whose bytes change or go while nothing about the file tells: what stands in front of
 * pread(2) below is the disk, or the network, that does it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#include "cache_fixture.h"
#include "helper_threads.h"

enum { NBYTES = 300000, DAY_S = 24 * HOUR_S };

static struct {
    bool decayed; /* a bit of byte `at` of each file is flipped */
    off_t at;
    int code; /* not 0: reads fail with this errno */
    atomic_uint ncalls;
    bool remote; /* the file system is NFS; there the kernel remembers: */
    bool hidden; /* that no entry is there, until somebody reads a directory */
    unsigned nrefreshes;
} disk;

int statfs(const char *file, struct statfs *buf)
{
    int ret = (int)syscall(SYS_statfs, file, buf);
    if (ret == 0 && disk.remote)
        buf->f_type = NFS_SUPER_MAGIC;
    return ret;
}

int open(const char *file, int oflag, ...)
{
    va_list args;
    va_start(args, oflag);
    mode_t mode = va_arg(args, mode_t);
    va_end(args);
    if (disk.hidden && strstr(file, "/v1/objects/")) {
        errno = ENOENT;
        return -1;
    }
    return (int)syscall(SYS_openat, AT_FDCWD, file, oflag, mode);
}

DIR *opendir(const char *name)
{
    int fd = (int)syscall(SYS_openat, AT_FDCWD, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    disk.hidden = false;
    disk.nrefreshes++;
    return fd < 0 ? NULL : fdopendir(fd);
}

ssize_t pread(int fd, void *buf, size_t nbytes, off_t offset)
{
    disk.ncalls++;
    if (disk.code != 0) {
        errno = disk.code;
        return -1;
    }
    ssize_t n = syscall(SYS_pread64, fd, buf, nbytes, offset);
    if (disk.decayed && offset <= disk.at && disk.at < offset + n)
        ((unsigned char *)buf)[disk.at - offset] ^= 16;
    return n;
}

static int teardown(void **state)
{
    memset(&disk, 0, sizeof disk);
    return fixture_teardown(state);
}

static struct blob *found(struct fixture *f, unsigned number, bool early)
{
    struct key key = entry_key(number);
    struct blob *b;
    assert_int_equal(
        early ? cache_lookup_early(f->cache, &key, &b) : cache_lookup(f->cache, &key, &b), 0);
    return b;
}

/* Read a byte of `source` and make it an entry. */
static int derive(struct fixture *f, struct blob *source, unsigned number, struct error *err)
{
    struct key key = entry_key(number);
    struct cache_writer *w;
    struct blob *b;
    char byte;
    assert_int_equal(blob_read(source, 0, &byte, 1, NULL), 0);
    assert_int_equal(cache_begin(f->cache, &key, "an entry", 1, CACHE_KEEP, &w, NULL), 0);
    assert_int_equal(cache_write(w, &byte, 1, NULL), 0);
    int ret = cache_computed_from(w, &source, 1, NULL, err);
    if (ret < 0) {
        cache_abort(w);
        return ret;
    }
    assert_int_equal(cache_commit(w, &b, NULL), 0);
    blob_put(b);
    return 0;
}

/* However lately it was found sound. */
static void test_nothing_is_published_from_damage(void **state)
{
    struct fixture *f = *state;
    static const off_t places[] = {0, 1, NBYTES / 2, NBYTES - 1};
    for (unsigned i = 0; i < 2 * sizeof places / sizeof *places; i++) {
        struct error err;
        disk.decayed = false;
        disk.at = places[i / 2];
        entry_put(f->cache, 1, NBYTES);
        struct blob *b = found(f, 1, i % 2);
        assert_int_equal(derive(f, b, 2 + 2 * i, NULL), 0);
        disk.decayed = true;
        assert_int_equal(derive(f, b, 3 + 2 * i, &err), -EAGAIN);
        assert_non_null(strstr(err.text, "damaged"));
        assert_true(blob_is_invalidated(b));
        blob_put(b);
        disk.decayed = false;
        assert_false(entry_there(f->cache, 1));
        entry_assert_miss(f->cache, 1);
        entry_assert_miss(f->cache, 3 + 2 * i);
        assert_int_equal(stats_of(f->cache).corrupt, i + 1);
    }
}

static void damage(const struct fixture *f, unsigned number)
{
    struct key key = entry_key(number);
    char path[3 * SCRATCH_PATH_MAX];
    int fd;

    snprintf(path, sizeof path, "%s/v1/objects/%.2s/%s", f->dir, key.hex, key.hex);
    fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, "?", 1, 1000), 1);
    close(fd);
}

/* Whoever of the threads meets the damage; all entries are looked at if there is none. */
static void test_inputs_are_checked_by_idle_threads(void **state)
{
    enum { N = 9, LARGE_NBYTES = 1 << 20 };
    struct fixture *f = *state;
    struct helper_threads helpers;
    struct blob *inputs[N];
    struct error err;

    helper_threads_start(&helpers, 3);
    for (unsigned i = 0; i < N; i++) {
        entry_put(f->cache, i, LARGE_NBYTES);
        inputs[i] = found(f, i, false);
    }
    assert_int_equal(cache_check_all(f->cache, inputs, N, &helpers.helpers, &err), 0);
    for (unsigned bad = 0; bad < N; bad++) {
        damage(f, bad);
        assert_int_equal(cache_check_all(f->cache, inputs, N, &helpers.helpers, &err), -EAGAIN);
        assert_true(blob_is_invalidated(inputs[bad]));
        blob_put(inputs[bad]);
        entry_put(f->cache, bad, LARGE_NBYTES);
        inputs[bad] = found(f, bad, false);
        assert_int_equal(cache_check_all(f->cache, inputs, N, &helpers.helpers, &err), 0);
    }
    for (unsigned i = 0; i < N; i++)
        blob_put(inputs[i]);
    helper_threads_stop(&helpers);
}

/* What was computed just now, too, and what is not published yet. */
static void test_fresh_results_are_checked(void **state)
{
    struct fixture *f = *state;
    disk.at = 1000;
    for (unsigned later = 0; later < 2; later++) {
        struct key key = entry_key(1 + later);
        unsigned char *bytes = calloc(1, NBYTES);
        struct cache_writer *w;
        struct blob *b;
        assert_int_equal(cache_begin(f->cache, &key, "an entry", NBYTES, CACHE_KEEP, &w, NULL), 0);
        assert_int_equal(cache_write(w, bytes, NBYTES, NULL), 0);
        free(bytes);
        disk.decayed = false;
        assert_int_equal(later ? cache_commit_later(w, &b, NULL) : cache_commit(w, &b, NULL), 0);
        assert_int_equal(derive(f, b, 3 + later, NULL), 0);
        disk.decayed = true;
        assert_int_equal(derive(f, b, 5 + later, NULL), -EAGAIN);
        blob_put(b);
    }
}

/* What took the name of a damaged entry that somebody still reads is left alone. */
static void test_replaced_entry_stays(void **state)
{
    struct fixture *f = *state;
    struct key key = entry_key(1);
    entry_put(f->cache, 1, NBYTES);
    struct blob *b = found(f, 1, false);
    cache_drop(f->cache, &key);
    entry_put(f->cache, 1, NBYTES);
    disk.decayed = true;
    assert_int_equal(cache_check(f->cache, b, NULL), -EAGAIN);
    disk.decayed = false;
    blob_put(b);
    entry_assert_hit(f->cache, 1, NBYTES);
    assert_int_equal(stats_of(f->cache).corrupt, 0);
}

static void test_whole_is_checked_each_time(void **state)
{
    struct fixture *f = *state;
    unsigned char *bytes = malloc(NBYTES);
    entry_put(f->cache, 1, NBYTES);
    struct blob *b = found(f, 1, false);
    assert_int_equal(cache_read_whole(f->cache, b, bytes, NULL), 0);
    disk.decayed = true;
    assert_int_equal(cache_read_whole(f->cache, b, bytes, NULL), -EAGAIN);
    blob_put(b);
    free(bytes);
    entry_assert_miss(f->cache, 1);
    /* in memory nothing decays */
    b = blob_from_memory(calloc(1, 100), 100, NULL);
    char few[100];
    assert_int_equal(cache_read_whole(f->cache, b, few, NULL), 0);
    assert_int_equal(cache_check(f->cache, b, NULL), 0);
    blob_put(b);
}

/* Lookups read all of an entry at first, and then once a day. */
static void test_checked_again_when_old(void **state)
{
    struct fixture *f = *state;
    static const struct {
        int64_t after_s;
        bool checked;
    } steps[] = {{0, true},       {1, false},         {HOUR_S - 1, false}, {HOUR_S + 1, false},
                 {DAY_S, true},   {DAY_S - 1, false}, {1, true},           {-DAY_S, true},
                 {HOUR_S, false}, {30 * DAY_S, true}, {1, false}};
    entry_put(f->cache, 1, NBYTES);
    fixture_reopen(f, 1 << 30);
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        fixture_now_s += steps[i].after_s;
        disk.ncalls = 0;
        blob_put(found(f, 1, false));
        assert_int_equal(disk.ncalls > 0, steps[i].checked);
    }
    disk.decayed = true;
    blob_put(found(f, 1, false));
    fixture_now_s += DAY_S;
    entry_assert_miss(f->cache, 1);
}

/* Removed by another host: nothing is damaged, and what is there under the name stays. */
static void test_removed_by_another_host(void **state)
{
    struct fixture *f = *state;
    static const int codes[] = {ESTALE, EFAULT};
    entry_put(f->cache, 1, NBYTES);
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        struct error err;
        char byte;
        struct blob *b = found(f, 1, false);
        disk.code = codes[i];
        assert_int_equal(blob_read(b, 0, &byte, 1, NULL), -EAGAIN);
        assert_int_equal(cache_check(f->cache, b, &err), -EAGAIN);
        assert_non_null(strstr(err.text, "another host"));
        blob_put(b);
        fixture_reopen(f, 1 << 30);
        entry_assert_miss(f->cache, 1);
        disk.code = 0;
        assert_int_equal(stats_of(f->cache).corrupt, 0);
        entry_assert_hit(f->cache, 1, NBYTES);
    }
}

/* What cannot be read is of no use. */
static void test_unreadable(void **state)
{
    struct fixture *f = *state;
    char byte;
    entry_put(f->cache, 1, NBYTES);
    struct blob *b = found(f, 1, false);
    disk.code = EIO;
    assert_int_equal(blob_read(b, 0, &byte, 1, NULL), -EAGAIN);
    assert_int_equal(cache_check(f->cache, b, NULL), -EAGAIN);
    disk.code = 0;
    blob_put(b);
    entry_assert_miss(f->cache, 1);
    assert_int_equal(stats_of(f->cache).corrupt, 1);
}

static void count_report(void *ctx, const struct error *what)
{
    unsigned *n = ctx;
    ++*n;
    assert_non_null(strstr(what->text, entry_key(1).hex));
    assert_non_null(strstr(what->text, "cannot be removed"));
}

/* It is told, and the others are verified all the same. */
static void test_verify_what_cannot_be_removed(void **state)
{
    struct fixture *f = *state;
    uint64_t good, bad;
    unsigned reported = 0;
    struct error err;
    for (unsigned i = 1; i <= 3; i++)
        entry_put(f->cache, i, NBYTES);
    assert_int_equal(unlink(entry_path(f, 1, "")), 0);
    assert_int_equal(mkdir(entry_path(f, 1, ""), 0700), 0);
    assert_int_equal(cache_verify(f->cache, &good, &bad, count_report, &reported, &err), -EIO);
    assert_non_null(strstr(err.text, f->dir));
    assert_int_equal(good, 2);
    assert_int_equal(bad, 0);
    assert_int_equal(reported, 1);
}

/* ---- network file systems ---- */

static void test_entry_of_another_host_is_seen(void **state)
{
    struct fixture *f = *state;
    entry_put(f->cache, 1, NBYTES);
    struct blob *b = found(f, 1, false);
    assert_false(blob_entry(b)->remote);
    blob_put(b);
    disk.remote = true;
    fixture_reopen(f, 1 << 30);
    disk.hidden = true;
    b = found(f, 1, false);
    assert_true(blob_entry(b)->remote);
    blob_put(b);
    assert_int_equal(disk.nrefreshes, 1);
    /* what is there costs no more, and what is not is not there */
    entry_assert_hit(f->cache, 1, NBYTES);
    assert_int_equal(disk.nrefreshes, 1);
    entry_assert_miss(f->cache, 2);
    /* a listing must stay cheap */
    disk.nrefreshes = 0;
    assert_false(entry_there(f->cache, 3));
    assert_int_equal(disk.nrefreshes, 0);
    disk.remote = false;
    fixture_reopen(f, 1 << 30);
    entry_assert_miss(f->cache, 2);
    assert_int_equal(disk.nrefreshes, 0);
}

/* Somebody else published the same meanwhile, which this host does not see yet. */
static void test_published_by_another_host(void **state)
{
    struct fixture *f = *state;
    entry_put(f->cache, 1, NBYTES);
    disk.remote = true;
    fixture_reopen(f, 1 << 30);
    disk.hidden = true;
    entry_put(f->cache, 1, NBYTES);
    assert_int_equal(f->nwarnings, 0);
    assert_int_equal(stats_of(f->cache).published, 0);
    entry_assert_hit(f->cache, 1, NBYTES);
}

static void leave_file(const struct fixture *f, const char *name, int64_t age_s)
{
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = fixture_now_s - age_s}};
    scratch_write(&f->scratch, name, "0123456789", 10);
    assert_int_equal(utimensat(AT_FDCWD, scratch_at(&f->scratch, name), times, 0), 0);
}

static bool is_there(const struct fixture *f, const char *name)
{
    return access(scratch_at(&f->scratch, name), F_OK) == 0;
}

static void test_leftovers_of_removed_files(void **state)
{
    struct fixture *f = *state;
    static const char *const places[] = {"tmp", "objects/00", "objects/ff"};
    static const char *const names[] = {".nfs000000000123456700000001",
                                        ".fuse_hidden0000000200000001"};
    char old[sizeof places / sizeof *places][2][128], young[128], foreign[128];
    uint64_t freed;
    disk.remote = true;
    fixture_reopen(f, 1 << 30);
    for (int i = 0; i < 3; i++) {
        snprintf(young, sizeof young, "cache/v1/%s", places[i]);
        mkdir(scratch_at(&f->scratch, young), 0700);
        for (int j = 0; j < 2; j++) {
            snprintf(old[i][j], sizeof old[i][j], "cache/v1/%s/%s", places[i], names[j]);
            leave_file(f, old[i][j], HOUR_S + 1);
        }
    }
    snprintf(young, sizeof young, "cache/v1/tmp/%s2", names[0]);
    snprintf(foreign, sizeof foreign, "cache/v1/tmp/.profile");
    leave_file(f, young, HOUR_S - 60);
    leave_file(f, foreign, 10 * HOUR_S);
    assert_int_equal(cache_prune(f->cache, &freed, NULL), 0);
    assert_int_equal(freed, 60);
    for (int i = 0; i < 6; i++)
        assert_false(is_there(f, old[i / 2][i % 2]));
    assert_true(is_there(f, young));
    assert_true(is_there(f, foreign));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_nothing_is_published_from_damage, fixture_setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_inputs_are_checked_by_idle_threads, fixture_setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_fresh_results_are_checked, fixture_setup, teardown),
        cmocka_unit_test_setup_teardown(test_replaced_entry_stays, fixture_setup, teardown),
        cmocka_unit_test_setup_teardown(test_whole_is_checked_each_time, fixture_setup, teardown),
        cmocka_unit_test_setup_teardown(test_checked_again_when_old, fixture_setup, teardown),
        cmocka_unit_test_setup_teardown(test_removed_by_another_host, fixture_setup, teardown),
        cmocka_unit_test_setup_teardown(test_unreadable, fixture_setup, teardown),
        cmocka_unit_test_setup_teardown(test_verify_what_cannot_be_removed, fixture_setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_entry_of_another_host_is_seen, fixture_setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_published_by_another_host, fixture_setup, teardown),
        cmocka_unit_test_setup_teardown(test_leftovers_of_removed_files, fixture_setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
