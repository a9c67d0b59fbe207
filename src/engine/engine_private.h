/* SPDX-License-Identifier: MIT
 *
 * The engine is a tree (names), a store (results) and workers (who computes). Functions take those
 * of the three that they need; whoever takes all of them takes the engine.
 */
#ifndef DERIVFS_ENGINE_PRIVATE_H
#define DERIVFS_ENGINE_PRIVATE_H

#include "derived.h"
#include "engine.h"
#include "path.h"
#include "store.h"
#include "tree.h"
#include "workers.h"

struct engine {
    struct engine_config config; /* strings owned */
    struct errlog *errors;
    struct headers *headers; /* NULL: nothing is kept on disk */
    struct tree tree;
    struct store store;
    struct workers workers;
    struct requests requests;
    int64_t start_s; /* CLOCK_REALTIME */
};

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

/* Add the runs of `dir`, and with `below` those of all directories that a walk by WALK_RUNS enters
 * from there. Fails if one of them cannot be read. `cancel` may be NULL. */
int engine_runs(struct engine *e, const char *dir, bool below, enum scan_freshness freshness,
                const struct cancel_token *cancel, struct run_list *out,
                struct error *err) NODISCARD;
void run_list_clear(struct run_list *l);

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

/* Has content to be fetched before anything is known of it? Then opening it fetches, and its size
 * is none that can be relied on. */
bool engine_must_fetch(const struct engine *e, const struct derived *d);
/* The page (engine_report.c): a malloced text. ECANCELED. */
int page_make(struct engine *e, const struct cancel_token *stop, char **out,
              struct error *err) NODISCARD;

/* reader_open() from a snapshot of this freshness: a source that has changed since then is found
 * out where it is read. */
int reader_open_at(struct engine *e, const char *dir, const char *name,
                   enum scan_freshness freshness, struct reader **out, struct error *err) NODISCARD;

#endif
