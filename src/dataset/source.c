/* SPDX-License-Identifier: MIT
 *
 * Reading a source: the file, which must not change meanwhile, through its codec.
 *
 * Guarantee: when source_finish() has returned 0, every byte that was read belongs to one version
 * of the file, the one identified at open, and what was read since the last seek passed its CRC-32
 * if it had one. A failure while the file was being changed is reported as the change (ESTALE: read
 * again), because a truncated or half-written file explains every other symptom.
 * Imprecision: a change of the bytes that leaves size, mtime and ctime as they were goes unseen;
 * that takes two writes within one tick of the kernel's clock.
 */
#include "source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "codec.h"
#include "fd.h"
#include "source_id.h"

enum {
    SCRATCH_NBYTES = 128 * 1024,
    HEADER_READ_MAX = 64 * 1024,
    MISSING_MAX = 256 * 1024, /* bytes that are read once more for a content id, beside a part */
    MISSING_PART = 8,         /* of this of the file */
};

struct source {
    int rootfd; /* the caller's */
    int fd;
    char *path;
    struct source_id id;      /* with the annex key that its place claims */
    struct source_id at_open; /* what fstat told then: for comparing the open file with itself */
    struct content *content;  /* NULL: the bytes are not hashed */
    bool has_content;         /* it is complete */
    struct decoder_input input;
    const struct codec *codec;
    struct decoder *z;               /* what the codec has opened */
    const struct cancel_token *stop; /* NULL: nobody is asked */
    uint64_t pos;                    /* bytes handed out or skipped */
    size_t forced_nbytes;            /* taken from the budget beside what the caller has counted */
    size_t counted_nbytes;           /* the caller's */
    atomic_bool advised;
};

/* Only a file that is read for more than its header gains from a larger read-ahead. */
static void advise_once(struct source *s, uint64_t off)
{
    if (off < HEADER_READ_MAX / 4 || atomic_exchange(&s->advised, true))
        return;
    (void)posix_fadvise(s->fd, 0, 0, POSIX_FADV_SEQUENTIAL); /* a hint: failing costs nothing */
}

/* At most `cap` stored bytes from `off` on; 0 at the end of the file only. Called from any thread.
 */
static int read_stored(void *ctx, uint64_t off, unsigned char *buf, size_t cap, size_t *got,
                       struct error *err)
{
    struct source *s = ctx;

    advise_once(s, off);
    ssize_t n = fd_pread(s->fd, buf, cap, off);
    if (n < 0)
        return error_fault(err, (int)-n, "read fails at byte %llu: %s", (unsigned long long)off,
                           strerrordesc_np((int)-n));
    *got = (size_t)n;
    if (s->content)
        content_add(s->content, off, buf, *got);
    return 0;
}

int source_check_opened(const struct source *s, struct error *err)
{
    struct source_id now;
    mode_t type;
    int ret = source_id_of_fd(s->fd, s->path, &now, &type, err);

    if (ret < 0)
        return ret;
    now.mode = s->at_open.mode; /* its rights are those of the path, too (check_unchanged) */
    if (!source_id_equal(&now, &s->at_open))
        return error_set(err, ESTALE, "%s: changed while it was read", s->path);
    return 0;
}

/* Compare the path and the open file with what was opened. The path first: replacing or removing a
 * file changes the ctime of the old one, too. */
static int check_unchanged(const struct source *s, struct error *err)
{
    struct source_id now;
    struct error why;
    int ret = source_identify(s->rootfd, -1, s->path, &now, &why);

    if (ret < 0 && why.fault)
        return error_fault(err, why.code, "%s", why.text);
    if (ret < 0)
        return error_set(err, ESTALE, "%s: removed while it was read", s->path);
    bool same_inode = key_equal(&now.fs, &s->id.fs) && now.ino == s->id.ino;
    if (!source_id_equal(&now, &s->id))
        return error_set(err, ESTALE, "%s: %s while it was read", s->path,
                         same_inode ? "changed" : "replaced");
    return source_check_opened(s, err);
}

/* Name the file in a failure, unless a change of the file explains it. */
static int explain(const struct source *s, int ret, struct error *err)
{
    struct error change;

    if (ret == -ECANCELED)
        return error_wrap(err, ret, "%s", s->path);
    if (check_unchanged(s, &change) == -ESTALE)
        return error_set(err, ESTALE, "%s", change.text);
    return error_wrap(err, ret, "%s: %s", s->path, s->codec->reading);
}

static int open_codec(struct source *s, const struct source_options *o, struct error *err)
{
    unsigned char start[CODEC_MAGIC_NBYTES];
    size_t got = 0;
    int ret = read_stored(s, 0, start, sizeof start, &got, err);

    if (ret < 0)
        return error_wrap(err, ret, "%s: read", s->path);
    s->input = (struct decoder_input){.source = {read_stored, s},
                                      .stored_nbytes = s->id.size,
                                      .helpers = o->helpers,
                                      .budget = o->budget,
                                      .known = o->known,
                                      .learn = o->learn};
    s->counted_nbytes = o->counted_nbytes;
    s->codec = codec_of_bytes(start, got);
    ret = s->codec->open(&s->input, &s->z, err);
    return ret < 0 ? error_wrap(err, ret, "%s", s->path) : 0;
}

int source_open(int rootfd, const char *path, const struct source_options *options,
                struct source **out, struct error *err)
{
    static const struct source_options none;
    const struct source_options *o = options ? options : &none;
    struct source *s = calloc(1, sizeof(*s));

    if (!s)
        return error_set(err, ENOMEM, "%s: out of memory", path);
    s->rootfd = rootfd;
    s->fd = -1;
    s->path = strdup(path);
    int ret = s->path ? source_id_open(rootfd, -1, path, &s->fd, &s->id, err)
                      : error_set(err, ENOMEM, "%s: out of memory", path);
    if (ret == 0) {
        s->at_open = s->id;
        s->at_open.annex_key[0] = '\0';
        if (o->expect && !source_id_equal(o->expect, &s->id))
            ret = error_set(err, ESTALE, "%s: has changed", path);
    }
    if (ret == 0 && o->secret) /* without memory for it there is no content id */
        s->content = content_new(o->secret, s->id.size);
    if (ret == 0)
        ret = open_codec(s, o, err);
    if (ret < 0) {
        source_close(s);
        return ret;
    }
    *out = s;
    return 0;
}

const struct codec *source_codec(const struct source *s)
{
    return s->codec;
}

void source_set_cancel(struct source *s, const struct cancel_token *stop)
{
    s->stop = stop;
    if (s->codec->set_cancel)
        s->codec->set_cancel(s->z, stop);
}

size_t source_nbytes(const struct source *s)
{
    return s->codec->nbytes ? s->codec->nbytes(s->z) : 0;
}

/* The caller has counted what the beginning of the file needs; its rest may need more. That memory
 * is in use already, so there is no asking whether it fits. */
static void count_more(struct source *s)
{
    size_t counted = s->counted_nbytes + s->forced_nbytes, now = source_nbytes(s);

    if (!s->input.budget || now <= counted)
        return;
    budget_force(s->input.budget, now - counted);
    s->forced_nbytes += now - counted;
}

int source_read_some(struct source *s, void *buf, size_t nbytes, size_t *got, struct error *err)
{
    int ret = s->codec->read(s->z, buf, nbytes, got, err);

    count_more(s);
    if (ret < 0)
        return explain(s, ret, err);
    s->pos += *got;
    return 0;
}

static int fail_short(const struct source *s, uint64_t want, struct error *err)
{
    int ret = error_set(err, EIO, "%s ends after %llu of at least %llu bytes", s->codec->data,
                        (unsigned long long)s->pos, (unsigned long long)want);
    return explain(s, ret, err);
}

int source_read(struct source *s, void *buf, size_t nbytes, struct error *err)
{
    uint64_t want = s->pos + nbytes;
    size_t got;
    int ret = source_read_some(s, buf, nbytes, &got, err);

    if (ret == 0 && got < nbytes)
        ret = fail_short(s, want, err);
    return ret;
}

/* Read and drop up to `nbytes`; less at the end of the data. */
static int drop(struct source *s, uint64_t nbytes, struct error *err)
{
    unsigned char *scratch = malloc(SCRATCH_NBYTES);
    size_t want = SCRATCH_NBYTES, got = want;
    int ret = scratch ? 0 : error_set(err, ENOMEM, "%s: out of memory", s->path);

    for (; ret == 0 && nbytes > 0 && got == want; nbytes -= got) {
        want = nbytes < SCRATCH_NBYTES ? (size_t)nbytes : SCRATCH_NBYTES;
        ret = source_read_some(s, scratch, want, &got, err);
    }
    free(scratch);
    return ret;
}

/* Begin anew. */
static int rewind_codec(struct source *s, struct error *err)
{
    struct decoder *z;
    int ret = s->codec->open(&s->input, &z, err);

    if (ret < 0)
        return error_wrap(err, ret, "%s", s->path);
    s->codec->free(s->z);
    s->z = z;
    s->pos = 0;
    source_set_cancel(s, s->stop);
    return 0;
}

int source_seek(struct source *s, uint64_t off, struct error *err)
{
    int ret = 0;

    if (s->codec->seek) {
        ret = s->codec->seek(s->z, off, &s->pos, err);
        if (ret < 0)
            return explain(s, ret, err);
    } else {
        if (off < s->pos)
            ret = rewind_codec(s, err);
        if (ret == 0)
            ret = drop(s, off - s->pos, err);
        if (ret < 0)
            return ret;
    }
    return s->pos < off ? fail_short(s, off, err) : 0;
}

/* Complete the hash of a file that was read as a whole, or nearly so. */
static void finish_content(struct source *s)
{
    if (!s->content || content_missing(s->content) > s->id.size / MISSING_PART + MISSING_MAX)
        return;
    s->has_content = content_fill(s->content, true, read_stored, s, s->stop, NULL) == 0;
}

int source_finish(struct source *s, struct error *err)
{
    /* no seek, for that need not read it */
    int ret = s->codec->plain ? 0 : drop(s, UINT64_MAX, err);

    if (ret == 0)
        finish_content(s);
    return ret == 0 ? check_unchanged(s, err) : ret;
}

bool source_content(const struct source *s, struct content_id *out)
{
    return s->has_content && content_end(s->content, true, out, NULL) == 0;
}

int source_read_content(struct source *s, bool all, struct content_id *out, struct error *err)
{
    int ret = s->content ? content_fill(s->content, all, read_stored, s, s->stop, err)
                         : error_set(err, ENOMEM, "out of memory");

    if (ret == 0)
        ret = content_end(s->content, all, out, err);
    return ret == 0 ? check_unchanged(s, err) : error_wrap(err, ret, "%s: hash", s->path);
}

int source_read_stored(struct source *s, uint64_t off, void *buf, size_t nbytes, size_t *got,
                       struct error *err)
{
    int ret = read_stored(s, off, buf, nbytes, got, err);

    return ret < 0 ? error_wrap(err, ret, "%s", s->path) : 0;
}

struct checkpoints *source_learned(struct source *s)
{
    return s->codec->learned ? s->codec->learned(s->z) : NULL;
}

int source_check(const struct source *s, struct error *err)
{
    return check_unchanged(s, err);
}

uint64_t source_consumed(const struct source *s)
{
    return s->codec->consumed(s->z);
}

void source_close(struct source *s)
{
    if (!s)
        return;
    if (s->z)
        s->codec->free(s->z);
    if (s->forced_nbytes > 0)
        budget_give(s->input.budget, s->forced_nbytes);
    if (s->fd >= 0)
        close(s->fd);
    content_free(s->content);
    free(s->path);
    free(s);
}
