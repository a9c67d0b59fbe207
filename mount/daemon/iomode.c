/* SPDX-License-Identifier: MIT
 *
 * Counts open files of each kind.
 */
#include "iomode.h"

#include "kernel_caps.h"

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
