/* SPDX-License-Identifier: MIT
 *
 * States of files and tasks, explanations, drawings, and the texts of `.derivfs`. Nothing here
 * computes. Thread rule: as in engine.h.
 */
#ifndef DERIVFS_ENGINE_INSPECT_H
#define DERIVFS_ENGINE_INSPECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dir.h"
#include "engine_derived.h"
#include "error.h"
#include "key.h"
#include "remark.h"
#include "rights.h"
#include "task_state.h"

struct engine;

/* ---- one file, one task ---- */

enum derived_state { STATE_VIRTUAL, STATE_COMPUTING, STATE_CACHED, STATE_FAILED };

struct derived_status {
    enum derived_state state;
    double percent;     /* of the work; 100 where cached */
    struct key key;     /* of the file; "" if it cannot be planned */
    struct error error; /* STATE_FAILED: why */
};

/* `path` is the derived file's own. */
void engine_derived_status(struct engine *e, const struct derived *d, const char *path,
                           struct derived_status *out);
const char *derived_state_name(enum derived_state state);

/* The state of a task, if this engine runs it or its result is in the cache. */
void engine_task_status(struct engine *e, const struct key *key, struct task_status *out);

/* ---- how a file is computed ---- */

/* A parameter of the recipe. */
struct explained_param {
    const char *name;
    double value;
};

/* A run of the file. */
struct explained_run {
    const char *path;
    const char *error; /* why it cannot be read; NULL: the rest is filled */
    char *array;       /* "int16 (64, 64, 30, 200) chunks (64, 64, 30, 1)" */
    uint64_t nbytes;   /* as stored */
    bool absent;       /* its content is not here */
    const char *codec; /* "gzip" */
    const char *way;   /* how a compressed run is read; NULL: uncompressed */
    const char *by;    /* what identifies it, and so finds its results: "content" */
};

/* An input of the recipe, for one run. */
struct explained_input {
    const char *name;   /* of the recipe that it is, or its first pattern */
    char *text;         /* "file("desc-brain_mask.nii.gz", kind=mask)" */
    const char *run;    /* path of the run */
    const char *path;   /* of the file; NULL: there is none */
    char *array;        /* of the file, as explained_run.array; or NULL */
    const char *looked; /* the directories looked into: "sub-01/func, sub-01"; or NULL */
};

struct explained_task {
    const char *label;
    struct key key;
    const size_t *needs; /* [nneeds] numbers of the tasks whose results it takes */
    size_t nneeds;
    char *array;            /* its result, as explained_run.array */
    bool is_command;        /* a command's: the result determines its size */
    uint64_t work_nbytes;   /* stored bytes to read */
    uint64_t result_nbytes; /* exact size of the result */
    uint64_t cached_nbytes; /* of its entry in the cache; 0: there is none, and */
    const char *missing;    /* this is why; else NULL */
};

struct explained_remark {
    char *path, *text;
    enum remark_kind kind;
};

struct explanation {
    char *array;                    /* of the file, as derived_array() */
    struct explained_param *params; /* [nparams] in the order of the recipe */
    size_t nparams;
    char *params_text;          /* "drop=4,detrend=2" */
    struct explained_run *runs; /* [nruns] in the order in which they are joined */
    size_t nruns;
    struct explained_input *inputs; /* [ninputs] in the order of the expression, then of the runs */
    size_t ninputs;
    struct explained_remark *remarks; /* [nremarks] on the runs and the files beside them */
    size_t nremarks;
    struct explained_task *tasks; /* [ntasks] of the file's first part, dependencies first */
    size_t ntasks;                /* 0: it cannot be planned; then the rest is 0, too */
    unsigned npasses;             /* over the volumes that are read most often */
    char *const *passes;          /* [npasses_told] the purpose of each, in words; */
    size_t npasses_told;          /* none for a single pass */
    uint64_t read_nbytes;         /* stored bytes that all tasks read together */
    uint64_t left_nbytes;         /* of these, those that no cached result replaces */
};

/* *out is for explanation_free(). ENOMEM only: for a file that cannot be planned, it has no tasks.
 */
int engine_explain(struct engine *e, struct derived *d, struct explanation **out,
                   struct error *err) NODISCARD;
void explanation_free(struct explanation *shown);

/* ---- recipes ---- */

/* A recipe in force. */
struct recipe_info {
    const char *name;        /* of a command: that of its file */
    const char *text;        /* the expression or command as written */
    const char *description; /* "" if there is none */
    const char *params_text; /* "drop=0,detrend=2": parameters and defaults; "" if there are none */
    bool is_command, is_builtin;
    bool is_series; /* its file is 4-D */
    bool is_listed; /* for groups or runs */
};

typedef void engine_recipe_fn(void *ctx, const struct recipe_info *r);

/* Call `fn` with each recipe in force, the built-in ones first. */
void engine_each_recipe(struct engine *e, engine_recipe_fn *fn, void *ctx);

/* ---- what is not used, and doubts ---- */

/* Call `fn` with every remark on the runs and files of the mount's directory `dir`, or with
 * layout=derivatives of the one that has what is derived from it. Fails if it cannot be read. */
int engine_remarks(struct engine *e, const char *dir, remark_fn *fn, void *ctx, struct error *err);

/* What was seen where no run was found. */
struct sight {
    struct engine *engine; /* private */
    size_t ndirs;          /* directories looked into */
    size_t nruns;          /* with `below`, those of the first directory that has some */
    size_t nomitted;       /* files that might be taken for runs */
    size_t nothers;        /* NIfTI files that BIDS names tell to be something else */
    size_t nunread;        /* directories that cannot be read */
    size_t nsubdirs;       /* of `dir` */
};

/* Look for runs in the mount's directory `dir`, and `below` in those below it until there is one. */
int engine_look(struct engine *e, const char *dir, bool below, struct sight *out,
                struct error *err) NODISCARD;
/* Look at the names of the dataset in the background, until one may be a run's. If there is none, note
 * that in the errors and the log. After engine_start(). */
void engine_search_runs(struct engine *e);
/* In words. malloced; NULL: out of memory. */
char *sight_text(const struct sight *s) NODISCARD;

/* ---- drawings ---- */

/* Another source for the states of tasks. */
struct dot_view {
    task_status_fn *status;
    void *ctx;
    const char *error; /* why the file failed, or NULL */
};

/* Draw the task graph of `d`, left to right, in Graphviz's language DOT. `view` may be NULL. Fails
 * like a read if a source is absent or broken. *out is malloced. */
int engine_dot(struct engine *e, const struct derived *d, const char *path,
               const struct dot_view *view, char **out, struct error *err) NODISCARD;
/* The same for the latest version of the drawing `name` of `dir`, whose readers have `rights`. */
int engine_draw(struct engine *e, const struct dir *dir, const char *name, struct rights *rights,
                char **out, struct error *err) NODISCARD;

/* ---- texts of `.derivfs` -----------------------------------------------------------------------
 * malloced; NULL: out of memory.
 */

char *engine_status_text(struct engine *e) NODISCARD;
char *engine_status_json(struct engine *e) NODISCARD;
char *engine_metrics_text(struct engine *e) NODISCARD;
char *engine_counters_text(struct engine *e) NODISCARD; /* those of the metrics that only grow */
char *engine_errors_text(struct engine *e) NODISCARD;
char *engine_recipes_text(struct engine *e) NODISCARD;
char *engine_trace_json(struct engine *e) NODISCARD;

#endif
