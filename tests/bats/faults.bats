#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# System calls that fail: results are right or reading fails, and soon after the fault has gone all is
# well again. `contrib/soak faults` goes through many more.
#
# bats file_tags=release,once

load helper

# sweep KIND: fail every call of this kind (tests/faults/faults.py).
sweep() {
    run -0 /usr/bin/python3 "$ROOT/tests/faults/faults.py" --bin "$DERIVFS_BIN_DIR" \
        --shim "$DERIVFS_BIN_DIR/../tests/libfaults.so" --only "$1"
    assert_output --regexp " [1-9][0-9]* failed"
}

@test "calls about the dataset's files fail" {
    sweep source
}

@test "calls about the cache fail: what cannot be kept is right all the same" {
    sweep cache
}

@test "calls about the recipes file fail" {
    run -0 /usr/bin/python3 "$ROOT/tests/faults/faults.py" --bin "$DERIVFS_BIN_DIR" \
        --shim "$DERIVFS_BIN_DIR/../tests/libfaults.so" --only recipes
    assert_output --regexp "recipes open +[1-9][0-9]* right"
}

@test "memory is out" {
    sweep memory
}

@test "in a directory without BIDS names, a file that may not be read may be a run: reading fails" {
    make_run "$DS/run1.nii" --seed 1
    make_run "$DS/run2.nii" --seed 2
    chown nobody "$DS/run2.nii"
    chmod 000 "$DS/run2.nii"
    # Root may read everything unless it gives up the right to.
    local bits=-dac_override,-dac_read_search
    setpriv "--bounding-set=$bits" "--inh-caps=$bits" \
        derivfs -f --cache_dir="$CACHE" "$DS" "$MNT" >"$LOG" 2>&1 3>&- 4>&- &
    wait_until mounted "$MNT"
    run ! cat "$MNT/tsnr.nii"
    assert_output --partial 'Permission denied'
    grep -q 'tsnr.nii: run2.nii: cannot open: Permission denied' "$MNT/.derivfs/errors"
    run ! cat "$MNT/tsnr.json" # perhaps it is none of its sources
    reference tsnr "$MNT/run1_stat-tsnr_boldmap.nii" "$DS/run1.nii"
    chmod 644 "$DS/run2.nii"
    wait_until reference tsnr "$MNT/tsnr.nii" "$DS/run1.nii" "$DS/run2.nii"
}

@test "one bad file hides no other from a listing, which ends with the error" {
    make_run "$DS/sub-01_task-a_bold.nii"
    make_run "$DS/sub-01_task-b_bold.nii"
    # A leak check at the end of a traced process is not possible.
    strace -f -o trace -P "$DS/sub-01_task-b_bold.nii" -e trace=pread64 \
        -e inject=pread64:error=EIO derivfs -f --cache_dir="$CACHE" "$DS" "$MNT" >"$LOG" 2>&1 3>&- 4>&- &
    wait_until mounted "$MNT"
    run ! ls "$MNT"
    assert_line sub-01_task-a_bold.nii
    assert_line sub-01_task-b_bold.nii
    assert_output --partial 'Input/output error'
    reference tsnr "$MNT/sub-01_task-a_stat-tsnr_boldmap.nii" "$DS/sub-01_task-a_bold.nii"
    run ! cat "$MNT/tsnr.nii"
    assert_output --partial 'Input/output error'
}
