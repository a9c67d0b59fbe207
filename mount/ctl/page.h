/* SPDX-License-Identifier: MIT
 *
 * A page on loopback that shows one image or series with NiiVue in the user's browser.
 *
 * Serves only the page with its script, NiiVue and the image, under a path with a random token. Of a
 * series it serves one volume, or one voxel over time, at a time: the rest is neither read nor, in a
 * mount, computed. Thread rule: one thread; threads of libmicrohttpd answer.
 */
#ifndef DERIVFS_PAGE_H
#define DERIVFS_PAGE_H

#include "error.h"

struct page;

/* What the page says of the image; UTF-8. */
struct page_about {
    const char *name;        /* its path in the dataset; the ending is the format */
    const char *description; /* of its recipe, or "" */
    const char *unit;        /* of its values (derived_info.unit) */
};

/* Serve the image `path` on a free port of 127.0.0.1. `niivue` is the path of NiiVue's script. All
 * outlive the page. ENOENT, EACCES: the image cannot be read. */
int page_open(const char *path, const struct page_about *about, const char *niivue,
              struct page **out, struct error *err) NODISCARD;
void page_close(struct page *p);

/* "http://127.0.0.1:PORT/TOKEN/" */
const char *page_url(const struct page *p);

/* An address that redirects to that one, once: for command lines, which other users can see. */
const char *page_ticket_url(const struct page *p);

/* Wait until all tabs with the page are closed, no request has come for a while, or a signal has
 * come (ending.h). */
void page_wait(struct page *p);

#endif
