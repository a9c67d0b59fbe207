#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# The task graph as the user sees it: derivctl graph, NAME.svg, derivctl explain.

load helper

setup() {
    common_setup
    cat >recipes.ini <<'INI'
[z]
expr = zscore(bold)
[mid]
expr = median(bold) - mean(bold)
[slope]
expr = mean(abs(detrend(bold, 2)))
INI
}

runs() { # runs N
    local i
    for ((i = 1; i <= $1; i++)); do
        make_run "$DS/sub-01_task-r_run-$(printf %02d "$i")_bold.nii.gz" --seed "$i"
    done
}

ctl() {
    derivctl --cache_dir="$CACHE" --recipes=recipes.ini "$@"
}

well_formed() {
    /usr/bin/python3 -c 'import sys, xml.dom.minidom as m; m.parse(sys.argv[1])' "$1"
}

# --- derivctl graph -------------------------------------------------------------------------------

@test "graph writes DOT to stdout, and .dot, .svg and .png by the name of the file" {
    runs 2
    run -0 ctl graph "$DS/tsnr.nii"
    assert_line --index 0 'digraph "tsnr.nii" {'
    assert_equal "$(grep -c 'label=<moments of bold<br/>' <<<"$output")" 2
    ctl graph "$DS/tsnr.nii" >stdout.dot
    ctl graph "$DS/tsnr.nii" -o out.dot
    cmp stdout.dot out.dot
    ctl graph "$DS/tsnr.nii" -o out.svg
    well_formed out.svg
    assert_file_contains out.svg 'mean(bold) / std(bold)'
    ctl graph "$DS/tsnr.nii" -o out.png
    assert_equal "$(od -An -N8 -tx1 out.png)" ' 89 50 4e 47 0d 0a 1a 0a'
    # nothing was computed for it
    assert_equal "$(find "$CACHE" -type f -path '*objects*' | wc -l)" 0
}

@test "graph of every recipe, format and run draws without a word on standard error" {
    runs 2
    local file
    for file in z.nii mid.nii slope.nii tsnr.nii.gz mean.svg \
        sub-01_task-r_run-01_stat-z_boldmap.nii; do
        run -0 --separate-stderr ctl graph "$DS/$file" -o out.svg
        assert_equal "$output$stderr" ''
        well_formed out.svg
    done
}

@test "graph says what it cannot do" {
    runs 1
    run -2 ctl graph
    run -2 ctl graph "$DS/tsnr.nii" -o out.jpg
    assert_output --partial 'derivctl: out.jpg: graph: '
    run -1 ctl graph "$DS/nope.nii"
    run -1 ctl graph "$DS"
    assert_output --partial 'graph: not a derived file'
    run -1 ctl graph "$DS/tsnr.nii" -o nowhere/out.svg
    assert_output 'derivctl: nowhere/out.svg: create: No such file or directory'
}

@test "graph -o leaves the old file if the new one cannot be written whole" {
    runs 2
    echo old >out.dot
    run -1 without_room graph "$DS/tsnr.nii" -o out.dot
    assert_output 'derivctl: out.dot: write: File too large'
    assert_equal "$(<out.dot)" old
    assert_equal "$(echo out.dot*)" out.dot
}

# derivctl, which may write files of up to 1 KiB
without_room() (
    trap '' XFSZ
    ulimit -f 1
    ctl "$@"
)

@test "nodes tell the states and times of a mount: to do, cached, failed" {
    runs 3
    truncate -s -20 "$DS/sub-01_task-r_run-03_bold.nii.gz"
    mount_derivfs "$DS"
    assert_equal "$(derivctl graph "$MNT/tsnr.nii" | grep -c '>to do ·')" 4
    cat "$MNT/sub-01_task-r_run-01_stat-mean_boldmap.nii" >/dev/null
    run ! cat "$MNT/tsnr.nii"
    run -0 derivctl graph "$MNT/tsnr.nii"
    assert_line --regexp 'run-01_bold.nii.gz", label=<moments of bold.*>cached · [0-9.]+ KiB · [0-9]+ (µs|ms|s)<'
    assert_line --regexp 'run-03_bold.nii.gz", label=<moments of bold.*>failed ·'
    assert_line --regexp '<b>tsnr.nii</b>.*inflate: '
}

@test "a running task shows as running, with its progress" {
    make_run "$DS/run.nii" --shape 40,40,20 --volumes 60
    local slow=$BATS_TEST_TMPDIR/slow
    mkdir "$slow"
    mount_throttled "$DS" 120k "$slow"
    mount_derivfs "$slow"
    cat "$MNT/tsnr.nii" >/dev/null 3>&- &
    wait_until shows_running
    assert_regex "$(cat "$MNT/tsnr.svg")" '>running [0-9]+ %'
    kill $!
    wait $! || true
    unmount_derivfs
    mount_derivfs "$DS"
    cat "$MNT/tsnr.nii" >/dev/null
    assert_equal "$(derivctl graph "$MNT/tsnr.nii" | grep -c '>cached ·')" 2
}

shows_running() {
    derivctl graph "$MNT/tsnr.nii" | grep -q '>running [0-9]* %'
}

@test "many runs are folded into one node" {
    runs 20
    run -0 ctl graph "$DS/tsnr.nii"
    assert_output --partial '8 more runs'
    assert_output --partial '8 more: moments of bold'
    assert_equal "$(grep -c -- '->' <<<"$output")" 27
}

# --- NAME.svg -------------------------------------------------------------------------------------

@test "NAME.svg is there for every recipe, not listed, and its size is known when it is opened" {
    runs 2
    mount_derivfs "$DS" --recipes=recipes.ini
    run -0 ls "$MNT"
    refute_output --partial .svg
    local file
    for file in tsnr z mid sub-01_task-r_run-01_stat-tsnr_boldmap; do
        assert_equal "$(stat -c '%s %a %F' "$MNT/$file.svg")" "$UNKNOWN_SIZE 444 regular file"
        cat "$MNT/$file.svg" >one.svg
        well_formed one.svg
        assert_equal "$(stat -Lc %s /dev/stdin <"$MNT/$file.svg")" "$(stat -c %s one.svg)"
    done
    # an open file knows its size
    /usr/bin/python3 - "$MNT/mean.svg" <<'PYTHON'
import os, sys
f = open(sys.argv[1], "rb")
assert os.fstat(f.fileno()).st_size == len(f.read()) > 1000
PYTHON
    assert_equal "$(metric tasks_done_total)" 0
    run ! stat "$MNT/nope.svg"
}

@test "NAME.svg shows the states of now" {
    runs 2
    mount_derivfs "$DS"
    assert_equal "$(grep -c '>to do ·' "$MNT/tsnr.svg")" 3
    cat "$MNT/sub-01_task-r_run-02_stat-tsnr_boldmap.nii" >/dev/null
    assert_equal "$(grep -c '>to do ·' "$MNT/tsnr.svg")" 2
    cat "$MNT/tsnr.nii" >/dev/null
    assert_equal "$(grep -c '>cached ·' "$MNT/tsnr.svg")" 3
}

@test "NAME.svg of an absent or broken source fails like NAME.nii, with a sentence" {
    runs 2
    head -c 100 "$DS/sub-01_task-r_run-01_bold.nii.gz" >short
    mv short "$DS/sub-01_task-r_run-01_bold.nii.gz"
    mount_derivfs "$DS"
    run ! cat "$MNT/tsnr.svg"
    assert_output --partial 'Input/output error'
    assert_file_contains "$MNT/.derivfs/errors" run-01_bold.nii.gz
}

# A sanitizer needs more memory than that.
# bats test_tags=release,once
@test "a drawing for which memory is short is an error, and the mount goes on" {
    local limit
    runs 1
    mount_derivfs_foreground "$DS"
    for limit in 20000000 60000000 120000000; do
        prlimit --pid "$DAEMON" --as=$limit:
        run ! cat "$MNT/tsnr.svg"
        assert_output --partial 'Input/output error'
        run ! gone "$DAEMON"
    done
    prlimit --pid "$DAEMON" --as=unlimited:
    run -0 cat "$MNT/.derivfs/errors"
    assert_line --regexp 'tsnr\.svg: '
    cat "$MNT/tsnr.svg" >one.svg
    well_formed one.svg
    assert_equal "$(cat "$MNT/.derivfs/errors")" ''
}

@test "many readers of drawings at once get whole ones" {
    runs 3
    mount_derivfs "$DS"
    local i readers=()
    for i in 1 2 3 4 5 6 7 8; do
        { cat "$MNT/tsnr.svg" >"$i.svg" && cat "$MNT/mean.svg" >"m$i.svg"; } 3>&- &
        readers+=($!)
    done
    cat "$MNT/std.nii" >/dev/null
    wait "${readers[@]}"
    for i in 1 2 3 4 5 6 7 8; do well_formed "$i.svg" && well_formed "m$i.svg"; done
}

# --- explain --------------------------------------------------------------------------------------

@test "explain tells arrays, bytes read, what is saved, and that tsnr is one pass" {
    runs 2
    local size
    size=$(cat "$DS"/*.nii.gz | wc -c)
    run -0 ctl explain "$DS/tsnr.nii"
    assert_line --regexp 'run-01_bold.nii.gz: int16 \(5, 6, 4, 12\) chunks \(5, 6, 4, 1\), '
    assert_line --regexp 'moments .*gives float64 \(5, 6, 4, 4\) chunks \(5, 6, 4, 4\), 3.8 KiB'
    assert_line --regexp 'gives float32 \(5, 6, 4\) chunks \(5, 6, 4\), 1.5 KiB'
    assert_line 'saved: 0 of 3 tasks, 0 bytes'
    assert_line 'passes over the data: 1'
    assert_equal "$(ctl explain --json "$DS/tsnr.nii" | jq -c '[.read_bytes, .left_bytes, .passes]')" \
        "[$size,$size,1]"
    ctl compute "$DS/mean.nii"
    assert_equal "$(ctl explain --json "$DS/tsnr.nii" | jq -c '[.read_bytes, .left_bytes, .passes]')" \
        "[$size,0,1]"
    run -0 ctl explain "$DS/tsnr.nii"
    assert_line 'saved: 2 of 3 tasks, 7.5 KiB'
}

@test "explain tells why a formula needs two passes" {
    runs 2
    run -0 ctl explain "$DS/z.nii"
    assert_line 'passes over the data: 2'
    assert_line '    chunk of zscore(bold), after mean(bold), std(bold)'
    run -0 ctl explain "$DS/mid.nii"
    assert_line 'passes over the data: 2'
    assert_line '    median of bold'
    assert_line '    moments of bold'
    run -0 ctl explain "$DS/slope.nii"
    assert_line '    moments of abs(detrend(bold, 2)), after trend of order 2 of bold'
    mkdir large
    make_run large/run.nii --shape 40,40,20 --volumes 60
    run -0 ctl explain --memory=4M large/mid.nii
    assert_line --regexp '    median of bold, up to [0-9]+ times for want of memory'
}
