/* SPDX-License-Identifier: MIT
 *
 * A cache on a file system that others change, too: NFS, Lustre, GPFS, CIFS, FUSE.
 *
 * The kernel believes for up to 30 s (NFS, acdirmin) that a name it did not find is not there.
 * Reading the directory asks the server.
 */
#include "cache_disk.h"

#include <dirent.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/vfs.h>

/* Those whose changes this kernel makes. One that is not known is taken for remote, which costs
 * time only. */
static bool is_local(uint32_t type)
{
    static const uint32_t local[] = {
        EXT4_SUPER_MAGIC,
        XFS_SUPER_MAGIC,
        BTRFS_SUPER_MAGIC,
        F2FS_SUPER_MAGIC,
        TMPFS_MAGIC,
        RAMFS_MAGIC,
        OVERLAYFS_SUPER_MAGIC,
        REISERFS_SUPER_MAGIC,
        MSDOS_SUPER_MAGIC,
        EXFAT_SUPER_MAGIC,
        NILFS_SUPER_MAGIC,
        0x2fc12fc1, /* ZFS */
        0xca451a4e,
        /* bcachefs */ 0x3153464a, /* JFS */
    };

    for (size_t i = 0; i < sizeof local / sizeof *local; i++)
        if (type == local[i])
            return true;
    return false;
}

bool disk_is_remote(const char *path)
{
    struct statfs st;

    return statfs(path, &st) == 0 && !is_local((uint32_t)st.f_type);
}

static bool read_names(const struct disk *d, const char *below)
{
    char *path;
    DIR *dir;

    if (asprintf(&path, "%s/v1/%s", d->root, below) < 0)
        return false;
    dir = opendir(path);
    free(path);
    if (!dir)
        return false;
    while (readdir(dir))
        ;
    closedir(dir);
    return true;
}

void disk_refresh(const struct disk *d, const struct key *key)
{
    char bucket[32];

    snprintf(bucket, sizeof bucket, "objects/%.2s", key->hex);
    if (!read_names(d, bucket) && read_names(d, "objects"))
        (void)read_names(d, bucket);
}
