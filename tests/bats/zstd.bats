#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Runs that are compressed by zstd: as the program writes them, in several frames, under other
# endings, beside runs that are not. What is wrong with one is in badinput.bats.

load helper

A=sub-1_task-a_bold
B=sub-1_task-b_bold
C=sub-1_task-c_bold

setup_file() {
    make_run - <<END
$BATS_FILE_TMPDIR/a.nii --shape 16,16,10 --volumes 90
$BATS_FILE_TMPDIR/b.nii --shape 16,16,10 --volumes 30 --seed 2
$BATS_FILE_TMPDIR/c.nii --shape 16,16,10 --volumes 30 --seed 3
END
}

setup() {
    common_setup
    ln -s "$BATS_FILE_TMPDIR" runs
}

# frames FILE NBYTES: FILE in frames of so many bytes, every other one without a checksum, with what
# readers skip before each.
frames() {
    local check=--check frame
    split -b "$2" "$1" frame.
    for frame in frame.*; do
        printf '\x50\x2a\x4d\x18\x03\x00\x00\x00abc'
        zstd -q $check --stdout "$frame"
        [ $check = --check ] && check=--no-check || check=--check
    done
    rm frame.*
}

@test "a run is a run, and its derived files are named without the ending" {
    zstd -q runs/a.nii -o "$DS/$A.nii.zst"
    mount_derivfs "$DS"
    reference tsnr "$MNT/tsnr.nii" runs/a.nii
    reference mean "$MNT/${A%_*}_stat-mean_boldmap.nii.gz" runs/a.nii
    cmp "$MNT/$A.nii.zst" "$DS/$A.nii.zst"
    run -0 derivctl explain "$MNT/tsnr.nii"
    assert_line --regexp "$A.nii.zst: .*, zstd, read in sequence\$"
    run -0 derivctl explain --json "$MNT/tsnr.nii"
    assert_equal "$(json 'd["sources_read"]' <<<"$output")" '["in sequence"]'
}

@test "several frames, with and without checksums, and what is skipped between them" {
    frames runs/a.nii 100000 >"$DS/$A.nii.zst"
    zstd -q -19 --no-check runs/b.nii -o "$DS/$B.nii.zst"
    zstd -q --long=27 --stdout <runs/c.nii >"$DS/$C.nii.zst"
    mount_derivfs "$DS"
    reference tsnr "$MNT/tsnr.nii" runs/[abc].nii
}

@test "runs with and without compression are joined" {
    zstd -q runs/a.nii -o "$DS/$A.nii.zst"
    gzip -nc runs/b.nii >"$DS/$B.nii.gz"
    cp runs/c.nii "$DS/$C.nii"
    mount_derivfs "$DS"
    reference tsnr "$MNT/tsnr.nii" runs/[abc].nii
    reference mean "$MNT/mean.nii" runs/[abc].nii
}

@test "files that differ only in their endings are one run: .nii before .nii.gz before .nii.zst" {
    zstd -q runs/a.nii -o "$DS/$A.nii.zst"
    gzip -nc runs/b.nii >"$DS/$A.nii.gz"
    mount_derivfs "$DS"
    reference mean "$MNT/mean.nii" runs/b.nii
    cp runs/c.nii "$DS/$A.nii"
    wait_until reference mean "$MNT/mean.nii" runs/c.nii
}

@test "how a file is stored is told by its bytes, not by its ending" {
    zstd -q runs/a.nii -o "$DS/$A.nii"
    cp runs/b.nii "$DS/$B.nii.zst"
    gzip -nc runs/c.nii >"$DS/$C.nii.zst"
    mount_derivfs "$DS"
    reference tsnr "$MNT/tsnr.nii" runs/[abc].nii
    unmount_derivfs
    mount_derivfs "$DS" --cache_size=0 # their headers are known now
    reference mean "$MNT/mean.nii" runs/[abc].nii
}

@test "volumes, chunks and slices in any order" {
    frames runs/a.nii 70000 >"$DS/$A.nii.zst"
    cat >recipes.ini <<'END'
[scored]
expr = zscore(bold)
[one]
expr = bold[..., 41]
[late]
expr = bold[..., 4:]
[middle]
expr = median(bold)
END
    mount_derivfs "$DS" --recipes="$PWD/recipes.ini"
    /usr/bin/python3 - "$MNT" <<'END'
import sys
import nibabel
import numpy as np

run = np.asarray(nibabel.load("runs/a.nii").dataobj).astype("f8")
mount = sys.argv[1]

def close(is_, should_be):
    assert np.allclose(is_, should_be, rtol=1e-5, atol=1e-6, equal_nan=True)

with np.errstate(all="ignore"):
    scored = (run - run.mean(-1, keepdims=True)) / run.std(-1, keepdims=True)
    mean = run.mean(-1)
constant = (run == run[..., :1]).all(-1)
volumes = nibabel.load(f"{mount}/late.nii").dataobj
for volume in [80, 3, 40, 41, 0, 85, 2]:
    assert np.array_equal(volumes[..., volume], run[..., volume + 4]), volume
volumes = nibabel.load(f"{mount}/scored.nii").dataobj
for volume in [89, 0, 50, 20]:
    close(np.asarray(volumes[..., volume])[~constant], scored[..., volume][~constant])
assert np.array_equal(nibabel.load(f"{mount}/one.nii").dataobj, run[..., 41])
close(nibabel.load(f"{mount}/mean.nii").dataobj[:, :, 7], mean[:, :, 7])
close(nibabel.load(f"{mount}/middle.nii").dataobj, np.median(run, -1))
END
}

memory_is_free() {
    [ "$(metric memory_used_bytes)" = 0 ]
}

@test "a window counts as memory: over the limit it is an error, and it is free in the end" {
    zstd -q --long=27 --stdout <runs/a.nii >"$DS/$A.nii.zst"
    mount_derivfs "$DS" --memory=100M
    run cat "$MNT/tsnr.nii"
    assert_failure
    assert_output --partial 'Cannot allocate memory'
    grep -E "moments $A.nii.zst: needs 13[4-9][0-9]{6} bytes of memory, and the limit is 104857600" \
        "$MNT/.derivfs/errors"
    unmount_derivfs
    mount_derivfs "$DS" --memory=150M
    reference tsnr "$MNT/tsnr.nii" runs/a.nii
    wait_until memory_is_free
}

@test "content in git-annex" {
    local key
    zstd -q runs/a.nii -o a.nii.zst
    key=SHA256E-s$(stat -c %s a.nii.zst)--$(sha256sum a.nii.zst | cut -d ' ' -f 1).nii.zst
    mkdir -p "$DS/func" "$DS/.git/annex/objects"
    ln -s "../.git/annex/objects/Xx/1Z/$key/$key" "$DS/func/$A.nii.zst"
    mount_derivfs "$DS"
    run cat "$MNT/func/tsnr.nii"
    assert_failure
    assert_output --partial 'No data available'
    mkdir -p "$DS/.git/annex/objects/Xx/1Z/$key"
    cp a.nii.zst "$DS/.git/annex/objects/Xx/1Z/$key/$key"
    wait_until reference tsnr "$MNT/func/tsnr.nii" runs/a.nii
}
