/* SPDX-License-Identifier: MIT
 *
 * Gathers the values of the mask, and sorts these.
 */
#include "numbers.h"

#include "stats.h"

size_t numbers_mem_nbytes(size_t nvox)
{
    return nvox * sizeof(double); /* the C library's for sorting */
}

void numbers_measure(const float *image, const uint8_t *mask, size_t nvox, double *scratch,
                     struct numbers *out)
{
    size_t n = stats_gather(image, mask, nvox, scratch);

    stats_sort(scratch, n);
    *out = (struct numbers){
        .nvox = (double)n,
        .median = stats_percentile(scratch, n, 50),
        .mean = stats_mean(scratch, n),
        .p05 = stats_percentile(scratch, n, 5),
        .p95 = stats_percentile(scratch, n, 95),
    };
}
