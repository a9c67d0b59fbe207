/* SPDX-License-Identifier: MIT
 *
 * Overwrites the mean with the head's values, and sorts these.
 */
#include "numbers.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

#include "headmask.h"
#include "stats.h"

size_t numbers_mem_nbytes(size_t nvox)
{
    /* the mask, and the C library's memory for sorting */
    return nvox * (1 + sizeof(double)) + headmask_mem_nbytes(nvox);
}

int numbers_measure(const float *image, double *mean, size_t nvox, struct numbers *out,
                    struct error *err)
{
    uint8_t *mask = malloc(nvox);
    size_t nhead;
    int ret = mask ? headmask_otsu(mean, nvox, mask, &nhead, err)
                   : error_set(err, ENOMEM, "numbers: out of memory");

    if (ret == 0) {
        nhead = stats_gather(image, mask, nvox, mean);
        stats_sort(mean, nhead);
        *out = (struct numbers){
            .nvox = (double)nhead,
            .median = stats_percentile(mean, nhead, 50),
            .mean = stats_mean(mean, nhead),
            .p05 = stats_percentile(mean, nhead, 5),
            .p95 = stats_percentile(mean, nhead, 95),
        };
    }
    free(mask);
    return ret;
}
