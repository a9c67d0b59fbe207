#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# The control directory .derivfs.

load helper

two_runs() {
    make_run "$DS/sub-01_task-a_bold.nii.gz" --seed 1
    make_run "$DS/sub-01_task-b_bold.nii" --seed 2 --volumes 9
}

control() {
    cat "$MNT/.derivfs/$1"
}

# A dataset on a slow disk, and a reader who waits for it.
computing() {
    make_run "$DS/run.nii" --shape 40,40,20 --volumes 60
    local slow=$BATS_TEST_TMPDIR/slow
    mkdir "$slow"
    mount_throttled "$DS" 500k "$slow" # takes 8 s; nobody waits for the end
    mount_derivfs "$slow"
    cat "$MNT/tsnr.nii" >/dev/null 3>&- &
    READER=$!
    wait_until metric_is tasks_running 1
}

metric_is() {
    [ "$(metric "$1")" = "$2" ]
}

@test "the directory is there, but no listing of the root shows it" {
    two_runs
    mount_derivfs "$DS"
    assert_equal "$(ls -A "$MNT" | grep -c derivfs)" 0
    assert_equal "$(ls -A "$MNT/.derivfs" | LC_ALL=C sort | tr '\n' ' ')" \
        'counters errors index.html metrics recipes.ini status status.json trace.json version '
    assert_equal "$(stat -c '%F %a' "$MNT/.derivfs")" 'directory 555'
    assert_equal "$(cd "$MNT/.derivfs" && stat -c '%a %u' errors index.html metrics recipes.ini status status.json \
        trace.json | uniq)" "400 $(id -u)"
    assert_equal "$(stat -c %a "$MNT/.derivfs/"{version,counters} | uniq)" 444
    run ! touch "$MNT/.derivfs/status"
    run ! touch "$MNT/.derivfs/new"
    run ! ls "$MNT/.derivfs/nope"
}

@test "version" {
    two_runs
    mount_derivfs "$DS"
    assert_equal "$(control version)" "$(derivfs --version | head -1)"
}

@test "looking at everything computes nothing and keeps nothing" {
    two_runs
    mount_derivfs "$DS"
    for _ in 1 2 3; do grep -r . "$MNT/.derivfs" >/dev/null; done
    assert_equal "$(metric tasks_done_total)" 0
    assert_equal "$(metric cache_entries)" 0
    assert_equal "$(control errors)" ''
}

@test "status.json is JSON and agrees with status" {
    two_runs
    mount_derivfs "$DS" --threads=3
    cat "$MNT/tsnr.nii" >/dev/null
    run -0 control status.json
    assert_equal "$(json '[d[name] for name in "dataset layout recipes threads tasks_running tasks errors".split()]
        + [d["cache"][name] for name in "entries published".split()]' <<<"$output")" \
        "[\"$DS\",\"beside\",null,3,0,[],[],3,3]"
    assert_equal "$(tail -c 1 "$MNT/.derivfs/status.json" | od -An -c | tr -d ' ')" '\n'
    run -0 control status
    assert_line "$DS, layout beside"
    assert_line --partial 'threads: 3, 0 busy'
    assert_line --partial "cache: $CACHE, 3 entries"
}

@test "metrics are in the text format of Prometheus" {
    two_runs
    mount_derivfs "$DS"
    cat "$MNT/tsnr.nii" >/dev/null
    control metrics >metrics.txt
    run -0 /usr/bin/python3 - metrics.txt <<'END'
import re, sys
lines = open(sys.argv[1]).read()
assert lines.endswith("\n")
help_, type_, seen = None, None, set()
for line in lines.splitlines():
    if m := re.fullmatch(r"# HELP (derivfs_[a-z0-9_]+) \S.*", line):
        help_ = m[1]
    elif m := re.fullmatch(r"# TYPE (derivfs_[a-z0-9_]+) (counter|gauge)", line):
        assert m[1] == help_, line
        type_ = m[2]
    else:
        m = re.fullmatch(r"(derivfs_[a-z0-9_]+) [0-9]+(\.[0-9]+)?", line)
        assert m and m[1] == help_ and m[1] not in seen, line
        assert (type_ == "counter") == m[1].endswith("_total"), line
        seen.add(m[1])
assert len(seen) > 10
END
    assert_equal "$(metric tasks_done_total)" 3
    assert_equal "$(metric cache_published_total)" 3
    assert_equal "$(metric cache_entries)" 3
    assert_equal "$(metric cache_bytes)" 9184
    assert_equal "$(metric tasks_running)" 0
    assert_equal "$(metric memory_used_bytes)" 0
}

@test "errors: many remarks displace no failure" {
    local i
    make_run "$DS/a.nii"
    make_run "$DS/b/sub-1_task-x_bold.nii"
    echo no image >"$DS/b/sub-1_task-y_bold.nii.gz"
    for i in {100..299}; do
        cp "$DS/b/sub-1_task-y_bold.nii.gz" "$DS/b/x$i.nii.gz" # no names of runs
    done
    mount_derivfs "$DS"
    truncate -s -10 "$DS/a.nii"
    run ! cat "$MNT/tsnr.nii"
    ls "$MNT/b" >/dev/null
    run -0 cat "$MNT/.derivfs/errors"
    assert_line --partial ' a.nii: '
    assert_line --partial ' b/sub-1_task-y_bold.nii.gz: '
    assert_line --partial ' b/x299.nii.gz: no BIDS name of a run'
    assert_equal "$(grep -c 'no BIDS name' <<<"$output")" 128
    assert_line --regexp '^[0-9]+ older remarks are not kept: derivctl list DIRECTORY shows them$'
}

@test "errors: time, file and sentence, once per failure; gone when the file works again" {
    two_runs
    local b=$DS/sub-01_task-b_bold.nii
    cp -p "$b" whole.nii
    truncate -s -100 "$b"
    mount_derivfs "$DS"
    run ! cat "$MNT/tsnr.nii"
    run -0 control errors
    assert_line --regexp '^20[0-9-]+T[0-9:]+Z tsnr.nii: .*sub-01_task-b_bold.nii'
    assert_equal "$(grep -c ' tsnr.nii:' <<<"$output")" 1
    assert_equal "$(control status.json | json '[e["path"] for e in d["errors"]].count("tsnr.nii")')" 1
    mv whole.nii "$b"
    wait_until reference tsnr "$MNT/tsnr.nii" "$DS/sub-01_task-a_bold.nii.gz" "$b"
    assert_equal "$(control errors | grep -c ' tsnr.nii:')" 0
}

@test "nothing here waits for what is being computed" {
    computing
    for file in status status.json errors metrics recipes.ini version; do
        control "$file" >/dev/null
    done
    assert_equal "$(metric tasks_running)" 1 # it was under way all the time
    assert_equal "$(metric requests_waiting)" 1
    run -0 control status
    assert_line --regexp 'thread [0-9]+: moments run.nii'
    assert_equal "$(control status.json | json '[t["waiters"] for t in d["tasks"] if t["state"] == "running"]')" '[1]'
    kill -0 "$READER"
}

@test "interrupting the last reader shows: nothing runs, one task was cancelled" {
    computing
    kill -KILL "$READER"
    wait_until metric_is tasks_running 0
    assert_equal "$(metric requests_waiting)" 0
    assert [ "$(metric tasks_cancelled_total)" -ge 1 ]
    assert_equal "$(control errors)" ''
    run ! grep tsnr "$MNT/.derivfs/status"
}

@test "recipes.ini tells those in force and can be used as a recipes file" {
    two_runs
    cat >user.ini <<'END'
; mine
[fano]
expr = var(bold) /
    mean(bold)              ; a comment
description = variance by mean; where the mean is not zero, of every voxel of every
    volume of every run of the session, in the order in which they were taken
list = yes

[spread]
expr = max(bold) - min(bold)
END
    mount_derivfs "$DS" --recipes=user.ini
    control recipes.ini >first.ini
    assert_equal "$(grep -o '^\[.*\]' first.ini | tr -d '\n')" '[tsnr][mean][std][tsnr_within][head][brain][fano][spread]'
    cp "$MNT/fano.nii" fano.nii
    unmount_derivfs

    sed -n '/^\[fano\]/,$p' first.ini >again.ini
    mount_derivfs "$DS" --recipes=again.ini
    assert_equal "$(control errors)" ''
    control recipes.ini | diff first.ini -
    cmp fano.nii "$MNT/fano.nii"
    assert_equal "$(metric tasks_done_total)" 0
    assert_exists "$MNT/spread.nii"
}

@test "recipes.ini breaks lines that are too long for an INI file" {
    two_runs
    {
        printf '[long]\nexpr = mean(bold)\n'
        for i in {1..40}; do printf '    + %d * std(bold)\n' "$i"; done
        printf 'description = words\n'
        for i in {1..40}; do printf '    and more of them\n'; done
    } >user.ini
    mount_derivfs "$DS" --recipes=user.ini
    control recipes.ini | sed -n '/^\[long\]/,$p' >again.ini
    cp "$MNT/long.nii" long.nii
    unmount_derivfs
    mount_derivfs "$DS" --recipes=again.ini
    assert_equal "$(control errors)" ''
    cmp long.nii "$MNT/long.nii"
    assert_equal "$(metric tasks_done_total)" 0
}

@test "names with escapes, newlines and bytes that are no UTF-8: exact in JSON, harmless on a terminal" {
    local odd=$'d\xe9\e[31m\nx' # a dataset, a run, and what failed
    mkdir "$odd"
    make_run "$odd/$odd.nii" --seed 3
    gzip "$odd/$odd.nii"
    truncate -s -100 "$odd/$odd.nii.gz"
    mount_derivfs "$odd"
    run cat "$MNT/tsnr.nii"
    assert_failure

    # exact, and read back by derivctl, which finds dataset, cache and failure in it
    python3 - "$MNT" "$odd" <<'PYTHON'
import json, os, subprocess, sys
def name(text):
    return b"".join(bytes([ord(c) & 0xFF]) if 0xEF80 <= ord(c) <= 0xEFFF else c.encode() for c in text)
mnt, odd = sys.argv[1], os.fsencode(sys.argv[2])
status = json.load(open(mnt + "/.derivfs/status.json"))
assert name(status["dataset"]).endswith(b"/" + odd), status["dataset"]
(file,) = json.loads(subprocess.check_output(["derivctl", "list", "--json", mnt + "/tsnr.nii"]))
assert [name(s) for s in file["sources"]] == [odd + b".nii.gz"], file
assert file["state"] == "failed" and "error" in file, file
trace = json.load(open(mnt + "/.derivfs/trace.json"))
assert any(odd in name(e["name"]) for e in trace["traceEvents"])
PYTHON

    # for people: one line for each thing, and nothing that commands a terminal
    local file
    for file in status errors; do
        run ! grep -P '[^\n\x20-\x7e]' "$MNT/.derivfs/$file"
    done
    run -0 grep -c 'd\\351\\033\[31m' "$MNT/.derivfs/status"
    run derivctl compute "$MNT/$odd"
    assert_failure
    assert_output --partial 'd\351\033[31m\nx: '
    run -0 script -qec "derivctl explain '$MNT/tsnr.nii'" /dev/null
    assert_output --partial 'd\351\033[31m\nx.nii.gz: '
    run -0 derivctl explain "$MNT/tsnr.nii" # piped: what reads it may be a pager
    assert_output --partial 'd\351\033[31m\nx.nii.gz: '
}

@test "C1 and bidirectional control characters of names reach no output" {
    local odd=$'a\xc2\x9b31m\xe2\x80\xaez' file # CSI, and RIGHT-TO-LEFT OVERRIDE
    make_run "$DS/$odd.nii"
    make_run "$DS/plain.nii" --shape 4,4,4
    truncate -s -10 "$DS/plain.nii"
    printf '[odd]\nexpr = mean(bold)\ndescription = %s\n' "$odd" >recipes.ini
    mount_derivfs "$DS" --recipes="$PWD/recipes.ini"
    cat "$MNT/$odd"_stat-tsnr_boldmap.nii >/dev/null
    harmless() {
        "$@" >said 2>&1 || true
        assert_file_not_empty said
        run ! grep -nP '\xc2[\x80-\x9f]|\xe2\x80[\x8e\x8f\xaa-\xae]|\xe2\x81[\xa6-\xa9]' said
        assert_output ''
    }
    export LC_ALL=C
    for file in status status.json errors trace.json metrics index.html; do
        harmless cat "$MNT/.derivfs/$file"
    done
    for file in group_tsnr.tsv dataset_description.json shape-5x6x4_{tsnr,odd}.{json,svg}; do
        [ ! -e "$MNT/$file" ] || harmless cat "$MNT/$file"
    done
    for file in list 'list --json' explain 'explain --json' graph; do
        # shellcheck disable=SC2086 # words
        harmless derivctl $file "$MNT/$odd"_stat-tsnr_boldmap.nii
    done
    harmless derivctl list "$MNT/$odd.nii"
    harmless derivctl explain "$MNT/$odd.nothing"
}

@test "a mount without runs says where it looked and what it saw, until there is one" {
    make_run "$DS/sub-1/anat/sub-1_T1w.nii" --volumes 0
    mkdir "$DS/sub-1/func" "$DS/derivatives"
    make_run "$DS/derivatives/sub-1_bold.nii"
    mount_derivfs "$DS"
    assert_equal "$(<"$MNT/.derivfs/errors")" '' # nobody has looked for runs
    ls "$MNT" >/dev/null
    wait_until grep -q ' no runs: ' "$MNT/.derivfs/errors"
    run -0 cat "$MNT/.derivfs/errors"
    assert_output --partial "$DS: no runs: looked in 4 directories: 1 NIfTI file with BIDS names of something else than runs"
    make_run "$DS/sub-1/func/sub-1_task-a_bold.nii"
    cat "$MNT/sub-1/func/tsnr.nii" >/dev/null
    assert_equal "$(<"$MNT/.derivfs/errors")" ''
    run -1 --separate-stderr derivctl compute -r "$MNT/sub-1/anat"
    assert_equal "${stderr_lines[1]}" \
        'derivctl: sub-1/anat: no runs: looked in 1 directory: 1 NIfTI file with BIDS names of something else than runs'
}
