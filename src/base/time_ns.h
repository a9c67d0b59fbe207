/* SPDX-License-Identifier: MIT
 *
 * Times of files as nanoseconds since the epoch. Files may have times before 1970 and, unlike this
 * count, after 2262. Thread rule: reentrant.
 */
#ifndef DERIVFS_TIME_NS_H
#define DERIVFS_TIME_NS_H

#include <stdint.h>
#include <sys/stat.h>
#include <time.h>

enum { NS_OF_S = 1000000000 };

/* The nearest that can be counted. */
static inline int64_t time_ns(int64_t s, uint32_t ns)
{
    int64_t all;

    if (__builtin_mul_overflow(s, (int64_t)NS_OF_S, &all) || __builtin_add_overflow(all, ns, &all))
        return s < 0 ? INT64_MIN : INT64_MAX;
    return all;
}

/* Of statx(2). */
static inline int64_t time_ns_of(const struct statx_timestamp *t)
{
    return time_ns(t->tv_sec, t->tv_nsec);
}

/* With tv_nsec from 0 on, as file systems want it. */
static inline struct timespec time_of_ns(int64_t ns)
{
    int64_t rest = ns % NS_OF_S;

    return (struct timespec){ns / NS_OF_S - (rest < 0), rest < 0 ? rest + NS_OF_S : rest};
}

#endif
