/* SPDX-License-Identifier: MIT
 *
 * Features of the kernel that libfuse before 3.17 (Debian 12 has 3.14) does not offer: mapping
 * files that are open with direct_io (Linux 6.6), and passthrough (Linux 6.9), with which the
 * kernel reads an open file from another one without the daemon.
 *
 * Thread rule: kernel_caps_install() before the loop; the others from any thread.
 */
#ifndef DERIVFS_KERNEL_CAPS_H
#define DERIVFS_KERNEL_CAPS_H

#include <stdbool.h>
#include <stdint.h>

struct fuse_conn_info;
struct fuse_file_info;
struct fuse_req;
struct fuse_session;

/* Request both features. kernel_caps_init() is called in the session's init, kernel_caps_install()
 * between fuse_session_mount() and the loop. The session works without those that the kernel lacks.
 * Returns 0 or -errno. */
void kernel_caps_init(struct fuse_conn_info *conn);
int kernel_caps_install(struct fuse_session *se) __attribute__((warn_unused_result));

/* May a file that is open with direct_io be mapped MAP_SHARED? */
bool kernel_maps_direct_io(void);

/* Let the kernel read from `fd`. Returns a backing id above 0, or -errno: the kernel cannot, or
 * this process lacks CAP_SYS_ADMIN; then serve the reads as usual. */
int kernel_backing_open(struct fuse_session *se, int fd);
void kernel_backing_close(struct fuse_session *se, int backing_id);

/* Answer an OPEN with the handle of `fi`, passed through to `backing_id`. Returns as
 * fuse_reply_open(). */
int kernel_reply_passthrough(struct fuse_req *req, const struct fuse_file_info *fi, int backing_id);

#endif
