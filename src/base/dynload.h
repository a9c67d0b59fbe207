/* SPDX-License-Identifier: MIT
 *
 * Shared libraries that are loaded when they are first needed, not with the program.
 *
 * cairo and Graphviz bring twenty others, and most daemons never draw. Loading all of them took two
 * thirds of the time until a program's main() starts (16.6 ms of it with them, 7.5 without, where
 * nothing at all took 3.1). Thread rule: any thread.
 */
#ifndef DERIVFS_DYNLOAD_H
#define DERIVFS_DYNLOAD_H

#include <stddef.h>

#include "error.h"

/* Load the library and find names[n] in it or in what it loads: functions[n]. They stay good to the
 * end of the process, and finding them again is cheap. EIO: the library, or a function, is not
 * there. */
int dynload(const char *soname, const char *const *names, void **functions, size_t n,
            struct error *err) NODISCARD;

#endif
