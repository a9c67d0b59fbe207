#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# NAME.tsv and group_NAME.tsv: the numbers of each run, right, and never fewer rows than runs.

load helper

# make_study: two subjects, three grids, a run in a directory of its own, and what is no part of it.
make_study() {
    make_run "$DS/sub-1/func/sub-1_task-x_bold.nii.gz"
    make_run "$DS/sub-1/func/sub-1_task-y_bold.nii" --seed 2 --dtype f4 --special
    make_run "$DS/sub-1/func/sub-1_task-y_echo-2_bold.nii" --seed 3 --shape 7,5,3
    make_run "$DS/sub-2/ses-a/func/sub-2_ses-a_task-x_bold.nii" --seed 4 --volumes 30
    make_run "$DS/derivatives/other/sub-1/sub-1_task-x_bold.nii" --seed 5
}

# column NAME: that column of the table on stdin, blanks between.
column() {
    /usr/bin/python3 -c 'import csv, sys
print(*(row[sys.argv[1]] for row in csv.DictReader(sys.stdin, delimiter="\t", quoting=csv.QUOTE_NONE)))' "$1"
}

@test "the numbers of each run are numpy's; a name or a size computes nothing" {
    make_study
    mount_derivfs "$DS"
    local func=$MNT/sub-1/func
    assert_equal "$(stat -c '%s %a' "$func/tsnr.tsv")" '0 444'
    assert_equal "$(stat -c '%s %a' "$MNT/group_tsnr.tsv")" '0 400'
    run -0 ls "$MNT" "$func"
    refute_output --partial tsv
    assert_not_exist "$func/group_tsnr.tsv"
    assert_not_exist "$MNT/tsnr.tsv" # there are no runs
    assert_not_exist "$func/nothing.tsv"
    assert_equal "$(metric tasks_done_total)" 0

    cp "$func/tsnr.tsv" "$MNT/group_tsnr.tsv" .
    run -0 "$NUMPY/tables.py" tsnr.tsv "$DS"
    assert_output '3 0'
    run -0 "$NUMPY/tables.py" group_tsnr.tsv "$DS"
    assert_output '4 0'
    assert_equal "$(head -n 1 group_tsnr.tsv | tr '\t' ' ')" \
        'bids_name sub ses task echo size_t tsnr tsnr_mean tsnr_p05 tsnr_p95 tsnr_n filename reason'
    assert_equal "$(column bids_name <tsnr.tsv)" \
        'sub-1_task-x_bold sub-1_task-y_bold sub-1_task-y_echo-2_bold'
    assert_equal "$(column ses <group_tsnr.tsv)" 'n/a n/a n/a a'
    assert_equal "$(column size_t <group_tsnr.tsv)" '12 12 12 30'
    # Now they have a size, and cost nothing any more, also in another daemon.
    assert_equal "$(stat -c %s "$func/tsnr.tsv")" "$(stat -c %s tsnr.tsv)"
    unmount_derivfs
    mount_derivfs "$DS"
    cmp "$MNT/group_tsnr.tsv" group_tsnr.tsv
    assert_equal "$(metric tasks_done_total)" 0
}

@test "each column of a table is in the .json beside it" {
    make_run "$DS/sub-1/sub-1_task-x_bold.nii"
    make_run "$DS/sub-2/sub-2_echo-1_bold.nii"
    make_run "$DS/sub-2/sub-2_echo-2_bold.nii"
    mount_derivfs "$DS"
    # With an image's sidecar, without one, and of all.
    local table
    for table in sub-1/tsnr sub-2/tsnr group_tsnr; do
        json "[d[k]['Description'] for k in '$(head -n 1 "$MNT/$table.tsv")'.split('\t')]" <"$MNT/$table.json"
        assert_equal "$(stat -c %s "$MNT/$table.json")" "$(cat "$MNT/$table.json" | wc -c)"
    done
    assert_equal "$(json 'd["Recipe"]' <"$MNT/sub-1/tsnr.json")" tsnr
}

@test "a run that fails has a row without numbers that says why" {
    make_study
    make_run "$DS/sub-2/ses-a/func/sub-2_ses-a_task-y_bold.nii" --cut 100
    make_run "$DS/sub-2/ses-a/func/sub-2_ses-a_task-z_bold.nii.gz"
    truncate -s -20 "$DS/sub-2/ses-a/func/sub-2_ses-a_task-z_bold.nii.gz"
    ln -s "../.git/annex/objects/aa/bb/MD5E-s9--0.nii.gz/MD5E-s9--0.nii.gz" \
        "$DS/sub-2/sub-2_task-absent_bold.nii.gz"
    mount_derivfs "$DS"
    run -0 "$NUMPY/tables.py" "$MNT/group_tsnr.tsv" "$DS"
    assert_output '4 3'
    run -0 column reason <"$MNT/group_tsnr.tsv"
    assert_output --partial 'its header promises'
    assert_output --partial 'task-z_bold.nii.gz: '
    assert_output --partial 'task-absent_bold.nii.gz: '
    # Nothing of a failure is kept.
    make_run "$DS/sub-2/ses-a/func/sub-2_ses-a_task-y_bold.nii"
    make_run "$DS/sub-2/ses-a/func/sub-2_ses-a_task-z_bold.nii.gz"
    rm "$DS/sub-2/sub-2_task-absent_bold.nii.gz"
    everything_is_there() {
        [ "$("$NUMPY/tables.py" "$MNT/group_tsnr.tsv" "$DS")" = '6 0' ]
    }
    wait_until everything_is_there
}

@test "recipes and their parameters have tables; hostile names keep to their cells" {
    make_run "$DS/a"$'\t'"b"$'\n'"c.nii"
    make_run "$DS/d.nii" --seed 2
    printf '%s\n' '[early]' 'expr = mean(drop(bold, n))' 'param n = 2' '[odd]' 'expr = bold + 1' >recipes.ini
    mount_derivfs "$DS" --recipes=recipes.ini
    run -0 head -n 1 "$MNT/early@n=3.tsv"
    assert_output --regexp $'^bids_name\tsize_t\tearly@n=3\tearly@n=3_mean\t'
    run -0 column filename <"$MNT/group_early.tsv"
    assert_output 'a?b?c.nii d.nii'
    run ! stat "$MNT/odd.tsv"
    run ! cat "$MNT/early@m=3.tsv"
    assert_output --partial 'Invalid argument'
}

@test "an interrupted reader gets no table, and nobody waits meanwhile" {
    mkdir slow
    make_run "$DS/a.nii" --shape 64,64,30 --volumes 40
    make_run "$DS/b.nii"
    mount_throttled "$DS" 100k slow
    mount_derivfs "$BATS_TEST_TMPDIR/slow"
    cat "$MNT/group_tsnr.tsv" >table 3>&- &
    wait_until grep -q numbers "$MNT/.derivfs/status.json"
    run -0 stat "$MNT/b.nii"
    kill -TERM $!
    run ! wait $!
    assert_equal "$(cat table)" ''
    nobody_waits() {
        [ "$(json 'd["requests"]' <"$MNT/.derivfs/status.json")" = 0 ]
    }
    wait_until nobody_waits
}

@test "a table shows nobody more than its runs do" {
    make_run "$DS/sub-1/sub-1_task-x_bold.nii"
    make_run "$DS/sub-1/sub-1_task-y_bold.nii"
    chmod 640 "$DS/sub-1/sub-1_task-y_bold.nii"
    mount_derivfs "$DS" -o layout=derivatives
    local derivatives=$MNT/derivatives/derivfs
    assert_equal "$(stat -c %a "$derivatives/sub-1/tsnr.tsv")" 440
    assert_equal "$(stat -c '%a %u' "$derivatives/group_tsnr.tsv")" "400 $(id -u)"
    run -0 "$NUMPY/tables.py" "$derivatives/group_tsnr.tsv" "$DS"
    assert_output '2 0'
    assert_not_exist "$MNT/group_tsnr.tsv"
    assert_not_exist "$MNT/sub-1/tsnr.tsv"
}

@test "derivctl computes tables without a mount, and lists and explains their rows" {
    make_study
    echo '{"Name": "test", "BIDSVersion": "1.8.0"}' >"$DS/dataset_description.json"
    ctl() {
        derivctl --cache_dir="$CACHE" "$@"
    }
    run -0 ctl list "$DS/sub-1/func/tsnr.tsv"
    assert_equal "${#lines[@]}" 3
    assert_line --regexp '^virtual +7x5x3 +1 run +sub-1/func/sub-1_task-y_echo-2_stat-tsnr_boldmap/numbers$'
    run -0 ctl compute "$DS/sub-1/func/tsnr.tsv"
    run -0 ctl list --json "$DS/group_tsnr.tsv"
    run -0 json '[f["state"] for f in d]' <<<"$output"
    assert_output '["cached","cached","cached","virtual"]'
    run -0 ctl compute "$DS/group_tsnr.tsv" -o table.tsv
    mount_derivfs "$DS"
    cmp table.tsv "$MNT/group_tsnr.tsv"
    assert_equal "$(metric tasks_done_total)" 0
    run -0 derivctl explain "$MNT/sub-1/func/tsnr.tsv"
    assert_equal "$(grep -c '^state: cached$' <<<"$output")" 3
    run -1 derivctl graph "$MNT/sub-1/func/tsnr.tsv"
    assert_output --partial 'graph: not a derived file'

    # A run that fails is told, and has its row.
    make_run "$DS/sub-2/sub-2_task-x_bold.nii" --cut 100
    run -1 ctl compute "$DS/group_tsnr.tsv" -o with_failure.tsv
    assert_output --partial 'sub-2/sub-2_task-x_stat-tsnr_boldmap/numbers: compute: '
    run -0 column reason <with_failure.tsv
    assert_output --partial 'its header promises'
    run -1 ctl compute "$DS/group_tsnr.tsv" -o "$DS/none/table.tsv"
    assert_output --partial 'No such file or directory'
}

@test "runs without contrast, of NaN alone, of one volume, and changed ones" {
    make_run "$DS/constant.nii" --spread 0
    make_run "$DS/nan.nii" --dtype f4
    /usr/bin/python3 -c 'import sys; sys.stdout.buffer.write(b"\0\0\xc0\x7f" * 1440)' |
        dd of="$DS/nan.nii" bs=352 seek=1 conv=notrunc status=none
    make_run "$DS/one.nii" --volumes 1
    make_run "$DS/sound.nii"
    mount_derivfs "$DS"
    cp "$MNT/group_tsnr.tsv" .
    assert_equal "$(column filename <group_tsnr.tsv)" 'constant.nii nan.nii one.nii sound.nii'
    assert_equal "$(column tsnr <group_tsnr.tsv | cut -d ' ' -f 1,2)" 'n/a n/a'
    assert_equal "$(column tsnr_n <group_tsnr.tsv | cut -d ' ' -f 1,2)" '0 0'
    assert_equal "$(column reason <group_tsnr.tsv)" 'n/a n/a one volume, not a series n/a'
    run -0 grep -A 1 'Runs: 3, of which 3 computed.*; 1 file that might be taken for a run is none' \
        "$MNT/.derivfs/index.html"

    # What is read is what is there now, not what was there when the names were looked at.
    rm "$DS/constant.nii" "$DS/nan.nii"
    make_run "$DS/sound.nii" --seed 2
    cp "$MNT/group_tsnr.tsv" later.tsv
    run -0 "$NUMPY/tables.py" later.tsv "$DS"
    assert_output '1 1'
    run -1 cmp -s <(tail -n 1 later.tsv) <(tail -n 1 group_tsnr.tsv)
}
