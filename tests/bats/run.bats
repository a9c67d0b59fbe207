#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# derivctl run: the derived files without the right to mount.
# shellcheck disable=SC2154 # status, output and lines are those of bats

load helper

setup() {
    common_setup
    make_run "$DS/a.nii"
}

# Processes of this test that are still there: those that have its mark in their environment.
marked() {
    grep -lsz "^RUN_MARK=$BATS_TEST_TMPDIR\$" /proc/[0-9]*/environ
}

none_marked() {
    ! marked
}

teardown() {
    local file
    for file in $(marked); do
        kill -KILL "$(cut -d / -f 3 <<<"$file")"
    done
    common_teardown
}

derivctl_run() {
    as_user env RUN_MARK="$BATS_TEST_TMPDIR" derivctl run "$@"
}

# in_background COMMAND...: its process id in $RUN.
in_background() {
    "$@" >"$BATS_TEST_TMPDIR/out" 2>&1 3>&- 4>&- &
    RUN=$!
    wait_until [ -e user/ready ]
}

# pid_of NAME: the marked process of that name.
pid_of() {
    local file
    for file in $(marked); do
        [ "$(cat "${file%environ}comm")" != "$1" ] || cut -d / -f 3 <<<"$file"
    done | sort -n
}

@test "an ordinary user without any right to mount runs a command beside the derived files" {
    mount_derivfs "$DS"
    cp "$MNT/tsnr.nii" expected.nii
    unmount_derivfs
    run derivctl_run dataset -- sh -c '
        cat dataset/tsnr.nii >user/got.nii
        id -u
        grep ^CapEff /proc/self/status
        exit 7'
    assert_equal "$status" 7
    assert_line "$USER_ID"
    assert_line --regexp '^CapEff:.0000000000000000$'
    cmp expected.nii user/got.nii
    [ ! -e "$DS/tsnr.nii" ] # nobody else sees it
    none_marked
}

@test "in bubblewrap, without /etc" {
    run as_user bwrap --ro-bind /usr /usr --symlink usr/bin /bin --symlink usr/lib /lib \
        --symlink usr/lib64 /lib64 --bind /mnt /mnt --dev /dev --dev-bind /dev/fuse /dev/fuse \
        --proc /proc --setenv RUN_MARK "$BATS_TEST_TMPDIR" --chdir /mnt/dataset \
        derivctl run . -- sh -c 'cat tsnr.nii | wc -c'
    assert_success
    assert_line 1504
    none_marked
}

@test "the command starts where derivctl did, through the mount, with its arguments as they are" {
    run derivctl_run dataset --threads=1 -- sh -c 'pwd; printf "<%s>" "$@"' x -o -- 'a  b' ''
    assert_output '/mnt
<-o><--><a  b><>'
    mkdir "$DS/sub"
    make_run "$DS/sub/b.nii"
    run as_user sh -c 'cd dataset/sub && derivctl run .. -- sh -c "pwd; ls"'
    assert_line /mnt/dataset/sub
    assert_line tsnr.nii
}

@test "the exit status is that of the command" {
    run derivctl_run dataset -- true
    assert_success
    refute_output
    run derivctl_run dataset -- sh -c 'kill -TERM $$'
    assert_equal "$status" 143
    run -127 derivctl_run dataset -- nosuchprogram
    assert_output --partial 'nosuchprogram: No such file or directory'
    run derivctl_run dataset -- ./dataset/a.nii
    assert_equal "$status" 126
    none_marked
}

@test "what cannot be mounted runs nothing, and says why" {
    run derivctl_run dataset --frob -- touch user/ran
    assert_equal "$status" 125
    assert_output --partial '--frob'
    assert_output --partial 'COMMAND was not started'
    run derivctl_run nosuchdir -- touch user/ran
    assert_equal "$status" 125
    assert_output --partial 'nosuchdir: No such file or directory'
    [ ! -e user/ran ]
    run derivctl_run dataset touch user/ran
    assert_equal "$status" 2
    assert_output --partial 'usage: derivctl run DATASET'
    none_marked
}

@test "where user namespaces are forbidden, that is said, and what works instead" {
    run as_user unshare -U --map-user="$USER_ID" --map-group="$USER_ID" --keep-caps sh -c '
        echo 0 >/proc/sys/user/max_user_namespaces
        exec setpriv --inh-caps=-all --ambient-caps=-all derivctl run dataset -- true'
    assert_equal "$status" 125
    assert_output --partial 'user namespaces are forbidden here'
    assert_output --partial 'derivctl compute'
}

@test "processes that the command leaves behind end with it" {
    run derivctl_run dataset -- sh -c '
        setsid sh -c "trap : TERM; touch user/ready; while :; do sleep 1000; done" >/dev/null 2>&1 &
        until [ -e user/ready ]; do :; done'
    assert_success
    none_marked
}

@test "a signal to derivctl is one to the command" {
    in_background derivctl_run dataset -- sh -c '
        trap "exit 9" TERM; touch user/ready; while :; do sleep 0.1; done'
    kill -TERM "$(pid_of derivctl | head -n 1)"
    wait "$RUN" || assert_equal $? 9
    none_marked
}

@test "whoever is killed, nothing is left" {
    local victim pid
    for victim in derivctl keeper sh; do
        in_background derivctl_run dataset -- sh -c '
            setsid sleep 1000 & touch user/ready; while :; do sleep 0.1; done'
        case $victim in
        derivctl) pid=$(pid_of derivctl | head -n 1) ;;
        keeper) pid=$(pid_of derivctl | tail -n 1) ;;
        *) pid=$(pid_of sh) ;;
        esac
        kill -KILL "$pid"
        wait "$RUN" || assert_equal $? 137
        wait_until none_marked
        rm user/ready
    done
}

@test "a daemon that dies is told" {
    in_background derivctl_run dataset -- sh -c '
        touch user/ready; until [ -e user/go ]; do sleep 0.1; done; ! cat dataset/a.nii'
    kill -KILL "$(pid_of derivfs)"
    touch user/go
    wait "$RUN"
    grep -F 'derivfs ended before COMMAND did' "$BATS_TEST_TMPDIR/out"
    none_marked
}

@test "derivfs without fusermount3 leads to derivctl run" {
    run as_user_without /usr/bin/fusermount3 sh -c "mkdir user/mnt; derivfs dataset user/mnt"
    assert_failure
    assert_output --partial 'derivctl run DATASET -- COMMAND works without it'
}
