#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# A 4-D result is computed in parts; once it has been read to its end, the cache gets it in one piece
# too, which the kernel can pass through.

load helper

setup() {
    common_setup
    DAEMON_MAY_DIE=yes
    make_run "$DS/run.nii" --shape 64,64,30 --volumes 21
    printf '[centred]\nexpr = bold - mean(bold)\nlist = yes\n' >recipes.ini
    ASAN_OPTIONS=$ASAN_OPTIONS:detect_leaks=0
}

start() { # start [OPTION...]
    mount_derivfs "$DS" --recipes="$PWD/recipes.ini" "$@"
}

sum() {
    sha1sum <"$MNT/centred.nii"
}

# The payloads in the cache that are as long as the file.
wholes() {
    find "$CACHE/v1/objects" -type f -size "$(stat -c %s "$MNT/centred.nii")c"
}

is_joined() {
    [ -n "$(wholes)" ]
}

@test "a 4-D result that was read to its end is in the cache in one piece, which needs no part" {
    start
    head -c 9000000 "$MNT/centred.nii" >/dev/null # not to its end
    cp "$MNT/centred.nii" first.nii
    wait_until is_joined
    cmp first.nii "$MNT/centred.nii"
    tail -c 5000001 first.nii >end
    tail -c 5000001 "$MNT/centred.nii" | cmp end -
    whole=$(wholes)
    unmount_derivfs
    find "$CACHE/v1/objects" -type f ! -path "$whole*" -delete

    start
    cmp first.nii "$MNT/centred.nii"
    run -0 derivctl list --recipes="$PWD/recipes.ini" --cache_dir="$CACHE" "$MNT"
    assert_line --regexp '^cached .* centred\.nii$'
    assert_equal "$(metric tasks_done_total)" 0
    gunzip -c "$MNT/centred.nii.gz" | cmp first.nii
    assert_equal "$(cat "$MNT/.derivfs/errors")" ''
    run -0 derivctl cache verify --cache_dir="$CACHE"
    assert_output --partial ' 0 damaged'
}

@test "keys stay the same from version to version, that of the joined file too" {
    # The secret of a cache, and what it knows of the run's content: that a file with this name had it.
    # So nothing of this machine is in the keys. If one differs, earlier results are not found again.
    local name=f97933462978945880db5ac300f2374f69f4bf1e fact
    mkdir -p "$CACHE/v1/names"
    printf 0123456789abcdef >"$CACHE/v1/secret"
    base64 -d >"$CACHE/v1/names/32bd2352992b3fb4a2e34e20eedcc0303c3ca8dc" \
        <<<dmZzbmFtMQCeOONC4ytdeGY5NzkzMzQ2Mjk3ODk0NTg4MGRiNWFjMzAwZjIzNzRmNjlmNGJmMWU=
    for fact in 663fc4c74b50a1c0715a3c982fe1e82d08556c5c d5dc4e5c67579d132609f34ddb04f83596d07998; do
        base64 -d >"$CACHE/v1/names/$fact" <<<dmZzbmFtMQDClNM4BYAGLQ==
    done
    grep -q "$name" "$CACHE"/v1/names/*
    assert_equal "$(sha256sum <"$DS/run.nii")" \
        'b1c14ff6f9d2722c384a8b65610627fc416a613eb60e68f25952299ec067cd4b  -'
    start
    cat "$MNT/centred.nii" "$MNT/tsnr.nii" "$MNT/tsnr.nii.gz" >/dev/null
    wait_until is_joined
    assert_equal "$(keys_of join)" e6d0241be88cced771ec60228a0803f204484c42
    assert_equal "$(keys_of moments)" a1b9af487bc9763e622707f5f3e241514119c6e5
    assert_equal "$(keys_of 'mean(bold) / std(bold)')" ffa84171bd9c8739952f0080fc3fe6d5eb7333c0
    assert_equal "$(keys_of gzip-stored)" e0cb6772901364acebf2468ebb37abd3fbc84673
}

# keys_of LABEL: of the entries in the cache whose labels begin so.
keys_of() {
    grep -rlF "label $1" "$CACHE/v1/objects" | sed 's|.*/||; s|\.meta$||' | sort
}

@test "killed while it joins: the parts serve, and the next reader has it joined" {
    local call first
    start
    first=$(gunzip -c "$MNT/centred.nii.gz" | sha1sum) # the parts, which nobody joins
    unmount_derivfs
    cp -a "$CACHE" parts
    # all that is synced and gets a name from now on is the whole: a meta, then the payload
    for call in fdatasync:1 linkat:1 linkat:2; do
        rm -rf "$CACHE"
        cp -a parts "$CACHE"
        strace -f -o trace -e trace="${call%:*}" -e inject="${call%:*}:signal=SIGKILL:when=${call#*:}" \
            derivfs -f --recipes="$PWD/recipes.ini" --cache_dir="$CACHE" "$DS" "$MNT" \
            >>"$LOG" 2>&1 3>&- 4>&- &
        DAEMON=$!
        wait_until mounted_or_dead "$DAEMON"
        assert_equal "$(sum)" "$first"
        wait_until gone "$DAEMON"
        fusermount3 -uz "$MNT"
        run -0 derivctl cache verify --cache_dir="$CACHE"
        assert_output --partial ' 0 damaged'

        start
        assert_equal "$(sum)" "$first"
        wait_until is_joined
        assert_equal "$(sum)" "$first"
        assert_equal "$(metric cache_corrupt_total)" 0
        unmount_derivfs
    done
}

@test "where the disk has no room for both, a 4-D result stays in parts, and nothing else goes" {
    [ "$EUID" = 0 ] || skip "only root may mount a tmpfs"
    mkdir "$CACHE"
    mount -t tmpfs -o size=16M tmpfs "$CACHE"
    start --log_level=debug -f >>"$LOG" 2>&1 &
    wait_until mounted "$MNT"
    cat "$MNT/tsnr.nii" >/dev/null
    first=$(sum)
    wait_until grep -q 'join centred.nii: No space left on device; the file stays in parts' "$LOG"
    assert_equal "$(sum)" "$first"
    assert_equal "$(metric cache_evicted_total)" 0
    assert_equal "$(cat "$MNT/.derivfs/errors")" ''
    run -1 grep -E 'warning|error' "$LOG"
    unmount_derivfs
    umount "$CACHE"
}
