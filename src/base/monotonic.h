/* SPDX-License-Identifier: MIT
 *
 * The clock to measure durations with. Thread rule: any thread.
 */
#ifndef DERIVFS_MONOTONIC_H
#define DERIVFS_MONOTONIC_H

#include <stdint.h>
#include <time.h>

/* CLOCK_MONOTONIC in nanoseconds. */
static inline int64_t monotonic_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

#endif
