/* SPDX-License-Identifier: MIT
 *
 * Pages of headers.
 *
 *     ROOT/v1/headers/KEY      magic, number of records, XXH3 of the records;
 *                              then each: lengths, codec, its memory, identity, header
 *
 * KEY is a hash of the directory's file system and inode. A page is read when the first header is asked
 * for, checked as a whole, and replaced by rename(2) when a directory's files have changed. Two
 * daemons that replace one at the same time may lose each other's news, which are read again then;
 * nothing is synced. A page that is used tells so by its time, at most once a day, so that the ones
 * that nobody has used for long can go (disk_sweep_headers in cache_disk.h). Numbers are in this
 * machine's byte order, which the magic tells.
 *
 * A gzip header costs an open, a read of 2 KiB and inflating, on a network file system round
 * trips; a page costs one open and one read for all of a directory's.
 */
#include "headers.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>
#include <xxhash.h>

#include "fd.h"
#include "key.h"

enum { PAGE_MAX_NBYTES = 64 << 20, USED_S = 24 * 3600 };
static const uint64_t MAGIC = 0x32726468736676; /* 'vfshdr2' */

struct page_head {
    uint64_t magic, nrecords, xxh3;
};

struct record_head {
    uint16_t id_nbytes, header_nbytes;
    uint32_t codec;
    uint64_t reading_nbytes;
};

struct record {
    char id[SOURCE_ID_TEXT_MAX];
    struct header_bytes header;
    UT_hash_handle hh;
};

struct header_page {
    char *path;
    char *dir;
    struct record *records; /* by id, the oldest first */
    bool loaded, added;
};

static void page_free(struct header_page *p)
{
    struct record *r, *next;

    HASH_ITER(hh, p->records, r, next)
    {
        HASH_DEL(p->records, r); /* NOLINT(clang-analyzer-unix.Malloc): unlinked first */
        free(r);
    }
    free(p->path);
    free(p->dir);
    free(p);
}

struct header_page *header_page_open(const char *root, const struct key *fs, uint64_t ino)
{
    struct header_page *p = root ? calloc(1, sizeof *p) : NULL;
    struct key_builder *b = p ? key_begin("headers", 2) : NULL;
    struct key key;

    if (!b) {
        free(p);
        return NULL;
    }
    key_add_key(b, "file system", fs);
    key_add_numbers(b, "directory", (const int64_t[]){(int64_t)ino}, 1);
    key_end(b, &key);
    if (asprintf(&p->dir, "%s/v1/headers", root) < 0)
        p->dir = NULL;
    if (!p->dir || asprintf(&p->path, "%s/%s", p->dir, key.hex) < 0)
        p->path = NULL;
    if (!p->path) {
        page_free(p);
        return NULL;
    }
    return p;
}

/* ---- records ---- */

/* Where memory is out, it is not kept. */
static void keep(struct header_page *p, const char *id, size_t id_nbytes,
                 const struct header_bytes *header)
{
    struct record *r = calloc(1, sizeof *r);
    struct record *old;

    if (!r)
        return;
    memcpy(r->id, id, id_nbytes);
    r->header = *header;
    HASH_FIND_STR(p->records, r->id, old);
    if (old) {
        HASH_DEL(p->records, old);
        free(old);
    }
    HASH_ADD_STR(p->records, id, r);
    if (!r->hh.tbl)
        free(r);
}

/* The next record at *at; false: the page makes no sense. */
static bool take_record(struct header_page *p, const unsigned char **at, const unsigned char *end)
{
    struct header_bytes header = {.nbytes = 0};
    struct record_head head;
    const char *id;

    if ((size_t)(end - *at) < sizeof head)
        return false;
    memcpy(&head, *at, sizeof head);
    *at += sizeof head;
    if (head.id_nbytes >= SOURCE_ID_TEXT_MAX || head.header_nbytes > sizeof header.bytes ||
        (size_t)(end - *at) < (size_t)head.id_nbytes + head.header_nbytes)
        return false;
    id = (const char *)*at;
    header.nbytes = head.header_nbytes;
    header.codec = codec_with_id(head.codec);
    header.reading_nbytes = (size_t)head.reading_nbytes;
    memcpy(header.bytes, *at + head.id_nbytes, head.header_nbytes);
    if (header.codec) /* else a later version's */
        keep(p, id, head.id_nbytes, &header);
    *at += head.id_nbytes + head.header_nbytes;
    return true;
}

static void take_records(struct header_page *p, const unsigned char *bytes, size_t nbytes)
{
    const unsigned char *at = bytes + sizeof(struct page_head), *end = bytes + nbytes;
    struct page_head head;

    if (nbytes < sizeof head)
        return;
    memcpy(&head, bytes, sizeof head);
    if (head.magic != MAGIC || head.xxh3 != XXH3_64bits(at, (size_t)(end - at)))
        return;
    for (uint64_t i = 0; i < head.nrecords; i++)
        if (!take_record(p, &at, end))
            return;
}

static void load(struct header_page *p)
{
    int fd = open(p->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    unsigned char *buf;
    struct stat st;

    p->loaded = true;
    if (fd < 0)
        return;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size <= PAGE_MAX_NBYTES &&
        (buf = malloc((size_t)st.st_size + 1))) {
        ssize_t n = fd_pread(fd, buf, (size_t)st.st_size, 0);

        take_records(p, buf, n < 0 ? 0 : (size_t)n);
        free(buf);
        if (llabs((long long)time(NULL) - st.st_mtim.tv_sec) > USED_S)
            (void)futimens(fd, NULL); /* refused: it looks older than it is */
    }
    close(fd);
}

bool header_page_find(struct header_page *p, const struct source_id *id, struct header_bytes *out)
{
    char text[SOURCE_ID_TEXT_MAX];
    struct record *r;

    if (!p)
        return false;
    if (!p->loaded)
        load(p);
    source_id_text(id, text);
    HASH_FIND_STR(p->records, text, r);
    if (r)
        *out = r->header;
    return r != NULL;
}

void header_page_add(struct header_page *p, const struct source_id *id,
                     const struct header_bytes *header)
{
    char text[SOURCE_ID_TEXT_MAX];

    struct record *known;

    if (!p)
        return;
    source_id_text(id, text);
    HASH_FIND_STR(p->records, text, known);
    if (known)
        return;
    keep(p, text, strlen(text), header);
    p->added = true;
}

/* ---- writing ---- */

static void put_records(const struct header_page *p, FILE *f, struct page_head *head)
{
    fwrite(head, sizeof *head, 1, f);
    for (const struct record *r = p->records; r; r = r->hh.next) {
        struct record_head rh = {(uint16_t)strlen(r->id), (uint16_t)r->header.nbytes,
                                 r->header.codec->id, r->header.reading_nbytes};

        fwrite(&rh, sizeof rh, 1, f);
        fwrite(r->id, rh.id_nbytes, 1, f);
        fwrite(r->header.bytes, rh.header_nbytes, 1, f);
        head->nrecords++;
    }
}

/* The whole page in memory. malloced; NULL: out of memory. */
static char *page_text(const struct header_page *p, size_t *nbytes)
{
    struct page_head head = {.magic = MAGIC};
    char *text = NULL;
    FILE *f = open_memstream(&text, nbytes);
    bool failed;

    if (!f)
        return NULL;
    put_records(p, f, &head);
    failed = ferror(f);
    if (fclose(f) != 0 || failed) {
        free(text);
        return NULL;
    }
    head.xxh3 = XXH3_64bits(text + sizeof head, *nbytes - sizeof head);
    memcpy(text, &head, sizeof head);
    return text;
}

/* Where this fails, there is no page, or the old one. */
static void save(const struct header_page *p)
{
    size_t nbytes;
    char *text = page_text(p, &nbytes), *temp = NULL;
    int fd = -1;

    if (text && asprintf(&temp, "%s.XXXXXX", p->path) < 0)
        temp = NULL;
    if (temp) {
        fd = mkostemp(temp, O_CLOEXEC);
        if (fd < 0 && errno == ENOENT && mkdir(p->dir, 0700) == 0) {
            strcpy(temp + strlen(p->path), ".XXXXXX"); /* which a failure leaves undefined */
            fd = mkostemp(temp, O_CLOEXEC);
        }
    }
    if (fd >= 0) {
        bool written = fd_write(fd, text, nbytes) == 0;

        if (close(fd) != 0 || !written || rename(temp, p->path) != 0)
            unlink(temp);
    }
    free(text);
    free(temp);
}

void header_page_close(struct header_page *p, size_t nfiles)
{
    struct record *r, *next;

    if (!p)
        return;
    if (p->added) {
        size_t n = HASH_COUNT(p->records);

        HASH_ITER(hh, p->records, r, next)
        {
            if (n <= 2 * nfiles)
                break;
            HASH_DEL(p->records, r); /* NOLINT(clang-analyzer-unix.Malloc): unlinked first */
            free(r);
            n--;
        }
        save(p);
    }
    page_free(p);
}
