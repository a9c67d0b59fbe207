/* SPDX-License-Identifier: MIT
 *
 * The mount point, before the daemon mounts there, and its end.
 * Thread rule: place_detach() from any thread; the others before any thread starts.
 */
#ifndef DERIVFS_PLACE_H
#define DERIVFS_PLACE_H

#include "options.h"

typedef void place_say_fn(const char *fmt, ...);

/* Check that the options' mount point can be mounted on; detaches a dead mount. `say` gets what the
 * user should know. */
int place_check(const struct options *o, place_say_fn *say, struct error *err) NODISCARD;

/* Directories that the mount hides, open for the life of the process. All zero: none. */
struct kept {
    char *cache_at, *recipes_at; /* paths by which they are still reached; NULL: not hidden */
    int cache_fd, recipes_fd;
};

/* Keep what the mount will hide: fills *out, `cache_at` and `recipes_at` of the options' engine, and
 * PATH. EINVAL: something cannot be kept. Needs options_resolve(). */
int place_keep(struct options *o, struct kept *out, struct error *err) NODISCARD;
void place_release(struct kept *kept);

/* The mount option nosymfollow, which libfuse does not know. EPERM: only root can set it. */
int place_follow_no_links(const char *mountpoint, struct error *err) NODISCARD;

/* Unmount, lazily. */
void place_detach(const char *mountpoint);

#endif
