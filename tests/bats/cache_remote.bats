#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# A cache on a file system that other hosts change, too. Here that is FUSE: bindfs shows one
# directory at several places, which are the hosts. What NFS says of a file that another host has
# removed, strace makes read(2) say.

load helper

setup() {
    common_setup
    mkdir disk
    make_run "$DS/run.nii" --shape 64,64,30 --volumes 11
    printf '[centred]\nexpr = bold - mean(bold)\n' >recipes.ini
}

share() { # share DIR...: the same disk at each
    local dir
    for dir; do
        mkdir -p "$dir"
        bindfs --multithreaded --no-allow-other disk "$dir" 3>&- 4>&-
    done
}

bytes_read() {
    sed -n 's/^rchar: //p' "/proc/$(daemon_pid)/io"
}

@test "no passthrough from there: the daemon reads, and finds results again" {
    share "$CACHE"
    mount_derivfs "$DS"
    reference mean "$MNT/mean.nii" "$DS/run.nii"
    unmount_derivfs
    mount_derivfs "$DS"
    local before size
    size=$(stat -c %s "$MNT/mean.nii")
    exec 5<"$MNT/mean.nii"
    before=$(bytes_read)
    cat <&5 | cmp - <(cat "$MNT/mean.nii")
    exec 5<&-
    assert [ $(($(bytes_read) - before)) -ge "$size" ]
    assert_equal "$(metric tasks_done_total)" 0
    assert_equal "$(cat "$MNT/.derivfs/errors")" ''
}

@test "what another host has computed and removed since" {
    share host1 host2
    mkdir mnt2
    CACHE=$PWD/host1 mount_derivfs "$DS" --recipes="$PWD/recipes.ini"
    derivfs --cache_dir="$PWD/host2" --recipes="$PWD/recipes.ini" "$DS" mnt2 3>&- 4>&-
    local round
    for round in 1 2 3; do
        cmp "$MNT/centred.nii" mnt2/centred.nii
        cmp "$MNT/tsnr.nii" mnt2/tsnr.nii
        cmp "$MNT/tsnr.nii.gz" mnt2/tsnr.nii.gz
        reference tsnr mnt2/tsnr.nii "$DS/run.nii"
        derivctl cache clear --cache_dir="$PWD/host$((1 + round % 2))"
    done
    assert_equal "$(cat "$MNT/.derivfs/errors" mnt2/.derivfs/errors)" ''
    run -0 --separate-stderr derivctl cache verify --cache_dir="$PWD/disk"
    assert_output --partial ' 0 damaged'
}

# The entry is found sound; all other reads of it fail.
@test "a read that the network file system refuses is planned again" {
    local errno payload whole=$BATS_TEST_TMPDIR/whole
    # A leak check at the end of a traced process is not possible.
    ASAN_OPTIONS=$ASAN_OPTIONS:detect_leaks=0
    derivctl compute --cache_size=0 --recipes="$PWD/recipes.ini" -o "$whole" "$DS/centred.nii"
    for errno in ESTALE EFAULT EIO; do
        mount_derivfs "$DS" --recipes="$PWD/recipes.ini"
        head -c 900000 "$MNT/centred.nii" >/dev/null # the first of two parts
        unmount_derivfs
        payload=$(grep -rl '^label chunk' "$CACHE/v1/objects")
        payload=${payload%.meta}
        strace -f --seccomp-bpf -o trace -P "$payload" -e trace=pread64 -e inject=pread64:error=$errno:when=5+ \
            derivfs -f --cache_dir="$CACHE" --recipes="$PWD/recipes.ini" "$DS" "$MNT" \
            >>"$LOG" 2>&1 3>&- 4>&- &
        wait_until mounted_or_dead $!
        cmp "$MNT/centred.nii" "$whole"
        grep -q INJECTED trace
        # that the entry could not be replaced either is a warning
        run ! grep -v 'the result is not kept$' "$MNT/.derivfs/errors"
        unmount_derivfs
        rm -r "$CACHE"
    done
}
