/* SPDX-License-Identifier: MIT
 *
 * Columns of the dataset's own tables for the rows of ours: participants.tsv by subject, and the
 * scans.tsv of each subject or session by file.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bids.h"
#include "engine_private.h"
#include "fd.h"

#define PARTICIPANTS "participants.tsv"

enum { TABLE_NBYTES_MAX = 64 << 20 };

struct join {
    struct engine *engine;
    const struct table_row *rows;
    const char *recipe;
    const char **keys; /* [nrows] */
    struct joined *out;
};

/* The text of the dataset's file `path`, malloced. */
static int read_text(const struct engine *e, const char *path, char **out, struct error *err)
{
    int fd = resolve_beneath(dataset_rootfd(e->tree.dataset), path, O_RDONLY);
    struct stat st;
    ssize_t n = fd;

    *out = NULL;
    if (fd >= 0 && (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > TABLE_NBYTES_MAX))
        n = -EINVAL;
    if (n >= 0) {
        *out = calloc(1, (size_t)st.st_size + 1);
        n = *out ? fd_read(fd, *out, (size_t)st.st_size) : -ENOMEM;
    }
    if (fd >= 0)
        close(fd);
    if (n >= 0)
        return 0;
    free(*out);
    return error_set(err, (int)-n, "%s: read: %s", path, strerror((int)-n));
}

static int join_text(const struct join *j, const char *path, const char *source, const char *key,
                     struct error *err)
{
    char *text;
    int ret = read_text(j->engine, path, &text, err);

    if (ret < 0)
        return ret;
    ret = joined_add(j->out, text, source, key, j->recipe, j->keys, err);
    free(text);
    return ret < 0 ? error_wrap(err, ret, "%s", path) : 0;
}

/* The directory of the subject or session that the run at `path` is in, with a slash at the end, and
 * the name of its table: malloced. NULL: none by its name, or out of memory. */
static char *scans_of(const char *path, size_t *dir_nbytes)
{
    struct bids_name name;
    const char *sub, *ses;
    char dir[2 * BIDS_NAME_MAX + 16], *out;

    if (!bids_parse(base_name(path), &name) || !(sub = bids_value(&name, "sub")))
        return NULL;
    ses = bids_value(&name, "ses");
    *dir_nbytes = (size_t)snprintf(dir, sizeof dir, "sub-%s/%s%s%s", sub, ses ? "ses-" : "",
                                   ses ? ses : "", ses ? "/" : "");
    if (strncmp(path, dir, *dir_nbytes) != 0 ||
        asprintf(&out, "%ssub-%s%s%s_scans.tsv", dir, sub, ses ? "_ses-" : "", ses ? ses : "") < 0)
        return NULL;
    return out;
}

/* A scans.tsv is optional in BIDS: runs without one have no values. */
static int join_scans(const struct join *j, struct error *err)
{
    char *before = NULL;
    size_t nfound = 0;
    int ret = 0;

    for (size_t i = 0; i < j->out->nrows && ret == 0; i++) {
        size_t dir_nbytes;
        char *path = scans_of(j->rows[i].path, &dir_nbytes);

        if (!path || (before && strcmp(path, before) == 0)) {
            free(path);
            continue;
        }
        for (size_t k = 0; k < j->out->nrows; k++)
            j->keys[k] = strncmp(j->rows[k].path, path, dir_nbytes) == 0
                             ? j->rows[k].path + dir_nbytes
                             : NULL;
        ret = join_text(j, path, "scans", "filename", err);
        nfound += ret == 0;
        ret = ret == -ENOENT ? 0 : ret;
        free(before);
        before = path;
    }
    free(before);
    if (ret == 0 && nfound == 0 && j->out->nrows > 0)
        ret = error_set(err, ENOENT, "no sub-*_scans.tsv is there to join");
    return ret;
}

static int join_participants(const struct join *j, struct error *err)
{
    char(*subjects)[BIDS_NAME_MAX + 4] = calloc(j->out->nrows + 1, sizeof *subjects);
    int ret;

    if (!subjects)
        return error_set(err, ENOMEM, PARTICIPANTS ": out of memory");
    for (size_t i = 0; i < j->out->nrows; i++) {
        struct bids_name name;
        const char *sub =
            bids_parse(base_name(j->rows[i].path), &name) ? bids_value(&name, "sub") : NULL;

        if (sub)
            snprintf(subjects[i], sizeof *subjects, "sub-%s", sub);
        j->keys[i] = sub ? subjects[i] : NULL;
    }
    ret = join_text(j, PARTICIPANTS, "participants", "participant_id", err);
    free(subjects);
    return ret;
}

int engine_join(struct engine *e, unsigned with, const char *recipe, const struct table_row *rows,
                size_t nrows, struct joined *out, struct error *err)
{
    struct join j = {.engine = e, .rows = rows, .recipe = recipe, .out = out};
    int ret = 0;

    *out = (struct joined){.nrows = nrows};
    if (!with)
        return 0;
    j.keys = calloc(nrows + 1, sizeof *j.keys);
    if (!j.keys)
        return error_set(err, ENOMEM, "table: out of memory");
    if (with & TABLE_WITH_PARTICIPANTS)
        ret = join_participants(&j, err);
    if (ret == 0 && with & TABLE_WITH_SCANS)
        ret = join_scans(&j, err);
    free(j.keys);
    return ret;
}
