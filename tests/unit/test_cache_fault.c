/* SPDX-License-Identifier: MIT
 *
 * The cache when things go wrong: the disk refuses, memory is out, the directory vanishes.
 *
 * Real refusals come from small tmpfs mounts in a mount namespace of this process (root only).
 * Those that a real disk gives at moments nobody can choose come from the functions below, which
 * stand in front of libc's: each fails with errno `code` once `after` calls have passed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <limits.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>

#include "cache_fixture.h"

enum { NBYTES = 300000, MAX_NBYTES = 1 << 30 };

struct fault {
    int code;  /* 0: works */
    int after; /* calls that work before the first that fails */
    bool once; /* the call after that works again */
};

static struct fault fault_write, fault_fdatasync, fault_linkat, fault_fallocate, fault_tmpfile;

static bool strikes(struct fault *f)
{
    if (f->code == 0 || f->after-- > 0)
        return false;
    f->after = 0;
    errno = f->code;
    if (f->once)
        f->code = 0;
    return true;
}

/* Half of what was asked for arrives before the disk refuses. */
ssize_t write(int fd, const void *bytes, size_t nbytes)
{
    if (fault_write.code != 0 && fault_write.after == 1)
        nbytes /= 2;
    return strikes(&fault_write) ? -1 : syscall(SYS_write, fd, bytes, nbytes);
}

int fdatasync(int fd)
{
    return strikes(&fault_fdatasync) ? -1 : (int)syscall(SYS_fdatasync, fd);
}

int linkat(int fromfd, const char *from, int tofd, const char *to, int flags)
{
    return strikes(&fault_linkat) ? -1 : (int)syscall(SYS_linkat, fromfd, from, tofd, to, flags);
}

int fallocate(int fd, int mode, off_t off, off_t nbytes)
{
    return strikes(&fault_fallocate) ? -1 : (int)syscall(SYS_fallocate, fd, mode, off, nbytes);
}

int open(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = va_arg(args, mode_t);
    va_end(args);
    if ((flags & O_TMPFILE) == O_TMPFILE && strikes(&fault_tmpfile))
        return -1;
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

static void no_faults(void)
{
    fault_write = fault_fdatasync = fault_linkat = fault_fallocate = fault_tmpfile =
        (struct fault){0};
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    no_faults();
    umount2(f->dir, MNT_DETACH); /* most tests mount nothing */
    return fixture_teardown(state);
}

/* The result is right, in memory, and paid for from the budget until it goes. */
static void put_in_memory(struct fixture *f, unsigned number, size_t nbytes)
{
    struct blob *b;
    struct error err = {0};
    if (entry_try_put(f->cache, number, nbytes, &b, &err) != 0)
        fail_msg("publishing failed: %s", err.text);
    assert_int_equal(blob_fd(b), -1);
    assert_int_equal(budget_used(f->budget), nbytes);
    assert_true(entry_is_right(b, number, nbytes));
    blob_put(b);
    assert_int_equal(budget_used(f->budget), 0);
    assert_false(entry_there(f->cache, number));
}

static void assert_warned(struct fixture *f, unsigned nwarnings, int code)
{
    assert_int_equal(f->nwarnings, nwarnings);
    assert_int_equal(f->last_warn.code, code);
    assert_non_null(strstr(f->last_warn.text, f->dir));
}

/* ---- the disk refuses at a chosen moment ---- */

static void test_write_fails_midway(void **state)
{
    struct fixture *f = *state;
    const int codes[] = {ENOSPC, EIO, EDQUOT, EROFS};
    for (unsigned i = 0; i < 4; i++) {
        for (int after = 0; after <= 2; after++) {
            fault_write = (struct fault){.code = codes[i], .after = after};
            put_in_memory(f, 1, NBYTES);
        }
        assert_warned(f, i + 1, codes[i]);
    }
    assert_int_equal(count_files(f), 0);
    no_faults();
    entry_put(f->cache, 1, NBYTES);
    entry_assert_hit(f->cache, 1, NBYTES);
    fault_write = (struct fault){.code = EIO, .after = 0};
    put_in_memory(f, 2, NBYTES);
    assert_warned(f, 5, EIO); /* news again after a success */
}

static void test_sync_fails(void **state)
{
    struct fixture *f = *state;
    fault_fdatasync = (struct fault){.code = EIO, .after = 0};
    put_in_memory(f, 1, NBYTES);
    assert_warned(f, 1, EIO);
    assert_int_equal(count_files(f), 0);
}

/* The file is whole, it only gets no name: no need for memory. */
static void test_link_fails(void **state)
{
    struct fixture *f = *state;
    const int afters[] = {0, 1, 1}; /* the meta; the meta again in a new directory; the payload */
    for (unsigned i = 0; i < 3; i++) {
        fault_linkat = (struct fault){.code = EROFS, .after = afters[i]};
        struct blob *b;
        assert_int_equal(entry_try_put(f->cache, 1, NBYTES, &b, NULL), 0);
        assert_true(blob_fd(b) >= 0);
        assert_true(entry_is_right(b, 1, NBYTES));
        assert_int_equal(budget_used(f->budget), 0);
        blob_put(b);
        assert_false(entry_there(f->cache, 1));
    }
    assert_warned(f, 1, EROFS);
}

/* Signals arrive: the call is made again. */
static void test_interrupted_calls_go_on(void **state)
{
    struct fixture *f = *state;
    struct fault *faults[] = {&fault_write, &fault_fdatasync, &fault_fallocate, &fault_tmpfile};
    for (unsigned i = 0; i < 4; i++)
        *faults[i] = (struct fault){.code = EINTR, .once = true};
    entry_put(f->cache, 1, NBYTES);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(faults[i]->code, 0); /* each has struck */
    entry_assert_hit(f->cache, 1, NBYTES);
    assert_int_equal(f->nwarnings, 0);
}

static void test_no_fallocate(void **state)
{
    struct fixture *f = *state;
    fault_fallocate = (struct fault){.code = EOPNOTSUPP, .after = 0};
    entry_put(f->cache, 1, NBYTES);
    entry_assert_hit(f->cache, 1, NBYTES);
    assert_int_equal(f->nwarnings, 0);
}

/* As on NFS: a named temp, then link and unlink. */
static void test_no_tmpfile(void **state)
{
    struct fixture *f = *state;
    fault_tmpfile = (struct fault){.code = EOPNOTSUPP, .after = 0};
    entry_put(f->cache, 1, NBYTES);
    assert_int_equal(count_files(f), 2);
    fixture_reopen(f, MAX_NBYTES);
    entry_assert_hit(f->cache, 1, NBYTES);
    entry_put(f->cache, 1, NBYTES); /* once more: his entry stays, the temp goes */
    assert_int_equal(count_files(f), 2);
    fault_write = (struct fault){.code = EIO, .after = 1};
    put_in_memory(f, 2, NBYTES);
    no_faults();
    assert_int_equal(count_files(f), 2);
    assert_warned(f, 1, EIO);
}

/* ---- memory ---- */

static void test_cache_size_zero(void **state)
{
    struct fixture *f = *state;
    entry_put(f->cache, 1, NBYTES);
    fixture_reopen(f, 0);
    entry_assert_miss(f->cache, 1);
    put_in_memory(f, 2, NBYTES);
    put_in_memory(f, 3, 0);
    assert_int_equal(f->nwarnings, 0);
    assert_int_equal(stats_of(f->cache).entries, 1);
    uint64_t freed;
    assert_int_equal(cache_prune(f->cache, &freed, NULL), 0);
    assert_int_equal(count_files(f), 0);
}

static void test_cache_size_zero_makes_no_directory(void **state)
{
    struct fixture *f = *state;
    cache_close(f->cache);
    scratch_remove(&f->scratch);
    scratch_mkdir(&f->scratch, "");
    f->cache = fixture_open(f, 0);
    put_in_memory(f, 1, NBYTES);
    struct stat st;
    assert_int_equal(stat(f->dir, &st), -1);
    assert_int_equal(stats_of(f->cache).entries, 0);
    uint64_t n;
    assert_int_equal(cache_prune(f->cache, &n, NULL), 0);
    assert_int_equal(cache_clear(f->cache, &n, NULL), 0);
}

static void test_larger_than_the_cache(void **state)
{
    struct fixture *f = *state;
    fixture_reopen(f, NBYTES);
    entry_put(f->cache, 1, NBYTES);
    put_in_memory(f, 2, NBYTES + 1);
    assert_warned(f, 1, EFBIG);
    assert_true(entry_there(f->cache, 1));
}

static void test_over_the_memory_budget(void **state)
{
    struct fixture *f = *state;
    struct error err;
    struct blob *b;
    fixture_reopen(f, 0);
    assert_int_equal(entry_try_put(f->cache, 1, BUDGET_NBYTES + 1, &b, &err), -ENOMEM);
    assert_int_equal(err.code, ENOMEM);
    assert_non_null(strstr(err.text, "an entry"));
    assert_int_equal(budget_used(f->budget), 0);

    struct key key = entry_key(2);
    struct cache_writer *w;
    assert_int_equal(cache_begin(f->cache, &key, "huge", UINT64_MAX, CACHE_KEEP, &w, &err),
                     -ENOMEM);
    assert_int_equal(budget_used(f->budget), 0);
}

static void test_over_the_budget_midway(void **state)
{
    struct fixture *f = *state;
    struct error err;
    struct cache_writer *w;
    struct blob *b;
    struct key key = entry_key(1);
    assert_true(budget_take(f->budget, BUDGET_NBYTES - 5));
    assert_int_equal(cache_begin(f->cache, &key, "an entry", 10, CACHE_KEEP, &w, &err), 0);
    assert_int_equal(cache_write(w, "01234", 5, &err), 0);
    fault_write = (struct fault){.code = ENOSPC, .after = 0};
    assert_int_equal(cache_write(w, "56789", 5, &err), -ENOMEM);
    assert_int_equal(cache_write(w, "56789", 5, &err), -EIO);
    assert_int_equal(cache_commit(w, &b, &err), -EIO);
    assert_int_equal(budget_used(f->budget), BUDGET_NBYTES - 5);
    budget_give(f->budget, BUDGET_NBYTES - 5);
    assert_int_equal(count_files(f), 0);
}

/* ---- real disks ---- */

static void mount_small(struct fixture *f, const char *options)
{
    if (geteuid() != 0)
        skip();
    if (mount("tmpfs", f->dir, "tmpfs", MS_NOSUID | MS_NODEV, options) != 0)
        fail_msg("mounting a tmpfs: %s", strerror(errno));
    fixture_reopen(f, MAX_NBYTES);
}

/* A file that leaves `left_nbytes` of the small disk. */
static void fill_disk(struct fixture *f, size_t left_nbytes)
{
    int fd = open(scratch_at(&f->scratch, "cache/filler"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    off_t size = 0;
    while (fallocate(fd, 0, size, 4096) == 0)
        size += 4096;
    assert_int_equal(errno, ENOSPC);
    assert_int_equal(ftruncate(fd, size - (off_t)left_nbytes), 0);
    close(fd);
}

static void test_disk_full(void **state)
{
    struct fixture *f = *state;
    mount_small(f, "size=4m");
    fill_disk(f, 0);
    put_in_memory(f, 1, NBYTES);
    put_in_memory(f, 2, NBYTES);
    assert_warned(f, 1, ENOSPC);
    scratch_unlink(&f->scratch, "cache/filler");
    entry_put(f->cache, 1, NBYTES);
    entry_assert_hit(f->cache, 1, NBYTES);
}

/* The cache itself has filled the disk: the oldest go, the new one stays. */
static void test_disk_full_evicts_once(void **state)
{
    struct fixture *f = *state;
    mount_small(f, "size=4m");
    for (unsigned i = 0; i < 40; i++) {
        fixture_now_s++;
        entry_put(f->cache, i, NBYTES);
        assert_true(entry_there(f->cache, i));
    }
    assert_false(entry_there(f->cache, 0));
    assert_int_equal(f->nwarnings, 0);
    struct cache_stats stats = stats_of(f->cache);
    assert_int_equal(stats.published, 40);
    assert_uint_in_range(stats.entries, 8, 14);
}

/* Where nothing can be set aside the disk is found full in the middle. */
static void test_disk_full_without_fallocate(void **state)
{
    struct fixture *f = *state;
    mount_small(f, "size=4m");
    fill_disk(f, NBYTES / 2);
    fault_fallocate = (struct fault){.code = EOPNOTSUPP, .after = 0};
    put_in_memory(f, 1, NBYTES);
    assert_warned(f, 1, ENOSPC);
}

static void test_no_inodes_left(void **state)
{
    struct fixture *f = *state;
    mount_small(f, "size=4m,nr_inodes=12");
    for (unsigned i = 0; i < 12; i++) {
        struct blob *b;
        assert_int_equal(entry_try_put(f->cache, i, 1000, &b, NULL), 0);
        assert_true(entry_is_right(b, i, 1000));
        blob_put(b);
    }
    assert_int_equal(f->last_warn.code, ENOSPC);
}

static void test_read_only(void **state)
{
    struct fixture *f = *state;
    mount_small(f, "size=4m");
    entry_put(f->cache, 1, NBYTES);
    entry_put(f->cache, 2, NBYTES);
    assert_int_equal(truncate(entry_path(f, 2, ""), 7), 0);
    assert_int_equal(mount(NULL, f->dir, NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
    fixture_now_s += 2 * HOUR_S;
    entry_assert_hit(f->cache, 1, NBYTES);
    fixture_reopen(f, MAX_NBYTES);
    assert_int_equal(f->nwarnings, 0);
    entry_assert_hit(f->cache, 1, NBYTES);
    entry_assert_miss(f->cache, 2); /* damaged, and cannot be removed */
    put_in_memory(f, 2, NBYTES);
    put_in_memory(f, 3, NBYTES);
    assert_warned(f, 1, EROFS);
    assert_int_equal(mount(NULL, f->dir, NULL, MS_REMOUNT, NULL), 0);
    entry_put(f->cache, 2, NBYTES);
    entry_assert_hit(f->cache, 2, NBYTES);
}

static void test_unusable_directory(void **state)
{
    struct fixture *f = *state;
    scratch_write(&f->scratch, "file", "x", 1);
    snprintf(f->dir, sizeof(f->dir), "%s", scratch_at(&f->scratch, "file/cache"));
    fixture_reopen(f, MAX_NBYTES);
    assert_warned(f, 1, ENOTDIR);
    entry_assert_miss(f->cache, 1);
    put_in_memory(f, 1, NBYTES);
    assert_warned(f, 1, ENOTDIR);
    struct cache_stats stats;
    struct error err;
    assert_int_equal(cache_stats(f->cache, &stats, &err), -ENOTDIR);
    assert_non_null(strstr(err.text, f->dir));
}

static void test_path_too_long(void **state)
{
    struct fixture *f = *state;
    cache_close(f->cache);
    char dir[3 * PATH_MAX];
    memset(dir, 'd', sizeof(dir) - 1);
    for (size_t i = 0; i < sizeof(dir) - 1; i += 100)
        dir[i] = '/';
    dir[sizeof(dir) - 1] = '\0';
    struct cache_config config = {.dir = dir, .max_nbytes = MAX_NBYTES, .budget = f->budget};
    assert_int_equal(cache_open(&config, &f->cache, NULL), 0);
    entry_assert_miss(f->cache, 1);
    put_in_memory(f, 1, NBYTES);
}

/* ---- the directory vanishes ---- */

static void test_deleted_while_running(void **state)
{
    struct fixture *f = *state;
    entry_put(f->cache, 1, NBYTES);
    scratch_remove(&f->scratch);
    entry_assert_miss(f->cache, 1);
    entry_put(f->cache, 1, NBYTES);
    entry_assert_hit(f->cache, 1, NBYTES);
    assert_int_equal(f->nwarnings, 0);
}

static void test_deleted_while_writing(void **state)
{
    struct fixture *f = *state;
    struct key key = entry_key(1);
    unsigned char *bytes = malloc(NBYTES);
    assert_non_null(bytes);
    entry_fill(1, bytes, NBYTES);
    struct cache_writer *w;
    struct blob *b;
    assert_int_equal(cache_begin(f->cache, &key, "an entry", NBYTES, CACHE_KEEP, &w, NULL), 0);
    assert_int_equal(cache_write(w, bytes, NBYTES / 2, NULL), 0);
    scratch_remove(&f->scratch);
    assert_int_equal(cache_write(w, bytes + NBYTES / 2, NBYTES - NBYTES / 2, NULL), 0);
    assert_int_equal(cache_commit(w, &b, NULL), 0);
    assert_true(entry_is_right(b, 1, NBYTES));
    blob_put(b);
    free(bytes);
    entry_assert_hit(f->cache, 1, NBYTES);
}

/* Mounts of these tests are seen by nobody else and go with the process. */
static int private_mounts(void **state)
{
    (void)state;
    if (geteuid() != 0)
        return 0;
    return unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0
               ? 0
               : -1;
}

#define WITH_CACHE(test) cmocka_unit_test_setup_teardown(test, fixture_setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_CACHE(test_write_fails_midway),
        WITH_CACHE(test_sync_fails),
        WITH_CACHE(test_link_fails),
        WITH_CACHE(test_interrupted_calls_go_on),
        WITH_CACHE(test_no_fallocate),
        WITH_CACHE(test_no_tmpfile),
        WITH_CACHE(test_cache_size_zero),
        WITH_CACHE(test_cache_size_zero_makes_no_directory),
        WITH_CACHE(test_larger_than_the_cache),
        WITH_CACHE(test_over_the_memory_budget),
        WITH_CACHE(test_over_the_budget_midway),
        WITH_CACHE(test_disk_full),
        WITH_CACHE(test_disk_full_evicts_once),
        WITH_CACHE(test_disk_full_without_fallocate),
        WITH_CACHE(test_no_inodes_left),
        WITH_CACHE(test_read_only),
        WITH_CACHE(test_unusable_directory),
        WITH_CACHE(test_path_too_long),
        WITH_CACHE(test_deleted_while_running),
        WITH_CACHE(test_deleted_while_writing),
    };
    return cmocka_run_group_tests(tests, private_mounts, NULL);
}
