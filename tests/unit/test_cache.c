/* SPDX-License-Identifier: MIT
 *
 * The cache on a disk that works: finding, publishing, damage, eviction.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cache_fixture.h"

enum { NBYTES = 100000, MAX_NBYTES = 1000000 };

static void test_publish_and_find(void **state)
{
    struct fixture *f = *state;
    entry_assert_miss(f->cache, 1);
    assert_false(entry_there(f->cache, 1));
    entry_put(f->cache, 1, NBYTES);
    assert_true(entry_there(f->cache, 1));
    entry_assert_hit(f->cache, 1, NBYTES);
    entry_assert_miss(f->cache, 2);

    struct cache_stats stats = stats_of(f->cache);
    assert_int_equal(stats.entries, 1);
    assert_int_equal(stats.nbytes, NBYTES);
    assert_int_equal(stats.max_nbytes, 1 << 30);
    assert_int_equal(stats.hits, 1);
    assert_int_equal(stats.misses, 2);
    assert_int_equal(stats.published, 1);
    assert_int_equal(f->nwarnings, 0);
}

static void test_survives_restart(void **state)
{
    struct fixture *f = *state;
    entry_put(f->cache, 1, 5 << 20); /* several blocks to verify */
    entry_put(f->cache, 2, 0);
    entry_put(f->cache, 3, 1);
    fixture_reopen(f, 1 << 30);
    entry_assert_hit(f->cache, 1, 5 << 20);
    entry_assert_hit(f->cache, 2, 0);
    entry_assert_hit(f->cache, 3, 1);
}

static void test_layout_and_modes(void **state)
{
    struct fixture *f = *state;
    entry_put(f->cache, 1, NBYTES);
    struct stat st;
    assert_int_equal(stat(f->dir, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_int_equal(stat(entry_path(f, 1, ""), &st), 0);
    assert_int_equal(st.st_size, NBYTES);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(count_files(f), 2);
    assert_string_equal(cache_dir(f->cache), f->dir);
}

static void test_relative_directory_survives_chdir(void **state)
{
    struct fixture *f = *state;
    char *cwd = getcwd(NULL, 0);
    assert_non_null(cwd);
    assert_int_equal(chdir(f->scratch.path), 0);
    struct cache_config config = {.dir = "deep/er", .max_nbytes = MAX_NBYTES};
    struct cache *c;
    assert_int_equal(cache_open(&config, &c, NULL), 0);
    assert_int_equal(chdir(cwd), 0);
    free(cwd);
    entry_put(c, 1, NBYTES);
    entry_assert_hit(c, 1, NBYTES);
    assert_string_equal(cache_dir(c), scratch_at(&f->scratch, "deep/er"));
    struct stat st;
    assert_int_equal(stat(scratch_at(&f->scratch, "deep/er/v1/objects"), &st), 0);
    cache_close(c);
}

static void test_label_is_one_line(void **state)
{
    struct fixture *f = *state;
    struct key key = entry_key(1);
    struct cache_writer *w;
    struct blob *b;
    assert_int_equal(
        cache_begin(f->cache, &key, "  first\nlength 7\tlast", 1, CACHE_KEEP, &w, NULL), 0);
    assert_int_equal(cache_write(w, "x", 1, NULL), 0);
    assert_int_equal(cache_commit(w, &b, NULL), 0);
    blob_put(b);
    char text[512] = "";
    int fd = open(entry_path(f, 1, ".meta"), O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_true(read(fd, text, sizeof(text) - 1) > 0);
    close(fd);
    assert_int_equal(strncmp(text, "derivfs-cache 1\nlength 1\nxxh3 ", 30), 0);
    assert_non_null(strstr(text, "\nlabel   first length 7 last\n"));
    fixture_reopen(f, MAX_NBYTES);
    assert_int_equal(cache_lookup(f->cache, &key, &b), 0);
    blob_put(b);
}

static void test_long_label(void **state)
{
    struct fixture *f = *state;
    struct key key = entry_key(1);
    char label[2000];
    memset(label, 'x', sizeof(label) - 1);
    label[sizeof(label) - 1] = '\0';
    struct cache_writer *w;
    struct blob *b;
    assert_int_equal(cache_begin(f->cache, &key, label, 0, CACHE_KEEP, &w, NULL), 0);
    assert_int_equal(cache_commit(w, &b, NULL), 0);
    blob_put(b);
    fixture_reopen(f, MAX_NBYTES);
    assert_int_equal(cache_lookup(f->cache, &key, &b), 0);
    blob_put(b);
}

static void test_wrong_length_keeps_nothing(void **state)
{
    struct fixture *f = *state;
    struct key key = entry_key(1);
    struct error err;
    struct cache_writer *w;
    struct blob *b;
    assert_int_equal(cache_begin(f->cache, &key, "too few", 10, CACHE_KEEP, &w, &err), 0);
    assert_int_equal(cache_write(w, "123456789", 9, &err), 0);
    assert_int_equal(cache_commit(w, &b, &err), -EIO);
    assert_non_null(strstr(err.text, "too few"));

    assert_int_equal(cache_begin(f->cache, &key, "too many", 10, CACHE_KEEP, &w, &err), 0);
    assert_int_equal(cache_write(w, "1234567890", 10, &err), 0);
    assert_int_equal(cache_write(w, "1", 1, &err), -EIO);
    assert_int_equal(cache_commit(w, &b, &err), -EIO);

    assert_int_equal(cache_begin(f->cache, &key, "given up", 10, CACHE_KEEP, &w, &err), 0);
    assert_int_equal(cache_write(w, "1234567890", 10, &err), 0);
    cache_abort(w);
    cache_abort(NULL);
    assert_int_equal(count_files(f), 0);
    entry_assert_miss(f->cache, 1);
}

/* ---- damage ---- */

static void flip_bit(const char *path, off_t at)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    char c;
    assert_int_equal(pread(fd, &c, 1, at), 1);
    c = (char)(c ^ 4);
    assert_int_equal(pwrite(fd, &c, 1, at), 1);
    close(fd);
}

static void overwrite(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void damage_flip_first(struct fixture *f)
{
    flip_bit(entry_path(f, 1, ""), 0);
}
static void damage_flip_last(struct fixture *f)
{
    flip_bit(entry_path(f, 1, ""), NBYTES - 1);
}
static void damage_truncate(struct fixture *f)
{
    assert_int_equal(truncate(entry_path(f, 1, ""), NBYTES - 1), 0);
}
static void damage_empty(struct fixture *f)
{
    assert_int_equal(truncate(entry_path(f, 1, ""), 0), 0);
}
static void damage_extend(struct fixture *f)
{
    assert_int_equal(truncate(entry_path(f, 1, ""), NBYTES + 1), 0);
}
static void damage_meta_empty(struct fixture *f)
{
    overwrite(entry_path(f, 1, ".meta"), "");
}
static void damage_meta_garbage(struct fixture *f)
{
    overwrite(entry_path(f, 1, ".meta"), "\xff\xfe no meta at all");
}
static void damage_meta_length(struct fixture *f)
{
    flip_bit(entry_path(f, 1, ".meta"), (off_t)strlen("derivfs-cache 1\nlength "));
}
static void damage_meta_checksum(struct fixture *f)
{
    flip_bit(entry_path(f, 1, ".meta"), (off_t)strlen("derivfs-cache 1\nlength 100000\nxxh3 "));
}
static void damage_meta_cut(struct fixture *f)
{
    assert_int_equal(truncate(entry_path(f, 1, ".meta"), 60), 0);
}
static void damage_meta_huge(struct fixture *f)
{
    assert_int_equal(truncate(entry_path(f, 1, ".meta"), 1 << 20), 0);
}
static void damage_link_elsewhere(struct fixture *f)
{
    scratch_write(&f->scratch, "precious", "x", 1);
    assert_int_equal(unlink(entry_path(f, 1, "")), 0);
    assert_int_equal(symlink(scratch_at(&f->scratch, "precious"), entry_path(f, 1, "")), 0);
}
static void damage_fifo(struct fixture *f)
{
    assert_int_equal(unlink(entry_path(f, 1, "")), 0);
    assert_int_equal(mkfifo(entry_path(f, 1, ""), 0600), 0);
}

static void (*const damages[])(struct fixture *) = {
    damage_flip_first,    damage_flip_last,  damage_truncate,     damage_empty,
    damage_extend,        damage_meta_empty, damage_meta_garbage, damage_meta_length,
    damage_meta_checksum, damage_meta_cut,   damage_meta_huge,    damage_link_elsewhere,
    damage_fifo,
};
enum { NDAMAGES = sizeof(damages) / sizeof(*damages) };

/* Found after a restart, removed, counted, computed again. */
static void test_damage_is_found(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < NDAMAGES; i++) {
        entry_put(f->cache, 1, NBYTES);
        damages[i](f);
        fixture_reopen(f, 1 << 30);
        entry_assert_miss(f->cache, 1);
        assert_int_equal(stats_of(f->cache).corrupt, 1);
        assert_int_equal(count_files(f), 0);
        entry_put(f->cache, 1, NBYTES);
        entry_assert_hit(f->cache, 1, NBYTES);
    }
    assert_int_equal(f->nwarnings, 0);
}

/* The publisher who meets a damaged entry replaces it. */
static void test_damage_is_replaced(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < NDAMAGES; i++) {
        entry_put(f->cache, 1, NBYTES);
        damages[i](f);
        fixture_reopen(f, 1 << 30);
        entry_put(f->cache, 1, NBYTES);
        assert_int_equal(stats_of(f->cache).published, 1);
        fixture_reopen(f, 1 << 30);
        entry_assert_hit(f->cache, 1, NBYTES);
        assert_int_equal(count_files(f), 2);
    }
}

/* Also when this process has verified the entry before. */
static void test_damage_after_use(void **state)
{
    struct fixture *f = *state;
    entry_put(f->cache, 1, NBYTES);
    entry_assert_hit(f->cache, 1, NBYTES);
    struct timespec old[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = 1000}};
    damage_flip_last(f);
    assert_int_equal(utimensat(AT_FDCWD, entry_path(f, 1, ""), old, 0), 0);
    entry_assert_miss(f->cache, 1);
    entry_put(f->cache, 1, NBYTES);
    damage_truncate(f);
    assert_false(entry_there(f->cache, 1));
    entry_assert_miss(f->cache, 1);
    assert_int_equal(stats_of(f->cache).corrupt, 2);
}

static void test_damage_leaves_foreign_target(void **state)
{
    struct fixture *f = *state;
    entry_put(f->cache, 1, NBYTES);
    damage_link_elsewhere(f);
    entry_assert_miss(f->cache, 1);
    struct stat st;
    assert_int_equal(stat(scratch_at(&f->scratch, "precious"), &st), 0);
}

/* Half an entry is none, is not damage, and is completed by the next publisher. */
static void test_halves(void **state)
{
    struct fixture *f = *state;
    entry_put(f->cache, 1, NBYTES);
    entry_put(f->cache, 2, NBYTES);
    assert_int_equal(unlink(entry_path(f, 1, "")), 0);
    assert_int_equal(unlink(entry_path(f, 2, ".meta")), 0);
    for (unsigned i = 1; i <= 2; i++) {
        assert_false(entry_there(f->cache, i));
        entry_assert_miss(f->cache, i);
    }
    assert_int_equal(stats_of(f->cache).corrupt, 0);
    assert_int_equal(stats_of(f->cache).entries, 0);
    for (unsigned i = 1; i <= 2; i++) {
        entry_put(f->cache, i, NBYTES);
        fixture_reopen(f, 1 << 30);
        entry_assert_hit(f->cache, i, NBYTES);
    }
}

static void count_report(void *ctx, const struct error *what)
{
    unsigned *n = ctx;
    ++*n;
    assert_non_null(strstr(what->text, entry_key(1).hex));
    assert_non_null(strstr(what->text, "damaged"));
}

static void damage_meta_gone(struct fixture *f)
{
    assert_int_equal(unlink(entry_path(f, 1, ".meta")), 0);
}

static void verify_finds(struct fixture *f, void (*damage)(struct fixture *))
{
    for (unsigned i = 1; i <= 3; i++)
        entry_put(f->cache, i, NBYTES);
    damage(f);
    uint64_t good, bad;
    unsigned reported = 0;
    assert_int_equal(cache_verify(f->cache, &good, &bad, count_report, &reported, NULL), 0);
    assert_int_equal(good, 2);
    assert_int_equal(bad, 1);
    assert_int_equal(reported, 1);
    assert_int_equal(count_files(f), 4);
    assert_int_equal(cache_verify(f->cache, &good, &bad, NULL, NULL, NULL), 0);
    assert_int_equal(good, 2);
    assert_int_equal(bad, 0);
    entry_assert_miss(f->cache, 1);
}

static void test_verify(void **state)
{
    for (size_t i = 0; i < NDAMAGES; i++)
        verify_finds(*state, damages[i]);
    verify_finds(*state, damage_meta_gone);
}

/* ---- eviction ---- */

static time_t mtime_of(const struct fixture *f, unsigned number)
{
    struct stat st;
    assert_int_equal(stat(entry_path(f, number, ""), &st), 0);
    return st.st_mtime;
}

static void test_least_recently_used_goes_first(void **state)
{
    struct fixture *f = *state;
    fixture_reopen(f, MAX_NBYTES);
    for (unsigned i = 0; i < 10; i++) {
        fixture_now_s++;
        entry_put(f->cache, i, NBYTES);
    }
    assert_int_equal(stats_of(f->cache).entries, 10); /* full, but not over */
    fixture_now_s += 2 * HOUR_S;
    entry_assert_hit(f->cache, 0, NBYTES);
    entry_put(f->cache, 10, NBYTES);
    for (unsigned i = 0; i <= 10; i++)
        assert_int_equal(entry_there(f->cache, i), i == 0 || i >= 4);
    struct cache_stats stats = stats_of(f->cache);
    assert_int_equal(stats.nbytes, MAX_NBYTES / 10 * 8);
    assert_int_equal(stats.evicted, 3);
    assert_int_equal(count_files(f), 2 * 8);
}

static void test_retired_goes_first(void **state)
{
    struct fixture *f = *state;
    fixture_reopen(f, MAX_NBYTES);
    for (unsigned i = 0; i < 10; i++) {
        fixture_now_s++;
        entry_put(f->cache, i, NBYTES);
    }
    for (unsigned i = 6; i < 10; i++) {
        struct key key = entry_key(i);
        cache_retire(f->cache, &key);
    }
    entry_assert_hit(f->cache, 9, NBYTES); /* used again */
    entry_put(f->cache, 10, NBYTES);
    for (unsigned i = 0; i <= 10; i++)
        assert_int_equal(entry_there(f->cache, i), i < 6 || i >= 9);
}

static void test_spare_evicts_nothing(void **state)
{
    struct fixture *f = *state;
    struct key key = entry_key(1);
    struct cache_writer *w;
    struct error err;
    fixture_reopen(f, MAX_NBYTES);
    assert_int_equal(
        cache_begin(f->cache, &key, "too long", MAX_NBYTES + 1, CACHE_KEEP_SPARE, &w, &err),
        -ENOSPC);
    fixture_reopen(f, UINT64_MAX);
    entry_put(f->cache, 2, NBYTES);
    /* more than any disk has */
    assert_true(cache_begin(f->cache, &key, "too long", INT64_MAX, CACHE_KEEP_SPARE, &w, &err) < 0);
    assert_true(entry_there(f->cache, 2));
    assert_false(entry_there(f->cache, 1));
    assert_int_equal(f->nwarnings, 0);
}

static void test_touch_at_most_once_an_hour(void **state)
{
    struct fixture *f = *state;
    int64_t start = fixture_now_s;
    entry_put(f->cache, 1, NBYTES);
    assert_int_equal(mtime_of(f, 1), start);
    fixture_now_s = start + HOUR_S;
    entry_assert_hit(f->cache, 1, NBYTES);
    assert_int_equal(mtime_of(f, 1), start);
    fixture_now_s = start + HOUR_S + 1;
    assert_true(entry_there(f->cache, 1));
    assert_int_equal(mtime_of(f, 1), start);
    entry_assert_hit(f->cache, 1, NBYTES);
    assert_int_equal(mtime_of(f, 1), fixture_now_s);
    fixture_now_s = start - 2 * HOUR_S; /* the clock was wrong and has been set right */
    entry_assert_hit(f->cache, 1, NBYTES);
    assert_int_equal(mtime_of(f, 1), fixture_now_s);
}

static void test_newest_entry_is_never_evicted(void **state)
{
    struct fixture *f = *state;
    fixture_reopen(f, MAX_NBYTES);
    entry_put(f->cache, 1, 900000);
    fixture_now_s -= 24 * HOUR_S; /* looks older than the other, and is over 80 % alone */
    entry_put(f->cache, 2, 900000);
    assert_false(entry_there(f->cache, 1));
    assert_true(entry_there(f->cache, 2));
}

/* What others publish counts too, from the first publication on. */
static void test_total_of_earlier_processes_counts(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 0; i < 20; i++)
        entry_put(f->cache, i, NBYTES);
    fixture_reopen(f, MAX_NBYTES);
    assert_int_equal(stats_of(f->cache).entries, 20); /* opening evicts nothing */
    fixture_now_s++;
    entry_put(f->cache, 20, NBYTES);
    assert_int_equal(stats_of(f->cache).nbytes, MAX_NBYTES / 10 * 8);
    assert_true(entry_there(f->cache, 20));
}

static void test_two_caches_stay_near_the_maximum(void **state)
{
    struct fixture *f = *state;
    fixture_reopen(f, MAX_NBYTES);
    struct cache *other = fixture_open(f, MAX_NBYTES);
    for (unsigned i = 0; i < 200; i++)
        entry_put(i % 2 ? f->cache : other, i, NBYTES / 10);
    assert_uint_in_range(stats_of(f->cache).nbytes, MAX_NBYTES / 2, MAX_NBYTES / 10 * 12);
    cache_close(other);
}

static struct cache *publishing_meanwhile; /* where, or NULL; once */
static unsigned clock_calls;

/* A publication asks for the time, and its collection once more, after it has counted. */
static int64_t clock_that_publishes(void)
{
    struct cache *c = publishing_meanwhile;
    if (c && ++clock_calls == 2) {
        publishing_meanwhile = NULL;
        entry_put(c, 2, NBYTES);
    }
    return fixture_now_s;
}

static void test_entry_published_during_a_collection_counts(void **state)
{
    struct fixture *f = *state;
    struct cache_config config = {
        .dir = f->dir, .max_nbytes = NBYTES * 3 / 2, .clock_s = clock_that_publishes};
    struct cache *c;
    assert_int_equal(cache_open(&config, &c, NULL), 0);
    publishing_meanwhile = c;
    clock_calls = 0;
    entry_put(c, 1, NBYTES);
    assert_null(publishing_meanwhile);
    assert_int_equal(stats_of(c).nbytes, NBYTES);
    cache_close(c);
}

static void test_pinned_entry_survives_eviction(void **state)
{
    struct fixture *f = *state;
    entry_put(f->cache, 1, NBYTES);
    struct key key = entry_key(1);
    struct blob *b;
    assert_int_equal(cache_lookup(f->cache, &key, &b), 0);
    uint64_t freed;
    assert_int_equal(cache_clear(f->cache, &freed, NULL), 0);
    assert_true(freed >= NBYTES);
    entry_assert_miss(f->cache, 1);
    assert_true(entry_is_right(b, 1, NBYTES));
    blob_put(b);
}

static void test_prune(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 0; i < 5; i++)
        entry_put(f->cache, i, NBYTES);
    assert_int_equal(unlink(entry_path(f, 0, "")), 0);
    assert_int_equal(unlink(entry_path(f, 1, ".meta")), 0);
    char temp[128];
    snprintf(temp, sizeof(temp), "cache/v1/tmp/%s.a1B2c3", entry_key(9).hex);
    scratch_write(&f->scratch, temp, "left over", 9);
    uint64_t freed;
    assert_int_equal(cache_prune(f->cache, &freed, NULL), 0);
    assert_int_equal(freed, 0); /* may belong to somebody who is writing right now */
    fixture_now_s += HOUR_S + 60;
    assert_int_equal(cache_prune(f->cache, &freed, NULL), 0);
    assert_uint_in_range(freed, NBYTES + 9, NBYTES + 1000);
    assert_int_equal(count_files(f), 2 * 3);
    fixture_reopen(f, 2 * NBYTES);
    assert_int_equal(cache_prune(f->cache, &freed, NULL), 0);
    assert_int_equal(freed, 2 * NBYTES);
    assert_int_equal(stats_of(f->cache).entries, 1);
}

static void test_foreign_files_stay(void **state)
{
    struct fixture *f = *state;
    entry_put(f->cache, 1, NBYTES);
    struct key key = entry_key(1);
    char wrong_bucket[128], upper[128], longer[128], directory[128];
    const char *bucket = "cache/v1/objects";
    snprintf(wrong_bucket, sizeof(wrong_bucket), "cache/v1/objects/%.2s/%.2s%s", key.hex,
             strncmp(key.hex, "00", 2) == 0 ? "11" : "00", key.hex + 2);
    snprintf(upper, sizeof(upper), "%s/%.2s/%.2s%s", bucket, key.hex, key.hex,
             "ABCDEFABCDEFABCDEFABCDEFABCDEFABCDEFAB");
    snprintf(longer, sizeof(longer), "%s/%.2s/%s.metadata", bucket, key.hex, key.hex);
    snprintf(directory, sizeof(directory), "%s/%.2s/%.2s%s", bucket, key.hex, key.hex,
             "00000000000000000000000000000000000000");
    char no_bucket[32];
    snprintf(no_bucket, sizeof(no_bucket), "cache/v1/objects/%s",
             strncmp(key.hex, "00", 2) == 0 ? "11" : "00");
    const char *foreign[] = {no_bucket,
                             "cache/README",
                             "cache/v1/notes",
                             "cache/v1/objects/file",
                             "cache/v1/tmp/mine.txt",
                             wrong_bucket,
                             upper,
                             longer};
    size_t n = sizeof(foreign) / sizeof(*foreign);
    for (size_t i = 0; i < n; i++)
        scratch_write(&f->scratch, foreign[i], "x", 1);
    scratch_mkdir(&f->scratch, directory);
    fixture_now_s += 2 * HOUR_S;
    uint64_t freed;
    assert_int_equal(cache_prune(f->cache, &freed, NULL), 0);
    assert_int_equal(cache_clear(f->cache, &freed, NULL), 0);
    struct stat st;
    for (size_t i = 0; i < n; i++)
        assert_int_equal(stat(scratch_at(&f->scratch, foreign[i]), &st), 0);
    assert_int_equal(stat(scratch_at(&f->scratch, directory), &st), 0);
    entry_assert_miss(f->cache, 1);
}

#define WITH_CACHE(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_CACHE(test_publish_and_find),
        WITH_CACHE(test_survives_restart),
        WITH_CACHE(test_layout_and_modes),
        WITH_CACHE(test_relative_directory_survives_chdir),
        WITH_CACHE(test_label_is_one_line),
        WITH_CACHE(test_long_label),
        WITH_CACHE(test_wrong_length_keeps_nothing),
        WITH_CACHE(test_damage_is_found),
        WITH_CACHE(test_damage_is_replaced),
        WITH_CACHE(test_damage_after_use),
        WITH_CACHE(test_damage_leaves_foreign_target),
        WITH_CACHE(test_halves),
        WITH_CACHE(test_verify),
        WITH_CACHE(test_least_recently_used_goes_first),
        WITH_CACHE(test_touch_at_most_once_an_hour),
        WITH_CACHE(test_retired_goes_first),
        WITH_CACHE(test_spare_evicts_nothing),
        WITH_CACHE(test_newest_entry_is_never_evicted),
        WITH_CACHE(test_total_of_earlier_processes_counts),
        WITH_CACHE(test_two_caches_stay_near_the_maximum),
        WITH_CACHE(test_entry_published_during_a_collection_counts),
        WITH_CACHE(test_pinned_entry_survives_eviction),
        WITH_CACHE(test_prune),
        WITH_CACHE(test_foreign_files_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
