/* SPDX-License-Identifier: MIT
 *
 * The pointer is copied with memcpy, because pointers of different types must not alias.
 */
#include "grow.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int grow(void *list, size_t n, size_t element_nbytes)
{
    void *old, *grown;

    if ((n & (n - 1)) != 0)
        return 0;
    memcpy(&old, list, sizeof old);
    grown = reallocarray(old, n > 0 ? 2 * n : 1, element_nbytes);
    if (!grown)
        return -ENOMEM;
    memcpy(list, &grown, sizeof grown);
    return 0;
}
