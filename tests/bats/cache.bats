#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# The cache as its users see it: results outlive the daemon, a changed source gives a new result,
# damage is found, and a cache that cannot keep anything costs nobody his bytes.

load helper

a() { echo "$DS/sub-01_task-a_bold.nii.gz"; }
b() { echo "$DS/sub-01_task-b_bold.nii"; }

two_runs() {
    make_run "$(a)" --seed 1
    make_run "$(b)" --seed 2 --volumes 9
}

# The payloads, one a line.
objects() {
    find "$CACHE/v1/objects" -type f ! -name '*.meta' | sort
}

# How much the cache's files take, in bytes.
cache_bytes() {
    find "$CACHE/v1/objects" -type f -printf '%s\n' | awk '{n += $1} END {print n + 0}'
}

nothing_computed() {
    assert_equal "$(metric tasks_done_total)" 0
}

# --- outliving the daemon -------------------------------------------------------------------------

@test "a result survives the unmount: the next daemon computes nothing" {
    two_runs
    mount_derivfs "$DS"
    reference tsnr "$MNT/tsnr.nii" "$(a)" "$(b)"
    cp "$MNT/tsnr.nii" before.nii
    unmount_derivfs
    mount_derivfs "$DS"
    cmp "$MNT/tsnr.nii" before.nii
    nothing_computed
    assert_equal "$(metric cache_hits_total)" 1
}

@test "the kernel reads a cached result by itself where it can: a stopped daemon is not asked" {
    two_runs
    mount_derivfs "$DS"
    cat "$MNT/tsnr.nii" >before.nii
    local pid major minor
    pid=$(daemon_pid)
    IFS=.- read -r major minor _ </proc/sys/kernel/osrelease
    exec {file}<"$MNT/tsnr.nii"
    # Passthrough takes Linux 6.9, root and a cache that is not on a stacked file system.
    if ((major * 100 + minor >= 609 && EUID == 0)) && [ "$(stat -f -c %T "$CACHE")" != overlayfs ]; then
        kill -STOP "$pid"
        run timeout "$PATIENCE_S" cmp before.nii - <&"$file"
        kill -CONT "$pid"
        assert_success
    else
        cmp before.nii - <&"$file"
    fi
    exec {file}<&-
}

@test "a result survives kill -9 of the daemon right after the read" {
    two_runs
    DAEMON_MAY_DIE=yes
    mount_derivfs "$DS"
    cat "$MNT/tsnr.nii" >before.nii
    kill -KILL "$(daemon_pid)"
    wait_until not_connected
    mount_derivfs "$DS"
    cmp "$MNT/tsnr.nii" before.nii
    nothing_computed
}

@test "so do the moments that it was computed from" {
    two_runs
    DAEMON_MAY_DIE=yes
    mount_derivfs "$DS"
    cat "$MNT/tsnr.nii.gz" >/dev/null
    kill -KILL "$(daemon_pid)"
    wait_until not_connected
    assert_equal "$(objects | wc -l)" 4 # moments of two runs, the image, the output
    mount_derivfs "$DS"
    reference mean "$MNT/mean.nii" "$(a)" "$(b)"
    assert_equal "$(metric cache_published_total)" 1
}

not_connected() {
    LC_ALL=C stat "$MNT/." 2>&1 | grep -q 'endpoint is not connected'
}

@test "moments are cached too: mean.nii after tsnr.nii computes only the image" {
    two_runs
    mount_derivfs "$DS"
    cat "$MNT/tsnr.nii" >/dev/null
    assert_equal "$(metric cache_published_total)" 3
    reference mean "$MNT/mean.nii" "$(a)" "$(b)"
    assert_equal "$(metric cache_published_total)" 4
}

@test "a failure is not kept" {
    two_runs
    truncate -s -100 "$(a)"
    mount_derivfs "$DS"
    run ! cat "$MNT/tsnr.nii"
    unmount_derivfs
    run -0 derivctl cache info --json --cache_dir="$CACHE"
    # Of the sound run the moments may be kept, of the broken one nothing.
    assert [ "$(json 'd["entries"]' <<<"$output")" -le 1 ]
}

# --- changed sources ------------------------------------------------------------------------------

# Read once, do COMMAND, and expect other bytes, the right ones, in the same mount.
changes_the_result() {
    mount_derivfs "$DS"
    cat "$MNT/tsnr.nii" >before.nii
    "$@"
    run ! cmp -s "$MNT/tsnr.nii" before.nii
    mapfile -t runs < <(find "$DS" -name '*_bold.nii*' | LC_ALL=C sort)
    reference tsnr "$MNT/tsnr.nii" "${runs[@]}"
}

@test "a source rewritten in place gives a new result" {
    two_runs
    changes_the_result make_run "$(b)" --seed 3 --volumes 9
}

replace_b() {
    make_run "$BATS_TEST_TMPDIR/new.nii" --seed 3 --volumes 9
    mv "$BATS_TEST_TMPDIR/new.nii" "$(b)"
}

@test "a replaced source gives a new result" {
    two_runs
    changes_the_result replace_b
}

@test "a source of another length gives a new result" {
    two_runs
    changes_the_result make_run "$(b)" --seed 2 --volumes 15
}

@test "an added source gives a new result" {
    two_runs
    changes_the_result make_run "$DS/sub-01_task-c_bold.nii.gz" --seed 3
}

@test "a removed source gives a new result" {
    two_runs
    changes_the_result rm "$(b)"
}

# Other bytes of the same length, written in place, and the old mtime put back.
rewrite_behind_the_clock() {
    touch -r "$(b)" stamp
    make_run "$(b)" --seed 3 --volumes 9
    touch -r stamp "$(b)"
    assert_equal "$(stat -c %.9Y "$(b)")" "$(stat -c %.9Y stamp)"
}

@test "a source of which only the bytes and the ctime changed gives a new result" {
    two_runs
    changes_the_result rewrite_behind_the_clock
}

@test "a source of which only the mtime changed is found by its content, with its time" {
    two_runs
    mount_derivfs "$DS"
    cat "$MNT/tsnr.nii" >before.nii
    wait_until known_contents 2
    touch -d '2031-02-03 04:05:06.789 UTC' "$(b)"
    cmp "$MNT/tsnr.nii" before.nii
    assert_equal "$(metric cache_published_total)" 3
    assert_equal "$(stat -c %.9Y "$MNT/tsnr.nii")" "$(stat -c %.9Y "$(b)")"
}

@test "a source changed while nothing was mounted gives a new result" {
    two_runs
    mount_derivfs "$DS"
    cat "$MNT/tsnr.nii" >/dev/null
    unmount_derivfs
    rewrite_behind_the_clock
    mount_derivfs "$DS"
    reference tsnr "$MNT/tsnr.nii" "$(a)" "$(b)"
}

@test "a source put back as a copy of the old one gives the old bytes" {
    two_runs
    mount_derivfs "$DS"
    cat "$MNT/tsnr.nii" >before.nii
    cp -p "$(b)" kept.nii
    replace_b
    run ! cmp -s "$MNT/tsnr.nii" before.nii
    mv kept.nii "$(b)"
    cmp "$MNT/tsnr.nii" before.nii
}

# --- the size -------------------------------------------------------------------------------------

@test "the cache stays within cache_size, and what was evicted is right again" {
    # 10 runs, each with 4 planes of float64 (480 voxels) and an image: over 170 kB together.
    for i in 0 1 2 3 4 5 6 7 8 9; do
        make_run "$DS/sub-01_task-t${i}_bold.nii" --shape 8,10,6 --volumes 5 --seed "$i"
    done
    mount_derivfs "$DS" --cache_size=60K
    for i in 0 1 2 3 4 5 6 7 8 9; do
        cat "$MNT/sub-01_task-t${i}_stat-tsnr_boldmap.nii" >/dev/null
        # One tenth is the slack that the collector takes; labels and lock are on top, and what is
        # published while it is at work counts the next time.
        assert [ "$(cache_bytes)" -lt $((84 * 1024)) ]
    done
    assert [ "$(metric cache_evicted_total)" -gt 0 ]
    for i in 0 9; do
        reference tsnr "$MNT/sub-01_task-t${i}_stat-tsnr_boldmap.nii" "$DS/sub-01_task-t${i}_bold.nii"
    done
}

@test "what is used last is evicted last" {
    two_runs
    derivctl compute --cache_dir="$CACHE" "$DS"
    find "$CACHE/v1/objects" -type f -exec touch -d '3 hours ago' {} +
    mount_derivfs "$DS"
    cat "$MNT/mean.nii" >/dev/null # a use
    derivctl cache prune --cache_dir="$CACHE" --cache_size=2K
    run -0 derivctl list --json "$MNT"
    assert_equal "$(json '[f["path"] for f in d if f["state"] == "cached"]' <<<"$output")" '["mean.nii"]'
}

# --- several daemons ------------------------------------------------------------------------------

@test "two daemons with one cache read the same file at once: one object, no error" {
    local other=$BATS_TEST_TMPDIR/other
    mkdir "$other"
    two_runs
    mount_derivfs "$DS"
    derivfs --cache_dir="$CACHE" "$DS" "$other" 3>&- 4>&-
    for name in tsnr mean std sub-01_task-a_stat-tsnr_boldmap; do
        cat "$MNT/$name.nii" >one.nii &
        cat "$other/$name.nii" >two.nii
        wait $!
        cmp one.nii two.nii
    done
    assert_equal "$(objects | wc -l)" 6 # moments of two runs, four images
    assert_equal "$(cat "$MNT/.derivfs/errors" "$other/.derivfs/errors")" ""
    run -0 derivctl cache verify --cache_dir="$CACHE"
    assert_output "6 entries are good, 0 damaged ones were removed"
}

@test "clearing the cache while a file is open leaves the reader his bytes" {
    two_runs
    mount_derivfs "$DS"
    cat "$MNT/tsnr.nii" >before.nii
    exec 5<"$MNT/tsnr.nii"
    derivctl cache clear --cache_dir="$CACHE"
    assert_equal "$(objects)" ""
    cmp before.nii - <&5
    exec 5<&-
    cmp before.nii "$MNT/tsnr.nii"
}
