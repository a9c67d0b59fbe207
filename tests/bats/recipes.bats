#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# The user's recipes: from the file to derived files, and what happens to mistakes.

load helper

two_runs() {
    make_run "$DS/sub-01_task-a_bold.nii.gz" --seed 1
    make_run "$DS/sub-01_task-b_bold.nii" --seed 2 --volumes 9
}

recipes() {
    cat >recipes.ini
}

# same_voxels FILE EXPRESSION: numpy's result of EXPRESSION over x, the joined runs, in time.
same_voxels() {
    /usr/bin/python3 - "$DS" "$@" <<'END'
import glob, sys
import nibabel, numpy as np
dataset, path, expression = sys.argv[1:]
runs = sorted(glob.glob(dataset + "/*_bold.nii*"))
x = np.concatenate([nibabel.load(run).get_fdata() for run in runs], -1)
with np.errstate(all="ignore"):
    expected = eval(expression)
np.testing.assert_allclose(nibabel.load(path).get_fdata(), expected, rtol=2e-6)
END
}

@test "a user's recipe gives derived files; list = yes shows them in listings" {
    two_runs
    recipes <<'END'
[fano]
expr = var(bold) / mean(bold)
list = yes

[range]
expr = max(bold) - min(bold)
END
    mount_derivfs "$DS" --recipes=recipes.ini
    same_voxels "$MNT/fano.nii" 'x.var(-1) / x.mean(-1)'
    same_voxels "$MNT/range.nii" 'x.max(-1) - x.min(-1)'
    assert_exists "$MNT/sub-01_task-a_stat-range_boldmap.nii"
    assert_equal "$(ls "$MNT" | grep -c '^fano.nii$')" 1
    assert_equal "$(ls "$MNT" | grep -c range)" 0
    run -0 derivctl list --recipes=recipes.ini "$DS"
    assert_line --regexp ' fano.nii$'
    run -0 derivctl explain --recipes=recipes.ini "$DS/range.nii"
    assert_line 'expression: max(bold) - min(bold)'
}

@test "a recipe refers to others, built-in or not, in any order" {
    two_runs
    recipes <<'END'
[twice]
expr = 2 * half_again
[half_again]
expr = tsnr * 1.5
END
    mount_derivfs "$DS" --recipes=recipes.ini
    same_voxels "$MNT/twice.nii" '3 * x.mean(-1) / x.std(-1)'
}

@test "recipes are found in the user's configuration directory" {
    two_runs
    mkdir -p "$XDG_CONFIG_HOME/derivfs"
    printf '[mine]\nexpr = sum(bold)\n' >"$XDG_CONFIG_HOME/derivfs/recipes.ini"
    mount_derivfs "$DS"
    same_voxels "$MNT/mine.nii" 'x.sum(-1)'
    assert_equal "$(json 'd["recipes"]' <"$MNT/.derivfs/status.json")" "$XDG_CONFIG_HOME/derivfs/recipes.ini"
}

@test "equal expressions of two recipes share one cache entry" {
    two_runs
    recipes <<'END'
[one]
expr = mean(bold) / std(bold)
[two]
expr = mean( bold )/std(bold, ddof=0)
[three]
expr = tsnr
[other]
expr = mean(bold) / std(bold, ddof=1)
END
    mount_derivfs "$DS" --recipes=recipes.ini
    cp "$MNT/tsnr.nii" tsnr.nii
    assert_equal "$(metric cache_entries)" 3
    for name in one two three; do cmp tsnr.nii "$MNT/$name.nii"; done
    assert_equal "$(metric cache_entries)" 3
    assert_equal "$(metric tasks_done_total)" 3
    run ! cmp -s tsnr.nii "$MNT/other.nii"
    assert_equal "$(metric cache_entries)" 4
}

@test "a mistake is told with file, line, column and caret; the other recipes work" {
    two_runs
    recipes <<'END'
[good]
expr = mean(bold) + 1

[bad]
expr = mean(bold) / sdt(bold)

[unclosed]
expr = mean(bold

[depends]
expr = bad + 1
END
    mount_derivfs_foreground "$DS" --recipes=recipes.ini
    local where=$BATS_TEST_TMPDIR/recipes.ini
    run -0 cat "$MNT/.derivfs/errors"
    assert_line --partial "$where:5:21: "
    assert_line 'expr = mean(bold) / sdt(bold)'
    assert_line '                    ^'
    assert_line --partial "$where:8:"
    assert_line --partial "$where:11:8: "
    run -0 cat "$LOG"
    assert_line --partial "$where:5:21: "
    assert_line '                    ^'
    same_voxels "$MNT/good.nii" 'x.mean(-1) + 1'
    reference tsnr "$MNT/tsnr.nii" "$DS"/*_bold.nii*
    assert_not_exists "$MNT/bad.nii"
    assert_not_exists "$MNT/depends.nii"
}

@test "derivctl tells mistakes too" {
    two_runs
    recipes <<'END'
[bad]
expr = mean(bold) / sdt(bold)
END
    run -1 derivctl explain --recipes=recipes.ini "$DS/bad.nii"
    assert_line --index 0 --partial "derivctl: $BATS_TEST_TMPDIR/recipes.ini:2:21: "
    assert_line --index 2 '                    ^'
    assert_line --index 3 "derivctl: $DS/bad.nii: look up: no such file, nor a derived one"
}

@test "mistakes of every kind are told, and none of them stops the mount" {
    two_runs
    recipes <<'END'
stray = 1
[tsnr]
expr = mean(bold)
[9lives]
expr = mean(bold)
[loop]
expr = pool
[pool]
expr = loop
[nothing]
[series]
expr = bold - mean(bold)
[twice]
expr = mean(bold)
expr = std(bold)
[shy]
expr = mean(bold)
list = perhaps
[oddkey]
expr = mean(bold)
colour = red
[report.txt]
command = true
no key here
[open
END
    mount_derivfs "$DS" --recipes=recipes.ini
    for line in 1 2 4 7 9 10 15 18 21 22 24 25; do
        assert [ "$(grep -c "recipes.ini:$line:[0-9]*: " "$MNT/.derivfs/errors")" = 1 ]
    done
    reference tsnr "$MNT/tsnr.nii" "$DS"/*_bold.nii*
    assert_equal "$(ls "$MNT" | grep -v _bold | tr '\n' ' ')" "mean.nii std.nii tsnr.nii "
}

@test "a recipes file that another user owns, or that anybody may write, is refused" {
    [ "$EUID" = 0 ] || skip "only root can make a file of another user"
    two_runs
    printf '[mine]\nexpr = mean(bold)\n' >recipes.ini
    chown 12345 recipes.ini
    run -1 mount_derivfs "$DS" --recipes=recipes.ini
    assert_output --regexp "^derivfs: $BATS_TEST_TMPDIR/recipes.ini: .*belongs to another user$"
    run -1 derivctl list --recipes=recipes.ini "$DS"
    assert_output --partial 'belongs to another user'
    chown 0 recipes.ini
    chmod 666 recipes.ini
    run -1 mount_derivfs "$DS" --recipes=recipes.ini
    assert_output --partial 'everybody may write'
    chmod 644 recipes.ini
    mount_derivfs "$DS" --recipes=recipes.ini
    assert_exists "$MNT/mine.nii"
}

@test "a recipes file inside the dataset counts only when the user names it" {
    two_runs
    printf '[mine]\nexpr = mean(bold)\n' >"$DS/recipes.ini"
    cd "$DS"
    mount_derivfs "$DS"
    cd "$BATS_TEST_TMPDIR"
    assert_not_exists "$MNT/mine.nii"
    unmount_derivfs
    mount_derivfs "$DS" --recipes="$DS/recipes.ini"
    assert_exists "$MNT/mine.nii"
}

@test "a recipes file that is not there, or no text: said in one line" {
    two_runs
    run -1 mount_derivfs "$DS" --recipes=nowhere.ini
    assert_output --regexp '^derivfs: recipes=.*/nowhere.ini: No such file or directory$'
    run -1 mount_derivfs "$DS" --recipes="$DS"
    assert_output --partial 'is a directory'
    head -c 1000 /dev/zero >zero.ini
    run -1 mount_derivfs "$DS" --recipes=zero.ini
    assert_output --partial 'not a text file'
}

@test "the files of a recipe are at least as new as the recipe" {
    two_runs
    touch -d 2001-01-01 "$DS"/*
    printf '[mine]\nexpr = mean(bold)\n' >recipes.ini
    mount_derivfs "$DS" --recipes=recipes.ini
    assert_equal "$(stat -c %.9Y "$MNT/mine.nii")" "$(stat -c %.9Y recipes.ini)"
    assert [ "$MNT/tsnr.nii" -ot recipes.ini ]
}
