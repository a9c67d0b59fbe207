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

int sink_open(struct sink *sink, const char *path, struct error *err)
{
    struct stat st;
    int fd;

    *sink = (struct sink){.path = path};
    if (!path)
        return 0;
    if (lstat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
        sink->f = fopen(path, "we");
        return sink->f ? 0 : error_set(err, errno, "open: %s", strerror(errno));
    }
    if (asprintf(&sink->temp, "%s.XXXXXX", path) < 0) {
        sink->temp = NULL;
        return error_set(err, ENOMEM, "create: out of memory");
    }
    fd = mkostemp(sink->temp, O_CLOEXEC);
    if (fd >= 0)
        sink->f = fdopen(fd, "w");
    if (sink->f)
        return 0;
    error_set(err, errno, "create: %s", strerror(errno));
    if (fd >= 0) {
        close(fd);
        unlink(sink->temp);
    }
    free(sink->temp);
    sink->temp = NULL;
    return -err->code;
}

int sink_write(struct sink *sink, const char *bytes, size_t n, struct error *err)
{
    if (sink->f && fwrite(bytes, 1, n, sink->f) != n)
        return error_set(err, errno, "write: %s", strerror(errno));
    return 0;
}

int sink_close(struct sink *sink, bool complete, struct error *err)
{
    mode_t mask = umask(0);
    int code = 0;

    umask(mask);
    if (sink->f) {
        if (sink->temp && fchmod(fileno(sink->f), 0666 & ~mask) < 0)
            code = errno;
        if (fclose(sink->f) != 0 && code == 0)
            code = errno;
        if (sink->temp && complete && code == 0 && rename(sink->temp, sink->path) < 0)
            code = errno;
        if (sink->temp && (!complete || code != 0))
            unlink(sink->temp);
    }
    free(sink->temp);
    return code ? error_set(err, code, "write: %s", strerror(code)) : 0;
}

int sink_put(const char *path, const char *bytes, size_t n, struct error *err)
{
    struct sink sink;
    struct error why;
    int ret = sink_open(&sink, path, err);

    if (ret < 0)
        return ret;
    ret = sink_write(&sink, bytes, n, err);
    return sink_close(&sink, ret == 0, ret == 0 ? err : &why) < 0 ? -EIO : ret;
}
