/* SPDX-License-Identifier: MIT */
#include "dynload.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>

int dynload(const char *soname, const char *const *names, void **functions, size_t n,
            struct error *err)
{
    /* never unloaded: libraries of cairo and Graphviz keep state that others point to */
    void *library = dlopen(soname, RTLD_LAZY | RTLD_LOCAL | RTLD_NODELETE);
    bool found = library;

    for (size_t i = 0; found && i < n; i++)
        found = (functions[i] = dlsym(library, names[i]));
    int ret = found ? 0
                    : error_set(err, EIO, "cannot load a library for drawing: %s (install it)",
                                dlerror());
    if (library)
        dlclose(library);
    return ret;
}
