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

#include "beneath.h"

static const char objects_dir[] = "/annex/objects/";
static const char link_mark[] = ".git/annex/objects/";

enum {
    POINTER_MAX = 32 * 1024, /* git-annex takes no larger file for a pointer */
    LINKS_MAX = 40,          /* as many as the kernel follows */
};

static bool starts_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

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
        if (starts_with(text, hashes[i]))
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

bool annex_is_pointer(int fd, uint64_t size)
{
    char start[sizeof(objects_dir) - 1];
    ssize_t n;

    if (size < sizeof(start) || size >= POINTER_MAX)
        return false;
    do
        n = pread(fd, start, sizeof(start), 0);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)sizeof(start) && memcmp(start, objects_dir, sizeof(start)) == 0;
}

/* The target of the link at `path`, not followed. Returns its length, or 0 where `path` does not
 * exist, -1 where it is no link. */
static ssize_t read_link(int rootfd, const char *path, char target[PATH_MAX])
{
    int fd = beneath_open(rootfd, path, O_PATH | O_NOFOLLOW);

    if (fd < 0)
        return 0;
    ssize_t len = readlinkat(fd, "", target, PATH_MAX - 1);
    close(fd);
    if (len < 0)
        return -1;
    target[len] = '\0';
    return len;
}

enum annex_absence annex_explain_absence(int rootfd, const char *path)
{
    char at[PATH_MAX], target[PATH_MAX];

    if (snprintf(at, sizeof(at), "%s", path) >= (int)sizeof(at))
        return ABSENT_NAME;
    for (int links = 0; links < LINKS_MAX; links++) {
        ssize_t len = read_link(rootfd, at, target);
        if (len <= 0)
            return links == 0 ? ABSENT_NAME : ABSENT_LINK_TARGET;
        if (strstr(target, link_mark))
            return ABSENT_CONTENT;

        /* the target counts from the directory that the link is in */
        char *slash = strrchr(at, '/');
        size_t dir_len = slash ? (size_t)(slash + 1 - at) : 0;
        if (target[0] == '/' || dir_len + (size_t)len >= sizeof(at))
            return ABSENT_LINK_TARGET;
        memcpy(at + dir_len, target, (size_t)len + 1);
    }
    return ABSENT_LINK_TARGET;
}
