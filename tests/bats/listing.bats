#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Listings: complete, as the directory is now, and not stopped by what cannot be looked at.
#
# $DS/remote is the mount of a file system that has died: its name is listed by its directory, and
# every access to it fails.

# bats file_tags=release

load helper

setup() {
    common_setup
    DAEMON_MAY_DIE=1
    mkdir "$DS/remote" remote
    echo precious >remote/file
}

mount_remote() {
    bindfs -f --no-allow-other remote "$DS/remote" 3>&- 4>&- &
    REMOTE=$!
    wait_until mounted "$DS/remote"
}

kill_remote() {
    kill -KILL "$REMOTE"
    wait "$REMOTE" || true
    remote_is_dead() { ! stat -f "$DS/remote" >/dev/null 2>&1; }
    wait_until remote_is_dead
}

# The kernel keeps what it knows of a name for a second.
remote_fails() {
    ! stat "$MNT/remote" >/dev/null 2>&1
}

@test "a name that cannot be looked at stays in the listing, and rsync --delete keeps its copy" {
    mount_remote
    mount_derivfs "$DS"
    mkdir copy
    rsync -a "$MNT/" copy/
    assert_equal "$(cat copy/remote/file)" precious
    kill_remote
    wait_until remote_fails
    assert_equal "$(ls -U "$MNT")" remote
    assert_equal "$(/usr/bin/python3 -c 'import os, sys
print([e.name for e in os.scandir(sys.argv[1])])' "$MNT")" "['remote']"
    run -23 rsync -a --delete "$MNT/" copy/
    assert_equal "$(cat copy/remote/file)" precious
}

@test "a dead directory does not stop the rest, in any layout, nor derivctl" {
    local layout name
    make_run "$DS/a.nii"
    make_run "$DS/sub/b.nii"
    make_run remote/c.nii
    mount_remote
    kill_remote
    for layout in beside derivatives; do
        mount_derivfs "$DS" -o layout=$layout
        name='*tsnr.nii'
        [ $layout = beside ] || name='*_stat-tsnr_boldmap.nii'
        find "$MNT" >found 2>errors || true
        assert_equal "$(grep -c "${name#\*}\$" found)" 2
        assert [ "$(grep -c '/remote$' found)" -ge 1 ]
        assert_file_contains errors remote
        find "$MNT" -name "$name" -exec cat {} + >/dev/null 2>&1 || true
        assert_equal "$(metric tasks_failed_total)" 0
        unmount_derivfs
    done
    run -1 derivctl compute -r "$DS" --cache_dir="$CACHE"
    assert_line --regexp 'remote: list: .*Transport endpoint is not connected'
    assert_line --regexp 'dataset: 14 files: '
}

@test "errors says why a name cannot be looked at or listed, and forgets it when it can" {
    make_run "$DS/run.nii" # a dataset without runs has an entry
    mount_remote
    mount_derivfs "$DS"
    kill_remote
    wait_until remote_fails
    run ! ls "$MNT/remote"
    run -0 cat "$MNT/.derivfs/errors"
    assert_line --regexp ' remote: .*Transport endpoint is not connected'
    umount -l "$DS/remote"
    lists() { ls "$MNT/remote" >/dev/null 2>&1; }
    wait_until lists
    assert_equal "$(cat "$MNT/.derivfs/errors")" ''
}

@test "errors is empty after names that do not exist, and other answers of a working mount" {
    local long
    make_run "$DS/a.nii"
    mount_derivfs "$DS"
    printf -v long 'x%.0s' {1..300}
    run ! cat "$MNT/nothing" "$MNT/a.nii/nothing" "$MNT/$long" "$MNT/nothing.tsv"
    assert_equal "$(cat "$MNT/.derivfs/errors")" ''
}

@test "errors says why the bytes of a source cannot be read" {
    make_run "$DS/run.nii" # a dataset without runs has an entry
    head -c 300000 /dev/urandom >"$DS/file"
    mount_derivfs_foreground "$DS" -omax_threads=2
    # A kernel that reads the file itself reports what it meets to nobody.
    run -0 cmp "$MNT/file" "$DS/file"
    strace -qq -f -o trace -e trace=openat2 -P file -e inject=openat2:error=EIO -p "$DAEMON" 3>&- 4>&- &
    local tracer=$!
    traced() { ! grep -q '^TracerPid:.0$' "/proc/$DAEMON/status"; }
    wait_until traced
    fails() { ! cat "$MNT/file" >/dev/null 2>&1; }
    wait_until fails
    kill "$tracer"
    wait "$tracer" || true
    run -0 cat "$MNT/.derivfs/errors"
    assert_line --regexp ' file: .*Input/output error'
    wait_until cmp "$MNT/file" "$DS/file"
    assert_equal "$(cat "$MNT/.derivfs/errors")" ''
}

@test "rewinddir and a new opendir show the directory as it is now" {
    mount_derivfs "$DS"
    echo 1 >"$DS/first"
    run -0 /usr/bin/python3 - "$DS" "$MNT" <<'PYTHON'
import os, sys

source, mount = sys.argv[1:]
fd = os.open(mount, os.O_RDONLY)
assert sorted(os.listdir(fd)) == ["first", "remote"], os.listdir(fd)
open(f"{source}/second", "w").close()
assert sorted(os.listdir(fd)) == ["first", "remote", "second"], "rewinddir after a new name"
assert sorted(os.listdir(mount)) == ["first", "remote", "second"], "opendir after a new name"
os.unlink(f"{source}/first")
assert sorted(os.listdir(fd)) == ["remote", "second"], "rewinddir after a removal"
PYTHON
}

@test "a directory of thousands of names is listed whole, also with changes meanwhile" {
    (cd "$DS" && printf 'file-%04d\n' {1..3000} | xargs touch)
    mount_derivfs "$DS"
    run -0 /usr/bin/python3 - "$DS" "$MNT" <<'PYTHON'
import os, sys

source, mount = sys.argv[1:]
with os.scandir(mount) as entries:
    names = [next(entries).name]
    for i in range(1, 3001, 3):
        os.unlink(f"{source}/file-{i:04d}")
    names += [e.name for e in entries]
kept = {f"file-{i:04d}" for i in range(1, 3001) if i % 3 != 1} | {"remote"}
assert kept <= set(names), sorted(kept - set(names))[:5]
assert len(names) == len(set(names))
PYTHON
}
