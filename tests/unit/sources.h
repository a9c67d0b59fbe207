/* SPDX-License-Identifier: MIT
 *
 * A directory with source files, and buffers for what they store. Include after cmocka.h.
 */
#ifndef DERIVFS_TESTS_SOURCES_H
#define DERIVFS_TESTS_SOURCES_H

#include "images.h"
#include "root.h"
#include "source.h"

enum { DATA_NBYTES = 700 * 1000, STORED_MAX = 2 * DATA_NBYTES, SMALL = 1000 };

static unsigned char data[DATA_NBYTES];     /* half noise, so that it compresses to about half */
static unsigned char stored[STORED_MAX];    /* what a test writes to a file */
static unsigned char inflated[DATA_NBYTES]; /* what a test reads back */

static int setup(void **state)
{
    uint32_t seed = 42;

    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (unsigned char)(image_random(&seed) & (i % 2 ? 0xff : 0x03));
    return open_root(state);
}

#endif
