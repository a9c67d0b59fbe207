/* SPDX-License-Identifier: MIT
 *
 * zstd files as sources and as runs: frames, damage, and the memory that a window takes.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cursor.h"
#include "run.h"
#include "sources.h"
#include "zstd_frames.h"

enum { SUM_NBYTES = 4 };

static size_t append(size_t at, const void *bytes, size_t nbytes, bool sum)
{
    return at + zstd_frame(bytes, nbytes, sum, stored + at, sizeof stored - at);
}

static size_t append_skippable(size_t at, size_t nbytes)
{
    return at + zstd_skippable_frame(nbytes, stored + at, sizeof stored - at);
}

static size_t append_raw(size_t at, const void *bytes, size_t nbytes, unsigned window_log)
{
    return at + zstd_raw_frame(bytes, nbytes, window_log, stored + at, sizeof stored - at);
}

static struct source *open_with(const char *path, const struct source_options *options)
{
    struct source *s;
    struct error err;

    if (source_open(rootfd, path, options, &s, &err) < 0)
        fail_msg("%s", err.text);
    return s;
}

/* Read stored[n] as a file in pieces of `piece` bytes to its end, and finish. */
static int read_all(size_t n, size_t piece, size_t *nbytes, struct error *err)
{
    size_t got;
    int ret;

    scratch_write(&dir, "file", stored, n);
    struct source *s = open_with("file", NULL);
    assert_ptr_equal(source_codec(s), &codec_zstd);
    *nbytes = 0;
    do {
        size_t room = sizeof inflated - *nbytes;

        ret = source_read_some(s, inflated + *nbytes, piece < room ? piece : room, &got, err);
        *nbytes += got;
    } while (ret == 0 && got == piece);
    if (ret == 0)
        ret = source_finish(s, err);
    if (ret == 0)
        assert_int_equal(source_consumed(s), n);
    source_close(s);
    return ret;
}

static void reads_back(size_t n, const void *want, size_t want_nbytes, size_t piece)
{
    struct error err;
    size_t nbytes;

    if (read_all(n, piece, &nbytes, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(nbytes, want_nbytes);
    assert_memory_equal(inflated, want, want_nbytes);
}

static void cannot_read(size_t n, const char *why)
{
    struct error err = {0};
    size_t nbytes;

    assert_int_equal(read_all(n, 4096, &nbytes, &err), -EIO);
    assert_memory_equal(err.text, "file: decompress: ", strlen("file: decompress: "));
    if (!strstr(err.text, why))
        fail_msg("\"%s\" does not say \"%s\"", err.text, why);
}

static void frames_in_any_pieces(void **state)
{
    static const size_t pieces[] = {1 << 20, 262144, 100000, 4096, 997};
    size_t n = 0;

    (void)state;
    n = append_skippable(n, 0);
    n = append(n, data, 300000, true);
    n = append(n, "", 0, true);
    n = append_skippable(n, 60000);
    n = append_skippable(n, 1);
    n = append(n, data + 300000, 1, false);
    n = append_raw(n, data + 300001, 1000, 12);
    n = append(n, data + 301001, sizeof data - 301001, false);
    n = append_skippable(n, 5);
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++)
        reads_back(n, data, sizeof data, pieces[i]);
    reads_back(append_skippable(0, 100), "", 0, 10);
    reads_back(append(0, "", 0, true), "", 0, 10);
}

static void forwards_and_back(void **state)
{
    static const size_t offs[] = {0, 1, 299999, 300000, 650000, 3, 200000, 0};
    struct source *s;
    unsigned char byte;
    struct error err;

    (void)state;
    scratch_write(&dir, "file", stored,
                  append(append(0, data, 300000, true), data + 300000, 400000, true));
    s = open_with("file", NULL);
    for (size_t i = 0; i < sizeof offs / sizeof offs[0]; i++) {
        assert_int_equal(source_seek(s, offs[i], &err), 0);
        assert_int_equal(source_read(s, &byte, 1, &err), 0);
        assert_int_equal(byte, data[offs[i]]);
    }
    assert_int_equal(source_seek(s, sizeof data, &err), 0);
    assert_int_equal(source_seek(s, sizeof data + 1, &err), -EIO);
    assert_non_null(strstr(err.text, "decompressed data ends after 700000 of at least 700001"));
    source_close(s);
}

static void truncated_at_every_byte(void **state)
{
    size_t first = append(0, data, SMALL, true), n = append(first, data, SMALL, true);

    (void)state;
    for (size_t len = 4; len < n; len++)
        if (len != first)
            cannot_read(len, len > first && len < first + 4
                                 ? "garbage after the end of the zstd data, after 1000 bytes"
                                 : "zstd data ends early, after ");
}

static void garbage_behind(void **state)
{
    static const char garbage[][8] = {"", "x", "\x1f\x8b\x08", "(\xb5/"}; /* and zeros */
    size_t n = append(0, data, SMALL, true);

    (void)state;
    for (size_t i = 0; i < sizeof garbage / sizeof garbage[0]; i++) {
        memcpy(stored + n, garbage[i], 7);
        cannot_read(n + 1 + i % 2, "garbage after the end of the zstd data, after 1000 bytes");
        cannot_read(n + 7, "garbage after the end of the zstd data, after 1000 bytes");
    }
}

static void wrong_sums_and_frames(void **state)
{
    size_t n = append(0, data, SMALL, true);

    (void)state;
    stored[n - SUM_NBYTES] ^= 1;
    cannot_read(n, "wrong checksum in the zstd data, after ");

    /* the voxels wanted are all there, and the error lies behind them */
    struct error err = {0};
    struct source *s = open_with("file", NULL);
    assert_int_equal(source_read(s, inflated, SMALL - 1, &err), 0);
    assert_int_equal(source_finish(s, &err), -EIO);
    assert_non_null(strstr(err.text, "wrong checksum"));
    source_close(s);

    memcpy(stored, "\x28\xb5\x2f\xfd\x01\x00\x07\x01\x00\x00", 10);
    cannot_read(10, "the zstd data needs a dictionary, after 0 bytes");
    memcpy(stored, "\x28\xb5\x2f\xfd\x00\x00\x07\x00\x00", 9); /* a block of the reserved kind */
    cannot_read(9, "corrupt zstd data, after 0 bytes");
    n = append_raw(0, data, SMALL, 28);
    cannot_read(n, "the zstd data needs a window of more than 128 MiB, after 0 bytes");
    n = append_raw(0, data, SMALL, 27);
    reads_back(n, data, SMALL, 4096);
}

/* Frames with a checksum: damage is noticed. */
static void mutated(void **state)
{
    static unsigned char sound[4 * SMALL];
    size_t n = append(append(0, data, SMALL, true), data + SMALL, SMALL, true), nbytes;
    uint32_t seed = 99;
    int noticed = 0;

    (void)state;
    memcpy(sound, stored, n);
    for (int round = 0; round < 500; round++) {
        struct error err = {0};

        memcpy(stored, sound, n);
        for (uint32_t i = 1 + image_random(&seed) % 3; i > 0; i--)
            stored[4 + image_random(&seed) % (n - 4)] ^=
                (unsigned char)(1U << image_random(&seed) % 8);
        if (read_all(n, 1 + image_random(&seed) % SMALL, &nbytes, &err) < 0) {
            noticed++;
            assert_int_equal(err.code, EIO);
        } else {
            assert_int_equal(nbytes, 2 * SMALL);
            assert_memory_equal(inflated, data, nbytes);
        }
    }
    assert_true(noticed > 450);
}

/* What a file's beginning needs is the caller's to count; what the rest needs is taken. */
static void memory_is_counted(void **state)
{
    size_t n = append_raw(append_raw(0, data, SMALL, 20), data + SMALL, SMALL, 23), first;
    struct budget *budget = budget_new(64 << 20);
    struct error err;

    (void)state;
    scratch_write(&dir, "file", stored, n);
    struct source *s = open_with("file", NULL);
    assert_int_equal(source_read(s, inflated, 10, &err), 0);
    first = source_nbytes(s);
    assert_uint_in_range(first, 1 << 20, 3 << 20);
    source_close(s);

    s = open_with("file", &(struct source_options){.budget = budget, .counted_nbytes = first});
    assert_int_equal(source_read(s, inflated, SMALL, &err), 0);
    assert_int_equal(budget_used(budget), 0);
    assert_int_equal(source_read(s, inflated, SMALL, &err), 0);
    assert_uint_in_range(budget_used(budget), 7 << 20, 10 << 20);
    assert_int_equal(source_finish(s, &err), 0);
    source_close(s);
    assert_int_equal(budget_used(budget), 0);
    budget_free(budget);
}

/* A run of five volumes, in a frame with that window. */
static struct run *make_run(unsigned window_log)
{
    unsigned char file[IMAGE_NBYTES] = {0};
    nifti_1_header h = image_n1();

    memcpy(file, &h, sizeof h);
    for (size_t i = sizeof h; i < sizeof file; i++)
        file[i] = (unsigned char)i;
    scratch_write(&dir, "run.nii.zst", stored, append_raw(0, file, sizeof file, window_log));
    struct run *run = run_probe(rootfd, -1, "run.nii.zst", NULL, NULL);
    assert_non_null(run);
    assert_int_equal(run->state, RUN_OK);
    assert_ptr_equal(run->codec, &codec_zstd);
    return run;
}

/* A parked cursor's window is in the budget for as long as there is enough to spare. */
static void parked_windows_are_counted(void **state)
{
    enum { VOLUME = 4 * 3 * 2 * 2 };
    struct budget *budget = budget_new(20 << 20);
    struct cursor_pool *pool =
        cursor_pool_new(&(struct cursor_pool_config){.rootfd = rootfd, .budget = budget});
    struct run *run = make_run(23);
    struct cursor *c[3], *again;
    struct error err;

    (void)state;
    assert_uint_in_range(run->reading_nbytes, 8 << 20, 9 << 20);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(cursor_open(pool, run, 1, 1, NULL, &c[i], &err), 0);
        assert_int_equal(cursor_read(c[i], inflated, VOLUME, &err), 0);
    }
    assert_int_equal(budget_used(budget), 0); /* who reads has counted it */
    for (int i = 0; i < 3; i++)
        cursor_park(c[i]);
    assert_int_equal(budget_used(budget), run->reading_nbytes); /* of one: the others are closed */
    assert_int_equal(cursor_open(pool, run, 2, 1, NULL, &again, &err), 0);
    assert_ptr_equal(again, c[0]);
    assert_int_equal(budget_used(budget), 0);
    assert_int_equal(cursor_read(again, inflated, VOLUME, &err), 0);
    assert_int_equal(inflated[0], (352 + 2 * VOLUME) & 0xff);
    cursor_park(again);
    cursor_pool_free(pool);
    assert_int_equal(budget_used(budget), 0);
    run_put(run);
    budget_free(budget);
}

/* A page of headers says how a run is stored, and what reading it takes. */
static void known_from_a_page(void **state)
{
    struct header_bytes header = {
        .codec = &codec_zstd, .reading_nbytes = 12345, .nbytes = sizeof(nifti_1_header)};
    nifti_1_header h = image_n1();
    struct header_page *page = header_page_open(dir.path, &(struct key){"here"}, 1);
    struct run *run = make_run(21);

    (void)state;
    scratch_mkdir(&dir, "v1");
    memcpy(header.bytes, &h, sizeof h);
    header_page_add(page, &run->id, &header);
    header_page_close(page, 1);
    run_put(run);
    page = header_page_open(dir.path, &(struct key){"here"}, 1);
    run = run_probe(rootfd, -1, "run.nii.zst", page, NULL);
    assert_ptr_equal(run->codec, &codec_zstd);
    assert_int_equal(run->reading_nbytes, 12345);
    header_page_close(page, 1);
    run_put(run);
}

/* Which would hold whoever lists the directory for as long as it lasts. */
static void header_behind_nothing(void **state)
{
    struct run *run;
    size_t n;

    (void)state;
    n = append_raw(0, "", 0, 10) - 3; /* then empty blocks, none the last */
    memset(stored + n, 0, sizeof stored - n);
    scratch_write(&dir, "blocks.nii.zst", stored, sizeof stored);
    for (n = 0; n + 60008 < sizeof stored;)
        n = append_skippable(n, 60000);
    scratch_write(&dir, "skip.nii.zst", stored, n);
    for (const char *const *name = (const char *const[]){"blocks.nii.zst", "skip.nii.zst", NULL};
         *name; name++) {
        run = run_probe(rootfd, -1, *name, NULL, NULL);
        assert_int_equal(run->state, RUN_BROKEN);
        if (!strstr(run->error.text, "none in the first 1024 KiB of zstd data"))
            fail_msg("%s", run->error.text);
        run_put(run);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_in_any_pieces),    cmocka_unit_test(forwards_and_back),
        cmocka_unit_test(truncated_at_every_byte), cmocka_unit_test(garbage_behind),
        cmocka_unit_test(wrong_sums_and_frames),   cmocka_unit_test(mutated),
        cmocka_unit_test(memory_is_counted),       cmocka_unit_test(parked_windows_are_counted),
        cmocka_unit_test(known_from_a_page),       cmocka_unit_test(header_behind_nothing),
    };

    return cmocka_run_group_tests(tests, setup, close_root);
}
