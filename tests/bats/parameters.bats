#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Parameters of recipes in file names, and recipes files that change while they are in force.

load helper

# Two runs and a recipe with parameters, mounted.
mount_cleaned() {
    make_run - <<'RUNS'
sub-1_task-x_bold.nii.gz --seed 1
sub-1_task-y_bold.nii --seed 2
RUNS
    mv sub-1_task-* "$DS"
    cat >recipes.ini <<'INI'
[cleaned]
expr = mean(detrend(drop(bold, drop), detrend)) / std(detrend(drop(bold, drop), detrend))
param drop = 0
param detrend = 1
INI
    mount_derivfs "$DS" --recipes="$PWD/recipes.ini"
}

# A run without recipes yet, mounted with what the daemon says in $LOG.
mount_derivfs_log() {
    make_run "$DS/run.nii"
    touch recipes.ini
    mount_derivfs_foreground "$DS" --recipes="$PWD/recipes.ini"
}

key_of() {
    derivctl explain --json "$MNT/$1" |
        /usr/bin/python3 -c 'import json, sys; print(json.load(sys.stdin)["key"])'
}

# says NAME: reading fails with EINVAL, and this is what the user is told.
says() {
    run cat "$MNT/$1"
    assert_failure
    assert_output --partial 'Invalid argument'
    run grep -F " $1: " "$MNT/.derivfs/errors"
    assert_output --partial "$2"
    run derivctl explain "$MNT/$1"
    assert_line --partial "$2"
}

# Replace recipes.ini as editors do, and wait until the kernel and derivfs look again.
edit() {
    cat >recipes.new && mv recipes.new recipes.ini && sleep 1.1
}

@test "values in a name give what the same numbers in an expression give" {
    mount_cleaned
    cat >numbers.ini <<'INI'
[plain]
expr = mean(detrend(drop(bold, 4), 2)) / std(detrend(drop(bold, 4), 2))
INI
    derivctl compute --recipes=numbers.ini --cache_dir=other "$DS/plain.nii" -o plain.nii
    derivctl compute --recipes=numbers.ini --cache_dir=other \
        "$DS/sub-1_task-x_stat-plain_boldmap.nii" -o run.nii
    for name in 'cleaned@drop=4,detrend=2' 'cleaned@detrend=2,drop=4' 'cleaned@detrend=2.0,drop=4e0'; do
        cmp "$MNT/$name.nii" plain.nii
        cmp <(gunzip -c "$MNT/$name.nii.gz") plain.nii
        cmp "$MNT/sub-1_task-x_stat-${name}_boldmap.nii" run.nii
    done
    assert_equal "$(stat -c %s "$MNT/cleaned@drop=4.nii")" "$(wc -c <"$MNT/cleaned@drop=4.nii")"
}

@test "equal values are one result, others are not, and defaults may be left out" {
    mount_cleaned
    assert_equal "$(key_of cleaned@drop=4,detrend=2.nii)" "$(key_of cleaned@detrend=2,drop=4.nii)"
    assert_equal "$(key_of cleaned@drop=4.nii)" "$(key_of cleaned@drop=4,detrend=1.nii)"
    assert_equal "$(key_of cleaned.nii)" "$(key_of cleaned@drop=0.nii)"
    refute [ "$(key_of cleaned.nii)" = "$(key_of cleaned@drop=1.nii)" ]
    cat "$MNT/cleaned@drop=4,detrend=2.nii" >/dev/null
    local before
    before=$(metric tasks_done_total)
    cat "$MNT/cleaned@detrend=2,drop=4.nii" >/dev/null
    assert_equal "$(metric tasks_done_total)" "$before"
    run derivctl explain "$MNT/cleaned@drop=4.nii"
    assert_line 'parameters: drop=4,detrend=1'
    run cat "$MNT/.derivfs/recipes.ini"
    assert_line 'param drop = 0'
}

@test "names with values carry the group's prefix, and are not listed" {
    mount_cleaned
    fusermount3 -u "$MNT"
    make_run - <<'RUNS'
sub-1_task-x_echo-1_bold.nii.gz --seed 3
sub-1_task-x_echo-2_bold.nii.gz --seed 4
RUNS
    mkdir "$DS/echoes" && mv sub-1_task-x_echo-* "$DS/echoes"
    mount_derivfs "$DS" --recipes="$PWD/recipes.ini"
    cat "$MNT/echoes/echo-2_cleaned@drop=2.nii" >/dev/null
    run ls "$MNT" "$MNT/echoes"
    refute_output --partial '@'
}

@test "a wrong parameter or value is told, with the parameters that there are" {
    mount_cleaned
    local there_are="(the parameters of recipe 'cleaned' are drop=0,detrend=1)"
    says cleaned@order=2.nii "there is no parameter 'order' $there_are"
    says cleaned@drop=x.nii "'x' is not a number $there_are"
    says cleaned@drop=-1.nii "n of drop() must be written as a whole number from 0 to"
    says cleaned@detrend=99.nii.gz "order of detrend() must be written as a whole number from 0"
    says cleaned@drop=1,drop=2.nii "'drop' is given twice $there_are"
    says sub-1_task-y_stat-cleaned@n=1_boldmap.nii "there is no parameter 'n' $there_are"
    says tsnr@drop=4.nii "there is no parameter 'drop': recipe 'tsnr' has no parameters"
    run cat "$MNT/nothing@drop=4.nii"
    assert_output --partial 'No such file'
}

@test "a recipe that changes gives new results; those of before are kept" {
    mount_cleaned
    echo "[level]
expr = mean(bold) * 2" | edit
    cat "$MNT/level.nii" >twice.nii
    assert [ ! -e "$MNT/cleaned.nii" ]
    echo "[level]
expr = mean(bold) * 3
list = yes
[more]
expr = max(bold)" | edit
    cat "$MNT/level.nii" >thrice.nii
    refute cmp -s twice.nii thrice.nii
    cat "$MNT/more.nii" >/dev/null
    run ls "$MNT"
    assert_line level.nii
    local before
    before=$(metric tasks_done_total)
    echo "[level]
expr = mean(bold) * 2" | edit
    cmp "$MNT/level.nii" twice.nii
    assert_equal "$(metric tasks_done_total)" "$before"
    run cat "$MNT/.derivfs/errors"
    assert_output ''
}

@test "a file that is open keeps the recipe that it was opened with" {
    mount_cleaned
    printf '[level]\nexpr = mean(bold) * 2\n' | edit
    cat "$MNT/level.nii" >twice.nii
    exec 7<"$MNT/level.nii"
    printf '[level]\nexpr = mean(bold) * 3\n' | edit
    cat "$MNT/level.nii" >thrice.nii
    cmp twice.nii <(cat <&7)
    exec 7<&-
    refute cmp -s twice.nii thrice.nii
}

@test "a broken edit keeps what was right in force, recipe by recipe, and says so" {
    mount_derivfs_log
    printf '[a]\nexpr = mean(bold) * 2\n[b]\nexpr = a + 1\n[c]\nexpr = max(bold)\n' | edit
    cat "$MNT/a.nii" >a.nii
    cat "$MNT/b.nii" >b.nii
    printf '[lowest]\nexpr = min(bold)\n' >other.ini
    derivctl compute --recipes=other.ini --cache_dir=other "$DS/lowest.nii" -o lowest.nii
    printf '[a]\nexpr = mean(bold) * \n[b]\nexpr = a + 2\n[c]\nexpr = min(bold)\n' | edit
    cmp "$MNT/a.nii" a.nii
    cmp "$MNT/b.nii" b.nii
    cmp <(tail -c +1025 "$MNT/c.nii") <(tail -c +1025 lowest.nii)
    run cat "$MNT/.derivfs/errors"
    assert_output --partial 'recipes.ini:2:20: unexpected end'
    assert_output --partial "recipe 'a' keeps its last valid definition"
    assert_output --partial "recipe 'b' keeps its last valid definition"
    refute_output --partial "recipe 'c'"
    grep -qF "recipe 'a' keeps its last valid definition" "$LOG"
    run grep -A1 '^\[c\]' "$MNT/.derivfs/recipes.ini"
    assert_line 'expr = min(bold)'

    printf '[a]\nexpr = mean(bold) * 4\n[b]\nexpr = a + 2\n' | edit
    run cat "$MNT/.derivfs/errors"
    assert_output ''
    refute cmp -s "$MNT/a.nii" a.nii
    assert [ ! -e "$MNT/c.nii" ]
}

@test "a file that cannot be read any more keeps the whole table" {
    mount_derivfs_log
    printf '[a]\nexpr = mean(bold) * 2\n' | edit
    cat "$MNT/a.nii" >a.nii
    rm recipes.ini && sleep 1.1
    cmp "$MNT/a.nii" a.nii
    run cat "$MNT/.derivfs/errors"
    assert_output --partial 'No such file or directory; the recipes read before stay in force'
    printf '[a]\nexpr = mean(bold) * 2\n' >recipes.ini && chmod 666 recipes.ini && sleep 1.1
    cmp "$MNT/a.nii" a.nii
    run cat "$MNT/.derivfs/errors"
    assert_output --partial 'everybody may write the file (chmod o-w); the recipes read before stay in force'
    refute_output --partial 'No such file'
    chmod 644 recipes.ini && sleep 1.1
    ls "$MNT" >/dev/null
    run cat "$MNT/.derivfs/errors"
    assert_output ''
}

@test "a file that appears at the default place is picked up" {
    make_run "$DS/a.nii"
    mount_derivfs "$DS"
    assert [ ! -e "$MNT/late.nii" ]
    derivctl list "$MNT" >/dev/null
    mkdir -p "$XDG_CONFIG_HOME/derivfs"
    printf '[late]\nexpr = max(bold)\nlist = yes\n' >"$XDG_CONFIG_HOME/derivfs/recipes.ini"
    sleep 1.1
    run ls "$MNT"
    assert_line late.nii
    cat "$MNT/late.nii" >/dev/null
    run derivctl list "$MNT"
    assert_line --partial late.nii
}

# Edits, listings, lookups and reads at once: nothing breaks, and in the end the last one holds.
# bats test_tags=concurrent
@test "recipes may change while everybody reads" {
    mount_cleaned
    local i readers=()
    for i in 1 2 3 4; do
        while [ ! -e stop ]; do
            ls -l "$MNT" >/dev/null
            cat "$MNT/level.nii" "$MNT/cleaned@drop=$i.nii" "$MNT/.derivfs/recipes.ini" || true
        done >/dev/null 2>&1 3>&- &
        readers+=($!)
    done
    for i in 1 2 3; do
        printf '[level]\nexpr = mean(bold) * %d\n[cleaned]\nparam drop = 0\nexpr = max(drop(bold, drop))\n' \
            $i | edit
    done
    touch stop
    wait "${readers[@]}"
    run grep -A1 '^\[level\]' "$MNT/.derivfs/recipes.ini"
    assert_line 'expr = mean(bold) * 3'
    cat "$MNT/level.nii" >/dev/null
}
