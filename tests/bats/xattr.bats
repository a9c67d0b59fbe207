#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Extended attributes user.derivfs.*, with -o xattr and without.

load helper

two_runs() {
    make_run "$DS/sub-01_task-a_bold.nii.gz" --seed 1
    make_run "$DS/sub-01_task-b_bold.nii" --seed 2 --volumes 9
}

# attribute NAME FILE
attribute() {
    /usr/bin/python3 -c 'import os, sys; sys.stdout.buffer.write(os.getxattr(sys.argv[2], "user.derivfs." + sys.argv[1]))' "$@"
}

# names FILE: of all its attributes, without the prefix, in one line.
names() {
    /usr/bin/python3 -c 'import os, sys; print(*(name.removeprefix("user.derivfs.") for name in os.listxattr(sys.argv[1])))' "$1"
}

@test "without -o xattr there are none" {
    two_runs
    mount_derivfs "$DS"
    run ! attribute state "$MNT/tsnr.nii"
    assert_output --partial 'Operation not supported'
    run ! names "$MNT/tsnr.nii"
    assert_output --partial 'Operation not supported'
}

@test "with -o xattr a derived file tells all about itself" {
    two_runs
    mount_derivfs "$DS" -o xattr
    local file=$MNT/tsnr.nii
    assert_equal "$(names "$file")" 'state progress recipe expression array sources key'
    assert_equal "$(attribute state "$file")" virtual
    assert_equal "$(attribute progress "$file")" 0
    assert_equal "$(attribute recipe "$file")" tsnr
    assert_equal "$(attribute expression "$file")" 'mean(bold) / std(bold)'
    assert_regex "$(attribute array "$file")" '^float32 \(5, 6, 4\) chunks \([0-9]+, [0-9]+, [0-9]+\)$'
    assert_equal "$(attribute sources "$file")" $'sub-01_task-a_bold.nii.gz\nsub-01_task-b_bold.nii'
    assert_equal "$(attribute sources "$MNT/sub-01_task-b_stat-tsnr_boldmap.nii")" 'sub-01_task-b_bold.nii'
    assert_regex "$(attribute key "$file")" '^[0-9a-f]{40}$'
    assert_equal "$(attribute key "$file")" "$(derivctl explain --json "$file" | json 'd["key"]')"
    run ! attribute error "$file"
    assert_output --partial 'No data available'
    assert_equal "$(metric tasks_done_total)" 0 # looking computes nothing

    cat "$file" >/dev/null
    assert_equal "$(attribute state "$file")" cached
    assert_equal "$(attribute progress "$file")" 100
    assert_equal "$(attribute state "$MNT/mean.nii")" virtual
}

@test "every way to ask for them works: xattr=on, --xattr, and off" {
    two_runs
    mount_derivfs "$DS" --xattr
    assert_equal "$(attribute state "$MNT/tsnr.nii")" virtual
    unmount_derivfs
    mount_derivfs "$DS" -o xattr=on
    assert_equal "$(attribute state "$MNT/tsnr.nii")" virtual
    unmount_derivfs
    mount_derivfs "$DS" -o xattr=off
    run ! attribute state "$MNT/tsnr.nii"
}

@test "while it is computed, state and progress tell" {
    make_run "$DS/run.nii" --shape 40,40,20 --volumes 60
    local slow=$BATS_TEST_TMPDIR/slow
    mkdir "$slow"
    mount_throttled "$DS" 2000k "$slow"
    mount_derivfs "$slow" -o xattr
    cat "$MNT/tsnr.nii" >/dev/null &
    wait_until half_done
    assert_equal "$(attribute state "$MNT/tsnr.nii")" computing
    assert_equal "$(attribute state "$MNT/std.nii")" virtual
    wait $!
    assert_equal "$(attribute progress "$MNT/tsnr.nii")" 100
}

half_done() {
    local percent
    percent=$(attribute progress "$MNT/tsnr.nii")
    [ "$percent" -gt 0 ] && [ "$percent" -lt 100 ]
}

@test "after a failure the sentence is there, until it has worked" {
    two_runs
    cp -p "$DS/sub-01_task-b_bold.nii" whole.nii
    truncate -s -100 "$DS/sub-01_task-b_bold.nii"
    mount_derivfs "$DS" -o xattr
    local file=$MNT/tsnr.nii
    run ! cat "$file"
    assert_equal "$(attribute state "$file")" failed
    assert_regex "$(attribute error "$file")" 'sub-01_task-b_bold.nii'
    assert_regex "$(names "$file")" '(^| )error( |$)'
    mv whole.nii "$DS/sub-01_task-b_bold.nii"
    wait_until reference tsnr "$file" "$DS/sub-01_task-a_bold.nii.gz" "$DS/sub-01_task-b_bold.nii"
    assert_equal "$(attribute state "$file")" cached
    run ! attribute error "$file"
}

@test "files of the dataset have none, and unknown names are no attributes" {
    two_runs
    mount_derivfs "$DS" -o xattr
    assert_equal "$(names "$MNT/sub-01_task-b_bold.nii")" ''
    assert_equal "$(names "$MNT")" ''
    assert_equal "$(names "$MNT/.derivfs/version")" ''
    run ! attribute state "$MNT/sub-01_task-b_bold.nii"
    assert_output --partial 'No data available'
    run ! attribute nonsense "$MNT/tsnr.nii"
    assert_output --partial 'No data available'
    run ! /usr/bin/python3 -c 'import os; os.setxattr("'"$MNT/tsnr.nii"'", "user.derivfs.state", b"x")'
}

@test "tools that copy attributes are content with them" {
    two_runs
    mount_derivfs "$DS" -o xattr
    run -0 --separate-stderr cp --preserve=mode,timestamps,xattr "$MNT/tsnr.nii" copy.nii
    assert_equal "$stderr" ''
    assert_equal "$(attribute recipe copy.nii)" tsnr
    cmp copy.nii "$MNT/tsnr.nii"
}

@test "listing a value too long for its buffer" {
    two_runs
    mount_derivfs "$DS" -o xattr
    run -0 /usr/bin/python3 - "$MNT/tsnr.nii" <<'END'
import ctypes, errno, sys
libc = ctypes.CDLL(None, use_errno=True)
buf = ctypes.create_string_buffer(4)
path = sys.argv[1].encode()
assert libc.getxattr(path, b"user.derivfs.recipe", None, 0) == 4
assert libc.getxattr(path, b"user.derivfs.recipe", buf, 4) == 4 and buf.raw == b"tsnr"
assert libc.getxattr(path, b"user.derivfs.recipe", buf, 3) == -1
assert ctypes.get_errno() == errno.ERANGE
assert libc.listxattr(path, buf, 3) == -1
assert ctypes.get_errno() == errno.ERANGE
END
}
