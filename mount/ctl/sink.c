/* SPDX-License-Identifier: MIT
 *
 * The temporary file is in the result's directory, because rename(2) works within a file system.
 */
#include "sink.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int fail(const char *path, const char *operation, int code, struct error *err)
{
    return error_set(err, code, "%s: %s: %s", path, operation, strerror(code));
}

/* Make the temporary file beside `path`. */
static int open_temp(struct sink *sink, const char *path, struct error *err)
{
    int fd, code;

    if (asprintf(&sink->temp, "%s.XXXXXX", path) < 0) {
        sink->temp = NULL;
        return fail(path, "create", ENOMEM, err);
    }
    fd = mkostemp(sink->temp, O_CLOEXEC);
    if (fd >= 0)
        sink->f = fdopen(fd, "w");
    if (sink->f)
        return 0;
    code = errno;
    if (fd >= 0) {
        close(fd);
        unlink(sink->temp);
    }
    free(sink->temp);
    sink->temp = NULL;
    return fail(path, "create", code, err);
}

int sink_open(struct sink *sink, const char *path, struct error *err)
{
    struct stat st;
    int fd;

    *sink = (struct sink){.path = path};
    if (!path)
        return 0;
    if (strcmp(path, "-") == 0) {
        fd = dup(STDOUT_FILENO);
        sink->f = fd >= 0 ? fdopen(fd, "w") : NULL;
        if (!sink->f && fd >= 0)
            close(fd);
    } else if (lstat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
        sink->f = fopen(path, "we");
    } else {
        return open_temp(sink, path, err);
    }
    return sink->f ? 0 : fail(path, "open", errno, err);
}

int sink_write(struct sink *sink, const char *bytes, size_t n, struct error *err)
{
    if (sink->f && fwrite(bytes, 1, n, sink->f) != n)
        return fail(sink->path, "write", errno, err);
    return 0;
}

/* Give a complete temporary file its rights and time. Returns an errno. */
static int finish(const struct sink *sink, const struct timespec *mtime)
{
    struct timespec times[2] = {{.tv_nsec = UTIME_NOW}};
    mode_t mask = umask(0);

    umask(mask);
    if (fflush(sink->f) != 0 || fchmod(fileno(sink->f), 0666 & ~mask) < 0)
        return errno;
    if (!mtime)
        return 0;
    times[1] = *mtime;
    return futimens(fileno(sink->f), times) < 0 ? errno : 0;
}

int sink_close(struct sink *sink, bool complete, const struct timespec *mtime, struct error *err)
{
    int code = sink->temp && complete ? finish(sink, mtime) : 0;

    if (sink->f && fclose(sink->f) != 0 && code == 0)
        code = errno;
    if (sink->temp && complete && code == 0 && rename(sink->temp, sink->path) < 0)
        code = errno;
    if (sink->temp && (!complete || code != 0))
        unlink(sink->temp);
    free(sink->temp);
    sink->temp = NULL;
    sink->f = NULL;
    return code ? fail(sink->path, "write", code, err) : 0;
}

int sink_put(const char *path, const char *bytes, size_t n, struct error *err)
{
    struct sink sink;
    struct error why;
    int ret = sink_open(&sink, path, err);

    if (ret < 0)
        return ret;
    ret = sink_write(&sink, bytes, n, err);
    return sink_close(&sink, ret == 0, NULL, ret == 0 ? err : &why) < 0 ? -EIO : ret;
}
