#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# NAME.png: sound files of the promised size, with the right voxels in the right places and the
# right numbers. And drawing libraries, which a daemon that draws nothing does not load.

load helper

pictures() {
    "$NUMPY/pictures.py" "$@"
}

# assert_pictures FILE...: each is read to exactly the size that it had before, and is a sound PNG.
assert_pictures() {
    stat -c '%s' "$@" >"$BATS_TEST_TMPDIR/sizes"
    for file; do
        cat "$file" | wc -c
    done >"$BATS_TEST_TMPDIR/lengths"
    diff "$BATS_TEST_TMPDIR"/{sizes,lengths}
    stat -c '%s' "$@" | diff "$BATS_TEST_TMPDIR/sizes" -
    run -0 pngcheck "$@"
}

@test "a picture has its size before it is drawn, and numpy's numbers in it" {
    make_sample "$DS/sample"
    mount_derivfs "$DS"
    local func=$MNT/sample/sub-01/ses-test/func
    ls -l "$func"/*.png
    assert_equal "$(cd "$func" && echo *.png)" 'mean.png std.png tsnr.png'
    local run=$func/sub-01_ses-test_task-linebisection_stat-tsnr_boldmap
    stat "$run.png"
    assert_equal "$(metric tasks_done_total)" 0
    assert_pictures "$func"/{mean,std,tsnr}.png "$run.png"
    run -0 pictures numbers "$func/tsnr.png" "$func/tsnr.nii" "$func/mean.nii"
    assert_line 'Title: sub-01 ses-test task-covertverbgeneration+fingerfootlips+linebisection+overtverbgeneration+overtwordrepetition'
    assert_line 'Expression: mean(bold) / std(bold)'
    assert_line 'Unit: no unit'
    assert_line 'Software: derivfs'
    local mean=${run/stat-tsnr/stat-mean}
    run -0 pictures numbers "$run.png" "$run.nii" "$mean.nii"
    assert_line 'Title: sub-01 ses-test task-linebisection'
    # Drawn again from nothing by another daemon: the same bytes.
    cp "$func/tsnr.png" first.png
    unmount_derivfs
    CACHE=$BATS_TEST_TMPDIR/other-cache
    mount_derivfs "$DS" --threads=1
    cmp "$func/tsnr.png" first.png
}

@test "right is left, the front is up, and slices go from below without air, however the axes are stored" {
    pictures corner "$DS"
    mount_derivfs "$DS"
    assert_pictures "$MNT"/?/mean.png
    run -0 pictures corner "$MNT"/?/mean.png
    assert_equal "${#lines[@]}" 6
    local line
    for line in "${lines[@]}"; do
        assert_equal "$line" '3 x 3 5: [0.0, 3.0, 0.0, 3.0] 6: [0.0, 3.0, 0.0, 3.0] 7: [0.0, 3.0, 0.0, 3.0]'
    done
}

@test "what is not a number is transparent, and nothing else" {
    # NaN in the voxel that is furthest to the left, the back and below; an infinity beside it.
    make_run "$DS/sub-1_task-x_bold.nii"
    mount_derivfs "$DS"
    assert_pictures "$MNT/tsnr.png"
    run -0 pictures clear "$MNT/tsnr.png"
    assert_output "True 0.8 $(python3 -c 'print(5/6)') 1.0 1.0"
    run -0 pictures clear "$MNT/mean.png"
    refute_output
}

@test "any shape and any values give a sound picture" {
    make_run - <<RUNS
$DS/one/run.nii --shape 1,1,1
$DS/usual/run.nii --shape 64,64,30 --volumes 2
$DS/template/run.nii --shape 91,109,91 --volumes 2
$DS/slice/run.nii --shape 40,30,1
$DS/tall/run.nii --shape 6,5,300 --volumes 3
$DS/wide/run.nii --shape 3000,1,2 --volumes 3
$DS/large/run.nii --shape 700,600,2 --volumes 2
$DS/equal/run.nii --spread 0
$DS/zero/run.nii --level 0 --spread 0
$DS/special/run.nii --dtype f8 --special
$DS/nan/run.nii --dtype f4 --level nan
$DS/huge/run.nii --dtype f8 --level 1e308 --spread 1e300
$DS/negative/run.nii --level -90
$DS/flat/run.nii --set srow_z=0,0,0,0
$DS/lost/run.nii --set srow_x=nan,inf,0,0
$DS/nowhere/run.nii --set qform_code=0 --set sform_code=0
$DS/needle/run.nii --zooms 0.001,1000,1e30,2
$DS/two/run.nii --version 2 --shape 40000,2,2 --volumes 2
RUNS
    mount_derivfs "$DS"
    assert_pictures "$MNT"/*/{tsnr,mean,std}.png
    assert_equal "$(metric tasks_failed_total)" 0
}

@test "pictures are of images, of any recipe, and commands can use them" {
    cat >recipes.ini <<'INI'
[half]
expr = mean(bold) / 2
list = yes
[late]
expr = bold[..., 4:]
list = yes
[type.txt]
command = file -b {half.png}
INI
    make_run "$DS/func/sub-1_task-x_echo-1_bold.nii"
    make_run "$DS/func/sub-1_task-x_echo-2_bold.nii"
    make_run "$DS/"$'with\nline, \xff and ü'"/scan.nii"
    mount_derivfs "$DS" --recipes=recipes.ini
    cd "$MNT/func"
    [ -e echo-1_half.png ] && [ -e echo-2_late.nii ]
    run -1 cat echo-2_late.png
    run -1 cat half.png
    assert_pictures echo-1_half.png ../with*/tsnr.png
    run -0 cat echo-1_type.txt
    assert_output --partial 'PNG image data'
}

@test "drawing libraries are loaded with the first drawing, not with the program" {
    make_run "$DS/sub-1_task-x_bold.nii"
    mount_derivfs "$DS"
    cat "$MNT"/tsnr.{nii,json} >/dev/null
    stat "$MNT"/tsnr.{png,svg} >/dev/null
    run -1 grep -E 'cairo|libgvc' "/proc/$(daemon_pid)/maps"
    run -0 pngcheck "$MNT/tsnr.png"
    run -0 grep -c '</svg>' "$MNT/tsnr.svg"
    run -0 cat "/proc/$(daemon_pid)/maps"
    assert_output --partial libcairo
    refute_output --partial libgvc # task graphs are drawn by a process of its own
}

@test "a picture of a broken run fails with its reason, and comes when the run is mended" {
    make_run "$DS/sub-1_task-x_bold.nii.gz"
    cp "$DS/sub-1_task-x_bold.nii.gz" good.nii.gz
    truncate -s -20 "$DS/sub-1_task-x_bold.nii.gz"
    mount_derivfs "$DS"
    run -1 cat "$MNT/tsnr.png"
    assert_output --partial 'Input/output error'
    run -1 derivctl compute "$MNT/tsnr.png"
    assert_output --partial 'sub-1_task-x_bold.nii.gz'
    cp good.nii.gz "$DS/sub-1_task-x_bold.nii.gz"
    wait_until pngcheck -q "$MNT/tsnr.png"
}
