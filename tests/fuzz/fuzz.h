/* SPDX-License-Identifier: MIT
 *
 * What fuzz targets share. A target asserts like a unit test. It is linked
 * with replay.c, or with libFuzzer (contrib/fuzz). Inputs are copied to buffers of their exact size,
 * for AddressSanitizer.
 */
#ifndef DERIVFS_TESTS_FUZZ_H
#define DERIVFS_TESTS_FUZZ_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "error.h"

/* libFuzzer's name for a target: any bytes, always 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes);

/* The bytes up to the first NUL as a string: malloced. */
static inline char *fuzz_text(const uint8_t *data, size_t nbytes)
{
    size_t n = nbytes > 0 ? strnlen((const char *)data, nbytes) : 0;
    char *text = malloc(n + 1);

    assert_non_null(text);
    if (n > 0)
        memcpy(text, data, n);
    text[n] = '\0';
    return text;
}

/* A nameless file with these bytes, readable and writable by its owner alone; the caller closes it. */
static inline int fuzz_file(const void *bytes, size_t nbytes)
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(fchmod(fd, 0600), 0);
    assert_int_equal(write(fd, bytes, nbytes), (ssize_t)nbytes);
    return fd;
}

/* An input as stored bytes, and how gunzip.h and deflate.h read them. */
struct fuzz_memory {
    const uint8_t *bytes;
    size_t nbytes;
};

static inline int fuzz_pread(void *ctx, uint64_t off, unsigned char *buf, size_t cap, size_t *got,
                             struct error *err)
{
    const struct fuzz_memory *m = ctx;

    (void)err;
    *got = off < m->nbytes ? m->nbytes - (size_t)off : 0;
    *got = *got < cap ? *got : cap;
    if (*got > 0)
        memcpy(buf, m->bytes + off, *got);
    return 0;
}

#endif
