/* SPDX-License-Identifier: MIT
 *
 * Listing a directory and knowing when that is needless.
 *
 * A list is made again unless the directory's times prove it right. Times come in ticks (4 ms on
 * many kernels, up to 2 s on FAT), so two changes may carry one time; a list made between them
 * would look right for ever. Therefore the same stamp must first have been seen for SETTLE_NS: a
 * change made after that is in a later tick. Only durations of the caller's own clock are measured,
 * never the file system's clock against it, so a file server with a wrong clock does no harm.
 *
 * The price is a few more listings within the first seconds after a change.
 */
#include "listing.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "bids.h"
#include "codec.h"
#include "filesystem.h"
#include "grow.h"
#include "time_ns.h"

static const int64_t SETTLE_NS = 2500000000;

static int fail(struct error *err, const char *dir, const char *operation, int code)
{
    return error_set(err, code, "%s: %s: %s", *dir ? dir : "dataset root", operation,
                     strerror(code));
}

int listing_open(int rootfd, const struct dir *dir, struct error *err)
{
    int fd = dir_enter(rootfd, dir);
    return fd < 0 ? fail(err, dir->path, "open directory", -fd) : fd;
}

int listing_stamp(int dirfd, const char *dir, int64_t now_ns, const struct dir_stamp *before,
                  struct dir_stamp *out, bool *holds, struct error *err)
{
    struct statx stx;
    struct filesystem fs;
    if (statx(dirfd, "", AT_EMPTY_PATH, filesystem_statx_mask, &stx))
        return fail(err, dir, "stat", errno);
    filesystem_of(dirfd, &stx, &fs);
    struct dir_stamp now = {
        .fs = fs.lasting ? fs.name : fs.mount,
        .lasting = fs.lasting,
        .dev = makedev(stx.stx_dev_major, stx.stx_dev_minor),
        .ino = stx.stx_ino,
        .mtime_ns = time_ns_of(&stx.stx_mtime),
        .ctime_ns = time_ns_of(&stx.stx_ctime),
        .since_ns = now_ns,
    };
    bool same = before && key_equal(&before->fs, &now.fs) && before->ino == now.ino &&
                before->mtime_ns == now.mtime_ns && before->ctime_ns == now.ctime_ns;
    *holds = same && before->settled;
    if (same) {
        now.since_ns = before->since_ns;
        now.settled = before->settled || now_ns - before->since_ns >= SETTLE_NS;
    }
    *out = now;
    return 0;
}

static bool may_be_file(int dirfd, const struct dirent *entry)
{
    if (entry->d_type != DT_UNKNOWN)
        return entry->d_type == DT_REG || entry->d_type == DT_LNK;
    struct stat st;
    if (fstatat(dirfd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW))
        return errno != ENOENT; /* probing it will tell what is wrong */
    return S_ISREG(st.st_mode) || S_ISLNK(st.st_mode);
}

static int collect(DIR *stream, const char *dir, struct listing *list, struct error *err)
{
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(stream);
        if (!entry)
            return errno ? fail(err, dir, "read directory", errno) : 0;
        bool is_nifti = bids_is_nifti_name(entry->d_name);
        if (entry->d_name[0] == '.' || (!is_nifti && !bids_names_other_format(entry->d_name)) ||
            !may_be_file(dirfd(stream), entry))
            continue;
        if (GROW(list->name, list->n) < 0 || !(list->name[list->n] = strdup(entry->d_name)))
            return fail(err, dir, "read directory", ENOMEM);
        list->n++;
    }
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names of a directory, as a whole. */
struct names_kind {
    bool bids; /* a BIDS name is there: only BIDS names of runs count */
    bool runs; /* and it has the suffix of a run */
};

static struct names_kind kind_of_names(const struct listing *list)
{
    struct names_kind kind = {false, false};
    struct bids_name name;
    for (size_t i = 0; i < list->n; i++) {
        bool is_bids = bids_is_nifti_name(list->name[i]) && bids_parse(list->name[i], &name);
        kind.bids |= is_bids;
        kind.runs |= is_bids && bids_has_run_suffix(&name);
    }
    return kind;
}

/* Is the same name there with the ending of a codec that is preferred? x.nii sorts right before
 * x.nii.gz but for names between, such as x.nii.b.nii: so look it up. */
static bool has_preferred_twin(const struct listing *list, const char *name)
{
    struct bids_name cut;
    bids_parse(name, &cut);
    for (size_t i = 0; codec_at(i) != cut.codec; i++) {
        char twin[2 * BIDS_NAME_MAX];
        const char *key = twin;
        snprintf(twin, sizeof twin, "%s%s", cut.stem, codec_at(i)->ending);
        if (bsearch(&key, list->name, list->n, sizeof *list->name, by_name))
            return true;
    }
    return false;
}

/* Is it a candidate? If not, note why, unless nobody would expect that. -ENOMEM. */
static int judge(struct listing *list, const char *dir, const char *file,
                 const struct names_kind *kind, bool *keep)
{
    struct bids_name name;
    bool is_bids;

    *keep = false;
    if (!bids_is_nifti_name(file))
        return omissions_add_kind(&list->omitted, dir, file, OMITTED_FORMAT);
    is_bids = bids_parse(file, &name);
    if (kind->bids && !(is_bids && bids_has_run_suffix(&name))) {
        list->nothers += is_bids;
        return kind->runs && !is_bids ? omissions_add_kind(&list->omitted, dir, file, OMITTED_NAME)
                                      : 0;
    }
    if (name.cifti)
        return omissions_add_kind(&list->omitted, dir, file, OMITTED_CIFTI);
    if (bids_is_part(&name))
        return omissions_add_kind(&list->omitted, dir, file, OMITTED_PART);
    if (has_preferred_twin(list, file))
        return omissions_add_kind(&list->omitted, dir, file, OMITTED_TWIN);
    *keep = true;
    return 0;
}

/* Leave only candidates. Twins are judged on the whole list, hence the marks. */
static int filter(struct listing *list, const char *dir)
{
    bool *keep = calloc(list->n, sizeof *keep);
    if (!keep)
        return -ENOMEM;
    struct names_kind kind = kind_of_names(list);
    int ret = 0;
    for (size_t i = 0; i < list->n && ret == 0; i++)
        ret = judge(list, dir, list->name[i], &kind, &keep[i]);
    size_t n = 0;
    for (size_t i = 0; i < list->n; i++) {
        if (keep[i])
            list->name[n++] = list->name[i];
        else
            free(list->name[i]);
    }
    list->n = n;
    free(keep);
    return ret;
}

int listing_read(int dirfd, const char *dir, struct listing *out, struct error *err)
{
    *out = (struct listing){0};
    int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return fail(err, dir, "open directory", errno);
    DIR *stream = fdopendir(fd);
    if (!stream) {
        int ret = fail(err, dir, "open directory", errno);
        close(fd);
        return ret;
    }
    int ret = collect(stream, dir, out, err);
    closedir(stream);
    if (!ret && out->n) {
        qsort(out->name, out->n, sizeof *out->name, by_name);
        if (filter(out, dir))
            ret = fail(err, dir, "read directory", ENOMEM);
    }
    if (ret)
        listing_free(out);
    return ret;
}

void listing_free(struct listing *list)
{
    for (size_t i = 0; i < list->n; i++)
        free(list->name[i]);
    free(list->name);
    omissions_clear(&list->omitted);
    *list = (struct listing){0};
}
