/* SPDX-License-Identifier: MIT
 *
 * Shared by the parts of planning: plan.c (image expressions and files) uses plan_stream.c (series,
 * and tasks over streams), and both use plan_task.c (tasks as such). A stream may need image
 * expressions, so the first two call each other. plan_command.c (commands) uses all of them.
 */
#ifndef DERIVFS_PLAN_PRIVATE_H
#define DERIVFS_PLAN_PRIVATE_H

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "plan.h"
#include "timeline.h"

struct by_key;
struct found_input;
struct known_plan;

struct planner {
    const struct plan_request *q;
    struct graph *g;
    struct joined_runs bold;
    struct by_key *by_key;      /* the tasks of the graph */
    struct known_plan *known;   /* which part of the expression has been planned as which task */
    int64_t *starts;            /* [bold.nruns] the first volume of each run */
    const struct expr *printed; /* the expression printed last, */
    char *text;                 /* and its text */
    size_t nvox;
    size_t depth; /* commands that are being planned, each for the one before */
    struct error *err;
};

int plan_out_of_memory(struct planner *p);

/* ---- plan_task.c ---- */

/* Put a task into the graph, or find the equal one in it. Takes over what `t` owns. */
int plan_add_task(struct planner *p, struct task *t, size_t *index) NODISCARD;
int plan_add_dep(struct planner *p, struct task *t, size_t task) NODISCARD;

/* Fill in key, label, dependencies, work and memory of a task whose streams, of x, are complete;
 * then add it. `t` has in mem_nbytes its memory beside that for reading a stream and for moments.
 * If `ret` is an error, release what `t` owns and return `ret`. */
int plan_finish_stream_task(struct planner *p, int ret, struct task *t, const struct expr *x,
                            size_t *index) NODISCARD;

/* Begin a key with all that keys of the graph have in common. */
struct key_builder *plan_begin_key(const struct planner *p, enum task_kind kind) NODISCARD;

/* A node of the expression is planned once in each of these ways: otherwise nested series would
 * take exponential time. */
enum plan_known_as {
    PLAN_PLANE,
    PLAN_MEAN,
    PLAN_STD,
    PLAN_TREND,
    PLAN_MOMENTS,
    PLAN_SEGMENT_MEAN,
    PLAN_COMMAND,
    PLAN_WITHIN,
    PLAN_TIMELINE, /* no task: plan_timeline() */
};

/* The task that part `e`, from volume `vol` on, has been planned as. */
bool plan_known(const struct planner *p, enum plan_known_as what, const struct expr *e, int64_t vol,
                size_t *task);
int plan_remember(struct planner *p, enum plan_known_as what, const struct expr *e, int64_t vol,
                  size_t task) NODISCARD;

/* timeline_of() x, which the planner keeps. */
int plan_timeline(struct planner *p, const struct expr *x, const struct timeline **out) NODISCARD;

void planner_clear(struct planner *p); /* not the graph */

/* ---- plan_stream.c ---- */

/* The moments of one segment of x for reduction `op` (mean to max), or its trend instead. */
int plan_segment(struct planner *p, enum expr_op op, const struct expr *x, int64_t vol0,
                 int64_t nvol, size_t *task) NODISCARD;
/* Order statistic `e` (EXPR_KIND_PERCENTILES) and, in the same pass, the others of its series in
 * `image`, which contains e. *plane is the index of e among the task's planes. */
int plan_percentiles(struct planner *p, const struct expr *image, const struct expr *e,
                     size_t *task, size_t *plane) NODISCARD;
int plan_volume(struct planner *p, const struct expr *index, size_t *task) NODISCARD;
/* The only volume of a file of input `e`. */
int plan_file_volume(struct planner *p, struct run *file, const struct expr *e,
                     size_t *task) NODISCARD;
/* A TASK_CHUNK of volumes [vol0, vol0 + nvol), or a TASK_CHECKSUM: of all with [0, INT64_MAX). */
int plan_volumes(struct planner *p, enum task_kind kind, const struct expr *x, int64_t vol0,
                 int64_t nvol, size_t *task) NODISCARD;

/* ---- plan.c ---- */

int plan_image(struct planner *p, enum task_kind kind, const struct expr *e,
               size_t *task) NODISCARD;
/* The number of an image within a mask. */
int plan_within(struct planner *p, const struct expr *e, size_t *task) NODISCARD;
/* The recipe's file in another format than .nii, from the image of a TASK_IMAGE. */
int plan_output(struct planner *p, const struct recipe *recipe, const struct output_format *format,
                size_t image, size_t *task) NODISCARD;
/* The plane of image x (PLAN_PLANE), or of mean(x) or std(x) over all volumes of series x
 * (PLAN_MEAN, PLAN_STD). */
int plan_plane(struct planner *p, enum plan_known_as what, const struct expr *x,
               size_t *task) NODISCARD;
/* The plane of the mean of x over one segment. */
int plan_segment_mean(struct planner *p, const struct expr *x, int64_t vol0, int64_t nvol,
                      size_t *task) NODISCARD;

/* ---- plan_mask.c ---- */

/* What was found of an input; NULL: it was not looked for. */
const struct found_input *plan_found_input(const struct plan_request *q, const struct expr *e);
/* The one of found(a, b) that it is here; any other expression itself. */
const struct expr *plan_found(const struct plan_request *q, const struct expr *e);
/* The mask of numbers and pictures; NULL: the head by Otsu's threshold. */
int plan_mask(const struct plan_request *q, const struct expr **out, struct error *err) NODISCARD;

/* ---- plan_command.c ---- */

/* The recipe's program and all that it needs. */
int plan_command(struct planner *p, const struct recipe *recipe, size_t *task) NODISCARD;

#endif
