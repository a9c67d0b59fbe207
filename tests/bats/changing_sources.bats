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

@test "a source that is replaced twice while it is read: its last bytes count" {
    slow_dataset
    new_run --volumes 40
    cp new.nii new2.nii
    start_reading
    mv new.nii "$DS/run.nii"
    wait_until read_twice
    mv new2.nii "$DS/run.nii"
    wait "$READER"
    reference tsnr out.nii "$DS/run.nii"
}

# One attempt has failed, and the second is under way.
read_twice() {
    [ "$(metric tasks_failed_total)" -ge 1 ] && being_read
}

# A command, which takes longer than a version lives, has to give up, but says so by EIO.
@test "no open and no read fails while a run is replaced all the time, whatever the file" {
    printf '[size.txt]\ncommand = wc -c {runs}\n' >recipes.ini
    make_run "$DS/sub-1_task-a_bold.nii"
    mount_derivfs "$DS" --recipes=recipes.ini
    run -0 /usr/bin/python3 - "$DS/sub-1_task-a_bold.nii" "$MNT" <<'PYTHON'
import os, sys, threading

run, mount = sys.argv[1:]
data = open(run, "rb").read()
done = threading.Event()
names = ["tsnr.nii", "mean.nii.gz", "tsnr.svg", "tsnr.png", "tsnr.json", "tsnr.tsv", "size.txt", "size.txt.svg",
         os.path.basename(run)]
failed = set()

def replace():
    while not done.wait(0.01):
        with open(run + ".new", "wb") as f:
            f.write(data)
        os.rename(run + ".new", run)

def read():
    for _ in range(10):
        for name in names:
            try:
                with open(f"{mount}/{name}", "rb") as f:
                    assert f.read()
            except OSError as e:
                failed.add(f"{name}: {e.strerror}")

writer = threading.Thread(target=replace)
writer.start()
read()
done.set()
writer.join()
print(*sorted(failed - {"size.txt: Input/output error"}), sep="\n", end="")
PYTHON
    assert_output ''
}

# --- replaced between open and read ---------------------------------------------------------------

by_rename() { mv "$1" "$2"; }
in_place() { cat "$1" >"$2"; }

# A run in the directory DIR, stored as ENDING says, and another one of another place and scaling.
two_versions() {
    make_run "$DS/$1/run.nii" --shape 8,8,4 --seed 1
    make_run new.nii --shape 8,8,4 --seed 2 --shift 500 --slope 3 --inter 7
    case $2 in
    nii.gz) gzip -1 "$DS/$1/run.nii" new.nii ;;
    nii.zst) zstd -q --rm "$DS/$1/run.nii" new.nii ;;
    esac
    RUN=$DS/$1/run.$2
    NEW=new.$2
}

# each_kind_of_file CHECK: calls CHECK DIR NAME HOW for every way to store a run, every way to
# replace it, and every kind of derived file.
each_kind_of_file() {
    local ending how name n=0
    for ending in nii nii.gz nii.zst; do
        for how in by_rename in_place; do
            for name in tsnr.nii mean.nii.gz demeaned.nii demeaned.nii.gz tsnr.png; do
                two_versions $((++n)) $ending
                "$1" $n $name $how
                rm -f "$NEW"
            done
        done
    done
}

mount_with_series() {
    printf '[demeaned]\nexpr = bold - mean(bold)\n' >recipes.ini
    mount_derivfs "$DS" --recipes=recipes.ini
}

# The open file gives the bytes that its name stands for by now, or fails.
is_of_one_version() {
    local file=$MNT/$1/$2 fd
    stat "$file" >/dev/null
    exec {fd}<"$file"
    "$3" "$NEW" "$RUN"
    if cat <&"$fd" >out 2>err; then
        wait_until cmp -s out "$file"
    else
        grep -q 'Input/output error' err
    fi
    exec {fd}<&-
}

@test "a source replaced between open and read: all bytes are of the new one, or none are" {
    mount_with_series
    each_kind_of_file is_of_one_version
    reference tsnr "$MNT/1/tsnr.nii" "$DS/1/run.nii"
}

# Where the file's start could be read before its source was replaced, the rest cannot follow; where
# reading that computed all of it, it does.
goes_on_with_its_version() {
    local file=$MNT/$1/$2 fd
    exec {fd}<"$file"
    dd bs=1000 count=1 status=none <&"$fd" >/dev/null
    "$3" "$NEW" "$RUN"
    case $2 in
    tsnr.nii | demeaned.nii)
        run ! cat <&"$fd"
        assert_output --partial 'Input/output error'
        ;;
    mean.nii.gz) cat <&"$fd" >/dev/null ;;
    esac
    exec {fd}<&-
}

@test "a source replaced when the header was read: no voxels of the new one behind it" {
    mount_with_series
    each_kind_of_file goes_on_with_its_version
}

@test "a source replaced when the kernel has pages of the file: nobody gets new ones beside them" {
    mount_with_series
    two_versions 1 nii
    /usr/bin/python3 - "$MNT/1/tsnr.nii" "$NEW" "$RUN" <<'END'
import errno, os, sys

path, new, run = sys.argv[1:]
first, second = (os.open(path, os.O_RDONLY) for _ in range(2))
os.pread(first, 348, 0)
os.rename(new, run)
try:
    os.pread(second, 1024, 1024)
except OSError as e:
    assert e.errno == errno.EIO, e
else:
    raise AssertionError("voxels of another version than the header's")
END
    wait_until reference tsnr "$MNT/1/tsnr.nii" "$DS/1/run.nii"
}

@test "a source replaced while a table is made: no row of one version with the numbers of another" {
    local slow=$BATS_TEST_TMPDIR/slow
    mkdir "$slow"
    make_run "$DS/sub-01_task-a_bold.nii" --shape 40,40,20 --volumes 40
    make_run "$DS/sub-01_task-b_bold.nii" --shape 10,10,10 --volumes 40
    new_run --volumes 30
    mount_throttled "$DS" 2000k "$slow"
    mount_derivfs_foreground "$slow" --threads=1
    cat "$MNT/tsnr.tsv" >table 2>err 3>&- &
    READER=$!
    wait_until being_read
    mv new.nii "$DS/sub-01_task-b_bold.nii"
    wait "$READER"
    [[ $(grep task-b table) == *$'\tb\t30\t'*$'\tn/a' ]]
    [[ $(grep task-b "$MNT/tsnr.tsv") == *$'\tb\t30\t'*$'\tn/a' ]]
}

has_open() {
    ls -l "/proc/$2/fd" 2>/dev/null | grep -q "$1"
}

@test "derivctl: a source replaced while it computes: header and voxels are of one version" {
    local name
    for name in tsnr.nii mean.nii.gz; do
        make_run "$DS/$name/run.nii" --shape 40,40,20 --volumes 40 --seed 1
        new_run --volumes 40 --shift 500
        mkdir "slow-$name"
        mount_throttled "$DS/$name" 2000k "slow-$name"
        derivctl compute "slow-$name/$name" --cache_dir="$CACHE" -o "out-$name" 3>&- 4>&- &
        READER=$!
        wait_until has_open run.nii $READER
        mv new.nii "$DS/$name/run.nii"
        wait $READER
        reference "${name%%.*}" "out-$name" "$DS/$name/run.nii"
    done
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

# --- hard links -----------------------------------------------------------------------------------

@test "a hard link made while a run is read for the first time is no change of it" {
    mkdir disk "$DS/slow"
    make_run disk/run.nii.gz --shape 32,32,16 --volumes 60
    mount_throttled disk 500k "$DS/slow"
    mount_derivfs "$DS"
    cat "$MNT/slow/tsnr.nii" >got.nii 3>&- 4>&- &
    running() { [ "$(metric tasks_running)" -gt 0 ]; }
    wait_until running
    ln disk/run.nii.gz disk/link
    wait $!
    reference tsnr got.nii disk/run.nii.gz
    assert_equal "$(metric tasks_failed_total) $(metric tasks_done_total)" '0 2'
    wait_until known_contents 1
    cat "$MNT/slow/mean.nii" >got.nii # known by content
    reference mean got.nii disk/run.nii.gz
    assert_equal "$(grep -rl '^label moments' "$CACHE/v1/objects" | wc -l)" 1
}

@test "hard links that come and go do not fail a series that is read in parts" {
    make_run "$DS/run.nii" --shape 64,64,30 --volumes 60
    printf '[centred]\nexpr = bold - mean(bold)\n' >recipes.ini
    derivctl compute --cache_dir="$PWD/other" --recipes="$PWD/recipes.ini" "$DS/centred.nii" -o whole.nii
    mount_derivfs "$DS" --recipes="$PWD/recipes.ini"
    exec {file}<"$MNT/centred.nii"
    head -c 9000000 <&"$file" >got.nii
    ln "$DS/run.nii" link
    head -c 9000000 <&"$file" >>got.nii
    rm link
    cat <&"$file" >>got.nii
    exec {file}<&-
    cmp got.nii whole.nii
}

@test "other bytes with the time of before are a change, not a link" {
    make_run "$DS/run.nii" --shape 64,64,30 --volumes 60
    printf '[centred]\nexpr = bold - mean(bold)\n' >recipes.ini
    mount_derivfs "$DS" --recipes="$PWD/recipes.ini"
    exec {file}<"$MNT/centred.nii"
    head -c 9000000 <&"$file" >/dev/null
    touch -r "$DS/run.nii" time
    printf X | dd of="$DS/run.nii" bs=1 seek=12000000 conv=notrunc status=none
    touch -r time "$DS/run.nii"
    run ! cat <&"$file"
    exec {file}<&-
    wait_until reference mean "$MNT/mean.nii" "$DS/run.nii"
}

@test "an uncompressed run overwritten by one write while it is read: no mixture, then or later" {
    make_run "$DS/run.nii" --shape 64,64,40 --volumes 30
    mount_derivfs "$DS"
    run -0 /usr/bin/python3 - "$DS/run.nii" "$MNT/mean.nii" <<'PYTHON'
import os, sys, threading, time
import numpy as np

path, result = sys.argv[1:]
header = open(path, "rb").read(352)
nbytes = os.path.getsize(path) - 352

def mean():
    try:
        got = np.frombuffer(open(result, "rb").read()[-64 * 64 * 40 * 4 :], "<f4")
    except OSError:
        return "failed"
    return got[0] if (got == got[0]).all() else "mixed"

def write(value):
    fd = os.open(path, os.O_WRONLY)
    os.pwrite(fd, header + np.full(nbytes // 2, value, "<i2").tobytes(), 0)
    os.close(fd)

write(100)
for i in range(5):
    old, new = 100 + i, 101 + i
    writer = threading.Thread(target=write, args=(new,))
    writer.start()
    time.sleep(0.001 * i)
    assert mean() in (old, new, "failed"), "while it is written"
    writer.join()
    end = time.monotonic() + 20
    while mean() != new:
        assert time.monotonic() < end, "when it is written"
        time.sleep(0.1)
PYTHON
}
