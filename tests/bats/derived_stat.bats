#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Derived files as files: what stat tells before anything is computed, what computes nothing, and
# that every way of reading delivers the same bytes. And .derivfs, the files about the mount.

load helper

# assert_nothing_computed DIR N: fails if anything has been computed since the mount, or if DIR
# has not N derived files.
assert_nothing_computed() {
    assert_equal "$(metric tasks_done_total)" 0
    run -0 derivctl list "$1"
    assert_equal "${#lines[@]}" "$2"
    refute_line --regexp '^[^v]' # virtual, all of them
}

@test "stat tells size, blocks, mode, owner and time before anything is computed" {
    make_run "$DS/func/sub-1_task-x_bold.nii.gz" --mtime 1500000000
    make_run "$DS/func/sub-1_task-y_bold.nii.gz" --seed 2
    touch -d '2024-05-06 07:08:09.123456789 UTC' "$DS/func/sub-1_task-y_bold.nii.gz"
    chmod 0640 "$DS/func/sub-1_task-x_bold.nii.gz"
    chmod 0604 "$DS/func/sub-1_task-y_bold.nii.gz"
    mount_derivfs "$DS"
    local file name
    for file in "$MNT"/func/{tsnr,mean,std}.{nii,png} "$MNT/func/tsnr.nii.gz" \
        "$MNT/func/sub-1_task-y_stat-tsnr_boldmap.nii"; do
        stat -c '%n %s %b %B %F' "$file"
    done >before
    assert_equal "$(stat -c '%a %u %y' "$MNT/func/tsnr.nii")" \
        "$(stat -c '400 %u %y' "$DS/func/sub-1_task-y_bold.nii.gz")"
    assert_equal "$(stat -c %a "$MNT/func/sub-1_task-x_stat-tsnr_boldmap.nii")" 440
    assert_equal "$(stat -c %a "$MNT/func/sub-1_task-y_stat-tsnr_boldmap.nii")" 404
    assert_equal "$(stat -c %Y "$MNT/func/sub-1_task-x_stat-tsnr_boldmap.nii")" 1500000000
    assert_nothing_computed "$MNT/func" 8
    while read -r file size blocks block_nbytes type; do
        name=${file##*/}
        assert_equal "$name $(cat "$file" | wc -c)" "$name $size"
        assert_equal "$name $blocks" "$name $(((size + block_nbytes - 1) / block_nbytes))"
        assert_equal "$type" 'regular file'
        # Nothing changes by computing.
        assert_equal "$(stat -c '%n %s %b %B %F' "$file")" "$file $size $blocks $block_nbytes $type"
    done <before
}

@test "inode numbers are stable across mounts, different from each other and from the sources'" {
    make_sample "$DS/sample"
    mount_derivfs "$DS"
    (cd "$MNT" && find . -name '*.nii' -printf '%i %p\n' | sort) >first
    assert_equal "$(find "$MNT" -printf '%i\n' | sort | uniq -d)" ''
    unmount_derivfs
    mount_derivfs "$DS"
    (cd "$MNT" && find . -name '*.nii' -printf '%i %p\n' | sort) >second
    assert_equal "$(wc -l <first)" 8
    cmp first second
}

@test "ls -l, find, stat, reading a header and nibabel.load compute nothing" {
    make_sample "$DS/sample"
    mount_derivfs "$DS"
    ls -lR "$MNT" >/dev/null
    find "$MNT" -type f -size +1k -ls >/dev/null
    find "$MNT" -exec stat {} + >/dev/null
    local func=$MNT/sample/sub-01/ses-test/func
    head -c 1024 "$func/tsnr.nii" | wc -c | grep -qx 1024
    run -0 /usr/bin/python3 -c 'import nibabel, sys
for path in sys.argv[1:]:
    image = nibabel.load(path)
    print(image.shape, image.get_data_dtype(), image.header["descrip"].size)' "$func"/*.nii
    assert_line --partial '(16, 16, 8) float32'
    assert_nothing_computed "$func" 11
}

@test "a file manager that asks for the types of all files computes nothing" {
    local name type
    make_run "$DS/run.nii"
    mkdir -p share/mime/packages
    cp "$ROOT/contrib/mime/derivfs.xml" share/mime/packages
    update-mime-database share/mime 2>/dev/null
    mount_derivfs "$DS"
    while read -r name type; do
        XDG_DATA_HOME=$PWD/share run -0 gio info -a standard::content-type "$MNT/$name"
        assert_line --partial "content-type: $type"
    done <<<'tsnr.nii image/x-nifti
tsnr.nii.gz application/gzip
tsnr.png image/png
tsnr.json application/json
run.nii image/x-nifti'
    assert_equal "$(metric tasks_done_total)" 0
    # without the entry it reads what is at the beginning
    XDG_DATA_HOME=$PWD/none run -0 gio info -a standard::content-type "$MNT/tsnr.nii"
    assert [ "$(metric tasks_done_total)" -gt 0 ]
}

@test "every way of reading a file that is not computed yet delivers the same, right bytes" {
    local number
    make_run "$DS/0/a.nii" --shape 30,20,10 --volumes 5
    for number in {1..20}; do
        mkdir "$DS/$number"
        # the same voxels: what is computed of equal files would be shared
        cp "$DS/0/a.nii" "$DS/$number"
        printf %02d "$number" | dd of="$DS/$number/a.nii" bs=1 seek=228 conv=notrunc status=none # aux_file
    done
    # Read through the mount once before, so that directories and names are known to the kernel.
    mount_derivfs "$DS"
    ls -lR "$MNT" >/dev/null
    run -0 "$NUMPY/read_every_way.py" "$MNT"
    assert_output 21
    # Each was computed on its own, once: the run's moments and the mean.
    assert_equal "$(metric cache_published_total)" 42
    mv way.0 way.0.nii
    reference mean way.0.nii "$DS/0/a.nii"
    for number in {1..20}; do
        cmp "way.$number" way.0.nii || fail "way $number differs"
    done
}

@test "the same ways deliver the same bytes of a file that is in the cache" {
    local number
    make_run "$DS/0/a.nii" --shape 30,20,10 --volumes 5
    for number in {1..20}; do
        ln -s 0 "$DS/$number"
    done
    mount_derivfs "$DS"
    cat "$MNT/0/mean.nii" >expected.nii
    reference mean expected.nii "$DS/0/a.nii"
    run -0 "$NUMPY/read_every_way.py" "$MNT"
    assert_output 21
    assert_equal "$(metric tasks_done_total)" 2
    for number in {0..20}; do
        cmp "way.$number" expected.nii || fail "way $number differs"
    done
}

@test "reads beyond the end deliver nothing, and across the end what is there" {
    make_run "$DS/a.nii"
    mount_derivfs "$DS"
    run -0 /usr/bin/python3 - "$MNT/mean.nii" <<'PYTHON'
import os, sys

for state in "virtual", "cached":
    fd = os.open(sys.argv[1], os.O_RDONLY)
    total = os.fstat(fd).st_size
    print(state, len(os.pread(fd, 100, total)), len(os.pread(fd, 100, total + 5000)))
    print(state, len(os.pread(fd, 100, total - 1)), len(os.pread(fd, 4096, total - 30)))
PYTHON
    assert_output $'virtual 0 0\nvirtual 1 30\ncached 0 0\ncached 1 30'
}

@test ".derivfs is in no listing, and its files tell of the mount" {
    make_run "$DS/a.nii"
    mkdir "$DS/sub"
    mount_derivfs "$DS"
    run -0 ls -a "$MNT"
    assert_line tsnr.nii
    refute_output --partial .derivfs
    run ! ls "$MNT/sub/.derivfs"
    assert_equal "$(stat -c '%F %a' "$MNT/.derivfs")" 'directory 555'
    run -0 ls "$MNT/.derivfs"
    local name
    for name in errors metrics recipes.ini status status.json version; do
        assert_line "$name"
        assert_equal "$name $(stat -c '%F' "$MNT/.derivfs/$name")" "$name regular file"
        cat "$MNT/.derivfs/$name" >/dev/null
    done
    assert_equal "$(cat "$MNT/.derivfs/version")" "$(derivfs --version | head -1)"
    assert_equal "$(cat "$MNT/.derivfs/errors")" ''
    run -0 grep -c '^\[' "$MNT/.derivfs/recipes.ini"
    assert_output 6
    run ! bash -c 'echo x >"$1"' - "$MNT/.derivfs/status"
    assert_output --partial 'Read-only file system'
    run ! cat "$MNT/.derivfs/nothing"
    assert_output --partial 'No such file'
}

@test "status.json is valid JSON and follows what is computed" {
    make_run "$DS/a.nii"
    mount_derivfs "$DS" --threads=3
    status() {
        /usr/bin/python3 -c 'import json, sys
status = json.load(open(sys.argv[1]))
print(*[status[name] for name in ["dataset", "threads", "tasks_done", "tasks"]])' "$MNT/.derivfs/status.json"
    }
    assert_equal "$(status)" "$DS 3 0 []"
    cat "$MNT/tsnr.nii" >/dev/null
    assert_equal "$(status)" "$DS 3 2 []"
}

@test "sources with times before 1970 and after 2262 are read, and have derived files of their time" {
    local year name
    for year in 1901 1960 1969 2300 2400; do
        make_run "$DS/$year/a.nii"
        touch -d "$year-07-01 12:00:00.25 UTC" "$DS/$year/a.nii"
    done
    mount_derivfs "$DS"
    for year in 1901 1960 1969 2300 2400; do
        assert_equal "$(stat -c %y "$MNT/$year/a.nii")" "$(stat -c %y "$DS/$year/a.nii")"
        reference tsnr "$MNT/$year/tsnr.nii" "$DS/$year/a.nii"
    done
    for name in tsnr.nii mean.nii.gz tsnr.tsv; do
        for year in 1901 1960 1969; do
            assert_equal "$(stat -c %y "$MNT/$year/$name")" "$(stat -c %y "$DS/$year/a.nii")"
        done
        # as late as a derived file can be
        assert_equal "$(stat -c %y "$MNT/2300/$name" | cut -c 1-4)" 2262
        assert_equal "$(stat -c %y "$MNT/2400/$name" | cut -c 1-4)" 2262
    done
}
