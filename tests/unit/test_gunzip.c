/* SPDX-License-Identifier: MIT
 *
 * gzip on several cores: the bytes and the failures of a single pass, whatever the stream is made
 * of, whoever helps, and wherever reading begins.
 *
 * Helpers that are threads come when they like; that pieces are really used is shown with helpers that
 * runs each job at once, in the middle of offering it.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <isa-l/igzip_lib.h>

#include "gunzip.h"
#include "helper_threads.h"
#include "images.h"

enum {
    LONG_NBYTES = 10 << 20,
    DATA_NBYTES = 5 << 20,
    STORED_MAX = 2 * LONG_NBYTES,
    READ_NBYTES = 1 << 20
};

static unsigned char data[LONG_NBYTES]; /* voxels: noise upon a pattern, a part of them zero */
static unsigned char stored[STORED_MAX];
static size_t nstored;
static const unsigned char *expected = data;

static int setup(void **state)
{
    uint32_t seed = 3;

    (void)state;
    for (size_t i = 0; i < LONG_NBYTES / 2; i++) {
        size_t x = i % 64, y = i / 64 % 64;
        bool inside = (x - 32) * (x - 32) + (y - 32) * (y - 32) < 900;
        unsigned value = inside ? 500 + (unsigned)(x * y) / 8 + (image_random(&seed) & 63) : 0;

        data[2 * i] = (unsigned char)value;
        data[2 * i + 1] = (unsigned char)(value >> 8);
    }
    return 0;
}

/* ---- reading ---- */

static _Thread_local bool in_job;
static _Atomic uint64_t read_by_jobs, read_alone;

/* Holds a helper up so many stored bytes behind where its piece begins, until it is opened. */
static struct gate {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool used, open;  /* guarded by lock */
    pthread_t reader; /* which is not held up */
    uint64_t first;   /* guarded by lock: the byte where the piece begins; UINT64_MAX: none yet */
    uint64_t behind;
} gate = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void pass_gate(uint64_t off)
{
    pthread_mutex_lock(&gate.lock);
    if (gate.used && !pthread_equal(pthread_self(), gate.reader)) {
        if (gate.first == UINT64_MAX)
            gate.first = off;
        pthread_cond_broadcast(&gate.changed);
        while (!gate.open && off >= gate.first + gate.behind)
            pthread_cond_wait(&gate.changed, &gate.lock);
    }
    pthread_mutex_unlock(&gate.lock);
}

static int pread_stored(void *ctx, uint64_t off, unsigned char *buf, size_t cap, size_t *got,
                        struct error *err)
{
    (void)ctx, (void)err;
    pass_gate(off);
    *got = off < nstored ? nstored - (size_t)off : 0;
    *got = *got < cap ? *got : cap;
    memcpy(buf, stored + off, *got);
    *(in_job ? &read_by_jobs : &read_alone) += *got;
    return 0;
}

static void offer_now(struct helper_pool *helpers, struct helper_job *job)
{
    (void)helpers;
    in_job = true;
    job->run(job);
    in_job = false;
}

static bool take_back_none(struct helper_pool *helpers, struct helper_job *job)
{
    (void)helpers, (void)job;
    return false;
}

static unsigned one_idle(struct helper_pool *helpers)
{
    (void)helpers;
    return 1;
}

static struct helper_pool at_once = {offer_now, take_back_none, one_idle};

static struct decoder *open_stored(struct helper_pool *helpers, struct budget *budget,
                                   struct checkpoints *known, bool learn)
{
    struct decoder_input options = {.source = {.pread = pread_stored},
                                    .stored_nbytes = nstored,
                                    .helpers = helpers,
                                    .budget = budget,
                                    .known = known,
                                    .learn = learn};
    struct decoder *z;
    struct error err;

    read_by_jobs = read_alone = 0;
    assert_int_equal(gunzip_open(&options, &z, &err), 0);
    return z;
}

/* Read from byte *nbytes to the end and compare with what is expected; how many bytes that is. */
static int read_to_end(struct decoder *z, size_t piece, uint64_t *nbytes, struct error *err)
{
    unsigned char *buf = malloc(piece);
    size_t got;
    int ret;

    assert_non_null(buf);
    do {
        ret = gunzip_read(z, buf, piece, &got, err);
        if (ret == 0 && memcmp(buf, expected + *nbytes, got) != 0)
            fail_msg("wrong bytes behind byte %llu", (unsigned long long)*nbytes);
        *nbytes += ret == 0 ? got : 0;
    } while (ret == 0 && got == piece);
    free(buf);
    return ret;
}

/* All right with and without helpers, with and without checkpoints; those that were learned. */
static struct checkpoints *reads_right(struct helper_pool *helpers, struct checkpoints *known,
                                       bool learn, uint64_t want)
{
    struct decoder *z = open_stored(helpers, NULL, known, learn);
    uint64_t nbytes = 0;
    struct error err;

    if (read_to_end(z, READ_NBYTES, &nbytes, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(nbytes, want);
    assert_int_equal(gunzip_consumed(z), nstored);
    struct checkpoints *learned = gunzip_learned(z);
    if (!learn || known)
        assert_null(learned);
    gunzip_free(z);
    return learned;
}

static void seeks_right(struct helper_pool *helpers, struct checkpoints *known, uint64_t want)
{
    struct decoder *z = open_stored(helpers, NULL, known, false);
    unsigned char buf[5000];
    uint32_t seed = 17;
    struct error err;
    uint64_t now;

    for (int i = 0; i < 8; i++) {
        uint64_t at = i == 0 ? want : image_random(&seed) % (want + 1);
        size_t n = want - at < sizeof buf ? (size_t)(want - at) : sizeof buf, got;

        assert_int_equal(gunzip_seek(z, at + (i == 0), &now, &err), 0);
        assert_int_equal(now, at);
        assert_int_equal(gunzip_read(z, buf, sizeof buf, &got, &err), 0);
        assert_int_equal(got, n);
        assert_memory_equal(buf, expected + at, n);
    }
    gunzip_free(z);
}

/* Everything that must hold for stored[nstored], which inflates to expected[want]. */
static void holds(uint64_t want)
{
    struct helper_threads h;

    helper_threads_start(&h, 3);
    checkpoints_put(reads_right(NULL, NULL, false, want));
    struct checkpoints *alone = reads_right(NULL, NULL, true, want);
    struct checkpoints *helped = reads_right(&at_once, NULL, true, want);
    checkpoints_put(reads_right(&h.helpers, NULL, true, want));
    for (int i = 0; i < 2; i++) {
        struct checkpoints *known = i ? helped : alone;

        if (!known)
            continue;
        (void)reads_right(i ? &at_once : &h.helpers, known, true, want);
        seeks_right(i ? &h.helpers : NULL, known, want);
    }
    checkpoints_put(alone);
    checkpoints_put(helped);
    helper_threads_stop(&h);
}

/* ---- streams ---- */

/* Append a member of in[nin]; a flush of that kind after every `every` bytes. */
static void add_member(const unsigned char *in, size_t nin, int level, int strategy, int flush,
                       size_t every)
{
    z_stream z = {.next_out = stored + nstored, .avail_out = (uInt)(STORED_MAX - nstored)};

    assert_int_equal(deflateInit2(&z, level, Z_DEFLATED, 15 + 16, 8, strategy), Z_OK);
    for (size_t at = 0; at < nin; at += every) {
        z.next_in = (Bytef *)(uintptr_t)in + at;
        z.avail_in = (uInt)(nin - at < every ? nin - at : every);
        assert_int_equal(deflate(&z, flush), Z_OK);
    }
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    assert_int_equal(deflateEnd(&z), Z_OK);
    nstored += z.total_out;
}

static void one_member(int level, int strategy, int flush, size_t every)
{
    nstored = 0;
    add_member(data, DATA_NBYTES, level, strategy, flush, every);
}

static void one_long_member(void)
{
    nstored = 0;
    add_member(data, LONG_NBYTES, 1, Z_DEFAULT_STRATEGY, Z_NO_FLUSH, LONG_NBYTES);
}

static void common_streams(void **state)
{
    (void)state;
    one_long_member();
    holds(LONG_NBYTES);
    struct checkpoints *c = reads_right(&at_once, NULL, true, LONG_NBYTES);
    assert_non_null(c); /* joints of pieces, which have been used: */
    assert_true(read_alone < nstored - nstored / 8);
    assert_true(read_by_jobs > nstored / 8);

    (void)reads_right(&at_once, c, false, LONG_NBYTES);
    assert_true(read_alone < nstored - nstored / 8);
    checkpoints_put(c);
    one_member(1, Z_DEFAULT_STRATEGY, Z_FULL_FLUSH, 128 * 1024); /* as pigz -i would */
    holds(DATA_NBYTES);
    one_member(6, Z_DEFAULT_STRATEGY, Z_SYNC_FLUSH, 100 * 1000);
    holds(DATA_NBYTES);
}

static void other_blocks(void **state)
{
    (void)state;
    one_member(1, Z_HUFFMAN_ONLY, Z_NO_FLUSH, DATA_NBYTES);
    holds(DATA_NBYTES);
    one_member(1, Z_FIXED, Z_NO_FLUSH, DATA_NBYTES);
    holds(DATA_NBYTES);
    one_member(0, Z_DEFAULT_STRATEGY, Z_NO_FLUSH, DATA_NBYTES);
    holds(DATA_NBYTES);
}

/* One block for all of it. */
static void a_giant_block(void **state)
{
    struct isal_zstream *s = calloc(1, sizeof *s);

    (void)state;
    assert_non_null(s);
    isal_deflate_stateless_init(s);
    s->gzip_flag = IGZIP_GZIP;
    s->end_of_stream = 1;
    s->next_in = data;
    s->avail_in = DATA_NBYTES;
    s->next_out = stored;
    s->avail_out = STORED_MAX;
    assert_int_equal(isal_deflate_stateless(s), COMP_OK);
    nstored = s->total_out;
    free(s);
    holds(DATA_NBYTES);
}

static void several_members(void **state)
{
    size_t cuts[] = {0, 100, 3 << 20, (3 << 20) + 40000, 4 << 20, DATA_NBYTES};

    (void)state;
    nstored = 0;
    for (size_t i = 0; i + 1 < sizeof cuts / sizeof cuts[0]; i++)
        add_member(data + cuts[i], cuts[i + 1] - cuts[i], 1, Z_DEFAULT_STRATEGY, Z_NO_FLUSH,
                   DATA_NBYTES);
    memset(stored + nstored, 0, 1000); /* padding */
    nstored += 1000;
    holds(DATA_NBYTES);
}

/* Of which every byte refers to the window for ever. */
static void highly_compressible(void **state)
{
    static unsigned char same[DATA_NBYTES];

    (void)state;
    memcpy(same, data, 20000);
    for (size_t i = 20000; i < sizeof same; i++)
        same[i] = same[i - 20000];
    for (size_t i = 0; i < sizeof same; i += 3001) /* so that it is not too little for pieces */
        same[i] ^= data[i];
    expected = same;
    nstored = 0;
    add_member(same, sizeof same, 1, Z_DEFAULT_STRATEGY, Z_NO_FLUSH, sizeof same);
    holds(sizeof same);
    memset(same, 0, sizeof same);
    nstored = 0;
    add_member(same, sizeof same, 6, Z_DEFAULT_STRATEGY, Z_NO_FLUSH, sizeof same);
    holds(sizeof same);
    expected = data;
}

/* ---- a piece that grows ---- */

/* Its output is taken while its helper is held up behind it. */
static void taken_while_it_grows(void **state)
{
    static unsigned char many[2 * LONG_NBYTES]; /* hardly repeats: the window is soon known */
    uint32_t seed = 29;
    struct helper_threads h;
    unsigned char *buf = malloc(READ_NBYTES);
    uint64_t nbytes;
    struct error err;
    size_t got;

    (void)state;
    assert_non_null(buf);
    for (size_t i = 0; i < sizeof many; i++)
        many[i] = image_random(&seed) & 0x3f;
    expected = many;
    nstored = 0;
    add_member(many, sizeof many, 1, Z_DEFAULT_STRATEGY, Z_NO_FLUSH, sizeof many);
    gate.used = true;
    gate.open = false;
    gate.reader = pthread_self();
    gate.first = UINT64_MAX;
    gate.behind = 2 << 20;
    helper_threads_start(&h, 1);
    struct decoder *z = open_stored(&h.helpers, NULL, NULL, false);
    assert_int_equal(gunzip_read(z, buf, READ_NBYTES / 2, &got, &err), 0);
    nbytes = got;
    pthread_mutex_lock(&gate.lock);
    while (gate.first == UINT64_MAX)
        pthread_cond_wait(&gate.changed, &gate.lock);
    pthread_mutex_unlock(&gate.lock);
    assert_uint_in_range(gate.first, nstored / 4, nstored - (3 << 20));
    while (gunzip_consumed(z) < gate.first + (1 << 20)) {
        assert_int_equal(gunzip_read(z, buf, 100 * 1000, &got, &err), 0);
        assert_memory_equal(buf, many + nbytes, got);
        nbytes += got;
    }
    pthread_mutex_lock(&gate.lock);
    gate.open = true;
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.lock);
    assert_int_equal(read_to_end(z, READ_NBYTES, &nbytes, &err), 0);
    assert_int_equal(nbytes, sizeof many);
    gunzip_free(z);
    helper_threads_stop(&h);
    gate.used = false;
    expected = data;
    free(buf);
}

/* ---- stopping ---- */

static bool asked_often(void *ctx)
{
    unsigned *left = ctx;

    return (*left)-- == 0;
}

/* stored[nstored] gives nothing; the fourth answer is yes. */
static void stops_soon(void)
{
    unsigned left = 3;
    struct cancel_token stop = {.asked = asked_often, .ctx = &left};
    struct decoder *z = open_stored(NULL, NULL, NULL, false);
    unsigned char byte;
    struct error err;
    size_t got;

    gunzip_set_cancel(z, &stop);
    assert_int_equal(gunzip_read(z, &byte, 1, &got, &err), -ECANCELED);
    assert_uint_in_range(read_alone, 1, nstored / 4);
    gunzip_free(z);
}

/* Asked by what is read, too: what gives no output must not go on unasked. */
static void no_output_for_long(void **state)
{
    static const unsigned char empty_block[5] = {0, 0, 0, 0xff, 0xff};

    (void)state;
    nstored = 0;
    add_member(data, 0, 1, Z_DEFAULT_STRATEGY, Z_NO_FLUSH, 1); /* an empty one */
    size_t member = nstored;
    while (nstored + member <= DATA_NBYTES) {
        memcpy(stored + nstored, stored, member);
        nstored += member;
    }
    stops_soon();
    memset(stored + member, 0, DATA_NBYTES); /* padding */
    stops_soon();
    nstored = 10; /* the header stays */
    while (nstored < DATA_NBYTES) {
        memcpy(stored + nstored, empty_block, sizeof empty_block);
        nstored += sizeof empty_block;
    }
    stops_soon();
}

/* ---- failures ---- */

static void what_alone(struct helper_pool *helpers, struct checkpoints *known, struct error *err,
                       uint64_t *nbytes)
{
    struct decoder *z = open_stored(helpers, NULL, known, true);

    err->code = 0;
    err->text[0] = '\0';
    *nbytes = 0;
    if (read_to_end(z, 100 * 1000, nbytes, err) == 0)
        assert_int_equal(err->code, 0);
    assert_true(err->code == 0 || err->code == EIO);
    if (err->code != 0)
        assert_null(gunzip_learned(z));
    gunzip_free(z);
}

/* Damage anywhere is told in the same words by all. That bytes before it are right is not said
 * while they are read: the checksum comes last. */
static void damage(void **state)
{
    static unsigned char sound[STORED_MAX], wrong[DATA_NBYTES + (64 << 10)];
    uint32_t seed = 23;
    struct helper_threads h;

    (void)state;
    helper_threads_start(&h, 2);
    one_member(1, Z_DEFAULT_STRATEGY, Z_NO_FLUSH, DATA_NBYTES);
    size_t n = nstored;
    memcpy(sound, stored, n);
    for (int round = 0; round < 6; round++) {
        struct error alone, helped;
        uint64_t nalone, nhelped;
        size_t got;

        memcpy(stored, sound, n);
        nstored = round % 3 == 2 ? n / 2 + image_random(&seed) % (n / 2) : n;
        if (round % 3 != 2)
            stored[round == 0 ? n - 6 : n / 4 + image_random(&seed) % (n / 2)] ^= 0x10;
        struct decoder *z = open_stored(NULL, NULL, NULL, false);
        int ret = gunzip_read(z, wrong, sizeof wrong, &got, &alone);
        gunzip_free(z);
        assert_int_equal(ret, -EIO);
        expected = wrong; /* the bytes that a single pass makes of it, up to the failure */
        what_alone(NULL, NULL, &alone, &nalone);
        for (int with = 0; with < 2; with++) {
            what_alone(with ? &at_once : &h.helpers, NULL, &helped, &nhelped);
            assert_int_equal(helped.code, EIO);
            assert_string_equal(helped.text, alone.text);
            assert_int_equal(nhelped, nalone);
        }
        expected = data;
    }
    helper_threads_stop(&h);
}

/* A checkpoint's CRC-32 is compared where it is passed. */
static void another_file_than_the_checkpoints(void **state)
{
    uint64_t nbytes;
    struct error err;
    char want[100];

    (void)state;
    one_long_member();
    struct checkpoints *c = reads_right(NULL, NULL, true, LONG_NBYTES),
                       *other = checkpoints_new(NULL);
    assert_non_null(c);
    assert_non_null(other);
    struct checkpoint p = *checkpoints_at(c, 0);
    p.crc ^= 1;
    assert_int_equal(checkpoints_add(other, &p, &err), 0);
    what_alone(NULL, other, &err, &nbytes);
    snprintf(want, sizeof want, "wrong CRC-32 or length in the gzip data, after %llu bytes",
             (unsigned long long)p.out_off);
    assert_string_equal(err.text, want);
    checkpoints_put(other);
    checkpoints_put(c);
}

/* ---- the ceiling, and stopping ---- */

/* A flipped bit of a window: reading does not begin there, with or without helpers, however little is
 * read. */
static void a_damaged_window(void **state)
{
    struct error err = {.code = 0};
    struct checkpoints *learned;
    const struct checkpoint *last;
    struct decoder *z;
    uint64_t at;

    (void)state;
    one_long_member();
    learned = reads_right(NULL, NULL, true, LONG_NBYTES);
    assert_non_null(learned);
    last = checkpoints_at(learned, checkpoints_count(learned) - 1);
    assert_true(checkpoint_is_sound(last));
    ((unsigned char *)(uintptr_t)last->window)[CHECKPOINT_WINDOW - 1] ^= 1;
    assert_false(checkpoint_is_sound(last));
    z = open_stored(NULL, NULL, learned, false);
    assert_int_equal(gunzip_seek(z, last->out_off, &at, &err), -EIO);
    gunzip_free(z);
    (void)reads_right(&at_once, learned, true, LONG_NBYTES);
    checkpoints_put(learned);
}

static void within_the_budget(void **state)
{
    static const size_t limits[] = {1000, 100 << 20, 1 << 30};

    (void)state;
    one_long_member();
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        struct budget *b = budget_new(limits[i]);
        struct decoder *z = open_stored(&at_once, b, NULL, false);
        unsigned char *buf = malloc(READ_NBYTES);
        size_t got;
        uint64_t at;
        struct error err;

        assert_non_null(b);
        assert_non_null(buf);
        for (int k = 0; k < 4; k++) {
            assert_int_equal(gunzip_read(z, buf, READ_NBYTES, &got, &err), 0);
            assert_true(budget_used(b) <= limits[i] / 2); /* the rest is for what must be */
        }
        assert_int_equal(budget_used(b) > 0, i > 0);
        assert_int_equal(read_by_jobs > 0, i > 0);
        assert_int_equal(gunzip_seek(z, 4 * READ_NBYTES - 1, &at, &err), 0); /* back: pieces go */
        assert_int_equal(gunzip_read(z, buf, 1, &got, &err), 0);
        assert_int_equal(gunzip_read(z, buf, READ_NBYTES, &got, &err), 0);
        assert_memory_equal(buf, data + 4 * READ_NBYTES, got);
        gunzip_free(z);
        assert_int_equal(budget_used(b), 0);
        budget_free(b);
        free(buf);
    }
}

static void stops_at_any_moment(void **state)
{
    unsigned char *buf = malloc(READ_NBYTES);
    struct helper_threads h;

    (void)state;
    assert_non_null(buf);
    helper_threads_start(&h, 3);
    one_member(1, Z_DEFAULT_STRATEGY, Z_NO_FLUSH, DATA_NBYTES);
    for (size_t n = 0; n < 12; n++) {
        struct decoder *z = open_stored(&h.helpers, NULL, NULL, true);
        size_t got;
        uint64_t at;
        struct error err;

        for (size_t k = 0; k < n; k++) {
            assert_int_equal(gunzip_read(z, buf, READ_NBYTES / 2, &got, &err), 0);
            if (k == n / 2)
                assert_int_equal(gunzip_seek(z, 3 * n * 100000, &at, &err), 0);
        }
        gunzip_free(z);
    }
    gunzip_free(NULL);
    helper_threads_stop(&h);
    free(buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(common_streams),
        cmocka_unit_test(other_blocks),
        cmocka_unit_test(a_giant_block),
        cmocka_unit_test(several_members),
        cmocka_unit_test(highly_compressible),
        cmocka_unit_test(taken_while_it_grows),
        cmocka_unit_test(no_output_for_long),
        cmocka_unit_test(damage),
        cmocka_unit_test(another_file_than_the_checkpoints),
        cmocka_unit_test(a_damaged_window),
        cmocka_unit_test(within_the_budget),
        cmocka_unit_test(stops_at_any_moment),
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}
