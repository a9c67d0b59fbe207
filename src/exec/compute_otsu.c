/* SPDX-License-Identifier: MIT
 *
 * The task that needs a whole image at once: its mask by Otsu's threshold.
 */
#include <errno.h>
#include <stdlib.h>

#include "compute_private.h"
#include "headmask.h"

int compute_otsu(const struct work *k, struct error *err)
{
    double *image = malloc(k->nvox * sizeof *image);
    uint8_t *mask = malloc(k->nvox);
    size_t n;
    int ret = image && mask ? blob_read(k->inputs[0], 0, image, k->nvox * sizeof *image, err)
                            : error_set(err, ENOMEM, "%s: out of memory", k->t->label);

    if (ret == 0)
        ret = headmask_otsu(image, k->nvox, mask, &n, err);
    for (size_t i = 0; ret == 0 && i < k->nvox; i++)
        image[i] = mask[i];
    if (ret == 0)
        ret = work_write(k, image, k->nvox, err);
    free(image);
    free(mask);
    return ret;
}
