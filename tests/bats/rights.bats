#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# A mount of root's that others may use: nobody gets through it what the dataset itself denies him,
# not even while he renames what is his. These tests are root's; they act as the user nobody.

load helper

NOBODY=65534

setup() {
    common_setup
    [ "$(id -u)" = 0 ] || skip "needs root, who can be somebody else"
    local dir=$BATS_TEST_TMPDIR
    while [ "$dir" != /tmp ] && [ "$dir" != / ]; do
        chmod a+x "$dir"
        dir=${dir%/*}
    done
    cp "$NUMPY/swap.py" .
    chmod a+rx . swap.py "$DS"
    PRIVATE=$DS/private
    mkdir "$PRIVATE" "$DS/own" "$DS/own/d"
    make_run "$PRIVATE/run.nii" --seed 1
    make_run "$DS/own/d/run.nii" --seed 2
    echo private >"$PRIVATE/text"
    echo public >"$DS/own/d/text"
    ln -s /private "$PRIVATE/link"
    ln -s /public "$DS/own/d/link"
    chown -R $NOBODY:$NOBODY "$DS/own"
    chmod -R go=u "$PRIVATE"
    chmod 700 "$PRIVATE"
}

as_nobody() {
    setpriv --reuid=$NOBODY --regid=$NOBODY --clear-groups "$@"
}

# acl FILE TAG:ID:PERMISSION...: give the file this access control list. setfacl is not everywhere.
acl() {
    /usr/bin/python3 -c 'import os, struct, sys
tags = {"u": 1, "user": 2, "g": 4, "group": 8, "mask": 16, "other": 32}
entries = [w.split(":") for w in sys.argv[2:]]
os.setxattr(sys.argv[1], "system.posix_acl_access", struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", tags[t], int(p), int(i or 0xffffffff)) for t, i, p in entries))' "$@"
}

# denied FILE...: nobody may read none of them through the mount.
denied() {
    local file
    for file in "$@"; do
        ! as_nobody cat "$file" >/dev/null 2>&1 || fail "$file is readable"
    done
}

allowed() {
    as_nobody cat "$@" >/dev/null
}

# swap HOW: as nobody, look at own/d through the mount, swap it as HOW says, and ask for everything in
# it again, by descriptor and by path, within the second for which the kernel remembers names.
# Prints each name and content that is not public.
swap() {
    as_nobody /usr/bin/python3 swap.py "$DS/own" "$MNT/own" "$1"
}

@test "a directory swapped for a link to a private one gives nothing of that" {
    mount_derivfs "$DS" -o allow_other
    run -0 swap link
    assert_output ''
}

@test "a directory swapped for a private one beside it gives nothing of that" {
    mv "$PRIVATE" "$DS/own/private"
    mount_derivfs "$DS" -o allow_other
    run -0 swap rename
    assert_output ''
}

@test "with layout=derivatives, derived files of a swapped directory are not those of a private one" {
    mount_derivfs "$DS" -o allow_other,layout=derivatives
    run -0 as_nobody /usr/bin/python3 swap.py "$DS/own" "$MNT/derivatives/derivfs/own" link
    assert_output ''
}

@test "a file swapped for a private one is not opened in its place, nor what is derived from it" {
    mv "$PRIVATE"/{run.nii,text} "$DS/own" # beside d, and root's
    chmod 600 "$DS/own/run.nii" "$DS/own/text"
    mount_derivfs "$DS" -o allow_other
    run -0 swap files
    assert_output ''
}

@test "what is swapped for something public is read, as without a mount" {
    cp -a "$DS/own/d" "$DS/own/e"
    echo other >"$DS/own/e/text"
    mount_derivfs "$DS" -o allow_other
    read_swapped() {
        local text
        text=$(cat "$MNT/own/d/text") && [ "$text" = other ]
    }
    assert_equal "$(as_nobody cat "$MNT/own/d/text")" public
    as_nobody mv "$DS/own/d" "$DS/own/old"
    as_nobody mv "$DS/own/e" "$DS/own/d"
    wait_until read_swapped
    cmp <(as_nobody cat "$MNT/own/d/tsnr.nii") "$MNT/own/old/tsnr.nii"
}

@test "of .derivfs others than the owner see version and counters, and no count of the cache" {
    mount_derivfs "$DS" -o allow_other
    local file
    for file in errors index.html metrics recipes.ini status status.json trace.json; do
        run ! as_nobody cat "$MNT/.derivfs/$file"
    done
    cat "$MNT/own/d/tsnr.nii" >/dev/null
    assert_equal "$(as_nobody cat "$MNT/.derivfs/version")" "$(derivfs --version | head -1)"
    run -0 as_nobody grep -v '^#' "$MNT/.derivfs/counters"
    assert_line 'derivfs_tasks_done_total 2'
    assert_line 'derivfs_cache_published_total 2'
    run ! grep -v _total <<<"$output"
}

@test "status and metrics do not count the cache anew for each open" {
    mount_derivfs "$DS"
    cat "$MNT/own/d/tsnr.nii" >/dev/null
    assert_equal "$(metric cache_entries)" 2
    mv "$CACHE/v1/objects" "$CACHE/v1/elsewhere"
    assert_equal "$(metric cache_entries)" 2
    assert_equal "$(json 'd["cache"]["entries"]' <"$MNT/.derivfs/status.json")" 2
    mv "$CACHE/v1/elsewhere" "$CACHE/v1/objects"
    cat "$MNT/own/d/mean.nii" >/dev/null
    assert_equal "$(metric cache_entries)" 3
}

@test "what is derived from a link is for those who may go where it leads" {
    mkdir "$DS/links" "$DS/via" "$DS/public"
    mv "$DS/own/d/run.nii" "$DS/public"
    chmod 644 "$PRIVATE/run.nii"
    ln -s ../private/run.nii "$DS/links/a.nii"
    ln -s ../links/a.nii "$DS/via/b.nii"
    mkdir "$DS/up" "$DS/round" "$DS/chain" "$DS/sound"
    ln -s ../private/../public/run.nii "$DS/up/c.nii"
    ln -s ../public/run.nii "$PRIVATE/hop.nii"
    ln -s private "$DS/door"
    ln -s ../door/hop.nii "$DS/round/d.nii"
    ln -s ../public/run.nii "$DS/sound/e.nii"
    mount_derivfs "$DS" -o allow_other
    local dir
    for dir in links via up round; do
        run -0 stat -c %a "$MNT/$dir/tsnr.nii"
        assert_output 400
        cat "$MNT/$dir/tsnr.nii" >/dev/null
        denied "$MNT/$dir"/{*.nii,tsnr.nii.gz,tsnr.json,tsnr.tsv,tsnr.png}
    done
    allowed "$MNT/sound/"{e,tsnr}.nii
    chmod 711 "$PRIVATE"
    wait_until allowed "$MNT/links/tsnr.nii" "$MNT/round/tsnr.nii"
    denied "$MNT/private/run_stat-tsnr_boldmap/nothing"
    chmod 700 "$PRIVATE"
    wait_until denied "$MNT/links/tsnr.nii" "$MNT/round/tsnr.nii"
}

@test "rights that are withdrawn are withdrawn from derived files, also from those held open by name" {
    mount_derivfs "$DS" -o allow_other
    allowed "$MNT/own/d/"{tsnr.nii,tsnr.json,tsnr.tsv}
    chmod a+w .
    as_nobody /usr/bin/python3 - "$MNT/own/d/tsnr.nii" "$MNT/own/d/tsnr.tsv" 3>&- <<'END' &
import os, sys, time
held = [os.open(name, os.O_PATH) for name in sys.argv[1:]]
open("held", "w").close()
while not os.path.exists("withdrawn"):
    time.sleep(0.02)
for fd, name in zip(held, sys.argv[1:]):
    for _ in range(3):
        try:
            os.read(os.open(f"/proc/self/fd/{fd}", os.O_RDONLY), 1)
            open("got " + os.path.basename(name), "w").close()
        except OSError:
            pass
END
    wait_until test -e held
    chmod 600 "$DS/own/d/run.nii"
    chown 0:0 "$DS/own/d/run.nii"
    touch withdrawn
    wait $!
    run -0 ls
    refute_line --partial got
    denied "$MNT/own/d/"{tsnr.nii,tsnr.json,tsnr.tsv}
    chmod 644 "$DS/own/d/run.nii"
    wait_until allowed "$MNT/own/d/"{tsnr.nii,tsnr.json,tsnr.tsv}
}

@test "rights withdrawn from git-annex objects, and from their directories, count" {
    local key
    key=SHA256E-s$(stat -c %s "$PRIVATE/run.nii")--$(sha256sum "$PRIVATE/run.nii" | cut -d ' ' -f 1).nii
    mkdir -p "$DS/func" "$DS/.git/annex/objects/Xx/1Z/$key"
    local object=$DS/.git/annex/objects/Xx/1Z/$key/$key
    cp "$PRIVATE/run.nii" "$object"
    ln -s "../.git/annex/objects/Xx/1Z/$key/$key" "$DS/func/run.nii"
    chmod 444 "$object"
    mount_derivfs "$DS" -o allow_other
    allowed "$MNT/func/tsnr.nii" "$MNT/func/run.nii"
    chmod 400 "$object"
    wait_until denied "$MNT/func/"{tsnr,run}.nii
    chmod 444 "$object"
    wait_until allowed "$MNT/func/"{tsnr,run}.nii
    chmod 700 "${object%/*/*}"
    wait_until denied "$MNT/func/"{tsnr,run}.nii
    denied "$MNT/func/"{mean.nii,tsnr.nii.gz,tsnr.tsv}
}

@test "access control lists hold: of sources, of their directories, and for what is derived" {
    local d
    for d in user group mask dir link plain; do
        mkdir "$DS/$d"
        cp "$PRIVATE/run.nii" "$DS/$d/run.nii"
        chmod 644 "$DS/$d/run.nii"
    done
    acl "$DS/user/run.nii" u::6 user:$NOBODY:0 g::4 mask::4 other::4
    acl "$DS/group/run.nii" u::6 g::4 group:$NOBODY:0 mask::4 other::4
    acl "$DS/mask/run.nii" u::6 user:1:4 g::0 mask::4 other::0
    chgrp $NOBODY "$DS/mask/run.nii" # st_mode says 0640
    acl "$DS/dir" u::7 user:$NOBODY:0 g::5 mask::5 other::5
    ln -sf ../dir/run.nii "$DS/link/run.nii"
    for d in user group mask dir link; do run ! as_nobody cat "$DS/$d/run.nii"; done # the dataset
    mount_derivfs "$DS" -o allow_other
    for d in user group mask dir link; do
        denied "$MNT/$d/"{run,tsnr,mean}.nii "$MNT/$d/"{tsnr.tsv,tsnr.json}
        cat "$MNT/$d/tsnr.nii" >/dev/null
    done
    assert_equal "$(stat -c %a "$MNT/user/run.nii")" 600
    allowed "$MNT/plain/"{run,tsnr}.nii
    acl "$DS/plain/run.nii" u::6 user:$NOBODY:0 g::4 mask::4 other::4
    wait_until denied "$MNT/plain/"{run,tsnr}.nii
}

@test "a member of a group is not one of the others: modes such as 0604, of one source and of several" {
    mkdir "$DS/one" "$DS/two" "$DS/three"
    cp "$PRIVATE/run.nii" "$DS/one/run.nii"
    chmod 604 "$DS/one/run.nii"
    chgrp $NOBODY "$DS/one/run.nii"
    # two files of root's: nobody is in the group of the second, which is denied
    make_run "$DS/two/a.nii"
    make_run "$DS/two/b.nii"
    chmod 604 "$DS/two/b.nii"
    chgrp $NOBODY "$DS/two/b.nii"
    # one of nobody's and one of root's
    make_run "$DS/three/a.nii"
    make_run "$DS/three/b.nii"
    chown $NOBODY "$DS/three/a.nii"
    chmod 404 "$DS/three/b.nii"
    chgrp $NOBODY "$DS/three/b.nii"
    mount_derivfs "$DS" -o allow_other
    denied "$MNT/"{one,two,three}/tsnr.nii
    denied "$MNT/one/run.nii" "$MNT/two/b.nii" "$MNT/three/b.nii"
    allowed "$MNT/two/a.nii" "$MNT/three/a.nii" "$MNT/two/a_stat-tsnr_boldmap.nii"
}

@test "files that a command names count, too" {
    ln -s ../../private/text "$DS/own/d/extra.txt"
    chmod 644 "$PRIVATE/text"
    cat >recipes.ini <<'END'
[sum.txt]
command = cp {extra.txt} {out}
END
    mount_derivfs "$DS" -o allow_other --recipes=recipes.ini
    grep -aq private "$MNT/own/d/sum.txt"
    denied "$MNT/own/d/sum.txt"
}

@test "whoever names absent content in a link of his own gets nothing that was computed of it" {
    local key
    key=SHA256E-s$(stat -c %s "$PRIVATE/run.nii")--$(sha256sum "$PRIVATE/run.nii" | cut -d ' ' -f 1).nii
    local place=.git/annex/objects/Xx/1Z/$key
    mkdir -p "$PRIVATE/$place" "$DS/own/d/.git/annex/objects"
    mv "$PRIVATE/run.nii" "$PRIVATE/$place/$key"
    rm "$DS/own/d/run.nii"
    # its header and its results are known in that directory, while the link leads to it
    ln -s "../../private/$place/$key" "$DS/own/d/run.nii"
    is_old() {
        [ $((EPOCHSECONDS - $(stat -c %Z "$1"))) -gt 1 ]
    }
    wait_until is_old "$PRIVATE/$place/$key"
    mount_derivfs "$DS" -o allow_other
    cat "$MNT/own/d/"{tsnr,mean}.nii >/dev/null
    denied "$MNT/own/d/tsnr.nii"
    rm "$DS/own/d/run.nii"
    ln -s "$place/$key" "$DS/own/d/run.nii"
    chown -hR $NOBODY "$DS/own/d"
    denied "$MNT/own/d/"{tsnr,mean}.nii
}
