#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Caches that are only read: a lab's, a site's, those of other users.

load helper

setup() {
    common_setup
    SITE=$BATS_TEST_TMPDIR/site
    make_run "$DS/run.nii.gz" --shape 16,16,8 --volumes 40
    cat >recipes.ini <<'END'
[scored]
expr = zscore(bold)
END
}

# fill DIR: with the results of the dataset.
fill() {
    derivctl compute --cache_dir="$1" --recipes="$PWD/recipes.ini" \
        "$DS/tsnr.nii" "$DS/tsnr.nii.gz" "$DS/scored.nii" "$DS/tsnr.png"
}

read_results() {
    local name
    for name in tsnr.nii tsnr.nii.gz scored.nii tsnr.png; do
        cat "$MNT/$name" >/dev/null
    done
    reference tsnr "$MNT/tsnr.nii" "$DS/run.nii.gz"
}

computed() { metric tasks_done_total; }

# What the own cache has, but for joined parts.
kept() {
    grep -hr '^label' --include='*.meta' "$CACHE/v1/objects" 2>/dev/null | grep -v '^label join' | sort
}

# found MOUNT-OPTION...: all results of $DS, whose files are copies, are those of $SITE.
found() {
    local status=0 before
    before=$(kept)
    mount_derivfs "$DS" --cache_from="$SITE" --recipes="$PWD/recipes.ini" "$@"
    read_results
    # parts that are found may be joined
    [ "$(metric cache_published_total)" -le 1 ] || status=1
    [ "$(kept)" = "$before" ] || status=1
    ! grep -q '"name": "moments' "$MNT/.derivfs/trace.json" || status=1
    unmount_derivfs
    return $status
}

state() { # state DIR: of all that is in it
    find "$1" -printf '%p %y %m %u %s %T@ %C@\n' | sort
    find "$1" -type f -exec sha1sum {} + | sort
}

unused() { # unused: nothing of $SITE is believed
    mount_derivfs "$DS" --cache_from="$SITE" --recipes="$PWD/recipes.ini" "$@"
    read_results
    assert [ "$(metric cache_published_total)" -gt 0 ]
    grep -q '"name": "moments' "$MNT/.derivfs/trace.json"
    unmount_derivfs
    rm -r "$CACHE"
}

@test "results of another cache are found, not copied, and nothing is written there" {
    fill "$SITE"
    local before
    before=$(state "$SITE")
    mount_derivfs "$DS" --cache_from="$BATS_TEST_TMPDIR/none" --cache_from="$SITE" \
        --recipes="$PWD/recipes.ini"
    read_results
    assert_equal "$(computed)" 0
    run -0 derivctl list "$MNT"
    assert_line --regexp '^cached .* tsnr.nii$'
    run -0 grep cache_from= "$MNT/.derivfs/errors"
    assert_output --partial "cache_from=$BATS_TEST_TMPDIR/none: No such file or directory; it is not used"
    cat "$MNT/mean.nii" >/dev/null # from moments that are there
    assert_equal "$(find "$CACHE/v1/objects" -name '*.meta' -exec grep -h '^label' {} + | grep -c moments)" 0
    # derivctl uses what the mount uses
    run -0 derivctl explain "$MNT/tsnr.nii"
    assert_output --partial cached
    derivctl compute "$MNT/tsnr.nii" -o copy.nii
    cmp copy.nii "$MNT/tsnr.nii"
    unmount_derivfs
    assert_equal "$(state "$SITE")" "$before"
    # the size of the own cache does not matter
    mount_derivfs "$DS" --cache_from="$SITE" --cache_size=0 --recipes="$PWD/recipes.ini"
    read_results
    assert_equal "$(computed)" 0
}

@test "a copy of the runs finds the results of another cache" {
    fill "$SITE"
    local before
    before=$(state "$SITE")
    cp -a "$DS" copy
    DS=$PWD/copy
    found
    cmp "$SITE/v1/secret" "$CACHE/v1/secret"
    found --cache_size=0
    assert_equal "$(state "$SITE")" "$before"
}

@test "so it does where the own cache cannot be written" {
    fill "$SITE"
    cp -a "$DS" copy
    DS=$PWD/copy
    CACHE=$PWD/recipes.ini found # no directory
}

@test "a cache with a secret of its own finds the results of the same files, and not those of a copy" {
    fill "$SITE"
    mkdir other
    make_run other/run.nii.gz --seed 5
    derivctl compute --cache_dir="$CACHE" other/mean.nii
    run ! cmp "$SITE/v1/secret" "$CACHE/v1/secret"
    found
    cp -a "$DS" copy
    DS=$PWD/copy unused
}

@test "what is known of contents is believed as entries are, and damage there is passed over" {
    [ "$EUID" = 0 ] || skip "only root may give files away"
    fill "$SITE"
    cp -a "$DS" copy
    DS=$PWD/copy
    local place
    for place in secret names 'names/*'; do
        # shellcheck disable=SC2206 # a pattern
        local places=("$SITE"/v1/$place)
        chmod g+w "${places[@]}"
        unused
        chmod g-w "${places[@]}"
        chown 12345 "${places[@]}"
        unused
        unused --cache_from_owner=23456
        chown 0 "${places[@]}"
        mv "$SITE/v1/${place%/*}" real
        ln -s "$PWD/real" "$SITE/v1/${place%/*}"
        [ "$place" = 'names/*' ] || unused
        rm "$SITE/v1/${place%/*}"
        mv real "$SITE/v1/${place%/*}"
    done
    cp -a "$SITE" whole
    local before
    for place in "$SITE"/v1/names/*; do
        printf X | dd of="$place" bs=1 seek=9 conv=notrunc status=none
    done
    before=$(state "$SITE")
    unused
    assert_equal "$(state "$SITE")" "$before"
    SITE=$PWD/whole
    found
}

@test "what belongs to others or may be written by others is not believed" {
    [ "$EUID" = 0 ] || skip "only root may give files away"
    fill "$SITE"
    local place
    for place in "$SITE" "$SITE/v1" "$SITE/v1/objects"; do
        chmod 0775 "$place"
        unused
        chmod 0755 "$place"
        chown 12345 "$place"
        unused
        chown 0 "$place"
    done
    for place in d .meta f; do
        local places
        case $place in
        d) mapfile -t places < <(find "$SITE/v1/objects" -mindepth 1 -type d) ;;
        .meta) mapfile -t places < <(find "$SITE" -name '*.meta') ;;
        f) mapfile -t places < <(find "$SITE/v1/objects" -type f ! -name '*.meta') ;;
        esac
        chmod g+w "${places[@]}"
        unused
        chmod g-w,o+w "${places[@]}"
        unused
        chmod o-w "${places[@]}"
        chown 12345 "${places[@]}"
        unused
        unused --cache_from_owner=23456
        chown 0 "${places[@]}"
    done
    mount_derivfs "$DS" --cache_from="$SITE" --recipes="$PWD/recipes.ini"
    read_results
    assert_equal "$(computed)" 0
}

@test "owners that an option names are believed" {
    [ "$EUID" = 0 ] || skip "only root may give files away"
    fill "$SITE"
    chown -R 12345 "$SITE"
    unused
    unused --cache_from_owner=nobody
    mount_derivfs "$DS" --cache_from="$SITE" --cache_from_owner=nobody --cache_from_owner=12345 \
        --recipes="$PWD/recipes.ini"
    read_results
    assert_equal "$(computed)" 0
    run -2 derivctl list "$DS" --cache_from_owner=nobody-of-that-name
    assert_output --partial 'cache_from_owner=nobody-of-that-name: there is no such user'
}

@test "no link is followed" {
    fill "$SITE"
    ln -s "$SITE" link
    SITE=$PWD/link unused
    local real=$BATS_TEST_TMPDIR/real place
    mkdir "$real"
    for place in v1 v1/objects; do
        mv "$SITE/$place" "$real/here"
        ln -s "$real/here" "$SITE/$place"
        unused
        rm "$SITE/$place"
        mv "$real/here" "$SITE/$place"
    done
    for place in "$SITE"/v1/objects/*/*[0-9a-f]; do
        mv "$place" "$real/"
        ln -s "$real/$(basename "$place")" "$place"
    done
    unused
}

@test "damage there is found, passed over, and stays" {
    fill "$SITE"
    local file files before
    mapfile -t files < <(find "$SITE/v1/objects" -type f ! -name '*.meta')
    for file in "${files[@]}"; do
        printf X | dd of="$file" bs=1 seek=100 conv=notrunc status=none
    done
    before=$(state "$SITE")
    mount_derivfs "$DS" --cache_from="$SITE" --recipes="$PWD/recipes.ini"
    read_results
    read_results
    reference mean "$MNT/mean.nii" "$DS/run.nii.gz"
    assert [ "$(computed)" -gt 0 ]
    assert [ "$(metric cache_corrupt_total)" -gt 0 ]
    assert_equal "$(cat "$MNT/.derivfs/errors")" ''
    assert_equal "$(state "$SITE")" "$before"
}
