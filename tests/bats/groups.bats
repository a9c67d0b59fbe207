#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Which files of a directory are runs, how they group, and what the derived files are called.

load helper

# listed DIR: the derived images that a listing shows, one a line, in the C locale's order.
listed() {
    LC_ALL=C comm -13 <(LC_ALL=C ls -A "$DS/$1") <(LC_ALL=C ls -A "$MNT/$1") | grep '\.nii$'
}

# assert_listed DIR NAME...: these are the derived images that a listing shows, and no others.
assert_listed() {
    assert_equal "$(listed "$1")" "$(shift && printf '%s\n' "$@" | LC_ALL=C sort)"
}

is_listed() {
    [ "$(listed "$1")" = "$(shift && printf '%s\n' "$@" | LC_ALL=C sort)" ]
}

# tsnr_of DERIVED RUN...: the file is the tsnr of these runs of the dataset, joined in this order.
tsnr_of() {
    local derived=$1
    shift
    reference tsnr "$MNT/$derived" "${@/#/$DS/}"
}

last_voxel() {
    tail -c 4 | od -An -tf4 | tr -d ' '
}

@test "runs of five tasks are one group with plain names" {
    make_sample "$DS"
    mount_derivfs "$DS"
    local maps=() run
    for run in "$DS"/sub-01/ses-test/func/*_bold.nii.gz; do
        run=$(basename "$run" _bold.nii.gz)
        maps+=("${run}_stat-tsnr_boldmap.nii")
    done
    assert_equal ${#maps[@]} 5
    assert_listed sub-01/ses-test/func tsnr.nii mean.nii std.nii "${maps[@]}"
    assert_listed sub-01/ses-test/anat ''
    assert_listed sub-01 ''
}

@test "echoes are groups of their own" {
    make_run - <<END
$DS/sub-1_task-a_echo-1_bold.nii
$DS/sub-1_task-a_echo-2_bold.nii --seed 2
$DS/sub-1_task-b_echo-1_bold.nii.gz --seed 3
$DS/sub-1_task-b_echo-2_bold.nii.gz --seed 4
END
    mount_derivfs "$DS"
    assert_listed '' echo-{1,2}_{tsnr,mean,std}.nii sub-1_task-{a,b}_echo-{1,2}_stat-tsnr_boldmap.nii
    tsnr_of echo-1_tsnr.nii sub-1_task-a_echo-1_bold.nii sub-1_task-b_echo-1_bold.nii.gz
    tsnr_of echo-2_tsnr.nii.gz sub-1_task-a_echo-2_bold.nii sub-1_task-b_echo-2_bold.nii.gz
    assert_not_exists "$MNT/tsnr.nii"
}

@test "spaces are groups of their own, and one without that entity has no prefix" {
    make_run - <<END
$DS/sub-1_task-a_space-T1w_desc-preproc_bold.nii --shape 6,6,6
$DS/sub-1_task-a_space-MNI152_desc-preproc_bold.nii --shape 7,6,6
$DS/sub-1_task-a_desc-preproc_bold.nii
$DS/sub-1_task-b_run-2_space-T1w_desc-preproc_bold.nii --shape 6,6,6 --seed 2
END
    mount_derivfs "$DS"
    run listed ''
    assert_line space-T1w_tsnr.nii
    assert_line space-MNI152_tsnr.nii
    assert_line tsnr.nii
    tsnr_of tsnr.nii sub-1_task-a_desc-preproc_bold.nii
    tsnr_of space-T1w_tsnr.nii sub-1_task-a_space-T1w_desc-preproc_bold.nii \
        sub-1_task-b_run-2_space-T1w_desc-preproc_bold.nii
}

@test "phase images and parts of complex ones are never runs" {
    make_run - <<END
$DS/sub-1_task-a_part-mag_bold.nii
$DS/sub-1_task-a_part-phase_bold.nii --seed 2
$DS/sub-1_task-a_part-real_bold.nii --seed 3
$DS/sub-1_task-a_part-imag_bold.nii --seed 4
END
    mount_derivfs "$DS"
    assert_listed '' tsnr.nii mean.nii std.nii sub-1_task-a_part-mag_stat-tsnr_boldmap.nii
    tsnr_of tsnr.nii sub-1_task-a_part-mag_bold.nii
    assert_not_exists "$MNT/sub-1_task-a_part-phase_stat-tsnr_boldmap.nii"
}

@test "only what is time by dimension and intent code is a run" {
    make_run - <<END
$DS/warp/a.nii --set intent_code=2006
$DS/vector/a.nii.gz --set intent_code=1007
$DS/zstat/a.nii --set intent_code=5
$DS/cifti/a.nii --version 2 --set dim=6,1,1,1,1,1,120,1 --set intent_code=3006
$DS/time/a.nii --set intent_code=2001
$DS/fifth/a.nii --set dim=5,5,6,4,1,12,1,1
$DS/unused/a.nii.gz --set dim=6,5,6,4,12,0,0,0
$DS/bits/a.nii --set bitpix=0
END
    mount_derivfs "$DS"
    local dir
    for dir in warp vector zstat cifti; do
        assert_listed $dir ''
    done
    for dir in time fifth bits; do
        assert_listed $dir tsnr.nii mean.nii std.nii a_stat-tsnr_boldmap.nii
        make_run $dir.nii # as it reads without the fields
        reference tsnr "$MNT/$dir/tsnr.nii" $dir.nii
    done
    make_run unused.nii.gz
    reference tsnr "$MNT/unused/tsnr.nii" unused.nii.gz
}

@test "with BIDS names only bold and cbv files are runs" {
    make_run - <<END
$DS/bold/sub-1_task-a_bold.nii
$DS/bold/sub-1_task-a_sbref.nii --seed 2
$DS/bold/sub-1_T1w.nii --seed 3
$DS/bold/sub-1_task-a_dseg.nii.gz --seed 4
$DS/bold/sub-1_task-a_events.nii --seed 5
$DS/bold/other.nii --seed 6
$DS/cbv/sub-1_task-a_cbv.nii.gz --seed 7
$DS/none/sub-1_dwi.nii --seed 8
$DS/none/other.nii --seed 9
END
    mount_derivfs "$DS"
    assert_listed bold tsnr.nii mean.nii std.nii sub-1_task-a_stat-tsnr_boldmap.nii
    tsnr_of bold/tsnr.nii bold/sub-1_task-a_bold.nii
    tsnr_of cbv/tsnr.nii cbv/sub-1_task-a_cbv.nii.gz
    assert_listed none ''
}

@test "bold and cbv of one session do not mix" {
    make_run - <<END
$DS/sub-1_task-a_bold.nii
$DS/sub-1_task-a_cbv.nii --seed 2
END
    mount_derivfs "$DS"
    tsnr_of bold_tsnr.nii sub-1_task-a_bold.nii
    tsnr_of cbv_tsnr.nii sub-1_task-a_cbv.nii
    tsnr_of sub-1_task-a_stat-tsnr_boldmap.nii sub-1_task-a_bold.nii
}

@test "images that are 3-D, one volume, complex or RGB are no runs" {
    make_run - <<END
$DS/bids/sub-1_task-a_bold.nii
$DS/bids/sub-1_task-b_bold.nii --volumes 0
$DS/bids/sub-1_task-c_bold.nii.gz --volumes 1
$DS/bids/sub-1_task-d_bold.nii --dtype c8
$DS/bids/sub-1_task-e_bold.nii.gz --dtype c16
$DS/bids/sub-1_task-f_bold.nii --dtype rgb
$DS/plain/a.nii --volumes 0
$DS/plain/b.nii.gz --volumes 1
$DS/plain/c.nii --dtype c8
$DS/plain/d.nii --dtype rgb
$DS/plain/e.nii --set dim=5,5,6,4,6,2,1,1
END
    mount_derivfs "$DS"
    assert_listed bids tsnr.nii mean.nii std.nii sub-1_task-a_stat-tsnr_boldmap.nii
    assert_listed plain ''
    run -0 cat "$MNT/.derivfs/errors"
    assert_line --regexp ' bids/sub-1_task-b_bold.nii: a 3-D image, not a series$'
    assert_line --regexp ' bids/sub-1_task-c_bold.nii.gz: one volume, not a series$'
    assert_line --regexp ' bids/sub-1_task-e_bold.nii.gz: complex voxels$'
    assert_line --regexp ' bids/sub-1_task-f_bold.nii: RGB voxels$'
    assert_line --regexp ' plain/c.nii: complex voxels$'
    assert_line --regexp ' plain/e.nii: more than four dimensions'
    refute_line --partial ' plain/a.nii' # an anatomical image, say
}

@test "without BIDS names every 4-D image is a run, and only equals are joined" {
    make_run - <<END
$DS/one/epi.nii
$DS/one/anatomy.nii --volumes 0
$DS/one/.hidden.nii --seed 3
$DS/runs/func_9.nii
$DS/runs/func_10.nii.gz --seed 2
$DS/echoes/rest_run1_e1.nii
$DS/echoes/rest_run1_e2.nii --seed 2
$DS/echoes/rest_run2_e1.nii --seed 3
$DS/echoes/rest_run2_e1_ph.nii --seed 4
$DS/stages/func.nii
$DS/stages/rafunc.nii --seed 2
$DS/stages/small.nii --shape 4,4,3
$DS/maps/beta_0001.nii
$DS/maps/beta_0002.nii --seed 2
END
    echo 'no image' >"$DS/one/notes.txt"
    mount_derivfs "$DS"
    assert_listed one tsnr.nii mean.nii std.nii epi_stat-tsnr_boldmap.nii
    assert_listed runs tsnr.nii mean.nii std.nii func_{9,10}_stat-tsnr_boldmap.nii
    tsnr_of runs/tsnr.nii runs/func_9.nii runs/func_10.nii.gz
    assert_listed echoes echo-{1,2}_{tsnr,mean,std}.nii rest_run{1_e1,1_e2,2_e1}_stat-tsnr_boldmap.nii
    tsnr_of echoes/echo-1_tsnr.nii echoes/rest_run1_e1.nii echoes/rest_run2_e1.nii
    assert_listed stages shape-4x4x3_{tsnr,mean,std}.nii {func,rafunc,small}_stat-tsnr_boldmap.nii
    tsnr_of stages/rafunc_stat-tsnr_boldmap.nii stages/rafunc.nii
    assert_listed maps beta_000{1,2}_stat-tsnr_boldmap.nii
    assert_not_exists "$MNT/stages/tsnr.nii"
    assert_not_exists "$MNT/stages/shape-5x6x4_tsnr.nii"
    run -1 derivctl explain "$MNT/maps/tsnr.nii"
    assert_line --partial 'maps: 2 runs are not joined, because their names differ in more than a run number (beta_0001.nii, beta_0002.nii)'
    assert_line --partial '-o join=all'
    run -0 cat "$MNT/.derivfs/errors"
    assert_line --partial ' stages: 2 runs are not joined'
    refute_line --partial ' runs: '

    unmount_derivfs
    mount_derivfs "$DS" --join=all
    tsnr_of maps/tsnr.nii maps/beta_0001.nii maps/beta_0002.nii
    tsnr_of stages/shape-5x6x4_tsnr.nii stages/func.nii stages/rafunc.nii
    assert_not_exists "$MNT/echoes/tsnr.nii" # what is known to differ stays apart
    json 'd["Remarks"]' <"$MNT/stages/shape-5x6x4_tsnr.json" >remarks
    grep -q 'may be stages of one pipeline: func.nii, rafunc.nii' remarks
}

@test "names that are nearly BIDS keep what is good in them" {
    make_run - <<END
$DS/a/sub-1_task-n-back_echo-1_bold.nii
$DS/a/sub-1_task-n-back_echo-2_bold.nii --seed 2
$DS/a/sub-1_task-rest_echo-1_bold.nii --seed 3
$DS/b/sub-1_task-eyes_open_part-mag_bold.nii
$DS/b/sub-1_task-eyes_open_part-phase_bold.nii --seed 2
$DS/b/sub-1_task-eyes_closed_part-mag_bold.nii --seed 3
END
    mount_derivfs "$DS"
    assert_listed a echo-{1,2}_{tsnr,mean,std}.nii sub-1_task-{n-back,rest}_echo-1_stat-tsnr_boldmap.nii \
        sub-1_task-n-back_echo-2_stat-tsnr_boldmap.nii
    tsnr_of a/echo-1_tsnr.nii a/sub-1_task-n-back_echo-1_bold.nii a/sub-1_task-rest_echo-1_bold.nii
    assert_listed b {open,closed}_{tsnr,mean,std}.nii \
        sub-1_task-eyes_{open,closed}_part-mag_stat-tsnr_boldmap.nii
    run -0 cat "$MNT/.derivfs/errors"
    assert_line --partial 'a/sub-1_task-n-back_echo-2_bold.nii: not a valid BIDS name, because of "n-back"'
}

@test "run and echo are numbers, and two files of one run are an error" {
    make_run - <<END
$DS/a/sub-1_run-10_echo-2_bold.nii
$DS/a/sub-1_run-2_echo-02_bold.nii --seed 2
$DS/b/sub-1_run-1_bold.nii
$DS/b/sub-1_run-01_bold.nii --seed 2
END
    mount_derivfs "$DS"
    tsnr_of a/tsnr.nii a/sub-1_run-2_echo-02_bold.nii a/sub-1_run-10_echo-2_bold.nii
    run cat "$MNT/b/tsnr.nii"
    assert_failure
    assert_output --partial 'Input/output error'
    grep -q ' b: b/sub-1_run-01_bold.nii and sub-1_run-1_bold.nii mean the same run' "$MNT/.derivfs/errors"
    run -0 derivctl explain "$MNT/b/tsnr.nii"
    assert_output --partial 'mean the same run: rename or remove one'
    tsnr_of b/sub-1_run-01_stat-tsnr_boldmap.nii b/sub-1_run-01_bold.nii
}

@test "joined runs that differ in TR or task are said to" {
    make_run - <<END
$DS/sub-1_task-movie_bold.nii --zooms 2,3,4,0.8
$DS/sub-1_task-rest_bold.nii --zooms 2,3,4,2.4 --seed 2
$DS/one/sub-1_task-rest_run-1_bold.nii --zooms 2,3,4,2
$DS/one/sub-1_task-rest_run-2_bold.nii --zooms 2,3,4,2 --seed 2
$DS/stage/sub-1_task-rest_bold.nii
$DS/stage/sub-1_task-restSmoothed_bold.nii --seed 2
END
    mount_derivfs "$DS"
    ls "$MNT" "$MNT/one" "$MNT/stage" >/dev/null
    run -0 cat "$MNT/.derivfs/errors"
    assert_line --partial ' .: the joined runs differ in TR: 0.8 s in sub-1_task-movie_bold.nii, 2.4 s in sub-1_task-rest_bold.nii'
    assert_line --partial ' stage: the joined runs may be stages of one pipeline'
    refute_line --partial ' one: '
    json '" ".join(d["Remarks"])' <"$MNT/tsnr.json" >remarks
    grep -q 'differ in TR.*different tasks are joined (movie, rest).*tsnr_within' remarks
    assert_equal "$(json '"Remarks" in d' <"$MNT/one/tsnr.json")" false
    run -0 derivctl explain "$MNT/tsnr.nii"
    assert_line --partial 'warning: .: the joined runs differ in TR'
    assert_line --partial 'note: .: runs of different tasks are joined (movie, rest)'
    grep -aq 'TR 0.8 to 2.4 s' "$MNT/tsnr.png"
}

@test "runs of different shapes are groups that are named after the shape" {
    make_run - <<END
$DS/sub-1_task-a_bold.nii --shape 64,64,30 --volumes 2
$DS/sub-1_task-b_bold.nii.gz --shape 64,60,30 --volumes 3
$DS/sub-1_task-c_bold.nii --shape 64,64,30 --volumes 2 --seed 2
END
    mount_derivfs "$DS"
    assert_listed '' shape-64x6{4,0}x30_{tsnr,mean,std}.nii sub-1_task-{a,b,c}_stat-tsnr_boldmap.nii
    tsnr_of shape-64x64x30_tsnr.nii sub-1_task-a_bold.nii sub-1_task-c_bold.nii
    tsnr_of shape-64x60x30_tsnr.nii sub-1_task-b_bold.nii.gz
    assert_not_exists "$MNT/tsnr.nii"
    assert_not_exists "$MNT/shape-60x64x30_tsnr.nii"
}

@test "runs of different affines are groups, and rounding makes no difference" {
    make_run - <<END
$DS/run1.nii
$DS/run2.nii --shift 2 --seed 2
$DS/run3.nii --shift 0.0005 --seed 3
$DS/run4.nii --zooms 3,3,3.6,2 --seed 4
END
    mount_derivfs "$DS"
    assert_listed '' affine-{1,2,3}_{tsnr,mean,std}.nii run{1,2,3,4}_stat-tsnr_boldmap.nii
    tsnr_of affine-1_tsnr.nii run1.nii run3.nii
    tsnr_of affine-2_tsnr.nii run2.nii
    tsnr_of affine-3_tsnr.nii run4.nii
}

@test "every recipe of every group and run resolves by name, listed or not" {
    printf '[quiet]\nexpr = mean(bold) * 0 + 3\n[loud]\nexpr = max(bold)\nlist = yes\n' >recipes.ini
    make_run - <<END
$DS/sub-1_task-a_run-1_bold.nii.gz
$DS/sub-1_task-b_bold.nii --seed 2
END
    mount_derivfs "$DS" --recipes="$PWD/recipes.ini"
    run listed ''
    assert_line loud.nii
    refute_line quiet.nii
    local group=sub-1_task-a_run-1
    reference mean "$MNT/${group}_stat-mean_boldmap.nii" "$DS/${group}_bold.nii.gz"
    reference std "$MNT/${group}_stat-std_boldmap.nii.gz" "$DS/${group}_bold.nii.gz"
    assert_equal "$(last_voxel <"$MNT/quiet.nii")" 3
    assert_equal "$(gunzip -c "$MNT/sub-1_task-b_stat-quiet_boldmap.nii.gz" | last_voxel)" 3
}

@test "names that mean nothing do not exist" {
    make_run "$DS/sub-1_task-a_bold.nii"
    mount_derivfs "$DS"
    local name
    for name in tsn.nii tsnr tsnr.nii.gz.nii Tsnr.nii _tsnr.nii echo-1_tsnr.nii .nii .nii.gz \
        tsnr.ni tsnr.nii.xz tsnr.img bold_tsnr.nii tsnr_bold.nii sub-1_tsnr.nii \
        sub-1_task-a_stat-tsnr.nii sub-1_task-a_stat-_boldmap.nii sub-1_task-a_stat-x_boldmap.nii \
        sub-1_task-a_stat-tsnr_cbvmap.nii sub-1_task-b_stat-tsnr_boldmap.nii \
        sub-1_stat-tsnr_boldmap.nii sub-1_task-a_stat-tsnr_boldmap nowhere/tsnr.nii; do
        run cat "$MNT/$name"
        assert_failure
        assert_output --partial 'No such file or directory'
    done
}

@test "a file of the dataset is shown before a derived one of its name" {
    make_run "$DS/sub-1_task-a_bold.nii"
    echo mine >"$DS/tsnr.nii"
    mount_derivfs "$DS"
    assert_equal "$(<"$MNT/tsnr.nii")" mine
    assert_equal "$(find "$MNT" -name tsnr.nii | wc -l)" 1
}

@test "runs are joined in the order of their names in the C locale, with numbers as numbers" {
    # Only the header shows which run is the first: grids that differ by less than the tolerance.
    make_run - <<END
$DS/sub-1_task-B_run-10_bold.nii --shift 0.0001
$DS/sub-1_task-B_run-9_bold.nii.gz --shift 0.0002 --seed 2
$DS/sub-1_task-a_bold.nii --shift 0.0003 --seed 3
$DS/sub-1_task-Z_bold.nii --shift 0.0004 --seed 4
END
    mount_derivfs "$DS"
    local order=(sub-1_task-B_run-9_bold.nii.gz sub-1_task-B_run-10_bold.nii
        sub-1_task-Z_bold.nii sub-1_task-a_bold.nii)
    tsnr_of tsnr.nii "${order[@]}"
    assert_equal "$(derivctl list --json "$MNT/tsnr.nii" |
        /usr/bin/python3 -c 'import json, sys; print(*json.load(sys.stdin)[0]["sources"])')" \
        "${order[*]}"
}

@test "a run that is there plain and compressed counts once" {
    make_run - <<END
$DS/sub-1_task-a_bold.nii
$DS/sub-1_task-a_bold.nii.gz --seed 2
$DS/sub-1_task-b_bold.nii.gz --seed 3
END
    mount_derivfs "$DS"
    assert_listed '' tsnr.nii mean.nii std.nii sub-1_task-{a,b}_stat-tsnr_boldmap.nii
    tsnr_of tsnr.nii sub-1_task-a_bold.nii sub-1_task-b_bold.nii.gz
}

@test "runs added, renamed and removed while mounted change listing and result" {
    make_run "$DS/sub-1_task-b_bold.nii"
    mount_derivfs "$DS"
    tsnr_of tsnr.nii sub-1_task-b_bold.nii
    local group=(tsnr.nii mean.nii std.nii) map=_stat-tsnr_boldmap.nii

    make_run new.nii.gz --seed 2 --shift 0.0001
    mv new.nii.gz "$DS/sub-1_task-a_bold.nii.gz"
    wait_until is_listed '' "${group[@]}" sub-1_task-{a,b}$map
    tsnr_of tsnr.nii sub-1_task-a_bold.nii.gz sub-1_task-b_bold.nii

    mv "$DS/sub-1_task-a_bold.nii.gz" "$DS/sub-1_task-c_bold.nii.gz"
    wait_until is_listed '' "${group[@]}" sub-1_task-{b,c}$map
    tsnr_of tsnr.nii sub-1_task-b_bold.nii sub-1_task-c_bold.nii.gz

    mv "$DS/sub-1_task-c_bold.nii.gz" "$DS/sub-1_task-c_echo-2_bold.nii.gz"
    wait_until is_listed '' "${group[@]}" echo-2_{tsnr,mean,std}.nii sub-1_task-{b,c_echo-2}$map
    tsnr_of tsnr.nii sub-1_task-b_bold.nii
    tsnr_of echo-2_tsnr.nii sub-1_task-c_echo-2_bold.nii.gz

    rm "$DS/sub-1_task-b_bold.nii"
    wait_until is_listed '' "${group[@]}" sub-1_task-c_echo-2$map
    tsnr_of tsnr.nii sub-1_task-c_echo-2_bold.nii.gz

    rm "$DS/sub-1_task-c_echo-2_bold.nii.gz"
    wait_until is_listed '' ''
    wait_until assert_not_exists "$MNT/tsnr.nii"
}

@test "a replaced run gives a new result at once, whatever its times say" {
    make_run - <<END
$DS/run1.nii --mtime 1e9
$DS/run2.nii.gz --mtime 1e9 --seed 2
END
    mount_derivfs "$DS"
    tsnr_of tsnr.nii run1.nii run2.nii.gz
    # Another file of the same size and mtime.
    make_run new.nii --seed 3 --mtime 1e9
    mv new.nii "$DS/run1.nii"
    tsnr_of tsnr.nii run1.nii run2.nii.gz
    # The same file, its bytes written over, its mtime put back.
    make_run "$DS/run1.nii" --seed 4 --mtime 1e9
    assert_equal "$(stat -c %Y "$DS/run1.nii")" 1000000000
    tsnr_of tsnr.nii run1.nii run2.nii.gz
    # Another shape, and so another size.
    make_run - <<END
$DS/run1.nii --seed 5 --shape 7,6,5
$DS/run2.nii.gz --seed 6 --shape 7,6,5
END
    tsnr_of tsnr.nii run1.nii run2.nii.gz
    assert_equal "$(stat -c %s "$MNT/tsnr.nii")" $((1024 + 4 * 7 * 6 * 5))
}

@test "a run of which only the mtime changes gives a derived file of that time, found by content" {
    make_run "$DS/a.nii" --mtime 1e9
    mount_derivfs "$DS"
    cat "$MNT/mean.nii" >/dev/null
    assert_equal "$(stat -c %Y "$MNT/mean.nii")" 1000000000
    wait_until known_contents 1
    local published
    published=$(metric cache_published_total)
    touch -d @1100000000 "$DS/a.nii"
    reference mean "$MNT/mean.nii" "$DS/a.nii"
    assert_equal "$(metric cache_published_total)" "$published"
    assert_equal "$(stat -c %Y "$MNT/mean.nii")" 1100000000
}

@test "join = all in a recipe joins what no name says belongs together, for this recipe alone" {
    make_run "$DS/odd/rest_echo.nii" --seed 1
    make_run "$DS/odd/other_thing.nii" --seed 2
    printf '%s\n' '[all]' 'expr = mean(bold) / std(bold)' 'join = all' 'list = yes' \
        '[part]' 'expr = mean(bold[..., a:])' 'param a = 1' 'join = all' \
        '[wrong]' 'expr = mean(bold)' 'join = some' \
        '[count.txt]' 'command = echo {runs}' 'join = all' >recipes.ini
    mount_derivfs "$DS" --recipes=recipes.ini
    run -0 ls "$MNT/odd"
    assert_line all.nii
    refute_line tsnr.nii
    run ! cat "$MNT/odd/tsnr.nii"
    reference tsnr "$MNT/odd/all.nii" "$DS"/odd/*.nii
    cat "$MNT/odd/part@a=3.nii" >/dev/null
    assert_equal "$(wc -w <"$MNT/odd/count.txt")" 2
    run -0 cat "$MNT/.derivfs/errors"
    assert_line --partial 'join is alike or all'
    assert_line --regexp '2 runs are not joined.*-o join=all, or join = all in a recipe'
    run -0 grep -A 5 -x '\[all\]' "$MNT/.derivfs/recipes.ini"
    assert_line 'join = all'
}
