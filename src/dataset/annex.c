/* SPDX-License-Identifier: MIT
 *
 * git-annex keys, pointers and dangling links.
 *
 * An object is told by its place: .../annex/objects/.../KEY/KEY, file and directory named alike.
 * The part before may be .git or, in a submodule, .git/modules/NAME, to which .git is a link; so
 * the text "/annex/objects/" of the resolved path decides, and for a link that cannot be resolved
 * the ".git/annex/objects/" of its target.
 */
#include "annex.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fd.h"
#include "text.h"

static const char objects_dir[] = "/annex/objects/";
static const char link_mark[] = ".git/annex/objects/";

enum {
    POINTER_MAX = 32 * 1024, /* git-annex takes no larger file for a pointer */
    LINKS_MAX = 40,          /* as many as the kernel follows */
};

/* Fields between backend and name: "-s123-m456". False where that is not what stands there. */
static bool parse_fields(const char *at, const char *end, int64_t *size)
{
    while (at < end) {
        if (at[0] != '-' || !isalpha((unsigned char)at[1]) || !isdigit((unsigned char)at[2]))
            return false;
        char *after;
        errno = 0;
        long long value = strtoll(at + 2, &after, 10);
        if (errno)
            return false;
        if (at[1] == 's')
            *size = value;
        at = after;
    }
    return true;
}

static bool parse_key(const char *text, struct annex_key *out)
{
    static const char *const hashes[] = {"SHA", "MD5", "BLAKE", "SKEIN"};
    const char *name = strstr(text, "--");
    size_t backend_len = strcspn(text, "-");

    out->size = -1;
    out->is_content_hash = false;
    if (!name || backend_len == 0 || strlen(text) >= sizeof(out->text))
        return false;
    if (!parse_fields(text + backend_len, name, &out->size))
        return false;
    for (size_t i = 0; i < sizeof(hashes) / sizeof(hashes[0]); i++)
        if (text_starts(text, hashes[i]))
            out->is_content_hash = true;
    strcpy(out->text, text);
    return true;
}

bool annex_key_of_object(const char *resolved, struct annex_key *out)
{
    const char *objects = strstr(resolved, objects_dir);
    const char *file = strrchr(resolved, '/');

    if (!objects || !file)
        return false;
    size_t len = strlen(file); /* of "/KEY" */
    if (file < objects + sizeof(objects_dir) - 1 + len - 1)
        return false;
    if (strncmp(file - len, file, len) != 0)
        return false;
    return parse_key(file + 1, out);
}

int annex_is_pointer(int fd, uint64_t size)
{
    char start[sizeof(objects_dir) - 1];

    if (size < sizeof(start) || size >= POINTER_MAX)
        return 0;
    ssize_t n = fd_pread(fd, start, sizeof(start), 0);
    if (n < 0)
        return (int)n;
    return n == (ssize_t)sizeof(start) && memcmp(start, objects_dir, sizeof(start)) == 0;
}

/* The target of the link at `path`, not followed. Returns its length, 0 where `path` does not exist
 * or is no link, or -errno. */
static ssize_t read_link(int rootfd, const char *path, char target[PATH_MAX])
{
    int fd = resolve_beneath(rootfd, path, O_PATH | O_NOFOLLOW);

    if (fd < 0)
        return resolve_is_fault(fd) ? fd : 0;
    ssize_t len = readlinkat(fd, "", target, PATH_MAX - 1);
    if (len < 0) /* of what is no link, the kernel says that there is no link */
        len = errno == ENOENT || errno == EINVAL ? 0 : -errno;
    close(fd);
    target[len < 0 ? 0 : len] = '\0';
    return len;
}

/* Follow links from `path` until one leads into an annex: that is `at` then, and `target` its
 * target. One of enum annex_absence, or -errno. */
static int follow(int rootfd, const char *path, char at[PATH_MAX], char target[PATH_MAX])
{
    if (snprintf(at, PATH_MAX, "%s", path) >= PATH_MAX)
        return ABSENT_NAME;
    for (int links = 0; links < LINKS_MAX; links++) {
        ssize_t len = read_link(rootfd, at, target);
        if (len < 0)
            return (int)len;
        if (len == 0)
            return links == 0 ? ABSENT_NAME : ABSENT_LINK_TARGET;
        if (strstr(target, link_mark))
            return ABSENT_CONTENT;

        /* the target counts from the directory that the link is in */
        char *slash = strrchr(at, '/');
        size_t dir_len = slash ? (size_t)(slash + 1 - at) : 0;
        if (target[0] == '/' || dir_len + (size_t)len >= PATH_MAX)
            return ABSENT_LINK_TARGET;
        memcpy(at + dir_len, target, (size_t)len + 1);
    }
    return ABSENT_LINK_TARGET;
}

int annex_explain_absence(int rootfd, const char *path, enum annex_absence *out)
{
    char at[PATH_MAX], target[PATH_MAX];
    int ret = follow(rootfd, path, at, target);

    if (ret < 0)
        return ret;
    *out = (enum annex_absence)ret;
    return 0;
}

/* ---- where to ask for content ---- */

/* The first line of a pointer file; empty where it is none. */
static ssize_t read_pointer_line(int fd, char *text, size_t room)
{
    struct stat st;

    *text = '\0';
    if (fstat(fd, &st) < 0)
        return -errno;
    ssize_t n = S_ISREG(st.st_mode) ? annex_is_pointer(fd, (uint64_t)st.st_size) : 0;
    if (n <= 0)
        return n;
    n = fd_pread(fd, text, room - 1, 0);
    text[n < 0 ? 0 : n] = '\0';
    text[strcspn(text, "\r\n")] = '\0';
    return n;
}

/* The key that a pointer file holds in its only line. -ENOENT: it is none. */
static int read_pointer(int rootfd, const char *path, struct annex_key *out)
{
    char text[sizeof(objects_dir) + ANNEX_KEY_MAX + 2];
    int fd = resolve_beneath(rootfd, path, O_RDONLY);

    if (fd < 0)
        return resolve_is_fault(fd) ? fd : -ENOENT;
    ssize_t n = read_pointer_line(fd, text, sizeof(text));
    close(fd);
    if (n < 0)
        return (int)n;
    return n > 0 && parse_key(text + sizeof(objects_dir) - 1, out) ? 0 : -ENOENT;
}

static int note_repository(struct annex_content *c, int fd)
{
    struct stat st;
    int ret = fstat(fd, &st) < 0 ? -errno : 0;

    close(fd);
    if (ret == 0) {
        c->dev = st.st_dev;
        c->ino = st.st_ino;
        c->mode = st.st_mode;
        c->uid = st.st_uid;
        c->gid = st.st_gid;
    }
    return ret;
}

/* The repository of the file at `at`: the nearest directory upwards that has a .git. Where none is
 * beneath the root, git looks on by itself from the file's directory. */
static int find_repository(int rootfd, const char *at, struct annex_content *c)
{
    const char *slash = strrchr(at, '/');
    char dir[PATH_MAX], git[PATH_MAX + 8];
    int len = snprintf(dir, sizeof(dir), "%.*s", slash ? (int)(slash - at) : 1, slash ? at : ".");

    for (int fd = -ENOENT; fd == -ENOENT && len < (int)sizeof(dir);
         len += snprintf(dir + len, sizeof(dir) - (size_t)len, "/..")) {
        snprintf(git, sizeof(git), "%s/.git", dir);
        fd = resolve_beneath(rootfd, git, O_PATH);
        if (resolve_is_fault(fd))
            return fd;
        if (fd < 0)
            continue; /* EXDEV above the root */
        c->dir = strdup(dir);
        return c->dir ? note_repository(c, fd) : (close(fd), -ENOMEM);
    }
    c->dir = slash ? strndup(at, (size_t)(slash - at)) : strdup(".");
    return c->dir ? 0 : -ENOMEM;
}

/* Where "annex" begins in the path of an object or of a directory above it, or NULL: behind a .git,
 * or behind the repository of a submodule. */
static const char *find_annex(const char *path)
{
    for (const char *at = strstr(path, "/annex"); at; at = strstr(at + 1, "/annex")) {
        bool is_git =
            at - path >= 4 && strncmp(at - 4, ".git", 4) == 0 && (at - path == 4 || at[-5] == '/');

        if ((at[6] == '/' || at[6] == '\0') && (is_git || strstr(path, ".git/modules/")))
            return at + 1;
    }
    return NULL;
}

/* Does `path` go on with a directory of two or three letters, as git-annex spreads its objects? */
static bool skip_hash_dir(const char **at)
{
    size_t n = strcspn(*at, "/");

    if (n != 2 && n != 3)
        return false;
    *at += n + ((*at)[n] == '/');
    return true;
}

mode_t annex_object_place(const char *path, int64_t *nbytes)
{
    const char *at = find_annex(path);
    struct annex_key key;
    char dir[ANNEX_KEY_MAX];
    size_t n;

    if (!at)
        return 0;
    if (strcmp(at, "annex") == 0 || strcmp(at, "annex/objects") == 0)
        return S_IFDIR;
    if (!text_starts(at, "annex/objects/"))
        return 0;
    at += strlen("annex/objects/");
    for (int i = 0; i < 2; i++) {
        if (!skip_hash_dir(&at))
            return 0;
        if (!*at)
            return S_IFDIR;
    }
    n = strcspn(at, "/");
    if (n >= sizeof(dir))
        return 0;
    memcpy(dir, at, n);
    dir[n] = '\0';
    if (!parse_key(dir, &key) || key.size < 0)
        return 0;
    *nbytes = key.size;
    if (!at[n])
        return S_IFDIR;
    return strcmp(at + n + 1, dir) == 0 ? S_IFREG : 0;
}

/* An object that is not there: its repository is what the path says. */
static int find_object(int rootfd, const char *path, struct annex_content *c)
{
    const char *annex = find_annex(path);
    size_t git_len = (size_t)(annex - 1 - path), len = strlen(".git");
    bool plain = git_len >= len && strncmp(path + git_len - len, ".git", len) == 0;
    char *git;
    int fd;

    if (!parse_key(strrchr(path, '/') + 1, &c->key))
        return -ENOENT;
    git = strndup(path, git_len);
    if (!git)
        return -ENOMEM;
    fd = resolve_beneath(rootfd, git, O_PATH | O_DIRECTORY);
    if (plain)
        git[git_len - len] = '\0'; /* the directory with the .git */
    c->is_git_dir = !plain;
    c->dir = *git ? git : strdup(".");
    if (!*git)
        free(git);
    if (fd < 0)
        return resolve_is_fault(fd) ? fd : -ENOENT;
    return c->dir ? note_repository(c, fd) : (close(fd), -ENOMEM);
}

/* As annex_find_absent(), with everything but the path. */
static int find_absent(int rootfd, const char *path, struct annex_content *c)
{
    char at[PATH_MAX], target[PATH_MAX];
    int64_t nbytes;
    int ret, fd = resolve_beneath(rootfd, path, O_PATH);

    if (fd >= 0) {
        close(fd);
        ret = read_pointer(rootfd, path, &c->key);
        return ret == 0 ? find_repository(rootfd, path, c) : ret;
    }
    if (resolve_is_fault(fd))
        return fd;
    /* ENOTDIR: the .git of a submodule is a file before git-annex is set up in it */
    if (fd != -ENOENT && fd != -ENOTDIR)
        return -ENOENT;
    if (annex_object_place(path, &nbytes) == S_IFREG)
        return find_object(rootfd, path, c);
    ret = follow(rootfd, path, at, target);
    if (ret != ABSENT_CONTENT)
        return ret < 0 ? ret : -ENOENT;
    const char *name = strrchr(target, '/');
    return parse_key(name + 1, &c->key) ? find_repository(rootfd, at, c) : -ENOENT;
}

int annex_find_absent(int rootfd, const char *path, struct annex_content *out, struct error *err)
{
    int ret;

    *out = (struct annex_content){.path = strdup(path)};
    ret = out->path ? find_absent(rootfd, path, out) : -ENOMEM;
    if (ret == 0)
        return 0;
    annex_content_clear(out);
    return ret == -ENOENT ? error_set(err, ENOENT, "%s: nothing is to be fetched for it", path)
                          : error_fault(err, -ret, "%s: %s", path, strerrordesc_np(-ret));
}

void annex_content_clear(struct annex_content *c)
{
    free(c->path);
    free(c->dir);
    *c = (struct annex_content){.path = NULL};
}
