/* SPDX-License-Identifier: MIT
 *
 * The cache with several at work in it, and with writers that die there.
 *
 * Two caches on one directory stand for two daemons. A writer is killed under ptrace before each of
 * its system calls, so that every state of the disk between two of them is seen.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "cache_fixture.h"

enum { NBYTES = 100000, MAX_NBYTES = 1 << 30 };

static bool no_tmpfile; /* behave like a file system without O_TMPFILE */

/* Stands in front of libc's. */
int open(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = va_arg(args, mode_t);
    va_end(args);
    if ((flags & O_TMPFILE) == O_TMPFILE && no_tmpfile) {
        errno = EOPNOTSUPP;
        return -1;
    }
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

/* ---- several at once ---- */

enum { NTHREADS = 4, NROUNDS = 25 };

struct contestant {
    struct cache *cache;
    pthread_barrier_t *barrier;
    unsigned failures;
};

static void *publish_same_keys(void *arg)
{
    struct contestant *c = arg;
    for (unsigned i = 0; i < NROUNDS; i++) {
        struct blob *b;
        pthread_barrier_wait(c->barrier);
        if (entry_try_put(c->cache, i, 20000, &b, NULL) != 0) {
            c->failures++;
            continue;
        }
        c->failures += !entry_is_right(b, i, 20000);
        blob_put(b);
    }
    return NULL;
}

/* Two caches (as two daemons have) with two threads each: one object per key, everybody has it. */
static void test_same_key_from_many_threads(void **state)
{
    struct fixture *f = *state;
    struct cache *other = fixture_open(f, 1 << 30);
    pthread_barrier_t barrier;
    pthread_t threads[NTHREADS];
    struct contestant contestants[NTHREADS];
    pthread_barrier_init(&barrier, NULL, NTHREADS);
    for (unsigned i = 0; i < NTHREADS; i++) {
        contestants[i] = (struct contestant){i % 2 ? f->cache : other, &barrier, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, publish_same_keys, &contestants[i]), 0);
    }
    for (unsigned i = 0; i < NTHREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(contestants[i].failures, 0);
    }
    pthread_barrier_destroy(&barrier);
    struct cache_stats mine = stats_of(f->cache), others = stats_of(other);
    assert_int_equal(mine.published + others.published, NROUNDS);
    assert_int_equal(mine.entries, NROUNDS);
    assert_int_equal(mine.corrupt + others.corrupt, 0);
    assert_int_equal(count_files(f), 2 * NROUNDS);
    assert_int_equal(f->nwarnings, 0);
    cache_close(other);
}

static void test_same_key_from_two_processes(void **state)
{
    struct fixture *f = *state;
    pid_t children[2];
    for (unsigned i = 0; i < 2; i++) {
        children[i] = fork();
        assert_true(children[i] >= 0);
        if (children[i] == 0) {
            struct cache *c = fixture_open(f, 1 << 30);
            unsigned failures = 0;
            for (unsigned k = 0; k < NROUNDS; k++) {
                struct blob *b;
                bool right = entry_try_put(c, k, 20000, &b, NULL) == 0;
                failures += !right || !entry_is_right(b, k, 20000);
            }
            _exit(failures == 0 ? 0 : 1);
        }
    }
    for (unsigned i = 0; i < 2; i++) {
        int status;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_int_equal(status, 0);
    }
    for (unsigned k = 0; k < NROUNDS; k++)
        entry_assert_hit(f->cache, k, 20000);
    assert_int_equal(count_files(f), 2 * NROUNDS);
}

static void *read_and_refill(void *arg)
{
    struct contestant *c = arg;
    pthread_barrier_wait(c->barrier);
    for (unsigned i = 0; i < 8 * NROUNDS; i++) {
        struct key key = entry_key(i % 7);
        struct blob *b;
        if (cache_lookup(c->cache, &key, &b) != 0 &&
            entry_try_put(c->cache, i % 7, NBYTES, &b, NULL) != 0) {
            c->failures++;
            continue;
        }
        c->failures += !entry_is_right(b, i % 7, NBYTES);
        blob_put(b);
    }
    return NULL;
}

/* Seven entries in a cache for three: every publication evicts what others are reading. */
static void test_eviction_during_reads(void **state)
{
    struct fixture *f = *state;
    fixture_reopen(f, 3 * NBYTES);
    struct cache *other = fixture_open(f, 3 * NBYTES);
    pthread_barrier_t barrier;
    pthread_t threads[NTHREADS];
    struct contestant contestants[NTHREADS];
    pthread_barrier_init(&barrier, NULL, NTHREADS);
    for (unsigned i = 0; i < NTHREADS; i++) {
        contestants[i] = (struct contestant){i % 2 ? f->cache : other, &barrier, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, read_and_refill, &contestants[i]), 0);
    }
    for (unsigned i = 0; i < NTHREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(contestants[i].failures, 0);
    }
    pthread_barrier_destroy(&barrier);
    /* a publication leaves evicting to the other cache while that has the lock; if it was the last
     * one, nothing is evicted until now */
    uint64_t freed_nbytes;
    assert_int_equal(cache_prune(f->cache, &freed_nbytes, NULL), 0);
    struct cache_stats mine = stats_of(f->cache), others = stats_of(other);
    assert_true(mine.evicted + others.evicted > 0);
    assert_int_equal(mine.corrupt + others.corrupt, 0);
    cache_close(other);
}

/* ---- the writer is killed ---- */

static void traced_writer(struct fixture *f)
{
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
        _exit(2);
    raise(SIGSTOP);
    struct cache_config config = {
        .dir = f->dir, .max_nbytes = NBYTES * 3, .clock_s = fixture_clock};
    struct cache *c;
    struct blob *b;
    _exit(cache_open(&config, &c, NULL) == 0 && entry_try_put(c, 1, NBYTES, &b, NULL) == 0 &&
                  entry_is_right(b, 1, NBYTES)
              ? 0
              : 1);
}

/* Kill a writer as it is about to make its n-th system call. Returns whether it made so many. */
static bool kill_before_call(struct fixture *f, unsigned n)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        traced_writer(f);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSTOPPED(status));
    assert_int_equal(ptrace(PTRACE_SETOPTIONS, child, NULL, PTRACE_O_EXITKILL), 0);
    for (unsigned i = 0; i < 2 * n - 1; i++) { /* it stops before and after each */
        assert_int_equal(ptrace(PTRACE_SYSCALL, child, NULL, NULL), 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        if (WIFEXITED(status)) {
            assert_int_equal(WEXITSTATUS(status), 0);
            return false;
        }
        assert_true(WIFSTOPPED(status));
    }
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    return true;
}

/* After the death of a writer: a sound entry or none, and the next writer succeeds. Returns whether
 * there was one. */
static bool inspect_after_death(struct fixture *f)
{
    fixture_reopen(f, MAX_NBYTES);
    struct key key = entry_key(1);
    struct blob *b;
    bool there = cache_lookup(f->cache, &key, &b) == 0;
    if (there) {
        assert_true(entry_is_right(b, 1, NBYTES));
        blob_put(b);
    }
    assert_int_equal(stats_of(f->cache).corrupt, 0);
    entry_put(f->cache, 1, NBYTES);
    entry_assert_hit(f->cache, 1, NBYTES);
    return there;
}

/* In a directory that is there, or in one that the writer has to make. */
static void kill_at_each_system_call(struct fixture *f, bool fresh)
{
    unsigned n = 1, complete = 0;
    uint64_t freed;
    while (kill_before_call(f, n)) {
        complete += inspect_after_death(f);
        assert_int_equal(cache_clear(f->cache, &freed, NULL), 0);
        if (fresh)
            scratch_remove(&f->scratch);
        n++;
    }
    assert_uint_in_range(complete, 1, n - 2); /* some died before the fact and some after it */
    fixture_now_s += HOUR_S + 60;
    assert_int_equal(cache_prune(f->cache, &freed, NULL), 0);
    assert_int_equal(count_files(f), 2); /* the last writer's entry, no rubbish */
}

static void test_killed_at_each_system_call(void **state)
{
    kill_at_each_system_call(*state, false);
}

static void test_killed_in_a_new_directory(void **state)
{
    kill_at_each_system_call(*state, true);
}

static void test_killed_without_tmpfile(void **state)
{
    no_tmpfile = true;
    kill_at_each_system_call(*state, false);
    no_tmpfile = false;
}

/* Publishes until it is killed; one byte into `started` after the first time. */
static void endless_writer(struct fixture *f, unsigned first, int started)
{
    struct cache_config config = {.dir = f->dir, .max_nbytes = 20 * 30000};
    struct cache *c;
    struct blob *b;
    if (cache_open(&config, &c, NULL) != 0)
        _exit(1);
    for (unsigned i = first;; i++) {
        if (entry_try_put(c, i % 50, 30000, &b, NULL) != 0)
            _exit(1);
        blob_put(b);
        if (i == first && write(started, "", 1) != 1)
            _exit(1);
    }
}

static void kill_after(struct fixture *f, unsigned first, long delay_ns)
{
    int started[2];
    assert_int_equal(pipe(started), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        endless_writer(f, first, started[1]);
    close(started[1]);
    char byte;
    assert_int_equal(read(started[0], &byte, 1), 1);
    close(started[0]);
    nanosleep(&(struct timespec){.tv_nsec = delay_ns}, NULL); /* any moment will do */
    int status;
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
}

/* Many keys, eviction included, killed at any moment (of a fixed sequence of random ones). */
static void test_killed_at_random(void **state)
{
    struct fixture *f = *state;
    uint32_t random = 1;
    for (unsigned round = 0; round < 30; round++) {
        random = random * UINT32_C(1664525) + UINT32_C(1013904223);
        kill_after(f, round, (long)(random >> 8) % 20000000);
    }
    uint64_t good, bad;
    assert_int_equal(cache_verify(f->cache, &good, &bad, NULL, NULL, NULL), 0);
    assert_int_equal(bad, 0);
    assert_true(good > 0);
    for (unsigned i = 0; i < 50; i++)
        entry_put(f->cache, i, 30000);
    fixture_now_s += HOUR_S + 60;
    assert_int_equal(cache_prune(f->cache, &good, NULL), 0);
    assert_int_equal(count_files(f), 2 * 50);
}

#define WITH_CACHE(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_CACHE(test_same_key_from_many_threads), WITH_CACHE(test_same_key_from_two_processes),
        WITH_CACHE(test_eviction_during_reads),      WITH_CACHE(test_killed_at_each_system_call),
        WITH_CACHE(test_killed_in_a_new_directory),  WITH_CACHE(test_killed_without_tmpfile),
        WITH_CACHE(test_killed_at_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
