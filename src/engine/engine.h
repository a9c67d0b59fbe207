/* SPDX-License-Identifier: MIT
 *
 * The engine: a dataset with its derived files. All that mount/ sees.
 *
 *     virtual path -> recipe -> expression -> task graph -> scheduler -> cache -> bytes
 *
 * Paths are relative to the root of the mount, "" for the root, without leading or trailing slash.
 * Thread rule: any thread, once engine_start() has returned. No function waits for a task but
 * engine_close().
 */
#ifndef DERIVFS_ENGINE_H
#define DERIVFS_ENGINE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "batch.h"
#include "blob.h"
#include "cache.h"
#include "derived.h"
#include "dot.h"
#include "error.h"
#include "wait.h"

#define DERIVFS_VERSION_TEXT "derivfs " DERIVFS_VERSION

enum engine_layout {
    LAYOUT_BESIDE,      /* derived files next to their runs */
    LAYOUT_DERIVATIVES, /* under derivatives/derivfs, in directories like the dataset's */
};

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

struct engine_config {
    const char *dataset;   /* path */
    const char *cache_dir; /* path */
    uint64_t cache_nbytes; /* 0: keep nothing on disk */
    unsigned nthreads;     /* at least 1 */
    size_t memory_nbytes;  /* ceiling of compute buffers */
    const char *recipes;   /* path of the user's recipes, NULL: built-in ones only */
    bool recipes_optional; /* the file need not be there; it is read once it is */
    enum engine_layout layout;
    bool annex_get; /* content of git-annex files that is not here is fetched when it is read */
    void (*log)(void *ctx, enum log_level level,
                const char *text); /* from any thread; may be NULL */
    void *log_ctx;
};

struct engine;

/* Open dataset, cache and recipes; starts no thread, so that a daemon may still fork. Strings are
 * copied. Costs the same for ten files and for a million. */
int engine_open(const struct engine_config *config, struct engine **out,
                struct error *err) NODISCARD;
/* Start the workers, and remove what commands of a daemon that was killed have left behind. */
int engine_start(struct engine *e, struct error *err) NODISCARD;
/* Cancel what is running and wait for the workers: nothing is called back any more. For owners of
 * readers that they close when they are called back. */
void engine_stop(struct engine *e);
/* engine_stop(), and free. All readers must be closed. NULL is allowed.
 */
void engine_close(struct engine *e);

const struct engine_config *
engine_config(const struct engine *e); /* with the engine's own strings */
struct cache *engine_cache(struct engine *e);
/* The recipes in force: a reference. Where the file has changed, it is read again first; a look
 * more than once a second is not taken. */
struct recipe_table *engine_recipes(struct engine *e);

/* ---- the tree ----------------------------------------------------------------------------------
 */

enum entry_kind {
    ENTRY_SOURCE,  /* a file, directory or link of the dataset */
    ENTRY_DERIVED, /* a derived file */
    ENTRY_DIR,     /* a directory that exists in the mount only (layout=derivatives) */
    ENTRY_TEXT,    /* a file that tells of such a directory (description.h), or what the columns
                      of a table mean */
    ENTRY_TABLE,   /* the numbers of several runs, put together when it is opened; its size is
                      known only then and told as 0 */
};

struct entry {
    enum entry_kind kind;
    struct stat st;          /* as the mount shows it */
    struct derived *derived; /* ENTRY_DERIVED: a reference for the caller, else NULL */
    char *text;              /* ENTRY_TEXT: all of it, the caller's, else NULL */
};

/* Give up what the entry owns. */
void entry_clear(struct entry *entry);

/* What is called `name` in `dir`. The dataset's own files come first. */
int engine_lookup(struct engine *e, const char *dir, const char *name, struct entry *out,
                  struct error *err) NODISCARD;
/* The same for a whole path; "" is the root. */
int engine_lookup_path(struct engine *e, const char *path, struct entry *out,
                       struct error *err) NODISCARD;

/* stat(2) of a derived file that lies at `path`. */
void engine_stat_derived(struct engine *e, const struct derived *d, const char *path,
                         struct stat *st);
/* Has content to be fetched before anything is known of it? Then opening it fetches, and its size
 * is none that can be relied on. */
bool engine_must_fetch(const struct engine *e, const struct derived *d);
/* Its size: that of a command's file is 0 until it is computed. */
uint64_t engine_derived_nbytes(struct engine *e, const struct derived *d);

/* Called for each name; non-zero ends the listing and is returned. `type` is a d_type. */
typedef int engine_list_fn(void *ctx, const char *name, uint64_t ino, unsigned char type);
/* The names in `dir`, without "." and "..": first the dataset's, in its own order, then derived. */
int engine_list(struct engine *e, const char *dir, engine_list_fn *add, void *ctx,
                struct error *err) NODISCARD;

/* The derived files of `dir` but for sidecars, which is what may have to be computed: those that
 * the plain name stands for, as derived_named(); with NULL those that a listing shows, as
 * derived_list(). */
int engine_list_derived(struct engine *e, const char *dir, const char *plain, struct derived ***out,
                        size_t *n, struct error *err) NODISCARD;

/* Which directories a walk enters: never links, nor those whose names begin with a dot. */
enum walk_extent {
    WALK_RUNS, /* those that may have runs of the dataset's own */
    WALK_ALL,  /* all others of the mount too */
};

struct walk_visitor {
    enum walk_extent extent;
    /* A directory, before those in it. Non-zero ends the walk and is returned. */
    int (*enter)(void *ctx, const char *dir, struct error *err);
    /* A directory cannot be listed, or enter() failed: 0 passes it over. NULL: that ends the walk.
     */
    int (*failed)(void *ctx, const char *dir, struct error *err);
    void *ctx;
};

/* Walk through `dir` and the directories below, the depth first, in the order of names. Passes over
 * what is gone by the time that it is entered. */
int engine_walk(struct engine *e, const char *dir, const struct walk_visitor *v,
                struct error *err) NODISCARD;

/* Open a file of the dataset for reading; the caller closes *fd. With annex_get, ENODATA: its
 * content has to be fetched first. */
int engine_open_source(struct engine *e, const char *path, int *fd, struct error *err) NODISCARD;
/* Read a link of the dataset into buf[nbytes], NUL-terminated. */
int engine_readlink(struct engine *e, const char *path, char *buf, size_t nbytes,
                    struct error *err) NODISCARD;

/* ---- fetching content (annex_get) --------------------------------------------------------------
 */

/* Wait until the content of the file `path` of the dataset is here. */
struct wait *fetch_wait_new(struct engine *e, const char *path) NODISCARD;

/* ---- reading derived files ---------------------------------------------------------------------
 */

struct reader;

/* Open the derived file `name` of `dir` as it is now. ENODATA, EIO: a source is absent or broken.
 * Computes and fetches nothing. */
int reader_open(struct engine *e, const char *dir, const char *name, struct reader **out,
                struct error *err) NODISCARD;
/* Waits that are still under way are cancelled by their owners, not here. NULL is allowed. */
void reader_close(struct reader *r);

/* A command's file has no size before it is computed, nor has one whose runs have to be fetched
 * before that: then false, nothing can be read yet, and a wait is for all of the former, for the
 * runs of the latter. */
bool reader_is_sized(const struct reader *r);
uint64_t reader_nbytes(const struct reader *r);
uint64_t reader_version(const struct reader *r); /* derived->version as it was opened, or fetched */

/* Copy what is there of [off, off + nbytes): all that lies within the file, or less, from the start
 * on, because the rest has to be waited for. Less than there is in the head of a .nii is never. */
int reader_read(struct reader *r, uint64_t off, void *buf, size_t nbytes, size_t *got,
                struct error *err) NODISCARD;

/* Is all of it in the cache, as far as a look at the first and the last part tells? */
bool reader_is_computed(struct reader *r);

/* A reference to the blob that holds the whole file, if it is there by now, else NULL. */
struct blob *reader_whole(struct reader *r);

/* Wait until bytes [off, off + nbytes), at most a MiB, which start within the file, are computed.
 */
struct wait *reader_wait_new(struct reader *r, uint64_t off, size_t nbytes) NODISCARD;
/* Once they are: copy these bytes, or some of them. */
int reader_wait_read(struct wait *w, uint64_t off, void *buf, size_t nbytes,
                     struct error *err) NODISCARD;
/* How much of the work is done, from 0 to 1. */
double reader_wait_progress(struct wait *w);

/* ---- tables, and the page ----------------------------------------------------------------------
 */

/* Wait for a text about many runs. That of a table needs an image and its numbers from each run,
 * which are jobs of their own; a run that fails does not fail the table but has a row that says
 * why. The page (report.h) computes nothing. */
struct wait *table_wait_new(struct engine *e, const char *dir, const char *name) NODISCARD;
struct wait *page_wait_new(struct engine *e) NODISCARD;
/* Once it is there: the text, malloced and NUL-terminated. It passes to the caller; once. */
char *text_wait_take(struct wait *w, size_t *nbytes) NODISCARD;

/* Called with the file that keeps the numbers of one run, which no directory shows, and its path,
 * as for reader_open(): both pass to the callee. Non-zero ends it and is returned. */
typedef int engine_row_fn(void *ctx, struct derived *d, char *path);
/* What the rows of the table `name` of `dir` are from, in their order. ENOENT: there is no such
 * table. */
int engine_each_row(struct engine *e, const char *dir, const char *name, engine_row_fn *fn,
                    void *ctx, struct error *err) NODISCARD;

/* ---- looking in --------------------------------------------------------------------------------
 */

enum derived_state { STATE_VIRTUAL, STATE_COMPUTING, STATE_CACHED, STATE_FAILED };

struct derived_status {
    enum derived_state state;
    double percent;     /* of the work; 100 where cached */
    struct key key;     /* of the file; "" where it cannot be planned */
    struct error error; /* STATE_FAILED: why */
};

/* `path` is the derived file's own. */
void engine_derived_status(struct engine *e, const struct derived *d, const char *path,
                           struct derived_status *out);
const char *derived_state_name(enum derived_state state);

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

/* The state of one task now, as far as this engine knows: it does the work itself, or finds results
 * in the cache. */
void engine_task_status(struct engine *e, const struct key *key, struct task_status *out);

/* Who knows more than this engine about the states of tasks. */
struct dot_view {
    task_status_fn *status;
    void *ctx;
    const char *error; /* why the file failed the last time, or NULL */
};

/* The task graph of `d` as a text in DOT (see dot.h), computing nothing. `view` may be NULL. Fails
 * like reading would where a source is absent or broken. *out is malloced. */
int engine_dot(struct engine *e, const struct derived *d, const char *path,
               const struct dot_view *view, char **out, struct error *err) NODISCARD;
/* The same for the drawing `name` of `dir` as it is now; *version is derived->version. */
int engine_draw(struct engine *e, const char *dir, const char *name, uint64_t *version, char **out,
                struct error *err) NODISCARD;

/* Texts of `.derivfs`: malloced, NULL: out of memory. */
char *engine_status_text(struct engine *e) NODISCARD;
char *engine_status_json(struct engine *e) NODISCARD;
char *engine_metrics_text(struct engine *e) NODISCARD;
char *engine_errors_text(struct engine *e) NODISCARD;
char *engine_recipes_text(struct engine *e) NODISCARD;
char *engine_trace_json(struct engine *e) NODISCARD;

#endif
