/* SPDX-License-Identifier: MIT
 *
 * A page on loopback that shows one image with NiiVue, in the user's own browser.
 *
 * Serves three things and nothing else, under a path that begins with a random token: the page with
 * its script, NiiVue, and the image. Thread rule: one thread; the library's own thread answers.
 */
#ifndef DERIVFS_PAGE_H
#define DERIVFS_PAGE_H

#include "error.h"

struct page;

/* Serve the image at `path`, called `name` (its ending tells the browser what it is) in the page,
 * on a free port of 127.0.0.1. `niivue` is the path of NiiVue's script. All are copied. ENOENT,
 * EACCES: a file cannot be read. */
int page_open(const char *path, const char *name, const char *niivue, struct page **out,
              struct error *err) NODISCARD;
void page_close(struct page *p);

/* "http://127.0.0.1:PORT/TOKEN/" */
const char *page_url(const struct page *p);

/* An address that leads to that one once, and then is dead: for what others can see. */
const char *page_ticket_url(const struct page *p);

/* Wait until the page has been closed in the browser (in all tabs), nobody has looked at it for a
 * while, or a signal has come (ending.h). */
void page_wait(struct page *p);

/* The page and its script (page_text.c). */
extern const char page_html[], page_script[];

#endif
