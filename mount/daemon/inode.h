/* SPDX-License-Identifier: MIT
 *
 * The inode table: which kernel node stands for which entry of the tree.
 *
 * A node is a name in a parent node together with an identity: device and inode of a source, the
 * version of a derived file. When what the name stands for is replaced, a new node takes the name,
 * so that the page cache of the old one never mixes with the new bytes. A node lives as long as the
 * kernel or a child refers to it. Thread rule: any thread; one lock inside.
 */
#ifndef DERIVFS_INODE_H
#define DERIVFS_INODE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

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
    uint64_t a,
        b; /* source: device and inode; derived: version and 0; control: number of the file */
};

struct node; /* hides parent, name and counts */

struct inodes;

struct inodes *inodes_new(void) NODISCARD; /* NULL: out of memory */
void inodes_free(struct inodes *t);        /* NULL is allowed */

/* Node ids are what the kernel calls nodeid; 1 is the root. */
struct node *inodes_find(struct inodes *t, uint64_t nodeid);

/* The node for `name` in `parent`, with one more kernel reference. `derived` (for NODE_DERIVED) is
 * taken over by the node, or put if there was a node of that identity already. NULL: out of memory.
 */
struct node *inodes_enter(struct inodes *t, struct node *parent, const char *name,
                          const struct node_identity *identity, struct derived *derived) NODISCARD;
/* The kernel gives up `n` references. */
void inodes_forget(struct inodes *t, struct node *node, uint64_t n);

uint64_t node_id(const struct inodes *t, const struct node *node);
enum node_kind node_kind(const struct node *node);
bool node_is(const struct node *node, const struct node_identity *identity);
uint64_t node_number(const struct node *node); /* identity.a */
const char *node_name(const struct node *node);
struct derived *node_derived(const struct node *node); /* borrowed; NULL for other kinds */

/* How long the text was that was made when the node was opened the last time; 0 before. */
uint64_t node_text_nbytes(const struct node *node);
void node_set_text_nbytes(struct node *node, uint64_t nbytes);

struct node_io *node_io(struct node *node); /* part of the node */

/* Paths in the mount, "" for the root. malloced; NULL: out of memory. */
char *node_path(struct inodes *t, const struct node *node) NODISCARD;
char *node_parent_path(struct inodes *t, const struct node *node) NODISCARD;

/* Note the identity of the bytes that the kernel has cached for a source. Returns whether it is the
 * same as at the last call: then the cached pages still hold. */
bool node_same_bytes(struct inodes *t, struct node *node, int64_t mtime_ns, int64_t ctime_ns,
                     off_t size);

#endif
