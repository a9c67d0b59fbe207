/* SPDX-License-Identifier: MIT
 *
 * Shared by derived.c (names) and derived_describe.c (what is known of a file).
 */
#ifndef DERIVFS_DERIVED_PRIVATE_H
#define DERIVFS_DERIVED_PRIVATE_H

#include "derived.h"

/* Fill in what follows from sources, recipe and format, which are set. -ENOMEM. */
int derived_describe(struct derived *d, enum scan_freshness freshness) NODISCARD;

struct plan_request derived_request(const struct derived *d, size_t memory_nbytes);

#endif
