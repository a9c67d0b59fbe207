/* SPDX-License-Identifier: MIT
 *
 * A list under one lock, so that the daemon can close all files when it ends.
 */
#include "files.h"

#include <errno.h>
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

/* Take the callback if it is due. Under lock; the caller calls it after unlocking. */
static void (*take_quiet(struct files *t))(void *)
{
    void (*quiet)(void *arg) = t->open ? NULL : t->quiet;

    if (quiet)
        t->quiet = NULL;
    return quiet;
}

void files_close(struct files *t, struct file *f)
{
    void (*quiet)(void *arg);

    if (!f)
        return;
    pthread_mutex_lock(&t->lock);
    DL_DELETE(t->open, f);
    quiet = take_quiet(t);
    pthread_mutex_unlock(&t->lock);
    file_free(f);
    if (quiet)
        quiet(t->quiet_arg);
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

void files_drain(struct files *t, void (*quiet)(void *arg), void *arg)
{
    pthread_mutex_lock(&t->lock);
    t->quiet = quiet;
    t->quiet_arg = arg;
    quiet = take_quiet(t);
    pthread_mutex_unlock(&t->lock);
    if (quiet)
        quiet(arg);
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
