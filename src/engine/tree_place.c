/* SPDX-License-Identifier: MIT
 *
 * Every access goes by path beneath the dataset's root (openat2 with RESOLVE_BENEATH): a link never
 * leads out of it, whatever is renamed meanwhile.
 */
#include "tree_place.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "resolve_beneath.h"

struct place tree_place(const struct tree *t, const char *dir)
{
    size_t len = strlen(DERIVFS_DIR);

    if (t->layout == LAYOUT_BESIDE)
        return (struct place){.dir = dir, .shows_sources = true, .shows_derived = true};
    if (strncmp(dir, DERIVFS_DIR, len) == 0 && (dir[len] == '/' || dir[len] == '\0'))
        return (struct place){.dir = dir[len] ? dir + len + 1 : "",
                              .shows_derived = true,
                              .shows_dirs = true,
                              .shows_texts = !dir[len]};
    return (struct place){.dir = dir,
                          .shows_sources = true,
                          .extra = strcmp(dir, DERIVATIVES) == 0 ? "derivfs"
                                   : *dir                        ? NULL
                                                                 : DERIVATIVES};
}

int tree_open(const struct tree *t, const char *path, int flags, struct error *err)
{
    int fd = resolve_beneath(dataset_rootfd(t->dataset), *path ? path : ".", flags);

    return fd >= 0 ? fd : error_set(err, -fd, "%s: open: %s", path, strerror(-fd));
}

int tree_stat(const struct tree *t, const char *path, struct stat *st, struct error *err)
{
    int fd = tree_open(t, path, O_PATH | O_NOFOLLOW, err);
    int ret = 0;

    if (fd < 0)
        return fd;
    if (fstat(fd, st) < 0)
        ret = error_set(err, errno, "%s: stat: %s", path, strerror(errno));
    close(fd);
    return ret;
}

/* Tell what is wrong with the directory's files, once for each time that they have changed, and
 * forget what is no longer wrong. */
static void note_broken(const struct tree *t, struct dir_scan *scan)
{
    if (atomic_exchange(&scan->noted, true))
        return;
    for (size_t i = 0; i < scan->nfiles; i++)
        if (scan->files[i]->state == RUN_BROKEN)
            errlog_failed(t->errors, scan->files[i]->path, &scan->files[i]->error);
        else
            errlog_clear(t->errors, scan->files[i]->path);
}

int tree_scan_place(const struct tree *t, const struct place *place, enum scan_freshness freshness,
                    struct dir_scan **out, struct error *err)
{
    int ret = dataset_scan(t->dataset, place->dir, freshness, out, err);

    if (ret == 0)
        note_broken(t, *out);
    return ret;
}

int tree_scan(const struct tree *t, const char *dir, enum scan_freshness freshness,
              struct dir_scan **out, struct error *err)
{
    struct place place = tree_place(t, dir);

    if (!place.shows_derived)
        return error_set(err, ENOENT, "%s: no derived files are here", dir);
    return tree_scan_place(t, &place, freshness, out, err);
}

const char *tree_derived_root(const struct tree *t)
{
    return t->layout == LAYOUT_BESIDE ? "" : DERIVFS_DIR;
}
