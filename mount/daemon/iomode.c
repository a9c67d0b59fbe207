/* SPDX-License-Identifier: MIT
 *
 * Counting open files of either kind.
 */
#include "iomode.h"

#include <pthread.h>
#include <stdlib.h>

#include "kernel_caps.h"

struct iomodes {
    pthread_mutex_t lock;
    struct fuse_session *session;
};

struct iomodes *iomodes_new(void)
{
    struct iomodes *t = calloc(1, sizeof *t);

    if (t)
        pthread_mutex_init(&t->lock, NULL);
    return t;
}

void iomodes_free(struct iomodes *t)
{
    if (!t)
        return;
    pthread_mutex_destroy(&t->lock);
    free(t);
}

void iomodes_attach(struct iomodes *t, struct fuse_session *se)
{
    t->session = se;
}

int iomode_enter(struct iomodes *t, struct node_io *io, int fd)
{
    int id = 0;

    pthread_mutex_lock(&t->lock);
    if (io->passthrough > 0)
        id = io->backing_id;
    else if (io->served == 0 && fd >= 0)
        id = kernel_backing_open(t->session, fd);
    if (id > 0) {
        io->backing_id = id;
        io->passthrough++;
    } else {
        io->served++;
        id = 0;
    }
    pthread_mutex_unlock(&t->lock);
    return id;
}

void iomode_leave(struct iomodes *t, struct node_io *io, bool passthrough)
{
    pthread_mutex_lock(&t->lock);
    if (!passthrough)
        io->served--;
    else if (--io->passthrough == 0)
        kernel_backing_close(t->session, io->backing_id);
    pthread_mutex_unlock(&t->lock);
}
