#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Programs that others test file systems with, and servers that export them, as far as they only read.
#
# bats file_tags=release,once

load helper

setup() {
    common_setup
    make_run "$DS/sub-01_task-a_bold.nii.gz"
}

# --- fio, stress-ng -------------------------------------------------------------------------------

# read_with ENGINE: fails unless each block of the mount's file "blocks" has the checksum in its header.
read_with() {
    fio --name=blocks --filename="$MNT/blocks" --readonly --rw=randread --bs=64k --size=8m --ioengine="$1" \
        --iodepth=8 --verify=crc32c --verify_fatal=1 --norandommap=0 --output-format=terse --output=fio.out
}

@test "fio verifies what it has written before, with each of its engines" {
    local engine
    fio --name=blocks --filename="$DS/blocks" --rw=write --bs=64k --size=8m --verify=crc32c --do_verify=0 \
        --output=fio.out
    mount_derivfs "$DS"
    for engine in psync pvsync2 mmap libaio io_uring; do
        read_with $engine
    done
    printf X | dd of="$DS/blocks" bs=1 seek=5000000 conv=notrunc status=none
    run ! read_with psync
}

@test "stress-ng looks at all files while others read" {
    mount_derivfs "$DS"
    stress-ng --quiet --fstat 2 --fstat-dir "$MNT" --fstat-ops 2000 3>&- 4>&- &
    local stress=$!
    for _ in {1..20}; do
        cat "$MNT"/*.nii* | sha1sum
    done | sort -u >sums
    wait $stress
    assert_equal "$(wc -l <sums)" 1
    assert_no_errors
}

# --- archives and repositories --------------------------------------------------------------------

@test "tar, cp -a, rsync -c and git fsck agree with the dataset" {
    mkdir "$DS/repo"
    cp "$DS"/*.nii.gz "$DS/repo"
    for _ in {1..20}; do echo $RANDOM >>"$DS/repo/text"; done
    git -C "$DS/repo" init -q
    git -C "$DS/repo" add .
    git -C "$DS/repo" -c user.name=x -c user.email=x commit -qm one
    git -C "$DS/repo" gc -q
    mount_derivfs "$DS" -o layout=derivatives
    tar -C "$MNT" -c --exclude=derivatives . | tar -C "$DS" --compare
    cp -a "$MNT/." copy
    diff -r "$DS" copy | grep -v '^Only in copy: derivatives$' && fail "they differ"
    assert_equal "$(rsync -aicn --exclude=derivatives "$DS/" "$MNT/")" ''
    git -c safe.directory='*' -C "$MNT/repo" fsck --full --strict
    git -c safe.directory='*' clone -q "$MNT/repo" clone
    diff -r --exclude=.git clone "$DS/repo"
}

# --- servers --------------------------------------------------------------------------------------

# start_samba: a server that exports the mount as \\127.0.0.1\mnt, on $PORT. Its process id is in $SMBD.
start_samba() {
    mkdir samba
    PORT=$(/usr/bin/python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    cat >samba.conf <<END
[global]
    interfaces = 127.0.0.1
    bind interfaces only = yes
    smb ports = $PORT
    disable netbios = yes
    load printers = no
    map to guest = bad user
    $(printf '%s = %s\n    ' 'private dir' "$PWD/samba" 'lock directory' "$PWD/samba" 'state directory' "$PWD/samba" \
        'cache directory' "$PWD/samba" 'pid directory' "$PWD/samba" 'ncalrpc dir' "$PWD/samba/rpc" \
        'log file' "$PWD/samba/log")
[mnt]
    path = $MNT
    guest ok = yes
    force user = $(id -un)
    read only = yes
END
    smbd -F -s "$PWD/samba.conf" --debug-stdout </dev/null >smbd.out 2>&1 3>&- 4>&- &
    SMBD=$!
    connects() { client ls >said 2>&1; }
    wait_until connects || { cat said smbd.out && return 1; }
}

# client COMMAND: have smbclient do it.
client() {
    smbclient -N -s samba.conf -p "$PORT" //127.0.0.1/mnt -c "$1"
}

@test "Samba gives all of a file or an error, also of files of unknown length" {
    printf '[report.txt]\ncommand = seq 20000\nlist = yes\n[broken.txt]\ncommand = false\n' >recipes.ini
    mount_derivfs "$DS" --recipes="$PWD/recipes.ini" -o allow_other
    start_samba
    local name
    client 'get sub-01_task-a_bold.nii.gz run.nii.gz; get tsnr.nii; get tsnr.json; get report.txt' >said
    cmp run.nii.gz "$DS/sub-01_task-a_bold.nii.gz"
    reference tsnr tsnr.nii run.nii.gz
    cmp tsnr.json "$MNT/tsnr.json"
    cmp report.txt <(seq 20000)
    for name in tsnr.tsv tsnr.svg .derivfs/version .derivfs/index.html; do
        client "get $name got" >said
        case $name in
        *.svg | *.html) [[ $(tail -n 1 got) == '</'*'>' ]] ;;
        *) cmp got "$MNT/$name" ;;
        esac
    done
    run client 'get broken.txt'
    assert_output --partial NT_STATUS_
    run client 'put recipes.ini new.ini'
    assert_output --partial NT_STATUS_
    client 'prompt OFF; mask ""; mget *' >said
    run ! grep NT_STATUS_ said
    kill "$SMBD"
    wait "$SMBD" || true
}
