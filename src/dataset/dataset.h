/* SPDX-License-Identifier: MIT
 *
 * The dataset: which files of a directory are runs, and how they group.
 *
 * One directory is looked at when it is listed or a name in it is looked up; never the whole
 * dataset. A snapshot (struct dir_scan) is immutable and reference-counted; the dataset keeps the
 * latest snapshot of each directory that was asked for and makes a new one when the directory or
 * one of its candidate files has changed.
 *
 * Runs: in a directory with BIDS names only bold and cbv files count, and of complex images only
 * part-mag; in one without, every 4-D NIfTI. Of files that differ only in their endings, such as .nii
 * and .nii.gz, one counts (codec_at() in codec.h).
 * Groups: runs that agree in suffix, in every entity but task and run, and in shape and affine;
 * joined in the order of bids_compare(). A file named like a run whose header cannot be read belongs
 * to every group with its entities (or makes one of its own), so that a result never silently leaves
 * a run out: reading such a group tells why. Names that are not BIDS are joined only if they differ
 * in nothing but the number of a run; of these, only readable 4-D files count, and those that could
 * not be looked at: they belong to every group, as they may be runs.
 * Every other file that might be taken for a run is among the scan's omissions.
 * Hidden names and directories are never runs; links may be.
 * Thread rule: all functions may be called from any thread.
 */
#ifndef DERIVFS_DATASET_H
#define DERIVFS_DATASET_H

#include <stdint.h>

#include "bids.h"
#include "dir.h"
#include "error.h"
#include "omission.h"
#include "run.h"

struct finder;

enum scan_freshness {
    SCAN_RECENT, /* a snapshot checked within the last second will do */
    SCAN_NOW,    /* check every candidate file now */
};

/* Runs joined in time, in the order of their names (bids_compare). */
struct group {
    char *prefix;      /* what derived names start with: "" or "echo-1_", "shape-64x64x30_" */
    struct run **runs; /* [nruns], references owned by the scan */
    size_t nruns;
    const struct run *first; /* the first RUN_OK run: shape, affine and header; NULL if none */
    const struct run *bad;   /* the first member that is not RUN_OK; NULL if all are */
    char *refusal;           /* why they cannot be joined though they should be; NULL: they can */
};

/* A run as a member of a directory: what its own derived files are named after. */
struct dir_run {
    struct run *run;        /* reference owned by the scan; not RUN_NOT */
    char *entities;         /* "sub-01_task-rest"; without BIDS names the stem */
    const char *map_suffix; /* "boldmap"; "cbvmap" for a cbv run whose entities a bold run has too:
                               unique in the directory together with `entities` */
};

struct dir_scan {
    atomic_int refs;
    int rootfd;            /* of the dataset, which outlives its scans, */
    struct finder *finder; /* and so does this (finder.h) */
    struct dir dir;        /* not open; `path`, relative to the dataset's root, is owned */
    struct dir_run *runs;  /* [nruns] in the order of their names */
    size_t nruns;
    struct group *groups; /* [ngroups] in the order of their first runs */
    size_t ngroups;
    size_t napart; /* sets of runs after the groups, which no name says belong together:
                                   groups[ngroups], and so on */
    struct omissions omissions; /* files that might be taken for runs, in the order of paths */
    size_t nothers;             /* NIfTI files that BIDS names tell to be something else */
    struct run **files; /* [nfiles] every candidate file, RUN_NOT too; what the next check needs */
    size_t nfiles;
    const struct run
        *fault;        /* the first file that a fault kept from being looked at, or NULL: names
                                of groups may be missing, and some may have other names */
    atomic_bool noted; /* whoever asked for the scan has told what is wrong with its files */
};

struct dataset;

/* `path` is opened and held, so that the dataset stays reachable when something is mounted over
 * it. `clock_ns` is CLOCK_MONOTONIC or a test's own clock, and may be called from any thread. */
int dataset_open(const char *path, int64_t (*clock_ns)(void), struct dataset **out,
                 struct error *err) NODISCARD;
/* Find headers and names that are known from before, and add new ones. Both are borrowed, and may be
 * NULL. Before the first scan. */
void dataset_keep(struct dataset *ds, const char *headers_root, struct names *names);
/* Join all runs of a directory that have one grid where names are not BIDS. Before the first scan. */
void dataset_join_all(struct dataset *ds);
void dataset_close(struct dataset *ds);

int dataset_rootfd(const struct dataset *ds);
const char *dataset_path(const struct dataset *ds); /* absolute */

/* The snapshot of `dir`. Fails (ENOENT, ENOTDIR, EACCES, ENOMEM, EXDEV, and ESTALE: the path
 * leads to another directory) only if the directory itself cannot be read. Headers of unchanged files are not read again; where nothing has changed
 * since the kept snapshot, that one is returned. The caller puts it. */
int dataset_scan(struct dataset *ds, const struct dir *dir, enum scan_freshness freshness,
                 struct dir_scan **out, struct error *err) NODISCARD;
/* Only list the names of `dir`: how many may be runs, may be taken for some, or are something else by
 * their BIDS names. Opens no file and keeps nothing. Fails as dataset_scan(). */
struct name_counts {
    size_t ncandidates, nomitted, nothers;
};
int dataset_count_names(const struct dataset *ds, const struct dir *dir, struct name_counts *out,
                        struct error *err) NODISCARD;
struct dir_scan *dir_scan_get(struct dir_scan *scan);
void dir_scan_put(struct dir_scan *scan); /* NULL is allowed */

#endif
