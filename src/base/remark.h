/* SPDX-License-Identifier: MIT
 *
 * What is to be said of files of a dataset that nobody has asked for: which ones are not used, and
 * what is doubtful about those that are.
 */
#ifndef DERIVFS_REMARK_H
#define DERIVFS_REMARK_H

enum remark_kind {
    REMARK_OMITTED,  /* a file that might be taken for a run is none */
    REMARK_EXPECTED, /* likewise, but nobody would take it for one */
    REMARK_APART,    /* runs of a directory are not joined, and how to join them */
    REMARK_REFUSED,  /* a group cannot be read: two files mean the same run */
    REMARK_DOUBT,    /* joined runs may not belong together */
    REMARK_NAME,     /* a run's name is not quite a BIDS name */
    REMARK_RULE,     /* what joining means for these runs */
};

struct remark {
    enum remark_kind kind;
    const char *path; /* the file or the directory, relative to the dataset; "." for its root */
    const char *text; /* the sentence, without the path */
};

/* Non-zero ends the visit and is its result. */
typedef int remark_fn(void *ctx, const struct remark *remark);

#endif
