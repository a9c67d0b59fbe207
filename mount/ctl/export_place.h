/* SPDX-License-Identifier: MIT
 *
 * The directory that derivctl export writes to. Prints errors on stderr. Thread rule: one thread.
 */
#ifndef DERIVFS_EXPORT_PLACE_H
#define DERIVFS_EXPORT_PLACE_H

#include "ctl.h"

/* Where layout=derivatives has what is exported. */
#define EXPORT_ROOT "derivatives/derivfs"

/* May the target's derived files be written to `dest`? Makes it if it is missing. */
int export_check(const struct target *t, const char *dest);

/* Write what makes `dest` a derivative dataset. */
int export_describe(const struct target *t, const char *dest);

/* Make the directories above a file. */
int export_make_parents(const char *path, struct error *err) NODISCARD;

/* Is this the text of the file? */
bool export_has_text(const char *path, const char *text);

#endif
