/* SPDX-License-Identifier: MIT
 *
 * Headers that were read before: of each directory a page on disk, beside the cache's entries, so
 * that a header is read once and not once by each daemon.
 *
 * Keyed by a source's lasting identity, so a changed file's header is never taken. Only a hint: whatever is
 * wrong with a page (damage, no right to write, no space), headers are read from the files.
 * Thread rule: a page belongs to one thread.
 */
#ifndef DERIVFS_HEADERS_H
#define DERIVFS_HEADERS_H

#include "error.h"
#include "nifti.h"
#include "source.h"

/* What a file starts with, decompressed. */
struct header_bytes {
    unsigned char bytes[NIFTI_HEADER_NBYTES];
    size_t nbytes;
    const struct codec *codec; /* that the file is stored in */
    size_t reading_nbytes;     /* of memory that its codec held meanwhile (source_nbytes) */
};

struct header_page;

/* The page of the directory with this inode on this lasting file system, beneath the cache directory
 * `root`. Reads nothing yet. NULL where `root` is NULL, or memory is out; all that takes a page
 * takes that for an empty one. */
struct header_page *header_page_open(const char *root, const struct key *fs, uint64_t ino);
bool header_page_find(struct header_page *p, const struct source_id *id, struct header_bytes *out);
void header_page_add(struct header_page *p, const struct source_id *id,
                     const struct header_bytes *header);
/* Free it; first write it if something was added. A page keeps the headers of twice as many files
 * as the directory has, the latest ones. */
void header_page_close(struct header_page *p, size_t nfiles);

#endif
