#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# derivctl: looking after mounts and the cache, wrong usage, and its settings.

load helper

dataset() {
    make_run "$DS/sub-01_task-a_bold.nii.gz" --seed 1
    make_run "$DS/sub-01_task-b_bold.nii" --seed 2
}

ctl() {
    derivctl --cache_dir="$CACHE" "$@"
}

# --- status ---------------------------------------------------------------------------------------

@test "status of a mount point, as text and as JSON" {
    dataset
    mount_derivfs "$DS" --threads=3 --memory=64M
    run -0 derivctl status "$MNT"
    assert_line --index 0 "$MNT: $DS, layout beside"
    assert_line --regexp '^threads: 3, 0 busy'
    assert_line --partial "cache: $CACHE, 0 entries"
    cat "$MNT/tsnr.nii" >/dev/null
    run -0 derivctl status --json "$MNT"
    assert_equal "$(json '[d[name] for name in "mountpoint dataset threads memory_bytes tasks_running".split()]
        + [d["cache"][name] for name in "entries dir".split()]' <<<"$output")" \
        "[\"$MNT\",\"$DS\",3,67108864,0,3,\"$CACHE\"]"
}

@test "status without a mount point shows every mount" {
    dataset
    local other=$BATS_TEST_TMPDIR/other\ mount
    mkdir "$other"
    mount_derivfs "$DS"
    derivfs --cache_dir="$CACHE" "$DS" "$other" 3>&- 4>&-
    # Mounts of others may be there as well, even dead ones.
    run derivctl status
    assert_line --partial "$MNT: $DS"
    assert_line --partial "$other: $DS"
    run --separate-stderr derivctl status --json
    assert_equal "$(json 'sorted(m["mountpoint"] for m in d if "'"$BATS_TEST_TMPDIR"'" in m["mountpoint"])' \
        <<<"$output")" "[\"$MNT\",\"$other\"]"
}

@test "status shows what is being computed" {
    # most of it is a hole; on its disk it lasts half a minute
    make_run "$DS/run.nii" --shape 64,64,30 --volumes 2 --set dim=4,64,64,30,80,1,1,1
    truncate -s $((352 + 2 * 64 * 64 * 30 * 80)) "$DS/run.nii"
    local slow=$BATS_TEST_TMPDIR/slow
    mkdir "$slow"
    mount_throttled "$DS" 600k "$slow"
    mount_derivfs "$slow"
    cat "$MNT/tsnr.nii" >/dev/null 3>&- &
    wait_until shows 'thread [01]: moments run.nii, [1-9][0-9]* %'
    run -0 derivctl status --json "$MNT"
    assert_equal "$(json '[t["task"] for t in d["tasks"] if t["state"] == "running"]' <<<"$output")" '["moments run.nii"]'
    kill -KILL $!
}

shows() {
    derivctl status "$MNT" | grep -qE "$1"
}

@test "status --watch redraws and ends when it is killed, or with the mount" {
    dataset
    mount_derivfs "$DS"
    derivctl status --watch "$MNT" >watch.txt 3>&- &
    wait_until redrawn
    kill "$!"
    wait_until gone "$!"
    derivctl status --watch "$MNT" >watch.txt 2>/dev/null 3>&- &
    wait_until grep -q threads watch.txt
    fusermount3 -uz "$MNT" # it may be reading just now
    wait_until gone "$!"
}

redrawn() {
    [ "$(grep -c 'layout beside' watch.txt)" -ge 2 ]
}

@test "a mount that does not answer holds up its own line of status alone, and no command for ever" {
    dataset
    local stuck=$BATS_TEST_TMPDIR/stuck pid watcher
    mkdir "$stuck"
    mount_derivfs "$DS"
    derivfs --cache_dir="$CACHE" "$DS" "$stuck" 3>&- 4>&-
    pid=$(MNT=$stuck daemon_pid)
    kill -STOP "$pid"
    derivctl status >said 2>why 3>&- &
    local asker=$!
    derivctl list "$stuck/tsnr.nii" >listed 2>&1 3>&- &
    local lister=$!
    derivctl status --watch >watch.txt 2>&1 3>&- &
    watcher=$!
    wait_until grep -qF "$MNT: $DS" said
    kill -0 "$asker" # while it waits for the other
    status=0
    wait "$asker" || status=$?
    assert_equal "$status" 1
    run -0 grep -cF "$stuck: status: no answer (is its daemon stopped" why
    status=0
    wait "$lister" || status=$?
    assert_equal "$status" 1
    run -0 cat listed
    assert_output --partial "derivctl: $stuck/tsnr.nii: open: no answer"
    watched() { [ "$(grep -cF "$stuck: no answer" watch.txt)" -ge 2 ]; }
    wait_until watched
    kill "$watcher"
    kill -CONT "$pid"
    run -0 derivctl list "$stuck/tsnr.nii"
    run -0 derivctl status "$stuck"
}

@test "what a mount of another user says is not believed: no recipe, cache or dataset of his" {
    [ "$EUID" = 0 ] || skip "only root can mount for somebody else"
    dataset
    local fake=$BATS_TEST_TMPDIR/fake server
    mkdir -p "$fake/.derivfs"
    printf '[x.txt]\ncommand = touch %s/was-run\n' "$PWD" >recipes.ini
    printf '{"dataset": "%s", "recipes": "%s/recipes.ini", "cache": {"dir": "%s/his"}}' "$DS" "$PWD" \
        "$PWD" >"$fake/.derivfs/status.json"
    echo "I am yours" >"$fake/.derivfs/status"
    cp "$DS"/*.nii "$fake/"
    python3 "$ROOT/tests/faults/fake_mount.py" "$fake" "$MNT" 65534 3>&- &
    server=$!
    wait_until mounted "$MNT"
    assert_equal "$(cat "$MNT/.derivfs/status")" 'I am yours' # it answers
    local command
    for command in list explain graph compute view; do
        run -1 derivctl $command "$MNT/x.txt"
        assert_output --partial "derivctl: $MNT/x.txt: open: user 65534 has mounted this derivfs"
    done
    run -1 derivctl status "$MNT"
    assert_output --partial "user 65534 has mounted this derivfs"
    run --separate-stderr derivctl status
    refute_output --partial "I am yours"
    assert_regex "$stderr" "$MNT: status: another user has mounted it"
    assert_file_not_exists was-run
    assert_file_not_exists his
    # what lies above in the same place is another mount
    mount -t tmpfs none "$MNT"
    run -0 derivctl list "$MNT"
    assert_output --partial "no runs"
    umount "$MNT"
    umount "$MNT"
    wait "$server"
}

@test "status where nothing is mounted" {
    run -1 --separate-stderr derivctl status "$DS"
    assert_output ''
    assert_equal "$stderr" "derivctl: $DS: status: no derivfs is mounted there"
    run -1 derivctl status "$DS/nowhere"
    assert_output --regexp "^derivctl: $DS/nowhere: status: "
}

# --- cache ----------------------------------------------------------------------------------------

@test "cache info, as text and as JSON" {
    dataset
    ctl compute "$DS/tsnr.nii"
    run -0 ctl --cache_size=1M cache info
    assert_line --index 0 "$CACHE"
    assert_line --index 1 '3 entries, 9.0 KiB of 1.0 MiB'
    run -0 ctl --cache_size=1M cache info --json
    assert_equal "$(json d <<<"$output")" \
        "{\"dir\":\"$CACHE\",\"entries\":3,\"bytes\":9184,\"max_bytes\":1048576}"
}

@test "cache prune makes the cache as small as cache_size" {
    dataset
    ctl compute "$DS/tsnr.nii"
    run -0 ctl cache prune
    assert_output '0 bytes freed'
    run -0 ctl cache prune --cache_size=5K
    assert_output --regexp 'KiB freed$'
    run -0 ctl cache info --json
    assert [ "$(json 'd["bytes"]' <<<"$output")" -le 5120 ]
    assert [ "$(json 'd["entries"]' <<<"$output")" -ge 1 ]
}

@test "cache prune removes what killed writers left, an hour later, and nothing else" {
    dataset
    ctl compute "$DS/tsnr.nii"
    local key=0123456789abcdef0123456789abcdef01234567 before dir
    before=$(find "$CACHE" -type f | sort)
    mkdir -p "$CACHE"/v1/{tmp,names,headers}
    for dir in tmp names headers; do
        touch -d '-2 hours' "$CACHE/v1/$dir/$key.AbCd01"
        touch "$CACHE/v1/$dir/$key.young0"
        touch -d '-2 hours' "$CACHE/v1/$dir/other.AbCd01"
    done
    touch -d '-2 hours' "$CACHE/v1/secret.AbCd01"
    touch "$CACHE/v1/secret.young0"
    ctl cache prune
    run -0 find "$CACHE" -type f -name '*.AbCd01'
    assert_equal "$(basename -a "${lines[@]}" | sort -u)" other.AbCd01
    assert_equal "${#lines[@]}" 3
    find "$CACHE" -type f \( -name '*.young0' -o -name 'other.*' \) -delete
    assert_equal "$(find "$CACHE" -type f ! -name lock | sort)" "$(grep -v /lock$ <<<"$before")"
}

@test "cache clear empties it; verify counts" {
    dataset
    ctl compute "$DS/tsnr.nii"
    run -0 ctl cache verify
    assert_output '3 entries are good, 0 damaged ones were removed'
    run -0 ctl cache clear
    assert_output '9.0 KiB freed'
    run -0 ctl cache info --json
    assert_equal "$(json '[d["entries"], d["bytes"]]' <<<"$output")" '[0,0]'
    assert_equal "$(find "$CACHE/v1/objects" -type f)" ''
}

@test "the default cache directory is that of derivfs" {
    dataset
    derivctl compute "$DS/tsnr.nii"
    assert_exists "$XDG_CACHE_HOME/derivfs/v1/objects"
    derivfs "$DS" "$MNT" 3>&- 4>&-
    cat "$MNT/tsnr.nii" >/dev/null
    assert_equal "$(metric tasks_done_total)" 0
}

# --- usage ----------------------------------------------------------------------------------------

@test "--help and --version" {
    run -0 derivctl --help
    for command in list explain compute status cache; do
        assert_line --regexp "^ +$command "
    done
    run -0 --separate-stderr derivctl --version
    assert_output "$(derivfs --version | head -1)"
    assert_equal "$stderr" ''
}

@test "each command has its help, and takes its own options only" {
    dataset
    local command
    for command in list explain graph compute export recipes view status cache; do
        run -0 --separate-stderr derivctl "$command" --help
        assert_line --index 0 --partial "usage: derivctl $command"
        assert_line --partial -- '--cache_dir=DIR'
        assert_equal "$(derivctl help "$command")" "$output"
    done
    run -0 derivctl compute --help
    refute_output --partial -- --watch
    run -2 ctl list -o out "$DS"
    assert_line --index 0 'derivctl: list: -o is no option of this command (derivctl list --help)'
    run -2 ctl compute --watch "$DS"
    run -0 derivctl list --cache-dir "$CACHE" --cache-size 1G "$DS/tsnr.nii"
}

@test "recipes: names, formulas, parameters, where they come from" {
    dataset
    run -0 derivctl recipes --recipes field.ini "$DS" # one that comes with derivfs
    assert_line --index 0 tsnr
    assert_line --index 1 '    mean(bold) / std(bold)'
    assert_line '    built in, in listings'
    assert_line 'tsnr_mriqc@drop=0'
    assert_line "    $(realpath "$ROOT/contrib/recipes/field.ini")"
    run -0 derivctl recipes --json "$DS"
    assert_equal "$(json '[[r["name"], r["parameters"], r["from"], r["listed"]] for r in d]' <<<"$output")" \
        '[["tsnr","","built in",true],["mean","","built in",true],["std","","built in",true],["tsnr_within","ddof=0","built in",false],["head","","built in",false],["brain","","built in",false]]'
    mount_derivfs "$DS" --recipes field.ini --cache-size 1G
    run -0 derivctl recipes "$MNT"
    assert_line 'tsnr_afni'
}

@test "names that are not there, and wrong parameters, are said at once" {
    dataset
    for command in recipes 'list -r'; do
        # shellcheck disable=SC2086
        run -1 ctl $command "$DS/nowhere"
        assert_output --partial "derivctl: $DS/nowhere: "
    done
    run -1 ctl export "$DS/nowhere" out
    assert_output "derivctl: $DS/nowhere: look up: no such directory"
    assert_not_exists out
    run -1 ctl export "$DS" out --recipe=tsnr.nii
    assert_output 'derivctl: --recipe=tsnr.nii: there is no such recipe (did you mean tsnr?)'
    run -1 ctl explain "$DS/tsnr_within@dof=2.nii"
    assert_output "derivctl: tsnr_within@dof=2.nii: there is no parameter 'dof' (the parameters of recipe 'tsnr_within' are ddof=0)"
    mkdir "$DS/empty"
    run -1 ctl list "$DS/empty/tsnr.nii"
    assert_line --index 1 --partial 'derivctl: '
    refute_line --partial "tsnr.nii: no runs"
}

@test "list -r: the derived files of all directories, and what is not used" {
    mkdir "$DS/deep"
    make_run "$DS/deep/sub-01_task-a_bold.nii"
    make_run "$DS/deep/er/sub-01_task-b_bold.nii"
    echo no image >"$DS/deep/other.nii.gz"
    echo '{"Name": "x", "BIDSVersion": "1.8.0"}' >"$DS/dataset_description.json"
    run -0 --separate-stderr ctl list -r "$DS"
    assert_line --regexp '^virtual .* deep/tsnr.nii$'
    assert_line --regexp '^virtual .* deep/er/tsnr.nii$'
    assert_line --regexp '^not used +deep/other.nii.gz: '
    assert_equal "$stderr" ''
    run -0 ctl list -r --json "$DS"
    assert_equal "$(json 'sorted({f["path"].rpartition("/")[0] for f in d})' <<<"$output")" '["deep","deep/er"]'
    run -1 ctl list -r "$DS/dataset_description.json"
}

@test "a mistake in the recipes keeps its lines, with the caret below the place" {
    dataset
    printf '%s\n' '[x]' 'expr = mean(bald)' >recipes.ini
    local mistake="recipes.ini:2:13: unknown name 'bald' (did you mean 'bold'?)"
    run -0 --separate-stderr ctl list --recipes=recipes.ini "$DS"
    assert_equal "$stderr" "derivctl: $PWD/$mistake
expr = mean(bald)
            ^"
    mount_derivfs_foreground "$DS" --recipes=recipes.ini
    run -0 cat "$MNT/.derivfs/errors"
    assert_line --index 0 --partial ".derivfs/recipes.ini: $PWD/$mistake"
    assert_line --index 1 'expr = mean(bald)'
    assert_line --index 2 '            ^'
    run -0 grep -A 2 "$mistake" "$LOG"
    assert_line --index 1 'expr = mean(bald)'
    assert_line --index 2 '            ^'
}

@test "wrong usage exits with 2 and says what is right" {
    dataset
    run -2 derivctl
    assert_output --partial 'usage: derivctl COMMAND'
    run -2 derivctl frobnicate
    assert_output --partial 'derivctl: frobnicate: no such command'
    run -2 derivctl computee
    assert_line 'derivctl: computee: no such command (did you mean compute?)'
    run -2 derivctl --frobnicate list
    assert_output --partial 'usage:'
    for wrong in 'explain' 'explain a b' 'list a b' 'compute' 'status a b' \
        'cache' 'cache frobnicate' 'cache info x'; do
        # shellcheck disable=SC2086
        run -2 ctl $wrong
        assert_output --partial 'usage: derivctl'
    done
    assert_not_exists "$CACHE"
    for wrong in --threads=0 --threads=x --memory=lots --cache_size=-1 --layout=sideways \
        --recipes=nowhere.ini; do
        run -2 ctl list "$wrong" "$DS"
        assert_line --regexp "^derivctl: $DS: $(cut -d = -f 1 <<<"${wrong#--}")="
        run -2 ctl cache info "$wrong"
    done
}

@test "errors are one line: derivctl: PATH: OPERATION: REASON" {
    dataset
    for command in list explain compute; do
        run -1 ctl "$command" "$DS/nope.nii"
        assert_output "derivctl: $DS/nope.nii: look up: no such file, nor a derived one"
        run -1 ctl "$command" "$DS/sub-01_task-b_bold.nii"
        assert_output "derivctl: $DS/sub-01_task-b_bold.nii: look up: a file of the dataset, not a derived one"
        run -1 ctl "$command" "$DS/sub-01_task-b_bold.nii/tsnr.nii"
        assert_output "derivctl: $DS/sub-01_task-b_bold.nii/tsnr.nii: open: Not a directory"
    done
}

@test "--layout=derivatives: paths as the mount has them, with and without it" {
    dataset
    echo '{}' >"$DS/dataset_description.json"
    run -0 ctl list --layout=derivatives "$DS/derivatives/derivfs/tsnr.nii"
    assert_output --regexp '^virtual .* derivatives/derivfs/tsnr.nii$'
    mount_derivfs "$DS" --layout=derivatives
    run -0 ctl compute "$MNT/derivatives/derivfs/tsnr.nii"
    cat "$MNT/derivatives/derivfs/tsnr.nii" >/dev/null
    assert_equal "$(metric tasks_done_total)" 0
}

@test "a dataset hidden beneath its own mount: said so, since it cannot be looked into" {
    dataset
    derivfs --cache_dir="$CACHE" "$DS" "$DS" 3>&- 4>&-
    run -1 ctl compute "$DS/tsnr.nii"
    assert_output --partial "derivctl: $DS/tsnr.nii: open: the mount hides its own dataset"
    assert_equal "$(stat -c %s "$DS/tsnr.nii")" 1504
    run -0 derivctl status "$DS"
}

@test "output to a full disk is an error" {
    dataset
    run -1 bash -c "derivctl --cache_dir='$CACHE' list '$DS' >/dev/full"
    assert_output --partial 'No space left on device'
}
