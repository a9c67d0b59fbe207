/* SPDX-License-Identifier: MIT
 *
 * One context of Graphviz for all drawings: it and its plugins (Pango, fontconfig) are loaded with
 * the first one, and stay, because they leave memory behind when they go.
 */
#include "render.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <graphviz/gvc.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static GVC_t *context; /* guarded by lock: NULL before the first drawing */

/* With the lock held. */
static int lay_out(GVC_t *gvc, Agraph_t *g, const char *format, char **out, size_t *nbytes)
{
    char *picture = NULL;
    unsigned length = 0;
    int ret = -EIO;

    if (gvLayout(gvc, g, "dot") != 0)
        return -EIO;
    if (gvRenderData(gvc, g, format, &picture, &length) == 0 && picture) {
        *out = malloc((size_t)length + 1);
        ret = *out ? 0 : -ENOMEM;
    }
    if (ret == 0) {
        memcpy(*out, picture, length);
        (*out)[length] = '\0';
        *nbytes = length;
    }
    gvFreeRenderData(picture);
    gvFreeLayout(gvc, g);
    return ret;
}

int render(const char *dot, const char *format, char **out, size_t *nbytes, struct error *err)
{
    Agraph_t *g = NULL;
    int ret = -EIO;

    pthread_mutex_lock(&lock);
    agseterr(AGMAX); /* what is wrong is returned, and not written to standard error */
    if (!context)
        context = gvContext();
    if (context)
        g = agmemread(dot);
    if (g) {
        ret = lay_out(context, g, format, out, nbytes);
        agclose(g);
    }
    pthread_mutex_unlock(&lock);
    if (ret == 0)
        return 0;
    return error_set(err, -ret, "Graphviz cannot draw the task graph as %s", format);
}
