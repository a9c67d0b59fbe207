/* SPDX-License-Identifier: MIT
 *
 * Cursors on a gzip run of 39 MiB: the first complete pass keeps checkpoints, from then on little
 * is read for a volume in the middle; and what is kept is not believed blindly. How much is read is
 * what the kernel has counted for this process.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cursor.h"
#include "helper_threads.h"
#include "images.h"
#include "scratch.h"

enum { NX = 64, NY = 64, NZ = 30, NVOL = 160, NVOX = NX * NY * NZ, VOLUME = NVOX * 2 };

static struct scratch dir;
static int rootfd;
static struct cache *cache;
static struct run *run;
static int16_t noise[NVOX], volume[NVOX];

/* Sample i of volume v is noise[i] + v. */
static void write_run(void)
{
    nifti_1_header h = image_n1();
    unsigned char *packed = malloc((size_t)NVOL * VOLUME), head[352] = {0};
    z_stream z = {.next_out = packed, .avail_out = NVOL * VOLUME};

    memcpy(h.dim, (short[8]){4, NX, NY, NZ, NVOL, 1, 1, 1}, sizeof h.dim);
    memcpy(head, &h, sizeof h);
    assert_non_null(packed);
    assert_int_equal(deflateInit2(&z, 1, Z_DEFLATED, 31, 8, Z_HUFFMAN_ONLY), Z_OK);
    z.next_in = head;
    z.avail_in = sizeof head;
    assert_int_equal(deflate(&z, Z_NO_FLUSH), Z_OK);
    srandom(1);
    for (size_t i = 0; i < NVOX; i++)
        noise[i] = (int16_t)(random() % 64);
    for (int v = 0; v < NVOL; v++) {
        for (size_t i = 0; i < NVOX; i++)
            volume[i] = (int16_t)(noise[i] + v);
        z.next_in = (unsigned char *)volume;
        z.avail_in = sizeof volume;
        assert_int_equal(deflate(&z, v + 1 < NVOL ? Z_NO_FLUSH : Z_FINISH),
                         v + 1 < NVOL ? Z_OK : Z_STREAM_END);
    }
    scratch_write(&dir, "run.nii.gz", packed, z.total_out);
    deflateEnd(&z);
    free(packed);
}

static int setup(void **state)
{
    struct cache_config config = {.max_nbytes = 1 << 20};
    char path[2 * SCRATCH_PATH_MAX];

    (void)state;
    scratch_make(&dir);
    rootfd = open(dir.path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    snprintf(path, sizeof path, "%s/cache", dir.path);
    config.dir = path;
    assert_int_equal(cache_open(&config, &cache, NULL), 0);
    write_run();
    run = run_probe(rootfd, -1, "run.nii.gz", NULL, NULL);
    assert_int_equal(run->state, RUN_OK);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    run_put(run);
    cache_close(cache);
    scratch_remove(&dir);
    return close(rootfd);
}

static struct cursor_pool *new_pool(struct helper_pool *helpers)
{
    return cursor_pool_new(
        &(struct cursor_pool_config){.rootfd = rootfd, .cache = cache, .helpers = helpers});
}

static struct cursor *open_at(struct cursor_pool *pool, int64_t vol, int64_t nvol)
{
    struct cursor *c;
    struct error err;

    if (cursor_open(pool, run, vol, nvol, NULL, &c, &err) < 0)
        fail_msg("%s", err.text);
    return c;
}

static void assert_next(struct cursor *c, int vol)
{
    struct error err;

    if (cursor_read(c, volume, sizeof volume, &err) < 0)
        fail_msg("%s", err.text);
    for (size_t i = 0; i < NVOX; i++)
        if (volume[i] != noise[i] + vol)
            fail_msg("sample %zu of volume %d is %d", i, vol, volume[i]);
}

/* A whole pass, checked. */
static void pass(struct cursor_pool *pool)
{
    struct cursor *c = open_at(pool, 0, NVOL);
    struct error err;

    for (int v = 0; v < NVOL; v++)
        assert_next(c, v);
    assert_int_equal(cursor_check(c, true, &err), 0);
    cursor_park(c);
}

static uint64_t read_so_far(void)
{
    unsigned long long nbytes = 0;
    FILE *f = fopen("/proc/self/io", "r");

    assert_non_null(f);
    assert_int_equal(fscanf(f, "rchar: %llu", &nbytes), 1);
    fclose(f);
    return nbytes;
}

static uint64_t count_entries(void)
{
    struct cache_stats stats;

    assert_int_equal(cache_stats(cache, &stats, NULL), 0);
    return stats.entries;
}

static void clear_cache(void)
{
    uint64_t freed;

    assert_int_equal(cache_clear(cache, &freed, NULL), 0);
}

static void test_any_volume_after_a_pass(void **state)
{
    struct cursor_pool *pool = new_pool(NULL);
    struct cursor *c, *other;
    uint64_t before;

    (void)state;
    pass(pool);
    assert_int_equal(count_entries(), 1);
    cursor_pool_free(pool);

    pool = new_pool(NULL);
    before = read_so_far();
    c = open_at(pool, 130, 2);
    assert_next(c, 130);
    assert_next(c, 131);
    assert_uint_in_range(read_so_far() - before, 1, run->id.size / 2);
    other = open_at(pool, 90, 1); /* while the first is in use */
    assert_next(other, 90);
    cursor_park(other);
    cursor_park(c);
    before = read_so_far();
    c = open_at(pool, 5, 1); /* the parked one that is nearest goes back */
    assert_ptr_equal(c, other);
    assert_next(c, 5);
    assert_uint_in_range(read_so_far() - before, 1, run->id.size / 4);
    cursor_park(c);
    c = open_at(pool, NVOL - 1, 1);
    assert_next(c, NVOL - 1);
    assert_int_equal(cursor_check(c, true, NULL),
                     0); /* the member's CRC-32 is right from here, too */
    cursor_park(c);
    cursor_pool_free(pool);
}

/* An entry of the run's checkpoints that the cache finds sound, whatever is in it. */
static void publish(const void *bytes, size_t nbytes)
{
    struct key_builder *b = key_begin("checkpoints", 3);
    struct cache_writer *w;
    struct blob *blob;
    struct key key;

    clear_cache();
    run_add_to_key(run, b);
    key_end(b, &key);
    assert_int_equal(cache_begin(cache, &key, "rubbish", nbytes, CACHE_KEEP, &w, NULL), 0);
    assert_int_equal(cache_write(w, bytes, nbytes, NULL), 0);
    assert_int_equal(cache_commit(w, &blob, NULL), 0);
    blob_put(blob);
}

static void test_rubbish_under_the_key(void **state)
{
    struct cursor_pool *pool = new_pool(NULL);
    struct cursor *c;

    (void)state;
    publish(noise, sizeof noise);
    c = open_at(pool, 100, 1);
    assert_int_equal(count_entries(), 0); /* it would keep sound ones out */
    assert_next(c, 100);
    cursor_close(c);
    cursor_pool_free(pool);
}

/* Of another file's bytes: whoever meets that is to begin anew, and then all is right. */
static void test_checkpoints_of_another_file(void **state)
{
    struct cursor_pool *pool = new_pool(NULL);
    struct checkpoints *wrong = checkpoints_new(NULL);
    struct checkpoint p = {.in_bit = 8 * run->id.size / 2,
                           .out_off = 70 * (uint64_t)VOLUME,
                           .window = (const unsigned char *)noise};
    struct cursor *parked, *c;
    unsigned char *bytes;
    size_t nbytes;
    struct error err;

    (void)state;
    assert_int_equal(checkpoints_add(wrong, &p, &err), 0);
    assert_int_equal(checkpoints_pack(wrong, &bytes, &nbytes, &err), 0);
    publish(bytes, nbytes);
    parked = open_at(pool, 10, 1); /* before any of them: nothing is wrong yet */
    assert_next(parked, 10);
    cursor_park(parked);
    if (cursor_open(pool, run, 100, 1, NULL, &c, &err) == 0) {
        assert_int_equal(cursor_read(c, volume, sizeof volume, &err), -ERESTART);
        cursor_close(c);
    }
    assert_int_equal(err.code, ERESTART);
    assert_int_equal(count_entries(), 0);
    c = open_at(pool, 100, 1);
    assert_next(c, 100);
    cursor_close(c);
    pass(pool);
    assert_int_equal(count_entries(), 1);
    cursor_pool_free(pool);
    checkpoints_put(wrong);
    free(bytes);
}

/* Helpers help where much is read; the bytes are the same, and checkpoints are learned as well. */
static void test_with_helpers(void **state)
{
    struct helper_threads helpers;
    struct cursor_pool *pool;

    (void)state;
    clear_cache();
    helper_threads_start(&helpers, 3);
    pool = new_pool(&helpers.helpers);
    pass(pool);
    pass(pool); /* from checkpoints, which may still be on their way into the cache */
    cursor_pool_free(pool);
    assert_int_equal(count_entries(), 1);
    helper_threads_stop(&helpers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_volume_after_a_pass),
        cmocka_unit_test(test_rubbish_under_the_key),
        cmocka_unit_test(test_checkpoints_of_another_file),
        cmocka_unit_test(test_with_helpers),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
