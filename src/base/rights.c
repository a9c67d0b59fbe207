/* SPDX-License-Identifier: MIT
 *
 * A mode has three classes, and who is in which depends on the file. So for each class of the result
 * the question is in which classes of the file its members may be: with another owner, the owner of
 * the result may be in the file's group or not, and a member of its group may be the file's owner.
 *
 * An access control list in the kernel's form (linux/posix_acl_xattr.h): a user that it names has
 * what his entry says, wherever else he belongs; members of groups that it names have what at least
 * one of their entries says. Who they are is not looked up.
 */
#include "rights.h"

#include <endian.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

void rights_restrict(struct rights *r, enum right right, mode_t mode, uid_t uid, gid_t gid)
{
    bool owner = mode & (mode_t)right << 6, group = mode & (mode_t)right << 3;
    bool others = mode & (mode_t)right, same_uid = uid == r->uid, same_gid = gid == r->gid;

    if (!(same_uid ? owner : group && others))
        r->mode &= ~(mode_t)0400;
    if (!(group && (same_gid || others) && (same_uid || owner)))
        r->mode &= ~(mode_t)0040;
    if (!(others && (same_gid || group) && (same_uid || owner)))
        r->mode &= ~(mode_t)0004;
}

struct rights rights_of_owner(void)
{
    return (struct rights){0400, geteuid(), getegid()};
}

bool rights_equal(const struct rights *a, const struct rights *b)
{
    return a->mode == b->mode && a->uid == b->uid && a->gid == b->gid;
}

void rights_show(const struct rights *r, struct stat *st)
{
    st->st_mode = S_IFREG | r->mode;
    st->st_uid = r->uid;
    st->st_gid = r->gid;
}

static bool acls_count;

void rights_use_acls(bool use)
{
    acls_count = use;
}

enum { ACL_VERSION = 2, ACL_ENTRIES_MAX = 512 };

enum acl_tag {
    ACL_USER_OBJ = 0x01,
    ACL_USER = 0x02,
    ACL_GROUP_OBJ = 0x04,
    ACL_GROUP = 0x08,
    ACL_MASK = 0x10,
    ACL_OTHER = 0x20,
};

struct acl {
    uint32_t version;
    struct {
        uint16_t tag, perm;
        uint32_t id;
    } entries[ACL_ENTRIES_MAX];
};

/* The permissions that every entry with this tag grants within `mask`; all if there is none. */
static unsigned all_grant(const struct acl *acl, size_t n, enum acl_tag tag, unsigned mask)
{
    unsigned perm = 07;

    for (size_t i = 0; i < n; i++)
        if (le16toh(acl->entries[i].tag) == tag)
            perm &= le16toh(acl->entries[i].perm) & mask;
    return perm;
}

/* What the list leaves of the mode; its group bits are the list's mask by now. */
static mode_t mode_of_acl(const struct acl *acl, size_t n, mode_t mode)
{
    unsigned mask = all_grant(acl, n, ACL_MASK, 07);
    unsigned users = all_grant(acl, n, ACL_USER, mask);
    unsigned group = all_grant(acl, n, ACL_GROUP_OBJ, mask) & users;
    unsigned others = all_grant(acl, n, ACL_OTHER, 07) & users & all_grant(acl, n, ACL_GROUP, mask);

    return (mode & ~(mode_t)077) | (mode & (group << 3 | others));
}

void rights_apply_acl(int dirfd, const char *name, struct stat *st)
{
    char path[64 + NAME_MAX];
    struct acl acl;
    ssize_t n;

    if (!acls_count || S_ISLNK(st->st_mode) || !(st->st_mode & 077))
        return;
    /* no call takes a descriptor opened with O_PATH, but /proc does */
    snprintf(path, sizeof path, "/proc/self/fd/%d%s%s", dirfd, *name ? "/" : "", name);
    n = *name ? lgetxattr(path, "system.posix_acl_access", &acl, sizeof acl)
              : getxattr(path, "system.posix_acl_access", &acl, sizeof acl);
    if (n < 0 && (errno == ENODATA || errno == EOPNOTSUPP))
        return;
    if (n < (ssize_t)sizeof acl.version || le32toh(acl.version) != ACL_VERSION)
        st->st_mode &= ~(mode_t)077;
    else
        st->st_mode =
            mode_of_acl(&acl, ((size_t)n - sizeof acl.version) / sizeof *acl.entries, st->st_mode);
}
