/* SPDX-License-Identifier: MIT
 *
 * By the dynamic loader, which counts and keeps what is loaded.
 */
#include "dynload.h"

#include <dlfcn.h>
#include <errno.h>

int dynload(const char *soname, const char *const *names, void **functions, size_t n,
            struct error *err)
{
    /* never unloaded: cairo's and Graphviz's own libraries keep state that others point to */
    void *library = dlopen(soname, RTLD_LAZY | RTLD_LOCAL | RTLD_NODELETE);
    int ret = library ? 0 : error_set(err, EIO, "loading what draws failed: %s", dlerror());

    for (size_t i = 0; ret == 0 && i < n; i++) {
        functions[i] = dlsym(library, names[i]);
        if (!functions[i])
            ret = error_set(err, EIO, "loading what draws failed: %s", dlerror());
    }
    if (library)
        dlclose(library);
    return ret;
}
