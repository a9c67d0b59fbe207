/* SPDX-License-Identifier: MIT
 *
 * What the engine's own files (engine.c, tree.c, reader.c, status.c) share.
 */
#ifndef DERIVFS_ENGINE_PRIVATE_H
#define DERIVFS_ENGINE_PRIVATE_H

#include <pthread.h>

#include "compute.h"
#include "dataset.h"
#include "derived.h"
#include "engine.h"
#include "errands.h"
#include "errlog.h"
#include "scheduler.h"
#include "sizes.h"
#include "stop.h"
#include "trace.h"

/* A reader that waits (engine_requests.c); its owner keeps it in place from begin to end. */
struct request {
    const char *path;            /* outlives the request */
    int64_t began_ns;            /* CLOCK_MONOTONIC */
    struct key key;              /* guarded by requests.lock: the task, "" before there is one */
    uint64_t found_nbytes;       /* guarded by requests.lock: done before it came */
    struct request *prev, *next; /* guarded by requests.lock */
};

struct requests {
    pthread_mutex_t lock;
    struct request *list; /* guarded by lock: in the order of beginning */
};

struct engine {
    struct engine_config config; /* strings owned */
    struct dataset *dataset;
    struct headers *headers; /* NULL: nothing is kept on disk */
    struct budget *budget;
    struct cache *cache;
    struct recipes *recipes;
    struct errlog *errors;
    struct cursor_pool *pool; /* NULL before engine_start(), as is sched */
    struct compute compute;
    struct sizes *sizes; /* of what commands have written: also of what the cache has not kept */
    struct trace *trace;
    struct requests requests;
    struct sched *sched;     /* NULL before engine_start() */
    struct sched *fetcher;   /* the same; NULL too without annex_get */
    struct sched *joiner;    /* the same as sched */
    struct errands *errands; /* the same as sched: walks through the dataset */
    int64_t start_s;         /* CLOCK_REALTIME */
};

/* Tell the log callback. */
void engine_log(struct engine *e, enum log_level level, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Note a failure of `path` in the error log; tell the log callback if it is news. */
void engine_failed(struct engine *e, const char *path, const struct error *what);

void request_begin(struct engine *e, struct request *r, const char *path);
/* Waits for the root of `g`, which is about to be submitted. */
void request_at(struct engine *e, struct request *r, const struct graph *g);
void request_end(struct engine *e, struct request *r);
double request_progress(struct engine *e, struct request *r); /* from 0 to 1 */

/* What readers wait for now, in the order in which they began. */
struct engine_request {
    char *path;                        /* owned: the derived file */
    struct key key;                    /* of the task whose result is waited for */
    unsigned waiting;                  /* requests for it */
    uint64_t done_nbytes, work_nbytes; /* of the work for it; 0 where it ends just now */
    uint64_t found_nbytes;             /* done by others when the first of them came */
    double seconds;                    /* since then */
    double rate;                       /* bytes a second since then */
};

/* *out is malloced, NULL for none. Returns the number. */
size_t engine_requests(struct engine *e, struct engine_request **out);
void engine_requests_free(struct engine_request *list, size_t n);

/* "DIR/NAME", or NAME in the root. malloced; NULL: out of memory. */
char *join_path(const char *dir, const char *name) NODISCARD;

/* The derived file `name` of the mount's directory `dir`. */
int tree_find_derived(struct engine *e, const char *dir, const char *name,
                      enum scan_freshness freshness, struct derived **out,
                      struct error *err) NODISCARD;

/* The runs of the mount's directory `dir`; ENOENT: no derived files are there. The caller puts it.
 */
int tree_scan(struct engine *e, const char *dir, enum scan_freshness freshness,
              struct dir_scan **out, struct error *err) NODISCARD;
/* Call `add` for each directory in `dir` that may have runs of its own: no other dataset's. */
int tree_subdirs(struct engine *e, const char *dir, engine_list_fn *add, void *ctx,
                 struct error *err) NODISCARD;
/* A run, and the mount's directory that shows what is derived from it. */
struct run_place {
    struct dir_scan *scan; /* a reference: keeps `run` alive */
    const struct dir_run *run;
    char *dir; /* owned */
};

struct run_list {
    struct run_place *at; /* [n] */
    size_t n;
};

/* Add the runs of `dir`, and with `below` those of all directories that tree_subdirs() finds from
 * there on. One that cannot be read fails it. `stop` may be NULL. */
int tree_runs(struct engine *e, const char *dir, bool below, enum scan_freshness freshness,
              const struct stop *stop, struct run_list *out, struct error *err) NODISCARD;
void run_list_clear(struct run_list *l);
/* Where the derived files of the dataset's root are, in the mount. */
const char *tree_derived_root(const struct engine *e);

/* Tables (tree_table.c). What the name of one says. */
struct table_name {
    bool is_group;
    struct recipe_table *owner; /* a reference: keeps `recipe` alive */
    const struct recipe *recipe;
};

/* The table, or its dictionary, that `name` with this ending may be. ENOENT. */
int tree_table_name(struct engine *e, const char *dir, const char *name, const char *ending,
                    struct table_name *out, struct error *err) NODISCARD;
/* The name of the file that keeps the numbers of one run's image: malloced; NULL: out of memory. */
char *tree_numbers_name(const struct dir_run *run, const struct recipe *recipe) NODISCARD;
/* Look up the table or dictionary `name`; all of out->st but the inode number. */
int tree_lookup_table(struct engine *e, const char *dir, const char *name, struct entry *out,
                      struct error *err) NODISCARD;

/* The page (engine_report.c): a malloced text. ECANCELED. */
int page_make(struct engine *e, const struct stop *stop, char **out, struct error *err) NODISCARD;

/* The recipes in force: a reference. Where the file has changed, it is read again first; a look
 * more than once a second is not taken. */
struct recipe_table *engine_recipes(struct engine *e);
/* Their life (engine_recipes.c). recipes_close() after a failure too. */
int recipes_open(struct engine *e, struct error *err) NODISCARD;
void recipes_close(struct engine *e);
/* Where the user's recipes are, or NULL: there is no file. */
const char *recipes_path(const struct engine *e);

/* Has content to be fetched before anything is known of it? Then opening it fetches, and its size
 * is none that can be relied on. */
bool engine_must_fetch(const struct engine *e, const struct derived *d);
/* Start the workers that fetch, if that is wanted. */
int fetcher_open(struct engine *e, struct error *err) NODISCARD;
/* Plan to fetch what `d` lacks, for the fetcher. ENOENT: nothing. */
int fetch_of_derived(struct engine *e, const struct derived *d, struct graph **out,
                     struct error *err) NODISCARD;
/* Plan to fetch the runs that `g` reads, which is planned from headers that were read before.
 * ENOENT: all are here, or their results are. */
int fetch_of_graph(struct engine *e, const struct graph *g, struct graph **out,
                   struct error *err) NODISCARD;
/* Is that under way, and how far is it? */
bool fetch_progress(struct engine *e, const struct derived *d, double *percent);

/* reader_open() from a snapshot of this freshness: a source that has changed since then is found
 * out where it is read. */
int reader_open_at(struct engine *e, const char *dir, const char *name,
                   enum scan_freshness freshness, struct reader **out, struct error *err) NODISCARD;

/* Start the thread that joins (join.h). */
int joiner_open(struct engine *e, struct error *err) NODISCARD;
/* The whole file of a series, if it is in the cache in one piece: a reference, or NULL. */
struct blob *joined_lookup(struct engine *e, const struct derived *d);
/* Is it? Then *key names the entry. */
bool joined_is_cached(struct engine *e, const struct derived *d, struct key *key);
/* Have it joined, if all its parts are in the cache; that is waited for by nobody. */
void joined_start(struct engine *e, const struct derived *d);

/* graph_cut() by what is in the cache. */
struct graph *engine_cut(struct engine *e, struct graph *g) NODISCARD;

#endif
