/* SPDX-License-Identifier: MIT
 *
 * Results that are handed on before they are published.
 *
 * The publishing thread asks the clock before it syncs, and is held there while the gate is shut.
 * The functions below stand in front of libc's: one that refuses to sync, one that notes in which
 * order entries get their names.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "cache_fixture.h"

enum { NBYTES = 100000, MAX_NBYTES = 1 << 30, NQUEUE = 8, NNAMES = 16 };

static struct {
    pthread_mutex_t lock;
    pthread_cond_t opened;
    bool shut;
} gate = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false};

static pthread_t main_thread;
static atomic_bool sync_refuses;

static struct {
    pthread_mutex_t lock;
    unsigned n;
    char names[NNAMES][KEY_HEX + 8];
} linked = {.lock = PTHREAD_MUTEX_INITIALIZER};

int fdatasync(int fd)
{
    if (!atomic_load(&sync_refuses))
        return (int)syscall(SYS_fdatasync, fd);
    errno = EIO;
    return -1;
}

int linkat(int fromfd, const char *from, int tofd, const char *to, int flags)
{
    int ret = (int)syscall(SYS_linkat, fromfd, from, tofd, to, flags);
    pthread_mutex_lock(&linked.lock);
    if (ret == 0 && linked.n < NNAMES)
        snprintf(linked.names[linked.n++], sizeof(linked.names[0]), "%s", strrchr(to, '/') + 1);
    pthread_mutex_unlock(&linked.lock);
    return ret;
}

static void set_gate(bool shut)
{
    pthread_mutex_lock(&gate.lock);
    gate.shut = shut;
    pthread_cond_broadcast(&gate.opened);
    pthread_mutex_unlock(&gate.lock);
}

static int64_t gated_clock(void)
{
    pthread_mutex_lock(&gate.lock);
    while (gate.shut && !pthread_equal(pthread_self(), main_thread))
        pthread_cond_wait(&gate.opened, &gate.lock);
    pthread_mutex_unlock(&gate.lock);
    return 1000000000;
}

static void reopen_gated(struct fixture *f, const char *dir, uint64_t max_nbytes)
{
    struct cache_config config = {
        .dir = dir,
        .max_nbytes = max_nbytes,
        .budget = f->budget,
        .warn = fixture_warn,
        .warn_ctx = f,
        .clock_s = gated_clock,
    };
    cache_close(f->cache);
    assert_int_equal(cache_open(&config, &f->cache, NULL), 0);
}

static int setup(void **state)
{
    main_thread = pthread_self();
    int ret = fixture_setup(state);
    struct fixture *f = *state;
    reopen_gated(f, f->dir, MAX_NBYTES);
    linked.n = 0;
    set_gate(true);
    return ret;
}

static int teardown(void **state)
{
    atomic_store(&sync_refuses, false);
    set_gate(false);
    return fixture_teardown(state);
}

/* A writer with all its bytes, which are computed from `source` (may be NULL). */
static struct cache_writer *written(struct fixture *f, unsigned number, struct blob *source)
{
    struct key key = entry_key(number);
    unsigned char *bytes = malloc(NBYTES);
    struct cache_writer *w;
    assert_non_null(bytes);
    entry_fill(number, bytes, NBYTES);
    assert_int_equal(cache_begin(f->cache, &key, "an entry", NBYTES, CACHE_KEEP, &w, NULL), 0);
    assert_int_equal(cache_computed_from(w, &source, source ? 1 : 0, NULL, NULL), 0);
    assert_int_equal(cache_write(w, bytes, NBYTES, NULL), 0);
    free(bytes);
    return w;
}

static struct blob *put_later(struct fixture *f, unsigned number, struct blob *source)
{
    struct blob *b;
    assert_int_equal(cache_commit_later(written(f, number, source), &b, NULL), 0);
    assert_true(blob_fd(b) >= 0);
    assert_true(entry_is_right(b, number, NBYTES));
    return b;
}

static void test_found_before_it_is_published(void **state)
{
    struct fixture *f = *state;
    struct key key = entry_key(1);
    struct blob *b = put_later(f, 1, NULL), *found;
    uint64_t nbytes;
    assert_int_equal(count_files(f), 0);
    assert_int_equal(stats_of(f->cache).published, 0);
    entry_assert_miss(f->cache, 1); /* who is answered with it would lose it by a kill */
    assert_true(entry_there(f->cache, 1));
    assert_true(cache_size_of(f->cache, &key, &nbytes));
    assert_int_equal(nbytes, NBYTES);
    assert_int_equal(cache_lookup_early(f->cache, &key, &found), 0);
    assert_ptr_equal(found, b);
    blob_put(found);

    set_gate(false);
    assert_int_equal(cache_settle(f->cache, b, NULL), 0);
    assert_true(entry_there(f->cache, 1));
    entry_assert_hit(f->cache, 1, NBYTES);
    assert_int_equal(cache_lookup_early(f->cache, &key, &found), 0);
    assert_ptr_not_equal(found, b);
    blob_put(found);
    assert_int_equal(stats_of(f->cache).published, 1);
    assert_int_equal(count_files(f), 2);
    blob_put(b);
    key = entry_key(2);
    assert_int_equal(cache_lookup_early(f->cache, &key, &found), -ENOENT);
    assert_int_equal(f->nwarnings, 0);
}

static void test_closing_publishes(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 0; i < 4; i++)
        blob_put(put_later(f, i, NULL));
    set_gate(false);
    fixture_reopen(f, MAX_NBYTES);
    for (unsigned i = 0; i < 4; i++)
        entry_assert_hit(f->cache, i, NBYTES);
    assert_int_equal(count_files(f), 8);
}

static void test_full_queue(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 0; i < NQUEUE; i++)
        blob_put(put_later(f, i, NULL));
    assert_int_equal(stats_of(f->cache).published, 0);
    blob_put(put_later(f, NQUEUE, NULL)); /* at once */
    assert_int_equal(stats_of(f->cache).published, 1);
    entry_assert_hit(f->cache, NQUEUE, NBYTES);
    set_gate(false);
    fixture_reopen(f, MAX_NBYTES);
    for (unsigned i = 0; i <= NQUEUE; i++)
        entry_assert_hit(f->cache, i, NBYTES);
}

static void *open_gate(void *arg)
{
    (void)arg;
    set_gate(false);
    return NULL;
}

/* However late the sources come to it. */
static void test_published_after_its_sources(void **state)
{
    struct fixture *f = *state;
    struct blob *first = put_later(f, 1, NULL), *second = put_later(f, 2, first), *b;
    struct cache_writer *w = written(f, 3, second);
    pthread_t thread;
    blob_put(first);
    blob_put(second);
    assert_int_equal(linked.n, 0);
    assert_int_equal(pthread_create(&thread, NULL, open_gate, NULL), 0);
    assert_int_equal(cache_commit(w, &b, NULL), 0);
    blob_put(b);
    pthread_join(thread, NULL);
    /* meta and payload of each */
    assert_int_equal(linked.n, 6);
    for (unsigned i = 0; i < 3; i++)
        assert_string_equal(linked.names[2 * i + 1], entry_key(i + 1).hex);
    for (unsigned i = 1; i <= 3; i++)
        entry_assert_hit(f->cache, i, NBYTES);
}

static void killed_after_commit(const struct fixture *f)
{
    struct fixture own = {.budget = NULL, .mutex = PTHREAD_MUTEX_INITIALIZER};
    struct blob *source, *b;
    reopen_gated(&own, f->dir, MAX_NBYTES);
    set_gate(false);
    source = put_later(&own, 1, NULL);
    if (cache_commit(written(&own, 2, source), &b, NULL) == 0)
        raise(SIGKILL);
    _exit(1);
}

static void test_killed_after_commit(void **state)
{
    struct fixture *f = *state;
    int status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        killed_after_commit(f);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    entry_assert_hit(f->cache, 1, NBYTES);
    entry_assert_hit(f->cache, 2, NBYTES);
}

/* ---- refusals ---- */

static void assert_invalidated(struct blob *b)
{
    char byte;
    struct error err;
    assert_true(blob_is_invalidated(b));
    assert_int_equal(blob_read(b, 0, &byte, 1, &err), -EAGAIN);
    assert_non_null(strstr(err.text, "lost"));
}

/* Nothing that was computed from it is published. */
static void test_sync_fails(void **state)
{
    struct fixture *f = *state;
    struct blob *first = put_later(f, 1, NULL), *second = put_later(f, 2, first), *b;
    struct cache_writer *kept = written(f, 3, second), *unkept, *late;
    struct error err;
    atomic_store(&sync_refuses, true);
    assert_int_equal(cache_begin(f->cache, NULL, "unkept", 0, CACHE_KEEP, &unkept, NULL), 0);
    assert_int_equal(cache_computed_from(unkept, &first, 1, NULL, NULL), 0);
    set_gate(false);
    assert_int_equal(cache_settle(f->cache, second, &err), -EAGAIN);
    assert_non_null(strstr(err.text, f->dir));
    atomic_store(&sync_refuses, false);
    assert_invalidated(first);
    assert_invalidated(second);
    assert_int_equal(cache_commit(kept, &b, &err), -EAGAIN);
    assert_int_equal(cache_commit(unkept, &b, &err), -EAGAIN);
    late = written(f, 4, NULL);
    assert_int_equal(cache_computed_from(late, &first, 1, NULL, &err), -EAGAIN);
    cache_abort(late);
    blob_put(first);
    blob_put(second);
    for (unsigned i = 1; i <= 4; i++) {
        assert_false(entry_there(f->cache, i));
        entry_assert_miss(f->cache, i);
    }
    assert_int_equal(count_files(f), 0);
    assert_int_equal(f->nwarnings, 1);
    assert_int_equal(f->last_warn.code, EIO);
    assert_non_null(strstr(f->last_warn.text, f->dir));
}

/* Then it is cache_commit() that has the trouble, and goes on in memory. */
static void test_after_a_failed_sync(void **state)
{
    struct fixture *f = *state;
    struct blob *b = put_later(f, 1, NULL);
    atomic_store(&sync_refuses, true);
    set_gate(false);
    assert_int_equal(cache_settle(f->cache, b, NULL), -EAGAIN);
    blob_put(b);
    assert_int_equal(cache_commit_later(written(f, 1, NULL), &b, NULL), 0);
    assert_int_equal(blob_fd(b), -1);
    assert_true(entry_is_right(b, 1, NBYTES));
    blob_put(b);
    atomic_store(&sync_refuses, false);
    set_gate(true);
    blob_put(put_later(f, 1, NULL));
    entry_assert_hit(f->cache, 1, NBYTES);
}

/* The bytes are safe, they only get no name. */
static void test_publishing_fails(void **state)
{
    struct fixture *f = *state;
    struct key key = entry_key(1);
    char dir[64];
    snprintf(dir, sizeof(dir), "cache/v1/objects/%.2s", key.hex);
    scratch_write(&f->scratch, dir, "x", 1);
    struct blob *b = put_later(f, 1, NULL), *found;
    struct cache_writer *w = written(f, 2, b);
    set_gate(false);
    assert_int_equal(cache_settle(f->cache, b, NULL), 0);
    assert_false(entry_there(f->cache, 1));
    assert_int_equal(cache_lookup_early(f->cache, &key, &found), -ENOENT);
    assert_true(entry_is_right(b, 1, NBYTES));
    assert_int_equal(f->nwarnings, 1);
    assert_int_equal(f->last_warn.code, ENOTDIR);
    assert_non_null(strstr(f->last_warn.text, "not kept"));
    assert_int_equal(cache_commit(w, &found, NULL), 0); /* no fault of his */
    blob_put(found);
    entry_assert_hit(f->cache, 2, NBYTES);
    blob_put(b);
}

static void test_nothing_on_disk(void **state)
{
    struct fixture *f = *state;
    struct blob *b;
    reopen_gated(f, f->dir, 0);
    assert_int_equal(cache_commit_later(written(f, 1, NULL), &b, NULL), 0);
    assert_int_equal(blob_fd(b), -1);
    assert_true(entry_is_right(b, 1, NBYTES));
    assert_false(entry_there(f->cache, 1));
    blob_put(b);
}

static void test_wrong_length(void **state)
{
    struct fixture *f = *state;
    struct key key = entry_key(1);
    struct cache_writer *w;
    struct blob *b;
    assert_int_equal(cache_begin(f->cache, &key, "too few", 10, CACHE_KEEP, &w, NULL), 0);
    assert_int_equal(cache_write(w, "123456789", 9, NULL), 0);
    assert_int_equal(cache_commit_later(w, &b, NULL), -EIO);
    assert_false(entry_there(f->cache, 1));
}

/* ---- the same key ---- */

static void test_published_by_others_meanwhile(void **state)
{
    struct fixture *f = *state;
    struct blob *first = put_later(f, 1, NULL), *second = put_later(f, 1, NULL);
    entry_put(f->cache, 1, NBYTES);
    entry_assert_hit(f->cache, 1, NBYTES);
    set_gate(false);
    assert_int_equal(cache_settle(f->cache, first, NULL), 0);
    assert_int_equal(cache_settle(f->cache, second, NULL), 0);
    assert_true(entry_is_right(first, 1, NBYTES));
    assert_true(entry_is_right(second, 1, NBYTES));
    blob_put(first);
    blob_put(second);
    entry_assert_hit(f->cache, 1, NBYTES);
    assert_int_equal(stats_of(f->cache).published, 1);
    assert_int_equal(count_files(f), 2);
    assert_int_equal(f->nwarnings, 0);
}

static void test_dropped_and_cleared(void **state)
{
    struct fixture *f = *state;
    struct key key = entry_key(1);
    uint64_t freed;
    struct blob *b = put_later(f, 1, NULL);
    set_gate(false);
    cache_drop(f->cache, &key);
    assert_false(entry_there(f->cache, 1));
    assert_int_equal(count_files(f), 0);
    assert_true(entry_is_right(b, 1, NBYTES));
    blob_put(b);

    set_gate(true);
    b = put_later(f, 1, NULL);
    set_gate(false);
    assert_int_equal(cache_clear(f->cache, &freed, NULL), 0);
    assert_int_equal(freed, NBYTES);
    assert_false(entry_there(f->cache, 1));
    assert_int_equal(count_files(f), 0);
    assert_true(entry_is_right(b, 1, NBYTES));
    blob_put(b);
}

#define WITH_GATE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_GATE(test_killed_after_commit),
        WITH_GATE(test_found_before_it_is_published),
        WITH_GATE(test_closing_publishes),
        WITH_GATE(test_full_queue),
        WITH_GATE(test_published_after_its_sources),
        WITH_GATE(test_sync_fails),
        WITH_GATE(test_after_a_failed_sync),
        WITH_GATE(test_publishing_fails),
        WITH_GATE(test_nothing_on_disk),
        WITH_GATE(test_wrong_length),
        WITH_GATE(test_published_by_others_meanwhile),
        WITH_GATE(test_dropped_and_cleared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
