#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# What names a file other than its path: inode numbers, and the handles that name_to_handle_at(2) and
# NFS servers use.

# bats file_tags=release

load helper

@test "files of several devices below the dataset have different inode numbers" {
    local i
    mkdir "$DS/one" "$DS/two"
    mount -t tmpfs none "$DS/one"
    mount -t tmpfs none "$DS/two"
    for i in one two; do
        echo $i >"$DS/$i/file"
        ln "$DS/$i/file" "$DS/$i/second"
    done
    # for this to be a test
    assert_equal "$(stat -c %i "$DS/one/file")" "$(stat -c %i "$DS/two/file")"
    mount_derivfs "$DS"
    assert [ "$(stat -c %i "$MNT/one/file")" != "$(stat -c %i "$MNT/two/file")" ]
    assert_equal "$(stat -c %i "$MNT/one/file")" "$(stat -c %i "$MNT/one/second")"
    assert_equal "$(stat -c %i "$MNT/one/file")" "$(stat -Lc %i /dev/stdin <"$MNT/one/file")"
    assert_equal "$(ls -i "$MNT/one" | sed 's/ .*//' | sort -u)" "$(stat -c %i "$MNT/one/file")"
    # which takes equal numbers for one file
    cp -a "$MNT/." copy
    assert_equal "$(cat copy/one/file copy/two/file)" $'one\ntwo'
    assert [ copy/one/file -ef copy/one/second ]
    tar -C "$MNT" -cf all.tar one two
    mkdir out
    tar -C out -xf all.tar
    assert_equal "$(cat out/one/file out/two/file)" $'one\ntwo'
    unmount_derivfs
    umount "$DS/one" "$DS/two"
}

@test "a handle stands for its file or for none, also when the kernel has forgotten the file" {
    local i
    for i in {0..299}; do
        echo "$i" >"$DS/$i"
    done
    mount_derivfs "$DS"
    run -0 /usr/bin/python3 - "$MNT" <<'PYTHON'
import ctypes, errno, os, sys

mount = sys.argv[1]
libc = ctypes.CDLL(None, use_errno=True)

class Handle(ctypes.Structure):
    _fields_ = [("nbytes", ctypes.c_uint), ("type", ctypes.c_int), ("bytes", ctypes.c_char * 128)]

def handle_of(path):
    handle, mount_id = Handle(nbytes=128), ctypes.c_int()
    if libc.name_to_handle_at(-100, path.encode(), ctypes.byref(handle), ctypes.byref(mount_id), 0):
        raise OSError(ctypes.get_errno(), "name_to_handle_at")
    return handle

def read(handle):
    fd = libc.open_by_handle_at(root, ctypes.byref(handle), os.O_RDONLY)
    if fd < 0:
        return errno.errorcode[ctypes.get_errno()]
    with open(fd) as f:
        return f.read()

root = os.open(mount, os.O_RDONLY)
handles = {str(i): handle_of(f"{mount}/{i}") for i in range(0, 300, 2)}
assert read(handles["4"]) == "4\n"
for _ in range(3):
    with open("/proc/sys/vm/drop_caches", "w") as f:
        f.write("2")
    # other files take the places of those that were forgotten
    for i in range(1, 300, 2):
        os.stat(f"{mount}/{i}")
    wrong = {n: got for n, h in handles.items() if (got := read(h)) not in (n + "\n", "ESTALE")}
    assert not wrong, wrong
PYTHON
}

@test "df is that of the dataset, and what derivfs makes up has inode numbers of its own" {
    make_run "$DS/a.nii"
    mount_derivfs "$DS"
    assert_equal "$(stat -f -c '%S %b %c' "$MNT")" "$(stat -f -c '%S %b %c' "$DS")"
    assert_equal "$(stat -c %i "$MNT" "$MNT/a.nii")" "$(stat -c %i "$DS" "$DS/a.nii")"
    run -0 find "$MNT" "$MNT"/.derivfs "$MNT"/tsnr.{tsv,svg,json} -printf '%i\n'
    assert_equal "$(printf '%s\n' "${lines[@]}" | sort | uniq -d)" "$(stat -c %i "$MNT/tsnr.json")"
}
