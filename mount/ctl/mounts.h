/* SPDX-License-Identifier: MIT
 *
 * Mounts of derivfs on this machine, and what their control files say.
 *
 * Anybody can mount a file system that calls itself derivfs and says what he likes. So the files of a
 * mount count only if root or this user has mounted it; the kernel says who has (user_id in
 * mountinfo). A mount whose daemon is stopped answers nothing, and who asks it cannot always be
 * killed. So a child asks, and is left alone if it gets no answer.
 * Thread rule: one thread.
 */
#ifndef DERIVFS_MOUNTS_H
#define DERIVFS_MOUNTS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "error.h"

enum { MOUNT_PATIENCE_MS = 5000 }; /* for an answer; a large cache is counted first */

struct mount_point {
    uint64_t id; /* of the mount, unique while it exists */
    char *dir;
    uid_t owner;
    bool believed; /* root's or this user's */
};

struct mount_list {
    struct mount_point *mounts; /* [n] as in mountinfo: a later one covers those before */
    size_t n;
};

/* All mounts of derivfs. */
int mounts_read(struct mount_list *out, struct error *err) NODISCARD;
void mounts_free(struct mount_list *list);

/* The derivfs that shows `path`, which is canonical. out->dir is malloced; NULL: no derivfs does.
 * EPERM: somebody else's. */
int mount_of(const char *path, struct mount_point *out, struct error *err) NODISCARD;

/* realpath(3), whose errno is the error's. ETIMEDOUT: the file system does not answer. malloced. */
char *mount_realpath(const char *path, struct error *err) NODISCARD;

/* A question to a mount. */
struct question {
    pid_t child;
    int fd;
    char *text; /* the answer so far */
    size_t nbytes;
};

/* Begin to read the control file. End each one that was begun, with question_end(). */
int question_begin(const struct mount_point *m, const char *name, struct question *out,
                   struct error *err) NODISCARD;
/* Wait for the answer until `end_ms` (CLOCK_MONOTONIC). It is q->text then, and ends with a NUL.
 * ETIMEDOUT: not yet; may be called again. */
int question_wait(struct question *q, int64_t end_ms, struct error *err) NODISCARD;
void question_end(struct question *q);
int64_t question_now_ms(void);

/* The JSON of a control file. */
json_t *mount_json(const struct mount_point *m, const char *name, struct error *err) NODISCARD;
json_t *question_json(const struct question *q, const char *name, struct error *err) NODISCARD;

#endif
