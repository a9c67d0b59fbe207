#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# git-annex datasets: content that is here works, content that is elsewhere is "not here".

load helper

A=sub-1_task-a_bold.nii.gz
B=sub-1_task-b_bold.nii.gz

# key FILE: the key that git-annex would give it.
key() {
    echo "SHA256E-s$(stat -c %s "$1")--$(sha256sum "$1" | cut -d ' ' -f 1).nii.gz"
}

# annex NAME FILE: a locked file NAME of the dataset's "func", its content in $OBJECT, not there yet.
annex() {
    local key
    key=$(key "$2")
    OBJECT=$DS/.git/annex/objects/Xx/1Z/$key/$key
    mkdir -p "$DS/func" "$DS/.git/annex/objects"
    ln -s "../.git/annex/objects/Xx/1Z/$key/$key" "$DS/func/$1"
}

# arrive FILE OBJECT: the content is fetched.
arrive() {
    mkdir -p "$(dirname "$2")"
    cp "$1" "$2"
    chmod 444 "$2"
    chmod 555 "$(dirname "$2")"
}

# drop OBJECT: the content goes.
drop() {
    chmod 755 "$(dirname "$1")"
    rm -r "$(dirname "$1")"
}

setup_file() {
    make_run - <<END
$BATS_FILE_TMPDIR/a.nii.gz
$BATS_FILE_TMPDIR/b.nii.gz --seed 2
END
}

setup() {
    common_setup
    cp "$BATS_FILE_TMPDIR"/[ab].nii.gz .
}

teardown() {
    chmod -R u+w "$BATS_TEST_TMPDIR/dataset/.git" 2>/dev/null || true
    common_teardown
}

# Derived files of "func" that a listing shows.
derived_names() {
    find "$MNT/func" -name '*.nii' -printf '%f\n'
}

is_listed() {
    derived_names | grep -qxF "$1"
}

assert_not_here() {
    run cat "$MNT/func/$1"
    assert_failure
    assert_output --partial 'No data available'
}

@test "a link into the annex is a run when its content is here" {
    annex $A a.nii.gz
    arrive a.nii.gz "$OBJECT"
    mount_derivfs "$DS"
    reference tsnr "$MNT/func/tsnr.nii" a.nii.gz
    reference mean "$MNT/func/${A%_*}_stat-mean_boldmap.nii" a.nii.gz
    is_listed ${A%_*}_stat-tsnr_boldmap.nii
    cmp "$MNT/func/$A" a.nii.gz
    assert_equal "$(readlink "$MNT/func/$A")" "$(readlink "$DS/func/$A")"
}

@test "a link whose content is not here is ENODATA, and nothing of it is listed" {
    annex $A a.nii.gz
    mount_derivfs_foreground "$DS"
    assert_equal "$(derived_names)" ''
    assert_not_here tsnr.nii
    assert_not_here ${A%_*}_stat-tsnr_boldmap.nii.gz
    run derivctl explain "$MNT/func/tsnr.nii"
    assert_line "error: func/$A: content is not here (git annex get func/$A)"
    assert_equal "$(grep -c "func/tsnr.nii: func/$A: content is not here" "$MNT/.derivfs/errors")" 1
    # A dataset of which much is elsewhere is nothing to complain about; that somebody read it is.
    assert_equal "$(wc -l <"$LOG")" 2
}

@test "a link becomes readable when its content arrives, and not here when it goes" {
    annex $A a.nii.gz
    printf '[last]\nexpr = bold[..., 1]\n' >recipes.ini
    mount_derivfs "$DS" --recipes=recipes.ini
    assert_not_here tsnr.nii
    arrive a.nii.gz "$OBJECT"
    reference tsnr "$MNT/func/tsnr.nii" a.nii.gz
    wait_until is_listed tsnr.nii
    wait_until known_keys 1
    drop "$OBJECT"
    assert_not_here last.nii
    # the run's moments are in the cache
    reference mean "$MNT/func/mean.nii" a.nii.gz
    wait_until eval '! is_listed tsnr.nii'
}

@test "results stay when the content goes, and nothing is computed again when it comes back" {
    annex $A a.nii.gz
    arrive a.nii.gz "$OBJECT"
    mount_derivfs "$DS"
    cat "$MNT/func/tsnr.nii" >tsnr.nii
    wait_until known_keys 1
    drop "$OBJECT"
    cmp tsnr.nii "$MNT/func/tsnr.nii"
    unmount_derivfs
    mount_derivfs "$DS"
    cmp tsnr.nii "$MNT/func/tsnr.nii"
    run derivctl explain "$MNT/func/tsnr.nii"
    assert_line --regexp "func/$A: .*, not here"
    arrive a.nii.gz "$OBJECT"
    cmp tsnr.nii "$MNT/func/tsnr.nii"
    reference mean "$MNT/func/mean.nii" a.nii.gz
    assert_equal "$(metric cache_published_total)" 1 # mean.nii
}

@test "a group with one absent run is ENODATA by name and not listed; its other runs are" {
    annex $B b.nii.gz
    cp a.nii.gz "$DS/func/$A"
    mount_derivfs "$DS"
    assert_equal "$(derived_names)" ${A%_*}_stat-tsnr_boldmap.nii
    assert_not_here tsnr.nii
    assert_not_here mean.nii.gz
    reference tsnr "$MNT/func/${A%_*}_stat-tsnr_boldmap.nii" a.nii.gz
    arrive b.nii.gz "$OBJECT"
    reference tsnr "$MNT/func/tsnr.nii" a.nii.gz b.nii.gz
    wait_until is_listed tsnr.nii
}

@test "an unlocked file is a run, and its pointer is not here" {
    mkdir "$DS/func"
    cp a.nii.gz "$DS/func/$A"
    echo "/annex/objects/$(key b.nii.gz)" >"$DS/func/$B"
    mount_derivfs "$DS"
    assert_equal "$(derived_names)" ${A%_*}_stat-tsnr_boldmap.nii
    assert_not_here tsnr.nii
    assert_not_here ${B%_*}_stat-mean_boldmap.nii
    assert_equal "$(<"$MNT/func/$B")" "/annex/objects/$(key b.nii.gz)"
    cp b.nii.gz new
    mv new "$DS/func/$B" # as `git annex get` does
    reference tsnr "$MNT/func/tsnr.nii" a.nii.gz b.nii.gz
    wait_until is_listed tsnr.nii
}

@test "without BIDS names what is not here is no run" {
    annex run1.nii.gz a.nii.gz
    echo "/annex/objects/$(key b.nii.gz)" >"$DS/func/run2.nii.gz"
    cp b.nii.gz "$DS/func/run3.nii.gz"
    mount_derivfs_foreground "$DS"
    reference tsnr "$MNT/func/tsnr.nii" b.nii.gz
    assert_equal "$(derived_names | sort | xargs)" 'mean.nii run3_stat-tsnr_boldmap.nii std.nii tsnr.nii'
    assert_equal "$(<"$LOG")" ''
    run -0 cat "$MNT/.derivfs/errors"
    assert_line --regexp ' func/run1.nii.gz: content is not here'
    assert_line --regexp ' func/run2.nii.gz: content is not here'
    arrive a.nii.gz "$OBJECT"
    wait_until is_listed run1_stat-tsnr_boldmap.nii
    reference tsnr "$MNT/func/tsnr.nii" a.nii.gz b.nii.gz
}

@test "an object of another size than its key says is corrupt" {
    annex $A a.nii.gz
    arrive b.nii.gz "$OBJECT"
    chmod u+w "$OBJECT"
    echo more >>"$OBJECT"
    mount_derivfs "$DS"
    run cat "$MNT/func/tsnr.nii"
    assert_failure
    assert_output --partial 'Input/output error'
    run cat "$MNT/.derivfs/errors"
    assert_line --partial "func/$A: corrupt git-annex object: "
}

@test "a clone made by git-annex itself" {
    export HOME=$BATS_TEST_TMPDIR GIT_CONFIG_NOSYSTEM=1
    git config --global user.name Test
    git config --global user.email test@example.org
    git config --global init.defaultBranch main
    git init -q origin
    mkdir origin/func
    cp a.nii.gz "origin/func/$A"
    cp b.nii.gz "origin/func/$B"
    {
        git -C origin annex init here
        git -C origin annex add .
        git -C origin commit -m 'Two runs'
        git clone origin "$DS"
        git -C "$DS" annex init there
    } >git.log 2>&1
    mount_derivfs "$DS"
    assert_equal "$(derived_names)" ''
    assert_not_here tsnr.nii
    git -C "$DS" annex get "func/$A" >>git.log 2>&1
    assert_not_here tsnr.nii
    reference tsnr "$MNT/func/${A%_*}_stat-tsnr_boldmap.nii" a.nii.gz
    git -C "$DS" annex get . >>git.log 2>&1
    reference tsnr "$MNT/func/tsnr.nii" a.nii.gz b.nii.gz
    wait_until is_listed tsnr.nii
    git -C "$DS" annex unlock "func/$B" >>git.log 2>&1
    wait_until reference tsnr "$MNT/func/tsnr.nii" a.nii.gz b.nii.gz
    wait_until known_keys 2
    git -C "$DS" annex drop --force "func/$A" >>git.log 2>&1
    reference tsnr "$MNT/func/tsnr.nii" a.nii.gz b.nii.gz
    reference tsnr "$MNT/func/${B%_*}_stat-tsnr_boldmap.nii" b.nii.gz
}
