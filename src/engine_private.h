/* SPDX-License-Identifier: MIT
 *
 * What the engine's own files (engine.c, tree.c, reader.c, status.c) share.
 */
#ifndef DERIVFS_ENGINE_PRIVATE_H
#define DERIVFS_ENGINE_PRIVATE_H

#include "compute.h"
#include "dataset.h"
#include "engine.h"
#include "errlog.h"
#include "scheduler.h"
#include "sizes.h"
#include "trace.h"

struct engine {
    struct engine_config config; /* strings owned */
    struct dataset *dataset;
    struct budget *budget;
    struct cache *cache;
    struct recipes *recipes;
    struct errlog *errors;
    struct cursor_pool *pool;
    struct compute compute;
    struct sizes *sizes; /* of what commands have written: also of what the cache has not kept */
    struct trace *trace;
    struct sched *sched; /* NULL before engine_start() */
    int64_t start_s;     /* CLOCK_REALTIME */
};

/* Tell the log callback. */
void engine_log(struct engine *e, enum log_level level, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Note a failure of `path` in the error log; tell the log callback if it is news. */
void engine_failed(struct engine *e, const char *path, const struct error *what);

/* "DIR/NAME", or NAME in the root. malloced; NULL: out of memory. */
char *join_path(const char *dir, const char *name) NODISCARD;

/* The derived file `name` of the mount's directory `dir`. */
int tree_find_derived(struct engine *e, const char *dir, const char *name,
                      enum scan_freshness freshness, struct derived **out,
                      struct error *err) NODISCARD;

/* The recipes in force (engine_recipes.c). recipes_close() after a failure too. */
int recipes_open(struct engine *e, struct error *err) NODISCARD;
void recipes_close(struct engine *e);
/* Where the user's recipes are, or NULL: there is no file. */
const char *recipes_path(const struct engine *e);

/* The plan of one part without what is in the cache already. */
int engine_plan(struct engine *e, const struct derived *d, size_t part, struct graph **out,
                struct error *err) NODISCARD;

#endif
