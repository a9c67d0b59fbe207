#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Sources that change while they are being read: the reader gets the bytes of the new content or an
# error, never a mixture, and nothing wrong is kept.

load helper

# The dataset as the daemon sees it is on a slow disk, so that there is time while it is read.
slow_dataset() {
    SLOW=$BATS_TEST_TMPDIR/slow
    mkdir "$SLOW"
    make_run "$DS/${1-run.nii}" --shape 40,40,20 --volumes 40 --seed 1 # 2.6 MB: over a second
    mount_throttled "$DS" 2000k "$SLOW"
    mount_derivfs_foreground "$SLOW"
}

new_run() {
    make_run "$BATS_TEST_TMPDIR/new.nii" --shape 40,40,20 --seed 2 "$@"
}

start_reading() {
    cat "$MNT/tsnr.nii" >out.nii 2>cat.err 3>&- &
    READER=$!
    wait_until being_read
}

# `run` would wait in a shell that the reader is no child of.
reader_fails() {
    ! wait "$READER"
}

# The moments task has got its first bytes; it gets a mebibyte at a time.
being_read() {
    grep -qE 'thread .*moments .*, [1-9]' "$MNT/.derivfs/status"
}

verify_is_clean() {
    run -0 derivctl cache verify --cache_dir="$CACHE"
    assert_output --partial ' 0 damaged'
}

@test "a source replaced while it is read: computed once more, from the new content" {
    slow_dataset
    new_run --volumes 40
    start_reading
    mv new.nii "$DS/run.nii"
    wait "$READER"
    reference tsnr out.nii "$DS/run.nii"
    unmount_derivfs
    mount_derivfs "$SLOW"
    reference tsnr "$MNT/tsnr.nii" "$DS/run.nii"
    verify_is_clean
}

@test "a source replaced by one of another length while it is read: the new content" {
    slow_dataset
    new_run --volumes 30
    start_reading
    mv new.nii "$DS/run.nii"
    wait "$READER"
    reference tsnr out.nii "$DS/run.nii"
}

@test "a source replaced by one of another shape while it is read: EIO, then the new file" {
    slow_dataset
    make_run new.nii --shape 10,10,10 --volumes 30
    start_reading
    mv new.nii "$DS/run.nii"
    reader_fails
    assert_equal "$(cat cat.err)" "cat: $MNT/tsnr.nii: Input/output error"
    run -0 cat "$MNT/.derivfs/errors"
    assert_output --partial 'tsnr.nii: a source changed while it was read'
    wait_until reference tsnr "$MNT/tsnr.nii" "$DS/run.nii"
}

@test "a source rewritten in place while it is read: the new content" {
    slow_dataset
    new_run --volumes 40
    start_reading
    dd if=new.nii of="$DS/run.nii" conv=notrunc status=none
    wait "$READER"
    reference tsnr out.nii "$DS/run.nii"
    verify_is_clean
}

@test "a source truncated while it is read: EIO with a sentence, no crash, and right when mended" {
    slow_dataset
    cp -p "$DS/run.nii" whole.nii
    start_reading
    truncate -s 1500000 "$DS/run.nii"
    reader_fails
    assert_equal "$(cat cat.err)" "cat: $MNT/tsnr.nii: Input/output error"
    run -0 cat "$MNT/.derivfs/errors"
    assert_output --partial 'tsnr.nii: a source was removed or damaged while it was read'
    mv whole.nii "$DS/run.nii"
    wait_until reference tsnr "$MNT/tsnr.nii" "$DS/run.nii"
    verify_is_clean
}

@test "a source removed while it is read: EIO, no crash" {
    slow_dataset
    start_reading
    rm "$DS/run.nii"
    reader_fails
    assert_equal "$(cat cat.err)" "cat: $MNT/tsnr.nii: Input/output error"
    wait_until tsnr_is_gone
    run ! grep -q '[0-9a-f]' <(find "$CACHE/v1/objects" -type f)
}

tsnr_is_gone() {
    ! ls "$MNT" | grep -q tsnr.nii
}

@test "with BIDS names, a run truncated while it is read: EIO with the run's sentence" {
    slow_dataset sub-01_task-a_bold.nii
    start_reading
    truncate -s 1500000 "$DS/sub-01_task-a_bold.nii"
    reader_fails
    assert_equal "$(cat cat.err)" "cat: $MNT/tsnr.nii: Input/output error"
    run -0 cat "$MNT/.derivfs/errors"
    assert_output --regexp 'tsnr.nii: sub-01_task-a_bold.nii.*1500000'
}

@test "a source that changes again and again: EIO after the second time" {
    slow_dataset
    new_run --volumes 40
    cp new.nii new2.nii
    start_reading
    mv new.nii "$DS/run.nii"
    wait_until read_twice
    mv new2.nii "$DS/run.nii"
    reader_fails
    run -0 cat "$MNT/.derivfs/errors"
    assert_output --partial 'twice'
    run ! grep -q '[0-9a-f]' <(find "$CACHE/v1/objects" -type f)
}

# One attempt has failed, and the second is under way.
read_twice() {
    [ "$(metric tasks_failed_total)" -ge 1 ] && being_read
}

@test "while a source is read, a change of another one disturbs nobody" {
    slow_dataset
    make_run "$DS/other/run.nii" --seed 3
    start_reading
    make_run "$DS/other/run.nii" --seed 4
    reference tsnr "$MNT/other/tsnr.nii" "$DS/other/run.nii"
    wait "$READER"
    reference tsnr out.nii "$DS/run.nii"
    assert_equal "$(metric tasks_failed_total)" 0
}
