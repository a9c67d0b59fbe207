#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# What the daemon needs lies below the mount point, where its own mount hides it: it was opened
# before, or the mount is refused. A daemon that walks through its own mount waits for itself, so
# whatever looks at such a mount here has a time limit.

# bats file_tags=release

load helper

# The time limit of a process that waits for a mount.
bounded() {
    timeout -s KILL "$PATIENCE_S" "$@"
}

mount_over() { # DIR [OPTION...]
    MNT=$1
    shift
    derivfs "$@" "$DS" "$MNT" 3>&- 4>&-
}

# The mount is used, and ends.
assert_works() {
    local pid
    pid=$(daemon_pid | head -1) # both paths may be the same
    bounded cat "$MNT/$1/tsnr.nii" >tsnr.nii
    bounded stat -f "$MNT" >/dev/null
    bounded df "$MNT" >/dev/null
    bounded ls -lR "$MNT" >/dev/null
    bounded cat "$MNT"/.derivfs/{status,errors,metrics,recipes.ini} >/dev/null
    kill -TERM "$pid"
    wait_until gone "$pid"
    run ! mounted "$MNT"
}

@test "cache and recipes in the dataset, which is mounted over: both are used, by any number of threads" {
    local option
    make_run "$DS/sub/a.nii"
    mkdir "$DS/.derivfs-state"
    printf '[double]\nexpr = 2 * mean(bold)\n' >"$DS/.derivfs-state/recipes.ini"
    for option in -omax_threads=10 -s; do
        rm -rf "$DS/.derivfs-state/cache"
        mount_over "$DS" $option --cache_dir="$DS/.derivfs-state/cache" \
            --recipes="$DS/.derivfs-state/recipes.ini"
        assert_equal "$(bounded cat "$MNT/.derivfs/errors")" ''
        bounded test -f "$MNT/sub/double.nii"
        assert_works sub
        reference tsnr tsnr.nii "$DS/sub/a.nii"
        assert [ -n "$(find "$DS/.derivfs-state/cache/v1/objects" -name '*.meta')" ]
    done
}

@test "cache and recipes below a mount point elsewhere, by links and with missing directories" {
    make_run "$DS/sub/a.nii"
    mkdir -p mnt/inside
    ln -s mnt/inside link
    printf '[double]\nexpr = 2 * mean(bold)\n' >mnt/inside/recipes.ini
    mount_over "$MNT" --cache_dir="$PWD/link/new/cache" --recipes="$PWD/link/recipes.ini"
    bounded test -f "$MNT/sub/double.nii"
    assert_works sub
    assert [ -n "$(find "$MNT/inside/new/cache/v1/objects" -name '*.meta')" ]
}

@test "recipes below the mount point can still be edited, also by an editor that renames" {
    make_run "$DS/a.nii"
    printf '[one]\nexpr = mean(bold)\n' >"$DS/recipes.ini"
    exec 7<"$DS"
    mount_over "$DS" --cache_dir="$CACHE" --recipes="$DS/recipes.ini"
    bounded test -f "$MNT/one.nii"
    printf '[two]\nexpr = mean(bold)\n' >/proc/self/fd/7/new.ini
    mv /proc/self/fd/7/new.ini /proc/self/fd/7/recipes.ini
    wait_until bounded test -f "$MNT/two.nii"
    exec 7<&-
    assert_works .
}

@test "a mount that would hide TMPDIR is refused, with the reason" {
    make_run "$DS/a.nii"
    mkdir mnt/tmp
    TMPDIR=$MNT/tmp run ! derivfs --cache_dir="$CACHE" "$DS" "$MNT" 3>&- 4>&-
    assert_output --partial "it would hide $MNT/tmp"
    assert_output --partial 'TMPDIR'
    run ! mounted "$MNT"
    TMPDIR=$BATS_TEST_TMPDIR run -0 derivfs --cache_dir="$CACHE" "$DS" "$MNT" 3>&- 4>&-
    assert_works .
}

@test "programs are not searched for in the mount" {
    make_run "$DS/a.nii"
    mkdir mnt/bin
    printf '[text.txt]\ncommand = hidden-program\n[here.txt]\ncommand = echo here\n' >recipes.ini
    printf '#!/bin/sh\necho hidden\n' >mnt/bin/hidden-program
    chmod +x mnt/bin/hidden-program
    PATH=$MNT/bin:$PATH mount_over "$MNT" -s --cache_dir="$CACHE" --recipes="$PWD/recipes.ini"
    assert_equal "$(bounded cat "$MNT/here.txt")" here
    run ! bounded cat "$MNT/text.txt"
    run -0 bounded cat "$MNT/.derivfs/errors"
    assert_line --partial 'hidden-program: not found'
    assert_works .
}
