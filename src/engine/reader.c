/* SPDX-License-Identifier: MIT
 *
 * Reading a derived file: an open file is a reader, a request that must wait is a wait.
 *
 *     reader_open ---- planned: size, parts, header known; nothing computed
 *     reader_read ---- available bytes: the header, parts that were computed before
 *     reader_wait ---- one part after the other, each a job of the scheduler
 *        |---- done: the wait keeps the parts until its owner has read them
 *        |---- a source changed meanwhile (ESTALE): look the file up and plan it once more, if no
 *        |     byte of it was handed out: all that a reader hands out is of one edition
 *        |---- a result was evicted meanwhile (EAGAIN): plan it again without the cache
 *        \---- failed: noted in the error log, reported to the owner, forgotten after a second
 *
 * An image is one part, and so is a series that was joined (store.c); other series have many
 * (derived_parts()), of which a reader keeps the two latest: enough for sequential reads, and
 * bounded. The trailer of a .nii.gz of a series is known once all parts were read in order; a read
 * of the end alone waits for a task that computes the checksum. reader_wait.c has the waits.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "reader_private.h"

void reader_put(struct reader *r)
{
    if (atomic_fetch_sub(&r->refs, 1) > 1)
        return;
    derived_put(r->derived);
    graph_put(r->plan);
    for (size_t i = 0; i < READER_KEPT; i++)
        blob_put(r->kept[i].blob);
    pthread_mutex_destroy(&r->lock);
    free((char *)r->dir.path);
    free(r->name);
    free(r->path);
    free(r);
}

static struct reader *reader_new(struct engine *e, const struct dir *dir, const char *name)
{
    struct reader *r = calloc(1, sizeof *r);

    if (!r)
        return NULL;
    atomic_init(&r->refs, 1);
    pthread_mutex_init(&r->lock, NULL);
    r->engine = e;
    r->dir = (struct dir){.path = strdup(dir->path), .dev = dir->dev, .ino = dir->ino};
    r->name = strdup(name);
    r->path = join_path(dir->path, name);
    if (!r->dir.path || !r->name || !r->path) {
        reader_put(r);
        return NULL;
    }
    return r;
}

/* ---- available parts ---- */

static bool covers(const struct part *part, uint64_t off)
{
    return part->blob && part->off <= off && off - part->off < part->nbytes;
}

uint64_t reader_trailer_off(const struct reader *r)
{
    return r->nbytes - r->trailer_nbytes;
}

/* The trailer as a part, once all parts are in the checksum. */
static struct part make_trailer(struct reader *r)
{
    struct part trailer = {.off = reader_trailer_off(r), .nbytes = r->trailer_nbytes};
    unsigned char *bytes;
    uint32_t crc;
    bool known;

    pthread_mutex_lock(&r->lock);
    trailer.edition = r->edition;
    known = r->nsummed == r->parts.n;
    crc = r->crc;
    pthread_mutex_unlock(&r->lock);
    bytes = known ? malloc(OUTPUT_FRAME_NBYTES) : NULL;
    if (!bytes)
        return trailer;
    r->parts.framing->trailer(bytes, crc,
                              NIFTI_DERIVED_NBYTES + (r->parts.n - 1) * r->parts.result_nbytes +
                                  r->parts.last_result_nbytes);
    trailer.blob = blob_from_memory(bytes, r->trailer_nbytes, NULL);
    return trailer;
}

struct part reader_kept_part(struct reader *r, uint64_t off)
{
    struct part found = {.blob = NULL};

    if (r->trailer_nbytes > 0 && off >= reader_trailer_off(r))
        return make_trailer(r);
    pthread_mutex_lock(&r->lock);
    for (size_t i = 0; i < READER_KEPT && !found.blob; i++)
        if (covers(&r->kept[i], off))
            found = (struct part){r->kept[i].off, r->kept[i].nbytes, blob_get(r->kept[i].blob),
                                  r->edition};
    pthread_mutex_unlock(&r->lock);
    return found;
}

void reader_keep_part(struct reader *r, const struct part *part)
{
    struct blob *dropped = NULL;
    bool known = false;

    pthread_mutex_lock(&r->lock);
    known = part->edition != r->edition;
    for (size_t i = 0; i < READER_KEPT; i++)
        known = known || (r->kept[i].blob && r->kept[i].off == part->off &&
                          r->kept[i].nbytes == part->nbytes);
    r->reached_end = r->reached_end || part->off + part->nbytes == reader_trailer_off(r);
    if (!known) {
        dropped = r->kept[READER_KEPT - 1].blob;
        memmove(r->kept + 1, r->kept, (READER_KEPT - 1) * sizeof *r->kept);
        r->kept[0] = (struct part){part->off, part->nbytes, blob_get(part->blob), part->edition};
    }
    pthread_mutex_unlock(&r->lock);
    blob_put(dropped);
}

void reader_lose_part(struct reader *r, struct blob *blob)
{
    size_t n = 0;
    int ret = cache_check(r->engine->store.cache, blob, NULL);

    (void)ret; /* sound or not, it could not be read */
    blob_get(blob);
    pthread_mutex_lock(&r->lock);
    for (size_t i = 0; i < READER_KEPT; i++)
        if (r->kept[i].blob == blob)
            blob_put(blob);
        else
            r->kept[n++] = r->kept[i];
    memset(r->kept + n, 0, (READER_KEPT - n) * sizeof *r->kept);
    pthread_mutex_unlock(&r->lock);
    blob_put(blob);
}

void reader_take_size(struct reader *r, const struct blob *blob)
{
    if (!r->sized) {
        r->nbytes = blob_nbytes(blob);
        r->sized = true;
    }
}

/* A joined series is one part, header included. */
static bool keep_whole(struct reader *r)
{
    struct part part = {.blob = joined_lookup(&r->engine->store, r->derived)};
    bool whole = part.blob && blob_nbytes(part.blob) == r->nbytes;

    part.nbytes = r->nbytes;
    if (whole)
        reader_keep_part(r, &part);
    blob_put(part.blob);
    return whole;
}

/* ---- plans ---- */

struct derived *reader_derived(struct reader *r, unsigned *edition)
{
    struct derived *d;

    pthread_mutex_lock(&r->lock);
    d = derived_get(r->derived);
    *edition = r->edition;
    pthread_mutex_unlock(&r->lock);
    return d;
}

bool reader_hand_out(struct reader *r, unsigned edition)
{
    bool same;

    pthread_mutex_lock(&r->lock);
    same = r->edition == edition;
    r->handed_out = r->handed_out || same;
    pthread_mutex_unlock(&r->lock);
    return same;
}

/* Can a reader of the present file go on with `d`, a new version of it? With the lock held. */
static bool has_same_form(const struct reader *r, const struct derived *d)
{
    struct parts parts;

    derived_parts(d, &parts);
    return d->nbytes == r->derived->nbytes && r->parts.n == 1 && r->trailer_nbytes == 0 &&
           parts.n == 1 && parts.first_off == r->parts.first_off && d->format == r->derived->format;
}

/* Begin a new edition with the file `d`. With the lock held. */
static void begin_edition(struct reader *r, const struct derived *d,
                          const struct file_header *header,
                          struct blob *dropped[static READER_KEPT])
{
    r->edition++;
    r->version = d->version;
    r->header = *header;
    r->crc = header->crc;
    r->slice_nbytes = 0; /* the runs may be compressed now */
    for (size_t i = 0; i < READER_KEPT; i++) {
        dropped[i] = r->kept[i].blob;
        r->kept[i].blob = NULL;
    }
}

/* Takes `d` over. */
static int set_derived(struct reader *r, struct derived *d, struct error *err)
{
    struct blob *dropped[READER_KEPT] = {NULL};
    struct file_header header = {.nbytes = 0};
    struct derived *old = d; /* to be put */
    struct graph *plan = NULL;
    bool same;
    int ret = derived_header(d, &header, err);

    if (ret < 0 && ret != -ENODATA) {
        derived_put(d);
        return ret;
    }
    pthread_mutex_lock(&r->lock);
    same = d->version == r->version;
    ret = same || (!r->handed_out && has_same_form(r, d)) ? 0 : -EIO;
    if (ret == 0) {
        if (!same)
            begin_edition(r, d, &header, dropped);
        old = r->derived;
        plan = r->plan;
        r->derived = d;
        r->plan = NULL;
    }
    pthread_mutex_unlock(&r->lock);
    derived_put(old);
    graph_put(plan);
    for (size_t i = 0; i < READER_KEPT; i++)
        blob_put(dropped[i]);
    return ret == 0 ? 0 : error_set(err, EIO, "a source changed while it was read");
}

/* Of the same inode? `b` may be NULL: no. */
static bool is_same_file(const struct run *a, const struct run *b)
{
    return b && a->id.ino != 0 && key_equal(&a->id.fs, &b->id.fs) && a->id.ino == b->id.ino;
}

/* May those who opened the reader's file read `d`? An open file stays readable when rights are
 * withdrawn; another file that has its name now may be private. With the lock held. */
static bool shows_no_more(const struct reader *r, const struct derived *d)
{
    const struct derived *old = r->derived;
    bool same_files = !d->recipe->command && d->nruns == old->nruns;

    for (size_t i = 0; same_files && i < d->nruns; i++)
        same_files = is_same_file(d->runs[i], old->runs[i]);
    for (size_t i = 0; same_files && derived_input_file(d, i); i++)
        same_files = is_same_file(derived_input_file(d, i), derived_input_file(old, i));
    return same_files || (d->rights.uid == r->rights.uid && d->rights.gid == r->rights.gid &&
                          (r->rights.mode & ~d->rights.mode) == 0);
}

int reader_resolve_again(struct reader *r, struct error *err)
{
    struct derived *d;
    bool same_recipe, allowed;
    int ret = tree_find_derived(&r->engine->tree, &r->dir, r->name, SCAN_NOW, &d, err);

    if (ret == -ENOENT || ret == -ESTALE) /* no answers to a read(2) */
        return error_set(err, EIO, "a source was removed or damaged while it was read");
    if (ret < 0)
        return ret;
    pthread_mutex_lock(&r->lock);
    same_recipe = strcmp(d->recipe->canonical, r->derived->recipe->canonical) == 0;
    allowed = shows_no_more(r, d);
    pthread_mutex_unlock(&r->lock);
    if (d->error.code == 0 && same_recipe && allowed)
        return set_derived(r, d, err);
    ret = d->error.code ? derived_fail(d, err)
          : allowed     ? error_set(err, EIO, "source and recipe changed while it was read")
                        : error_set(err, EIO, "others may read its sources since it was opened");
    derived_put(d);
    return ret;
}

/* Keep the plan of a part of `d` instead of the previous one, unless the reader has another file by
 * now. */
static void keep_plan(struct reader *r, const struct derived *d, size_t part, struct graph *g)
{
    struct graph *old = NULL;

    pthread_mutex_lock(&r->lock);
    if (r->derived == d) {
        old = r->plan;
        r->plan = graph_get(g);
        r->planned_part = part;
    }
    pthread_mutex_unlock(&r->lock);
    graph_put(old);
}

int reader_plan(struct reader *r, size_t part, struct graph **out, unsigned *edition,
                struct error *err)
{
    struct derived *d;
    int ret = 0;

    pthread_mutex_lock(&r->lock);
    d = derived_get(r->derived);
    *edition = r->edition;
    *out = r->plan && r->planned_part == part ? graph_get(r->plan) : NULL;
    pthread_mutex_unlock(&r->lock);
    if (!*out) {
        ret = derived_plan(d, derived_part(d, part), r->engine->store.memory_nbytes, out, err);
        if (ret == 0)
            keep_plan(r, d, part, *out);
    }
    derived_put(d);
    return ret;
}

void reader_forget_plan(struct reader *r)
{
    struct graph *plan;

    pthread_mutex_lock(&r->lock);
    plan = r->plan;
    r->plan = NULL;
    pthread_mutex_unlock(&r->lock);
    graph_put(plan);
}

/* ---- opening ---- */

/* Plan the first part, and look its result up in the cache. A part that belongs to a checksum is
 * left to a wait, which adds it. */
static int find_in_cache(struct reader *r, struct error *err)
{
    struct part part = {.off = r->parts.first_off};
    struct graph *g;
    int ret;

    if (recipe_is_series(r->derived->recipe) && keep_whole(r))
        return 0;
    ret = reader_plan(r, 0, &g, &part.edition, err);
    if (ret < 0)
        return ret;
    if (r->trailer_nbytes == 0 &&
        cache_lookup(r->engine->store.cache, &graph_root(g)->key, &part.blob) == 0) {
        part.nbytes = r->parts.framing ? r->parts.framing->part_nbytes(blob_nbytes(part.blob))
                                       : blob_nbytes(part.blob);
        reader_keep_part(r, &part);
        reader_take_size(r, part.blob);
        blob_put(part.blob);
    }
    if (!r->derived->format->operation && graph_is_by_slices(g))
        r->slice_nbytes = graph_slice_nvox(g) * sizeof(float);
    graph_put(g);
    return 0;
}

static int keep_text(struct reader *r, struct error *err)
{
    char *copy = strdup(r->derived->text);
    struct part part = {.nbytes = r->nbytes,
                        .blob = copy ? blob_from_memory(copy, r->nbytes, NULL) : NULL};

    if (!part.blob)
        return error_set(err, ENOMEM, "%s: out of memory", r->name);
    reader_keep_part(r, &part);
    blob_put(part.blob);
    return 0;
}

/* Set up what follows from the file. */
static int take_derived(struct reader *r, struct error *err)
{
    const struct derived *d = r->derived;
    int ret;

    r->nbytes = d->nbytes;
    r->sized = !d->recipe->command;
    derived_parts(d, &r->parts);
    r->trailer_nbytes = r->parts.framing ? r->parts.framing->trailer_nbytes : 0;
    if (!r->sized)
        r->parts.nbytes = UINT64_MAX; /* one part of any length */
    if (d->format->kind == OUTPUT_DRAWING)
        return error_set(err, EINVAL, "%s: a drawing has no result; `derivctl graph` writes it",
                         r->name);
    if (d->text && d->bad && d->bad->state == RUN_UNKNOWN) /* perhaps not one of its sources */
        return derived_fail(d, err);
    if (d->text)
        return keep_text(r, err);
    ret = find_in_cache(r, err);
    if (ret < 0) {
        errlog_failed(r->engine->errors, r->path, err);
        return ret;
    }
    ret = derived_header(d, &r->header, err);
    r->crc = r->header.crc;
    return ret == -ENODATA ? 0 : ret;
}

int reader_resolve(struct reader *r, enum scan_freshness freshness, struct error *err)
{
    int ret = tree_find_derived(&r->engine->tree, &r->dir, r->name, freshness, &r->derived, err);

    if (ret < 0)
        return ret;
    r->version = r->derived->version;
    r->rights = r->derived->rights;
    r->lacking = output_is_computed(r->derived->format) && engine_must_fetch(r->engine, r->derived);
    return r->lacking ? 0 : take_derived(r, err);
}

int reader_open_at(struct engine *e, const struct dir *dir, const char *name,
                   enum scan_freshness freshness, struct reader **out, struct error *err)
{
    struct reader *r = reader_new(e, dir, name);
    int ret;

    if (!r)
        return error_set(err, ENOMEM, "%s: out of memory", name);
    ret = reader_resolve(r, freshness, err);
    if (ret < 0) {
        reader_put(r);
        return ret;
    }
    *out = r;
    return 0;
}

int reader_open(struct engine *e, const struct dir *dir, const char *name, struct reader **out,
                struct error *err)
{
    return reader_open_at(e, dir, name, SCAN_NOW, out, err);
}

/* A reference to the blob with the whole file if it is available, else NULL. */
static struct blob *whole_file(struct reader *r)
{
    struct part part = reader_kept_part(r, 0);

    if (part.blob && blob_nbytes(part.blob) == r->nbytes)
        return part.blob;
    blob_put(part.blob);
    return NULL;
}

/* If the last part of a series was read, all are probably in the cache: have them joined. Looks at
 * nothing else before: after a wait_cancel(), a thread may still be resolving a reader whose runs
 * were absent. */
static void join_parts(struct reader *r)
{
    struct derived *d;
    struct blob *whole;
    unsigned edition;
    bool reached_end;

    pthread_mutex_lock(&r->lock);
    reached_end = r->reached_end;
    pthread_mutex_unlock(&r->lock);
    if (!reached_end)
        return;
    d = reader_derived(r, &edition);
    whole = whole_file(r);
    if (!whole)
        joined_start(&r->engine->workers, &r->engine->store, r->engine->errors, d);
    blob_put(whole);
    derived_put(d);
}

void reader_close(struct reader *r)
{
    if (!r)
        return;
    join_parts(r);
    reader_put(r);
}

struct reader_info reader_info(const struct reader *r)
{
    return (struct reader_info){r->version, r->nbytes, r->sized, r->rights};
}

bool reader_is_computed(struct reader *r)
{
    struct part first = reader_kept_part(r, r->parts.first_off);
    struct key last;

    blob_put(first.blob);
    if (!first.blob || first.nbytes == r->nbytes || r->parts.n == 1)
        return first.blob != NULL;
    return store_key(&r->engine->store, r->derived, r->parts.n - 1, &last, NULL) == 0 &&
           cache_has(r->engine->store.cache, &last);
}

int reader_fd(struct reader *r)
{
    struct blob *whole = whole_file(r);
    bool steady = whole && blob_entry(whole) && !blob_entry(whole)->remote;
    int fd = steady ? blob_fd(whole) : -1;

    blob_put(whole);
    return fd;
}

/* Part 0 of an image has the header, too; both are equal. */
size_t reader_copy_header(struct reader *r, uint64_t off, char *buf, size_t nbytes,
                          unsigned *edition)
{
    size_t n = 0;

    pthread_mutex_lock(&r->lock);
    *edition = r->edition;
    if (off < r->header.nbytes) {
        n = r->header.nbytes - (size_t)off < nbytes ? r->header.nbytes - (size_t)off : nbytes;
        memcpy(buf, r->header.bytes + off, n);
    }
    pthread_mutex_unlock(&r->lock);
    return n;
}

int reader_copy_part(const struct reader *r, const struct part *part, uint64_t off, char *buf,
                     size_t nbytes, size_t *got, struct error *err)
{
    uint64_t left, end = part->off + part->nbytes;

    *got = 0;
    if (!covers(part, off))
        return 0;
    left = end - off;
    *got = left < nbytes ? (size_t)left : nbytes;
    if (r->parts.framing && end <= reader_trailer_off(r))
        return r->parts.framing->read(part->blob, end == reader_trailer_off(r), off - part->off,
                                      buf, *got, err);
    return blob_read(part->blob, off - part->off, buf, *got, err);
}

/* Copy the available bytes, all of one edition. */
static int copy_available(struct reader *r, uint64_t off, char *buf, size_t nbytes, size_t *got,
                          unsigned *edition, struct error *err)
{
    *got = reader_copy_header(r, off, buf, nbytes, edition);
    while (*got < nbytes) {
        struct part part = reader_kept_part(r, off + *got);
        size_t n = 0;
        int ret = 0;

        if (part.edition == *edition)
            ret = reader_copy_part(r, &part, off + *got, buf + *got, nbytes - *got, &n, err);
        if (ret == -EAGAIN)
            reader_lose_part(r, part.blob);
        blob_put(part.blob);
        if (ret == -EAGAIN)
            break; /* the caller waits for it */
        if (ret < 0)
            return ret;
        if (n == 0)
            break;
        *got += n;
    }
    return 0;
}

int reader_read(struct reader *r, uint64_t off, void *buf, size_t nbytes, bool partly, size_t *got,
                struct error *err)
{
    unsigned edition;
    int ret;

    *got = 0;
    if (off >= r->nbytes)
        return 0;
    if (nbytes > r->nbytes - off)
        nbytes = (size_t)(r->nbytes - off);
    ret = copy_available(r, off, buf, nbytes, got, &edition, err);
    if ((*got < nbytes && !partly) || (*got > 0 && !reader_hand_out(r, edition)))
        *got = 0;
    return ret;
}
