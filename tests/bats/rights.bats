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
