/* SPDX-License-Identifier: MIT
 *
 * A list under one lock, so that the daemon can close all files when it ends.
 */
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <utlist.h>

#include "grow.h"

void file_clear_listed(struct file *f)
{
    for (size_t i = 0; i < f->nlisted; i++)
        free(f->listed[i].name);
    free(f->listed);
    f->listed = NULL;
    f->nlisted = 0;
}

static void file_free(struct file *f)
{
    file_clear_listed(f);
    free(f->text);
    reader_close(f->reader);
    if (f->fd >= 0)
        close(f->fd);
    free(f);
}

struct file *files_open(struct files *t, enum file_kind kind)
{
    struct file *f = calloc(1, sizeof *f);

    if (!f)
        return NULL;
    f->kind = kind;
    f->fd = -1;
    pthread_mutex_lock(&t->lock);
    DL_APPEND(t->open, f);
    pthread_mutex_unlock(&t->lock);
    return f;
}

void files_close(struct files *t, struct file *f)
{
    if (!f)
        return;
    pthread_mutex_lock(&t->lock);
    DL_DELETE(t->open, f);
    pthread_mutex_unlock(&t->lock);
    file_free(f);
}

void files_close_all(struct files *t)
{
    struct file *f;

    pthread_mutex_lock(&t->lock);
    while ((f = t->open)) {
        DL_DELETE(t->open, f);
        file_free(f);
    }
    pthread_mutex_unlock(&t->lock);
}

bool files_any(struct files *t)
{
    bool any;

    pthread_mutex_lock(&t->lock);
    any = t->open;
    pthread_mutex_unlock(&t->lock);
    return any;
}

bool files_stat(struct files *t, const struct node *node, struct stat *out)
{
    const struct file *f;
    bool found = false;
    int fd = -1;

    pthread_mutex_lock(&t->lock);
    DL_FOREACH(t->open, f)
    if (f->node == node && !found && fd < 0) {
        found = f->kind == FILE_TEXT;
        *out = f->st;
        fd = f->fd >= 0 ? fcntl(f->fd, F_DUPFD_CLOEXEC, 3) : -1;
    }
    pthread_mutex_unlock(&t->lock);
    if (fd < 0)
        return found;
    found = engine_stat_open(fd, out) == 0;
    close(fd);
    return found;
}

int file_add_listed(void *ctx, const char *name, uint64_t ino, unsigned char type)
{
    struct file *f = ctx;
    char *copy = strdup(name);

    if (!copy || GROW(f->listed, f->nlisted) < 0) {
        free(copy);
        return -ENOMEM;
    }
    f->listed[f->nlisted++] = (struct listed){copy, ino, type};
    return 0;
}
