/* SPDX-License-Identifier: MIT
 *
 * A hash table of (parent, name), by uthash; a node's address is its id.
 */
#include "inode.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <utlist.h>

#include "engine_derived.h"
#include "monotonic.h"

struct inodes {
    pthread_mutex_t lock;
    uint32_t generation; /* guarded by lock: of the last node */
    struct node *table;  /* guarded by lock: nodes by name */
    struct node *all;    /* guarded by lock: also those that are not in the table any more */
    struct node *root;
};

static struct node *node_new(struct node *parent, const char *name,
                             const struct node_identity *identity, struct derived *derived)
{
    size_t key_nbytes = sizeof parent + strlen(name) + 1;
    struct node *n = calloc(1, sizeof *n + key_nbytes);

    if (!n)
        return NULL;
    n->parent = parent;
    n->id = *identity;
    n->derived = derived;
    n->refs = 1;
    n->key_nbytes = key_nbytes;
    memcpy(n->key, &parent, sizeof parent);
    memcpy(n->key + sizeof parent, name, strlen(name) + 1);
    return n;
}

struct inodes *inodes_new(void)
{
    struct node_identity root = {.kind = NODE_SOURCE};
    struct inodes *t = calloc(1, sizeof *t);

    if (!t)
        return NULL;
    t->root = node_new(NULL, "", &root, NULL);
    if (!t->root) {
        free(t);
        return NULL;
    }
    pthread_mutex_init(&t->lock, NULL);
    /* a handle of the mount before must not fit a file of this one */
    if (getrandom(&t->generation, sizeof t->generation, 0) < 0)
        t->generation = (uint32_t)monotonic_ns();
    return t;
}

static void node_free(struct node *n)
{
    derived_put(n->derived);
    free(n);
}

void inodes_free(struct inodes *t)
{
    struct node *n, *next;

    if (!t)
        return;
    HASH_CLEAR(hh, t->table);
    DL_FOREACH_SAFE(t->all, n, next)
    node_free(n);
    node_free(t->root);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

struct node *inodes_find(struct inodes *t, uint64_t nodeid)
{
    return nodeid == 1 ? t->root : (struct node *)(uintptr_t)nodeid; /* NOLINT */
}

uint64_t node_id(const struct inodes *t, const struct node *node)
{
    return node == t->root ? 1 : (uint64_t)(uintptr_t)node;
}

/* Remove the node from the table, so that another may take its name. Under lock. */
static void leave(struct inodes *t, struct node *n)
{
    if (n->entered)
        HASH_DEL(t->table, n);
    n->entered = false;
}

struct node *inodes_enter(struct inodes *t, struct node *parent, const char *name,
                          const struct node_identity *identity, struct derived *derived)
{
    struct node *fresh = node_new(parent, name, identity, derived), *old;

    if (!fresh) {
        derived_put(derived);
        return NULL;
    }
    pthread_mutex_lock(&t->lock);
    HASH_FIND(hh, t->table, fresh->key, fresh->key_nbytes, old);
    if (old && node_is(old, identity)) {
        old->refs++;
    } else {
        if (old)
            leave(t, old);
        fresh->generation = ++t->generation;
        HASH_ADD_KEYPTR(hh, t->table, fresh->key, fresh->key_nbytes, fresh);
        if (!fresh->hh.tbl) {
            pthread_mutex_unlock(&t->lock);
            node_free(fresh);
            return NULL;
        }
        DL_APPEND(t->all, fresh);
        fresh->entered = true;
        parent->refs++;
        old = NULL;
    }
    pthread_mutex_unlock(&t->lock);
    if (!old)
        return fresh;
    node_free(fresh);
    return old;
}

void inodes_forget(struct inodes *t, struct node *node, uint64_t n)
{
    pthread_mutex_lock(&t->lock);
    while (node != t->root) {
        struct node *parent = node->parent;

        node->refs -= n < node->refs ? n : node->refs;
        if (node->refs > 0)
            break;
        leave(t, node);
        DL_DELETE(t->all, node);
        node_free(node);
        node = parent;
        n = 1;
    }
    pthread_mutex_unlock(&t->lock);
}

bool node_is(const struct node *node, const struct node_identity *identity)
{
    return node->id.kind == identity->kind && node->id.a == identity->a &&
           node->id.b == identity->b;
}

bool node_serves(struct inodes *t, struct node *node, uint64_t version)
{
    uint64_t served = 0;

    if (!atomic_compare_exchange_strong(&node->served, &served, version))
        return served == version;
    if (version != node->id.a) {
        pthread_mutex_lock(&t->lock);
        leave(t, node);
        pthread_mutex_unlock(&t->lock);
    }
    return true;
}

/* Needs no lock: a node keeps its parents alive, and its name and parent never change. */
char *node_path(struct inodes *t, const struct node *node)
{
    size_t nbytes = 1;
    char *path, *at;

    for (const struct node *n = node; n != t->root; n = n->parent)
        nbytes += strlen(node_name(n)) + 1;
    path = malloc(nbytes);
    if (!path)
        return NULL;
    at = path + nbytes - 1;
    *at = '\0';
    for (const struct node *n = node; n != t->root; n = n->parent) {
        size_t len = strlen(node_name(n));

        if (n != node)
            *--at = '/';
        at -= len;
        memcpy(at, node_name(n), len);
    }
    memmove(path, at, strlen(at) + 1);
    return path;
}

bool node_dir(struct inodes *t, const struct node *node, struct dir *out)
{
    *out = (struct dir){.path = node_path(t, node), .dev = node->id.a, .ino = node->id.b};
    return out->path != NULL;
}

bool node_parent_dir(struct inodes *t, const struct node *node, struct dir *out)
{
    return node_dir(t, node == t->root ? node : node->parent, out);
}

static bool is_same_time(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

bool node_same_bytes(struct inodes *t, struct node *node, const struct stat *st)
{
    bool same;

    pthread_mutex_lock(&t->lock);
    same = node->bytes_known && is_same_time(&node->mtime, &st->st_mtim) &&
           is_same_time(&node->ctime, &st->st_ctim) && node->size == st->st_size;
    node->bytes_known = true;
    node->mtime = st->st_mtim;
    node->ctime = st->st_ctim;
    node->size = st->st_size;
    pthread_mutex_unlock(&t->lock);
    return same;
}
