/* SPDX-License-Identifier: MIT
 *
 * A page on loopback that shows one image with NiiVue in the user's browser.
 *
 * Serves only the page with its script, NiiVue and the image, under a path with a random token.
 * Thread rule: one thread; libmicrohttpd's own thread answers.
 */
#ifndef DERIVFS_PAGE_H
#define DERIVFS_PAGE_H

#include "error.h"

struct page;

/* Serve the image `path` on a free port of 127.0.0.1. The page calls it `name`, whose ending is the
 * format. `niivue` is the path of NiiVue's script. All outlive the page. ENOENT, EACCES: the image
 * cannot be read. */
int page_open(const char *path, const char *name, const char *niivue, struct page **out,
              struct error *err) NODISCARD;
void page_close(struct page *p);

/* "http://127.0.0.1:PORT/TOKEN/" */
const char *page_url(const struct page *p);

/* An address that redirects to that one, once: for command lines, which other users can see. */
const char *page_ticket_url(const struct page *p);

/* Wait until all tabs with the page are closed, no request has come for a while, or a signal has
 * come (ending.h). */
void page_wait(struct page *p);

/* The page and its script (page_text.c). */
extern const char page_html[], page_script[];

#endif
