/* SPDX-License-Identifier: MIT
 *
 * The inode table: which kernel node stands for which entry of the tree.
 *
 * A node is a name in a parent node with an identity: device and inode of a source, version of a
 * derived file. When the file of that name is replaced, a new node takes the name, so that the page
 * cache of the old node never mixes with new bytes. A node lives as long as the kernel or a child
 * refers to it. Thread rule: any thread; one lock inside.
 */
#ifndef DERIVFS_INODE_H
#define DERIVFS_INODE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "dir.h"
#include "error.h"
#include "iomode.h"

enum node_kind {
    NODE_SOURCE,
    NODE_DERIVED,
    NODE_DIR,
    NODE_TEXT,  /* ENTRY_TEXT */
    NODE_TABLE, /* ENTRY_TABLE */
    NODE_CONTROL_DIR,
    NODE_CONTROL,
};

struct derived;

struct node_identity {
    enum node_kind kind;
    uint64_t a, b; /* source and directory: device and inode of the dataset's; derived: version;
                      control: number of the file */
};

struct node {
    struct node_identity id; /* immutable */
    struct derived *derived; /* immutable: NODE_DERIVED's, else NULL */
    struct node_io io;       /* see iomode.h */
    uint32_t generation; /* immutable: tells it from others that had its address, and so its id */
    _Atomic uint64_t
        served; /* NODE_DERIVED: the version of the bytes that the kernel got; 0: none */
    _Atomic uint64_t text_nbytes; /* of the text made when the node was last opened */
    atomic_uint ntexts;           /* open files with such a text */
    /* the rest belongs to inode.c */
    struct node *parent; /* NULL for the root */
    uint64_t refs;       /* guarded by inodes.lock: kernel references and children */
    bool entered;        /* guarded by inodes.lock: is in the table */
    bool bytes_known;    /* guarded by inodes.lock, like the next three */
    struct timespec mtime, ctime;
    off_t size;
    UT_hash_handle hh;
    struct node *prev, *next; /* guarded by inodes.lock: in inodes.all */
    size_t key_nbytes;
    unsigned char key[]; /* the parent's address, then the name with its NUL */
};

static inline const char *node_name(const struct node *node)
{
    return (const char *)node->key + sizeof node->parent;
}

struct inodes;

struct inodes *inodes_new(void) NODISCARD; /* NULL: out of memory */
void inodes_free(struct inodes *t);        /* NULL is allowed */

/* Node ids are the kernel's nodeid; 1 is the root. */
struct node *inodes_find(struct inodes *t, uint64_t nodeid);

/* The node for `name` in `parent`, with one more kernel reference. Takes over `derived` (for
 * NODE_DERIVED). NULL: out of memory. */
struct node *inodes_enter(struct inodes *t, struct node *parent, const char *name,
                          const struct node_identity *identity, struct derived *derived) NODISCARD;
/* The kernel gives up `n` references. */
void inodes_forget(struct inodes *t, struct node *node, uint64_t n);

uint64_t node_id(const struct inodes *t, const struct node *node);
bool node_is(const struct node *node, const struct node_identity *identity);

/* May the kernel get bytes of this version of a derived file? The pages that it keeps for a node must
 * be of one, which is that of the first bytes. If it is not the node's own, because the file was
 * replaced meanwhile, the next lookup makes another node. */
bool node_serves(struct inodes *t, struct node *node, uint64_t version);

/* Paths in the mount, "" for the root. malloced; NULL: out of memory. */
char *node_path(struct inodes *t, const struct node *node) NODISCARD;

/* The directory that the node is (NODE_SOURCE, NODE_DIR), or is in, for the engine. dir->path is
 * malloced. False: out of memory. */
bool node_dir(struct inodes *t, const struct node *node, struct dir *out) NODISCARD;
bool node_parent_dir(struct inodes *t, const struct node *node, struct dir *out) NODISCARD;

/* Store the identity of the bytes that the kernel has cached for a source. True: it is the same as
 * at the last call, so the cached pages are valid. */
bool node_same_bytes(struct inodes *t, struct node *node, const struct stat *st);

#endif
