/* SPDX-License-Identifier: MIT
 *
 * Extended attributes user.derivfs.* of derived files (only with -o xattr).
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "describe.h"
#include "ops_private.h"

static const char prefix[] = "user.derivfs.";

static void reply_value(fuse_req_t req, const char *value, size_t nbytes, size_t room)
{
    if (room == 0)
        fuse_reply_xattr(req, nbytes);
    else if (nbytes > room)
        fuse_reply_err(req, ERANGE);
    else
        fuse_reply_buf(req, value, nbytes);
}

void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
    struct mount *m = fuse_req_userdata(req);
    struct node *node = inodes_find(m->inodes, ino);
    char *path, *value;

    if (node_kind(node) != NODE_DERIVED || strncmp(name, prefix, strlen(prefix)) != 0) {
        fuse_reply_err(req, ENODATA);
        return;
    }
    path = node_path(m->inodes, node);
    value = path ? describe_attribute(m->engine, node_derived(node), path, name + strlen(prefix))
                 : NULL;
    if (value)
        reply_value(req, value, strlen(value), size);
    else
        fuse_reply_err(req, path ? ENODATA : ENOMEM);
    free(value);
    free(path);
}

/* Only attributes that have a value now: rsync -X and getfattr -d ask for each that is listed, and
 * take it for a failure where one is not there. */
void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
    struct mount *m = fuse_req_userdata(req);
    struct node *node = inodes_find(m->inodes, ino);
    const char *name;
    char names[512], *path, *value;
    size_t nbytes = 0;

    if (node_kind(node) != NODE_DERIVED) {
        reply_value(req, "", 0, size);
        return;
    }
    path = node_path(m->inodes, node);
    for (size_t i = 0; path && (name = describe_attribute_name(i)); i++) {
        value = describe_attribute(m->engine, node_derived(node), path, name);
        if (value)
            nbytes +=
                (size_t)snprintf(names + nbytes, sizeof names - nbytes, "%s%s", prefix, name) + 1;
        free(value);
    }
    if (path)
        reply_value(req, names, nbytes, size);
    else
        fuse_reply_err(req, ENOMEM);
    free(path);
}
