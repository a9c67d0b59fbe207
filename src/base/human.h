/* SPDX-License-Identifier: MIT
 *
 * Numbers for people. Thread rule: pure functions.
 */
#ifndef DERIVFS_HUMAN_H
#define DERIVFS_HUMAN_H

#include <stdint.h>

struct human {
    char text[32];
};

/* At most `digits` significant digits, but all of those before the point: "48.99", "12346", "0.0012",
 * "3.1e-07"; "nan", "inf". */
struct human human_number(double value, int digits);
struct human human_nbytes(uint64_t nbytes); /* "9.2 KiB" */
struct human human_span(int64_t span_ns);   /* "45 ms", "1.2 s", "3 min 20 s", "2 h 5 min" */

#endif
