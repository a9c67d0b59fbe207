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

# read_every_way DIR: read DIR/NUMBER/mean.nii, not computed yet, in a different way for each
# NUMBER into the file way.NUMBER; prints how many ways there are.
read_every_way() {
    /usr/bin/python3 - "$1" <<'PYTHON'
import mmap, os, shutil, socket, subprocess, sys, threading

def source(number):
    return f"{sys.argv[1]}/{number}/mean.nii"

def program(*words):
    def way(path, out):
        command = [word.format(path=path, out=out, dir=os.path.dirname(path)) for word in words]
        subprocess.run(["bash", "-ec", command[0]], check=True)
    return way

def mapped(flags):
    def way(path, out):
        with open(path, "rb") as f, open(out, "wb") as o:
            with mmap.mmap(f.fileno(), 0, flags, mmap.PROT_READ) as m:
                o.write(m[:])
    return way

def mapped_backwards(path, out):
    with open(path, "rb") as f, open(out, "wb") as o:
        with mmap.mmap(f.fileno(), 0, mmap.MAP_SHARED, mmap.PROT_READ) as m:
            pages = [m[at : at + 4096] for at in reversed(range(0, len(m), 4096))]
        o.write(b"".join(reversed(pages)))

def sendfile_to_file(path, out):
    with open(path, "rb") as f, open(out, "wb") as o:
        at, total = 0, os.fstat(f.fileno()).st_size
        while at < total:
            n = os.sendfile(o.fileno(), f.fileno(), at, total - at)
            assert n > 0, f"sendfile ends at {at} of {total}"
            at += n

def sendfile_to_socket(path, out):
    left, right = socket.socketpair()
    def send():
        with open(path, "rb") as f:
            left.sendfile(f)
        left.close()
    sender = threading.Thread(target=send)
    sender.start()
    with open(out, "wb") as o:
        while data := right.recv(65536):
            o.write(data)
    sender.join()

def copy_file_range(path, out):
    with open(path, "rb") as f, open(out, "wb") as o:
        try:
            while os.copy_file_range(f.fileno(), o.fileno(), 1 << 20):
                pass
        except OSError:
            o.truncate(0)
            shutil.copyfile(path, out)

def backwards(path, out):
    with open(path, "rb", buffering=0) as f, open(out, "wb") as o:
        for at in reversed(range(0, os.fstat(f.fileno()).st_size, 1000)):
            data = b""
            while len(data) < 1000 and (more := os.pread(f.fileno(), 1000 - len(data), at + len(data))):
                data += more
            o.seek(at)
            o.write(data)

def vectors(path, out):
    with open(path, "rb") as f, open(out, "wb") as o:
        while True:
            parts = [bytearray(700), bytearray(5000)]
            n = os.readv(f.fileno(), parts)
            if n == 0:
                break
            o.write(b"".join(parts)[:n])

ways = [
    program("cat {path} >{out}"),
    program("cp {path} {out}"),
    program("cp --sparse=always {path} {out}"),
    program("cp --reflink=auto -p {path} {out}"),
    program("dd if={path} of={out} bs=1M status=none"),
    program("dd if={path} of={out} bs=777 status=none"),
    program("dd if={path} of={out} bs=4096 iflag=direct status=none"),
    program("tar -C {dir} -S -cf - mean.nii | tar -xO >{out}"),
    program("rsync {path} {out}"),
    program("rsync -c --inplace --no-whole-file {path} {out}"),
    program("tail -c +1 {path} >{out}"),
    program("gzip -c <{path} | gzip -dc >{out}"),
    program("split -b 3000 {path} {out}.part. && cat {out}.part.* >{out}"),
    mapped(mmap.MAP_SHARED),
    mapped(mmap.MAP_PRIVATE),
    mapped_backwards,
    sendfile_to_file,
    sendfile_to_socket,
    copy_file_range,
    backwards,
    vectors,
]
for number, way in enumerate(ways):
    way(source(number), f"way.{number}")
print(len(ways))
PYTHON
}

@test "every way of reading a file that is not computed yet delivers the same, right bytes" {
    local number
    make_run "$DS/0/a.nii" --shape 30,20,10 --volumes 5
    for number in {1..20}; do
        mkdir "$DS/$number"
        cp "$DS/0/a.nii" "$DS/$number"
    done
    # Read through the mount once before, so that directories and names are known to the kernel.
    mount_derivfs "$DS"
    ls -lR "$MNT" >/dev/null
    run -0 read_every_way "$MNT"
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
    run -0 read_every_way "$MNT"
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
        assert_equal "$name $(stat -c '%F %a' "$MNT/.derivfs/$name" | sed 's/empty //')" "$name regular file 444"
        cat "$MNT/.derivfs/$name" >/dev/null
    done
    assert_equal "$(cat "$MNT/.derivfs/version")" "$(derivfs --version | head -1)"
    assert_equal "$(cat "$MNT/.derivfs/errors")" ''
    run -0 grep -c '^\[' "$MNT/.derivfs/recipes.ini"
    assert_output 3
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
