#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Daemons killed while they compute and publish: whatever was reached, the next start finds complete
# entries or none, the right bytes, and nothing left lying about.

load helper

setup() {
    common_setup
    DAEMON_MAY_DIE=yes
    make_run "$DS/sub-01_task-a_bold.nii.gz" --seed 1 --shape 20,20,10
    make_run "$DS/sub-01_task-b_bold.nii" --seed 2 --volumes 9 --shape 20,20,10
    # A leak check at the end of a traced process is not possible, and those here are killed anyway.
    ASAN_OPTIONS=$ASAN_OPTIONS:detect_leaks=0
}

right_bytes() {
    reference tsnr "$MNT/tsnr.nii" "$DS/sub-01_task-a_bold.nii.gz" "$DS/sub-01_task-b_bold.nii"
}

# Only entries with both halves, the lock, and no temporary file.
nothing_left_over() {
    local stray
    assert_equal "$(ls -A "$CACHE/v1/tmp")" ''
    for stray in "$CACHE"/v1/objects/*/*; do
        case $stray in
        *.meta) assert_exists "${stray%.meta}" ;;
        *) assert_exists "$stray.meta" ;;
        esac
    done
    assert_equal "$(ls -A "$CACHE")" v1
    assert_equal "$(ls -A "$CACHE/v1" | grep -vxE 'lock|secret[.][0-9A-Za-z]{6}' | xargs)" 'headers names objects secret tmp'
    assert_equal "$(stat -c %s "$CACHE/v1/secret")" 16
    # the page of the dataset's one directory; what a writer was killed with is swept later
    assert_equal "$(ls -A "$CACHE/v1/headers" | grep -cxE '[0-9a-f]+')" 1
    assert_equal "$(ls -A "$CACHE/v1/names" | grep -vxE '[0-9a-f]{40}(\.[0-9A-Za-z]{6})?')" ''
}

verify_is_clean() {
    run -0 derivctl cache verify --cache_dir="$CACHE"
    assert_output --partial ' 0 damaged'
}

# What every killed daemon must leave behind: a cache that the next one can use.
next_daemon_is_well() {
    verify_is_clean
    mount_derivfs "$DS"
    right_bytes
    assert_equal "$(cat "$MNT/.derivfs/errors")" ''
    assert_equal "$(metric cache_corrupt_total)" 0
    unmount_derivfs
    verify_is_clean
    nothing_left_over
}

detach_dead_mount() {
    ! mounted "$MNT" || fusermount3 -uz "$MNT"
}

# killed_at SYSCALL N: a daemon that is killed as a thread of it enters its Nth call of SYSCALL,
# with an empty cache. One thread publishes the moments of the two runs, another the image.
killed_at() {
    rm -rf "$CACHE"
    killed_with_cache_at "$@"
}

killed_with_cache_at() {
    local daemon status=0
    strace -f -o trace -e trace="$1" -e inject="$1:signal=SIGKILL:when=$2" \
        derivfs -f --threads=1 --cache_dir="$CACHE" "$DS" "$MNT" >>"$LOG" 2>&1 3>&- 4>&- &
    daemon=$!
    wait_until mounted_or_dead "$daemon"
    cat "$MNT/tsnr.nii" >/dev/null 2>&1 || true
    wait_until gone "$daemon"
    wait "$daemon" || status=$?
    assert_equal "$status" 137 # strace ends as its process did
    detach_dead_mount
    next_daemon_is_well
}

@test "killed at each linkat of publishing: twice a meta (the directory was missing), then the payload" {
    for n in 1 2 3 5; do killed_at linkat "$n"; done
}

@test "killed at each fdatasync" {
    for n in 1 2; do killed_at fdatasync "$n"; done
}

@test "killed at each step of publishing what was asked for, the moments being there" {
    local step
    for step in 'fdatasync 1' 'linkat 1' 'linkat 2'; do
        rm -rf "$CACHE"
        derivctl compute --cache_dir="$CACHE" "$DS/mean.nii"
        # shellcheck disable=SC2086 # two words
        killed_with_cache_at $step
    done
}

@test "killed at each fallocate" {
    for n in 1 3; do killed_at fallocate "$n"; done
}

@test "killed at each making of a directory" {
    local depth=${CACHE//[^\/]/}
    for n in 0 1 2 3; do killed_at mkdir $((${#depth} + n)); done # cache, v1, objects, tmp
}

@test "killed while the bytes of an entry are written" {
    for n in 1 2 6; do killed_at write "$n"; done
}

@test "killed at random moments, again and again with one cache" {
    local i daemon reader
    for i in {1..15}; do
        mount_derivfs_foreground "$DS"
        daemon=$DAEMON
        cat "$MNT/tsnr.nii" "$MNT/mean.nii" >/dev/null 2>&1 &
        reader=$!
        # 0 to 14 ms: a tsnr.nii of this size takes about 10
        sleep "0.0$(printf %02d $((i - 1)))"
        kill -KILL "$daemon"
        wait "$reader" || true
        wait_until gone "$daemon"
        detach_dead_mount
        verify_is_clean
        # a third of the time the next one starts with what this one left, else with nothing
        [ $((i % 3)) = 0 ] || rm -rf "$CACHE"
    done
    next_daemon_is_well
}

@test "killed while others compute the same: the survivor is not disturbed" {
    local other=$BATS_TEST_TMPDIR/other daemon reader
    mkdir "$other"
    mount_derivfs_foreground "$DS"
    daemon=$DAEMON
    derivfs --cache_dir="$CACHE" "$DS" "$other" 3>&- 4>&-
    cat "$MNT/tsnr.nii" >/dev/null 2>&1 &
    reader=$!
    cat "$other/tsnr.nii" >other.nii &
    kill -KILL "$daemon"
    wait "$reader" || true
    wait $!
    detach_dead_mount
    cmp other.nii "$other/tsnr.nii"
    next_daemon_is_well
}
