/* SPDX-License-Identifier: MIT
 *
 * Expressions: parse, check, print. The language reads like numpy; all arithmetic is float64.
 *
 *   bold                          the runs of a group joined in time, [nvol][nz][ny][nx]
 *   file("mask.nii", kind=mask)   a file of the dataset for these runs, an image (input.h)
 *   x y z  i j k                  where a voxel is: in mm, and its index; unless a recipe has the name
 *   + - * / ** unary -, ( )       precedence and associativity as in Python
 *   < <= > >= == !=               one comparison, not chained; gives a mask
 *   & | ~                         of masks, tighter than comparisons
 *   otsu(x)                       of an image: the mask of what is brighter than Otsu's threshold
 *   found(file(...), b)           the file, or b where there is none for any of the runs
 *   x[..., a:b]  x[..., i]        on the last axis (time), Python's rules for negatives
 *   mean std var sum min max median   over time; std and var take ddof=
 *   percentile(x, q)              over time, 0 <= q <= 100
 *   mean(x, m) std ... median     of an image: a number, over its finite voxels in mask m
 *   abs sqrt exp log isfinite nan_to_num where(c, a, b)     elementwise
 *   drop(x, n) detrend(x, order) demean(x) zscore(x) concat(a, b, ...)     series to series
 *   NAME                          another recipe, included here; or a parameter: its number
 *
 * A number combines with anything; an image (rank 3) with a series (rank 4) means the image at each
 * volume, which zscore needs and numpy would not broadcast. A mask counts as 1 and 0; arithmetic on
 * masks alone is refused. A recipe may have the name of a function: mean(x) is the function, mean
 * alone the recipe.
 *
 * An expression is an immutable tree; its rank and type follow from the tree alone.
 * Thread rule: reentrant; a finished tree may be read from any thread.
 */
#ifndef DERIVFS_EXPR_H
#define DERIVFS_EXPR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "expr_ops.h"
#include "input.h"

/* A scalar is a number that is written, or one that is computed from an image. */
enum expr_rank { EXPR_SCALAR = 0, EXPR_IMAGE = 3, EXPR_SERIES = 4 };

struct expr {
    enum expr_op op;
    enum expr_rank rank;
    bool mask; /* values are true and false (stored as 1 and 0) */
    size_t nargs;
    struct expr **args;  /* [nargs], owned */
    struct input *input; /* EXPR_FILE: a reference; else NULL */
    double number;       /* EXPR_NUMBER; of a call the number beside its arguments: ddof, n, ... */
    bool has_start, has_stop;
    int64_t start, stop; /* EXPR_SLICE; EXPR_INDEX: start */
};

/* An error in an expression, with its place. */
struct expr_error {
    size_t column; /* 1-based, in bytes of the text */
    struct error error;
};

/* How the operation is written: "+", "mean". */
const char *expr_op_name(enum expr_op op);
enum expr_kind expr_op_kind(enum expr_op op);

/* The text of the recipe called name[nbytes], or NULL. */
typedef const char *expr_lookup_fn(void *ctx, const char *name, size_t nbytes);

/* Parse `text` and check it: names, argument counts, ranks (a reduction needs a series, the result
 * must depend on bold), masks (no arithmetic between two masks), depth (at most 64), size (at most
 * 4096 nodes, included recipes counted) and cycles of recipes. An error inside an included recipe
 * has the place of its name. `lookup` may be NULL; its texts must last until the call returns. After
 * it has failed once, it is called with similar names only, to suggest one. -ENOENT: unknown name,
 * -ELOOP: a cycle, -ENOMEM, -EINVAL: all else. `err` may be NULL. */
int expr_parse(const char *text, expr_lookup_fn *lookup, void *ctx, struct expr **out,
               struct expr_error *err) NODISCARD;

/* A named number. */
struct expr_param {
    const char *name; /* as a name in an expression; not "bold" */
    double value;     /* finite */
};

struct expr_params {
    const struct expr_param *list; /* [n] */
    size_t n;
};

/* The meaning of the names in an expression. */
struct expr_names {
    expr_lookup_fn *lookup; /* as in expr_parse() */
    /* The parameters of the recipe that `lookup` just returned; NULL: none has any. */
    struct expr_params (*params_of)(void *ctx, const char *name, size_t nbytes);
    void *ctx;
    struct expr_params params; /* of this text; they hide recipes of the same name */
};

/* As expr_parse(), with parameters: each may stand for any number, also counts and bounds; the tree
 * has the number and no trace of the name. An included recipe has its own parameters only. */
int expr_parse_with(const char *text, const struct expr_names *names, struct expr **out,
                    struct expr_error *err) NODISCARD;

/* Read a number, perhaps with a sign, that is all of text[nbytes]. False: it is none. */
bool expr_read_number(const char *text, size_t nbytes, double *out);

/* Is it x, y, z, i, j or k? */
bool expr_is_coordinate(const char *name, size_t nbytes);

/* May a parameter have this name? */
bool expr_is_param_name(const char *name, size_t nbytes);

void expr_free(struct expr *e); /* NULL is allowed */

/* The canonical text, one for all equal trees: parentheses around every operator inside another,
 * numbers in shortest round-trip form, ddof where it is not 0. Parses back to an equal tree.
 * malloced; NULL: out of memory. */
char *expr_print(const struct expr *e) NODISCARD;

bool expr_equal(const struct expr *a, const struct expr *b);

bool expr_is_reduction(enum expr_op op); /* series to image: statistics and EXPR_INDEX */
/* Is it known only when it is computed, or a number that is written? */
bool expr_is_computed(const struct expr *e);
bool expr_has_coordinate(const struct expr *e);
/* The input that the expression is, or is unless it is not found; NULL: it is another one. */
struct input *expr_input(const struct expr *e);

#endif
