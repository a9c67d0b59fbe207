/* SPDX-License-Identifier: MIT
 *
 * All drawings share a context of Graphviz. It and its plugins (Pango, fontconfig) are loaded at
 * the first drawing and never unloaded, because unloading leaks memory.
 */
#include "render.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include <graphviz/gvc.h>

#include "dynload.h"

/* The functions of Graphviz that are loaded at the first drawing (dynload.h). */
#define GRAPHVIZ_FUNCTIONS(F)                                                                      \
    F(agseterr)                                                                                    \
    F(agmemread)                                                                                   \
    F(agclose)                                                                                     \
    F(gvContext)                                                                                   \
    F(gvLayout)                                                                                    \
    F(gvRender)                                                                                    \
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
    FILE *stream;
    int ret = -ENOMEM;

    if (lib->gvLayout(context, g, "dot") != 0)
        return -EIO;
    stream = open_memstream(out, nbytes);
    if (stream) {
        ret = lib->gvRender(context, g, format, stream) == 0 ? 0 : -EIO;
        if (fclose(stream) != 0)
            ret = -ENOMEM;
        if (ret < 0) {
            free(*out);
            *out = NULL;
        }
    }
    lib->gvFreeLayout(context, g);
    return ret;
}

/* With the lock held. */
static int draw(const union graphviz *lib, const char *dot, const char *format, char **out,
                size_t *nbytes)
{
    Agraph_t *g = NULL;
    int ret = -EIO;

    lib->agseterr(AGMAX); /* print no errors; they are returned */
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
    int ret = dynload(GRAPHVIZ_SONAME, names, lib.all, NFUNCTIONS, err);

    if (ret < 0)
        return ret;
    pthread_mutex_lock(&lock);
    ret = draw(&lib, dot, format, out, nbytes);
    pthread_mutex_unlock(&lock);
    if (ret == 0)
        return 0;
    return error_set(err, -ret, "Graphviz cannot draw the task graph as %s", format);
}
