#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Short runs of contrib/soak: no wrong byte, no hang, no leak. contrib/docs/soak.md has the long ones.
#
# bats file_tags=release,once

load helper

# soak KIND OPTION...: its output is in $output.
soak() {
    TMPDIR=$BATS_TEST_TMPDIR run -0 "$ROOT/contrib/soak" "$@" --bin "$DERIVFS_BIN_DIR"
}

@test "killed at random: two mounts and derivctl on one cache, while the runs change" {
    soak kills --rounds 5
    assert_line --partial '5 rounds'
    assert_line --partial ' 0 damaged'
}

@test "read while the runs are replaced, rewritten, touched and linked" {
    soak changes --reads 100
    assert_line --regexp "'changes': [1-9]"
}

@test "flipped bits in the cache and in runs" {
    soak flips --flips 25
    assert_line --regexp "'flips in the cache': [1-9].*'flips in runs': [1-9]"
}

@test "mixed operations: all bytes are right, and the daemon holds no more than before" {
    soak operations --operations 1500
    assert_line --regexp '^1500 operations; descriptors, threads, KiB: '
}
