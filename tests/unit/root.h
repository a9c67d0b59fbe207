/* SPDX-License-Identifier: MIT
 *
 * A scratch directory that is open as the root of a dataset. Include after cmocka.h.
 */
#ifndef DERIVFS_TESTS_ROOT_H
#define DERIVFS_TESTS_ROOT_H

#include "scratch.h"

static struct scratch dir;
static int rootfd;

static int open_root(void **state)
{
    (void)state;
    scratch_make(&dir);
    rootfd = open(dir.path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return rootfd < 0;
}

static int close_root(void **state)
{
    (void)state;
    scratch_remove(&dir);
    return close(rootfd);
}

#endif
