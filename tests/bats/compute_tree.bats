#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# derivctl compute -r: a whole dataset, again, with failures, interrupted.

load helper

dataset() {
    local sub
    for sub in 1 2 3; do
        make_run "$DS/sub-0$sub/func/sub-0${sub}_task-a_bold.nii" --seed $sub
    done
    make_run "$DS/sub-03/func/sub-03_task-b_bold.nii" --seed 4
    echo '{"Name": "test", "BIDSVersion": "1.8.0"}' >"$DS/dataset_description.json"
    mkdir -p "$DS/.git/func" "$DS/empty"
    cp "$DS"/sub-01/func/*.nii "$DS/.git/func"
    ln -s sub-01 "$DS/link"
}

ctl() {
    derivctl --cache_dir="$CACHE" "$@"
}

# counts: the four numbers of a summary on stdin.
counts() {
    sed -nE 's/.*: ([0-9]+) files: ([0-9]+) computed, ([0-9]+) in the cache before, ([0-9]+) failed.*/\1 \2 \3 \4/p'
}

# The same, but what was computed or was there is one number. The only run of a group has its group's
# result: who comes late finds it there.
kept_counts() {
    counts | awk '{ print $1, $2 + $3, $4 }'
}

# listed DIR: how many derived files listings show below.
listed() {
    local dir n=0
    while read -r dir; do
        n=$((n + $(ctl list --json "$dir" | json 'len(d)')))
    done < <(find "$1" -type d -not -path '*/.*')
    echo $n
}

@test "compute -r computes what listings show in all directories, and a second time nothing" {
    dataset
    local n
    n=$(listed "$DS")
    assert [ "$n" -ge 12 ]
    run -0 --separate-stderr ctl compute -r "$DS"
    assert_output "$DS: $n files: $n computed, 0 in the cache before, 0 failed"
    assert_equal "$stderr" '' # no bar where there is no terminal
    run -0 ctl compute -r "$DS"
    assert_output "$DS: $n files: 0 computed, $n in the cache before, 0 failed"
    run -0 ctl compute -r "$DS/sub-03"
    assert_equal "$(counts <<<"$output")" "$(listed "$DS/sub-03") 0 $(listed "$DS/sub-03") 0"
    # The mount has nothing left to do.
    mount_derivfs "$DS"
    reference tsnr "$MNT/sub-03/func/tsnr.nii" "$DS"/sub-03/func/*_bold.nii
    cat "$MNT"/sub-*/func/*tsnr*.nii >/dev/null
    assert_equal "$(metric tasks_done_total)" 0
    # In the mount it is the same dataset and the same cache.
    run -0 derivctl compute -r "$MNT"
    assert_equal "$(counts <<<"$output")" "$n 0 $n 0"
}

@test "compute -r DIR NAME...: these of every group and every run, listed or not" {
    dataset
    make_run "$DS/sub-02/func/sub-02_task-a_echo-1_bold.nii"
    run -0 ctl compute -r "$DS" tsnr.nii.gz mean.nii
    assert_equal "$(kept_counts <<<"$output")" '18 18 0' # 4 groups and 5 runs, twice
    run -0 ctl list --json "$DS/sub-02/func/echo-1_tsnr.nii.gz"
    assert_equal "$(json 'd[0]["state"]' <<<"$output")" cached
    run -0 ctl list --json "$DS/sub-03/func/sub-03_task-b_stat-mean_boldmap.nii"
    assert_equal "$(json 'd[0]["state"]' <<<"$output")" cached
    run -0 ctl list --json "$DS/sub-03/func/std.nii"
    assert_equal "$(json 'd[0]["state"]' <<<"$output")" virtual
}

@test "compute -r: each name that matches nothing is an error, before anything is computed" {
    dataset
    run -1 ctl compute -r "$DS" tsnr.nii tsrn.nii nonsense.nii men
    assert_line "derivctl: tsrn.nii: no file has this name in $DS (did you mean tsnr.nii?)"
    assert_line "derivctl: nonsense.nii: no file has this name in $DS"
    assert_line "derivctl: men: no file has this name in $DS (did you mean mean.nii?)"
    run -1 ctl compute -r "$DS" tsnr
    assert_output "derivctl: tsnr: no file has this name in $DS (did you mean tsnr.nii?)"
    run -1 ctl compute -r "$DS" tsnr_within@dof=3.nii
    assert_equal "${#lines[@]}" 1
    assert_output --regexp "^derivctl: $DS: compute: there is no parameter 'dof' .*ddof=0"
    assert_equal "$(find "$CACHE/v1/objects" -type f)" ''
}

@test "compute of several directories has one bar, and -r takes several" {
    dataset
    run -0 script -qec "derivctl --cache_dir='$CACHE' compute '$DS'/sub-0*/func" /dev/null
    assert_equal "$(tr '\r' '\n' <<<"$output" | sed -nE 's/.* of ([0-9]+).*/\1/p' | sort -u)" "$(listed "$DS")"
    run -0 ctl compute -r "$DS/sub-01" "$DS/sub-03/func" tsnr.nii
    assert_output '5 files: 0 computed, 5 in the cache before, 0 failed'
    # datasets of their own
    make_run other/run.nii
    run -0 ctl compute -r "$DS" other tsnr.nii
    assert_equal "$(kept_counts <<<": $output")" '9 9 0'
    run -1 ctl compute -r "$DS" no/where tsnr.nii
    assert_output --partial 'derivctl: no/where: '
}

@test "compute where no result can be kept computes nothing, and says why" {
    dataset
    touch file
    local func=$DS/sub-01/func
    run -1 derivctl --cache_dir=file/cache compute "$func/tsnr.nii" "$func/mean.nii"
    assert_output "derivctl: compute: cache directory $PWD/file/cache: Not a directory: no result is kept (choose another --cache_dir, or name a file with -o)"
    run -1 derivctl --cache_size=0 compute -r "$DS" tsnr.nii
    assert_line --regexp '^derivctl: compute: cache_size=0: no result is kept '
    run -0 derivctl --cache_dir=file/cache compute "$func/tsnr.nii" -o out.nii
    reference tsnr out.nii "$func/sub-01_task-a_bold.nii"
    # What is there already need not be kept.
    ctl compute "$func/tsnr.nii"
    run -0 derivctl --cache_dir=file/cache --cache_from="$CACHE" compute "$func/tsnr.nii"
}

@test "compute -r goes on after failures, tells them at the end, and exits with 1" {
    dataset
    truncate -s -100 "$DS/sub-02/func/sub-02_task-a_bold.nii"
    run -1 --separate-stderr ctl compute -r "$DS" tsnr.nii std.nii
    assert_equal "$(kept_counts <<<"$output")" '14 10 4'
    assert_equal "${#stderr_lines[@]}" 4
    assert_regex "$stderr" "derivctl: sub-02/func/tsnr.nii: compute: .*sub-02_task-a_bold.nii"
    # Repaired, only what failed is computed.
    make_run "$DS/sub-02/func/sub-02_task-a_bold.nii" --seed 2
    run -0 ctl compute -r "$DS" tsnr.nii std.nii
    assert_equal "$(kept_counts <<<"$output")" '14 14 0'
    local all computed there failed
    read -r all computed there failed < <(counts <<<"$output")
    assert [ "$computed" -gt 0 ]
    assert [ "$there" -ge 10 ]
}

@test "compute -r: one bar over all on a terminal, with the failures" {
    dataset
    truncate -s -100 "$DS/sub-02/func/sub-02_task-a_bold.nii"
    run -1 script -qec "derivctl --cache_dir='$CACHE' compute -r '$DS' std.nii" /dev/null
    assert_output --partial '[########################################] 100 %  7 of 7  2 failed'
}

@test "compute -r: the bar tells what time is left" {
    make_run "$DS/run.nii" --shape 40,40,20 --volumes 28
    mkdir slow
    mount_throttled "$DS" 500k slow
    script -qec "derivctl --cache_dir='$CACHE' compute -r slow std.nii" /dev/null >screen 2>&1 3>&-
    run -0 cat screen
    assert_output --regexp '\]  ?[1-9][0-9]? %  0 of [12]  [0-9.]+ s left'
    run tail -c 300 screen # the last bar: nothing is left
    refute_output --regexp '100 %.*left'
    # What the terminal shows in the end: nothing of a longer line is left behind the last one.
    run -0 /usr/bin/python3 - screen <<'PYTHON'
import re, sys
for line in open(sys.argv[1], encoding="utf-8", newline="\n"):
    shown = []
    for text in line.rstrip("\r\n").split("\r"):
        shown[:len(text)] = text
    if "[" in "".join(shown):
        print("".join(shown).rstrip())
PYTHON
    assert_output --regexp '^\[#{40}\] 100 %  [12] of [12]$'
}

@test "compute -r: elsewhere than on a terminal a line from time to time tells how far it is" {
    make_run "$DS/run.nii" --shape 40,40,20 --volumes 28
    mkdir slow
    mount_throttled "$DS" 500k slow
    DERIVFS_PROGRESS_S=0.3 run -0 --separate-stderr ctl compute -r slow std.nii
    assert_output --partial 'files: '
    assert_regex "$stderr" 'derivctl:  ?[1-9][0-9]? %  0 of [12] files  [0-9]+ s left'
    refute_regex "$stderr" $'[\r\e\[]'
}

@test "compute -r: what is wrong with the path or the usage" {
    dataset
    run -1 ctl compute -r "$DS/dataset_description.json"
    assert_output "derivctl: $DS/dataset_description.json: compute: not a directory; -r needs one"
    run -1 ctl compute -r "$DS/empty"
    assert_line --index 0 "derivctl: $DS/empty: nothing to compute: no runs"
    assert_line --index 1 'derivctl: empty: no runs: looked in 1 directory: no NIfTI file'
    run -2 ctl compute -r "$DS" -o out
    run -2 ctl compute -r
}

@test "compute -r interrupted tells what is left, and goes on with it" {
    make_run "$DS/sub-01/func/sub-01_task-a_bold.nii"
    make_run "$DS/sub-02/func/sub-02_task-a_bold.nii" --shape 40,40,20 --volumes 40
    local slow=$BATS_TEST_TMPDIR/slow status=0
    mkdir "$slow"
    mount_throttled "$DS" 500k "$slow"
    # FUSE: else what the other derivctl has is nothing to this one
    derivctl --trust_ids=fuse --cache_dir="$CACHE" compute -r "$slow" tsnr.nii >summary 2>&1 3>&- &
    wait_until is_cached "$slow/sub-01/func/tsnr.nii"
    kill -TERM $!
    wait $! || status=$?
    assert_equal "$status" $((128 + 15))
    run cat summary
    # sub-02's two are left; sub-01's may be there before they are counted.
    local form="^$slow: 4 files: ([0-2]) computed, 0 in the cache before, 0 failed, ([2-4]) left: the same command continues\$"
    assert_output --regexp "$form"
    [[ $output =~ $form ]]
    assert_equal $((BASH_REMATCH[1] + BASH_REMATCH[2])) 4
    fusermount3 -uz "$slow"
    run -0 ctl compute -r "$DS" tsnr.nii
    assert_equal "$(counts <<<"$output" | cut -d ' ' -f 1,4)" '4 0'
}

is_cached() {
    [ "$(ctl list --trust_ids=fuse --json "$1" | json 'd[0]["state"]')" = cached ]
}
