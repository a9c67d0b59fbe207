/* SPDX-License-Identifier: MIT
 *
 * Open files and directories of the mount: what a fuse_file_info.fh stands for.
 * Thread rule: any thread.
 */
#ifndef DERIVFS_FILES_H
#define DERIVFS_FILES_H

#include <pthread.h>
#include <stdint.h>

#include "engine.h"

struct node;
struct node_io;

enum file_kind { FILE_SOURCE, FILE_DERIVED, FILE_TEXT, FILE_LISTING };

/* One name of a directory as it was when opened. */
struct listed {
    char *name;
    uint64_t ino;
    unsigned char type; /* d_type */
};

struct file {
    enum file_kind kind;
    int fd;                /* FILE_SOURCE */
    struct reader *reader; /* FILE_DERIVED */
    bool stands_in;        /* FILE_DERIVED: replaced the node's file before it was opened */
    char *text;            /* FILE_TEXT: [text_nbytes] */
    size_t text_nbytes;
    struct stat st;        /* FILE_TEXT: when it was opened, but for the size */
    struct node *node;     /* which the kernel keeps alive; NULL: FILE_LISTING */
    struct node_io *io;    /* FILE_SOURCE, FILE_DERIVED: of the node */
    int backing_id;        /* above 0: the kernel reads the backing file */
    struct listed *listed; /* FILE_LISTING: [nlisted] */
    size_t nlisted;
    int listed_code;          /* errno: why there are no more names; 0: these are all */
    bool is_read;             /* FILE_LISTING: from its start, at least once */
    struct file *prev, *next; /* in struct files */
};

/* Zero but for the lock at first. */
struct files {
    pthread_mutex_t lock;
    struct file *open; /* guarded by lock */
};

struct file *files_open(struct files *t, enum file_kind kind) NODISCARD; /* NULL: out of memory */
void files_close(struct files *t, struct file *f);                       /* NULL is allowed */
void files_close_all(struct files *t);

/* Is any open? */
bool files_any(struct files *t);

/* stat(2) of an open source or text of the node, also if another file has its name by now. False:
 * there is none. */
bool files_stat(struct files *t, const struct node *node, struct stat *out);

/* An engine_list_fn: add a name to the listing `ctx` (a struct file). */
int file_add_listed(void *ctx, const char *name, uint64_t ino, unsigned char type);
void file_clear_listed(struct file *f);

#endif
