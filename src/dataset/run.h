/* SPDX-License-Identifier: MIT
 *
 * A run: a source with its NIfTI header. Immutable and reference-counted once made, so that a
 * directory listing, an open file and a running task may share it.
 *
 * Thread rule: run_get/run_put from any thread; all fields are read-only after run_probe().
 */
#ifndef DERIVFS_RUN_H
#define DERIVFS_RUN_H

#include <stdatomic.h>
#include <time.h>

#include "error.h"
#include "headers.h"
#include "nifti.h"
#include "source.h"

/* Why a file that may be a run is none, or cannot be read. */
enum run_state {
    RUN_OK,      /* a 4-D series of a real datatype */
    RUN_NOT,     /* a sound NIfTI file, but 3-D, one volume, complex or RGB: not a run */
    RUN_ABSENT,  /* git-annex content that is not here (ENODATA) */
    RUN_BROKEN,  /* what the file holds, or its name leads to, is no image: `error` says why */
    RUN_UNKNOWN, /* it may not be read, or the system failed (error.fault): nobody knows what it is,
                    perhaps a run */
};

struct run {
    atomic_int refs;
    char *path; /* relative to the dataset's root */
    enum run_state state;
    struct source_id id;       /* all zero where the file could not even be identified */
    struct nifti nifti;        /* valid for RUN_OK and RUN_NOT */
    const struct codec *codec; /* likewise: how the file is stored */
    size_t reading_nbytes;     /* likewise: of memory that its codec holds while it is read */
    bool absent;        /* RUN_OK, RUN_NOT: known by its git-annex key and a header read before; its
                           content is not here, only what was made of it may be */
    struct error error; /* for RUN_ABSENT, RUN_BROKEN and RUN_UNKNOWN: what a reader is told */
};

/* Look at the file at `path` beneath `rootfd`: identify it and read its header, unless `page` (may
 * be NULL) has it, which gets it otherwise. Never fails but for memory (NULL): what is wrong with the
 * file is told by `state`. Plain files are also checked for being long enough for what their header
 * promises; a compressed file's length is known only when it has been read. Returns with one
 * reference. */
struct run *run_probe(int rootfd, const char *path, struct header_page *page) NODISCARD;

/* True while the file at run->path is still the one that was probed; never after a fault. */
bool run_is_current(int rootfd, const struct run *run);

struct run *run_get(struct run *run);
void run_put(struct run *run); /* NULL is allowed */

#endif
