/* SPDX-License-Identifier: MIT
 *
 * The engine: a dataset with its derived files. With the two headers that it includes
 * (engine_derived.h: what a derived file is; engine_inspect.h: looking in), all that mount/ sees.
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
#include "engine_derived.h"
#include "engine_inspect.h"
#include "errlog.h"
#include "error.h"
#include "wait.h"

#define DERIVFS_VERSION_TEXT "derivfs " DERIVFS_VERSION

enum engine_layout {
    LAYOUT_BESIDE,      /* derived files next to their runs */
    LAYOUT_DERIVATIVES, /* under derivatives/derivfs, in directories like the dataset's */
};

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
    log_fn *log;    /* may be NULL */
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
/* engine_stop(), and free. All readers must be closed. NULL is allowed. */
void engine_close(struct engine *e);

/* What it was opened with; the strings are the engine's own. */
const struct engine_config *engine_config(const struct engine *e);

/* Call `tell` with each mistake in the recipes in force: "FILE:LINE:COLUMN: REASON", then the line
 * and a caret. */
void engine_recipe_problems(struct engine *e, void (*tell)(void *ctx, const char *text), void *ctx);

/* ---- the cache directory ---- */

enum cache_care {
    CACHE_COUNT,  /* fills entries, nbytes */
    CACHE_VERIFY, /* check every entry, remove damaged ones: fills entries (good ones), bad */
    CACHE_PRUNE,  /* evict down to cache_nbytes, remove leftovers: fills freed_nbytes */
    CACHE_CLEAR,  /* remove all entries: fills freed_nbytes */
};

struct cache_report {
    uint64_t entries, nbytes, bad, freed_nbytes; /* those that `care` does not fill are 0 */
};

/* Look after the cache directory of `config`, of which no engine need be open; the dataset and the
 * recipes are not looked at. Every damaged entry goes to config->log. */
int engine_cache_care(const struct engine_config *config, enum cache_care care,
                      struct cache_report *out, struct error *err) NODISCARD;

/* Results that this engine has evicted so far to make room for others. */
uint64_t engine_cache_evicted(const struct engine *e);

/* ---- the tree ---- */

enum entry_kind {
    ENTRY_SOURCE,  /* a file, directory or link of the dataset */
    ENTRY_DERIVED, /* a derived file */
    ENTRY_DIR,     /* a directory that exists in the mount only (layout=derivatives) */
    ENTRY_TEXT,    /* a text that is known at once: what makes such a directory a BIDS dataset, or
                      what the columns of a table mean */
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
/* Its size: that of a command's file is 0 until it is computed. */
uint64_t engine_derived_nbytes(struct engine *e, const struct derived *d);

/* Called for each name; non-zero ends the listing and is returned. `type` is a d_type. */
typedef int engine_list_fn(void *ctx, const char *name, uint64_t ino, unsigned char type);
/* The names in `dir`, without "." and "..": first the dataset's, in its own order, then derived. */
int engine_list(struct engine *e, const char *dir, engine_list_fn *add, void *ctx,
                struct error *err) NODISCARD;

/* The derived files of `dir` but for sidecars, which is what may have to be computed: those that
 * the plain name "RECIPE.EXTENSION" stands for, of every group and of every run; with NULL those
 * that a listing shows. *out [*n] is for derived_list_free(). */
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

/* ---- fetching content (annex_get) ---- */

/* Wait until the content of the file `path` of the dataset is here. */
struct wait *fetch_wait_new(struct engine *e, const char *path) NODISCARD;

/* ---- reading derived files ---- */

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
uint64_t reader_version(const struct reader *r); /* derived_info.version when opened, or fetched */

/* Copy what is there of [off, off + nbytes): all that lies within the file, or less, from the start
 * on, because the rest has to be waited for. Less than there is in the head of a .nii is never. */
int reader_read(struct reader *r, uint64_t off, void *buf, size_t nbytes, size_t *got,
                struct error *err) NODISCARD;

/* Is all of it in the cache, as far as a look at the first and the last part tells? */
bool reader_is_computed(struct reader *r);

/* The descriptor of a file that holds all of it and nothing else; -1: there is none. It stays the
 * reader's, and is open until the next call for this reader. */
int reader_fd(struct reader *r);

/* Wait until bytes [off, off + nbytes), at most a MiB, which start within the file, are computed.
 */
struct wait *reader_wait_new(struct reader *r, uint64_t off, size_t nbytes) NODISCARD;
/* Once they are: copy these bytes, or some of them. */
int reader_wait_read(struct wait *w, uint64_t off, void *buf, size_t nbytes,
                     struct error *err) NODISCARD;
/* How much of the work is done, from 0 to 1. */
double reader_wait_progress(struct wait *w);

/* ---- tables, and the page ---- */

/* Wait for a text about many runs. That of a table needs an image and its numbers from each run,
 * which are jobs of their own; a run that fails does not fail the table but has a row that says
 * why. The page computes nothing. */
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

#endif
