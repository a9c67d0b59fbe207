/* SPDX-License-Identifier: MIT
 *
 * A blob is one reference count over either a descriptor or a malloced buffer.
 *
 * The descriptor is what pins a cache entry: an unlinked file keeps its bytes while it is open, so
 * eviction needs to know nothing about readers. Reads use pread and share no file position.
 */
#include "blob.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fd.h"

struct blob {
    atomic_int refs;
    atomic_bool invalidated;
    int fd;              /* -1: in memory */
    unsigned char *data; /* NULL: in a file */
    uint64_t nbytes;
    struct blob_entry entry; /* of a file */
    struct budget *budget;   /* given nbytes back at the end; NULL: nothing to give */
};

static void release(int fd, void *data, uint64_t nbytes, struct budget *budget)
{
    if (fd >= 0)
        close(fd);
    free(data);
    if (budget)
        budget_give(budget, (size_t)nbytes);
}

static struct blob *blob_new(int fd, void *data, uint64_t nbytes, struct budget *budget)
{
    struct blob *b = calloc(1, sizeof(*b));
    if (!b) {
        release(fd, data, nbytes, budget);
        return NULL;
    }
    atomic_init(&b->refs, 1);
    atomic_init(&b->invalidated, false);
    b->fd = fd;
    b->data = data;
    b->nbytes = nbytes;
    b->budget = budget;
    return b;
}

struct blob *blob_from_memory(void *malloced, uint64_t nbytes, struct budget *budget)
{
    return blob_new(-1, malloced, nbytes, budget);
}

struct blob *blob_from_fd(int fd, const struct blob_entry *entry)
{
    struct blob *b = blob_new(fd, NULL, entry->nbytes, NULL);

    if (b)
        b->entry = *entry;
    return b;
}

const struct blob_entry *blob_entry(const struct blob *b)
{
    return b->fd >= 0 ? &b->entry : NULL;
}

struct blob *blob_get(struct blob *b)
{
    atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
    return b;
}

void blob_put(struct blob *b)
{
    if (!b || atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) != 1)
        return;
    release(b->fd, b->data, b->nbytes, b->budget);
    free(b);
}

uint64_t blob_nbytes(const struct blob *b)
{
    return b->nbytes;
}

int blob_fd(const struct blob *b)
{
    return b->fd;
}

void blob_invalidate(struct blob *b)
{
    atomic_store(&b->invalidated, true);
}

bool blob_is_invalidated(const struct blob *b)
{
    return atomic_load(&b->invalidated);
}

int blob_read(const struct blob *b, uint64_t off, void *buf, size_t nbytes, struct error *err)
{
    if (off > b->nbytes || nbytes > b->nbytes - off)
        return error_set(err, EINVAL,
                         "bytes %" PRIu64 " to %" PRIu64 " of a result of %" PRIu64 " bytes", off,
                         off + nbytes, b->nbytes);
    if (blob_is_invalidated(b))
        return error_set(err, EAGAIN, "a result of %" PRIu64 " bytes was lost by the disk",
                         b->nbytes);
    if (b->fd < 0) {
        if (nbytes > 0)
            memcpy(buf, b->data + off, nbytes);
        return 0;
    }
    /* A network file system gives ESTALE or EFAULT once another host has evicted the entry. */
    ssize_t n = fd_pread(b->fd, buf, nbytes, off);
    if (n < 0)
        return error_set(err, EAGAIN, "reading a result at byte %" PRIu64 ": %s", off,
                         strerror((int)-n));
    if ((size_t)n < nbytes)
        return error_set(err, EAGAIN, "a result of %" PRIu64 " bytes ends at byte %" PRIu64,
                         b->nbytes, off + (uint64_t)n);
    return 0;
}
