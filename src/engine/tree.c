/* SPDX-License-Identifier: MIT
 *
 * The tree that the mount shows: the dataset's own entries, and derived files among them or, with
 * layout=derivatives, in directories of their own:
 *
 *     beside          sub-01/func/{sub-01_task-rest_bold.nii.gz, tsnr.nii}
 *     derivatives     sub-01/func/sub-01_task-rest_bold.nii.gz
 *                     derivatives/derivfs/sub-01/func/tsnr.nii
 *
 * Every access enters the directory first, beneath the dataset's root, and finds that it is the one
 * that the caller means (dir.h); names are then taken in it. So nobody gets into
 * another directory by renaming one.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "annex.h"
#include "description.h"
#include "engine_private.h"
#include "fd.h"
#include "listing.h"
#include "rights.h"
#include "sidecar.h"
#include "time_ns.h"

#define DERIVATIVES "derivatives"
#define DERIVFS_DIR DERIVATIVES "/derivfs"

/* A directory of the mount in terms of the dataset. */
struct place {
    struct dir dir;     /* the dataset's directory, which need not exist if `extra` is set */
    bool shows_sources; /* the dataset's own entries are in it */
    bool shows_derived; /* the derived files of `dir` are in it */
    bool shows_dirs;    /* the directories of `dir` are in it, as ENTRY_DIR */
    bool shows_links;   /* with shows_dirs: links among them, too, wherever they lead */
    const char *extra;  /* the name of one more ENTRY_DIR, or NULL */
    bool shows_texts;   /* the texts of the derivative dataset are in it (description.h) */
};

static struct place tree_place(const struct tree *t, const struct dir *dir)
{
    const char *path = dir->path;
    size_t len = strlen(DERIVFS_DIR);
    struct place place = {.dir = *dir};

    if (t->layout == LAYOUT_BESIDE) {
        place.shows_sources = place.shows_derived = true;
    } else if (strncmp(path, DERIVFS_DIR, len) == 0 && (path[len] == '/' || path[len] == '\0')) {
        place.dir.path = path[len] ? path + len + 1 : "";
        place.shows_derived = place.shows_dirs = true;
        place.shows_texts = !path[len];
    } else {
        place.shows_sources = true;
        place.extra = strcmp(path, DERIVATIVES) == 0 ? "derivfs" : *path ? NULL : DERIVATIVES;
    }
    return place;
}

/* lstat(2) of `name` in the open directory, as the mount shows it. `path` is for the message. */
static int stat_in(int dirfd, const char *name, const char *path, struct stat *st,
                   struct error *err)
{
    int code = 0;

    if (strcmp(name, "..") == 0)
        code = EXDEV;
    else if (fstatat(dirfd, name, st, AT_SYMLINK_NOFOLLOW) < 0)
        code = errno;
    if (code != 0)
        return error_set(err, code, "%s: stat: %s", path, strerror(code));
    rights_apply_acl(dirfd, name, st);
    return 0;
}

static int tree_scan_place(const struct tree *t, const struct place *place,
                           enum scan_freshness freshness, struct dir_scan **out, struct error *err)
{
    int ret = dataset_scan(t->dataset, &place->dir, freshness, out, err);

    if (ret == 0)
        tree_note_scan(t, *out);
    return ret;
}

int tree_scan(const struct tree *t, const struct dir *dir, enum scan_freshness freshness,
              struct dir_scan **out, struct error *err)
{
    struct place place = tree_place(t, dir);

    if (!place.shows_derived)
        return error_set(err, ENOENT, "%s: no derived files are here", dir->path);
    return tree_scan_place(t, &place, freshness, out, err);
}

const char *tree_derived_root(const struct tree *t)
{
    return t->layout == LAYOUT_BESIDE ? "" : DERIVFS_DIR;
}

char *tree_derived_dir(const struct tree *t, const char *dir)
{
    size_t n = strlen(dir);

    if (tree_place(t, &(struct dir){.path = dir}).shows_derived)
        return strdup(dir);
    if (strncmp(dir, DERIVFS_DIR, n) == 0 && (n == 0 || DERIVFS_DIR[n] == '/'))
        return strdup(DERIVFS_DIR);
    return join_path(DERIVFS_DIR, dir);
}

/* Is it a directory that may have runs of its own? */
static bool is_mirrored_dir(const char *dir, const char *name)
{
    return name[0] != '.' && (*dir || (strcmp(name, DERIVATIVES) && strcmp(name, "sourcedata") &&
                                       strcmp(name, "code")));
}

/* A stable inode number of no source: real file systems leave the top bit clear. */
static uint64_t path_ino(const char *path)
{
    return XXH3_64bits(path, strlen(path)) | UINT64_C(1) << 63;
}

/* What the mount makes up at `path`; owner and times are set already. */
static void set_virtual(struct stat *st, const char *path, mode_t mode, uint64_t nbytes)
{
    st->st_ino = path_ino(path);
    st->st_mode = mode;
    st->st_nlink = 1;
    st->st_size = (off_t)nbytes;
    /* as if fully written: tar and cp take a file without blocks for a hole */
    st->st_blocks = (blkcnt_t)((nbytes + 511) / 512);
}

void engine_stat_derived(struct engine *e, const struct derived *d, const char *path,
                         struct stat *st)
{
    uint64_t nbytes;
    bool known = store_knows_nbytes(&e->store, d, &nbytes);

    *st = (struct stat){
        /* the size of stdio's and Python's buffers: reading a header asks for no voxel */
        .st_blksize = NIFTI_DERIVED_NBYTES,
        .st_mtim = time_of_ns(d->mtime_ns),
    };
    st->st_ctim = st->st_atim = st->st_mtim;
    rights_show(&d->rights, st);
    set_virtual(st, path, st->st_mode, known ? nbytes : UNKNOWN_NBYTES);
    if (!known)
        st->st_blocks = 1; /* so that du does not count it */
}

/* Make the text of a sidecar, whose length is its size. Puts `d` if it fails. */
static int add_sidecar(const struct tree *t, struct derived *d, struct error *err)
{
    if (d->recipe->wrong)
        return 0;
    d->text = sidecar_text(d, t->layout == LAYOUT_BESIDE ? "" : DESCRIPTION_RAW);
    if (!d->text) {
        error_set(err, ENOMEM, "%s: out of memory", d->name);
        derived_put(d);
        return -ENOMEM;
    }
    d->nbytes = strlen(d->text);
    return 0;
}

static int find_in_scan(const struct tree *t, const struct place *place, struct recipe_table *table,
                        const char *name, enum scan_freshness freshness, struct derived **out,
                        struct error *err)
{
    struct dir_scan *scan;
    int ret = tree_scan_place(t, place, freshness, &scan, err);

    if (ret < 0)
        return ret;
    ret = derived_lookup(scan, table, name, freshness, out, err);
    if (ret == -ENOENT && t->layout == LAYOUT_DERIVATIVES)
        ret = derived_lookup_bids(scan, table, name, freshness, out, err);
    dir_scan_put(scan);
    if (ret == 0 && (*out)->format->kind == OUTPUT_SIDECAR)
        ret = add_sidecar(t, *out, err);
    return ret;
}

int tree_find_derived(const struct tree *t, const struct dir *dir, const char *name,
                      enum scan_freshness freshness, struct derived **out, struct error *err)
{
    struct place place = tree_place(t, dir);
    struct recipe_table *table = recipes_get(t->recipes);
    struct derived *found;
    int ret;

    /* most unknown names are not derived files either: read no directory for them */
    if (!place.shows_derived || !derived_may_be(table, name))
        ret =
            error_set(err, ENOENT, "%s%s%s: no such file", dir->path, *dir->path ? "/" : "", name);
    else
        ret = find_in_scan(t, &place, table, name, freshness, &found, err);
    /* A run that was absent or broken may be repaired by now: look again, rather than report an
     * empty file. */
    if (ret == 0 && found->bad && freshness == SCAN_RECENT) {
        derived_put(found);
        ret = find_in_scan(t, &place, table, name, SCAN_NOW, &found, err);
    }
    if (ret == 0)
        *out = found; /* otherwise it is gone: the caller's stays as it is */
    recipe_table_put(table);
    return ret;
}

/* Is it a link to a directory of the dataset? It leads to the directory's derived files: both trees
 * have the same form. */
static bool is_linked_dir(const struct tree *t, const struct place *place, const char *name)
{
    struct dir_id id;
    char *path = join_path(place->dir.path, name);
    enum dir_link link = path ? tree_source_link(t, path, &id) : LINK_NO_DIR;

    free(path);
    return link == LINK_INSIDE;
}

static int lookup_virtual_dir(const struct tree *t, const struct place *place, int dirfd,
                              const char *name, const char *path, struct entry *out,
                              struct error *err)
{
    struct stat *st = &out->st;
    bool is_extra = place->extra && strcmp(place->extra, name) == 0;
    int ret;

    /* links may lead to directories that are not listed */
    if (!is_extra && !(place->shows_dirs && (*place->dir.path || strcmp(name, DERIVATIVES) != 0)))
        return error_set(err, ENOENT, "%s: no such file", path);
    out->kind = ENTRY_DIR;
    /* "derivatives" itself need not exist: take owner and times from the root */
    ret = is_extra ? tree_stat_root(t, st, err) : stat_in(dirfd, name, path, st, err);
    if (ret < 0)
        return ret;
    if (S_ISLNK(st->st_mode) && is_linked_dir(t, place, name)) {
        out->kind = ENTRY_SOURCE;
        st->st_ino = path_ino(path);
        return 0;
    }
    if (!S_ISDIR(st->st_mode))
        return error_set(err, ENOENT, "%s: no such directory", path);
    out->dev = st->st_dev;
    out->ino = is_extra && strcmp(path, DERIVFS_DIR) != 0 ? DIR_NONE : st->st_ino;
    st->st_ino = path_ino(path);
    st->st_mode &= S_IFMT | 0555;
    st->st_nlink = 1;
    return 0;
}

/* annex=get: an absent object looks as if it were fetched, so that links to it resolve; so do the
 * directories above it. A lookup cannot know whether a read follows: only opening fetches. */
static int lookup_absent_object(const struct tree *t, const char *path, struct entry *out,
                                struct error *err)
{
    int64_t nbytes = 0;
    mode_t type = annex_object_place(path, &nbytes);
    int ret;

    if (type == 0)
        return error_set(err, ENOENT, "%s: no such file", path);
    ret = tree_stat_root(t, &out->st, err);
    if (ret < 0)
        return ret;
    out->kind = S_ISDIR(type) ? ENTRY_DIR : ENTRY_SOURCE;
    out->ino = DIR_NONE;
    out->st.st_dev = 0;
    set_virtual(&out->st, path, type | (S_ISDIR(type) ? 0555 : 0444), (uint64_t)nbytes);
    return 0;
}

/* Owner and times of a text are those of the dataset's root. */
static int lookup_text(const struct tree *t, const char *name, const char *path, struct entry *out,
                       struct error *err)
{
    struct recipe_table *table = recipes_get(t->recipes);
    int ret = description_text(name, dataset_path(t->dataset), "../../", table, &out->text, err);

    recipe_table_put(table);
    if (ret == 0)
        ret = tree_stat_root(t, &out->st, err);
    if (ret < 0) {
        entry_clear(out);
        return ret;
    }
    out->kind = ENTRY_TEXT;
    set_virtual(&out->st, path, S_IFREG | (out->st.st_mode & 0444), strlen(out->text));
    return 0;
}

static int lookup_in(const struct tree *t, const struct place *place, int dirfd,
                     const struct dir *dir, const char *name, const char *path, struct entry *out,
                     struct error *err)
{
    int ret = -ENOENT;

    if (place->shows_sources) {
        ret = dirfd >= 0 ? stat_in(dirfd, name, path, &out->st, err)
                         : error_set(err, ENOENT, "%s: no such file", path);
        /* the mount's derivatives/derivfs hides the dataset's */
        if (ret == 0 && !(strcmp(path, DERIVFS_DIR) == 0 && place->extra)) {
            out->kind = ENTRY_SOURCE;
            return 0;
        }
        if (ret < 0 && ret != -ENOENT)
            return ret;
        if (ret < 0 && t->annex_get)
            ret = lookup_absent_object(t, path, out, err);
        if (ret != -ENOENT && !(place->extra && ret == -ENOTDIR))
            return ret;
    }
    ret = place->shows_texts ? lookup_text(t, name, path, out, err) : -ENOENT;
    if (ret != -ENOENT)
        return ret;
    ret = tree_find_derived(t, dir, name, SCAN_RECENT, &out->derived, err);
    if (ret == 0) {
        out->kind = ENTRY_DERIVED;
        return 0;
    }
    if (ret == -ENOENT && place->shows_derived) {
        ret = tree_lookup_table(t, dir, name, out, err);
        out->st.st_ino = path_ino(path);
    }
    if (ret != -ENOENT)
        return ret;
    return lookup_virtual_dir(t, place, dirfd, name, path, out, err);
}

/* May the directory be missing? Where the mount makes it up, and of an absent object. */
static bool may_be_missing(const struct tree *t, const struct place *place, int ret)
{
    return (ret == -ENOENT && (place->extra || t->annex_get)) || (ret == -ENOTDIR && place->extra);
}

void engine_dir_open(struct engine *e, struct dir *dir)
{
    struct place place = tree_place(&e->tree, dir);

    dir->fd = listing_open(dataset_rootfd(e->tree.dataset), &place.dir, NULL);
    dir->is_open = dir->fd >= 0;
}

int engine_lookup(struct engine *e, const struct dir *dir, const char *name, struct entry *out,
                  struct error *err)
{
    struct place place = tree_place(&e->tree, dir);
    char *path = join_path(dir->path, name);
    int fd = listing_open(dataset_rootfd(e->tree.dataset), &place.dir, err), ret = fd;
    struct dir in = *dir;

    in.is_open = fd >= 0;
    in.fd = fd;
    *out = (struct entry){.kind = ENTRY_SOURCE};
    if (!path)
        ret = error_set(err, ENOMEM, "%s: out of memory", name);
    else if (fd >= 0 || may_be_missing(&e->tree, &place, fd))
        ret = lookup_in(&e->tree, &place, fd, &in, name, path, out, err);
    if (ret == 0 && out->kind == ENTRY_DERIVED)
        engine_stat_derived(e, out->derived, path, &out->st);
    if (fd >= 0)
        dir_leave(dir, fd);
    free(path);
    return ret;
}

int engine_lookup_path(struct engine *e, const char *path, struct entry *out, struct error *err)
{
    const char *slash = strrchr(path, '/');
    struct dir dir = {.path = ""};
    char *owned;
    int ret;

    *out = (struct entry){.kind = ENTRY_SOURCE};
    if (!*path)
        return tree_stat_root(&e->tree, &out->st, err);
    if (!slash)
        return engine_lookup(e, &dir, path, out, err);
    dir.path = owned = strndup(path, (size_t)(slash - path));
    if (!owned)
        return error_set(err, ENOMEM, "%s: out of memory", path);
    ret = engine_lookup(e, &dir, slash + 1, out, err);
    free(owned);
    return ret;
}

/* DT_DIR, DT_LNK, or something else. Not every file system lists types. Where the type cannot be had,
 * it counts as a directory: entering it says why. */
static unsigned char type_of(int dirfd, const struct dirent *de)
{
    struct stat st;

    if (de->d_type != DT_UNKNOWN)
        return de->d_type;
    if (fstatat(dirfd, de->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? DT_UNKNOWN : DT_DIR;
    return (unsigned char)IFTODT(st.st_mode);
}

/* Does the mount have a directory for it, or may it have one? */
static bool is_shown_dir(const struct place *place, const char *name, unsigned char type)
{
    return (type == DT_DIR || (place->shows_links && type == DT_LNK)) &&
           is_mirrored_dir(place->dir.path, name);
}

/* List the dataset's directory: all of it, or only the directories that the mount mirrors. */
static int list_sources(const struct tree *t, const struct place *place, engine_list_fn *add,
                        void *ctx, struct error *err)
{
    int dirfd = listing_open(dataset_rootfd(t->dataset), &place->dir, err), fd;
    DIR *d;
    struct dirent *de;
    int ret = 0;

    if (dirfd < 0)
        return dirfd == -ENOENT && place->extra ? 0 : dirfd;
    fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    dir_leave(&place->dir, dirfd);
    d = fd >= 0 ? fdopendir(fd) : NULL;
    if (!d) {
        ret = error_set(err, errno, "%s: open directory: %s", place->dir.path, strerror(errno));
        if (fd >= 0)
            close(fd);
        return ret;
    }
    while (ret == 0 && (errno = 0, de = readdir(d))) {
        if (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0)
            continue;
        if (place->shows_dirs && !is_shown_dir(place, de->d_name, de->d_type = type_of(fd, de)) &&
            !(de->d_type == DT_LNK && is_mirrored_dir(place->dir.path, de->d_name) &&
              is_linked_dir(t, place, de->d_name)))
            continue;
        if (place->extra && strcmp(place->extra, de->d_name) == 0)
            continue;
        ret = add(ctx, de->d_name, de->d_ino, de->d_type);
    }
    if (ret == 0 && errno != 0)
        ret = error_set(err, errno, "%s: readdir: %s", place->dir.path, strerror(errno));
    closedir(d);
    return ret;
}

int tree_subdirs(const struct tree *t, const char *dir, engine_list_fn *add, void *ctx,
                 struct error *err)
{
    struct place all = tree_place(t, &(struct dir){.path = dir});
    struct place place = {.dir = all.dir, .shows_dirs = true, .shows_links = true};

    return list_sources(t, &place, add, ctx, err);
}

/* Does a file of the dataset hide the derived one? One that may not be looked at is listed already.
 * 1, 0, or -errno after a fault, which leaves it open. */
static int is_hidden(const struct place *place, int dirfd, const char *name, const char *path,
                     struct error *err)
{
    struct stat st;
    int ret = place->shows_sources ? stat_in(dirfd, name, path, &st, err) : -ENOENT;

    return ret == -ENOENT ? 0 : resolve_is_fault(ret) ? ret : 1;
}

/* Find the derived files that the plain name stands for, or with NULL those that a listing shows.
 */
static int find_in_place(const struct tree *t, const struct place *place, const char *plain,
                         struct derived ***out, size_t *n, struct error *err)
{
    struct recipe_table *table;
    struct dir_scan *scan;
    int ret = tree_scan_place(t, place, SCAN_RECENT, &scan, err);

    if (ret < 0)
        return ret;
    if (!plain && scan->fault) { /* a list with names missing looks like a whole one */
        ret = error_fault(err, scan->fault->error.code, "%s", scan->fault->error.text);
        dir_scan_put(scan);
        return ret;
    }
    table = recipes_get(t->recipes);
    ret = plain ? derived_named(scan, table, plain, out, n, err)
                : derived_list(scan, table, t->annex_get, t->layout == LAYOUT_DERIVATIVES, out, n,
                               err);
    recipe_table_put(table);
    dir_scan_put(scan);
    return ret;
}

static int list_derived_files(const struct tree *t, const struct place *place, const char *dir,
                              engine_list_fn *add, void *ctx, struct error *err)
{
    struct derived **list;
    size_t n;
    int dirfd, ret = find_in_place(t, place, NULL, &list, &n, err);

    if (ret < 0)
        return ret;
    ret = dirfd = listing_open(dataset_rootfd(t->dataset), &place->dir, err);
    if (ret > 0)
        ret = 0;
    for (size_t i = 0; i < n && ret == 0; i++) {
        char *path = join_path(dir, list[i]->name);

        ret = path ? is_hidden(place, dirfd, list[i]->name, path, err)
                   : error_set(err, ENOMEM, "%s: out of memory", dir);
        if (ret == 0)
            ret = add(ctx, list[i]->name, path_ino(path), DT_REG);
        ret = ret > 0 ? 0 : ret;
        free(path);
    }
    if (dirfd >= 0)
        dir_leave(&place->dir, dirfd);
    derived_list_free(list, n);
    return ret;
}

/* List one name that the dataset does not have. */
static int add_virtual(const char *dir, const char *name, unsigned char type, engine_list_fn *add,
                       void *ctx, struct error *err)
{
    char *path = join_path(dir, name);
    int ret = path ? add(ctx, name, path_ino(path), type)
                   : error_set(err, ENOMEM, "%s: out of memory", dir);

    free(path);
    return ret;
}

int engine_list(struct engine *e, const struct dir *dir, engine_list_fn *add, void *ctx,
                struct error *err)
{
    const struct tree *t = &e->tree;
    struct place place = tree_place(t, dir);
    int ret = list_sources(t, &place, add, ctx, err);

    if (ret == 0 && place.extra)
        ret = add_virtual(dir->path, place.extra, DT_DIR, add, ctx, err);
    for (size_t i = 0; ret == 0 && place.shows_texts && description_name(i); i++)
        ret = add_virtual(dir->path, description_name(i), DT_REG, add, ctx, err);
    if (ret == 0 && place.shows_derived)
        ret = list_derived_files(t, &place, dir->path, add, ctx, err);
    return ret;
}

int engine_list_derived(struct engine *e, const char *dir, const char *plain, struct derived ***out,
                        size_t *n, struct error *err)
{
    const struct tree *t = &e->tree;
    struct place place = tree_place(t, &(struct dir){.path = dir});
    size_t nfound;
    int ret;

    *n = 0;
    *out = NULL;
    if (!place.shows_derived)
        return 0;
    ret = find_in_place(t, &place, plain, out, &nfound, err);
    for (size_t i = 0; ret == 0 && i < nfound; i++)
        if ((*out)[i]->format->kind == OUTPUT_SIDECAR)
            derived_put((*out)[i]);
        else
            (*out)[(*n)++] = (*out)[i];
    return ret;
}

const char *tree_source_dir(const struct tree *t, const char *dir)
{
    return tree_place(t, &(struct dir){.path = dir}).dir.path;
}
