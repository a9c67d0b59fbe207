/* SPDX-License-Identifier: MIT
 *
 * What the tests of the cache share: a cache in a scratch directory, entries whose bytes follow
 * from a number, a clock that stands where it is put. Include after cmocka.h.
 */
#ifndef DERIVFS_TESTS_CACHE_FIXTURE_H
#define DERIVFS_TESTS_CACHE_FIXTURE_H

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdint.h>
#include <time.h>

#include "cache.h"
#include "scratch.h"

enum { HOUR_S = 3600, BUDGET_NBYTES = 8 << 20 };

struct fixture {
    struct scratch scratch;
    char dir[2 * SCRATCH_PATH_MAX]; /* the cache's; below scratch */
    struct budget *budget;
    struct cache *cache;
    pthread_mutex_t mutex;
    unsigned nwarnings;     /* guarded by mutex */
    struct error last_warn; /* guarded by mutex */
};

static int64_t fixture_now_s;

static inline int64_t fixture_clock(void)
{
    return fixture_now_s;
}

static inline void fixture_warn(void *ctx, const struct error *what)
{
    struct fixture *f = ctx;
    pthread_mutex_lock(&f->mutex);
    f->nwarnings++;
    f->last_warn = *what;
    pthread_mutex_unlock(&f->mutex);
}

static inline struct cache *fixture_open(struct fixture *f, uint64_t max_nbytes)
{
    struct cache_config config = {
        .dir = f->dir,
        .max_nbytes = max_nbytes,
        .budget = f->budget,
        .warn = fixture_warn,
        .warn_ctx = f,
        .clock_s = fixture_clock,
    };
    struct cache *c;
    assert_int_equal(cache_open(&config, &c, NULL), 0);
    return c;
}

/* As after a restart: nothing is known of any entry. */
static inline void fixture_reopen(struct fixture *f, uint64_t max_nbytes)
{
    cache_close(f->cache);
    f->cache = fixture_open(f, max_nbytes);
}

static inline int fixture_setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    scratch_make(&f->scratch);
    snprintf(f->dir, sizeof(f->dir), "%s", scratch_at(&f->scratch, "cache"));
    f->budget = budget_new(BUDGET_NBYTES);
    assert_non_null(f->budget);
    pthread_mutex_init(&f->mutex, NULL);
    fixture_now_s = time(NULL);
    f->cache = fixture_open(f, UINT64_C(1) << 30);
    *state = f;
    return 0;
}

static inline int fixture_teardown(void **state)
{
    struct fixture *f = *state;
    cache_close(f->cache);
    assert_int_equal(budget_used(f->budget), 0);
    budget_free(f->budget);
    scratch_remove(&f->scratch);
    pthread_mutex_destroy(&f->mutex);
    free(f);
    return 0;
}

/* ---- entries ---- */

static inline struct key entry_key(unsigned number)
{
    struct key key;
    struct key_builder *b = key_begin("test", 1);
    assert_non_null(b);
    key_add(b, "number", &number, sizeof(number));
    key_end(b, &key);
    return key;
}

static inline void entry_fill(unsigned number, unsigned char *out, size_t nbytes)
{
    uint32_t x = number * UINT32_C(2654435761) + 1;
    for (size_t i = 0; i < nbytes; i++) {
        x = x * UINT32_C(1664525) + UINT32_C(1013904223);
        out[i] = (unsigned char)(x >> 24);
    }
}

/* Publish in two writes. */
static inline int entry_try_put(struct cache *c, unsigned number, size_t nbytes, struct blob **out,
                                struct error *err)
{
    struct key key = entry_key(number);
    unsigned char *bytes = malloc(nbytes + 1);
    assert_non_null(bytes);
    entry_fill(number, bytes, nbytes);
    struct cache_writer *w;
    int ret = cache_begin(c, &key, "an entry", nbytes, CACHE_KEEP, &w, err);
    if (ret == 0) {
        ret = cache_write(w, bytes, nbytes / 3, err);
        if (ret == 0)
            ret = cache_write(w, bytes + nbytes / 3, nbytes - nbytes / 3, err);
        if (ret == 0)
            ret = cache_commit(w, out, err);
        else
            cache_abort(w);
    }
    free(bytes);
    return ret;
}

static inline bool entry_is_right(const struct blob *b, unsigned number, size_t nbytes)
{
    unsigned char *want = malloc(nbytes + 1);
    unsigned char *got = malloc(nbytes + 1);
    bool right = want && got && blob_nbytes(b) == nbytes && blob_read(b, 0, got, nbytes, NULL) == 0;
    if (right) {
        entry_fill(number, want, nbytes);
        right = memcmp(want, got, nbytes) == 0;
    }
    free(want);
    free(got);
    return right;
}

static inline void entry_put(struct cache *c, unsigned number, size_t nbytes)
{
    struct blob *b;
    struct error err = {0};
    if (entry_try_put(c, number, nbytes, &b, &err) != 0)
        fail_msg("publishing failed: %s", err.text);
    assert_true(entry_is_right(b, number, nbytes));
    blob_put(b);
}

static inline void entry_assert_hit(struct cache *c, unsigned number, size_t nbytes)
{
    struct key key = entry_key(number);
    struct blob *b;
    assert_int_equal(cache_lookup(c, &key, &b), 0);
    assert_true(blob_fd(b) >= 0);
    assert_true(entry_is_right(b, number, nbytes));
    blob_put(b);
}

static inline void entry_assert_miss(struct cache *c, unsigned number)
{
    struct key key = entry_key(number);
    struct blob *b;
    assert_int_equal(cache_lookup(c, &key, &b), -ENOENT);
}

static inline bool entry_there(struct cache *c, unsigned number)
{
    struct key key = entry_key(number);
    return cache_has(c, &key);
}

/* The path of the payload, or with ".meta" of what stands beside it. */
static inline const char *entry_path(const struct fixture *f, unsigned number, const char *suffix)
{
    struct key key = entry_key(number);
    char name[128];
    snprintf(name, sizeof(name), "cache/v1/objects/%.2s/%s%s", key.hex, key.hex, suffix);
    return scratch_at(&f->scratch, name);
}

static inline struct cache_stats stats_of(struct cache *c)
{
    struct cache_stats stats;
    assert_int_equal(cache_stats(c, &stats, NULL), 0);
    return stats;
}

static unsigned files_counted;

static inline int count_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)path, (void)st, (void)ftw;
    files_counted += type == FTW_F || type == FTW_SL;
    return 0;
}

/* Files in v1/objects and v1/tmp together. */
static inline unsigned count_files(const struct fixture *f)
{
    files_counted = 0;
    nftw(scratch_at(&f->scratch, "cache/v1/objects"), count_one, 16, FTW_PHYS);
    nftw(scratch_at(&f->scratch, "cache/v1/tmp"), count_one, 16, FTW_PHYS);
    return files_counted;
}

#endif
