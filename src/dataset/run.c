/* SPDX-License-Identifier: MIT
 *
 * Probing a file: identify it, read the first bytes through its codec, understand the header.
 *
 * Guarantee: the identity and the header belong to the same version of the file (the file that is
 * opened for the header must be the one that was identified; a change in between is probed again).
 * A fault (no descriptors left, a disk that fails, a file that changes without end) says nothing
 * about the file: it is RUN_UNKNOWN until the next look.
 * Cost: two opens and one small read, of a gzip file 2 KiB; neither where the header is known
 * from before (headers.h).
 */
#include "run.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    PROBES_MAX = 4,
    STORED_MAX = 1 << 20, /* read for a header: what gives none by then is hostile */
};

static bool is_identified(const struct run *run)
{
    return run->id.fs.hex[0] != '\0';
}

int run_check_length(const struct run *run, struct error *err)
{
    uint64_t need = run->nifti.vox_offset + nifti_data_nbytes(&run->nifti);

    if (run->id.size >= need)
        return 0;
    return error_set(err, EIO, "%s: read header: the file has %llu bytes, its header promises %llu",
                     run->path, (unsigned long long)run->id.size, (unsigned long long)need);
}

static bool is_too_far(void *source)
{
    return source_consumed(source) > STORED_MAX;
}

static int read_header(int rootfd, const struct run *run, struct header_bytes *out,
                       struct error *err)
{
    struct source *source;
    const struct source_options options = {.expect = &run->id};
    int ret = source_open(rootfd, run->path, &options, &source, err);

    if (ret < 0)
        return ret;
    out->codec = source_codec(source);
    source_set_cancel(source, &(struct cancel_token){.asked = is_too_far, .ctx = source});
    ret = source_read_some(source, out->bytes, sizeof out->bytes, &out->nbytes, err);
    if (ret == 0) /* of this version, not of one that is being written into the same file */
        ret = source_check_opened(source, err);
    out->reading_nbytes = source_nbytes(source);
    source_close(source);
    if (ret == -ECANCELED)
        return error_set(err, EIO, "%s: read header: none in the first %d KiB of %s data",
                         run->path, STORED_MAX / 1024, out->codec->name);
    return ret;
}

/* Is there a text in place of the image that says where its content is? Then why, else NULL. The
 * pointer files of git-annex are known before (annex.h). */
static const char *find_pointer(const struct header_bytes *header)
{
    static const char lfs[] = "version https://git-lfs", annex[] = ".git/annex/objects/";

    if (header->nbytes >= sizeof lfs && memcmp(header->bytes, lfs, sizeof lfs - 1) == 0)
        return "a Git LFS pointer: its content is not here (git lfs pull)";
    if (memmem(header->bytes, header->nbytes, annex, sizeof annex - 1))
        return "a link of git-annex that became a text: its content is not here (clone the dataset "
               "to a file system with links)";
    return NULL;
}

static int understand_header(struct run *run, const struct header_bytes *header, struct error *err)
{
    int ret = nifti_parse(header->bytes, header->nbytes, &run->nifti, err);
    const char *pointer = ret < 0 ? find_pointer(header) : NULL;

    if (pointer)
        return error_set(err, EIO, "%s: %s", run->path, pointer);
    if (ret < 0)
        return error_wrap(err, ret, "%s: read header", run->path);
    run->codec = header->codec;
    run->reading_nbytes = header->reading_nbytes;
    run->state = run->nifti.content == NIFTI_SERIES ? RUN_OK : RUN_NOT;
    return run->codec->plain && run->state == RUN_OK ? run_check_length(run, err) : 0;
}

static int find_header(int rootfd, struct run *run, struct header_page *page, struct error *err)
{
    struct header_bytes header;
    /* as of before it was read */
    bool keeps = run->id.lasting && source_is_settled(&run->id);
    int ret =
        header_page_find(page, &run->id, &header) ? 0 : read_header(rootfd, run, &header, err);

    if (ret == 0)
        ret = understand_header(run, &header, err);
    if (ret == 0 && keeps)
        header_page_add(page, &run->id, &header);
    return ret;
}

/* Is the file's header known? Then it is no pointer file of git-annex, and need not be opened. */
static bool recognise(int rootfd, int dirfd, struct run *run, struct header_page *page)
{
    struct header_bytes header;

    return page && source_peek(rootfd, dirfd, run->path, &run->id) == 0 &&
           header_page_find(page, &run->id, &header) && understand_header(run, &header, NULL) == 0;
}

/* Content that has been here, or elsewhere, before: it was hashed to the git-annex key. -ENODATA: it
 * is not known. */
static int remember(int rootfd, int dirfd, struct run *run)
{
    struct annexed known;
    int ret = run->names ? source_identify_absent(rootfd, dirfd, run->path, &run->id) : -ENODATA;

    if (ret == 0)
        ret = names_of_annex(run->names, run->id.annex_key, &known);
    if (ret == -ENOENT)
        return -ENODATA;
    if (ret < 0)
        return ret == -ENODATA
                   ? ret
                   : error_fault(&run->error, -ret, "%s: cannot look for its header: %s", run->path,
                                 strerrordesc_np(-ret));
    if (understand_header(run, &known.header, NULL) < 0)
        return -ENODATA;
    run->absent = true;
    run->naming.named = NAMED_ANNEX;
    run->naming.name = known.name;
    return 0;
}

static enum run_state state_of(const struct error *why)
{
    if (why->fault || why->code == EACCES || why->code == EPERM)
        return RUN_UNKNOWN;
    return why->code == ENODATA ? RUN_ABSENT : why->code == EISDIR ? RUN_NOT : RUN_BROKEN;
}

/* One attempt; sets everything but refs and path. */
static int probe_once(int rootfd, int dirfd, struct run *run, struct header_page *page)
{
    memset(&run->id, 0, sizeof(run->id));
    memset(&run->error, 0, sizeof(run->error));
    run->absent = false;
    run->naming.named = NAMED_NOT;
    if (recognise(rootfd, dirfd, run, page))
        return 0;
    int ret = source_identify(rootfd, dirfd, run->path, &run->id, &run->error);
    bool identified = ret == 0;
    if (ret == -ENODATA)
        ret = remember(rootfd, dirfd, run);
    else if (ret == 0)
        ret = find_header(rootfd, run, page, &run->error);
    if (ret < 0) {
        run->state = state_of(&run->error);
        if (!identified || run->state == RUN_UNKNOWN)
            memset(&run->id, 0, sizeof(run->id));
    }
    return ret;
}

/* It changes faster than it can be read. */
static void give_up(struct run *run)
{
    run->error.fault = true;
    run->state = RUN_UNKNOWN;
    memset(&run->id, 0, sizeof(run->id));
}

struct run *run_probe(int rootfd, int dirfd, const char *path, struct header_page *page,
                      struct names *names)
{
    struct run *run = calloc(1, sizeof(*run));
    int ret = -ESTALE;

    if (!run)
        return NULL;
    atomic_init(&run->refs, 1);
    pthread_mutex_init(&run->naming.lock, NULL);
    run->names = names;
    run->path = strdup(path);
    for (int i = 0; run->path && ret == -ESTALE && i < PROBES_MAX; i++)
        ret = probe_once(rootfd, dirfd, run, page);
    if (ret == -ESTALE)
        give_up(run);
    if (!run->path || ret == -ENOMEM) {
        run_put(run);
        return NULL;
    }
    return run;
}

bool run_is_current(int rootfd, int dirfd, const struct run *run)
{
    struct source_id now;

    if (is_identified(run) && source_is_still(rootfd, dirfd, run->path, &run->id))
        return true;
    int ret = source_identify(rootfd, dirfd, run->path, &now, NULL);

    if (run->absent)
        return ret == -ENODATA && source_identify_absent(rootfd, dirfd, run->path, &now) == 0 &&
               source_id_equal(&now, &run->id);
    if (ret < 0)
        return !is_identified(run) && !run->error.fault && run->error.code == -ret;
    return is_identified(run) && source_id_equal(&now, &run->id);
}

struct run *run_get(struct run *run)
{
    atomic_fetch_add_explicit(&run->refs, 1, memory_order_relaxed);
    return run;
}

void run_put(struct run *run)
{
    if (!run || atomic_fetch_sub_explicit(&run->refs, 1, memory_order_acq_rel) != 1)
        return;
    pthread_mutex_destroy(&run->naming.lock);
    free(run->path);
    free(run);
}
