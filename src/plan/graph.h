/* SPDX-License-Identifier: MIT
 *
 * The task graph: the computation of one derived file, as pure data.
 *
 *     run -- moments --+
 *     run -- moments --+-- image(expression) -- the bytes of NAME.nii
 *     run -- moments --+           |
 *                                  +-- output(format) -- the bytes of NAME.nii.gz
 *
 * Each run is read by tasks of its own, with keys that do not depend on the other runs: all files
 * over that run share them. The task that needs a reduction merges them in the order of time. Equal
 * subexpressions are one task. Elementwise steps are no tasks: they are part of the stream before
 * (stream.h) or of the image behind. Shapes, keys, memory and work of tasks follow from headers
 * alone. plan.h makes graphs. Thread rule: a graph is immutable and reference-counted; any thread.
 */
#ifndef DERIVFS_GRAPH_H
#define DERIVFS_GRAPH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "expr.h"
#include "input.h"
#include "key.h"
#include "output.h"
#include "recipe.h"
#include "run.h"
#include "stream.h"

/* The kinds of tasks, a row for each. Their results (planes are float64 [nz][ny][nx]):
 *
 *     MOMENTS     of one stream: planes sum, M2, min, max (kernel.h)
 *     TREND       of one stream: the same of its residuals from a Legendre trend, but only bounds
 *                 of min and max; then planes of the coefficients of P_1 .. P_order
 *     MEDIAN      of all its streams: one plane
 *     PERCENTILES of all its streams: a plane for each percentile
 *     VOLUME      the only volume of its stream: one plane
 *     PLANE       an image expression inside another one: one plane
 *     OTSU        of one plane, its mask by Otsu's threshold: one plane of 0 and 1
 *     WITHIN      a number, float64: of an image within a mask
 *     NUMBER      a number, float64, computed from such
 *     IMAGE       a 3-D file: header and float32 [nz][ny][nx]
 *     SLICES      some slices of a 3-D file, without header: float32 [n][ny][nx]
 *     CHUNK       some volumes of a 4-D file, without header: float32 [n][nz][ny][nx]
 *     CHECKSUM    the CRC-32 of all volumes of a 4-D file, little-endian
 *     OUTPUT      a file in another format, from the bytes of the .nii
 *     COMMAND     the output of a program
 *     FETCH       no bytes: the task puts a file's content into the dataset (fetch.h)
 *     JOIN        a 4-D file in one piece, from its parts in the cache (join.h)
 *     IDENTIFY    no bytes: the task finds the name of a run's content (run_find_name())
 *     ELSEWHERE   no bytes: another node computes a part of a file into the shared cache (cluster.h)
 *
 * FETCH, JOIN, IDENTIFY and ELSEWHERE are never in a graph with other kinds.
 *
 * Columns: the kind; the operation, which begins keys and labels; its version, which is in the key
 * (raise it when results change; an OUTPUT has that of its format); words for people before the
 * expression, or NULL: the label has them; the shape of the result; the function of exec that
 * writes the result, compute_FUNCTION(). */
#define TASK_KINDS_WRITTEN(ROW)                                                                    \
    ROW(MOMENTS, "moments", 4, "moments of ", RESULT_PLANES, moments)                              \
    ROW(TREND, "trend", 5, "trend of ", RESULT_PLANES, trend)                                      \
    ROW(MEDIAN, "median", 5, "median of ", RESULT_PLANE, percentiles)                              \
    ROW(PERCENTILES, "percentiles", 5, "", RESULT_PLANES, percentiles)                             \
    ROW(VOLUME, "volume", 4, "volume of ", RESULT_PLANE, volume)                                   \
    ROW(PLANE, "plane", 4, "", RESULT_PLANE, plane)                                                \
    ROW(OTSU, "otsu", 1, "", RESULT_PLANE, otsu)                                                   \
    ROW(WITHIN, "within", 1, "", RESULT_NUMBER, within)                                            \
    ROW(NUMBER, "number", 1, "", RESULT_NUMBER, number)                                            \
    ROW(IMAGE, "image", 4, "", RESULT_IMAGE, image)                                                \
    ROW(SLICES, "slices", 4, "slices of ", RESULT_SLICES, plane)                                   \
    ROW(CHUNK, "chunk", 4, "chunk of ", RESULT_VOLUMES, chunk)                                     \
    ROW(CHECKSUM, "checksum", 4, "checksum of ", RESULT_BYTES, checksum)                           \
    ROW(OUTPUT, "output", 0, NULL, RESULT_BYTES, output)
#define TASK_KINDS_OTHER(ROW)                                                                      \
    ROW(COMMAND, "command", 2, NULL, RESULT_UNKNOWN)                                               \
    ROW(FETCH, "fetch", 1, NULL, RESULT_UNKNOWN)                                                   \
    ROW(JOIN, "join", 1, NULL, RESULT_BYTES)                                                       \
    ROW(IDENTIFY, "identify", 1, NULL, RESULT_UNKNOWN)                                             \
    ROW(ELSEWHERE, "elsewhere", 1, NULL, RESULT_UNKNOWN)
#define TASK_KINDS(ROW) TASK_KINDS_WRITTEN(ROW) TASK_KINDS_OTHER(ROW)

#define TASK_KIND(name, ...) TASK_##name,
enum task_kind { TASK_KINDS(TASK_KIND) };
#undef TASK_KIND

/* A task's result as an array (array_desc.h). */
enum task_result {
    RESULT_PLANES, /* several planes */
    RESULT_PLANE,
    RESULT_NUMBER,  /* float64 */
    RESULT_IMAGE,   /* float32 [nz][ny][nx] */
    RESULT_SLICES,  /* float32 [n][ny][nx] */
    RESULT_VOLUMES, /* float32 [n][nz][ny][nx] */
    RESULT_BYTES,   /* as many as task.result_nbytes says */
    RESULT_UNKNOWN, /* until there is a result */
};

/* The row of a kind. */
struct task_kind_info {
    const char *operation;
    int version;
    const char *verb;
    enum task_result result;
};

const struct task_kind_info *task_kind_info(enum task_kind kind);

/* Begin a key with the operation and version of the kind. NULL: out of memory. */
struct key_builder *task_begin_key(enum task_kind kind) NODISCARD;

/* Bytes read or written at a time: large enough that calls cost little, small enough for the
 * second-level cache. */
enum { TASK_BUFFER_NBYTES = 1 << 20 };

/* Voxels of which an image task holds all reductions at a time. */
enum { TASK_BLOCK_NVOX = 4096 };

/* Where a reduction of an image expression comes from. */
struct reduction {
    const struct expr *e; /* borrowed from the graph's expressions */
    size_t plane;         /* its index among the planes of its task; from moments: 0 */
    size_t first_dep;     /* its tasks are deps[first_dep .. first_dep + ndeps) of the task, in */
    size_t ndeps;         /* the order of time */
    const struct input
        *input; /* the tasks are its files, whose values it gives a meaning; or NULL */
};

struct annex_content;
struct command_call;

/* The pieces of a JOIN, malloced as one. */
struct join_pieces {
    size_t header_nbytes;
    unsigned char header[NIFTI_DERIVED_NBYTES];
    size_t nparts;
    struct key parts[]; /* [nparts] of the cache's entries that follow, in order */
};

/* What an ELSEWHERE task is for, malloced as one. */
struct elsewhere {
    uint64_t off;   /* of the first byte that is wanted */
    size_t name_at; /* where in `path` the name begins, which may have a slash */
    char path[];    /* of the file, in the mount */
};

struct task {
    enum task_kind kind;
    struct key key; /* names the task, wherever it occurs, and its cache entry */
    char *label;    /* one line for people: "moments sub-01_task-rest_bold.nii.gz" */
    size_t ndeps;
    size_t *deps;         /* [ndeps] indices into graph->tasks, each smaller than the task's own */
    uint64_t work_nbytes; /* stored bytes to read: a measure of the work */
    size_t mem_nbytes;    /* buffers the task needs while it runs */
    size_t call_nbytes;   /* of these: stored bytes of a run that the kernel takes at a time */
    uint64_t result_nbytes; /* exact size of the result; 0 for a COMMAND */
    struct stream *streams; /* [nstreams] MOMENTS, TREND, VOLUME: one; others: all, in time */
    size_t nstreams;
    unsigned order;   /* TREND */
    double *percents; /* [npercents] MEDIAN, PERCENTILES: 0 to 100, ascending */
    size_t npercents;
    size_t ntogether;   /* MEDIAN, PERCENTILES: percentiles that the same passes give: all or 1 */
    size_t room_nbytes; /* MEDIAN, PERCENTILES: for time courses (timecourses.h), of room_nvox */
    size_t room_nvox;   /* voxels at least, or of all */
    const struct expr *
        e; /* PLANE, OTSU, WITHIN, NUMBER, IMAGE, CHUNK, CHECKSUM: the result; other tasks over streams:
                             their series; else NULL. Borrowed from the graph's expressions */
    struct reduction *reductions; /* [nreductions] of e */
    size_t nreductions;
    const struct output_format *format; /* OUTPUT; deps: the image, and of a `needs_mean` format the
                                           plane of the mean over time, then of the mask, unless that
                                           follows from the mean */
    struct caption *caption;            /* OUTPUT of a `needs_mean` format */
    struct command_call *call;          /* COMMAND (graph_call.h) */
    struct annex_content *content;      /* FETCH (annex.h); NULL: of all that it depends on */
    struct join_pieces *pieces;         /* JOIN */
    struct elsewhere *elsewhere;        /* ELSEWHERE */
    struct run *run; /* IDENTIFY: one of the graph's; NULL: of all that it depends
                                           on */
};

/* What a graph needs of a task. */
enum task_need {
    NEED_NOTHING,
    NEED_RESULT, /* it is in the cache: the task needs no dependencies */
    NEED_RUN,
};

struct graph {
    atomic_int refs;
    struct task *tasks; /* [ntasks], dependencies before dependents; the last is the root */
    size_t ntasks;
    size_t vox0, nvox; /* the voxels of each volume that the tasks compute: all, or, where */
    bool is_slices;    /* this is true, some slices; then results are not cached */
    struct run **runs; /* [nsources] references: the runs [nruns] in the order in which they are */
    size_t nruns;      /* joined, then the files of inputs, each once */
    size_t nsources;
    struct recipe_table *table;  /* a reference: keeps `recipe` alive */
    const struct recipe *recipe; /* of the file */
    struct recipe_table **named; /* [nnamed] references, for the recipes that commands name */
    size_t nnamed;
    const struct output_format *format; /* of the file */
    struct expr **made;    /* [nmade] nodes of planning, whose arguments are parts of */
    size_t nmade;          /* the recipe's expression, and borrowed */
    struct graph *whole;   /* of a graph that was cut: a reference to the graph that owns all its */
    enum task_need *needs; /* members but needs[ntasks]; else both are NULL */
};

/* Can slices of the image be computed alone, each for its share of the work? Yes if the graph reads
 * only moments of uncompressed runs as they are stored. */
bool graph_is_by_slices(const struct graph *g);
size_t graph_slice_nvox(const struct graph *g); /* voxels of a slice */

/* The same graph without unneeded tasks: a task that `is_cached` needs no dependencies. A
 * reference; to `g` itself where memory is short. */
struct graph *graph_cut(struct graph *g, bool (*is_cached)(void *ctx, const struct key *key),
                        void *ctx) NODISCARD;

enum task_need graph_need(const struct graph *g, const struct task *t);

/* Free what it owns; `t` itself stays the caller's. */
void task_clear(struct task *t);

struct graph *graph_new(void) NODISCARD; /* one without tasks; NULL: out of memory */
struct graph *graph_get(struct graph *g);
void graph_put(struct graph *g); /* NULL is allowed */

const struct task *graph_root(const struct graph *g);

/* The origin in the file's header: "derivfs EXPRESSION". malloced; NULL: out of memory. */
char *graph_origin(const struct expr *e) NODISCARD;

/* Bytes of the .nii file of an image of `nvol` volumes on the grid of `first`. */
uint64_t graph_image_nbytes(const struct nifti *first, int64_t nvol);

#endif
