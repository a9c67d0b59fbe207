#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# annex=get: what a read lacks is fetched by git-annex, once, and nothing else is. The dataset is a
# clone; its origin is a repository beside it. A wrapper around git-annex counts what is fetched.

load helper

A=sub-1_task-a_bold.nii.gz
B=sub-1_task-b_bold.nii.gz

# One origin for all tests: two runs, an image, a submodule with a run.
setup_file() {
    use_git "$BATS_FILE_TMPDIR"
    cd "$BATS_FILE_TMPDIR" || return
    make_run - <<END
a.nii.gz
b.nii.gz --seed 2
END
    make_origin sub a.nii.gz "func/$A"
    make_origin origin a.nii.gz "func/$A" b.nii.gz "func/$B" b.nii.gz 'odd/-- :(top)*ü.nii.gz' \
        a.nii.gz "twin/$A" a.nii.gz "unlocked/$A"
    git -C origin annex unlock --quiet "unlocked/$A"
    echo '{"Name": "Test", "BIDSVersion": "1.8.0"}' >origin/dataset_description.json
    git -C origin add dataset_description.json
    git -c protocol.file.allow=always -C origin submodule --quiet add ../sub nested
    git -C origin commit -qam 'A dataset in a dataset'
}

# use_git HOME: git as for somebody who has just got it.
use_git() {
    export HOME=$1 GIT_CONFIG_NOSYSTEM=1
    git config --global user.name Test
    git config --global user.email test@example.org
    git config --global init.defaultBranch main
}

# make_origin DIR [FILE NAME]...
make_origin() {
    local dir=$1
    git init -q "$dir"
    git -C "$dir" annex init --quiet here
    while [ $# -gt 2 ]; do
        mkdir -p "$dir/$(dirname "$3")"
        cp "$2" "$dir/$3"
        shift 2
    done
    git -C "$dir" annex add --quiet .
    git -C "$dir" commit -qm 'Runs'
}

setup() {
    common_setup
    use_git "$BATS_TEST_TMPDIR"
    rmdir "$DS"
    git clone -q "$BATS_FILE_TMPDIR/origin" "$DS"
    cp "$BATS_FILE_TMPDIR"/[ab].nii.gz .
    mkdir bin
    cat >bin/git-annex <<END
#!/bin/sh
[ "\$1" != get ] || echo "\$@" >>"$BATS_TEST_TMPDIR/gets"
[ ! -e "$BATS_TEST_TMPDIR/hold" ] || [ "\$1" != get ] || { echo \$\$ >>"$BATS_TEST_TMPDIR/pids" && exec sleep 600; }
exec $(command -v git-annex) "\$@"
END
    chmod +x bin/git-annex
    touch gets
    PATH=$PWD/bin:$PATH
}

teardown() {
    chmod -R u+w "$BATS_TEST_TMPDIR/dataset/.git" 2>/dev/null || true
    common_teardown
}

mount_getting() {
    mount_derivfs "$DS" -o annex=get "$@"
}

gets() {
    wc -l <gets
}

@test "listing, stat and lookups fetch nothing, and show what can be fetched" {
    mount_getting
    ls -lR "$MNT" >/dev/null
    find "$MNT" -type f -size +1k >/dev/null
    assert_equal "$(find "$MNT/func" -name '*tsnr*.nii' -printf '%f %s\n' | sort | xargs)" \
        "${A%_*}_stat-tsnr_boldmap.nii $UNKNOWN_SIZE ${B%_*}_stat-tsnr_boldmap.nii $UNKNOWN_SIZE tsnr.nii $UNKNOWN_SIZE"
    assert_equal "$(stat -L -c %s "$MNT/func/$A")" "$(stat -c %s a.nii.gz)"
    test -f "$MNT/odd/-- :(top)*ü.nii.gz"
    run ls "$MNT/func/nosuch" "$MNT/.git/annex/objects/zz/ZZ/nokey" "$MNT/.git/annex/other"
    assert_equal "$(grep -c 'No such file' <<<"$output")" 3
    assert_equal "$(gets)" 0
}

@test "eight readers of a derived file: each run is fetched once, and all get the same" {
    mount_getting
    for i in {1..8}; do
        cat "$MNT/func/tsnr.nii" >"out.$i" &
        readers+=($!)
    done
    wait "${readers[@]}"
    reference tsnr "$MNT/func/tsnr.nii" a.nii.gz b.nii.gz
    for i in {1..8}; do
        cmp "out.$i" "$MNT/func/tsnr.nii"
    done
    assert_equal "$(gets)" 2
    assert_equal "$(stat -c %s "$MNT/func/tsnr.nii")" "$(stat -c %s out.1)"
    # the same content under another name is here already
    reference tsnr "$MNT/twin/tsnr.nii" a.nii.gz
    assert_equal "$(gets)" 2
    assert_equal "$(git -C "$DS" status --porcelain)" ''
}

@test "a program sees the right size when its open has fetched" {
    mount_getting
    cp "$MNT/func/mean.nii" mean.nii
    cmp mean.nii "$MNT/func/mean.nii"
    /usr/bin/python3 -c 'import nibabel, sys; print(nibabel.load(sys.argv[1]).get_fdata().shape)' \
        "$MNT/twin/std.nii"
    wc -c "$MNT/unlocked/${A%_*}_stat-tsnr_boldmap.nii.gz"
    reference tsnr "$MNT/unlocked/tsnr.nii" a.nii.gz
}

@test "sources are fetched when they are opened: links, odd names, pointer files, subdatasets" {
    git -c protocol.file.allow=always -C "$DS" submodule --quiet update --init
    mount_getting
    cmp "$MNT/func/$B" b.nii.gz
    cmp "$MNT/odd/-- :(top)*ü.nii.gz" b.nii.gz
    assert_equal "$(gets)" 1
    cmp "$MNT/unlocked/$A" a.nii.gz
    reference tsnr "$MNT/nested/func/tsnr.nii" a.nii.gz
    assert_equal "$(gets)" 3
    git -C "$DS/nested" annex find --in here | grep -qxF "func/$A"
    git -C "$DS/nested" annex drop --force --quiet "func/$A"
    # its .git is a link now: the object's path is below the .git of the dataset around it
    wait_until cmp "$MNT/nested/func/$A" a.nii.gz
    assert_equal "$(gets)" 4
    assert_equal "$(readlink "$MNT/func/$A")" "$(readlink "$DS/func/$A")"
}

@test "what cannot be fetched is ENODATA with git-annex's reason, and can be later" {
    git -C "$DS" remote set-url origin "$BATS_TEST_TMPDIR/gone"
    mount_getting
    for file in "func/tsnr.nii" "func/$A"; do
        run cat "$MNT/$file"
        assert_failure
        assert_output --partial 'No data available'
    done
    run cat "$MNT/.derivfs/errors"
    # whichever was given up first
    assert_line --regexp 'func/tsnr.nii: func/sub-1_task-[ab]_bold.nii.gz: content is not here, and cannot be fetched: '
    assert_output --partial 'ended with status 1'
    run derivctl explain "$MNT/func/tsnr.nii"
    assert_output --partial 'cannot be fetched'
    git -C "$DS" remote set-url origin "$BATS_FILE_TMPDIR/origin"
    # git-annex notes of a remote what it is when it sees it first, which two at once may fail at
    git -C "$DS" annex find --in origin >/dev/null
    reference tsnr "$MNT/func/tsnr.nii" a.nii.gz b.nii.gz
    run cat "$MNT/.derivfs/errors"
    refute_output --partial func/tsnr.nii
}

@test "interrupting the last reader stops git-annex; the mount goes on meanwhile" {
    local here there pid
    mount_getting -o xattr
    touch hold
    cat "$MNT/func/tsnr.nii" &
    here=$!
    cat "$MNT/func/$A" &
    there=$!
    wait_until eval '[ "$(gets)" -eq 2 ]'
    assert_equal "$(getfattr --only-values -n user.derivfs.state "$MNT/func/tsnr.nii")" computing
    assert_equal "$(json 'len(d["fetches"])' <"$MNT/.derivfs/status.json")" 3
    # by the name of the link, or of the object that it leads to: whichever was asked for first
    run grep 'fetch [0-9]*: git-annex get ' "$MNT/.derivfs/status"
    assert_output --regexp "func/$A|$(basename "$(readlink "$DS/func/$A")")"
    ls -l "$MNT/func" >/dev/null
    kill -KILL $here
    wait_until eval '[ "$(json "len(d[\"fetches\"])" <"$MNT/.derivfs/status.json")" = 1 ]'
    kill -KILL $there
    wait_until eval '[ "$(json "len(d[\"fetches\"])" <"$MNT/.derivfs/status.json")" = 0 ]'
    for pid in $(<pids); do
        wait_until gone "$pid"
    done
    rm hold
    reference tsnr "$MNT/func/tsnr.nii" a.nii.gz b.nii.gz
}

@test "without the option nothing is fetched; with it git's own variables lead nowhere else" {
    mount_derivfs "$DS"
    run cat "$MNT/func/tsnr.nii"
    assert_failure
    run cat "$MNT/func/$A"
    assert_failure
    unmount_derivfs
    GIT_DIR=/nowhere GIT_WORK_TREE=/nowhere mount_getting
    cmp "$MNT/func/$A" a.nii.gz
    assert_equal "$(gets)" 1
    assert_equal "$(stat -c %a "$(readlink -f "$DS/func/$A")")" 444
}

@test "after git annex drop results are read from the cache; only what needs the runs fetches them" {
    printf '[last]\nexpr = bold[..., 1]\n[z]\nexpr = zscore(bold)\n' >recipes.ini
    mount_getting --recipes=recipes.ini
    cat "$MNT/func/tsnr.nii" >tsnr.nii
    assert_equal "$(gets)" 2
    wait_until known_keys 2
    git -C "$DS" annex drop --force --quiet func
    cmp tsnr.nii "$MNT/func/tsnr.nii"
    reference mean "$MNT/func/mean.nii" a.nii.gz b.nii.gz
    unmount_derivfs
    mount_getting --recipes=recipes.ini
    cmp tsnr.nii "$MNT/func/tsnr.nii"
    assert_equal "$(stat -c %s "$MNT/func/tsnr.nii")" "$(stat -c %s tsnr.nii)"
    # the header is known, so only reading on fetches
    assert_equal "$(dd if="$MNT/func/z.nii" bs=348 count=1 status=none | tail -c 4 | tr -d '\0')" n+1
    assert_equal "$(gets)" 2
    cat "$MNT/func/last.nii" >last.nii # of the first run alone
    assert_equal "$(gets)" 3
    cat "$MNT/func/z.nii" >z.nii
    assert_equal "$(gets)" 4
    assert_equal "$(stat -c %s z.nii)" "$(stat -c %s "$MNT/func/z.nii")"
}

@test "derivctl fetches and computes without a mount" {
    derivctl compute --annex=get --cache_dir="$CACHE" "$DS/func/tsnr.nii" -o tsnr.nii
    reference tsnr tsnr.nii a.nii.gz b.nii.gz
    assert_equal "$(gets)" 2
    run derivctl compute --cache_dir="$CACHE" "$DS/nested/tsnr.nii"
    assert_failure
}

@test "the configuration of somebody else's repository is not run, however its path looks" {
    local object
    [ "$(id -u)" -eq 0 ] # only root can give a repository away
    git init -q evil
    git -C evil annex init --quiet evil
    cp a.nii.gz "evil/$A"
    git -C evil annex add --quiet .
    git -C evil commit -qm Run
    git -C evil config annex.evil-store-hook true
    git -C evil config annex.evil-remove-hook true
    git -C evil config annex.evil-checkpresent-hook 'echo $ANNEX_KEY'
    git -C evil config annex.evil-retrieve-hook "touch $PWD/was-run; false"
    git -C evil annex initremote -q evil type=hook hooktype=evil encryption=none
    git -C evil annex copy --quiet --to evil .
    git -C evil annex drop --quiet --force .
    object=$(readlink "evil/$A")
    mkdir -p foreign/.git/modules foreign/func
    mv evil/.git foreign/.git/modules/evil
    ln -s "../.git/modules/evil/${object#.git/}" "foreign/func/$A"
    chown -R nobody foreign
    mount_derivfs foreign -o annex=get
    run ! cat "$MNT/func/$A"
    assert_output --partial 'No data available'
    grep 'cannot be fetched' "$MNT/.derivfs/errors"
    assert_not_exists was-run
}
