#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# The dataset itself as the mount shows it: the same to the byte, read-only, and up to date.

# bats file_tags=release

load helper

# describe_tree DIR: a line for each entry with all that stat tells, but for the time of access.
describe_tree() {
    (cd "$1" && find . -mindepth 1 -printf '%P|%y|%m|%U:%G|%s|%T@|%C@|%n|%i|%l\0' | sort -z)
}

# Fails where MNT shows anything of DS differently. No runs, so no derived files.
assert_same_tree() {
    assert_equal "$(describe_tree "$MNT" | tr '\0' '\n')" "$(describe_tree "$DS" | tr '\0' '\n')"
}

# What DS is, with its contents: to see later that nothing was written.
fingerprint() {
    describe_tree "$DS" | sha256sum
    (cd "$DS" && find . -type f -print0 | sort -z | xargs -0 sha256sum)
}

# A tree of all that is awkward, without runs.
make_awkward_tree() {
    local long
    long=$(printf 'x%.0s' {1..255})
    mkdir -p "$DS/a b/.hidden/deep" "$DS/empty" "$DS/übung/日本"
    echo one >"$DS/a b/with  two spaces "
    echo two >"$DS/übung/日本/ñandú.txt"
    echo three >"$DS/.leading dot"
    echo four >"$DS/-dash"
    echo five >"$DS/"$'line\nbreak'
    echo six >"$DS/back\\slash, comma: colon"
    echo seven >"$DS/$long"
    : >"$DS/empty/zero"
    head -c 300000 /dev/urandom >"$DS/random"
    truncate -s 1M "$DS/sparse"
    ln "$DS/random" "$DS/a b/second name of random"
    ln -s random "$DS/relative"
    ln -s ../random "$DS/a b/upwards"
    ln -s /etc/passwd "$DS/absolute"
    ln -s nowhere "$DS/dangling"
    ln -s loop "$DS/loop"
    chmod 0751 "$DS/-dash"
    chmod 0400 "$DS/.leading dot"
    chmod 0700 "$DS/empty"
    touch -d '2001-02-03 04:05:06.789012345 UTC' "$DS/random" "$DS/übung"
    touch -h -d '1999-12-31 23:59:59.999999999 UTC' "$DS/dangling"
}

@test "names, modes, owners, times, sizes, link counts, inode numbers and targets are the dataset's" {
    make_awkward_tree
    mount_derivfs "$DS"
    assert_same_tree
    assert_equal "$(stat -c '%a %u:%g %y %i' "$MNT")" "$(stat -c '%a %u:%g %y %i' "$DS")"
}

@test "bytes are the dataset's, by diff -r" {
    make_awkward_tree
    mount_derivfs "$DS"
    run -0 diff -r --no-dereference "$DS" "$MNT"
    assert_output ''
}

@test "rsync with checksums finds nothing to change but the derived files" {
    make_sample "$DS/sample"
    mount_derivfs "$DS"
    run -0 rsync -rlptgoDHc --delete --dry-run --itemize-changes "$DS/" "$MNT/"
    assert_line --regexp '^\*deleting +sample/sub-01/ses-test/func/tsnr\.nii$'
    # The three of the group, one of each of the five runs, what tells of them, and nothing else.
    assert_equal "$(printf '%s\n' "${lines[@]}" | grep -c '\.nii$')" 8
    refute_line --regexp '^[^*]'
    refute_line --regexp '_bold\.|_T1w\.'
}

@test "links lead where they lead in the dataset" {
    make_awkward_tree
    mount_derivfs "$DS"
    cmp "$MNT/relative" "$DS/random"
    cmp "$MNT/a b/upwards" "$DS/random"
    cmp "$MNT/absolute" /etc/passwd
    run ! cat "$MNT/dangling"
    assert_output --partial 'No such file or directory'
    run ! cat "$MNT/loop"
    assert_output --partial 'Too many levels of symbolic links'
}

@test "every operation that would change something answers EROFS, on sources and derived files" {
    make_run "$DS/a.nii"
    mkdir "$DS/sub"
    mount_derivfs "$DS"
    run -0 /usr/bin/python3 - "$MNT" <<'PYTHON'
import errno, os, sys

root = sys.argv[1]
calls = {
    "mkdir": lambda p: os.mkdir(root + "/new"),
    "rmdir": lambda p: os.rmdir(root + "/sub"),
    "create": lambda p: os.open(root + "/new", os.O_WRONLY | os.O_CREAT),
    "mkfifo": lambda p: os.mkfifo(root + "/new"),
    "symlink": lambda p: os.symlink("x", root + "/new"),
    "unlink": os.unlink,
    "rename": lambda p: os.rename(p, root + "/new"),
    "link": lambda p: os.link(p, root + "/new"),
    "write": lambda p: os.open(p, os.O_WRONLY),
    "read and write": lambda p: os.open(p, os.O_RDWR),
    "append": lambda p: os.open(p, os.O_WRONLY | os.O_APPEND),
    "open truncating": lambda p: os.open(p, os.O_RDONLY | os.O_TRUNC),
    "truncate": lambda p: os.truncate(p, 0),
    "chmod": lambda p: os.chmod(p, 0o600),
    "chown": lambda p: os.chown(p, 1, 1),
    "utime": lambda p: os.utime(p, (1, 1)),
    "setxattr": lambda p: os.setxattr(p, "user.x", b"y"),
    "removexattr": lambda p: os.removexattr(p, "user.x"),
}
for name in "a.nii", "tsnr.nii":
    for what, call in calls.items():
        try:
            call(f"{root}/{name}")
            print(f"{what} {name}: succeeded")
        except OSError as e:
            if e.errno != errno.EROFS:
                print(f"{what} {name}: {errno.errorcode[e.errno]}")
PYTHON
    assert_output ''
}

@test "nothing is written into the dataset, whatever is read or goes wrong" {
    make_sample "$DS/sample"
    make_run "$DS/broken/a.nii.gz" --cut 200
    local before
    before=$(fingerprint)
    mount_derivfs "$DS"
    find "$MNT" -type f -exec cat {} + >/dev/null 2>&1 || true # the broken run
    cat "$MNT/sample/sub-01/ses-test/func/tsnr.nii.gz" >/dev/null
    run ! touch "$MNT/sample/new"
    assert_output --partial 'Read-only file system'
    unmount_derivfs
    assert_equal "$(fingerprint)" "$before"
}

@test "an edit in place is seen when the file is opened anew, even if only its ctime changed" {
    echo before >"$DS/notes"
    touch -d 2020-01-01 "$DS/notes"
    mount_derivfs "$DS"
    assert_equal "$(cat "$MNT/notes")" before
    echo AFTER! >"$DS/notes"
    touch -d 2020-01-01 "$DS/notes"
    assert_equal "$(cat "$MNT/notes")" AFTER!
}

@test "a derived file follows its source, even if only the source's ctime changed" {
    make_run "$DS/a.nii" --mtime 1600000000
    mount_derivfs "$DS"
    reference tsnr "$MNT/tsnr.nii" "$DS/a.nii"
    make_run "$BATS_TEST_TMPDIR/other.nii" --seed 2
    cat "$BATS_TEST_TMPDIR/other.nii" >"$DS/a.nii"
    touch -d @1600000000 "$DS/a.nii"
    reference tsnr "$MNT/tsnr.nii" "$DS/a.nii"
}

@test "names, sizes and modes that change are seen within about a second" {
    echo old >"$DS/old"
    echo short >"$DS/size"
    mount_derivfs "$DS"
    assert_equal "$(ls "$MNT")" $'old\nsize'
    assert_equal "$(stat -c %s "$MNT/size")" 6
    mv "$DS/old" "$DS/new"
    echo 'much longer' >"$DS/size"
    chmod 0600 "$DS/size"
    local begin=$SECONDS
    wait_until test "$MNT/new" -ef "$MNT/new"
    wait_until test ! -e "$MNT/old"
    wait_until test "$(stat -c %s:%a "$DS/size")" = 12:600
    until [ "$(stat -c %s:%a "$MNT/size")" = 12:600 ] || [ $((SECONDS - begin)) -gt "$PATIENCE_S" ]; do
        sleep 0.02
    done
    assert [ $((SECONDS - begin)) -le 3 ]
    assert_equal "$(ls "$MNT")" $'new\nsize'
    assert_equal "$(cat "$MNT/size")" 'much longer'
}

@test "a file that is renamed over keeps its old bytes for who has it open, and has new ones for others" {
    head -c 500000 /dev/urandom >"$DS/file"
    cp "$DS/file" old
    mount_derivfs "$DS"
    exec 7<"$MNT/file"
    head -c 1000 <&7 >got
    head -c 500000 /dev/urandom >new
    cp new "$DS/.new"
    mv "$DS/.new" "$DS/file"
    cmp "$MNT/file" new
    cat <&7 >>got
    exec 7<&-
    cmp got old
    cmp "$MNT/file" new
}

@test "an open file can be asked for its attributes when its name is gone, or another file's" {
    head -c 5000 /dev/urandom >"$DS/gone"
    head -c 5000 /dev/urandom >"$DS/replaced"
    make_run "$DS/sub/a.nii"
    mount_derivfs "$DS"
    # for longer than the kernel remembers attributes
    run -0 /usr/bin/python3 - "$DS" "$MNT" <<'PYTHON'
import os, sys, time

source, mount = sys.argv[1:]
names = "gone", "replaced", "sub/tsnr.nii", "sub/tsnr.tsv", "sub/tsnr.svg"
files = [open(f"{mount}/{name}", "rb") for name in names]
before = [os.fstat(f.fileno()) for f in files]
os.unlink(f"{source}/gone")
with open(f"{source}/new", "wb") as f:
    f.write(b"other")
os.rename(f"{source}/new", f"{source}/replaced")
os.rename(f"{source}/sub/a.nii", f"{source}/a.nii")
end = time.monotonic() + 1.5
while time.monotonic() < end:
    for f, st in zip(files, before):
        now = os.fstat(f.fileno())
        assert (now.st_size, now.st_ino, now.st_mode) == (st.st_size, st.st_ino, st.st_mode), f.name
PYTHON
}

@test "a derived file that is open keeps its bytes when its source is renamed over" {
    make_run "$DS/a.nii" --shape 20,20,10
    mount_derivfs "$DS"
    cat "$MNT/tsnr.nii" >old
    exec 7<"$MNT/tsnr.nii"
    head -c 2000 <&7 >got
    make_run "$DS/.new.nii" --shape 20,20,10 --seed 2
    mv "$DS/.new.nii" "$DS/a.nii"
    cat "$MNT/tsnr.nii" >new.nii
    cat <&7 >>got
    exec 7<&-
    cmp got old
    reference tsnr new.nii "$DS/a.nii"
    run ! cmp -s old new.nii
}

@test "pipes, sockets and devices hold nobody up" {
    make_run "$DS/a.nii"
    mkfifo "$DS/pipe" "$DS/pipe.nii.gz"
    /usr/bin/python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$DS/socket"
    if [ "$EUID" = 0 ]; then
        mknod "$DS/null" c 1 3
        mknod "$DS/block.nii" b 7 0
    fi
    mount_derivfs "$DS"
    run -0 timeout "$PATIENCE_S" ls -lR "$MNT"
    assert_line --regexp '^prw.* pipe\.nii\.gz$'
    assert_line --regexp '^srw.* socket$'
    if [ "$EUID" = 0 ]; then
        assert_line --regexp '^crw.* 1, +3 .* null$'
        assert_line --regexp '^brw.* 7, +0 .* block\.nii$'
    fi
    run -0 timeout "$PATIENCE_S" find "$MNT" -ls
    timeout "$PATIENCE_S" cat "$MNT/tsnr.nii" >got.nii
    reference tsnr got.nii "$DS/a.nii"
    if [ "$EUID" = 0 ]; then
        run ! timeout "$PATIENCE_S" cat "$MNT/null"
        assert_output --partial 'Permission denied' # nodev
    fi
}

@test "a file of the dataset hides the derived one of its name, also when it comes later" {
    make_run "$DS/a.nii"
    echo mine >"$DS/tsnr.nii"
    mount_derivfs "$DS"
    assert_equal "$(ls "$MNT" | grep -cx tsnr.nii)" 1
    assert_equal "$(cat "$MNT/tsnr.nii")" mine
    assert_equal "$(stat -c %i "$MNT/tsnr.nii")" "$(stat -c %i "$DS/tsnr.nii")"
    reference mean "$MNT/mean.nii" "$DS/a.nii"
    echo mine too >"$DS/mean.nii"
    wait_until cmp -s "$MNT/mean.nii" "$DS/mean.nii"
    assert_equal "$(ls "$MNT" | grep -cx mean.nii)" 1
    rm "$DS/mean.nii"
    wait_until reference mean "$MNT/mean.nii" "$DS/a.nii" 2>/dev/null
}
