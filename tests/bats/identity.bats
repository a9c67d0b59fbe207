#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# What a result is made from: two contents are never taken for each other, whatever the file system
# says of them.

load helper

R=sub-01/func/sub-01_task-x_bold.nii

# Two data sets whose files have the same names and sizes, and other voxels: d1 and d2.
setup_file() {
    make_run - <<END
$BATS_FILE_TMPDIR/1.nii --seed 1
$BATS_FILE_TMPDIR/2.nii --seed 2
END
    local i
    for i in 1 2; do
        mkdir -p "$BATS_FILE_TMPDIR/d$i/sub-01/func"
        mv "$BATS_FILE_TMPDIR/$i.nii" "$BATS_FILE_TMPDIR/d$i/$R"
    done
}

setup() {
    common_setup
    D1=$BATS_FILE_TMPDIR/d1 D2=$BATS_FILE_TMPDIR/d2
    mkdir at
}

teardown() {
    cd "$BATS_TEST_TMPDIR" || return
    local dir
    for dir in at over "$DS/sub-02"; do
        ! mounted "$(realpath "$dir")" || umount "$dir" || umount -l "$dir"
    done
    common_teardown
}

as_root() {
    [ "$EUID" = 0 ] || skip "only root may mount images"
}

# image TYPE DIR FILE: make an image of DIR, with the same times whenever it is made.
image() {
    case $1 in
    squashfs) mksquashfs "$2" "$3" -quiet -no-progress -all-time 1600000000 -mkfs-time 1600000000 ;;
    erofs) mkfs.erofs -T 1600000000 -U 01234567-89ab-cdef-0123-456789abcdef "$3" "$2" ;;
    ext4) ext4_image "$2" "$3" ;;
    esac >/dev/null 2>&1
}

# With the same UUID and times too, as reproducible builds make them.
ext4_image() {
    truncate -s 4M "$2"
    E2FSPROGS_FAKE_TIME=1600000000 SOURCE_DATE_EPOCH=1600000000 mke2fs -q -t ext4 -d "$1" \
        -U 01234567-89ab-cdef-0123-456789abcdef -E hash_seed=01234567-89ab-cdef-0123-456789abcdef "$2"
    local command
    for command in ctime mtime atime crtime; do
        debugfs -w -R "set_inode_field /$R $command 1600000000" "$2"
        debugfs -w -R "set_inode_field /$R ${command}_extra 0" "$2"
    done
}

compute() {
    derivctl compute --cache_dir="$CACHE" "$@"
}

# gives_the_mean DATASET RUN [OPTION...]: fails unless the mean is that of RUN, with the shared cache.
gives_the_mean() {
    local dataset=$1 run=$2
    shift 2
    rm -f mean.nii
    compute "$@" "$dataset/sub-01/func/mean.nii" -o mean.nii
    reference mean mean.nii "$run"
}

# one_after_the_other MOUNT UNMOUNT: `MOUNT DATA DIR` shows each data set at the same place in turn,
# and all means are right.
one_after_the_other() {
    local i
    for i in 1 2 1 2; do
        "$1" "$BATS_FILE_TMPDIR/d$i" at
        gives_the_mean at "$BATS_FILE_TMPDIR/d$i/$R"
        $2 at
    done
}

mount_image() { # of the type $TYPE
    local name=${1##*/}
    [ -e "$name.$TYPE" ] || image "$TYPE" "$1" "$name.$TYPE"
    mount -o loop,ro "$name.$TYPE" "$2"
}

@test "squashfs, erofs and ext4 images of the same times: each gives its own results" {
    as_root
    for TYPE in squashfs erofs ext4; do
        one_after_the_other mount_image umount
    done
}

mount_overlay() {
    mkdir -p over
    mount_image "$1" over
    mkdir -p empty
    mount -t overlay -o lowerdir="$PWD/over:$PWD/empty" overlay "$2"
}

unmount_overlay() {
    umount "$1" over
}

@test "overlays over such images: each gives its own results" {
    as_root
    for TYPE in squashfs erofs; do
        one_after_the_other mount_overlay unmount_overlay
    done
}

mount_squashfuse() {
    local name=${1##*/}
    [ -e "$name.squashfs" ] || image squashfs "$1" "$name.squashfs"
    squashfuse "$name.squashfs" "$2"
}

@test "images that FUSE programs show: each gives its own results" {
    one_after_the_other mount_squashfuse 'fusermount3 -u'
}

# Read eight new runs: as many stay open, and not those that were read before.
read_others() {
    local i
    for i in {1..8}; do
        make_run "$DS/other$i.nii"
    done
    cat "$MNT"/other{1..8}_stat-std_boldmap.nii >/dev/null
}

@test "an image mounted in place of another one while the daemon runs" {
    as_root
    local i
    mkdir "$DS/sub-02"
    mount_derivfs "$DS"
    for TYPE in squashfs erofs; do
        for i in 1 2 1; do
            mount_image "$BATS_FILE_TMPDIR/d$i" "$DS/sub-02"
            wait_until test -e "$MNT/sub-02/sub-01/func/mean.nii"
            reference mean "$MNT/sub-02/sub-01/func/mean.nii" "$BATS_FILE_TMPDIR/d$i/$R"
            read_others
            umount "$DS/sub-02"
        done
    done
}

@test "derivctl identifies files as the daemon of the mount does" {
    bindfs --no-allow-other "$D1" at 3>&- 4>&-
    mount_derivfs "$PWD/at"
    cat "$MNT/sub-01/func/mean.nii" >/dev/null
    run -0 derivctl explain "$MNT/sub-01/func/mean.nii"
    assert_line 'state: cached'
    assert_line --partial 'saved: 2 of 2 tasks'
}

@test "trust_ids: inode numbers and times of a file system count for good" {
    local list
    bindfs --no-allow-other "$D1" at 3>&- 4>&-
    for list in fuse:fuse.other "$PWD/at/sub-01"; do
        gives_the_mean at "$D1/$R" --trust_ids="$list"
        mount_derivfs "$PWD/at" --trust_ids="$list"
        cat "$MNT/sub-01/func/mean.nii" >/dev/null
        assert_equal "$(metric tasks_done_total)" 0
        unmount_derivfs
        rm -r "$CACHE"
    done
    run ! derivfs --trust_ids=fuse.other:/nowhere "$PWD/at" "$MNT"
    assert_output --partial 'trust_ids=/nowhere: No such file'
}
