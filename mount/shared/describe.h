/* SPDX-License-Identifier: MIT
 *
 * Describing a derived file in words, for extended attributes and derivctl alike.
 * Thread rule: reentrant.
 */
#ifndef DERIVFS_DESCRIBE_H
#define DERIVFS_DESCRIBE_H

#include "engine.h"

/* Names of the attributes: state, progress, recipe, expression, array, sources, key, error. NULL
 * behind the last. */
const char *describe_attribute_name(size_t i);

/* The value of attribute `name` of the derived file at `path`; malloced. NULL: no such attribute,
 * or it has no value now (error while all is well). */
char *describe_attribute(struct engine *e, const struct derived *d, const char *path,
                         const char *name) NODISCARD;

/* "float32 (64, 64, 30) chunks (64, 64, 1)", axes (nx, ny, nz); malloced; NULL where no sound run
 * tells the shape. */
char *describe_array(const struct derived *d) NODISCARD;

#endif
