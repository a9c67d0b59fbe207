/* SPDX-License-Identifier: MIT
 *
 * Planning: from a recipe and runs to a graph of tasks.
 *
 * Planning needs headers and names only, and reads no voxel. A task whose source has changed since
 * fails with ESTALE. *out is a reference to the graph. Thread rule: any thread.
 */
#ifndef DERIVFS_PLAN_H
#define DERIVFS_PLAN_H

#include "graph.h"

struct annex_content;
struct input_set;

/* Which part of a file to plan. */
enum plan_extent_kind {
    PLAN_ALL,      /* the file of an image expression, in its format, or of a command */
    PLAN_SLICES,   /* slices [first, first + n) of an image: the root is a TASK_SLICES */
    PLAN_VOLUMES,  /* volumes [first, first + n) of a series: the root is a TASK_CHUNK */
    PLAN_CHECKSUM, /* of all volumes of a series, in one pass: the root is a TASK_CHECKSUM */
};

struct plan_extent {
    enum plan_extent_kind kind;
    int64_t first, n;
};

struct plan_request {
    struct recipe_table *table;
    const struct recipe *recipe; /* of `table` */
    const struct output_format *format;
    struct run *const *runs; /* [nruns], all RUN_OK and on one grid */
    size_t nruns;
    const struct input_set *inputs; /* all that the recipe has, found for these runs; NULL: none */
    size_t memory_nbytes;           /* limit of one task, where it has a choice */
    int rootfd;                     /* of a command: the dataset, */
    const struct dir *dir;          /* and the directory of the files that it names */
};

/* Plan a derived file, or a part of it. EINVAL, ENOTSUP with a sentence; ENOTSUP too for slices
 * that cost as much as the image (graph_is_by_slices); EIO: the program of a command, or a file that
 * it names, is missing. */
int plan_file(const struct plan_request *q, struct plan_extent what, struct graph **out,
              struct error *err) NODISCARD;

/* The mask of numbers and pictures of a file: the path of its file, several with ", " between; the
 * expression of another one; or PLAN_MASK_OTSU: that of Otsu's threshold, of the head. malloced; NULL:
 * out of memory. */
#define PLAN_MASK_OTSU "otsu"
char *plan_mask_text(const struct plan_request *q) NODISCARD;

/* Volumes of each part in which a 4-D file is computed. */
int64_t plan_part_nvol(const struct nifti *first);

/* Volumes of a file: 1 for an image expression. */
int plan_nvol(const struct plan_request *q, int64_t *out, struct error *err) NODISCARD;

/* Plan to fetch list[n], n at least 1: a task for each file, one before them for each repository,
 * and one behind several. Takes over the content of the list, also on failure (ENOMEM). */
int plan_fetch(struct annex_content *list, size_t n, struct graph **out,
               struct error *err) NODISCARD;

/* Plan to find the names of runs[n]' contents, n at least 1: a task for each, and one behind several.
 * ENOMEM. */
int plan_identify(struct run *const *runs, size_t n, struct graph **out,
                  struct error *err) NODISCARD;

/* Plan that another node computes the part of the file `name` in `dir` with the byte `off`, whose
 * task is `key`, and which reads `work_nbytes`. ENOMEM. */
int plan_elsewhere(const struct key *key, const char *dir, const char *name, uint64_t off,
                   uint64_t work_nbytes, struct graph **out, struct error *err) NODISCARD;

/* Plan to join the pieces of the file `name` into the entry `key` of `nbytes`. Takes the pieces
 * over, also when it fails (ENOMEM). */
int plan_join(const struct key *key, const char *name, struct join_pieces *pieces, uint64_t nbytes,
              struct graph **out, struct error *err) NODISCARD;

#endif
