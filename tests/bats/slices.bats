#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# What is read of a file is what costs: slices of an image of uncompressed runs are computed by
# themselves, from their own bytes of the runs alone; a computed series is in the page cache.

load helper

# make_runs: uncompressed runs of different datatypes, with slices of 1024 bytes of float32.
make_runs() {
    make_run - <<END
$DS/run1.nii --shape 16,16,40 --volumes 30 --dtype i2
$DS/run2.nii --shape 16,16,40 --volumes 17 --dtype f4 --special --seed 2
$DS/run3.nii --shape 16,16,40 --volumes 23 --dtype i4 --big --slope 0.5 --inter -3 --seed 3
END
}

# Bytes that the daemon has read so far.
bytes_read() {
    sed -n 's/^rchar: //p' "/proc/$(daemon_pid)/io"
}

# slice NUMBER: of $MNT/tsnr.nii.
slice() {
    dd if="$MNT/tsnr.nii" bs=1024 skip=$((1 + $1)) count=1 status=none
}

entries() {
    derivctl --cache_dir="$CACHE" cache info --json | json 'd["entries"]'
}

@test "a slice costs its share of the runs, and has the bytes of the whole image" {
    make_runs
    mount_derivfs "$DS"
    stat "$MNT/tsnr.nii"
    local before whole=$((16 * 16 * 40 * (30 * 2 + 17 * 4 + 23 * 4)))
    before=$(bytes_read)
    slice 20 >slice.20
    slice 39 >slice.39
    local read=$(($(bytes_read) - before))
    echo "of $whole bytes two slices of 40 took $read"
    [ "$read" -lt $((whole * 2 * 2 / 40 + 4096)) ] # young runs are read twice
    [ "$(entries)" -eq 0 ]

    reference tsnr "$MNT/tsnr.nii" "$DS"/run?.nii
    cmp slice.20 <(slice 20)
    cmp slice.39 <(slice 39)
    [ "$(entries)" -gt 0 ]
    [[ "$(derivctl explain "$MNT/tsnr.nii")" == *"float32 (16, 16, 40) chunks (16, 16, 1)"* ]]
}

@test "any pieces in any order, also mapped, are those of the whole image" {
    make_runs
    mount_derivfs "$DS"
    /usr/bin/python3 - "$MNT/tsnr.nii" <<'END'
import mmap, os, random, sys
path, random = sys.argv[1], random.Random(4)
total = os.stat(path).st_size
pieces = []
for opened in range(12):  # each may have a quarter in slices before all is computed
    fd = os.open(path, os.O_RDONLY)
    for i in range(4):
        off = random.randrange(1, total)
        n = random.choice([1, 7, 1024, 3000, 5000])
        pieces.append((off, os.pread(fd, n, off), min(n, total - off)))
    os.close(fd)
with open(path, "rb") as f:
    with mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ) as m:
        pieces.append((20 * 1024, m[20 * 1024 : 21 * 1024], 1024))
    whole = f.read()
assert len(whole) == total
for off, got, n in pieces:
    assert got == whole[off : off + n], (off, n)
END
    reference tsnr "$MNT/tsnr.nii" "$DS"/run?.nii
}

@test "slices of different versions of a run are not mixed" {
    make_runs
    mount_derivfs "$DS"
    exec 5<"$MNT/tsnr.nii"
    dd bs=1024 skip=21 count=1 status=none <&5 >slice.20
    touch -d @1000000000 "$DS/run2.nii"
    run -1 dd bs=1024 skip=3 count=1 status=none <&5
    assert_output --partial 'Input/output error'
    exec 5<&-
    grep -q 'a source changed while it was read' "$MNT/.derivfs/errors"
    slice 20 | cmp slice.20
}

@test "a gzip run is read once, for all slices" {
    make_run "$DS/run1.nii.gz" --shape 16,16,40
    mount_derivfs "$DS"
    slice 20 >slice.20
    [ "$(entries)" -eq 2 ]
    [[ "$(derivctl explain "$MNT/tsnr.nii")" == *"chunks (16, 16, 40)"* ]]
}

@test "where the moments are cached, a slice brings the whole image instead of reading runs" {
    make_runs
    mount_derivfs "$DS"
    cat "$MNT/mean.nii" >/dev/null
    [ "$(entries)" -eq 4 ]
    slice 20 >slice.20
    [ "$(entries)" -eq 5 ]
    reference tsnr "$MNT/tsnr.nii" "$DS"/run?.nii
    cmp slice.20 <(slice 20)
}

@test "a series that has been computed is read through the page cache" {
    make_run "$DS/run1.nii" --shape 16,16,40 --volumes 120 # two parts
    printf '[demeaned]\nexpr = bold - mean(bold)\n' >recipes.ini
    mount_derivfs "$DS" --recipes=recipes.ini
    cat "$MNT/demeaned.nii" >computed
    cat "$MNT/demeaned.nii" >filled # the page cache, that is
    local before
    before=$(bytes_read)
    cat "$MNT/demeaned.nii" >again
    [ $(($(bytes_read) - before)) -lt 100000 ]
    [ "$(stat -c %s again)" -eq $((1024 + 16 * 16 * 40 * 120 * 4)) ]
    cmp computed filled
    cmp computed again
}
