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

#include "late.h"

/* What is used of Graphviz, which is loaded with the first drawing (late.h). */
#define GRAPHVIZ_FUNCTIONS(F)                                                                      \
    F(agseterr)                                                                                    \
    F(agmemread)                                                                                   \
    F(agclose)                                                                                     \
    F(gvContext)                                                                                   \
    F(gvLayout)                                                                                    \
    F(gvRenderData)                                                                                \
    F(gvFreeRenderData)                                                                            \
    F(gvFreeLayout)

#define NAME(f) #f,
#define MEMBER(f) typeof(f) *f;

static const char *const names[] = {GRAPHVIZ_FUNCTIONS(NAME)};

enum { NFUNCTIONS = sizeof names / sizeof names[0] };

union graphviz {
    struct {
        GRAPHVIZ_FUNCTIONS(MEMBER)
    };
    void *all[NFUNCTIONS];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static GVC_t *context; /* guarded by lock: NULL before the first drawing */

/* With the lock held. */
static int lay_out(const union graphviz *lib, Agraph_t *g, const char *format, char **out,
                   size_t *nbytes)
{
    char *picture = NULL;
    unsigned length = 0;
    int ret = -EIO;

    if (lib->gvLayout(context, g, "dot") != 0)
        return -EIO;
    if (lib->gvRenderData(context, g, format, &picture, &length) == 0 && picture) {
        *out = malloc((size_t)length + 1);
        ret = *out ? 0 : -ENOMEM;
    }
    if (ret == 0) {
        memcpy(*out, picture, length);
        (*out)[length] = '\0';
        *nbytes = length;
    }
    lib->gvFreeRenderData(picture);
    lib->gvFreeLayout(context, g);
    return ret;
}

/* With the lock held. */
static int draw(const union graphviz *lib, const char *dot, const char *format, char **out,
                size_t *nbytes)
{
    Agraph_t *g = NULL;
    int ret = -EIO;

    lib->agseterr(AGMAX); /* what is wrong is returned, and not written to standard error */
    if (!context)
        context = lib->gvContext();
    if (context)
        g = lib->agmemread(dot);
    if (g) {
        ret = lay_out(lib, g, format, out, nbytes);
        lib->agclose(g);
    }
    return ret;
}

int render(const char *dot, const char *format, char **out, size_t *nbytes, struct error *err)
{
    union graphviz lib;
    int ret = late_load(GRAPHVIZ_SONAME, names, lib.all, NFUNCTIONS, err);

    if (ret < 0)
        return ret;
    pthread_mutex_lock(&lock);
    ret = draw(&lib, dot, format, out, nbytes);
    pthread_mutex_unlock(&lock);
    if (ret == 0)
        return 0;
    return error_set(err, -ret, "Graphviz cannot draw the task graph as %s", format);
}
