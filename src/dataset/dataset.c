/* SPDX-License-Identifier: MIT
 *
 * Snapshots of directories and their freshness.
 *
 *     dataset_scan --- kept and recent? ---------------------> the kept snapshot
 *          |                                                         ^
 *          +-- list the names (or prove the old list right)          | nothing has changed
 *          +-- ask of every file whether it is still the one probed -+
 *          +-- probe the changed and new ones, share the others, group, keep
 *
 * Guarantee: a snapshot from SCAN_NOW holds what the directory held at some time during the call,
 * file by file. A snapshot never changes, so nobody needs a lock to read one.
 * And one from SCAN_RECENT is never older than one from SCAN_NOW before it: an open that finds its
 * file replaced has it looked up again, and must not meet the old one a second time.
 * Deliberate imprecision: threads that find a snapshot too old at the same time each check the
 * directory, which costs a few system calls twice and spares a lock across I/O. Where such checks
 * differ nobody can tell which is newer, so what is kept passes for recent only after a check that
 * began later than both ended. Cost: per check one open, one fstat and one identification per
 * candidate file; names are listed and headers read only after changes. Up to KEPT_MAX directories
 * are kept, the least recently used one goes first.
 */
#include "dataset.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "finder.h"
#include "group.h"
#include "listing.h"
#include "text.h"

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

enum { KEPT_MAX = 256 };
static const int64_t RECENT_NS = 1000000000;

/* The latest snapshot of one directory. All fields are guarded by dataset.lock. */
struct kept {
    char *dir;
    struct dir_scan *scan;
    struct dir_stamp stamp; /* of the directory when its names were listed or proved right */
    int64_t checked_ns;     /* when the check ended, by the dataset's clock */
    uint64_t ended;         /* dataset.tick when the last check of the directory ended */
    uint64_t differed;      /* dataset.tick when one ended that differed from one at its time */
    bool sure;              /* the check began after that */
    uint64_t used;          /* dataset.tick of the last use */
    UT_hash_handle hh;
};

struct dataset {
    int rootfd;
    char *path;
    int64_t (*clock_ns)(void);
    const char *headers_root; /* as in header_page_open() */
    struct names *names;      /* borrowed; NULL: none are kept */
    struct finder *finder;
    bool join_all;
    pthread_mutex_t lock;
    struct kept *kept; /* guarded by lock: hash by dir */
    uint64_t tick;     /* guarded by lock: counts uses, beginnings and ends of checks */
    uint64_t dropped;  /* guarded by lock: tick when the last entry of `kept` went */
};

/* One look at a directory. */
struct check {
    int rootfd, dirfd;
    const struct dir *want;
    const char *dir;            /* its path */
    uint64_t begun;             /* dataset.tick */
    struct dir_scan *old;       /* reference; NULL where nothing was kept */
    struct dir_stamp old_stamp; /* valid with old */
    struct dir_stamp stamp;
    struct header_page *page;
    struct names *names;
};

static int out_of_memory(struct error *err, const char *dir)
{
    return error_set(err, ENOMEM, "%s: scan directory: out of memory", *dir ? dir : "dataset root");
}

/* The same fault as before is no news. */
static bool is_same_fault(const struct run *a, const struct run *b)
{
    return a->state == RUN_UNKNOWN && b->state == RUN_UNKNOWN &&
           strcmp(a->error.text, b->error.text) == 0;
}

/* A reference to the file's run as it is now: the same object if nothing has changed. NULL: no
 * memory. */
static struct run *renew(const struct check *check, struct run *known)
{
    struct run *run;

    if (run_is_current(check->rootfd, check->dirfd, known))
        return run_get(known);
    run = run_probe(check->rootfd, check->dirfd, known->path, check->page, check->names);
    if (!run || !is_same_fault(run, known))
        return run;
    run_put(run);
    return run_get(known);
}

static int renew_files(const struct check *check, struct dir_scan *scan)
{
    const struct dir_scan *old = check->old;
    scan->files = calloc(old->nfiles + 1, sizeof *scan->files);
    if (!scan->files)
        return -ENOMEM;
    for (; scan->nfiles < old->nfiles; scan->nfiles++) {
        scan->files[scan->nfiles] = renew(check, old->files[scan->nfiles]);
        if (!scan->files[scan->nfiles])
            return -ENOMEM;
    }
    return 0;
}

/* List and old files are both in the order of names, so one walk finds what is known already. */
static int match_files(const struct check *check, const struct listing *list, struct dir_scan *scan)
{
    size_t nold = check->old ? check->old->nfiles : 0, o = 0;
    scan->files = calloc(list->n + 1, sizeof *scan->files);
    if (!scan->files)
        return -ENOMEM;
    for (; scan->nfiles < list->n; scan->nfiles++) {
        const char *name = list->name[scan->nfiles];
        while (o < nold && strcmp(base_name(check->old->files[o]->path), name) < 0)
            o++;
        struct run *run;
        if (o < nold && strcmp(base_name(check->old->files[o]->path), name) == 0) {
            run = renew(check, check->old->files[o]);
        } else {
            char *path;
            if (asprintf(&path, "%s%s%s", check->dir, *check->dir ? "/" : "", name) < 0)
                return -ENOMEM;
            run = run_probe(check->rootfd, check->dirfd, path, check->page, check->names);
            free(path);
        }
        if (!run)
            return -ENOMEM;
        scan->files[scan->nfiles] = run;
    }
    return 0;
}

static int find_files(struct dataset *ds, struct check *check, int64_t now_ns,
                      struct dir_scan *scan, struct error *err)
{
    bool holds;
    struct listing list = {0};
    int ret = listing_stamp(check->dirfd, check->dir, now_ns, check->old ? &check->old_stamp : NULL,
                            &check->stamp, &holds, err);
    if (!ret && !holds)
        ret = listing_read(check->dirfd, check->dir, &list, err);
    if (ret)
        return ret;
    check->page = check->stamp.lasting
                      ? header_page_open(ds->headers_root, &check->stamp.fs, check->stamp.ino)
                      : NULL;
    ret = holds ? renew_files(check, scan) : match_files(check, &list, scan);
    header_page_close(check->page, scan->nfiles);
    if (!ret)
        ret =
            omissions_copy_names(&scan->omissions, holds ? &check->old->omissions : &list.omitted);
    scan->nothers = holds ? check->old->nothers : list.nothers;
    listing_free(&list);
    return ret ? out_of_memory(err, check->dir) : 0;
}

static bool same_files(const struct dir_scan *a, const struct dir_scan *b)
{
    return a->nfiles == b->nfiles && a->nothers == b->nothers &&
           memcmp(a->files, b->files, a->nfiles * sizeof(struct run *)) == 0 &&
           omissions_same_names(&a->omissions, &b->omissions);
}

/* bold and cbv are the only suffixes of runs, so a suffix of its own for cbv keeps names unique. */
static const char *map_suffix(const struct dir_scan *scan, const struct bids_name *name)
{
    if (strcmp(name->suffix, "cbv") != 0)
        return "boldmap";
    for (size_t i = 0; i < scan->nruns; i++)
        if (strcmp(scan->runs[i].entities, name->entities) == 0)
            return "cbvmap"; /* the bold one: names are in order */
    return "boldmap";
}

static int add_run(struct dir_scan *scan, struct run *run, const struct bids_name *name)
{
    char *entities = strdup(name->entities);
    if (!entities)
        return -ENOMEM;
    const char *suffix = map_suffix(scan, name);
    scan->runs[scan->nruns++] =
        (struct dir_run){.run = run_get(run), .entities = entities, .map_suffix = suffix};
    return 0;
}

/* May it be a run? In a directory without BIDS names a file that is no image is none. */
static bool may_be_run(const struct run *run, bool bids)
{
    switch (run->state) {
    case RUN_OK:
    case RUN_UNKNOWN:
        return true;
    case RUN_NOT:
        return false;
    case RUN_ABSENT:
    case RUN_BROKEN:
        break;
    }
    return bids;
}

/* Why a candidate is no run. Expected is that an image without anything of a run is none. */
static int omit(struct dir_scan *scan, const struct run *run, const struct bids_name *name)
{
    bool sound = run->state == RUN_NOT && run->error.code == 0;
    bool odd = bids_has_run_suffix(name) || scan->nruns > 0 || !sound ||
               (run->nifti.nvol > 1 && run->nifti.content != NIFTI_CIFTI);
    return omissions_add(&scan->omissions, run->path,
                         sound ? nifti_content_text(run->nifti.content) : run->error.text, !odd,
                         false);
}

/* Which files are runs. Candidates either all have BIDS names or none has. */
static int sort_files(struct dir_scan *scan)
{
    struct bids_name name;
    int ret = 0;
    scan->runs = calloc(scan->nfiles + 1, sizeof *scan->runs);
    if (!scan->runs)
        return -ENOMEM;
    for (int left = 0; left < 2; left++) { /* first the runs, then what is left */
        for (size_t i = 0; i < scan->nfiles && !ret; i++) {
            struct run *run = scan->files[i];
            bool is_run = may_be_run(run, bids_parse(base_name(run->path), &name));
            if (!scan->fault && run->state == RUN_UNKNOWN && run->error.fault)
                scan->fault = run;
            if (is_run && !left)
                ret = add_run(scan, run, &name);
            else if (!is_run && left)
                ret = omit(scan, run, &name);
        }
    }
    omissions_sort(&scan->omissions);
    return ret;
}

static int group_runs(struct dir_scan *scan, bool join_all, struct error *err)
{
    struct run **runs = calloc(scan->nruns + 1, sizeof(struct run *));
    if (!runs)
        return out_of_memory(err, scan->dir.path);
    for (size_t i = 0; i < scan->nruns; i++)
        runs[i] = scan->runs[i].run;
    size_t n;
    int ret = groups_form(runs, scan->nruns, join_all, &scan->groups, &n, &scan->ngroups, err);
    scan->napart = n - scan->ngroups;
    free(runs);
    return ret;
}

/* Make the snapshot, or find that the old one is still right. */
static int check_dir(struct dataset *ds, struct check *check, int64_t now_ns, struct dir_scan **out,
                     struct error *err)
{
    struct dir_scan *scan = calloc(1, sizeof *scan);
    if (!scan)
        return out_of_memory(err, check->dir);
    atomic_init(&scan->refs, 1);
    scan->rootfd = check->rootfd;
    scan->finder = ds->finder;
    int ret = find_files(ds, check, now_ns, scan, err);
    if (!ret && check->old && same_files(scan, check->old)) {
        dir_scan_put(scan);
        *out = dir_scan_get(check->old);
        return 0;
    }
    if (!ret) {
        scan->dir = (struct dir){
            .path = strdup(check->dir), .dev = check->stamp.dev, .ino = check->stamp.ino};
        ret = !scan->dir.path || sort_files(scan) ? out_of_memory(err, check->dir)
                                                  : group_runs(scan, ds->join_all, err);
    }
    if (ret)
        dir_scan_put(scan);
    else
        *out = scan;
    return ret;
}

static void kept_free(struct kept *kept)
{
    dir_scan_put(kept->scan);
    free(kept->dir);
    free(kept);
}

/* The lock is held by the callers of the next four. */
static void drop_least_used(struct dataset *ds)
{
    struct kept *least = ds->kept;
    for (struct kept *k = ds->kept; k; k = k->hh.next)
        if (k->used < least->used)
            least = k;
    HASH_DEL(ds->kept, least); /* NOLINT(clang-analyzer-core.NullDereference): there are some */
    ds->dropped = ++ds->tick;
    kept_free(least);
}

/* NULL: no memory, so this directory is not kept. */
static struct kept *add_kept(struct dataset *ds, const char *dir)
{
    struct kept *kept = calloc(1, sizeof *kept);
    if (!kept)
        return NULL;
    kept->dir = strdup(dir);
    kept->differed = ds->dropped; /* it may have been this one, and newer */
    if (kept->dir)
        HASH_ADD_KEYPTR(hh, ds->kept, kept->dir, strlen(kept->dir), kept);
    if (!kept->hh.tbl) {
        kept_free(kept);
        return NULL;
    }
    return kept;
}

static struct kept *find_kept(struct dataset *ds, const char *dir)
{
    struct kept *kept;
    HASH_FIND_STR(ds->kept, dir, kept);
    if (kept)
        kept->used = ++ds->tick;
    return kept;
}

static void take_over(struct dataset *ds, struct kept *kept, const struct check *check,
                      struct dir_scan *scan, int64_t now_ns)
{
    bool differs = kept->ended > check->begun && kept->scan != scan;
    kept->used = kept->ended = ++ds->tick;
    if (differs)
        kept->differed = kept->ended;
    kept->sure = check->begun > kept->differed;
    kept->checked_ns = now_ns;
    dir_scan_put(kept->scan);
    kept->scan = dir_scan_get(scan);
    kept->stamp = check->stamp;
}

static void keep(struct dataset *ds, const struct check *check, struct dir_scan *scan)
{
    int64_t now_ns = ds->clock_ns();
    pthread_mutex_lock(&ds->lock);
    struct kept *kept = find_kept(ds, check->dir);
    if (!kept) {
        if (HASH_COUNT(ds->kept) == KEPT_MAX)
            drop_least_used(ds);
        kept = add_kept(ds, check->dir);
    }
    if (kept)
        take_over(ds, kept, check, scan, now_ns);
    pthread_mutex_unlock(&ds->lock);
}

static void forget(struct dataset *ds, const struct check *check)
{
    pthread_mutex_lock(&ds->lock);
    struct kept *kept = find_kept(ds, check->dir);
    if (kept && kept->ended < check->begun) {
        HASH_DEL(ds->kept, kept);
        ds->dropped = ++ds->tick;
        kept_free(kept);
    }
    pthread_mutex_unlock(&ds->lock);
}

/* Returns the kept snapshot if it is fresh enough; else NULL, and `check` knows what is kept. */
static struct dir_scan *begin(struct dataset *ds, enum scan_freshness freshness, int64_t now_ns,
                              struct check *check)
{
    struct dir_scan *recent = NULL;
    pthread_mutex_lock(&ds->lock);
    check->begun = ++ds->tick;
    struct kept *kept = find_kept(ds, check->dir);
    if (kept && check->want->ino != 0 &&
        (kept->stamp.dev != check->want->dev || kept->stamp.ino != check->want->ino))
        kept = NULL; /* of another directory that had this path */
    if (kept && freshness == SCAN_RECENT && kept->sure && now_ns - kept->checked_ns < RECENT_NS) {
        recent = dir_scan_get(kept->scan);
    } else if (kept) {
        check->old = dir_scan_get(kept->scan);
        check->old_stamp = kept->stamp;
    }
    pthread_mutex_unlock(&ds->lock);
    return recent;
}

int dataset_scan(struct dataset *ds, const struct dir *dir, enum scan_freshness freshness,
                 struct dir_scan **out, struct error *err)
{
    struct check check = {.rootfd = ds->rootfd, .want = dir, .dir = dir->path, .names = ds->names};
    int64_t now_ns = ds->clock_ns();
    *out = begin(ds, freshness, now_ns, &check);
    if (*out)
        return 0;
    check.dirfd = listing_open(ds->rootfd, dir, err);
    int ret = check.dirfd < 0 ? check.dirfd : check_dir(ds, &check, now_ns, out, err);
    if (check.dirfd >= 0)
        dir_leave(dir, check.dirfd);
    if (ret)
        forget(ds, &check);
    else
        keep(ds, &check, *out);
    dir_scan_put(check.old);
    return ret;
}

int dataset_count_names(const struct dataset *ds, const struct dir *dir, struct name_counts *out,
                        struct error *err)
{
    struct listing list = {0};
    int dirfd = listing_open(ds->rootfd, dir, err);
    if (dirfd < 0)
        return dirfd;
    int ret = listing_read(dirfd, dir->path, &list, err);
    dir_leave(dir, dirfd);
    *out = (struct name_counts){list.n, list.omitted.n, list.nothers};
    listing_free(&list);
    return ret;
}

struct dir_scan *dir_scan_get(struct dir_scan *scan)
{
    atomic_fetch_add_explicit(&scan->refs, 1, memory_order_relaxed);
    return scan;
}

void dir_scan_put(struct dir_scan *scan)
{
    if (!scan || atomic_fetch_sub_explicit(&scan->refs, 1, memory_order_acq_rel) > 1)
        return;
    groups_free(scan->groups, scan->ngroups + scan->napart);
    omissions_clear(&scan->omissions);
    for (size_t i = 0; i < scan->nruns; i++) {
        run_put(scan->runs[i].run);
        free(scan->runs[i].entities);
    }
    for (size_t i = 0; i < scan->nfiles; i++)
        run_put(scan->files[i]);
    free(scan->runs);
    free(scan->files);
    free((char *)scan->dir.path);
    free(scan);
}

int dataset_open(const char *path, int64_t (*clock_ns)(void), struct dataset **out,
                 struct error *err)
{
    struct dataset *ds = calloc(1, sizeof *ds);
    if (!ds)
        return error_set(err, ENOMEM, "%s: open dataset: out of memory", path);
    ds->clock_ns = clock_ns;
    const char *operation = "open dataset";
    ds->rootfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int code = ds->rootfd < 0 ? errno : 0;
    if (!code && !(ds->path = realpath(path, NULL))) {
        operation = "resolve path";
        code = errno;
    }
    if (!code && !(ds->finder = finder_new(ds->rootfd, clock_ns)))
        code = ENOMEM;
    if (!code)
        code = pthread_mutex_init(&ds->lock, NULL);
    if (!code) {
        *out = ds;
        return 0;
    }
    if (ds->rootfd >= 0)
        close(ds->rootfd);
    finder_free(ds->finder);
    free(ds->path);
    free(ds);
    return error_set(err, code, "%s: %s: %s", path, operation, strerror(code));
}

void dataset_keep(struct dataset *ds, const char *headers_root, struct names *names)
{
    ds->headers_root = headers_root;
    ds->names = names;
    finder_keep(ds->finder, names);
}

void dataset_join_all(struct dataset *ds)
{
    ds->join_all = true;
}

void dataset_close(struct dataset *ds)
{
    struct kept *kept, *next;
    HASH_ITER(hh, ds->kept, kept, next)
    {
        HASH_DEL(ds->kept, kept); /* NOLINT(clang-analyzer-unix.Malloc): unlinked first */
        kept_free(kept);
    }
    finder_free(ds->finder);
    pthread_mutex_destroy(&ds->lock);
    close(ds->rootfd);
    free(ds->path);
    free(ds);
}

int dataset_rootfd(const struct dataset *ds)
{
    return ds->rootfd;
}

const char *dataset_path(const struct dataset *ds)
{
    return ds->path;
}
