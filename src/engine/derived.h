/* SPDX-License-Identifier: MIT
 *
 * Derived files: the names that a directory's runs and the recipes give rise to, both ways, and
 * what stat(2) says of them before anything is computed.
 *
 *     PREFIX RECIPE EXTENSION                     one per group: echo-1_tsnr.nii
 *     ENTITIES _stat-RECIPE_ MAP EXTENSION        one per run: sub-01_stat-tsnr_boldmap.nii
 *     PREFIX COMMAND                              a command's, whose name includes its ending
 *     ENTITIES _stat-COMMAND'S-STEM_ MAP ENDING   the same, with scope = run
 *     any of these .svg                           a drawing of how that file is made
 *
 * RECIPE may be NAME@PARAMETER=NUMBER,... (recipe_resolve); such names are not listed. With wrong
 * parameters there is a file too, of no size: opening it tells which ones there are.
 *
 * Thread rule: a struct derived is immutable and reference-counted; any thread.
 */
#ifndef DERIVFS_DERIVED_H
#define DERIVFS_DERIVED_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "array_desc.h"
#include "dataset.h"
#include "engine_derived.h"
#include "error.h"
#include "graph.h"
#include "output.h"
#include "plan.h"
#include "recipe.h"

struct derived {
    atomic_int refs;
    char *name;              /* within its directory */
    struct dir_scan *scan;   /* reference: the directory as it was; keeps `runs` alive */
    struct run *const *runs; /* [nruns] of the group, or the one run */
    size_t nruns;
    const struct run *first;    /* the first sound run: grid and header; NULL if there is none */
    const struct run *bad;      /* an absent or broken run among them; NULL if there is none */
    struct recipe_table *table; /* reference: keeps `recipe` alive */
    const struct recipe *recipe;
    const struct output_format *format;
    int64_t nvol;       /* volumes: 1 for an image; 0 where no run or the expression tells */
    uint64_t nbytes;    /* exact size; 0 where nvol is 0, and for a command's file */
    char *text;         /* of a sidecar: all of it, put here before anybody else has the file; NULL
                           for other files, and where the recipe is wrong */
    struct key key;     /* of a command's file: names the result, whose length it tells; else "" */
    struct error error; /* why the file cannot be planned; code 0 if it can */
    int64_t mtime_ns;   /* the newest of the sources and the recipe */
    mode_t mode;        /* 0444 less what the sources deny; no type bits */
    uid_t uid;
    gid_t gid;
    uint64_t version; /* changes with the sources and the recipe: same version, same bytes */
};

static inline bool recipe_is_series(const struct recipe *recipe)
{
    return recipe->expr && recipe->expr->rank == EXPR_SERIES;
}

/* May `name` be that of a derived file? Most names are none, which costs no look at a directory. */
bool derived_may_be(const struct recipe_table *table, const char *name);

/* The derived file called `name` among those of `scan`; ENOENT where there is none. */
int derived_lookup(struct dir_scan *scan, struct recipe_table *table, const char *name,
                   struct derived **out, struct error *err) NODISCARD;

/* The derived files that a listing of the directory shows; `absent` includes those of runs whose
 * content is absent. *out [*n] is for derived_list_free(). */
int derived_list(struct dir_scan *scan, struct recipe_table *table, bool absent,
                 struct derived ***out, size_t *n, struct error *err) NODISCARD;

/* The derived files that the plain name "RECIPE.EXTENSION" stands for: those of every group and
 * run, listed or not, readable or not. Costs a lookup each. *out as derived_list()'s. */
int derived_named(struct dir_scan *scan, struct recipe_table *table, const char *plain,
                  struct derived ***out, size_t *n, struct error *err) NODISCARD;

/* The name of one run's file: "sub-01_stat-tsnr_boldmap.nii". malloced; NULL: out of memory. */
char *derived_run_name(const struct dir_run *run, const struct recipe *recipe,
                       const char *extension) NODISCARD;

/* Owner and mode of what is made from a source, or of that and what went before: nobody may read
 * more through it than through every source. *mode starts as 0444. */
void derived_add_rights(mode_t *mode, uid_t *uid, gid_t *gid, const struct source_id *id,
                        bool first);

/* A file is computed in parts, each the root of a graph: an image is one part, header included; a
 * series is its header (derived_header), then parts of a few volumes each, then its format's trailer. */
struct parts {
    uint64_t first_off;          /* where in the file part 0 starts */
    uint64_t nbytes;             /* of each part in the file; the last one may be shorter */
    uint64_t result_nbytes;      /* of what is computed for each part, */
    uint64_t last_result_nbytes; /* and for the last one */
    int64_t nvol;                /* volumes of each part */
    size_t n;
    const struct output_framing *framing; /* how results lie in the file; NULL: as they are */
};

void derived_parts(const struct derived *d, struct parts *out);

/* What is planned for one part; as part `n` the checksum that the trailer is made of. */
struct plan_extent derived_part(const struct derived *d, size_t part);

/* Plan some of the file, with at most `memory_nbytes` where a task has a choice. ENODATA, EACCES or
 * EIO with the bad run's sentence where there is one; EDOM: a parameter or value in the name is
 * wrong; else as plan_file(). */
int derived_plan(const struct derived *d, struct plan_extent what, size_t memory_nbytes,
                 struct graph **out, struct error *err) NODISCARD;

/* The array of a file that can be planned and is no command's; a part is a chunk. */
struct array_desc derived_array_desc(const struct derived *d);

/* What a file starts with before its voxels are computed. */
struct file_header {
    uint64_t nbytes;
    uint32_t crc; /* of what the .nii starts with */
    unsigned char bytes[NIFTI_DERIVED_NBYTES + OUTPUT_FRAME_NBYTES];
};

/* ENOMEM; ENODATA where all of it has to be computed. */
int derived_header(const struct derived *d, struct file_header *out, struct error *err) NODISCARD;

#endif
