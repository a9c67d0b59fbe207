/* SPDX-License-Identifier: MIT
 *
 * Sources: reading plain and gzip files, and noticing that a file changes meanwhile.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gunzip.h"
#include "sources.h"

enum { CANARY = 32 };

static struct source *open_ok(const char *path, const struct source_id *expect)
{
    struct source *s;
    struct error err;

    if (source_open(rootfd, path, &(struct source_options){.expect = expect}, &s, &err) < 0)
        fail_msg("%s", err.text);
    return s;
}

static void expect_failure(int ret, int code, const struct error *err, const char *path,
                           const char *why)
{
    assert_int_equal(ret, -code);
    assert_int_equal(err->code, code);
    assert_memory_equal(err->text, path, strlen(path));
    if (!strstr(err->text, why))
        fail_msg("\"%s\" does not say \"%s\"", err->text, why);
}

/* Read the file in pieces of `piece` bytes to its end, finish and close. */
static int read_all(const char *path, size_t piece, size_t *nbytes, struct error *err)
{
    struct source *s;
    size_t got;
    int ret = source_open(rootfd, path, NULL, &s, err);

    if (ret < 0)
        return ret;
    *nbytes = 0;
    do {
        size_t room = sizeof inflated - *nbytes;
        ret = source_read_some(s, inflated + *nbytes, piece < room ? piece : room, &got, err);
        if (ret == 0)
            *nbytes += got;
    } while (ret == 0 && got == piece);
    if (ret == 0)
        ret = source_finish(s, err);
    source_close(s);
    return ret;
}

static void reads_back(const char *path, const void *want, size_t want_nbytes, size_t piece)
{
    size_t nbytes;
    struct error err;

    if (read_all(path, piece, &nbytes, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(nbytes, want_nbytes);
    assert_memory_equal(inflated, want, want_nbytes);
}

static void cannot_read(const char *path, const char *why)
{
    size_t nbytes;
    struct error err = {0};

    expect_failure(read_all(path, 4096, &nbytes, &err), EIO, &err, path, why);
}

static size_t append_member(size_t at, const void *bytes, size_t nbytes)
{
    return at + image_gzip(bytes, nbytes, stored + at, sizeof stored - at);
}

static void plain_and_gzip_in_any_pieces(void **state)
{
    static const size_t pieces[] = {1 << 20, 262144, 100000, 4096, 997};

    (void)state;
    scratch_write(&dir, "plain.nii.gz", data, sizeof data); /* the name says nothing */
    scratch_write(&dir, "gzip.nii", stored, append_member(0, data, sizeof data));
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        reads_back("plain.nii.gz", data, sizeof data, pieces[i]);
        reads_back("gzip.nii", data, sizeof data, pieces[i]);
    }
}

static void skipping_and_progress(void **state)
{
    static const char *const paths[] = {"a", "b"};
    unsigned char byte;

    (void)state;
    scratch_write(&dir, "a", data, sizeof data);
    size_t ngz = append_member(0, data, sizeof data);
    scratch_write(&dir, "b", stored, ngz);
    for (int i = 0; i < 2; i++) {
        struct error err = {0};
        struct source *s = open_ok(paths[i], NULL);
        assert_ptr_equal(source_codec(s), i ? &codec_gzip : &codec_plain);
        assert_int_equal(source_consumed(s), 0);
        assert_int_equal(source_read(s, &byte, 1, &err), 0);
        assert_int_equal(byte, data[0]);
        assert_int_equal(source_seek(s, 1, &err), 0);
        assert_int_equal(source_seek(s, 500000, &err), 0);
        assert_int_equal(source_read(s, &byte, 1, &err), 0);
        assert_int_equal(byte, data[500000]);
        assert_uint_in_range(source_consumed(s), ngz / 2, sizeof data);
        assert_int_equal(source_seek(s, 3, &err), 0); /* back */
        assert_int_equal(source_read(s, &byte, 1, &err), 0);
        assert_int_equal(byte, data[3]);
        assert_int_equal(source_seek(s, sizeof data, &err), 0);
        assert_int_equal(source_finish(s, &err), 0);
        assert_null(source_learned(s)); /* nobody asked */
        assert_int_equal(source_consumed(s), i ? ngz : sizeof data);
        source_close(s);
    }
    source_close(NULL);
}

static void reading_past_the_end(void **state)
{
    static const char *const says[] = {"file ends after 1000 of at least ",
                                       "inflated data ends after 1000 of at least "};

    (void)state;
    scratch_write(&dir, "short0", data, SMALL);
    scratch_write(&dir, "short1", stored, append_member(0, data, SMALL));
    for (int i = 0; i < 2; i++) {
        char path[8];
        struct error err = {0};
        snprintf(path, sizeof path, "short%d", i);

        struct source *s = open_ok(path, NULL);
        assert_int_equal(source_read(s, inflated, 600, &err), 0);
        expect_failure(source_read(s, inflated, 500, &err), EIO, &err, path, says[i]);
        assert_non_null(strstr(err.text, "1100 bytes"));
        source_close(s);

        s = open_ok(path, NULL);
        expect_failure(source_seek(s, 2000, &err), EIO, &err, path, says[i]);
        assert_non_null(strstr(err.text, "2000 bytes"));
        source_close(s);

        s = open_ok(path, NULL);
        assert_int_equal(source_read(s, inflated, 1, &err), 0);
        expect_failure(source_seek(s, UINT64_MAX, &err), EIO, &err, path, says[i]);
        source_close(s);
    }
}

static void empty_and_tiny_files(void **state)
{
    (void)state;
    scratch_write(&dir, "none", "", 0);
    scratch_write(&dir, "one", "\x1f", 1);
    scratch_write(&dir, "void.gz", stored, append_member(0, "", 0));
    reads_back("none", "", 0, 10);
    reads_back("one", "\x1f", 1, 10);
    reads_back("void.gz", "", 0, 10);
}

static void several_members_and_padding(void **state)
{
    size_t n = 0;

    (void)state;
    n = append_member(n, "", 0);
    n = append_member(n, data, 300000);
    n = append_member(n, "", 0);
    n = append_member(n, "", 0);
    n = append_member(n, data + 300000, 1);
    n = append_member(n, data + 300001, sizeof data - 300001);
    scratch_write(&dir, "members.gz", stored, n);
    reads_back("members.gz", data, sizeof data, 262144);

    memset(stored + n, 0, 100000);
    scratch_write(&dir, "padded.gz", stored, n + 100000);
    reads_back("padded.gz", data, sizeof data, 262144);

    stored[n + 99999] = 'x';
    scratch_write(&dir, "garbage.gz", stored, n + 100000);
    cannot_read("garbage.gz", "garbage after the end of the gzip data, after 700000 bytes");
}

static void long_member_headers(void **state)
{
    static Bytef extra[60000], name[5000], comment[5000];
    gz_header header = {
        .extra = extra, .extra_len = sizeof extra, .name = name, .comment = comment, .hcrc = 1};

    (void)state;
    memset(name, 'n', sizeof name - 1);
    memset(comment, 'c', sizeof comment - 1);
    size_t n = image_gzip_as(data, sizeof data, stored, sizeof stored, &header);
    scratch_write(&dir, "header.gz", stored, n);
    reads_back("header.gz", data, sizeof data, 262144);
    stored[30000] ^= 1;
    scratch_write(&dir, "header.gz", stored, n);
    cannot_read("header.gz", "wrong CRC-32");
}

static void truncated_gzip_at_every_byte(void **state)
{
    size_t n = append_member(0, data, SMALL);

    (void)state;
    for (size_t len = 2; len < n; len++) {
        scratch_write(&dir, "cut.gz", stored, len);
        cannot_read("cut.gz", "gzip data ends early, after ");
    }
}

static void wrong_crc_and_length(void **state)
{
    size_t n = append_member(0, data, SMALL);

    (void)state;
    stored[n - 8] ^= 1;
    scratch_write(&dir, "crc.gz", stored, n);
    cannot_read("crc.gz", "wrong CRC-32 or length in the gzip data, after 1000 bytes");
    stored[n - 8] ^= 1;
    stored[n - 1] ^= 1;
    scratch_write(&dir, "length.gz", stored, n);
    cannot_read("length.gz", "wrong CRC-32 or length");

    /* the voxels wanted are all there, and the error lies behind them */
    struct error err = {0};
    struct source *s = open_ok("length.gz", NULL);
    assert_int_equal(source_read(s, inflated, SMALL - 1, &err), 0);
    expect_failure(source_finish(s, &err), EIO, &err, "length.gz", "wrong CRC-32");
    source_close(s);
}

static void expecting_another_version(void **state)
{
    struct source_id id;
    struct source *s;
    struct error err = {0};

    (void)state;
    scratch_write(&dir, "e", data, SMALL);
    scratch_set_mtime(&dir, "e", 1000);
    assert_int_equal(source_identify(rootfd, -1, "e", &id, &err), 0);
    source_close(open_ok("e", &id));
    scratch_set_mtime(&dir, "e", 2000);
    const struct source_options expect = {.expect = &id};
    expect_failure(source_open(rootfd, "e", &expect, &s, &err), ESTALE, &err, "e", "has changed");
}

/* What happens to the file between opening and finishing. */
static void modify(void)
{
    scratch_write(&dir, "file", data + 1, DATA_NBYTES - 1);
    scratch_write(&dir, "file", data, DATA_NBYTES);
    scratch_set_mtime(&dir, "file", 2000);
}

static void replace(void)
{
    scratch_write(&dir, "other", data, DATA_NBYTES);
    scratch_rename(&dir, "other", "file");
}

static void remove_it(void)
{
    scratch_unlink(&dir, "file");
}

static void changes_while_reading(void **state)
{
    static const struct {
        void (*change)(void);
        const char *says;
    } cases[] = {
        {modify, "changed while it was read"},
        {replace, "replaced while it was read"},
        {remove_it, "removed while it was read"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct error err = {0};
        scratch_write(&dir, "file", data, DATA_NBYTES);
        scratch_set_mtime(&dir, "file", 1000);
        struct source *s = open_ok("file", NULL);
        assert_int_equal(source_read(s, inflated, SMALL, &err), 0);
        cases[i].change();
        assert_int_equal(source_read(s, inflated, SMALL, &err), 0);
        expect_failure(source_finish(s, &err), ESTALE, &err, "file", cases[i].says);
        source_close(s);
    }
}

/* A reader must be told to read again, not that the file is broken. */
static void truncated_while_reading(void **state)
{
    (void)state;
    for (int gzip = 0; gzip < 2; gzip++) {
        struct error err = {0};
        if (gzip)
            scratch_write(&dir, "file", stored, append_member(0, data, sizeof data));
        else
            scratch_write(&dir, "file", data, sizeof data);
        struct source *s = open_ok("file", NULL);
        assert_int_equal(source_read(s, inflated, 10, &err), 0);
        assert_int_equal(truncate(scratch_at(&dir, "file"), SMALL), 0);
        expect_failure(source_read(s, inflated, sizeof data - 10, &err), ESTALE, &err, "file",
                       "changed while it was read");
        source_close(s);
    }
}

/* Stored bytes in memory, `piece` of them at a time. */
struct trickle {
    const unsigned char *bytes;
    size_t nbytes, piece;
};

static int trickle_pread(void *ctx, uint64_t off, unsigned char *buf, size_t cap, size_t *got,
                         struct error *err)
{
    const struct trickle *t = ctx;
    size_t n = t->piece < cap ? t->piece : cap;

    (void)err;
    assert_true(off <= t->nbytes);
    if (n > t->nbytes - off)
        n = t->nbytes - (size_t)off;
    memcpy(buf, t->bytes + off, n);
    *got = n;
    return 0;
}

/* Inflate stored[nstored] whole, `in_piece` and `out_piece` bytes at a time. */
static int trickle_all(size_t nstored, size_t in_piece, size_t out_piece, size_t *nbytes,
                       struct error *err)
{
    struct trickle t = {stored, nstored, in_piece};
    struct decoder_input options = {.source = {trickle_pread, &t}, .stored_nbytes = nstored};
    struct decoder *z;
    size_t got = 0;
    int ret;

    assert_int_equal(gunzip_open(&options, &z, err), 0);
    *nbytes = 0;
    do {
        assert_true(*nbytes + out_piece + CANARY <= sizeof inflated);
        memset(inflated + *nbytes, 0xa5, out_piece + CANARY);
        ret = gunzip_read(z, inflated + *nbytes, out_piece, &got, err);
        for (size_t i = 0; i < CANARY; i++) /* which the inflater's assembly must not touch */
            assert_int_equal(inflated[*nbytes + out_piece + i], 0xa5);
        if (ret == 0)
            *nbytes += got;
    } while (ret == 0 && got == out_piece);
    gunzip_free(z);
    return ret;
}

static void members_across_any_buffer_boundary(void **state)
{
    static const size_t pieces[] = {1, 2, 3, 7, 8, 9, 64, 4096};
    enum { NPIECES = sizeof pieces / sizeof pieces[0] };
    size_t n = 0, at = 0;

    (void)state;
    for (size_t len = 0; len < 60; at += len, len++)
        n = append_member(n, data + at, len);
    for (size_t i = 0; i < NPIECES * NPIECES; i++) {
        size_t nbytes;
        struct error err = {0};
        if (trickle_all(n, pieces[i % NPIECES], pieces[i / NPIECES], &nbytes, &err) < 0)
            fail_msg("%s", err.text);
        assert_int_equal(nbytes, at);
        assert_memory_equal(inflated, data, at);
    }
}

static int failing_pread(void *ctx, uint64_t off, unsigned char *buf, size_t cap, size_t *got,
                         struct error *err)
{
    (void)ctx, (void)off, (void)buf, (void)cap, (void)got;
    return error_set(err, ENETDOWN, "the disk went away");
}

static void read_failures_pass_through(void **state)
{
    struct decoder_input options = {.source = {.pread = failing_pread}, .stored_nbytes = 100};
    struct decoder *z;
    struct error err = {0};
    size_t got;

    (void)state;
    assert_int_equal(gunzip_open(&options, &z, &err), 0);
    assert_int_equal(gunzip_read(z, inflated, 10, &got, &err), -ENETDOWN);
    assert_string_equal(err.text, "the disk went away");
    gunzip_free(z);
}

/* Damage is noticed, or it was harmless (a time stamp in a member's header). */
static void mutated_gzip(void **state)
{
    enum { ROUNDS = 1500 };
    static unsigned char sound[4 * SMALL];
    uint32_t seed = 99;
    int noticed = 0;

    (void)state;
    size_t n = append_member(append_member(0, data, SMALL), data + SMALL, SMALL);
    assert_true(n < sizeof sound);
    memcpy(sound, stored, n);
    for (int round = 0; round < ROUNDS; round++) {
        struct error err = {0};
        size_t nbytes, len = n;
        memcpy(stored, sound, n);
        for (uint32_t i = 1 + image_random(&seed) % 3; i > 0; i--)
            stored[image_random(&seed) % n] ^= (unsigned char)(1U << (image_random(&seed) % 8));
        if (round % 4 == 0)
            len = image_random(&seed) % n;
        size_t in_piece = 1 + image_random(&seed) % (2 * SMALL);
        if (trickle_all(len, in_piece, 1 + image_random(&seed) % SMALL, &nbytes, &err) < 0) {
            noticed++;
            assert_int_equal(err.code, EIO);
            assert_true(strlen(err.text) > 10);
        } else {
            assert_true(nbytes <= 2 * SMALL);
            assert_memory_equal(inflated, data, nbytes);
        }
    }
    assert_true(noticed > ROUNDS * 9 / 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_and_gzip_in_any_pieces),
        cmocka_unit_test(skipping_and_progress),
        cmocka_unit_test(reading_past_the_end),
        cmocka_unit_test(empty_and_tiny_files),
        cmocka_unit_test(several_members_and_padding),
        cmocka_unit_test(long_member_headers),
        cmocka_unit_test(truncated_gzip_at_every_byte),
        cmocka_unit_test(wrong_crc_and_length),
        cmocka_unit_test(expecting_another_version),
        cmocka_unit_test(changes_while_reading),
        cmocka_unit_test(truncated_while_reading),
        cmocka_unit_test(members_across_any_buffer_boundary),
        cmocka_unit_test(read_failures_pass_through),
        cmocka_unit_test(mutated_gzip),
    };

    return cmocka_run_group_tests(tests, setup, close_root);
}
