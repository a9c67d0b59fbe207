/* SPDX-License-Identifier: MIT
 *
 * Capabilities of the kernel's FUSE that the installed libfuse does not offer.
 */
#ifndef DERIVFS_KERNEL_CAPS_H
#define DERIVFS_KERNEL_CAPS_H

struct fuse_session;

/* Ask for them. After fuse_session_mount(), before the loop. Where the kernel lacks one, the
 * session works without. Returns 0 or -errno. */
int kernel_caps_install(struct fuse_session *se) __attribute__((warn_unused_result));

#endif
