#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Files whose length is not known before they are opened: of commands, tables, drawings, and those of
# .derivfs. Every program gets all of them or an error, whether it trusts stat(2), asks the open
# file, or reads to the end.

# bats file_tags=release

load helper

setup() {
    common_setup
    make_run "$DS/sub-1_task-a_bold.nii"
    cat >recipes.ini <<'INI'
[report.txt]
command = seq 20000
list = yes
[empty.txt]
command = true
list = yes
[broken.txt]
command = false
list = yes
INI
    mount_derivfs "$DS" --recipes=recipes.ini
}

FILES=(report.txt tsnr.tsv group_mean.tsv tsnr.svg report.txt.svg .derivfs/version .derivfs/recipes.ini
    .derivfs/status.json .derivfs/index.html)

# Is FILE all of NAME? Some of them are never the same twice, but end in the same way.
assert_whole() { # NAME FILE
    case $1 in
    report.txt) cmp "$2" <(seq 20000) ;;
    *.tsv) cmp "$2" "$MNT/$1" ;;
    *.svg | *.html) [[ $(tail -n 1 "$2") == '</'*'>' ]] ;;
    *.json) json 1 <"$2" >/dev/null ;;
    *) cmp "$2" "$MNT/$1" ;;
    esac || { echo "$1 is not whole in $2" >&2 && return 1; }
}

@test "their size is unknown until they are opened, then exact; they take no space" {
    local name
    for name in "${FILES[@]}"; do
        assert_equal "$name $(stat -c '%s %b' "$MNT/$name")" "$name $UNKNOWN_SIZE 1"
        assert_equal "$(stat -Lc %s /dev/stdin <"$MNT/$name")" "$(cat "$MNT/$name" | wc -c)"
    done
    assert_equal "$(stat -c %s "$MNT/report.txt")" "$(seq 20000 | wc -c)"
    assert_equal "$(stat -c %s "$MNT/empty.txt")" "$UNKNOWN_SIZE"
    assert_equal "$(cat "$MNT/empty.txt")" ''
    assert_equal "$(stat -c '%s %b' "$MNT/empty.txt")" '0 0'
    run ! cat "$MNT/broken.txt"
    assert_equal "$(stat -c %s "$MNT/broken.txt")" "$UNKNOWN_SIZE"
}

@test "programs that copy get all: cp, cat, rsync, busybox, Python" {
    local name
    for name in "${FILES[@]}"; do
        cp "$MNT/$name" got && assert_whole "$name" got
        cp --sparse=always "$MNT/$name" got && assert_whole "$name" got
        busybox cp "$MNT/$name" got && assert_whole "$name" got
        busybox cat "$MNT/$name" >got && assert_whole "$name" got
        rsync "$MNT/$name" got && assert_whole "$name" got
        dd if="$MNT/$name" of=got bs=1000 status=none && assert_whole "$name" got
        /usr/bin/python3 -c 'import shutil, sys; shutil.copyfile(*sys.argv[1:])' "$MNT/$name" got
        assert_whole "$name" got
    done
}

@test "sendfile, splice and mappings without any stat give all, again and again" {
    cat >get.py <<'PYTHON'
import ctypes, mmap, os, sys

path, how = sys.argv[1:]
with open("got", "wb") as out, open(path, "rb", buffering=0) as f:
    if how == "mmap":
        with mmap.mmap(f.fileno(), os.fstat(f.fileno()).st_size, mmap.MAP_PRIVATE, mmap.PROT_READ) as m:
            out.write(m)
    elif how == "splice":
        r, w = os.pipe()
        while n := os.splice(f.fileno(), w, 1 << 16):
            out.write(os.read(r, n))
    else:
        # os.open and not open(): no fstat comes before
        fd = os.open(path, os.O_RDONLY)
        while os.sendfile(out.fileno(), fd, None, 1 << 20):
            pass
PYTHON
    local name how
    for how in sendfile mmap splice sendfile; do
        for name in "${FILES[@]}"; do
            /usr/bin/python3 get.py "$MNT/$name" $how
            assert_whole "$name" got
        done
    done
}

@test "tar archives all of listed ones, or fails where the file does" {
    local status=0
    tar -cf all.tar -C "$MNT" report.txt tsnr.svg tsnr.tsv
    mkdir out
    tar -xf all.tar -C out
    assert_whole report.txt out/report.txt
    assert_whole tsnr.svg out/tsnr.svg
    assert_whole tsnr.tsv out/tsnr.tsv
    run ! tar -cf broken.tar -C "$MNT" broken.txt
    # This one trusts the size of before.
    busybox tar -cf - -C "$MNT" tsnr.tsv >busybox.tar 2>/dev/null || status=$?
    assert [ $status -ne 0 ]
}

@test "git adds all or fails, and adds all once the length is known" {
    local status
    git init -q repository
    git() { command git --git-dir=repository/.git --work-tree="$MNT" -c user.name=x -c user.email=x "$@"; }
    for status in 1 2; do
        if git add -f report.txt 2>/dev/null; then
            git cat-file blob :report.txt >got
            assert_whole report.txt got
        fi
        cat "$MNT/report.txt" >/dev/null
    done
    git cat-file blob :report.txt >got
    assert_whole report.txt got
}

@test "a table that grows while it is open elsewhere is whole for every reader" {
    exec 7<"$MNT/tsnr.tsv"
    cat "$MNT/tsnr.tsv" >first
    make_run "$DS/sub-1_task-b_bold.nii" --seed 2
    has_two() { [ "$(wc -l <"$MNT/tsnr.tsv")" -eq 3 ]; }
    wait_until has_two
    busybox cat "$MNT/tsnr.tsv" >second
    assert_equal "$(wc -l <second)" 3
    cat <&7 >got
    exec 7<&-
    cmp got first
}
