/* SPDX-License-Identifier: MIT
 *
 * Derived files: the names that follow from a directory's runs and the recipes, the way back, and
 * stat(2) of the files before anything is computed.
 *
 * derived_name.h has the names. FILE.svg is a drawing of the task graph of FILE.
 *
 * RECIPE may be NAME@PARAMETER=NUMBER,... (recipe_resolve); such names are not listed. With wrong
 * parameters the file exists with size 0: opening it reports the parameters.
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
#include "inputs.h"
#include "output.h"
#include "plan.h"
#include "recipe.h"
#include "remark.h"
#include "rights.h"

struct derived {
    atomic_int refs;
    char *name;              /* within its directory */
    struct dir_scan *scan;   /* reference: the snapshot, which keeps `runs` alive */
    struct run *const *runs; /* [nruns] of the group, or the one run */
    size_t nruns;
    const struct run *first;    /* the first sound run: grid and header; or NULL */
    const struct run *bad;      /* an absent or broken run; or NULL */
    const char *refusal;        /* why these runs cannot be joined; or NULL */
    const char *prefix, *map;   /* of the origin (derived_name.h) */
    struct recipe_table *table; /* reference: keeps `recipe` alive */
    const struct recipe *recipe;
    const struct output_format *format;
    struct input_set inputs; /* found for these runs */
    bool lacks_input;        /* one of them cannot be used: `error` says why */
    int64_t nvol;            /* volumes: 1 for an image; 0: not known */
    uint64_t nbytes;         /* exact size; 0: not known, or a command's file */
    char *text;         /* of a sidecar, set before the file is shared; NULL: the recipe is wrong */
    struct key key;     /* of a command's file: names its result; else "" */
    struct error error; /* why it cannot be planned; code 0: it can */
    int64_t mtime_ns;   /* the newest of the sources and the recipe */
    struct rights rights; /* those of all sources */
    uint64_t version;     /* of sources, rights and recipe: same version, same bytes and readers */
};

/* Tell why it cannot be planned: d->error. */
int derived_fail(const struct derived *d, struct error *err) NODISCARD;

/* Call `fn` with the remarks on the file: doubts about its joined runs, and which files beside them
 * are no runs. A file of one run among several has none. -ENOMEM, or what `fn` returns. */
int derived_remarks(const struct derived *d, remark_fn *fn, void *ctx) NODISCARD;

/* File `n` of its inputs, each once; NULL behind the last. */
const struct run *derived_input_file(const struct derived *d, size_t n);

/* May `name` be a derived file? Most names may not, and need no look at the directory. */
bool derived_may_be(const struct recipe_table *table, const char *name);

/* The derived file `name` of the directory; its inputs are looked for with this freshness. ENOENT: there is none. Where a fault kept a file from
 * being looked at that might give the name, the fault's code. */
int derived_lookup(struct dir_scan *scan, struct recipe_table *table, const char *name,
                   enum scan_freshness freshness, struct derived **out,
                   struct error *err) NODISCARD;

/* The file with this BIDS name; ENOENT: there is none. */
int derived_lookup_bids(struct dir_scan *scan, struct recipe_table *table, const char *name,
                        enum scan_freshness freshness, struct derived **out,
                        struct error *err) NODISCARD;

/* The derived files that a listing of the directory shows; `absent` includes those of runs whose
 * content is absent, `bids` gives them BIDS names. *out [*n] is for derived_list_free(). */
int derived_list(struct dir_scan *scan, struct recipe_table *table, bool absent, bool bids,
                 struct derived ***out, size_t *n, struct error *err) NODISCARD;

/* The derived files that the plain name "RECIPE.EXTENSION" stands for: those of every group and
 * run, listed or not, readable or not. Costs a lookup each. *out as derived_list()'s. */
int derived_named(struct dir_scan *scan, struct recipe_table *table, const char *plain,
                  struct derived ***out, size_t *n, struct error *err) NODISCARD;

/* A run, and the mount's directory that shows what is derived from it; or a file that is no run. Its
 * own copies: a list of all runs of a dataset must not keep their snapshots. */
struct run_place {
    char *dir, *path;            /* path: of the run, in the dataset */
    char *entities, *map_suffix; /* of struct dir_run: for derived_run_name() */
    int64_t nvol;                /* 0: the run is absent or broken */
    char *reason;                /* why it is no run, and has no entities; NULL: it is one */
    uint64_t dev, ino;           /* of the directory */
};

/* That directory; borrows its path. */
static inline struct dir run_place_dir(const struct run_place *p)
{
    return (struct dir){.path = p->dir, .dev = p->dev, .ino = p->ino};
}

/* The name of one run's file: "sub-01_stat-tsnr_boldmap.nii". malloced; NULL: out of memory. */
char *derived_run_name(const struct run_place *at, const struct recipe *recipe,
                       const char *extension) NODISCARD;

/* A file is computed in parts, each the root of a graph. An image is one part, header included; a
 * series is its header (derived_header), parts of a few volumes, and the trailer of its format. */
struct parts {
    uint64_t first_off;          /* offset of part 0 in the file */
    uint64_t nbytes;             /* of a part in the file; the last one may be shorter */
    uint64_t result_nbytes;      /* of the result for a part, */
    uint64_t last_result_nbytes; /* and for the last one */
    int64_t nvol;                /* volumes of each part */
    size_t n;
    const struct output_framing *framing; /* of results in the file; NULL: they are it */
};

void derived_parts(const struct derived *d, struct parts *out);

/* The plan of one part; part `n` is the checksum for the trailer. */
struct plan_extent derived_part(const struct derived *d, size_t part);

/* Plan some of the file, with tasks of at most `memory_nbytes` if possible. ENODATA, EACCES, EIO:
 * the error of the bad run; EDOM: a wrong parameter or value in the name; else as plan_file(). */
int derived_plan(const struct derived *d, struct plan_extent what, size_t memory_nbytes,
                 struct graph **out, struct error *err) NODISCARD;

/* The mask of its numbers, as plan_mask_text(). */
char *derived_mask_text(const struct derived *d) NODISCARD;

/* The array of a file that can be planned and is not a command's; a part is a chunk. */
struct array_desc derived_array_desc(const struct derived *d);

/* The first bytes of a file, which need no voxels. */
struct file_header {
    uint64_t nbytes;
    uint32_t crc; /* of the header of the .nii */
    unsigned char bytes[NIFTI_DERIVED_NBYTES + OUTPUT_FRAME_NBYTES];
};

/* ENOMEM; ENODATA: all of the file must be computed. */
int derived_header(const struct derived *d, struct file_header *out, struct error *err) NODISCARD;

#endif
