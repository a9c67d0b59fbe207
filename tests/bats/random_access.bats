#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# gzip runs that are read from the middle, and by several threads: the first complete pass leaves
# checkpoints in the cache, after which little is inflated for a volume anywhere. How much is read
# is what the kernel counts for the daemon (rchar), not time.

load helper

setup_file() {
    # 1000 volumes, 96 MiB, which compress to about a half; made once, for it takes a second or two.
    /usr/bin/python3 - "$BATS_FILE_TMPDIR" <<'END'
import sys
import nibabel
import numpy as np

rng = np.random.default_rng(1)
base = rng.normal(900, 30, (64, 64, 12, 50)).round().astype("i2")
drift = (np.arange(1000) % 37).astype("i2")
voxels = np.concatenate([base + drift[i : i + 50] for i in range(0, 1000, 50)], axis=3)
image = nibabel.Nifti1Image(voxels, np.diag([3, 3, 3, 1]))
nibabel.save(image, sys.argv[1] + "/run.nii")
END
    gzip -1nk "$BATS_FILE_TMPDIR/run.nii"
}

setup() {
    common_setup
    # no link: making one changes the ctime of the file that other tests read at the same time
    cp "$BATS_FILE_TMPDIR/run.nii.gz" "$DS/run.nii.gz"
    SIZE=$(stat -c %s "$DS/run.nii.gz")
    cat >recipes.ini <<'END'
[scored]
expr = zscore(bold)
[late]
expr = bold[..., 4:]
END
    HEADER=1024 # of derived files: 352 bytes and what they are derived from
    VOLUME=$((64 * 64 * 12 * 4))
}

# What the kernel has read ahead is computed too, after its reader has gone.
idle() {
    [ "$(metric tasks_running) $(metric tasks_queued) $(metric requests_waiting)" = '0 0 0' ]
}

# reads COMMAND...: how many bytes the daemon has read meanwhile, as a percentage of the run's size.
reads() {
    local pid before
    wait_until idle
    pid=$(daemon_pid)
    before=$(sed -n 's/^rchar: //p' "/proc/$pid/io")
    "$@" >/dev/null || return
    echo $((($(sed -n 's/^rchar: //p' "/proc/$pid/io") - before) * 100 / SIZE))
}

# volumes FILE VOLUME...: these volumes of a 4-D file of the mount, in this order, into ./got.
volumes() {
    local file=$1 volume
    shift
    for volume in "$@"; do
        dd if="$MNT/$file" bs="$VOLUME" iflag=skip_bytes,fullblock count=1 status=none \
            skip=$((HEADER + volume * VOLUME)) || return
    done >got
}

# right FIRST VOLUME...: ./got is those volumes of bold[..., FIRST:] ("scored": of zscore(bold)), as
# numpy makes them of the run $RUN.
right() {
    /usr/bin/python3 - "$BATS_FILE_TMPDIR/${RUN:-run}.nii" "$@" <<'END'
import sys
import numpy as np

path, what, *volumes = sys.argv[1:]
run = np.memmap(path, "<i2", "r", 352).reshape(-1, 64 * 64 * 12)
got = np.fromfile("got", "<f4").reshape(-1, 64 * 64 * 12)
assert len(got) == len(volumes), len(got)
for one, volume in zip(got, map(int, volumes)):
    if what == "scored":
        some = slice(0, 5000)
        x = run[:, some].astype("f8")
        assert np.allclose(one[some], (x[volume] - x.mean(0)) / x.std(0), rtol=1e-5, atol=1e-6)
    else:
        assert np.array_equal(one, run[volume + int(what)].astype("f4")), volume
END
}

@test "after one pass any volume costs little, backwards too, and in the next daemon" {
    mount_derivfs "$DS" --recipes="$PWD/recipes.ini"
    run -0 derivctl explain "$MNT/late.nii"
    assert_line --regexp 'run.nii.gz: .*, gzip, read in sequence, free threads help$'
    run -0 reads volumes scored.nii 0 # needs the mean of all volumes
    assert [ "$output" -ge 99 ]
    run -0 reads volumes scored.nii 900 700 500 300 100
    assert [ "$output" -lt 90 ] # 250 without checkpoints; 17 for each at the most
    right scored 900 700 500 300 100
    run -0 reads volumes late.nii 800
    assert [ "$output" -lt 20 ]
    right 4 800
    run -0 derivctl explain --json "$MNT/late.nii"
    assert_equal "$(json 'd["sources_read"]' <<<"$output")" '["from checkpoints, free threads help"]'
    unmount_derivfs

    mount_derivfs "$DS" --recipes="$PWD/recipes.ini"
    run -0 reads volumes late.nii 600
    assert [ "$output" -lt 20 ]
    right 4 600
    run -0 reads volumes late.nii 995 20
    assert [ "$output" -lt 35 ]
    right 4 995 20
}

@test "checkpoints of a file that has changed are not used" {
    mount_derivfs "$DS" --recipes="$PWD/recipes.ini"
    cat "$MNT/mean.nii" >/dev/null
    # other bytes of the same length
    RUN=other
    /usr/bin/python3 - "$BATS_FILE_TMPDIR" <<'END'
import sys
data = bytearray(open(sys.argv[1] + "/run.nii", "rb").read())
data[352:] = data[352 + 12345 * 2 :] + data[352 : 352 + 12345 * 2]
open(sys.argv[1] + "/other.nii", "wb").write(data)
END
    rm "$DS/run.nii.gz"
    gzip -1nc "$BATS_FILE_TMPDIR/other.nii" >"$DS/run.nii.gz"
    wait_until volumes late.nii 500
    right 4 500
}

@test "checkpoints that do not fit the file are dropped, and it is read from its start" {
    # git-annex's key says that the content is the same; but it was compressed anew, and padded
    local object=$DS/.git/annex/objects/Xx/1Z/SHA256E-s$SIZE--1.nii.gz
    mkdir -p "$object"
    mv "$DS/run.nii.gz" "$object/SHA256E-s$SIZE--1.nii.gz"
    ln -s "${object#"$DS"/}/SHA256E-s$SIZE--1.nii.gz" "$DS/run.nii.gz"
    mount_derivfs "$DS" --recipes="$PWD/recipes.ini"
    cat "$MNT/mean.nii" >/dev/null
    unmount_derivfs
    gzip -3nc "$BATS_FILE_TMPDIR/run.nii" | dd of="$object/SHA256E-s$SIZE--1.nii.gz" status=none
    assert [ "$(stat -Lc %s "$DS/run.nii.gz")" -lt "$SIZE" ]
    truncate -s "$SIZE" "$object/SHA256E-s$SIZE--1.nii.gz"

    mount_derivfs "$DS" --recipes="$PWD/recipes.ini"
    volumes late.nii 700
    right 4 700
    assert_no_errors
}

@test "a damaged entry of checkpoints is ignored, and the bytes are right" {
    mount_derivfs "$DS" --recipes="$PWD/recipes.ini"
    cat "$MNT/mean.nii" >/dev/null
    unmount_derivfs
    local meta entry
    meta=$(grep -rl 'checkpoints run.nii.gz' "$CACHE" --include='*.meta')
    entry=${meta%.meta}
    assert [ "$(stat -c %s "$entry")" -lt $((SIZE / 100)) ]
    printf 'damage' | dd of="$entry" bs=1 seek=3000 conv=notrunc status=none
    mount_derivfs "$DS" --recipes="$PWD/recipes.ini"
    volumes late.nii 700
    right 4 700
    assert_equal "$(metric cache_corrupt_total)" 1
}

@test "a result larger than the cache is right, and the cache stays as small as it is to be" {
    mount_derivfs "$DS" --recipes="$PWD/recipes.ini" --cache_size=24M
    tail -c +$((HEADER + 1)) "$MNT/late.nii" >got
    right 4 $(seq 0 995)
    volumes late.nii 400 200
    right 4 400 200
    assert [ "$(metric cache_bytes)" -le $((24 << 20)) ]
    unmount_derivfs
    mount_derivfs "$DS" --recipes="$PWD/recipes.ini" --cache_size=0
    volumes late.nii 200 100
    right 4 200 100
}

# Compute once more: the same bytes; did a thread inflate a piece while another had the task?
two_threads() {
    cat "$MNT/tsnr.nii" >now.nii
    cmp first.nii now.nii || exit 1
    jq -e '[.traceEvents[] | select(.ph == "X")]
        | map(select(.name == "moments run.nii.gz")) as $tasks
        | map(select(.name == "piece of moments run.nii.gz")) as $pieces
        | [$tasks[] as $t | $pieces[] | select(.tid != $t.tid)
            | select(.ts < $t.ts + $t.dur and $t.ts < .ts + .dur)] | length > 0' \
        "$MNT/.derivfs/trace.json" >/dev/null
}

memory_is_free() {
    [ "$(metric memory_used_bytes)" = 0 ]
}

@test "one run is inflated by all threads, and the result is the same to the bit" {
    mount_derivfs "$DS" --cache_size=0 --threads=1
    cat "$MNT/tsnr.nii" >first.nii
    assert_equal "$(metric pieces_done_total)" 0
    # what the pass leaves behind is done when its task is over
    wait_until grep -q '"checkpoints of run.nii.gz"' "$MNT/.derivfs/trace.json"
    unmount_derivfs
    local threads
    for threads in 2 8; do
        mount_derivfs "$DS" --cache_size=0 --threads=$threads
        wait_until two_threads
        assert [ "$(metric pieces_done_total)" -gt 0 ]
        wait_until memory_is_free # of checkpoints too, which are let go a moment later
        unmount_derivfs
    done
}

@test "five recipes over a session read its runs once" {
    rm "$DS/run.nii.gz"
    make_run - <<END
$DS/sub-01_task-r_run-1_bold.nii.gz --shape 16,16,4 --volumes 900
$DS/sub-01_task-r_run-2_bold.nii.gz --shape 16,16,4 --volumes 800 --seed 2
$DS/sub-01_task-r_run-3_bold.nii.gz --shape 16,16,4 --volumes 700 --seed 3
END
    cat >five.ini <<'END'
[cv]
expr = std(bold) / mean(bold)
[range]
expr = max(bold) - min(bold)
END
    SIZE=$(cat "$DS"/*.nii.gz | wc -c)
    mount_derivfs "$DS" --recipes="$PWD/five.ini" --threads=2
    run -0 reads cat "$MNT"/{tsnr,mean,std,cv,range}.nii
    assert [ "$output" -ge 100 ]
    assert [ "$output" -lt 190 ]
    assert_equal "$(jq '[.traceEvents[] | select(.name | startswith("moments ")) | .args.key]
        | unique | length' "$MNT/.derivfs/trace.json")" 3
}
