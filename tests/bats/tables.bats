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
    assert_equal "$(stat -c '%s %a' "$func/tsnr.tsv")" "$UNKNOWN_SIZE 444"
    assert_equal "$(stat -c '%s %a' "$MNT/group_tsnr.tsv")" "$UNKNOWN_SIZE 400"
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
        'bids_name sub ses task echo size_t tsnr tsnr_mean tsnr_p05 tsnr_p95 tsnr_n tsnr_peers tsnr_z tsnr_outlier mask filename reason'
    assert_equal "$(column bids_name <tsnr.tsv)" \
        'sub-1_task-x_bold sub-1_task-y_bold sub-1_task-y_echo-2_bold'
    assert_equal "$(column sub <group_tsnr.tsv)" 'sub-1 sub-1 sub-1 sub-2'
    assert_equal "$(column ses <group_tsnr.tsv)" 'n/a n/a n/a ses-a'
    assert_equal "$(column size_t <group_tsnr.tsv)" '12 12 12 30'
    # An open one has a size. They cost nothing any more, also in another daemon.
    assert_equal "$(stat -Lc %s /dev/stdin <"$func/tsnr.tsv")" "$(stat -c %s tsnr.tsv)"
    unmount_derivfs
    mount_derivfs "$DS"
    cmp "$MNT/group_tsnr.tsv" group_tsnr.tsv
    assert_equal "$(metric tasks_done_total)" 0
}

@test "each column of a table is in its own dictionary, and not in the sidecar of an image" {
    make_run "$DS/sub-1/sub-1_task-x_bold.nii"
    make_run "$DS/sub-2/sub-2_echo-1_bold.nii"
    make_run "$DS/sub-2/sub-2_echo-2_bold.nii"
    mount_derivfs "$DS" --recipes="$ROOT/contrib/recipes/field.ini"
    local table
    for table in sub-1/tsnr.tsv sub-1/tsnr.tsv.json sub-2/tsnr.tsv sub-2/tsnr.json \
        group_tsnr.tsv group_tsnr.json group_tsnr_mriqc.tsv group_tsnr_mriqc.json; do
        if [[ $table == *.tsv ]]; then
            head -n 1 "$MNT/$table" >names
            continue
        fi
        json "[d[k]['Description'] for k in '$(cat names)'.split('\t')]" <"$MNT/$table"
        assert_equal "$(stat -c %s "$MNT/$table")" "$(cat "$MNT/$table" | wc -c)"
    done
    run -0 json '[d["Recipe"], "tsnr" in d, "size_t" in d]' <"$MNT/sub-1/tsnr.json"
    assert_output '["tsnr",false,false]'
    # What has a name of MRIQC's says how it differs.
    run -0 json 'd["tsnr"]["Description"]' <"$MNT/group_tsnr.json"
    assert_output --partial "MRIQC's tsnr is the median over the brain"
    run -0 json 'd["tsnr_mriqc"]["Description"]' <"$MNT/group_tsnr_mriqc.json"
    assert_output --partial 'MRIQC reports'
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

@test "--with joins the columns of participants.tsv and scans.tsv by subject and file" {
    make_run - <<RUNS
$DS/sub-01/func/sub-01_task-x_bold.nii
$DS/sub-02/ses-a/func/sub-02_ses-a_task-x_bold.nii --seed 2
$DS/sub-03/func/sub-03_task-x_bold.nii --seed 3
$DS/odd.nii --seed 4
RUNS
    echo '{"Name": "test", "BIDSVersion": "1.8.0"}' >"$DS/dataset_description.json"
    # As Excel writes it; with a column that has our name, an unknown subject, and markup.
    printf '\357\273\277age\tparticipant_id\tgroup\ttask\r\n31\tsub-02\t<b>&\tn-back\r\nn/a\tsub-01\tcontrol\r\n5\tsub-09\t\r\n' \
        >"$DS/participants.tsv"
    printf 'filename\tacq_time\nfunc/sub-02_ses-a_task-x_bold.nii\t2020-01-01T09:00:00\n' \
        >"$DS/sub-02/ses-a/sub-02_ses-a_scans.tsv"
    ctl() {
        derivctl --cache_dir="$CACHE" "$@"
    }
    run -0 ctl compute "$DS/group_tsnr.tsv" -o table.tsv --with participants,scans
    assert_equal "$(head -n 1 table.tsv | grep -o 'reason.*' | tr '\t' ' ')" 'reason age group participants_task acq_time'
    assert_equal "$(column filename <table.tsv)" \
        'odd.nii sub-01/func/sub-01_task-x_bold.nii sub-02/ses-a/func/sub-02_ses-a_task-x_bold.nii sub-03/func/sub-03_task-x_bold.nii'
    assert_equal "$(column age <table.tsv)" 'n/a n/a 31 n/a'
    assert_equal "$(column group <table.tsv)" 'n/a control <b>& n/a'
    assert_equal "$(column participants_task <table.tsv)" 'n/a n/a n-back n/a'
    assert_equal "$(column task <table.tsv)" 'n/a x x x'
    assert_equal "$(column acq_time <table.tsv)" 'n/a n/a 2020-01-01T09:00:00 n/a'
    run -0 ctl report "$DS" -o out --with=participants
    run -0 cat out/index.html
    assert_line --regexp '<th scope="col" data-f><button>age</button>'
    assert_line --regexp '<td>31<td>&lt;b&gt;&amp;<td>n-back<td class="n"'
    assert_equal "$(column age <out/group_tsnr.tsv)" 'n/a n/a 31 n/a'

    run -2 ctl compute "$DS/group_tsnr.tsv" -o table.tsv --with particpants
    assert_output --partial 'takes participants, scans'
    rm "$DS/sub-02/ses-a/sub-02_ses-a_scans.tsv"
    run -1 ctl compute "$DS/group_tsnr.tsv" -o none.tsv --with scans
    assert_output --partial 'no sub-*_scans.tsv is there to join'
    echo 'subject' >"$DS/participants.tsv"
    run -1 ctl compute "$DS/group_tsnr.tsv" -o none.tsv --with participants
    assert_output --partial 'participants.tsv: participants: has no column participant_id'
    rm "$DS/participants.tsv"
    ln -s /etc/passwd "$DS/participants.tsv"
    run -1 ctl report "$DS" -o none --with participants
    assert_output --partial 'participants.tsv: read: '
    assert_not_exist none.tsv
}

# make_oddities: a subject whose runs are all something else, and links to subjects.
make_oddities() {
    make_run - <<END
$DS/sub-1/func/sub-1_task-x_bold.nii
$DS/sub-1/func/sub-1_task-x_part-phase_bold.nii --seed 2
$DS/sub-1/func/sub-1_task-x_sbref.nii --volumes 0
$DS/sub-1/func/other.nii --seed 3
$DS/sub-2/func/sub-2_run-1_bold.nii --volumes 0
$DS/sub-2/func/sub-2_run-2_bold.nii.gz --volumes 1
$DS/sub-2/func/sub-2_run-3_bold.nii --dtype c8
$DS/sub-2/func/sub-2_run-4_bold.nii --dtype rgb
$DS/sub-2/func/sub-2_run-5_bold.nii --set dim=5,5,6,4,6,2,1,1
$DS/sub-2/func/sub-2_run-6_bold.dtseries.nii
$DS/sourcedata/sub-3/func/sub-3_task-x_bold.nii --seed 4
$DS/derivatives/x/sub-1/sub-1_task-x_bold.nii --seed 5
$DS/plain/epi.nii --seed 6
$DS/plain/anatomy.nii --volumes 0
outside/func/sub-4_task-x_bold.nii --seed 7
END
    echo '{"Name": "odd", "BIDSVersion": "1.8.0"}' >"$DS/dataset_description.json"
    echo '<GIFTI/>' >"$DS/sub-2/func/sub-2_hemi-L_bold.func.gii"
    printf 'version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n' \
        >"$DS/sub-2/func/sub-2_run-7_bold.nii.gz"
    ln -s sourcedata/sub-3 "$DS/sub-3"
    ln -s sub-1 "$DS/sub-1again"
    ln -s .. "$DS/sub-1/circle"
    ln -s "$PWD/outside" "$DS/sub-4"
}

@test "what might be taken for a run and is none has a row with the reason, and so do links out" {
    make_oddities
    mount_derivfs "$DS"
    cp "$MNT/group_tsnr.tsv" .
    /usr/bin/python3 - group_tsnr.tsv >rows <<'PYTHON'
import csv, sys
with open(sys.argv[1], newline="") as f:
    for row in csv.DictReader(f, delimiter="\t", quoting=csv.QUOTE_NONE):
        print(row["filename"], row["sub"], "n/a" if row["tsnr"] == "n/a" else "number", row["reason"], sep="|")
PYTHON
    diff rows - <<'END'
plain/anatomy.nii|n/a|n/a|a 3-D image, not a series
plain/epi.nii|n/a|number|n/a
sub-1/func/other.nii|n/a|n/a|no BIDS name of a run, but the directory has some
sub-1/func/sub-1_task-x_bold.nii|sub-1|number|n/a
sub-2/func/sub-2_hemi-L_bold.func.gii|n/a|n/a|not in a format that derivfs reads (.nii, .nii.gz, .nii.zst)
sub-2/func/sub-2_run-1_bold.nii|sub-2|n/a|a 3-D image, not a series
sub-2/func/sub-2_run-2_bold.nii.gz|sub-2|n/a|one volume, not a series
sub-2/func/sub-2_run-3_bold.nii|sub-2|n/a|complex voxels
sub-2/func/sub-2_run-4_bold.nii|sub-2|n/a|RGB voxels
sub-2/func/sub-2_run-5_bold.nii|sub-2|n/a|more than four dimensions: two of those after space are larger than 1
sub-2/func/sub-2_run-6_bold.dtseries.nii|sub-2|n/a|a CIFTI file: surfaces and grayordinates, not a series of volumes
sub-2/func/sub-2_run-7_bold.nii.gz|sub-2|n/a|sub-2/func/sub-2_run-7_bold.nii.gz: a Git LFS pointer: its content is not here (git lfs pull)
sub-3/func/sub-3_task-x_bold.nii|sub-3|number|n/a
sub-4|sub-4|n/a|a link that leads out of the dataset: runs behind it are not used; mount a dataset that has them, or copy them
END
    # The table of a directory, the page and the errors name the same.
    run -0 column reason <"$MNT/sub-2/func/tsnr.tsv"
    assert_output --partial 'complex voxels RGB voxels'
    run -0 cat "$MNT/.derivfs/errors"
    assert_line --regexp ' sub-2/func/sub-2_run-3_bold.nii: complex voxels$'
    assert_line --regexp ' sub-2/func/sub-2_hemi-L_bold.func.gii: not in a format'
    assert_line --regexp ' sub-1/func/other.nii: no BIDS name of a run'
    assert_line --regexp ' sub-4: a link that leads out of the dataset'
    refute_line --partial 'part-phase'
    run -0 cat "$MNT/.derivfs/index.html"
    assert_line --partial '<th scope="row">sub-2_run-4_bold.nii<small>sub-2/func/</small>'
    assert_line --regexp 'Runs: 4, .*; 10 files that might be taken for runs are none'
    # So does derivctl, with and without the mount.
    derivctl compute --cache_dir="$CACHE" "$DS/group_tsnr.tsv" -o without.tsv || true
    cmp group_tsnr.tsv without.tsv
    run derivctl compute -r "$MNT" tsnr.nii
    assert_line --regexp ': 8 files: ' # of four runs and the groups of each
    assert_line 'derivctl: not used: sub-2/func/sub-2_run-1_bold.nii: a 3-D image, not a series'
    assert_line --partial 'not used: sub-4: a link'
    run derivctl compute -r --cache_dir="$CACHE" "$DS" tsnr.nii
    assert_line --regexp ': 8 files: '
}

@test "list and explain say what is not used: of a file, a directory, and a name that is missing" {
    make_oddities
    mount_derivfs "$DS"
    local top
    for top in "$MNT" "--cache_dir=$CACHE $DS"; do
        # shellcheck disable=SC2086
        run -0 derivctl list $top/sub-1/func
        assert_line --regexp '^virtual .* sub-1/func/tsnr.nii$'
        assert_line 'not used   sub-1/func/other.nii: no BIDS name of a run, but the directory has some'
        assert_line --regexp '^not used   sub-1/func/sub-1_task-x_part-phase_bold.nii: a phase image'
        refute_line --partial sbref
        # shellcheck disable=SC2086
        run -0 derivctl explain $top/sub-2/func/sub-2_run-3_bold.nii
        assert_output 'not used   sub-2/func/sub-2_run-3_bold.nii: complex voxels'
        # shellcheck disable=SC2086
        run -1 derivctl explain $top/sub-2/func/sub-2_run-3_stat-tsnr_boldmap.nii
        assert_line 'derivctl: not used: sub-2/func/sub-2_run-3_bold.nii: complex voxels'
        # shellcheck disable=SC2086
        run -0 derivctl explain $top/sub-1/func/tsnr.nii
        assert_line 'not used: sub-1/func/other.nii: no BIDS name of a run, but the directory has some'
        # shellcheck disable=SC2086
        run -0 --separate-stderr derivctl list $top
        assert_output --regexp '^not used   sub-4: a link that leads out of the dataset'
        # shellcheck disable=SC2086
        run -0 derivctl list --json $top/plain
        assert_equal "$(json '[(f["path"], f["reason"]) for f in d if f["state"] == "not used"]' <<<"$output")" \
            '[["plain/anatomy.nii","a 3-D image, not a series"]]'
    done
    run -0 json 'd["Remarks"]' <"$MNT/sub-1/func/tsnr.json"
    assert_output '["sub-1/func/other.nii is not used: no BIDS name of a run, but the directory has some"]'
}
