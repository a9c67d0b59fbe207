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

void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
    struct mount *m = fuse_req_userdata(req);
    char names[512];
    size_t nbytes = 0;

    if (node_kind(inodes_find(m->inodes, ino)) == NODE_DERIVED)
        for (size_t i = 0; describe_attribute_name(i); i++)
            nbytes += (size_t)snprintf(names + nbytes, sizeof names - nbytes, "%s%s", prefix,
                                       describe_attribute_name(i)) +
                      1;
    reply_value(req, names, nbytes, size);
}
