/* SPDX-License-Identifier: MIT
 *
 * How time courses are held.
 *
 *     volume  0  key    [x x x x] [x x x x] [x x x x] ...      rows of 64 voxels, as stored
 *             1         [d d d d] [d d d d] [x x x x]          differences from the key, 8 bits each,
 *             2         [d d d d] [d d d d] [d d d d]          where all of a row fit
 *             3  key    [x x x x] [x x x x] [x x x x]          too few fitted
 *
 * A volume lies behind the one before: a byte for each row that says how it is held, then the rows.
 * Neighbouring volumes differ by little more than the noise, so a key is rare: of the sample session
 * 0.6 % of the rows do not fit. When the memory is full, the last tiles go, as many as what has come
 * so far lets expect, and the rest moves together.
 */
#include "timecourses.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "kernel.h"
#include "vector.h"

/* How a row is held. */
enum { ROW_WHOLE, ROW_DIFFERENCES };

/* A volume of which more than one row in KEY_SHARE does not fit becomes a key. */
enum { KEY_SHARE = 4 };

/* In percent, of what the tiles that are left are expected to need: one more drop costs moving. */
enum { DROP_FOR = 98 };

struct volume {
    enum sample_type type;
    double slope, inter;
    size_t key; /* the volume that differences refer to */
    size_t at;  /* its place in the room */
};

struct timecourses {
    size_t nvol_most, nvol;
    size_t nvox_given, nvox;
    size_t ntiles; /* of nvox */
    size_t least_nvox;
    size_t room_nbytes, used_nbytes;
    unsigned char *room;
    bool narrow; /* all values are stored in the same way, in at most 16 bits, and rise with that */
    struct volume volumes[]; /* [nvol_most] */
};

struct timecourses_reader {
    const struct timecourses *c;
    timecourses_value_fn *value; /* NULL: samples are only scaled */
    void *ctx;
    size_t tile;
    int16_t *narrow; /* [nvol][TIMECOURSES_TILE] keys, or room for some of their bits */
    int64_t *wide;   /* [nvol][TIMECOURSES_TILE] keys, or NULL */
    struct {
        const unsigned char *how, *row; /* of the next tile */
    } at[];                             /* [nvol] */
};

static const size_t type_nbytes[] = {
#define ROW(name, numpy, type) [SAMPLE_##name] = sizeof(type),
    SAMPLE_TYPES(ROW)
#undef ROW
};

static size_t ntiles_of(size_t nvox)
{
    return (nvox + TIMECOURSES_TILE - 1) / TIMECOURSES_TILE;
}

/* So that rows begin at cache lines. */
static size_t hows_nbytes(size_t ntiles)
{
    return ntiles_of(ntiles) * TIMECOURSES_TILE;
}

static size_t volume_nbytes(size_t sample_nbytes, size_t ntiles)
{
    return hows_nbytes(ntiles) + ntiles * TIMECOURSES_TILE * sample_nbytes;
}

static size_t row_nbytes(const struct volume *v, unsigned char how)
{
    return TIMECOURSES_TILE * (how == ROW_WHOLE ? type_nbytes[v->type] : sizeof(int8_t));
}

size_t timecourses_nbytes(size_t sample_nbytes, size_t nvox, int64_t nvol)
{
    return (size_t)nvol * volume_nbytes(sample_nbytes, ntiles_of(nvox));
}

size_t timecourses_fit(size_t sample_nbytes, int64_t nvol, size_t room_nbytes)
{
    size_t volume = room_nbytes / (size_t)nvol;
    size_t ntiles = volume > TIMECOURSES_TILE
                        ? (volume - TIMECOURSES_TILE) / (1 + TIMECOURSES_TILE * sample_nbytes)
                        : 0;

    while (volume_nbytes(sample_nbytes, ntiles + 1) <= volume)
        ntiles++;
    return (ntiles > 1 ? ntiles : 1) * TIMECOURSES_TILE;
}

size_t timecourses_own_nbytes(int64_t nvol)
{
    size_t keys = TIMECOURSES_TILE * (sizeof(int64_t) + sizeof(int16_t));
    size_t reader =
        sizeof(struct timecourses_reader) + sizeof(((struct timecourses_reader *)0)->at[0]);

    return (size_t)nvol * (sizeof(struct volume) + reader + keys);
}

struct timecourses *timecourses_new(int64_t nvol, size_t room_nbytes, size_t least_nvox)
{
    struct timecourses *c = calloc(1, sizeof *c + (size_t)nvol * sizeof c->volumes[0]);

    if (!c)
        return NULL;
    c->nvol_most = (size_t)nvol;
    c->least_nvox = least_nvox;
    c->room_nbytes = room_nbytes;
    c->room = vector_alloc(room_nbytes);
    if (c->room)
        return c;
    free(c);
    return NULL;
}

void timecourses_free(struct timecourses *c)
{
    if (c)
        vector_free(c->room);
    free(c);
}

void timecourses_begin(struct timecourses *c, size_t nvox)
{
    c->nvol = 0;
    c->nvox_given = c->nvox = nvox;
    c->ntiles = ntiles_of(nvox);
    c->used_nbytes = 0;
    c->narrow = true;
}

size_t timecourses_nvox(const struct timecourses *c)
{
    return c->nvox;
}

/* ---- adding ---- */

/* Exact modulo 2^16, so signs and overflows do not matter. */
static inline __attribute__((always_inline)) bool
take_differences(const uint16_t *restrict x, const uint16_t *restrict key, int8_t *restrict out)
{
    unsigned misfit = 0;

    for (size_t i = 0; i < TIMECOURSES_TILE; i++) {
        uint16_t d = (uint16_t)(x[i] - key[i]);

        misfit |= (uint16_t)(d + 128) & 0xff00U;
        out[i] = (int8_t)d;
    }
    return misfit == 0;
}

/* `ntiles` rows of 16 bits, as differences if they fit. Returns the bytes written. */
VECTOR_LOOP static size_t put_rows(size_t ntiles, const uint16_t *x, const uint16_t *key,
                                   unsigned char *how, unsigned char *out)
{
    unsigned char *begin = out;

    for (size_t t = 0; t < ntiles; t++, x += TIMECOURSES_TILE, key += TIMECOURSES_TILE)
        if (take_differences(x, key, (int8_t *)out)) {
            how[t] = ROW_DIFFERENCES;
            out += TIMECOURSES_TILE;
        } else {
            how[t] = ROW_WHOLE;
            memcpy(out, x, TIMECOURSES_TILE * sizeof *x);
            out += TIMECOURSES_TILE * sizeof *x;
        }
    return (size_t)(out - begin);
}

/* Rows as they are stored; the last one is filled up with zeros. */
static void put_whole(const struct timecourses *c, struct volume *v, const void *samples)
{
    unsigned char *how = c->room + v->at;
    size_t nbytes = c->nvox * type_nbytes[v->type];
    size_t all = c->ntiles * row_nbytes(v, ROW_WHOLE);

    memset(how, ROW_WHOLE, c->ntiles);
    memcpy(how + hows_nbytes(c->ntiles), samples, nbytes);
    memset(how + hows_nbytes(c->ntiles) + nbytes, 0, all - nbytes);
}

/* Returns the bytes of all rows. */
static size_t put_differences(const struct timecourses *c, struct volume *v,
                              const uint16_t *samples)
{
    unsigned char *how = c->room + v->at, *out = how + hows_nbytes(c->ntiles);
    const void *key_rows = c->room + c->volumes[v->key].at + hows_nbytes(c->ntiles);
    const uint16_t *key = key_rows;
    size_t nwhole = c->nvox / TIMECOURSES_TILE, rest = c->nvox % TIMECOURSES_TILE;
    size_t nbytes = put_rows(nwhole, samples, key, how, out);
    uint16_t last[TIMECOURSES_TILE] = {0};

    if (rest == 0)
        return nbytes;
    memcpy(last, samples + nwhole * TIMECOURSES_TILE, rest * sizeof *last);
    return nbytes + put_rows(1, last, key + nwhole * TIMECOURSES_TILE, how + nwhole, out + nbytes);
}

/* Go on with the first `ntiles` alone. */
static void drop_tiles(struct timecourses *c, size_t ntiles)
{
    size_t to = 0;

    for (size_t i = 0; i < c->nvol; i++) {
        struct volume *v = &c->volumes[i];
        const unsigned char *how = c->room + v->at, *rows = how + hows_nbytes(c->ntiles);
        size_t nbytes = 0;

        for (size_t t = 0; t < ntiles; t++)
            nbytes += row_nbytes(v, how[t]);
        memmove(c->room + to, how, ntiles);
        memmove(c->room + to + hows_nbytes(ntiles), rows, nbytes);
        v->at = to;
        to += hows_nbytes(ntiles) + nbytes;
    }
    c->used_nbytes = to;
    c->ntiles = ntiles;
    c->nvox = ntiles * TIMECOURSES_TILE;
}

/* Make room for a volume that may need all of its bytes. */
static void make_room(struct timecourses *c, size_t sample_nbytes)
{
    size_t least = c->least_nvox / TIMECOURSES_TILE;

    while (c->ntiles > 1 && c->ntiles > least &&
           c->used_nbytes + volume_nbytes(sample_nbytes, c->ntiles) > c->room_nbytes) {
        double needed = c->nvol > 0
                            ? (double)c->used_nbytes / (double)c->nvol * (double)c->nvol_most
                            : (double)volume_nbytes(sample_nbytes, c->ntiles);
        double part = (double)c->room_nbytes / needed * DROP_FOR / 100;
        size_t keep = part < 1 ? (size_t)((double)c->ntiles * part) : c->ntiles - 1;

        keep = keep < least ? least : keep;
        keep = keep < 1 ? 1 : keep;
        drop_tiles(c, keep < c->ntiles ? keep : c->ntiles - 1);
    }
}

static bool is_narrow(const struct volume *v, const struct volume *first)
{
    return type_nbytes[v->type] <= sizeof(int16_t) && v->slope > 0 && v->type == first->type &&
           v->slope == first->slope && v->inter == first->inter;
}

void timecourses_add(struct timecourses *c, enum sample_type type, double slope, double inter,
                     const void *samples)
{
    struct volume *v = &c->volumes[c->nvol];
    size_t sample_nbytes = type_nbytes[type], key = c->nvol > 0 ? v[-1].key : 0, nbytes = 0;

    make_room(c, sample_nbytes);
    *v = (struct volume){type, slope, inter, key, c->used_nbytes};
    c->narrow = c->narrow && is_narrow(v, &c->volumes[0]);
    if (sample_nbytes == sizeof(int16_t) && key < c->nvol &&
        type_nbytes[c->volumes[key].type] == sizeof(int16_t)) {
        nbytes = put_differences(c, v, samples);
        if (nbytes > c->ntiles * (TIMECOURSES_TILE + TIMECOURSES_TILE / KEY_SHARE))
            nbytes = 0;
    }
    if (nbytes == 0) {
        v->key = c->nvol;
        put_whole(c, v, samples);
        nbytes = c->ntiles * row_nbytes(v, ROW_WHOLE);
    }
    c->used_nbytes += hows_nbytes(c->ntiles) + nbytes;
    c->nvol++;
}

void timecourses_add_float64(struct timecourses *c, const double *values)
{
    timecourses_add(c, SAMPLE_FLOAT64, 1, -0.0,
                    values); /* x + -0.0 is x, also where that is -0.0 */
}

/* ---- reading ---- */

struct timecourses_reader *timecourses_reader_new(const struct timecourses *c,
                                                  timecourses_value_fn *value, void *ctx)
{
    struct timecourses_reader *r = malloc(sizeof *r + c->nvol * sizeof r->at[0]);
    size_t nkeys = c->nvol * TIMECOURSES_TILE;

    if (!r)
        return NULL;
    *r = (struct timecourses_reader){.c = c, .value = value, .ctx = ctx};
    r->narrow = vector_alloc(nkeys * sizeof *r->narrow);
    r->wide = c->narrow && !value ? NULL : vector_alloc(nkeys * sizeof *r->wide);
    if (!r->narrow || (!r->wide && (value || !c->narrow))) {
        timecourses_reader_free(r);
        return NULL;
    }
    for (size_t i = 0; i < c->nvol; i++) {
        r->at[i].how = c->room + c->volumes[i].at;
        r->at[i].row = r->at[i].how + hows_nbytes(c->ntiles);
    }
    return r;
}

void timecourses_reader_free(struct timecourses_reader *r)
{
    if (r) {
        vector_free(r->narrow);
        vector_free(r->wide);
    }
    free(r);
}

/* The next row of volume `i`, as stored: in `room`, or where it is held. */
static inline __attribute__((always_inline)) const void *next_row(struct timecourses_reader *r,
                                                                  size_t i, uint16_t *restrict room)
{
    const struct volume *v = &r->c->volumes[i];
    const unsigned char *row = r->at[i].row;
    unsigned char how = *r->at[i].how++;

    r->at[i].row += row_nbytes(v, how);
    __builtin_prefetch(r->at[i].row);
    if (how == ROW_WHOLE)
        return row;
    /* the key's row of this tile has been read before */
    const void *key = r->at[v->key].row - row_nbytes(v, ROW_WHOLE);
    for (size_t lane = 0; lane < TIMECOURSES_TILE; lane++)
        room[lane] = (uint16_t)(((const uint16_t *)key)[lane] + ((const int8_t *)row)[lane]);
    return room;
}

/* One row of int16 keys. */
#define KEYS(type, key)                                                                            \
    for (size_t lane = 0; lane < TIMECOURSES_TILE; lane++)                                         \
        keys[lane] = (int16_t)(key(((const type *)row)[lane]));
#define AS_IT_IS(x) (x)
#define CENTRED(x) ((x) - (INT16_MAX + 1))

VECTOR_LOOP static void read_narrow(struct timecourses_reader *r)
{
    enum sample_type type = r->c->volumes[0].type;
    int16_t *keys = r->narrow;

    for (size_t i = 0; i < r->c->nvol; i++, keys += TIMECOURSES_TILE) {
        uint16_t room[TIMECOURSES_TILE];
        const void *row = next_row(r, i, room);

        if (type == SAMPLE_INT16)
            memcpy(keys, row, TIMECOURSES_TILE * sizeof *keys);
        else if (type == SAMPLE_UINT16)
            KEYS(uint16_t, CENTRED)
        else if (type == SAMPLE_INT8)
            KEYS(int8_t, AS_IT_IS)
        else
            KEYS(uint8_t, AS_IT_IS)
    }
}

static void read_wide(struct timecourses_reader *r, size_t n)
{
    int64_t *keys = r->wide;

    for (size_t i = 0; i < r->c->nvol; i++, keys += TIMECOURSES_TILE) {
        const struct volume *v = &r->c->volumes[i];
        uint16_t room[TIMECOURSES_TILE];
        double values[TIMECOURSES_TILE] = {0};
        const void *row = next_row(r, i, room);

        if (r->value)
            r->value(r->ctx, i, r->tile * TIMECOURSES_TILE, n, row, values);
        else
            kernel_scale(v->type, false, row, n, v->slope, v->inter, values);
        percentile_keys(values, TIMECOURSES_TILE, keys);
    }
}

size_t timecourses_reader_next(struct timecourses_reader *r, const double *percents,
                               size_t npercents, double *out, size_t apart)
{
    const struct timecourses *c = r->c;
    const struct volume *first = &c->volumes[0];
    int32_t offset = first->type == SAMPLE_UINT16 ? INT16_MAX + 1 : 0;
    size_t left = c->nvox - r->tile * TIMECOURSES_TILE;
    size_t n = left < TIMECOURSES_TILE ? left : TIMECOURSES_TILE;

    if (!r->wide)
        read_narrow(r);
    else
        read_wide(r, n);
    for (size_t p = 0; p < npercents; p++) {
        double values[TIMECOURSES_TILE];

        if (!r->wide)
            percentile_int16(r->narrow, c->nvol, percents[p], offset, first->slope, first->inter,
                             values);
        else
            percentile_float64(r->wide, c->nvol, percents[p], r->narrow, values);
        memcpy(out + p * apart, values, n * sizeof *values);
    }
    r->tile++;
    return n;
}
