#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# What one sees while something is computed: percent, rate and time left of each result, what each
# thread does, on a terminal and elsewhere.

load helper

# A run that takes some seconds to read, mounted, and being read: the reader's process in $READER.
slow_read() {
    make_run "$DS/run.nii.gz" --shape 40,40,20 --volumes 200
    SLOW=$BATS_TEST_TMPDIR/slow
    mkdir "$SLOW"
    mount_throttled "$DS" "400k" "$SLOW"
    mount_derivfs "$SLOW" --xattr --threads=2
    cat "$MNT/tsnr.nii" >/dev/null 3>&- &
    READER=$!
}

result() {
    derivctl status --json "$MNT" | json "$1"
}

# at_least NUMBER COMMAND...: does the command print a number as large?
at_least() {
    awk -v a="$("${@:2}")" -v b="$1" 'BEGIN { exit !(a != "" && a >= b) }'
}

progress() {
    getfattr --only-values -n user.derivfs.progress "$MNT/tsnr.nii"
}

@test "progress moves while a reader waits: attribute, results with rate and time left, threads" {
    slow_read
    assert_equal "$(getfattr --only-values -n user.derivfs.progress "$MNT/mean.nii")" 0
    wait_until at_least 1 progress
    local first
    first=$(progress)
    wait_until at_least "$((${first%.*} + 20))" progress
    run -0 result 'd["results"][0]'
    assert_regex "$(json '[d["path"], d["requests"], d["percent"] > 0, d["bytes_per_second"] > 0,
        d["done_bytes"] < d["work_bytes"]]' <<<"$output")" '^\["tsnr.nii",[12],true,true,true\]$'
    run -0 result '{t["thread"] in (0, 1) for t in d["tasks"] if t["state"] == "running"} == {True}'
    assert_output true
    run -0 derivctl status "$MNT"
    assert_line --regexp '^  \[#+ *\]  ?[1-9][0-9]? %  .* [KM]iB/s  .*left  tsnr.nii'
    kill "$READER"
    wait_until waited_for '[]'
}

@test "of large volumes too, of which the kernel takes several at a time" {
    make_run "$DS/run.nii" --shape 128,128,40 --volumes 8 # 26 s; nobody waits for the end
    SLOW=$BATS_TEST_TMPDIR/slow
    mkdir "$SLOW"
    mount_throttled "$DS" 400k "$SLOW"
    mount_derivfs "$SLOW" --xattr
    cat "$MNT/tsnr.nii" >/dev/null 3>&- &
    READER=$!
    wait_until at_least 1 progress
    local first
    first=$(progress)
    assert [ "${first%.*}" -lt 50 ] # four of eight
    # and whoever gives up then stops the work there
    kill "$READER"
    cancelled() { [ "$(metric tasks_cancelled_total)" -ge 1 ] && [ "$(metric tasks_running)" -eq 0 ]; }
    wait_until cancelled
    first=$(progress)
    assert [ "${first%.*}" -lt 50 ]
}

waited_for() {
    [ "$(result '[r["path"] for r in d["results"]]')" = "$1" ]
}

@test "a second reader of what is under way joins the same result" {
    slow_read
    wait_until at_least 1 progress
    cat "$MNT/tsnr.nii.gz" >/dev/null 3>&- &
    local second=$!
    wait_until waited_for '["tsnr.nii","tsnr.nii.gz"]'
    kill "$READER" "$second"
}

@test "status --watch draws in place on a terminal, within its width, and says why it ends" {
    slow_read
    wait_until at_least 1 progress
    script -qec "stty rows 7 cols 30; exec derivctl status --watch '$MNT'" /dev/null >screen 2>&1 3>&- &
    local watcher=$!
    wait_until drawn_again
    kill "$READER"
    fusermount3 -uz "$MNT"
    wait_until gone "$watcher"
    run -0 cat screen
    assert_output --partial $'\e[H'
    assert_output --partial $'\e[?25h' # the cursor is back
    assert_output --partial "derivctl: $MNT: status: no derivfs is mounted there"
    # No line is wider than the terminal, but for the complaint.
    run -0 awk '{ gsub(/\r|\033\[[?0-9]*[a-zA-Z]/, "") } /^derivctl:/ { next } length > 30' screen
    assert_output ''
}

drawn_again() {
    [ "$(grep -ac 'threads: 2' screen)" -ge 2 ]
}

@test "status --watch elsewhere than on a terminal writes plain text" {
    mount_derivfs "$DS"
    TERM=dumb script -qec "exec derivctl status --watch '$MNT'" /dev/null >screen 2>&1 3>&- &
    derivctl status --watch "$MNT" >watch.txt 3>&- &
    local watcher=$!
    wait_until grep -q threads watch.txt
    wait_until grep -q threads screen
    kill -INT "$watcher"
    fusermount3 -uz "$MNT"
    wait_until gone "$watcher"
    run ! grep -q $'\e' watch.txt screen
}
