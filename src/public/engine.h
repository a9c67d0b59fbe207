/* SPDX-License-Identifier: MIT
 *
 * The engine: a dataset with its derived files. With the two headers that it includes,
 * engine_derived.h (derived files) and engine_inspect.h (states and texts), all that mount/ sees.
 *
 *     virtual path -> recipe -> expression -> task graph -> scheduler -> cache -> bytes
 *
 * Paths are relative to the root of the mount, "" for the root, without leading or trailing slash.
 * A struct dir is a directory of the mount by its path, and the dataset's directory that it shows by
 * device and inode. -ESTALE: the path leads to another one by now.
 * Thread rule: any thread, once engine_start() has returned. Only engine_close() waits for tasks.
 */
#ifndef DERIVFS_ENGINE_H
#define DERIVFS_ENGINE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "batch.h"
#include "dir.h"
#include "engine_derived.h"
#include "engine_inspect.h"
#include "errlog.h"
#include "error.h"
#include "rights.h"
#include "wait.h"

#define DERIVFS_VERSION_TEXT "derivfs " DERIVFS_VERSION

enum engine_layout {
    LAYOUT_BESIDE,      /* derived files next to their runs */
    LAYOUT_DERIVATIVES, /* under derivatives/derivfs, in directories like the dataset's */
};

struct engine_config {
    const char *dataset;           /* path */
    const char *cache_dir;         /* path */
    const char *cache_at;          /* path to open it by; NULL: cache_dir */
    uint64_t cache_nbytes;         /* 0: keep nothing on disk */
    const char *const *cache_from; /* [ncache_from] directories of caches that are only read */
    size_t ncache_from;
    const uid_t
        *cache_owners; /* [ncache_owners] whose these may be, besides root's and the user's */
    size_t ncache_owners;
    unsigned nthreads;      /* at least 1 */
    size_t memory_nbytes;   /* ceiling of compute buffers */
    const char *recipes;    /* path of the user's recipes; NULL: built-in ones only */
    const char *recipes_at; /* path to open them by; NULL: recipes */
    bool recipes_optional;  /* the file may appear later */
    enum engine_layout layout;
    bool annex_get;        /* a read fetches absent content of git-annex files */
    bool join_all;         /* join all runs of one grid where names are not BIDS */
    const char *trust_ids; /* file systems whose inode numbers and times identify a file for good:
                              types and paths, separated by colons; NULL: only those known to be */
    const char *engine;    /* batch system for what takes long; NULL: none. Then: */
    const char *engines;   /* its settings file (cluster/batch_system.h); NULL: none */
    double submit_above_s; /* what takes less is computed here */
    unsigned submit_jobs;  /* at a time */
    char *const *worker;   /* command line of a worker before JOBDIR N; ends with NULL, and stays */
    const char *worker_settings; /* lines NAME=VALUE for the worker */
    const char *session;         /* identify files as the engine with this session does (its status
                              has it); NULL: a session of its own */
    bool shared; /* others than the owner of the process ask: access control lists count.
                              The same for all engines of a process */
    log_fn *log; /* may be NULL */
    void *log_ctx;
};

struct engine;

/* Open dataset, cache and recipes. Starts no thread: a daemon may still fork. Copies the strings,
 * but not what cache_from and cache_owners point to, which must stay.
 * The cost does not depend on the number of files. */
int engine_open(const struct engine_config *config, struct engine **out,
                struct error *err) NODISCARD;
/* Start the workers, unless they are, and remove the directories of commands that a killed daemon has
 * left. */
int engine_start(struct engine *e, struct error *err) NODISCARD;
/* Cancel all tasks and wait for the workers: no callback runs after it. For owners of readers that
 * close them in a callback. */
void engine_stop(struct engine *e);
/* engine_stop(), and free. All readers must be closed. NULL is allowed. */
void engine_close(struct engine *e);

/* The configuration; its strings are copies that the engine owns. */
const struct engine_config *engine_config(const struct engine *e);

/* Call `add` with each mistake in the recipes in force: "FILE:LINE:COLUMN: REASON", then the line
 * and a caret. */
void engine_recipe_problems(struct engine *e, void (*add)(void *ctx, const char *text), void *ctx);

/* ---- the cache directory ---- */

enum cache_care {
    CACHE_COUNT,  /* fills entries, nbytes */
    CACHE_VERIFY, /* check every entry, remove damaged ones: fills entries (good ones), bad */
    CACHE_PRUNE,  /* evict down to cache_nbytes, remove leftovers: fills freed_nbytes */
    CACHE_CLEAR,  /* remove all entries: fills freed_nbytes */
};

struct cache_report {
    uint64_t entries, nbytes, bad, freed_nbytes; /* 0 unless `care` fills them */
};

/* Maintain the cache directory of `config`. Needs no engine; ignores dataset and recipes. Passes
 * each damaged entry to config->log. */
int engine_cache_care(const struct engine_config *config, enum cache_care care,
                      struct cache_report *out, struct error *err) NODISCARD;

/* Can results be kept? Tries it; if not, the sentence names the cache directory and the reason. */
int engine_cache_try(struct engine *e, struct error *err) NODISCARD;

/* Results that this engine has evicted. */
uint64_t engine_cache_evicted(const struct engine *e);

/* ---- the tree ---- */

enum entry_kind {
    ENTRY_SOURCE,  /* a file, directory or link of the dataset */
    ENTRY_DERIVED, /* a derived file */
    ENTRY_DIR,     /* a directory of the mount alone (layout=derivatives) */
    ENTRY_TEXT,    /* a text that is known at once: of the derivative dataset, or of a table */
    ENTRY_TABLE,   /* the numbers of several runs, read when it is opened */
};

struct entry {
    enum entry_kind kind;
    struct stat st;          /* as the mount shows it */
    struct derived *derived; /* ENTRY_DERIVED: a reference for the caller, else NULL */
    char *text;              /* ENTRY_TEXT: all of it, for the caller; else NULL */
    uint64_t dev, ino;       /* ENTRY_DIR: of the dataset's directory that it shows; DIR_NONE */
};

/* Release what the entry owns. */
void entry_clear(struct entry *entry);

/* The mount's directory with what is derived from the dataset's root, group tables too: "" or
 * "derivatives/derivfs". */
const char *engine_derived_root(const struct engine *e);

/* statvfs(3) of the dataset's file system. */
int engine_statvfs(struct engine *e, struct statvfs *out) NODISCARD;

/* Open the dataset's directory, for many calls with the same `dir`: close(2) dir->fd. If that fails,
 * `dir` stays closed, and each call says why. */
void engine_dir_open(struct engine *e, struct dir *dir);

/* What is called `name` in `dir`. The dataset's own files come first. */
int engine_lookup(struct engine *e, const struct dir *dir, const char *name, struct entry *out,
                  struct error *err) NODISCARD;
/* The same for a whole path; "" is the root. */
int engine_lookup_path(struct engine *e, const char *path, struct entry *out,
                       struct error *err) NODISCARD;

/* The st_size of a file of unknown length. Larger than any such file should be: a program that
 * trusts it reads all, or notices that it cannot. With size 0, tar, git and sendfile(2) would take
 * the file for empty, and with less than its length for shorter. */
#define UNKNOWN_NBYTES (UINT64_C(1) << 30)

/* stat(2) of a derived file that lies at `path`. */
void engine_stat_derived(struct engine *e, const struct derived *d, const char *path,
                         struct stat *st);
/* Its size; 0 if it is not known (yet). */
uint64_t engine_derived_nbytes(struct engine *e, const struct derived *d);

/* Called for each name; non-zero ends the listing and is its result. `type` is a d_type. */
typedef int engine_list_fn(void *ctx, const char *name, uint64_t ino, unsigned char type);
/* List `dir` without "." and "..": the dataset's names in its own order, then derived files. */
int engine_list(struct engine *e, const struct dir *dir, engine_list_fn *add, void *ctx,
                struct error *err) NODISCARD;

/* The derived files of `dir` without sidecars: those that the plain name "RECIPE.EXTENSION" stands
 * for, of every group and run; with NULL those that a listing shows. *out [*n] is for
 * derived_list_free(). */
int engine_list_derived(struct engine *e, const char *dir, const char *plain, struct derived ***out,
                        size_t *n, struct error *err) NODISCARD;

struct walk_visitor {
    /* Called for a directory before those in it. Non-zero ends the walk and is its result. */
    int (*enter)(void *ctx, const char *dir, struct error *err);
    /* Called if a directory cannot be listed, or enter() failed: 0 skips it. NULL: the walk ends.
     */
    int (*failed)(void *ctx, const char *dir, struct error *err);
    /* Called for a link that leads out of the dataset to a directory, with the reason why it is not
     * followed. As enter(); NULL: not called. */
    int (*left_out)(void *ctx, const char *path, const char *reason, struct error *err);
    void *ctx;
};

/* Walk through the derived files of `dir` and the directories below, depth first, in the order of
 * names: all that may have runs of this dataset, which those under derivatives, sourcedata and code at
 * the root have not, nor names that begin with a dot. Links are followed after that, each directory
 * once. Skips directories that are removed meanwhile. */
int engine_walk(struct engine *e, const char *dir, const struct walk_visitor *v,
                struct error *err) NODISCARD;

/* Note in `.derivfs/errors` that an operation on `path` itself failed, or with NULL that it works
 * again. An answer that is no failure, as ENOENT, notes nothing. */
void engine_note_access(struct engine *e, enum errlog_kind kind, const char *path,
                        const struct error *err);
/* May there be a note that a success removes? Costs nothing. */
bool engine_access_failed(struct engine *e);

/* Open a file of the dataset for reading; the caller closes *fd. *st is as the mount shows it.
 * ENODATA, with annex_get: its content must be fetched first. */
int engine_open_source(struct engine *e, const struct dir *dir, const char *name, int *fd,
                       struct stat *st, struct error *err) NODISCARD;
/* stat(2) of a file opened by engine_open_source(). */
int engine_stat_open(int fd, struct stat *st) NODISCARD;
/* Read a link of the dataset into buf[nbytes], NUL-terminated. */
int engine_readlink(struct engine *e, const struct dir *dir, const char *name, char *buf,
                    size_t nbytes, struct error *err) NODISCARD;

/* Text `i` of a derivative dataset: its name, or NULL after the last. *text is malloced, or NULL: out
 * of memory. `raw`: where the runs' dataset is, as a URI. */
const char *engine_description(struct engine *e, size_t i, const char *raw, char **text) NODISCARD;

/* ---- fetching content (annex_get) ---- */

/* Wait until the content of the file `path` of the dataset is here. */
struct wait *fetch_wait_new(struct engine *e, const char *path) NODISCARD;

/* ---- reading derived files ---- */

struct reader;

/* Open the latest version of the derived file `name` of `dir`. ENODATA, EIO: a source is absent or
 * broken. Computes and fetches nothing. */
int reader_open(struct engine *e, const struct dir *dir, const char *name, struct reader **out,
                struct error *err) NODISCARD;
/* Does not cancel waits of the reader: their owners do. NULL is allowed. */
void reader_close(struct reader *r);

struct reader_info {
    /* derived_info.version: of the bytes handed out, or of those that would be now. A wait may
     * change it before the first byte. */
    uint64_t version;
    uint64_t nbytes;
    /* False: nbytes is unknown and nothing can be read. A wait then computes all of the file (of a
     * command), or fetches the runs that tell its size (annex_get). */
    bool sized;
    struct rights rights; /* of those who may read it */
};

struct reader_info reader_info(const struct reader *r);

/* Copy the available bytes of [off, off + nbytes): all within the file, or none if a wait must bring
 * some; with `partly` the first ones. The header of a .nii is always available. All bytes that a
 * reader hands out, here and by waits, belong to one version of the sources. */
int reader_read(struct reader *r, uint64_t off, void *buf, size_t nbytes, bool partly, size_t *got,
                struct error *err) NODISCARD;

/* Is all of it in the cache? Looks at the first and the last part only. */
bool reader_is_computed(struct reader *r);

/* The descriptor of a file with exactly these bytes, which no other host can remove; -1: there is
 * none. The reader owns it; it is
 * valid until the next call for this reader. */
int reader_fd(struct reader *r);

/* Wait until bytes [off, off + nbytes), at most a MiB, are computed. `off` is within the file. */
struct wait *reader_wait_new(struct reader *r, uint64_t off, size_t nbytes) NODISCARD;
/* After that: copy all or some of these bytes. EAGAIN: the cache has lost them meanwhile; wait for
 * them again. */
int reader_wait_read(struct wait *w, uint64_t off, void *buf, size_t nbytes,
                     struct error *err) NODISCARD;
/* As reader_wait_new(), for the reader of `w`. */
struct wait *reader_wait_again(struct wait *w, uint64_t off, size_t nbytes) NODISCARD;
/* The progress, from 0 to 1. */
double reader_wait_progress(struct wait *w);

/* ---- tables, and the page ---- */

/* Tables of the dataset whose columns are joined: bits of `with`. The text fails if there is none. */
enum table_with {
    TABLE_WITH_PARTICIPANTS = 1, /* participants.tsv */
    TABLE_WITH_SCANS = 2,        /* sub-*_scans.tsv */
};

/* Wait for a text about many runs. A table computes an image and its numbers for each run; a run
 * that fails has a row with the reason. The page computes nothing. */
struct wait *table_wait_new(struct engine *e, const struct dir *dir, const char *name,
                            unsigned with) NODISCARD;
/* `beside`, a constant, leads from the page to a directory that has the files of the mount: "../". */
struct wait *page_wait_new(struct engine *e, const char *beside, unsigned with) NODISCARD;
/* After that: take the text, malloced and NUL-terminated. Call it once. */
char *text_wait_take(struct wait *w, size_t *nbytes) NODISCARD;
/* Who may read it: its runs may be others than those of the last lookup. */
struct rights text_wait_rights(const struct wait *w);

/* Called with the hidden file that has the numbers of one run, and its path, as for reader_open():
 * the callee owns both. Non-zero ends the calls and is their result. */
typedef int engine_row_fn(void *ctx, struct derived *d, char *path);
/* Visit the files behind the rows of the table `name` of `dir`. ENOENT: there is no such table. */
int engine_each_row(struct engine *e, const char *dir, const char *name, engine_row_fn *fn,
                    void *ctx, struct error *err) NODISCARD;

#endif
