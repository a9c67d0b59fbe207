#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Many readers at once: nobody waits for what he has not asked for, and nothing is computed twice.
# These tests also run with the thread sanitizer.
#
# $DS/slow is on a disk so slow that what is computed from it lasts longer than its test; it ends
# when its readers are killed. $DS/fast and $DS/done are on a disk like any other.

# bats file_tags=concurrent,release

load helper

# What has to be answered at once may take so long, in milliseconds: far less than what is slow,
# far more than it takes even on a busy machine and under a sanitizer.
AT_ONCE_MS=5000

# make_slow N VOLUMES: N runs in $DS/slow, run1.nii and so on, of which about 12 volumes are read in a
# second, all runs together.
make_slow() {
    local number
    mkdir "$DS/slow" disk
    make_run disk/run1.nii --shape 20,20,10 --volumes "$2"
    for ((number = 2; number <= $1; number++)); do
        cp disk/run1.nii "disk/run$number.nii"
    done
    mount_throttled disk 100k "$DS/slow"
}

map_of() {
    echo "$MNT/slow/run$1_stat-tsnr_boldmap.nii"
}

waiting_readers() {
    [ "$(metric requests_waiting)" -eq "$1" ]
}

# start_readers N FILE...: N readers, each of one of the files in turn, outputs in got.NUMBER.nii;
# their process ids in $READERS.
start_readers() {
    local n=$1 number
    shift
    READERS=()
    for ((number = 0; number < n; number++)); do
        # A shell starts background jobs with SIGINT ignored.
        env --default-signal=INT cat "${@:number % $# + 1:1}" >"got.$number.nii" 3>&- 4>&- &
        READERS+=($!)
    done
}

assert_at_once() {
    local took
    took=$(milliseconds timeout "$PATIENCE_S" "$@") || fail "failed: $*"
    [ "$took" -lt "$AT_ONCE_MS" ] || fail "took $took ms: $*"
}

@test "while 64 readers wait, everything else is answered at once" {
    make_slow 16 600
    make_run "$DS/fast/a.nii" --shape 20,20,10
    make_run "$DS/done/a.nii" --shape 20,20,10
    mkdir "$DS/new"
    mount_derivfs "$DS"
    cat "$MNT/done/tsnr.nii" >done.nii
    ls "$MNT/slow" >/dev/null
    local number files=()
    for number in {1..16}; do
        files+=("$(map_of "$number")")
    done
    start_readers 64 "${files[@]}"
    wait_until waiting_readers 64

    assert_at_once ls -l "$MNT" "$MNT/fast" "$MNT/done"
    assert_at_once ls -lR "$MNT"
    assert_at_once stat "$MNT/slow/tsnr.nii" "$(map_of 1)"
    assert_at_once find "$MNT" -ls
    assert_at_once cat "$MNT/fast/a.nii"
    assert_at_once cmp "$MNT/done/tsnr.nii" done.nii
    assert_at_once head -c 1024 "$MNT/slow/mean.nii"
    assert_at_once cat "$MNT/.derivfs/status" "$MNT/.derivfs/status.json" "$MNT/.derivfs/metrics"
    # What the kernel has not asked for before.
    cp "$DS/fast/a.nii" "$DS/new/run2.nii"
    assert_at_once cat "$MNT/new/run2.nii"
    wait_until test -e "$MNT/new/tsnr.nii"
    assert_at_once head -c 1024 "$MNT/new/tsnr.nii"
    assert_at_once derivctl status "$MNT"

    # All of it while everybody was waiting.
    waiting_readers 64
    assert_equal "$(metric tasks_done_total)" 2
    kill -KILL "${READERS[@]}"
    wait_until waiting_readers 0
    none_queued() { [ "$(metric tasks_queued)" -eq 0 ]; }
    wait_until none_queued
    reference tsnr done.nii "$DS/done/a.nii"
}

@test "50 readers of one file: one computation, identical bytes" {
    make_slow 1 50
    mount_derivfs "$DS"
    start_readers 50 "$MNT/slow/tsnr.nii"
    local number
    wait "${READERS[@]}"
    for number in {1..49}; do
        cmp got.0.nii "got.$number.nii"
    done
    reference tsnr got.0.nii disk/run1.nii
    # Many came while the first was waiting. The moments of the run and the statistic:
    run -0 metric tasks_joined_total
    assert [ "$output" -gt 0 ]
    assert_equal "$(metric tasks_done_total)" 2
    assert_equal "$(metric cache_published_total)" 2
    assert_equal "$(metric tasks_failed_total)" 0
}

@test "many files at once: each is right, what they share is computed once" {
    local number name
    for number in {1..12}; do
        make_run "$DS/func/sub-01_task-t${number}_bold.nii.gz" --volumes 6 --seed "$number"
    done
    mount_derivfs "$DS" --threads=4
    local files=("$MNT"/func/{tsnr,mean,std}.nii "$MNT"/func/*_boldmap.nii)
    assert_equal "${#files[@]}" 15
    start_readers 60 "${files[@]}"
    wait "${READERS[@]}"
    for number in {15..59}; do
        cmp "got.$((number % 15)).nii" "got.$number.nii"
    done
    number=0
    for name in tsnr mean std; do
        reference $name "got.$number.nii" "$DS"/func/*_bold.nii.gz
        number=$((number + 1))
    done
    for name in "$DS"/func/*_bold.nii.gz; do
        reference tsnr "got.$number.nii" "$name"
        number=$((number + 1))
    done
    # Twelve runs' moments, whoever asked, and three and twelve results.
    assert_equal "$(metric cache_entries)" 27
    assert_equal "$(metric cache_published_total)" 27
    assert_equal "$(metric tasks_failed_total)" 0
}

@test "find and ls in a loop while files are computed: sizes and names hold, results are right" {
    make_sample "$DS/sample"
    local func=$MNT/sample/sub-01/ses-test/func walkers=() round
    mount_derivfs "$DS"
    (cd "$MNT" && find . -printf '%P %s %i %m\n' | sort) >before
    for round in 1 2 3; do
        (
            until [ -e stop ]; do
                (cd "$MNT" && find . -printf '%P %s %i %m\n' | sort) >"walk.$round"
                cmp before "walk.$round" || exit
                ls -lR "$MNT" >/dev/null || exit
            done
        ) 3>&- 4>&- &
        walkers+=($!)
    done
    start_readers 32 "$func"/*.nii
    wait "${READERS[@]}"
    touch stop
    for round in "${walkers[@]}"; do
        wait "$round"
    done
    reference tsnr "$func/tsnr.nii" "$DS"/sample/sub-01/ses-test/func/*_bold.nii.gz
    for round in {8..31}; do
        cmp "got.$((round % 8)).nii" "got.$round.nii"
    done
}

@test "readers that come and are killed in numbers leave the rest right and nothing behind" {
    local signal round
    make_slow 4 40
    # A shell would run the traps of the test when it is killed.
    no_shells() {
        local pid
        for pid in "${READERS[@]}"; do
            ! grep -qsv '^cat$' "/proc/$pid/comm" || return
        done
    }
    some_wait() { [ "$(metric requests_waiting)" -gt 0 ]; }
    mount_derivfs "$DS"
    for signal in KILL TERM INT; do
        start_readers 24 "$(map_of 1)" "$(map_of 2)" "$(map_of 3)" "$MNT/slow/mean.nii"
        # The first are killed wherever they are.
        [ $signal = KILL ] || wait_until some_wait
        [ $signal = KILL ] || wait_until no_shells
        kill -$signal "${READERS[@]}" || true # some may be done
        wait "${READERS[@]}" || true
    done
    start_readers 8 "$(map_of 1)" "$(map_of 4)"
    wait "${READERS[@]}"
    reference tsnr got.0.nii disk/run1.nii
    reference tsnr got.1.nii disk/run4.nii
    for round in {2..7}; do
        cmp "got.$((round % 2)).nii" "got.$round.nii"
    done
    wait_until waiting_readers 0
    assert_equal "$(metric tasks_failed_total)" 0
    assert_equal "$(cat "$MNT/.derivfs/errors")" ''
}

@test "sources that are replaced while many read: every reader gets one of the versions, whole" {
    local round file
    make_run "$DS/a.nii" --shape 20,20,10
    make_run other.nii --shape 20,20,10 --seed 2
    cp "$DS/a.nii" first.nii
    mount_derivfs "$DS"
    cat "$MNT/mean.nii" >first.mean.nii
    for round in {1..10}; do
        start_readers 8 "$MNT/mean.nii"
        cp "$([ $((round % 2)) -eq 1 ] && echo other.nii || echo first.nii)" "$DS/.next"
        mv "$DS/.next" "$DS/a.nii"
        for file in "${READERS[@]}"; do
            wait "$file"
        done
        for file in got.*.nii; do
            mv "$file" "kept.$round.$file"
        done
    done
    cat "$MNT/mean.nii" >last.mean.nii
    reference mean last.mean.nii first.nii
    cmp last.mean.nii first.mean.nii
    cp other.nii "$DS/.next"
    mv "$DS/.next" "$DS/a.nii"
    cat "$MNT/mean.nii" >other.mean.nii
    reference mean other.mean.nii other.nii
    for file in kept.*; do
        cmp -s "$file" first.mean.nii || cmp "$file" other.mean.nii
    done
}
