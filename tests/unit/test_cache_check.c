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

#include <sys/syscall.h>

#include "cache_fixture.h"

enum { NBYTES = 300000, DAY_S = 24 * HOUR_S };

static struct {
    bool decayed; /* a bit of byte `at` of each file is flipped */
    off_t at;
    int code; /* not 0: reads fail with this errno */
    unsigned ncalls;
} disk;

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
    assert_int_equal(cache_begin(f->cache, &key, "an entry", 1, &w, NULL), 0);
    assert_int_equal(cache_write(w, &byte, 1, NULL), 0);
    int ret = cache_computed_from(w, &source, 1, err);
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
        assert_int_equal(cache_begin(f->cache, &key, "an entry", NBYTES, &w, NULL), 0);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_nothing_is_published_from_damage, fixture_setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_fresh_results_are_checked, fixture_setup, teardown),
        cmocka_unit_test_setup_teardown(test_replaced_entry_stays, fixture_setup, teardown),
        cmocka_unit_test_setup_teardown(test_whole_is_checked_each_time, fixture_setup, teardown),
        cmocka_unit_test_setup_teardown(test_checked_again_when_old, fixture_setup, teardown),
        cmocka_unit_test_setup_teardown(test_removed_by_another_host, fixture_setup, teardown),
        cmocka_unit_test_setup_teardown(test_unreadable, fixture_setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
