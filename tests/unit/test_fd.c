/* SPDX-License-Identifier: MIT
 *
 * Reading and writing whole: through a pipe, which gives and takes less than was asked for, and at
 * the end of a file.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fd.h"
#include "scratch.h"

enum { NBYTES = 300000 }; /* a pipe holds 64 KiB */

static unsigned char data[NBYTES], back[NBYTES + 1];

static void *write_and_close(void *arg)
{
    int fd = *(int *)arg;
    intptr_t ret = fd_write(fd, data, sizeof data);

    close(fd);
    return (void *)ret;
}

static void through_a_pipe(void **state)
{
    pthread_t writer;
    void *written;
    int fds[2];

    (void)state;
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (unsigned char)(i * 7 + i / 256);
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(pthread_create(&writer, NULL, write_and_close, &fds[1]), 0);
    assert_int_equal(fd_read(fds[0], back, 1000), 1000);
    assert_int_equal(fd_read(fds[0], back + 1000, sizeof back - 1000), sizeof data - 1000);
    assert_int_equal(fd_read(fds[0], back, 1), 0);
    assert_int_equal(pthread_join(writer, &written), 0);
    assert_null(written);
    assert_memory_equal(back, data, sizeof data);
    close(fds[0]);
}

static void at_the_end_of_a_file(void **state)
{
    struct scratch dir;
    int fd;

    (void)state;
    scratch_make(&dir);
    scratch_write(&dir, "file", data, sizeof data);
    fd = open(scratch_at(&dir, "file"), O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(fd_pread(fd, back, 100, NBYTES - 60), 60);
    assert_memory_equal(back, data + NBYTES - 60, 60);
    assert_int_equal(fd_pread(fd, back, 100, NBYTES), 0);
    assert_int_equal(fd_pread(fd, back, 0, 0), 0);
    assert_int_equal(fd_pread(fd, back, 1, UINT64_MAX), -EINVAL);
    assert_int_equal(fd_read(fd, back, sizeof back), sizeof data); /* its place has not moved */
    assert_memory_equal(back, data, sizeof data);
    close(fd);
    scratch_remove(&dir);
}

static void failures(void **state)
{
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC), dir = open("/", O_RDONLY | O_CLOEXEC);

    (void)state;
    assert_int_equal(fd_write(full, data, 10), -ENOSPC);
    assert_int_equal(fd_write(full, data, 0), 0);
    assert_int_equal(fd_read(dir, back, 10), -EISDIR);
    assert_int_equal(fd_pread(-1, back, 10, 0), -EBADF);
    close(full);
    close(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(through_a_pipe),
        cmocka_unit_test(at_the_end_of_a_file),
        cmocka_unit_test(failures),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
