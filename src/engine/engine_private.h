/* SPDX-License-Identifier: MIT
 *
 * The engine is a tree (names), a store (results) and workers (threads). Functions take those of
 * the three that they need; functions that need all of them take the engine.
 */
#ifndef DERIVFS_ENGINE_PRIVATE_H
#define DERIVFS_ENGINE_PRIVATE_H

#include "derived.h"
#include "engine.h"
#include "joined.h"
#include "store.h"
#include "table.h"
#include "text.h"
#include "tree.h"
#include "workers.h"

/* The entries of the cache, which are not counted for each text of `.derivfs`. */
struct cache_count {
    pthread_mutex_t lock;
    struct cache_stats last; /* guarded by lock */
    int64_t last_ns;         /* guarded by lock: CLOCK_MONOTONIC; 0: never counted */
};

struct engine {
    struct engine_config config; /* strings owned */
    struct errlog *errors;
    struct names *names; /* NULL: nothing is kept on disk */
    struct tree tree;
    struct store store;
    struct workers workers;
    struct requests requests;
    struct cache_count count;
    int64_t start_s; /* CLOCK_REALTIME */
};

struct run_list {
    struct run_place *at; /* [n] */
    size_t n;
};

/* Start what config.engine asks for. */
int elsewhere_open(struct engine *e, struct error *err) NODISCARD;
/* Plan that another node computes the part of the file `name` in `dir` at `off`, which `g` is the
 * plan of. -ENOENT: it is not worth a job, or nobody asked for it. EIO: it `was_sent` to one already,
 * which found another key for it. */
int elsewhere_of_graph(struct engine *e, const char *dir, const char *name, uint64_t off,
                       bool was_sent, struct graph *g, struct graph **out,
                       struct error *err) NODISCARD;

/* Add the runs of `dir`, and with `below` those of all directories that a walk enters from there; and
 * what might be taken for a run, but is left out. Fails if one of them cannot be read. `cancel` may be NULL. */
int engine_runs(struct engine *e, const struct dir *dir, bool below, enum scan_freshness freshness,
                const struct cancel_token *cancel, struct run_list *out,
                struct error *err) NODISCARD;
void run_list_clear(struct run_list *l);

/* The files that requests wait for, in the order in which the first of them began. */
struct engine_request {
    char *path;                        /* owned: the derived file */
    struct key key;                    /* of the task */
    unsigned waiting;                  /* requests for it */
    uint64_t done_nbytes, work_nbytes; /* of that task; 0 if it just ended */
    uint64_t found_nbytes;             /* done before the first of them began */
    double seconds;                    /* since the first of them began */
    double rate;                       /* bytes a second */
};

/* *out is malloced, NULL for none. Returns the number. */
size_t engine_requests(struct engine *e, struct engine_request **out);
void engine_requests_free(struct engine_request *list, size_t n);

/* Note a failure under `path`, or with NULL that there is none; a cancellation changes nothing. */
void engine_note(struct engine *e, const char *path, const struct error *err);

/* Must content be fetched before the file can be planned? Then opening it fetches, and its size is
 * not reliable. */
bool engine_must_fetch(const struct engine *e, const struct derived *d);
/* The columns `with` (enum table_with) for rows[nrows] of `recipe`. joined_clear() it after a failure,
 * too. */
int engine_join(struct engine *e, unsigned with, const char *recipe, const struct table_row *rows,
                size_t nrows, struct joined *out, struct error *err) NODISCARD;

/* Make the page (engine_report.c): a malloced text. `beside` and `with` as for page_wait_new().
 * ECANCELED. */
int page_make(struct engine *e, const char *beside, unsigned with,
              const struct cancel_token *cancel, char **out, struct error *err) NODISCARD;

/* reader_open() from a snapshot of this freshness. A source that changed after the snapshot makes
 * the read fail with ESTALE, which looks the file up again. */
int reader_open_at(struct engine *e, const struct dir *dir, const char *name,
                   enum scan_freshness freshness, struct reader **out, struct error *err) NODISCARD;

#endif
