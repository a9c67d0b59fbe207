#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# The recipes that are shipped in contrib/recipes give what their definitions say, and what the
# programs that they are named after give where those can be had.

# bats file_tags=release

load helper

FUNC=sub-01/ses-test/func

mount_field() {
    mount_derivfs "$DS" --recipes="$ROOT/contrib/recipes/field.ini"
    run cat "$MNT/.derivfs/errors"
    assert_output ''
}

@test "the recipes of the field give what numpy makes of their definitions" {
    make_sample "$DS"
    mount_field
    "$NUMPY/field.py" numpy "$MNT/$FUNC" "$DS/$FUNC"/*_bold.nii.gz
}

@test "tsnr_nipype and tsnr_mriqc give what nipype gives" {
    make_sample "$DS"
    mount_field
    "$NUMPY/field.py" nipype "$MNT/$FUNC" "$DS/$FUNC"/*_bold.nii.gz
}

@test "the recipes of the field give what comes out by hand" {
    "$NUMPY/field.py" example "$DS"
    mount_field
    "$NUMPY/field.py" example-check "$MNT"
}

@test "every recipe of the field is in the table that tells them apart" {
    sed -n 's/^\[\(.*\)\]$/\1/p' "$ROOT/contrib/recipes/field.ini" >shipped
    sed -nE 's/^\| `(tsnr_[a-z]+)` \|.*/\1/p' "$ROOT/contrib/recipes/README.md" >table
    assert [ "$(wc -l <shipped)" -ge 4 ]
    run diff shipped table
    assert_success
}
