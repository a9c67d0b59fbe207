/* SPDX-License-Identifier: MIT
 *
 * Derived files as callers of the engine see them: references, and properties that names, headers
 * and recipes determine before anything is computed. derived.h hides the rest. Thread rule: a
 * derived file is immutable and reference-counted; any thread.
 */
#ifndef DERIVFS_ENGINE_DERIVED_H
#define DERIVFS_ENGINE_DERIVED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"

struct derived;

struct derived *derived_get(struct derived *d);
void derived_put(struct derived *d); /* NULL is allowed */

/* Put every reference of list[n], and free the array. */
void derived_list_free(struct derived **list, size_t n);

/* Texts are the file's own and live as long as it does. */
struct derived_info {
    const char *name;        /* within its directory */
    const char *recipe;      /* the recipe's name */
    const char *text;        /* the recipe's expression or command */
    const char *description; /* the recipe's; "" if there is none */
    const char *unit;        /* of its values (unit.h); "": not known, or a command's */
    bool is_command;         /* its result determines size and form */
    const char *drawing;     /* of a drawing of the task graph: "svg", "png"; else NULL */
    bool is_wrong;           /* it cannot be planned: reading it fails */
    uint64_t nbytes;         /* exact size; 0: not known yet */
    uint64_t version;        /* same version, same bytes */
    int ndim;                /* of its array: 3 or 4; 0: a command's, or not known */
    int64_t shape[4];        /* [ndim] (nx, ny, nz, nvol); nvol 0: not known yet */
    size_t nsources;         /* runs, joined in time */
    size_t nparts;           /* it is computed in, at least 1 */
};

struct derived_info derived_info(const struct derived *d);

/* Its name in a BIDS derivative dataset: of an export, and with layout=derivatives that of listings;
 * "" if no subject is known. malloced; NULL: out of memory. */
char *derived_bids_name(const struct derived *d) NODISCARD;

/* The text of the sidecar that it has in a derivative dataset. Only of an expression's file that can
 * be planned. malloced; NULL: out of memory. */
char *engine_sidecar(const struct derived *d) NODISCARD;

/* Is it an image by its name: .nii or .nii.gz? A command's file may be one, too. */
bool derived_is_image(const struct derived *d);

/* The path of run `i` of nsources, in the order in which they are joined. */
const char *derived_source(const struct derived *d, size_t i);

/* File `i` of its inputs, each once, in the order of the expression; NULL behind the last. */
const char *derived_input(const struct derived *d, size_t i);

/* Stored bytes of all runs of its directory. */
uint64_t derived_dir_nbytes(const struct derived *d);

/* "float32 (64, 64, 30) chunks (64, 64, 1)", axes (nx, ny, nz[, nvol]); a chunk is computed at a
 * time. malloced; NULL: not known yet, or out of memory. */
char *derived_array(const struct derived *d) NODISCARD;

#endif
