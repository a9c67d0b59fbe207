#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# A disk that loses bits of a cache that a daemon has used: nothing about the files tells. The cache
# is on a disk image; bits are flipped in the image.

load helper

setup() {
    common_setup
    mkdir "$CACHE"
    truncate -s 256M disk
    mkfs.ext4 -q disk
    mount -o loop disk "$CACHE"
    cat >recipes.ini <<'END'
[middle]
expr = median(bold)
[quartiles]
expr = percentile(bold, 75) - percentile(bold, 25)
[straight]
expr = std(detrend(bold, 1))
[scored]
expr = zscore(bold)
[first]
expr = bold[..., 0] * 2
[ratio]
expr = bold / mean(bold)
[masked]
expr = mean(where(mean(bold) > 60, bold, 0))
[plain.txt]
command = cat {tsnr.nii}

[cv]
expr = std(bold) / mean(bold)
[twice]
expr = 2 * median(bold)
[low]
expr = percentile(bold, 25) / percentile(bold, 75)
[around]
expr = detrend(bold, 1) - mean(bold)
[residual]
expr = var(detrend(bold, 1))
[start]
expr = -bold[..., 0]
[masked_more]
expr = std(where(mean(bold) > 60, bold, 0)) + mean(where(mean(bold) > 60, bold, 0))
[late.txt]
command = cat {tsnr.nii} {masked.nii}
END
    make_run "$DS/sub-01_task-x_run-1_bold.nii" --shape 16,16,8 --volumes 40
    make_run "$DS/sub-01_task-x_run-2_bold.nii" --shape 16,16,8 --volumes 30 --seed 2
    EARLY=(tsnr.nii mean.nii middle.nii quartiles.nii straight.nii scored.nii first.nii ratio.nii
        masked.nii plain.txt ratio.nii.gz)
    LATE=(cv.nii twice.nii low.nii around.nii residual.nii start.nii masked_more.nii late.txt
        tsnr.nii.gz tsnr.png middle.nii.gz straight.png scored.nii.gz ratio.nii.gz
        sub-01_task-x_run-2_stat-twice_boldmap.nii
        sub-01_task-x_run-1_stat-cv_boldmap.nii)
}

payloads() {
    find "$CACHE/v1/objects" -type f ! -name '*.meta' | sort
}

# decay SHARE FILE...: flip a bit of each file on the disk, at SHARE of its length; the kernel
# forgets what it knows of the bytes, and nothing else of the file changes.
decay() {
    sync -f "$CACHE"
    /usr/bin/python3 - disk "$@" <<'END'
import os, re, subprocess, sys
disk, share, *paths = sys.argv[1:]
with open(disk, "r+b") as image:
    for path in paths:
        at = min(int(os.stat(path).st_size * float(share)), os.stat(path).st_size - 1)
        listing = subprocess.run(["filefrag", "-v", "-b4096", path], capture_output=True, text=True, check=True).stdout
        for extent in re.finditer(r"^ *\d+: +(\d+)\.\. *(\d+): +(\d+)\.\.", listing, re.M):
            first, last, physical = map(int, extent.groups())
            if first <= at // 4096 <= last:
                place = (physical + at // 4096 - first) * 4096 + at % 4096
        image.seek(place)
        byte = image.read(1)[0]
        image.seek(place)
        image.write(bytes([byte ^ 64]))
        image.flush()
        with open(path, "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
END
}

read_all() { # read_all MOUNT NAME...
    local name
    for name in "${@:2}"; do
        cat "$1/$name" >/dev/null
    done
}

# What LATE is, computed without a cache.
compute_right() {
    local name
    mkdir right
    for name in "${LATE[@]}"; do
        derivctl compute --cache_size=0 --recipes="$PWD/recipes.ini" -o "right/$name" "$DS/$name"
    done
}

late_is_right() {
    local name
    for name in "${LATE[@]}"; do
        cmp "right/$name" "$MNT/$name"
    done
}

@test "a bit of any entry that decays under a daemon gets into no other result" {
    compute_right
    mount_derivfs "$DS" --recipes="$PWD/recipes.ini"
    read_all "$MNT" "${EARLY[@]}" tsnr.tsv
    local files before
    mapfile -t files < <(payloads)
    [ ${#files[@]} -gt 20 ]
    before=$(stat -c '%n %i %s %Y %Z' "${files[@]}")
    decay 0.7 "${files[@]}"
    assert_equal "$(stat -c '%n %i %s %Y %Z' "${files[@]}")" "$before"

    late_is_right
    assert_equal "$(cat "$MNT/.derivfs/errors")" ''
    assert [ "$(metric cache_corrupt_total)" -gt 5 ]
    unmount_derivfs
    # what was published meanwhile is sound
    derivctl cache verify --cache_dir="$CACHE" 2>damaged
    for file in $(comm -13 <(printf '%s\n' "${files[@]}") <(payloads)); do
        refute grep -q "$(basename "$file")" damaged
    done
    mount_derivfs "$DS" --recipes="$PWD/recipes.ini"
    late_is_right
}

checkpoints() { # the meta of the only entry
    grep -rl '^label checkpoints' "$CACHE/v1/objects"
}

@test "a bit of a checkpoint that decays gets into no result" {
    rm "$DS"/*.nii
    make_run "$DS/run.nii" --shape 64,64,16 --volumes 100 --level 900 --spread 30
    cp "$DS/run.nii" run.nii
    gzip -1n "$DS/run.nii"
    for i in {0..2}; do
        # backwards: an open file's next volume needs no checkpoint
        printf '[volume%d]\nexpr = bold[..., %d]\n' "$i" $((95 - 5 * i))
        printf '[pass%d]\nexpr = percentile(bold, 5%d)\n' "$i" "$i"
    done >recipes.ini
    local checkpoints i corrupt=0
    for i in {0..2}; do
        mount_derivfs "$DS" --recipes="$PWD/recipes.ini"
        cat "$MNT/pass$i.nii" >/dev/null # a pass over all of the run leaves checkpoints
        wait_until checkpoints
        checkpoints=$(checkpoints)
        unmount_derivfs # so that none are in memory
        decay "0.$((1 + 4 * i))" "${checkpoints%.meta}"
        mount_derivfs "$DS" --recipes="$PWD/recipes.ini"
        cp "$MNT/volume$i.nii" .
        assert_no_errors
        corrupt=$((corrupt + $(metric cache_corrupt_total)))
        unmount_derivfs
    done
    /usr/bin/python3 - <<'END'
import nibabel
import numpy as np
run = np.asarray(nibabel.load("run.nii").dataobj)
for i in range(3):
    assert np.array_equal(nibabel.load(f"volume{i}.nii").dataobj, run[..., 95 - 5 * i]), i
END
    assert [ "$corrupt" -gt 0 ] # not each: not every volume needs the window that decays
}
