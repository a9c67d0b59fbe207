/* SPDX-License-Identifier: MIT
 *
 * What the process behind a request may do. The kernel has checked that, but for the file that had
 * the name at the last lookup. Thread rule: reentrant.
 */
#ifndef DERIVFS_CALLER_H
#define DERIVFS_CALLER_H

#include <stdbool.h>

#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>

#include "rights.h"

/* May it read a file with these rights? No, too, if its groups are not known. */
bool caller_may_read(fuse_req_t req, const struct rights *r);

#endif
