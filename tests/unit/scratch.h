/* SPDX-License-Identifier: MIT
 *
 * A scratch directory for one test: made under $TMPDIR, removed with all that is in it.
 *
 * Paths are relative to it and may be up to SCRATCH_PATH_MAX long. Failing means the test cannot
 * go on, so everything asserts. Include after cmocka.h.
 */
#ifndef DERIVFS_TESTS_SCRATCH_H
#define DERIVFS_TESTS_SCRATCH_H

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SCRATCH_PATH_MAX = 512 };

struct scratch {
    char path[SCRATCH_PATH_MAX];
};

static inline void scratch_make(struct scratch *scratch)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(scratch->path, sizeof scratch->path, "%s/derivfs-test-XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(scratch->path));
}

static inline int scratch_remove_one(const char *path, const struct stat *st, int type,
                                     struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static inline void scratch_remove(const struct scratch *scratch)
{
    assert_int_equal(nftw(scratch->path, scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

/* The absolute path of `name`, in one of a few static buffers. */
static inline const char *scratch_at(const struct scratch *scratch, const char *name)
{
    static _Thread_local char buffers[4][2 * SCRATCH_PATH_MAX];
    static _Thread_local unsigned next;
    char *buffer = buffers[next++ % 4];
    snprintf(buffer, sizeof buffers[0], "%s/%s", scratch->path, name);
    return buffer;
}

static inline void scratch_mkdir(const struct scratch *scratch, const char *name)
{
    assert_int_equal(mkdir(scratch_at(scratch, name), 0755), 0);
}

static inline void scratch_write(const struct scratch *scratch, const char *name, const void *bytes,
                                 size_t nbytes)
{
    int fd = open(scratch_at(scratch, name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, nbytes), (ssize_t)nbytes);
    assert_int_equal(close(fd), 0);
}

static inline void scratch_text(const struct scratch *scratch, const char *name, const char *text)
{
    scratch_write(scratch, name, text, strlen(text));
}

static inline void scratch_link(const struct scratch *scratch, const char *target, const char *name)
{
    assert_int_equal(symlink(target, scratch_at(scratch, name)), 0);
}

static inline void scratch_unlink(const struct scratch *scratch, const char *name)
{
    assert_int_equal(unlink(scratch_at(scratch, name)), 0);
}

static inline void scratch_rename(const struct scratch *scratch, const char *from, const char *to)
{
    assert_int_equal(rename(scratch_at(scratch, from), scratch_at(scratch, to)), 0);
}

/* Set the modification time to `seconds` since the epoch, so that a later change is sure to show
 * another time however coarse the file system's clock is. */
static inline void scratch_set_mtime(const struct scratch *scratch, const char *name,
                                     time_t seconds)
{
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = seconds}};
    assert_int_equal(utimensat(AT_FDCWD, scratch_at(scratch, name), times, 0), 0);
}

#endif
