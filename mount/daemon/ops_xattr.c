/* SPDX-License-Identifier: MIT
 *
 * Extended attributes user.derivfs.* of derived files (only with -o xattr).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops_private.h"

static const char prefix[] = "user.derivfs.";

enum attribute { STATE, PROGRESS, RECIPE, EXPRESSION, ARRAY, SOURCES, KEY, ERROR, NATTRIBUTES };

static const char *const names[] = {
    [STATE] = "state", [PROGRESS] = "progress", [RECIPE] = "recipe", [EXPRESSION] = "expression",
    [ARRAY] = "array", [SOURCES] = "sources",   [KEY] = "key",       [ERROR] = "error",
};

/* NATTRIBUTES: there is none. */
static enum attribute find_attribute(const char *name)
{
    enum attribute a = 0;

    while (a < NATTRIBUTES && strcmp(names[a], name) != 0)
        a++;
    return a;
}

/* The paths, one a line. malloced; NULL: out of memory. */
static char *sources_of(const struct derived *d, size_t n)
{
    char *text = NULL;
    size_t nbytes;
    FILE *f = open_memstream(&text, &nbytes);

    if (!f)
        return NULL;
    for (size_t i = 0; i < n; i++)
        fprintf(f, "%s%s", i > 0 ? "\n" : "", derived_source(d, i));
    if (fclose(f) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

/* malloced; NULL: no value now (such as an error without a failure), or out of memory. */
static char *value_of(enum attribute a, const struct derived *d, const struct derived_status *s)
{
    struct derived_info info = derived_info(d);
    char *text;

    switch (a) {
    case STATE:
        return strdup(derived_state_name(s->state));
    case PROGRESS:
        return asprintf(&text, "%.0f", s->percent) < 0 ? NULL : text;
    case RECIPE:
        return strdup(info.recipe);
    case EXPRESSION:
        return strdup(info.text);
    case ARRAY:
        return derived_array(d);
    case SOURCES:
        return sources_of(d, info.nsources);
    case KEY:
        return s->key.hex[0] ? strdup(s->key.hex) : NULL;
    case ERROR:
        return s->state == STATE_FAILED ? strdup(s->error.text) : NULL;
    case NATTRIBUTES:
        break;
    }
    return NULL;
}

static void reply_value(fuse_req_t req, const char *value, size_t nbytes, size_t room)
{
    if (room == 0)
        fuse_reply_xattr(req, nbytes);
    else if (nbytes > room)
        fuse_reply_err(req, ERANGE);
    else
        fuse_reply_buf(req, value, nbytes);
}

static bool read_status(struct mount *m, const struct node *node, struct derived_status *out)
{
    char *path = node_path(m->inodes, node);

    if (path)
        engine_derived_status(m->engine, node->derived, path, out);
    free(path);
    return path;
}

void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
    struct mount *m = fuse_req_userdata(req);
    struct node *node = inodes_find(m->inodes, ino);
    bool ours = node->id.kind == NODE_DERIVED && strncmp(name, prefix, strlen(prefix)) == 0;
    enum attribute attribute = ours ? find_attribute(name + strlen(prefix)) : NATTRIBUTES;
    struct derived_status status;
    char *value;

    if (attribute == NATTRIBUTES) {
        fuse_reply_err(req, ENODATA);
        return;
    }
    if (!read_status(m, node, &status)) {
        fuse_reply_err(req, ENOMEM);
        return;
    }
    value = value_of(attribute, node->derived, &status);
    if (value)
        reply_value(req, value, strlen(value), size);
    else
        fuse_reply_err(req, ENODATA);
    free(value);
}

/* List only attributes that have a value now: rsync -X and getfattr -d fail on a listed attribute
 * without one. */
void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
    struct mount *m = fuse_req_userdata(req);
    struct node *node = inodes_find(m->inodes, ino);
    struct derived_status status;
    char list[512], *value;
    size_t nbytes = 0;

    if (node->id.kind != NODE_DERIVED) {
        reply_value(req, "", 0, size);
        return;
    }
    if (!read_status(m, node, &status)) {
        fuse_reply_err(req, ENOMEM);
        return;
    }
    for (enum attribute a = 0; a < NATTRIBUTES; a++) {
        value = value_of(a, node->derived, &status);
        if (value)
            nbytes +=
                (size_t)snprintf(list + nbytes, sizeof list - nbytes, "%s%s", prefix, names[a]) + 1;
        free(value);
    }
    reply_value(req, list, nbytes, size);
}
