/* SPDX-License-Identifier: MIT
 *
 * A hash over all bytes in the order in which they were read, and where they were.
 */
#include "recheck.h"

#include <errno.h>
#include <stdlib.h>

#include <xxhash.h>

#include "grow.h"

enum { BUFFER_NBYTES = 256 << 10 };

struct span {
    uint64_t from, to; /* bytes of the file */
};

struct recheck {
    XXH3_state_t *state;
    struct span *spans; /* [nspans] in the order of reading */
    size_t nspans;
};

struct recheck *recheck_new(void)
{
    struct recheck *r = calloc(1, sizeof *r);

    if (r)
        r->state = XXH3_createState();
    if (r && r->state && XXH3_128bits_reset(r->state) == XXH_OK)
        return r;
    recheck_free(r);
    return NULL;
}

void recheck_free(struct recheck *r)
{
    if (!r)
        return;
    XXH3_freeState(r->state);
    free(r->spans);
    free(r);
}

int recheck_add(struct recheck *r, uint64_t off, const void *bytes, size_t nbytes,
                struct error *err)
{
    if (r->nspans == 0 || r->spans[r->nspans - 1].to != off) {
        if (GROW(r->spans, r->nspans) < 0)
            return error_set(err, ENOMEM, "out of memory");
        r->spans[r->nspans++] = (struct span){off, off};
    }
    r->spans[r->nspans - 1].to += nbytes;
    XXH3_128bits_update(r->state, bytes, nbytes);
    return 0;
}

static int hash_span(XXH3_state_t *state, struct source *s, struct span span, unsigned char *buf,
                     struct error *err)
{
    size_t got = 1;
    int ret = 0;

    for (; span.from < span.to && got > 0 && ret == 0; span.from += got) {
        uint64_t left = span.to - span.from;

        ret = source_read_stored(s, span.from, buf,
                                 left < BUFFER_NBYTES ? (size_t)left : BUFFER_NBYTES, &got, err);
        if (ret == 0)
            XXH3_128bits_update(state, buf, got);
    }
    return ret;
}

int recheck_end(struct recheck *r, struct source *s, struct error *err)
{
    XXH128_hash_t before = XXH3_128bits_digest(r->state);
    unsigned char *buf = malloc(BUFFER_NBYTES);
    int ret = buf ? 0 : error_set(err, ENOMEM, "out of memory");

    XXH3_128bits_reset(r->state);
    for (size_t i = 0; i < r->nspans && ret == 0; i++)
        ret = hash_span(r->state, s, r->spans[i], buf, err);
    if (ret == 0 && !XXH128_isEqual(before, XXH3_128bits_digest(r->state)))
        ret = error_set(err, ESTALE, "it is being written");
    XXH3_128bits_reset(r->state);
    r->nspans = 0;
    free(buf);
    return ret;
}
