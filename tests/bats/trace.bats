#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# .derivfs/trace.json: which worker ran which task when, for chrome://tracing and Perfetto.

load helper

# trace FILTER: what jq finds in the trace of $MNT.
trace() {
    jq -r "$1" "$MNT/.derivfs/trace.json"
}

runs() { # runs N: that many runs in one directory
    local i
    for ((i = 1; i <= $1; i++)); do
        make_run "$DS/sub-01_task-r_run-$(printf %02d "$i")_bold.nii.gz" --seed "$i"
    done
}

@test "before anything is computed the trace names the process and the workers" {
    runs 1
    mount_derivfs "$DS" --threads=3
    assert_equal "$(trace '.traceEvents | map(select(.ph != "M")) | length')" 0
    assert_equal "$(trace '.traceEvents[] | select(.name == "process_name") | .args.name')" \
        "derivfs $DS"
    assert_equal "$(trace '[.traceEvents[] | select(.name == "thread_name") | .args.name] | join(",")')" \
        'worker 0,worker 1,worker 2'
}

@test "every task that ran is one complete event with key, bytes and outcome" {
    runs 5
    mount_derivfs "$DS" --threads=2
    cat "$MNT/tsnr.nii" >/dev/null
    assert_equal "$(trace '[.traceEvents[] | select(.cat == "task")] | length')" 6
    assert_equal "$(trace '[.traceEvents[] | select(.ph == "X") | .name | startswith("moments ")] | map(select(.)) | length')" 5
    assert_equal "$(trace '[.traceEvents[] | select(.ph == "X") | .args.outcome] | unique | join(",")')" 'done'
    local key
    key=$(derivctl explain --json "$MNT/tsnr.nii" | jq -r .key)
    assert_equal "$(trace ".traceEvents[] | select(.args.key == \"$key\") | .args.bytes")" \
        "$(stat -c %s "$MNT/tsnr.nii")"
    # A result from the cache runs no task.
    cat "$MNT/tsnr.nii" >/dev/null
    assert_equal "$(trace '[.traceEvents[] | select(.cat == "task")] | length')" 6
}

@test "the events of one worker do not overlap, and dependencies end before dependents begin" {
    runs 12
    mount_derivfs "$DS" --threads=3
    local name readers=()
    for name in tsnr mean std; do
        cat "$MNT/$name.nii" >/dev/null 3>&- &
        readers+=($!)
    done
    wait "${readers[@]}"
    cat "$MNT"/sub-01_task-r_run-*_stat-tsnr_boldmap.nii >/dev/null
    derivctl explain --json "$MNT/tsnr.nii" >tsnr.json
    cp "$MNT/.derivfs/trace.json" .
    /usr/bin/python3 - <<'PYTHON'
import collections, json

events = [e for e in json.load(open("trace.json"))["traceEvents"] if e["ph"] == "X"]
# once each, and again where a result was only fetched from the cache
tasks = [e for e in events if e["cat"] == "task"] # beside them, idle workers learn names
assert len({e["args"]["key"] for e in tasks}) == 12 + 3 + 12
threads = collections.defaultdict(list)
for e in events:
    threads[e["pid"], e["tid"]].append(e)
assert len(threads) <= 3
for one in threads.values():
    end = 0
    for e in sorted(one, key=lambda e: (e["ts"], e["ts"] + e["dur"])):
        assert e["ts"] >= end, e
        end = e["ts"] + e["dur"]
tasks.sort(key=lambda e: e["ts"], reverse=True)
span = {e["args"]["key"]: (e["ts"], e["ts"] + e["dur"]) for e in tasks}
plan = json.load(open("tsnr.json"))["tasks"]
for t in plan:
    for d in t["needs"]:
        assert span[plan[d]["key"]][1] <= span[t["key"]][0] + 1
PYTHON
}

@test "the parts of a series read their own volumes, together the run once" {
    make_run "$DS/run.nii" --volumes 64 --shape 64,64,30
    printf "[half]\nexpr = bold / 2\n" >recipes.ini
    mount_derivfs "$DS" --recipes=recipes.ini --threads=1
    cat "$MNT/half.nii" >/dev/null
    local size
    size=$(stat -c %s "$DS/run.nii")
    run -0 trace '[.traceEvents[] | select(.name | startswith("chunk ")) | .args.read_bytes]
        | "\(length > 1) \(add <= '"$size"') \(add >= '"$size"' * 0.99)"'
    assert_output 'true true true'
}

@test "what a pass has told of a run is learned under a name of its own" {
    runs 1
    mount_derivfs "$DS"
    cat "$MNT/tsnr.nii" >/dev/null
    wait_until grep -q '"name of sub-01_task-r_run-01_bold.nii.gz"' "$MNT/.derivfs/trace.json"
}

@test "a task that failed says so" {
    runs 2
    truncate -s -20 "$DS/sub-01_task-r_run-02_bold.nii.gz"
    mount_derivfs "$DS"
    run ! cat "$MNT/tsnr.nii"
    assert_equal "$(trace '.traceEvents[] | select(.args.outcome == "failed") | .name')" \
        'moments sub-01_task-r_run-02_bold.nii.gz'
}

@test "a name that is not UTF-8 leaves the trace valid" {
    runs 1
    mv "$DS/sub-01_task-r_run-01_bold.nii.gz" "$DS/$(printf 'r\xff"n').nii.gz"
    mount_derivfs "$DS"
    cat "$MNT/tsnr.nii" >/dev/null
    assert_equal "$(trace '.traceEvents[] | select(.ph == "X" and .args.read_bytes > 0) | .name')" \
        "$(printf 'moments r\xee\xbf\xbf"n.nii.gz')" # 0xff as U+EFFF
}
