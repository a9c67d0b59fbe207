#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# A cache that is damaged, deleted, full or not writable: readers get the right bytes all the same,
# and a warning says what was not kept.

load helper

a() { echo "$DS/sub-01_task-a_bold.nii.gz"; }
b() { echo "$DS/sub-01_task-b_bold.nii"; }

two_runs() {
    make_run "$(a)" --seed 1
    make_run "$(b)" --seed 2 --volumes 9
}

entries() {
    find "$CACHE/v1/objects" -type f "$@" | sort
}

right_bytes() {
    reference tsnr "$MNT/tsnr.nii" "$(a)" "$(b)"
    cmp "$MNT/tsnr.nii" right.nii
}

verify_is_clean() {
    run -0 --separate-stderr derivctl cache verify --cache_dir="$CACHE"
    assert_output --partial ' 0 damaged'
    assert_equal "$stderr" ''
}

# --- damage ---------------------------------------------------------------------------------------

flip() { # one bit in the middle
    /usr/bin/python3 - "$1" <<'END'
import sys
with open(sys.argv[1], "r+b") as f:
    content = bytearray(f.read())
    content[len(content) // 2] ^= 1
    f.seek(0)
    f.write(content)
END
}

cut_short() { truncate -s -1 "$1"; }
lengthen() { echo >>"$1"; }
empty() { : >"$1"; }
garble() { head -c 300 /dev/urandom >"$1"; }
make_dangling() { ln -sfn nowhere "$1"; }
make_directory() { rm "$1" && mkdir "$1"; }

# damaged DAMAGE [FIND-CONDITION...]: a result and its moments, computed by one daemon, are damaged
# between two daemons and again under the second.
damaged() {
    local how=$1 file
    shift
    two_runs
    mount_derivfs "$DS"
    cp "$MNT/tsnr.nii" right.nii
    right_bytes
    unmount_derivfs
    for file in $(entries "$@"); do "$how" "$file"; done
    mount_derivfs "$DS"
    right_bytes
    for file in $(entries "$@"); do "$how" "$file"; done
    right_bytes
    reference std "$MNT/std.nii" "$(a)" "$(b)"
    assert_equal "$(cat "$MNT/.derivfs/errors")" ''
    for file in $(entries "$@"); do "$how" "$file"; done
    unmount_derivfs
    mount_derivfs "$DS"
    right_bytes
    reference mean "$MNT/mean.nii" "$(a)" "$(b)"
    cat "$MNT/std.nii" >/dev/null
    verify_is_clean
}

@test "entries with a flipped bit are found and replaced" {
    damaged flip ! -name '*.meta'
    assert [ "$(metric cache_corrupt_total)" -gt 0 ]
}

@test "truncated entries are found and replaced" {
    damaged cut_short ! -name '*.meta'
}

@test "entries with a byte too many are found and replaced" {
    damaged lengthen ! -name '*.meta'
}

@test "emptied entries are found and replaced" {
    damaged empty ! -name '*.meta'
}

@test "entries that became dangling links are found and replaced" {
    damaged make_dangling ! -name '*.meta'
}

@test "garbage instead of metas is found and replaced" {
    damaged garble -name '*.meta'
}

@test "empty metas are found and replaced" {
    damaged empty -name '*.meta'
}

@test "deleted metas, and deleted payloads, are replaced" {
    damaged rm -name '*.meta'
    for file in $(entries ! -name '*.meta'); do rm "$file"; done
    right_bytes
    verify_is_clean
}

@test "derivctl cache verify finds damage, says where, and removes it" {
    two_runs
    derivctl compute --cache_dir="$CACHE" "$DS/tsnr.nii"
    local damaged
    damaged=$(entries -name '*.meta' | head -1)
    damaged=${damaged%.meta}
    flip "$damaged"
    run -0 --separate-stderr derivctl cache verify --cache_dir="$CACHE"
    assert_output "2 entries are good, 1 damaged ones were removed"
    assert_regex "$stderr" "derivctl: cache: .*$(basename "$damaged").*damaged"
    assert_not_exists "$damaged"
    assert_not_exists "$damaged.meta"
    verify_is_clean
}

# --- deleted --------------------------------------------------------------------------------------

@test "a cache deleted while mounted is made again" {
    two_runs
    mount_derivfs "$DS"
    cp "$MNT/tsnr.nii" right.nii
    exec 5<"$MNT/tsnr.nii"
    rm -r "$CACHE"
    cmp right.nii - <&5
    exec 5<&-
    right_bytes
    reference mean "$MNT/mean.nii" "$(a)" "$(b)"
    assert [ "$(entries ! -name '*.meta' | wc -l)" -ge 4 ]
    verify_is_clean
}

@test "a cache with files of somebody else in it leaves them alone" {
    mkdir -p "$CACHE/v1/objects/ab"
    echo mine >"$CACHE/notes"
    echo mine >"$CACHE/v1/objects/ab/notes"
    two_runs
    mount_derivfs "$DS" --cache_size=1K
    cat "$MNT/tsnr.nii" "$MNT/mean.nii" >/dev/null
    derivctl cache prune --cache_dir="$CACHE"
    derivctl cache clear --cache_dir="$CACHE"
    assert_equal "$(cat "$CACHE/notes" "$CACHE/v1/objects/ab/notes" | uniq)" mine
}

# --- nothing can be kept --------------------------------------------------------------------------

# A file system of its own for the cache.
mount_tmpfs() {
    [ "$EUID" = 0 ] || skip "only root may mount a tmpfs"
    mkdir -p "$CACHE"
    mount -t tmpfs -o "$1" tmpfs "$CACHE"
}

warned_once_of() {
    grep -E "$1" "$LOG" | grep -q 'not kept'
    assert_equal "$(grep -c 'not kept' "$LOG")" 1
    grep -q 'not kept' "$MNT/.derivfs/errors"
}

@test "a full disk under the cache: the reader gets his bytes, and a warning" {
    two_runs
    mount_tmpfs size=64k
    mkdir -p "$CACHE/v1/objects" "$CACHE/v1/tmp"
    head -c 100000 /dev/zero >"$CACHE/ballast" || true
    mount_derivfs_foreground "$DS"
    reference tsnr "$MNT/tsnr.nii" "$(a)" "$(b)"
    reference mean "$MNT/mean.nii" "$(a)" "$(b)"
    warned_once_of 'No space left'
    rm "$CACHE/ballast"
    cat "$MNT/tsnr.nii" >/dev/null
    assert [ "$(metric cache_published_total)" -gt 0 ]
    verify_is_clean
}

@test "a disk that loses what a result is computed from: it is computed again, with a warning" {
    two_runs
    # A leak check at the end of a traced process is not possible.
    ASAN_OPTIONS=$ASAN_OPTIONS:detect_leaks=0
    strace -f -o trace -e trace=fdatasync -e inject=fdatasync:error=EIO \
        derivfs -f --cache_dir="$CACHE" "$DS" "$MNT" >>"$LOG" 2>&1 3>&- 4>&- &
    wait_until mounted_or_dead $!
    reference tsnr "$MNT/tsnr.nii" "$(a)" "$(b)"
    reference mean "$MNT/mean.nii" "$(a)" "$(b)"
    # an errno is told once: of the moments or of the image, whichever the disk refuses first
    grep -E 'Input/output error; (what needs the result computes it again|the result is not kept)' "$LOG"
    run ! grep -F tsnr.nii "$MNT/.derivfs/errors"
    unmount_derivfs
    assert_equal "$(entries)" ''
    verify_is_clean
}

@test "a disk that is full with old entries: they make room" {
    for i in 0 1 2 3 4 5; do
        make_run "$DS/sub-01_task-t${i}_bold.nii" --shape 8,10,6 --volumes 5 --seed "$i"
    done
    mount_tmpfs size=100k
    mount_derivfs_foreground "$DS"
    for i in 0 1 2 3 4 5; do
        reference tsnr "$MNT/sub-01_task-t${i}_stat-tsnr_boldmap.nii" "$DS/sub-01_task-t${i}_bold.nii"
    done
    assert [ "$(metric cache_evicted_total)" -gt 0 ]
    run ! grep 'not kept' "$LOG"
    verify_is_clean
}

@test "a read-only cache: old results are used, new ones reach the reader with a warning" {
    two_runs
    mount_tmpfs size=10M
    derivctl compute --cache_dir="$CACHE" "$DS/tsnr.nii"
    mount -o remount,ro "$CACHE"
    mount_derivfs_foreground "$DS"
    cp "$MNT/tsnr.nii" right.nii
    right_bytes
    assert_equal "$(metric tasks_done_total)" 0
    reference mean "$MNT/mean.nii" "$(a)" "$(b)"
    warned_once_of 'Read-only file system'
}

@test "a cache directory that cannot be made: a warning, and results from memory" {
    two_runs
    echo "a file" >"$CACHE"
    mount_derivfs_foreground "$DS"
    reference tsnr "$MNT/tsnr.nii" "$(a)" "$(b)"
    reference tsnr "$MNT/tsnr.nii" "$(a)" "$(b)"
    grep -E "warning: .*$CACHE.*memory only" "$LOG"
    assert_equal "$(cat "$CACHE")" "a file"
}

@test "cache_size=0 keeps nothing on disk, as asked for" {
    two_runs
    mount_derivfs_foreground "$DS" --cache_size=0
    reference tsnr "$MNT/tsnr.nii" "$(a)" "$(b)"
    reference tsnr "$MNT/tsnr.nii" "$(a)" "$(b)"
    assert_not_exists "$CACHE"
    run ! grep -i warning "$LOG"
    assert_equal "$(metric memory_used_bytes)" 0 # nobody holds the results any more
}

@test "a result larger than cache_size reaches the reader, with a warning" {
    two_runs
    mount_derivfs_foreground "$DS" --cache_size=1000
    reference tsnr "$MNT/tsnr.nii" "$(a)" "$(b)"
    warned_once_of 'more than the cache may hold'
}

@test "a task over the memory limit: ENOMEM, and a sentence that says so" {
    two_runs
    mount_derivfs "$DS" --memory=1K
    run ! cat "$MNT/tsnr.nii"
    assert_output --partial 'Cannot allocate memory'
    run -0 cat "$MNT/.derivfs/errors"
    assert_output --regexp 'tsnr.nii: .*(memory|limit)'
    cmp "$(b)" "$MNT/sub-01_task-b_bold.nii" # other files are unaffected
}

@test "a limit that only a small buffer stays below is enough" {
    # 14 MB to compute the moments with the smallest buffer, 18 with that of four volumes
    make_run "$DS/sub-01_task-a_bold.nii" --shape 128,128,40 --volumes 3
    mount_derivfs "$DS" --memory=16M
    reference tsnr "$MNT/tsnr.nii" "$DS/sub-01_task-a_bold.nii"
}

@test "a result in memory over the limit, the disk being full: ENOMEM, and right when there is room" {
    # 3.0 MB to compute the moments, and 3.2 MB for what comes out
    make_run "$DS/sub-01_task-a_bold.nii" --shape 50,50,40 --volumes 2
    mount_tmpfs size=64k
    mount_derivfs "$DS" --memory=4M
    run ! cat "$MNT/tsnr.nii"
    assert_output --partial 'Cannot allocate memory'
    mount -o remount,size=20M "$CACHE"
    reference tsnr "$MNT/tsnr.nii" "$DS/sub-01_task-a_bold.nii"
    run ! grep -F tsnr.nii "$MNT/.derivfs/errors"
}

@test "results in memory wait for room: many readers at once, and each gets his" {
    # 3.0 MB to compute the moments of a run, 3.2 MB for them: one group of two needs 10 MB
    local i j readers=()
    for i in {1..8}; do
        for j in 1 2; do
            make_run "$DS/$i/sub-0${i}_task-${j}_bold.nii" --shape 50,50,40 --volumes 2 --seed "$i$j"
        done
    done
    mount_derivfs_foreground "$DS" --memory=11M --cache_size=0
    for i in {1..8}; do
        cat "$MNT/$i/tsnr.nii" >"$i.nii" 3>&- 4>&- &
        readers+=($!)
    done
    for i in "${readers[@]}"; do
        wait "$i"
    done
    for i in {1..8}; do
        reference tsnr "$i.nii" "$DS/$i"/*.nii
    done
    wait_until eval '[ "$(metric memory_used_bytes)" = 0 ]'
}

@test "results in memory that a program holds leave room for one more" {
    local i
    for i in 1 2 3; do
        make_run "$DS/$i/run.nii" --shape 100,100,40 --volumes 2 --seed "$i"
    done
    # 13 MB for the moments of a run, 9 to compute them, 1.6 for the image
    mount_derivfs_foreground "$DS" --memory=23M --cache_size=0
    /usr/bin/python3 - "$MNT" <<'END'
import os, sys

held = []
for i in 1, 2, 3:
    held.append(os.open(f"{sys.argv[1]}/{i}/tsnr.nii", os.O_RDONLY))
    assert len(os.pread(held[-1], 3000, 0)) == 3000
END
    reference tsnr "$MNT/3/tsnr.nii" "$DS/3/run.nii"
    wait_until eval '[ "$(metric memory_used_bytes)" = 0 ]'
}
