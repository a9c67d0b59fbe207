/* SPDX-License-Identifier: MIT
 *
 * The bytes that one job computes for a request, and the use of its result.
 *
 * A job computes a part of the file, or its checksum. If a program reads only a few slices of an
 * image of uncompressed runs, a job computes just these:
 *
 *     [ header |  .  .  .  . #### .  .  . ]      a request in the middle: its slices alone
 *     [ ################### ... ]              from the start, or after the previous request: all
 *
 * A reader that starts at the beginning, reads on where it was, or has had a quarter of the image
 * in slices is assumed to need all of it. So a slice costs its share, and reads in any order cost
 * at most a quarter more than one pass. Slices are not cached: each is cheap.
 */
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <zlib.h>

#include "passes.h"
#include "reader_private.h"

/* Up to 1 / SLICED_SHARE of an image is computed in slices. */
enum { SLICED_SHARE = 4 };

/* ---- slices ---- */

/* Are the moments of all runs cached? Then the image is cheaper than a slice of the runs. */
static bool is_nearly_there(struct reader *r)
{
    struct graph *g, *left;
    bool nothing_to_read;
    unsigned edition;

    if (reader_plan(r, 0, &g, &edition, NULL) < 0)
        return true; /* the request for the image fails with the reason */
    left = store_cut(&r->engine->store, g);
    nothing_to_read = passes_read_nbytes(left) == 0;
    graph_put(left);
    graph_put(g);
    return nothing_to_read;
}

void reader_choose_slices(struct reader_wait *w)
{
    struct reader *r = w->reader;
    uint64_t first = NIFTI_DERIVED_NBYTES, slice = r->slice_nbytes;
    bool reads_on;

    if (slice == 0 || w->at < first)
        return;
    w->slices.off = w->at - (w->at - first) % slice;
    w->slices.nbytes = (w->end - w->slices.off + slice - 1) / slice * slice;
    pthread_mutex_lock(&r->lock);
    reads_on = w->at == r->sliced_end ||
               r->sliced_nbytes + w->slices.nbytes > (r->nbytes - first) / SLICED_SHARE;
    pthread_mutex_unlock(&r->lock);
    w->slice_nbytes = slice;
    if (reads_on || is_nearly_there(r))
        w->slices.nbytes = 0;
}

static bool is_trailer(const struct reader *r, uint64_t off)
{
    return r->trailer_nbytes > 0 && off >= reader_trailer_off(r);
}

/* The bytes that the next job computes. */
static struct extent next_extent(const struct reader_wait *w)
{
    const struct reader *r = w->reader;
    struct extent e = w->slices;
    uint64_t end;

    if (e.nbytes > 0)
        return e;
    end = reader_trailer_off(r);
    if (is_trailer(r, w->at))
        return (struct extent){end, r->trailer_nbytes};
    e.off = w->at - (w->at - r->parts.first_off) % r->parts.nbytes;
    e.nbytes = end - e.off < r->parts.nbytes ? end - e.off : r->parts.nbytes;
    return e;
}

/* The part of the plan that has these bytes; the checksum is part n. */
static size_t number_of(const struct reader *r, const struct extent *e)
{
    return is_trailer(r, e->off) ? r->parts.n
                                 : (size_t)((e->off - r->parts.first_off) / r->parts.nbytes);
}

/* The expected size of the result for `e`: the size of the file is known already. */
static uint64_t expected_nbytes(const struct reader *r, const struct extent *e)
{
    if (is_trailer(r, e->off))
        return sizeof(uint32_t);
    if (!r->parts.framing)
        return e->nbytes;
    return number_of(r, e) + 1 < r->parts.n ? r->parts.result_nbytes : r->parts.last_result_nbytes;
}

static int plan_slices(struct reader_wait *w, const struct extent *next, struct graph **out,
                       struct error *err)
{
    struct plan_extent what = {
        .kind = PLAN_SLICES,
        .first = (int64_t)((next->off - NIFTI_DERIVED_NBYTES) / w->slice_nbytes),
        .n = (int64_t)(next->nbytes / w->slice_nbytes),
    };
    struct reader *r = w->reader;
    struct derived *d = reader_derived(r, &w->edition);
    int ret = derived_plan(d, what, r->engine->store.memory_nbytes, out, err);

    derived_put(d);
    return ret;
}

int reader_wait_plan(struct reader_wait *w, struct graph **out, struct error *err)
{
    struct reader *r = w->reader;
    struct extent next = next_extent(w);
    unsigned edition;
    struct graph *whole;
    int ret;

    if (w->slices.nbytes > 0)
        return plan_slices(w, &next, out, err);
    ret = reader_plan(r, number_of(r, &next), &whole, &edition, err);
    if (ret < 0)
        return ret;
    if (w->nparts > 0 && edition != w->edition) {
        graph_put(whole);
        return error_set(err, EIO, "a source changed while it was read");
    }
    w->edition = edition;
    /* After an eviction plan all of it: tasks with cached results end at once. */
    *out = w->nevicted > 0 ? graph_get(whole) : store_cut(&r->engine->store, whole);
    graph_put(whole);
    return 0;
}

/* ---- results ---- */

/* Note the size of a command's result for stat(2), whether the cache keeps it or not. */
static void note_size(struct reader *r, const struct blob *blob)
{
    pthread_mutex_lock(&r->lock);
    if (r->derived->key.hex[0])
        sizes_note(r->engine->store.sizes, &r->derived->key, blob_nbytes(blob));
    pthread_mutex_unlock(&r->lock);
    reader_take_size(r, blob);
}

/* Add the part to the checksum if it is the next one: not before it is known to be right. */
static int sum_part(struct reader *r, size_t number, struct blob *blob, struct error *err)
{
    uint32_t crc;
    bool next;
    int ret;

    pthread_mutex_lock(&r->lock);
    next = r->nsummed == number;
    crc = r->crc;
    pthread_mutex_unlock(&r->lock);
    if (!next)
        return 0;
    ret = output_sum(blob, &crc, err);
    if (ret == 0)
        ret = cache_check(r->engine->store.cache, blob, err);
    pthread_mutex_lock(&r->lock);
    if (ret == 0 && r->nsummed == number) {
        r->crc = crc;
        r->nsummed++;
    }
    pthread_mutex_unlock(&r->lock);
    return ret;
}

/* Take the checksum of all volumes. */
static int take_checksum(struct reader *r, const struct blob *blob, struct error *err)
{
    uint64_t total = (r->parts.n - 1) * r->parts.result_nbytes + r->parts.last_result_nbytes;
    uint32_t crc = 0;
    int ret = blob_read(blob, 0, &crc, sizeof crc, err);

    pthread_mutex_lock(&r->lock);
    if (ret == 0) {
        r->crc = (uint32_t)crc32_combine(r->header.crc, le32toh(crc), (z_off_t)total);
        r->nsummed = r->parts.n;
    }
    pthread_mutex_unlock(&r->lock);
    return ret;
}

int reader_take_result(struct reader_wait *w, struct blob *blob, struct error *err)
{
    struct reader *r = w->reader;
    struct extent e = next_extent(w);
    uint64_t nbytes = blob_nbytes(blob), expected = r->sized ? expected_nbytes(r, &e) : nbytes;
    struct part part = {e.off, r->parts.framing ? e.nbytes : nbytes, blob, w->edition};

    if (!r->sized)
        note_size(r, blob);
    if (nbytes != expected)
        return error_set(err, EIO, "the result has %" PRIu64 " bytes, expected %" PRIu64, nbytes,
                         expected);
    if (is_trailer(r, e.off))
        return take_checksum(r, blob, err);
    if (r->trailer_nbytes > 0 && sum_part(r, number_of(r, &e), blob, err) < 0)
        return -err->code;
    reader_keep_part(r, &part);
    blob_get(blob);
    return reader_wait_add(w, &part, err);
}
