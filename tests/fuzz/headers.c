/* SPDX-License-Identifier: MIT
 *
 * A page of headers on disk: read without harm, and what was found is found again after the page was
 * written once more.
 *
 * The first byte says what the rest is: a page, or (odd) one whose checksum is set right here, so
 * that a changed page gets past it.
 */
#include <dirent.h>
#include <fcntl.h>

#include <xxhash.h>

#include "codec.h"
#include "fuzz.h"
#include "headers.h"
#include "scratch.h"

enum { SUM_AT = 16, RECORDS_AT = 24 };

static struct scratch dir;
static char page[PATH_MAX + 300]; /* the path of the page */

static const struct key fs = {"file system"};
static const struct source_id known = {
    .fs = {"file system"}, .lasting = true, .ino = 2, .size = 3, .mtime_ns = 4, .ctime_ns = 5};
static const struct source_id other = {
    .fs = {"file system"}, .lasting = true, .ino = 9, .size = 3, .mtime_ns = 4, .ctime_ns = 5};

static void remove_all(void)
{
    scratch_remove(&dir);
}

/* A page with one header, to learn where pages are. */
static void setup(void)
{
    struct header_bytes header = {.nbytes = 4, .bytes = "abcd", .codec = codec_at(0)};
    struct dirent *entry;
    struct header_page *p;
    char path[PATH_MAX];
    DIR *pages;

    scratch_make(&dir);
    assert_int_equal(atexit(remove_all), 0);
    snprintf(path, sizeof path, "%s/v1", dir.path);
    assert_int_equal(mkdir(path, 0700), 0);
    p = header_page_open(dir.path, &fs, 8);
    header_page_add(p, &known, &header);
    header_page_close(p, 1);
    snprintf(path, sizeof path, "%s/v1/headers", dir.path);
    pages = opendir(path);
    assert_non_null(pages);
    while ((entry = readdir(pages)))
        if (entry->d_name[0] != '.')
            snprintf(page, sizeof page, "%s/%s", path, entry->d_name);
    closedir(pages);
    assert_true(page[0] != '\0');
}

static void write_page(const uint8_t *data, size_t nbytes, bool mend)
{
    uint8_t *bytes = malloc(nbytes + 1);
    int fd = open(page, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(bytes && fd >= 0);
    if (nbytes > 0)
        memcpy(bytes, data, nbytes);
    if (mend && nbytes >= RECORDS_AT) {
        XXH64_hash_t sum = XXH3_64bits(bytes + RECORDS_AT, nbytes - RECORDS_AT);

        memcpy(bytes + SUM_AT, &sum, sizeof sum);
    }
    assert_int_equal(write(fd, bytes, nbytes), (ssize_t)nbytes);
    close(fd);
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes)
{
    struct header_bytes first, second = {.nbytes = 2, .bytes = "xy", .codec = codec_at(0)};
    struct header_page *p;
    bool found;

    if (nbytes < 1)
        return 0;
    if (!dir.path[0])
        setup();
    write_page(data + 1, nbytes - 1, data[0] & 1);
    p = header_page_open(dir.path, &fs, 8);
    found = header_page_find(p, &known, &first);
    header_page_add(p, &other, &second);
    header_page_close(p, 1000);

    p = header_page_open(dir.path, &fs, 8);
    assert_int_equal(header_page_find(p, &known, &second), found);
    if (found) {
        assert_true(first.nbytes <= sizeof first.bytes && first.nbytes == second.nbytes);
        assert_memory_equal(first.bytes, second.bytes, first.nbytes);
        assert_ptr_equal(first.codec, second.codec);
    }
    assert_true(header_page_find(p, &other, &second));
    header_page_close(p, 1000);
    return 0;
}
