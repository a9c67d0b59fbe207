#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Mounts of an ordinary user with an account, without which fusermount3 mounts nothing. Root makes the
# account for these tests, and lets everybody use /dev/fuse meanwhile.
#
# bats file_tags=release,once

load helper

setup_file() {
    [ "$EUID" = 0 ] || return 0
    ACCOUNT=derivfs-test$$
    DEVICE_MODE=$(stat -c %a /dev/fuse)
    export ACCOUNT DEVICE_MODE
    useradd --no-create-home --home-dir /nonexistent "$ACCOUNT"
    chmod 666 /dev/fuse
}

teardown_file() {
    [ "$EUID" = 0 ] || return 0
    chmod "$DEVICE_MODE" /dev/fuse
    userdel "$ACCOUNT"
}

setup() {
    common_setup
    [ "$EUID" = 0 ] || skip "only root can become another user"
    local dir=$BATS_TEST_TMPDIR
    while [ "$dir" != /tmp ] && [ "$dir" != / ]; do
        chmod a+x "$dir"
        dir=${dir%/*}
    done
    mkdir tmp
    chown "$ACCOUNT:" . "$DS" "$MNT" tmp
}

# ordinary COMMAND...: as an ordinary user, who has no right of root's.
ordinary() {
    PATH=$DERIVFS_BIN_DIR:/usr/bin:/bin TMPDIR=$BATS_TEST_TMPDIR/tmp HOME=$BATS_TEST_TMPDIR \
        setpriv --reuid "$ACCOUNT" --regid "$ACCOUNT" --clear-groups "$@"
}

# mount_as_user [OPTION...]: as mount_derivfs.
mount_as_user() {
    ordinary derivfs --cache_dir="$CACHE" "$@" "$DS" "$MNT" 3>&- 4>&-
}

@test "an ordinary user mounts, reads and unmounts; nobody else sees anything, root neither" {
    make_run "$DS/sub-01_task-a_bold.nii.gz"
    make_run "$DS/sub-01_task-b_bold.nii" --seed 2
    mount_as_user
    run -0 grep -F " $MNT " /proc/self/mountinfo
    assert_output --partial "user_id=$(id -u "$ACCOUNT"),"
    run ! ls "$MNT"
    ordinary cp "$MNT/tsnr.nii" "$MNT/tsnr.json" "$MNT/sub-01_task-b_bold.nii" tmp
    reference tsnr tmp/tsnr.nii "$DS"/*.nii*
    cmp tmp/sub-01_task-b_bold.nii "$DS/sub-01_task-b_bold.nii"
    run -0 ordinary derivctl explain "$MNT/tsnr.nii"
    assert_line 'state: cached'
    run -0 find "$CACHE" ! -user "$ACCOUNT" -o -perm /077
    assert_output ''
    assert_equal "$(ordinary cat "$MNT/.derivfs/errors")" ''
    ordinary fusermount3 -u "$MNT"
    wait_until eval '[ -z "$(daemons)" ]'
}

@test "what the user may not read fails, and is right when he may" {
    make_run "$DS/sub-01_task-a_bold.nii.gz"
    make_run "$DS/sub-01_task-b_bold.nii" --seed 2
    chmod 600 "$DS/sub-01_task-b_bold.nii"
    mount_as_user
    run ! ordinary cat "$MNT/tsnr.nii"
    assert_output --partial 'Permission denied'
    ordinary cp "$MNT/sub-01_task-a_stat-tsnr_boldmap.nii" tmp/a.nii
    reference tsnr tmp/a.nii "$DS/sub-01_task-a_bold.nii.gz"
    chmod 644 "$DS/sub-01_task-b_bold.nii"
    readable() { ordinary cp "$MNT/tsnr.nii" tmp/tsnr.nii 2>/dev/null; }
    wait_until readable
    reference tsnr tmp/tsnr.nii "$DS"/*.nii*
}

@test "allow_other is refused where /etc/fuse.conf does not allow it, and nothing stays behind" {
    ! grep -q '^user_allow_other' /etc/fuse.conf || skip "/etc/fuse.conf has user_allow_other"
    run ! mount_as_user -o allow_other
    assert_output --partial user_allow_other
    run ! mounted "$MNT"
    assert_equal "$(daemons)" ''
}

@test "options of the kernel that only root may give fail before exit status 0" {
    local option
    for option in blksize=4096 suid dev context=x remount; do
        status=0
        mount_as_user -o "$option" >tmp/said 2>&1 || status=$?
        [ $status -ne 0 ] || ordinary cat "$MNT/.derivfs/version"
        [ $status -ne 0 ] || ordinary fusermount3 -u "$MNT"
        run ! mounted "$MNT"
    done
    run -0 grep -q . tmp/said
}

@test "commands, pictures and a signal" {
    make_run "$DS/run.nii"
    printf '[report.txt]\ncommand = id -u\n' >recipes.ini
    mount_as_user --recipes="$PWD/recipes.ini"
    assert_equal "$(ordinary cat "$MNT/report.txt")" "$(id -u "$ACCOUNT")"
    ordinary cat "$MNT/tsnr.png" | pngcheck
    ordinary cat "$MNT/tsnr.svg" >/dev/null
    local pid
    pid=$(daemons)
    ordinary kill -TERM "$pid"
    wait_until gone "$pid"
    run ! mounted "$MNT"
    assert_equal "$(ls -A tmp)" ''
}

@test "other mounted tests pass for an ordinary user, too" {
    local name files=()
    for name in mirror derived_stat listing hidden; do
        files+=("$ROOT/tests/bats/$name.bats")
    done
    ordinary bats --tap "${files[@]}" 3>&- 4>&- >tmp/tap || {
        cat tmp/tap
        return 1
    }
    assert [ "$(grep -c '^ok' tmp/tap)" -gt 30 ]
}
