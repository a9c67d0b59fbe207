#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# derivctl: without a mount and looking into one; its exit status and what it says.

load helper

a() { echo "$DS/func/sub-01_task-a_bold.nii.gz"; }
b() { echo "$DS/func/sub-01_task-b_bold.nii"; }

dataset() {
    make_run "$(a)" --seed 1
    make_run "$(b)" --seed 2 --volumes 9
    echo '{"Name": "test", "BIDSVersion": "1.8.0"}' >"$DS/dataset_description.json"
}

ctl() {
    derivctl --cache_dir="$CACHE" "$@"
}

# state_of PATH: as `list` tells it.
state_of() {
    ctl list --json "$1" | json 'd[0]["state"]'
}

# --- list and explain -----------------------------------------------------------------------------

@test "list of a directory and of a file, without any mount" {
    dataset
    run -0 ctl list "$DS/func"
    assert_line --regexp '^virtual +5x6x4 +2 runs +func/tsnr.nii$'
    assert_line --regexp '^virtual +5x6x4 +1 run +func/sub-01_task-a_stat-tsnr_boldmap.nii$'
    assert_equal "${#lines[@]}" 8
    run -0 ctl list "$DS/func/std.nii"
    assert_output --regexp '^virtual .* func/std.nii$'
    # A name that no listing shows is there when it is asked for.
    run -0 ctl list "$DS/func/sub-01_task-b_stat-mean_boldmap.nii.gz"
    assert_output --regexp '^virtual .*1 run'
    cd "$DS/func"
    run -0 ctl list
    assert_equal "${#lines[@]}" 8
    run -0 --separate-stderr ctl list "$DS"
    assert_output ''
    assert_equal "$stderr" \
        "derivctl: $DS: no runs: looked in 1 directory: no NIfTI file; not into its subdirectories"
    assert_not_exists "$CACHE/v1/objects/*"
}

@test "list in a mount tells the same as without" {
    dataset
    ctl list --json "$DS/func" >without.json
    mount_derivfs "$DS"
    derivctl list --json "$MNT/func" >with.json # finds the mount's cache by itself
    cmp without.json with.json
    cat "$MNT/func/tsnr.nii" >/dev/null
    assert_equal "$(derivctl list --json "$MNT/func/tsnr.nii" | json 'd[0]["state"]')" cached
    assert_equal "$(state_of "$DS/func/tsnr.nii")" cached
}

@test "list --json: path, state, shape, bytes and the sources in order" {
    dataset
    run -0 ctl list --json "$DS/func"
    assert_equal "$(json '[f for f in d if f["path"] == "func/tsnr.nii"][0]' <<<"$output")" \
        '{"path":"func/tsnr.nii","state":"virtual","shape":[5,6,4],"bytes":1504,"sources":["func/sub-01_task-a_bold.nii.gz","func/sub-01_task-b_bold.nii"]}'
    assert_equal "$(json 'len(d)' <<<"$output")" 8
    run -0 --separate-stderr ctl list --json "$DS"
    assert_output '[]'
}

@test "the states: virtual, cached, failed, computing" {
    dataset
    # of another grid; most of it is a hole
    make_run "$DS/func/sub-01_task-c_bold.nii" --shape 64,64,30 --volumes 2 --set dim=4,64,64,30,80,1,1,1
    truncate -s $((352 + 2 * 64 * 64 * 30 * 80)) "$DS/func/sub-01_task-c_bold.nii"
    local slow=$BATS_TEST_TMPDIR/slow
    mkdir "$slow"
    mount_throttled "$DS" 1000k "$slow" # the large run takes 20 s; nobody waits for that
    mount_derivfs "$slow"
    derived() { echo "$MNT/func/sub-01_task-$1_stat-tsnr_boldmap.nii"; }
    assert_equal "$(state_of "$(derived a)")" virtual
    cat "$(derived a)" >/dev/null
    assert_equal "$(state_of "$(derived a)")" cached
    truncate -s -10 "$(b)"
    wait_until source_is_short
    run ! cat "$(derived b)"
    assert_equal "$(state_of "$(derived b)")" failed
    run -0 ctl explain --json "$(derived b)"
    assert_regex "$(json 'd["error"]' <<<"$output")" 'sub-01_task-b_bold.nii'
    cat "$(derived c)" >/dev/null 3>&- &
    wait_until states_are "$(derived c)" computing
    kill -KILL $!
}

states_are() {
    [ "$(state_of "$1")" = "$2" ]
}

source_is_short() {
    [ "$(stat -c %s "$MNT/func/sub-01_task-b_bold.nii")" = "$(stat -c %s "$(b)")" ]
}

@test "explain shows expression, array, sources in order, tasks and key, and then what is cached" {
    dataset
    run -0 ctl explain "$DS/func/tsnr.nii"
    assert_line 'func/tsnr.nii'
    assert_line 'recipe: tsnr'
    assert_line 'expression: mean(bold) / std(bold)'
    assert_line --partial 'array: float32 (5, 6, 4) chunks ('
    assert_line 'size: 1504 bytes'
    assert_output --regexp 'task-a_bold.nii.gz: int16 \(5, 6, 4, 12\).*task-b_bold.nii: int16 \(5, 6, 4, 9\)'
    assert_line --regexp '0 to do +moments sub-01_task-a_bold.nii.gz'
    assert_line --regexp '1 to do +moments sub-01_task-b_bold.nii'
    assert_line --regexp '2 to do +mean\(bold\) / std\(bold\), needs 0 1'
    assert_line --regexp '^key: [0-9a-f]{40}$'
    assert_line 'state: virtual'
    ctl compute "$DS/func/tsnr.nii"
    run -0 ctl explain "$DS/func/mean.nii"
    assert_line --regexp '0 cached +moments'
    assert_line --regexp '2 to do +mean\(bold\)'
    run -0 ctl explain "$DS/func/tsnr.nii"
    assert_line 'state: cached'
}

@test "explain --json: the key is that of the cache entry" {
    dataset
    run -0 ctl explain --json "$DS/func/tsnr.nii"
    assert_equal "$(json '[d["recipe"], d["expression"], d["cached"], [t["needs"] for t in d["tasks"]]]' <<<"$output")" \
        '["tsnr","mean(bold) / std(bold)",false,[[],[],[0,1]]]'
    local key
    key=$(json 'd["key"]' <<<"$output")
    ctl compute "$DS/func/tsnr.nii"
    assert_exists "$CACHE/v1/objects/${key:0:2}/$key"
    run -0 ctl explain --json "$DS/func/tsnr.nii"
    assert_equal "$(json '[d["cached"]] + [t["cached"] for t in d["tasks"]]' <<<"$output")" '[true,true,true,true]'
}

# --- compute --------------------------------------------------------------------------------------

@test "compute without a mount fills the same cache: a later mount computes nothing" {
    dataset
    run -0 ctl compute "$DS/func/tsnr.nii"
    assert_output '' # no bar where there is no terminal
    mount_derivfs "$DS"
    reference tsnr "$MNT/func/tsnr.nii" "$(a)" "$(b)"
    assert_equal "$(metric tasks_done_total)" 0
}

@test "compute -o writes exactly the bytes that a mount shows" {
    dataset
    mount_derivfs "$DS"
    for name in tsnr.nii std.nii.gz sub-01_task-a_stat-tsnr_boldmap.nii; do
        ctl compute --cache_dir="$BATS_TEST_TMPDIR/other" "$DS/func/$name" -o out
        cmp out "$MNT/func/$name"
    done
    assert_equal "$(stat -c %a out)" "$(printf %o $((0666 & ~$(umask))))"
    echo old >out
    ctl compute -o out "$MNT/func/tsnr.nii"
    cmp out "$MNT/func/tsnr.nii"
    ctl compute -o /dev/stdout "$DS/func/tsnr.nii" | cmp - "$MNT/func/tsnr.nii"
    assert [ -L /dev/stdout ]
    mkfifo pipe
    ctl compute -o pipe "$DS/func/tsnr.nii" &
    cmp pipe "$MNT/func/tsnr.nii"
    wait $!
    assert_equal "$(find . -maxdepth 1 -name 'out.*')" ''
}

@test "compute -o: the ending tells the format, - is standard output, a directory takes several" {
    dataset
    local func=$DS/func
    ctl compute "$func/tsnr.nii" -o x.nii.gz
    gunzip -c x.nii.gz >x.nii
    ctl compute "$func/tsnr.nii.gz" -o y.nii
    cmp x.nii y.nii
    ctl compute "$func/tsnr.nii" -o - | cmp - y.nii
    ctl compute "$func/tsnr.nii" -o x.png
    run -0 file --brief --mime-type x.png
    assert_output image/png
    ctl compute "$func/tsnr.nii" "$func/tsnr.tsv" "$func/std.nii" -o new/
    cmp new/tsnr.nii y.nii
    assert_equal "$(ls new)" $'std.nii\ntsnr.nii\ntsnr.tsv'
    ctl compute "$func" -o new # which is there
    assert_equal "$(ls new | wc -l)" 9
    run -1 ctl compute "$func/tsnr.nii" -o x.svg
    assert_output --partial "derivctl graph $func/tsnr.nii -o x.svg"
    run -2 ctl compute "$func/tsnr.nii" "$func/std.nii" -o one.nii
    assert_line --index 0 'derivctl: one.nii: -o: several files need a directory: end it with /'
    mkdir -p "$DS/other"
    cp "$func"/*_task-b_bold.nii "$DS/other"
    run -1 ctl compute "$func/tsnr.nii" "$DS/other/tsnr.nii" -o new
    assert_output 'derivctl: new: -o: func/tsnr.nii and other/tsnr.nii have the same name'
    # what the file would not be
    run -1 ctl compute "$func/tsnr.nii" -o x.tsv
    assert_output "derivctl: x.tsv: -o: $func/tsnr.nii is no table: name a file that ends in .tsv, as tsnr.tsv"
    run -1 ctl compute "$func/tsnr.tsv" -o x.nii
    assert_output "derivctl: x.nii: -o: $func/tsnr.tsv is a table: choose a name that ends in .tsv"
    # where it would hide the derived one
    for out in "$func/tsnr.nii" "$func/" "$func"; do
        run -1 ctl compute "$func/tsnr.nii" -o "$out"
        assert_output "derivctl: $out: -o: in the dataset, it would hide the derived file func/tsnr.nii"
    done
    assert_not_exists "$func/tsnr.nii"
}

@test "compute -o into a directory that is not there, or on a full disk: says so, leaves nothing" {
    dataset
    run -1 ctl compute "$DS/func/tsnr.nii" -o nowhere/out
    assert_output 'derivctl: nowhere/out: create: No such file or directory'
    run -1 ctl compute "$DS/func/tsnr.nii" -o /dev/full
    assert_output 'derivctl: /dev/full: write: No space left on device'
    assert [ -c /dev/full ]
}

@test "compute of a directory computes what a listing of it shows" {
    dataset
    run -0 ctl compute "$DS/func"
    assert_equal "$(ctl list --json "$DS/func" | json '{f["state"] for f in d} == {"cached"}')" true
    run -1 ctl compute "$DS"
    assert_output --regexp "^derivctl: $DS: .*nothing to compute"
    run -2 ctl compute -o out "$DS/func"
    assert_output --partial 'one file'
}

@test "compute of several files: those that can be are, and the exit status tells" {
    dataset
    make_run "$DS/bad/sub-01_task-a_bold.nii" --cut 100
    run -1 ctl compute "$DS/bad/tsnr.nii" "$DS/func/tsnr.nii" "$DS/func/nope.nii"
    assert_equal "${#lines[@]}" 2
    assert_line --regexp '^derivctl: bad/tsnr.nii: compute: .*sub-01_task-a_bold.nii.*'
    assert_line "derivctl: $DS/func/nope.nii: look up: no such file, nor a derived one"
    for wrong in tsn.nii TSNR.nii tsnr.ni tsnr; do
        run -1 ctl compute "$DS/func/$wrong"
        assert_output "derivctl: $DS/func/$wrong: look up: no such file, nor a derived one (did you mean tsnr.nii?)"
    done
    assert_equal "$(state_of "$DS/func/tsnr.nii")" cached
}

@test "compute draws a progress bar on a terminal, and only there" {
    dataset
    run -0 script -qec "derivctl --cache_dir='$CACHE' compute '$DS/func'" /dev/null
    assert_output --partial '[########################################] 100 %  8 of 8'
    ctl cache clear
    run -0 ctl compute "$DS/func"
    assert_output ''
}

@test "compute interrupted ends at once and leaves a sound cache" {
    make_run "$DS/run.nii" --shape 40,40,20 --volumes 40
    local slow=$BATS_TEST_TMPDIR/slow
    mkdir "$slow"
    mount_throttled "$DS" 500k "$slow"
    derivctl --cache_dir="$CACHE" compute "$slow/tsnr.nii" 3>&- &
    wait_until test -e "$CACHE/v1/tmp"
    assert [ "$(milliseconds interrupt $!)" -lt 2000 ]
    run -0 ctl cache verify
    assert_output '0 entries are good, 0 damaged ones were removed'
}

interrupt() {
    kill -TERM "$1"
    wait "$1" || true
}
