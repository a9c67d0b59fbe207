/* SPDX-License-Identifier: MIT
 *
 * Sidecars: what NAME.json says of NAME.nii, in the terms of BIDS where it has them.
 *
 *     Description         of the recipe
 *     Sources             the runs as BIDS URIs, in the order in which they are joined
 *     SpatialReference    the first of them: its grid is that of the image
 *     SkullStripped       false: derivfs masks nothing
 *     Recipe              its name in the mount
 *     Expression          as written in the recipe, Parameters with their values
 *     Definition          the expression in full, and by which conventions it is computed
 *     SoftwareName, SoftwareVersion
 *
 * and in NAME.json, which is also that of the table NAME.tsv, what the columns mean (table.h).
 * Known from names and the recipe alone, so that the text's length is the file's size.
 * Thread rule: reentrant.
 */
#ifndef DERIVFS_SIDECAR_H
#define DERIVFS_SIDECAR_H

#include "derived.h"

/* The sidecar of an image that `d` stands beside, whose recipe is not wrong. `dataset` is what the
 * runs' dataset is called in BIDS URIs, "" for the one that the sidecar lies in. malloced; NULL:
 * out of memory. */
char *sidecar_text(const struct derived *d, const char *dataset) NODISCARD;

#endif
