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
    assert_equal "$(<"$MNT/.derivfs/errors")" ''
}

@test "without BIDS names every 4-D image is a run" {
    make_run - <<END
$DS/epi.nii
$DS/T1w.nii.gz --seed 2
$DS/anatomy.nii --volumes 0
$DS/.hidden.nii --seed 3
END
    echo 'no image' >"$DS/notes.txt"
    mount_derivfs "$DS"
    assert_listed '' tsnr.nii mean.nii std.nii epi_stat-tsnr_boldmap.nii T1w_stat-tsnr_boldmap.nii
    tsnr_of tsnr.nii T1w.nii.gz epi.nii
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
$DS/a.nii
$DS/b.nii --shift 2 --seed 2
$DS/c.nii --shift 0.0005 --seed 3
$DS/d.nii --zooms 3,3,3.6,2 --seed 4
END
    mount_derivfs "$DS"
    assert_listed '' affine-{1,2,3}_{tsnr,mean,std}.nii {a,b,c,d}_stat-tsnr_boldmap.nii
    tsnr_of affine-1_tsnr.nii a.nii c.nii
    tsnr_of affine-2_tsnr.nii b.nii
    tsnr_of affine-3_tsnr.nii d.nii
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

@test "runs are joined in the order of their names in the C locale" {
    # Only the header shows which run is the first: grids that differ by less than the tolerance.
    make_run - <<END
$DS/sub-1_task-B_run-10_bold.nii --shift 0.0001
$DS/sub-1_task-B_run-9_bold.nii.gz --shift 0.0002 --seed 2
$DS/sub-1_task-a_bold.nii --shift 0.0003 --seed 3
$DS/sub-1_task-Z_bold.nii --shift 0.0004 --seed 4
END
    mount_derivfs "$DS"
    local order=(sub-1_task-B_run-10_bold.nii sub-1_task-B_run-9_bold.nii.gz
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
$DS/a.nii --mtime 1e9
$DS/b.nii.gz --mtime 1e9 --seed 2
END
    mount_derivfs "$DS"
    tsnr_of tsnr.nii a.nii b.nii.gz
    # Another file of the same size and mtime.
    make_run new.nii --seed 3 --mtime 1e9
    mv new.nii "$DS/a.nii"
    tsnr_of tsnr.nii a.nii b.nii.gz
    # The same file, its bytes written over, its mtime put back.
    make_run "$DS/a.nii" --seed 4 --mtime 1e9
    assert_equal "$(stat -c %Y "$DS/a.nii")" 1000000000
    tsnr_of tsnr.nii a.nii b.nii.gz
    # Another shape, and so another size.
    make_run - <<END
$DS/a.nii --seed 5 --shape 7,6,5
$DS/b.nii.gz --seed 6 --shape 7,6,5
END
    tsnr_of tsnr.nii a.nii b.nii.gz
    assert_equal "$(stat -c %s "$MNT/tsnr.nii")" $((1024 + 4 * 7 * 6 * 5))
}

@test "a run of which only the mtime changes gives a derived file of that time, computed anew" {
    make_run "$DS/a.nii" --mtime 1e9
    mount_derivfs "$DS"
    cat "$MNT/mean.nii" >/dev/null
    assert_equal "$(stat -c %Y "$MNT/mean.nii")" 1000000000
    local published
    published=$(metric cache_published_total)
    touch -d @1100000000 "$DS/a.nii"
    reference mean "$MNT/mean.nii" "$DS/a.nii"
    assert_equal "$(metric cache_published_total)" $((published + 2))
    assert_equal "$(stat -c %Y "$MNT/mean.nii")" 1100000000
}
