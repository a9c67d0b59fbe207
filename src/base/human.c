/* SPDX-License-Identifier: MIT
 *
 * Sizes and times have two or three significant digits.
 */
#include "human.h"

#include <inttypes.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>

struct human human_number(double value, int digits)
{
    struct human out;
    /* an exponent only for what rounding leaves small, or too large to be exact */
    double size = fabs(value);

    if (size >= pow(10, digits) - 0.5 && size < 1e15)
        snprintf(out.text, sizeof out.text, "%.0f", value);
    else
        snprintf(out.text, sizeof out.text, "%.*g", digits, value);
    return out;
}

struct human human_nbytes(uint64_t nbytes)
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    struct human out;
    double value = (double)nbytes;
    size_t unit = 0;

    while (value >= 1023.95 && unit + 1 < sizeof units / sizeof *units) {
        value /= 1024;
        unit++;
    }
    snprintf(out.text, sizeof out.text, "%.*f %s", unit > 0, value, units[unit]);
    return out;
}

struct human human_span(int64_t span_ns)
{
    struct human out;
    int64_t s = (span_ns + 500000000) / 1000000000;

    if (span_ns < 999500)
        snprintf(out.text, sizeof out.text, "%" PRId64 " µs", (span_ns + 500) / 1000);
    else if (span_ns < 999500000)
        snprintf(out.text, sizeof out.text, "%" PRId64 " ms", (span_ns + 500000) / 1000000);
    else if (s < 60)
        snprintf(out.text, sizeof out.text, "%.1f s", (double)span_ns / 1e9);
    else if (s < 3600)
        snprintf(out.text, sizeof out.text, "%" PRId64 " min %" PRId64 " s", s / 60, s % 60);
    else
        snprintf(out.text, sizeof out.text, "%" PRId64 " h %" PRId64 " min", s / 3600, s / 60 % 60);
    return out;
}
