/* SPDX-License-Identifier: MIT
 *
 * Shared libraries that are loaded when first needed.
 *
 * cairo and Graphviz depend on twenty others, and most daemons never draw: a program that links
 * them reaches main() after 16.6 ms, without them after 7.5 ms (an empty program: 3.1 ms). Thread
 * rule: any thread.
 */
#ifndef DERIVFS_DYNLOAD_H
#define DERIVFS_DYNLOAD_H

#include <stddef.h>

#include "error.h"

/* Load the library and find names[n] in it or its dependencies: functions[n], valid to the end of
 * the process. Repeating it is cheap. EIO: the library or a function is missing. */
int dynload(const char *soname, const char *const *names, void **functions, size_t n,
            struct error *err) NODISCARD;

#endif
