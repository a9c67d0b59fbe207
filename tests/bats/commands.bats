#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Recipes that run a program: `delayed` for the shell. Programs leave their traces in $BATS_TEST_TMPDIR
# where a test has to see that, and when, they ran.

# bats file_tags=commands

load helper

setup() {
    common_setup
    export TMPDIR=$BATS_TEST_TMPDIR/tmp
    mkdir "$TMPDIR"
    make_run "$DS/sub-01_task-a_bold.nii.gz" --seed 1
    make_run "$DS/sub-01_task-b_bold.nii" --seed 2
}

# Whatever a test has done, no program and no directory of one is left.
teardown() {
    local status=0
    common_teardown || status=1
    [ -z "$(ls -A "$TMPDIR")" ] || { ls -lAR "$TMPDIR" >&2 && status=1; }
    return $status
}

# mount_recipes [OPTION...]: mount $DS with the recipes from stdin.
mount_recipes() {
    cat >recipes.ini
    mount_derivfs "$DS" --recipes=recipes.ini "$@"
}

# fails_with SENTENCE FILE: opening it is EIO, and the errors say why.
fails_with() {
    run cat "$MNT/$2"
    assert_failure
    assert_output --partial 'Input/output error'
    run cat "$MNT/.derivfs/errors"
    assert_output --partial "$1"
}

@test "a command is a file: not empty until it is opened, then exactly what the program wrote" {
    mount_recipes <<'END'
[report.txt]
command = wc -c {tsnr.nii} {runs}
list = yes
END
    assert_equal "$(cd "$MNT" && ls ./*.txt)" ./report.txt
    assert_equal "$(stat -c '%s %a %b' "$MNT/report.txt")" "$UNKNOWN_SIZE 444 1"
    assert_equal "$(metric tasks_done_total)" 0
    cat "$MNT/report.txt" >got.txt
    assert_equal "$(stat -c %s "$MNT/report.txt")" "$(stat -c %s got.txt)"
    cmp got.txt <(wc -c "$MNT/tsnr.nii" "$DS"/*.nii* | sed "s|$MNT/||")
    cmp got.txt "$MNT/report.txt"
    cp "$MNT/report.txt" copied.txt
    cmp got.txt copied.txt
}

@test "whoever opens first sees the size at once, and may map the file" {
    mount_recipes <<'END'
[digits.txt]
command = seq 100000
END
    run -0 python3 - "$MNT/digits.txt" <<'END'
import mmap, os, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
size = os.fstat(fd).st_size
assert size == 588895, size
with mmap.mmap(fd, 0, prot=mmap.PROT_READ, flags=mmap.MAP_PRIVATE) as m:
    assert len(m) == size and m[-7:] == b"100000\n"
assert os.pread(fd, 10, size) == b""
END
}

@test "results survive the mount, and an edited program or source is run again" {
    cat >tool <<'END'
#!/bin/sh
echo run >>"$TRACE"
cat "$@"
END
    chmod +x tool
    export TRACE=$BATS_TEST_TMPDIR/trace
    echo one >"$DS/notes.txt"
    cat >recipes.ini <<END
[out.txt]
command = $BATS_TEST_TMPDIR/tool {notes.txt}
END
    mount_derivfs "$DS" --recipes=recipes.ini
    assert_equal "$(cat "$MNT/out.txt")" one
    assert_equal "$(cat "$MNT/out.txt")" one
    unmount_derivfs
    mount_derivfs "$DS" --recipes=recipes.ini
    assert_equal "$(stat -c %s "$MNT/out.txt")" 4
    assert_equal "$(cat "$MNT/out.txt")" one
    assert_equal "$(wc -l <trace)" 1
    echo second >"$DS/notes.txt"
    sleep 1.1 # for so long the kernel believes a name
    assert_equal "$(cat "$MNT/out.txt")" second
    assert_equal "$(wc -l <trace)" 2
    echo 'echo more' >>tool
    sleep 1.1
    assert_equal "$(cat "$MNT/out.txt")" $'second\nmore'
    assert_equal "$(wc -l <trace)" 3
}

@test "two seconds of work at the same time, then a third: not one after the other" {
    mount_recipes --threads=2 <<'END'
[a.txt]
command = date +%s.%N; sleep 1; date +%s.%N
shell = yes
[b.txt]
command = date +%s.%N; sleep 1; date +%s.%N
shell = yes
[both.txt]
command = cat {a.txt} {b.txt}; date +%s.%N; sleep 1
shell = yes
END
    cat "$MNT/both.txt" >times.txt
    run -0 python3 - times.txt <<'END'
import sys
a0, a1, b0, b1, c0 = map(float, open(sys.argv[1]))
assert a0 < b1 and b0 < a1, "one after the other"
assert c0 >= max(a1, b1), "did not wait"
END
}

@test "inputs are private copies; files of the mount, of the dataset and of other commands" {
    echo 'hello' >"$DS/notes.txt"
    mount_recipes <<'END'
[zscored]
expr = zscore(bold)
[check.txt]
command = ls -l $(dirname {tsnr.nii}) | tail -n +2 | cut -c 1-10; md5sum < {tsnr.nii}; md5sum < {zscored.nii};
    md5sum < {mean.nii.gz}; md5sum < {zscored.nii.gz}; cat {notes.txt} {first.txt}; pwd
shell = yes
[first.txt]
command = echo 'of another command'
END
    cat "$MNT/check.txt" >got.txt
    {
        printf -- '-r--------\n%.0s' 1 2 3 4 5
        md5sum <"$MNT/tsnr.nii"
        md5sum <"$MNT/zscored.nii"
        md5sum <"$MNT/mean.nii.gz"
        md5sum <"$MNT/zscored.nii.gz"
        echo hello
        echo of another command
    } >expected.txt
    diff expected.txt <(head -n -1 got.txt)
    assert_file_not_exists "$(tail -n 1 got.txt)"
}

@test "a command names files with values for parameters" {
    mount_recipes <<'END'
[cleaned]
expr = mean(bold) / std(detrend(drop(bold, drop), 1))
param drop = 0
[later]
expr = drop(bold, n)
param n = 1
[same.txt]
command = md5sum {cleaned@drop=2.nii} {cleaned@drop=0.nii.gz} {later@n=3.nii} {cleaned.nii}
[wrong.txt]
command = cat {cleaned@drop=2,stop=1.nii}
[fraction.txt]
command = cat {later@n=1.5.nii}
[none.txt]
command = cat {tsnr@n=3.nii}
END
    assert_equal "$(cat "$MNT/same.txt")" "$(cd "$MNT" &&
        md5sum 'cleaned@drop=2.nii' 'cleaned@drop=0.nii.gz' 'later@n=3.nii' cleaned.nii)"
    fails_with "there is no parameter 'stop' (the parameters of recipe 'cleaned' are drop=0)" wrong.txt
    assert_line --partial 'recipes.ini:10:15: '
    fails_with 'whole number' fraction.txt
    fails_with "recipe 'tsnr' has no parameters" none.txt
}

@test "{out} is written instead of stdout, of any ending" {
    mount_recipes <<'END'
[half.nii.gz]
command = sh -c 'echo chatter; gzip -c "$1" >"$2"' sh {mean.nii} {out}
[nothing.txt]
command = echo chatter {out}
shell = yes
[link.txt]
command = ln -s /etc/passwd {out}
END
    zcat "$MNT/half.nii.gz" | cmp - "$MNT/mean.nii"
    fails_with 'the program has not written {out}' nothing.txt
    fails_with 'the program has not written {out}' link.txt
}

@test "scope = run: a file for each run, in place of one for each group" {
    mount_recipes <<'END'
[volumes.tsv]
command = sh -c 'basename $1; wc -c <$2' sh {runs} {tsnr.nii}
scope = run
list = yes
END
    assert_equal "$(cd "$MNT" && ls ./*.tsv)" "\
./sub-01_task-a_stat-volumes_boldmap.tsv
./sub-01_task-b_stat-volumes_boldmap.tsv"
    assert_equal "$(cat "$MNT/sub-01_task-b_stat-volumes_boldmap.tsv")" \
        "sub-01_task-b_bold.nii"$'\n'"$(stat -c %s "$MNT/tsnr.nii")"
    assert_file_not_exists "$MNT/volumes.tsv"
}

@test "several groups: the file of each has the prefix, and is made from that group" {
    make_run "$DS/sub-01_task-a_echo-2_bold.nii" --seed 5
    make_run "$DS/sub-01_task-b_echo-2_bold.nii" --seed 6
    rm "$DS"/sub-01_task-?_bold.nii*
    make_run "$DS/sub-01_task-a_echo-1_bold.nii" --seed 7
    mount_recipes <<'END'
[sum.txt]
command = md5sum {tsnr.nii}
END
    local echo
    for echo in 1 2; do
        assert_equal "$(cut -d ' ' -f 1 "$MNT/echo-${echo}_sum.txt")" \
            "$(md5sum <"$MNT/echo-${echo}_tsnr.nii" | cut -d ' ' -f 1)"
    done
    assert_file_not_exists "$MNT/sum.txt"
}

@test "what goes wrong is EIO when opened, with a sentence; nothing of it is kept" {
    mount_recipes <<'END'
[status.txt]
command = echo one >&2; echo two >&2; exit 3
shell = yes
[signal.txt]
command = kill -SEGV $$
shell = yes
[slow.txt]
command = sleep 100
timeout = 1
[absent.txt]
command = no-such-program {tsnr.nii}
[unknown.txt]
command = cat {no-such-file.txt}
[memory.txt]
command = head -c 300M /dev/zero | tail || exit 1
shell = yes
memory = 64M
[second.txt]
command = cat {status.txt}
END
    fails_with 'command status.txt: sh ended with status 3: one / two' status.txt
    fails_with 'command signal.txt: sh was ended by signal 11 (Segmentation fault)' signal.txt
    fails_with 'command slow.txt: sleep took longer than its timeout of 1 s' slow.txt
    fails_with 'program no-such-program: not found' absent.txt
    fails_with "recipes.ini:13:15: there is no file 'no-such-file.txt' beside the runs" unknown.txt
    fails_with 'command memory.txt: sh ended with status' memory.txt
    fails_with 'second.txt: command status.txt: sh ended with status 3' second.txt
    assert_equal "$(metric cache_published_total)" 0
    run -1 derivctl compute "$MNT/status.txt"
    assert_output 'derivctl: status.txt: compute: command status.txt: sh ended with status 3: one / two'
    # the mount works on
    cat "$MNT/tsnr.nii" >/dev/null
}

@test "a mistake is told with its place; the other recipes work" {
    mount_recipes <<'END'
[loop.txt]
command = cat {loop.txt}
[pipe.txt]
command = ls | wc
[ok.txt]
command = echo fine
END
    run cat "$MNT/.derivfs/errors"
    assert_output --partial "recipes.ini:2:15: making this file would wait for itself"
    assert_output --partial "recipes.ini:4:14: '|' needs shell = yes"
    assert_file_not_exists "$MNT/loop.txt"
    assert_equal "$(cat "$MNT/ok.txt")" fine
    run cat "$MNT/.derivfs/recipes.ini"
    assert_output --partial $'[ok.txt]\ncommand = echo fine\nscope = group\nshell = no\ntimeout = 3600'
}

@test "an interrupted open stops the program and all that it has started" {
    mount_recipes <<END
[slow.txt]
command = echo \$\$ >$BATS_TEST_TMPDIR/pid; sleep 1000 & sleep 1000
shell = yes
END
    cat "$MNT/slow.txt" 3>&- 4>&- &
    local reader=$!
    wait_until test -s pid
    # while it runs, everything else is answered
    timeout "$PATIENCE_S" cat "$MNT/tsnr.nii" >/dev/null
    timeout "$PATIENCE_S" stat "$MNT/slow.txt" >/dev/null
    kill -INT "$reader"
    kill -TERM "$reader"
    wait "$reader" || true
    wait_until no_group "$(cat pid)"
    wait_until test -z "$(ls -A "$TMPDIR")"
}

# Has nothing but zombies that number as its group?
no_group() {
    ! ps -eo pgid=,stat= | awk -v g="$1" '$1 == g && $2 !~ /^Z/ { found = 1 } END { exit !found }'
}

@test "readers of one file: the program runs once; nobody waits for it but them" {
    mount_recipes <<END
[slow.txt]
command = echo run >>$BATS_TEST_TMPDIR/runs; sleep 1; echo done
shell = yes
END
    local i pids=()
    for i in {1..10}; do
        cat "$MNT/slow.txt" >"got.$i" 3>&- 4>&- &
        pids+=($!)
    done
    wait "${pids[@]}"
    for i in {1..10}; do
        assert_equal "$(cat "got.$i")" "done"
    done
    assert_equal "$(wc -l <runs)" 1
}

@test "with cache_size=0 the size is remembered, and each reader has the bytes" {
    mount_recipes --cache_size=0 <<'END'
[a.txt]
command = echo twelve bytes
END
    assert_equal "$(cat "$MNT/a.txt")" 'twelve bytes'
    assert_equal "$(stat -c %s "$MNT/a.txt")" 13
    assert_equal "$(cat "$MNT/a.txt")" 'twelve bytes'
}

@test "empty and large results" {
    mount_recipes <<'END'
[empty.txt]
command = true
[large.bin]
command = head -c 30000000 /dev/zero
END
    assert_equal "$(wc -c <"$MNT/empty.txt")" 0
    assert_equal "$(wc -c <"$MNT/large.bin")" 30000000
    assert_equal "$(stat -c %s "$MNT/large.bin")" 30000000
}

@test "a file of the dataset is never run" {
    mkdir "$DS/code"
    printf '#!/bin/sh\ntouch %s/was-run\n' "$BATS_TEST_TMPDIR" >"$DS/code/tool"
    chmod +x "$DS/code/tool"
    mkdir "$BATS_TEST_TMPDIR/bin"
    ln -s "$DS/code/tool" bin/tool
    # recipes in the dataset count only where the user names them
    printf '[x.txt]\ncommand = touch %s/was-run\n' "$BATS_TEST_TMPDIR" >"$DS/recipes.ini"
    PATH=$BATS_TEST_TMPDIR/bin:$PATH mount_recipes <<END
[a.txt]
command = $DS/code/tool
[b.txt]
command = tool
END
    fails_with 'a file of the dataset is never run' a.txt
    fails_with 'a file of the dataset is never run' b.txt
    assert_file_not_exists "$MNT/x.txt"
    assert_file_not_exists was-run
}

@test "odd names of runs are one word each, and nothing in them is run" {
    rm "$DS"/*
    make_run "$DS/a b;touch was-run;\$(touch was-run).nii"
    mount_recipes <<'END'
[plain.txt]
command = wc -c {runs}
[script.txt]
command = for f in {runs}; do wc -c "$f"; done
shell = yes
END
    cmp "$MNT/plain.txt" <(wc -c "$DS"/*.nii)
    cmp "$MNT/script.txt" "$MNT/plain.txt"
    assert_file_not_exists was-run
}

@test "derivctl knows commands: list, explain, compute" {
    cat >recipes.ini <<'END'
[report.txt]
command = wc -c {tsnr.nii} {runs}
list = yes
END
    ctl() {
        derivctl "$1" --cache_dir="$CACHE" --recipes=recipes.ini "${@:2}"
    }
    run -0 ctl list "$DS"
    assert_line --regexp '^virtual .* report.txt$'
    run -0 ctl explain "$DS/report.txt"
    assert_line 'command: wc -c {tsnr.nii} {runs}'
    assert_line 'size: known when it is computed'
    assert_line --regexp '3 to do +command report.txt, reads .*, needs 2, gives its output'
    run -0 ctl compute "$DS/report.txt" -o got.txt
    diff got.txt <(cd "$DS" && derivctl compute --cache_dir="$CACHE" tsnr.nii -o ../tsnr.nii &&
        wc -c ../tsnr.nii "$DS"/*.nii* | sed 's|\.\./||')
    assert_equal "$(wc -l <got.txt)" 4
    run -0 ctl explain "$DS/report.txt"
    assert_line "size: $(stat -c %s got.txt) bytes"
    assert_line 'state: cached'
}

@test "derivctl graph draws commands: runs, tasks, file" {
    cat >recipes.ini <<'END'
[report.txt]
command = wc -c {tsnr.nii} {runs}
END
    run -0 derivctl graph --cache_dir="$CACHE" --recipes=recipes.ini "$DS/report.txt"
    assert_output --partial 'report.txt = wc -c {tsnr.nii} {runs}'
    assert_output --partial '=<command report.txt<br/>'
    assert_output --partial 'uint8 (?,)'
    # 2 runs to 2 moments and to the command; these to the image, that to the command, that to the file
    assert_equal "$(grep -c -e '->' <<<"$output")" 8
    run -0 derivctl explain --json --cache_dir="$CACHE" --recipes=recipes.ini "$DS/report.txt"
    assert_equal "$(json 'd["command"], d["shape"], d["tasks"][-1]["array"]' <<<"$output")" \
        '["wc -c {tsnr.nii} {runs}",null,"uint8 (?,) chunks (?,)"]'
}

@test "FILE.svg is there for what a command writes, of groups and of runs; a file called so goes first" {
    mount_recipes <<'END'
[report.txt]
command = wc -c {tsnr.nii}
[volumes.tsv]
command = wc -c {runs}
scope = run
[own.txt]
command = wc -c {mean.nii}
[own.txt.svg]
command = echo 'not drawn'
[broken.txt]
command = cat {absent.txt}
END
    local run=sub-01_task-a_stat-volumes_boldmap.tsv
    assert_equal "$(stat -c '%s %a' "$MNT/report.txt.svg" "$MNT/$run.svg")" \
        "$UNKNOWN_SIZE 444"$'\n'"$UNKNOWN_SIZE 444"
    assert_equal "$(metric tasks_done_total)" 0
    assert_equal "$(grep -c '>to do ·' "$MNT/report.txt.svg")" 3
    cat "$MNT/report.txt" "$MNT/$run" >/dev/null
    assert_equal "$(grep -c '>cached ·' "$MNT/report.txt.svg")" 4
    assert_file_contains "$MNT/report.txt.svg" 'wc &#45;c .tsnr.nii'
    assert_equal "$(grep -c '>cached ·' "$MNT/$run.svg")" 1
    assert_equal "$(cat "$MNT/own.txt.svg")" 'not drawn'
    assert_file_not_exists "$MNT/volumes.tsv.svg"
    assert_file_not_exists "$MNT/report.svg"
    fails_with "there is no file 'absent.txt'" broken.txt.svg
    refute [ -e "$MNT/report.txt.svg.svg" ]
}

@test "commands change with the recipes file; one of before cannot make a new one wait for ever" {
    mount_recipes <<'END'
[a.txt]
command = cat {b.txt}
[b.txt]
command = echo one
END
    assert_equal "$(cat "$MNT/a.txt")" one
    cat >recipes.ini <<'END'
[a.txt]
command = cat {b.txt}
[b.txt]
command = echo two
END
    wait_until eval '[ "$(cat "$MNT/a.txt")" = two ]'
    cat >recipes.ini <<'END'
[a.txt
command = no section any more
[b.txt]
command = cat {a.txt}
END
    wait_until eval '! cat "$MNT/b.txt" 2>/dev/null'
    fails_with "would wait for itself" b.txt
}

@test "commands of a file that its group may write are refused" {
    printf '[a.txt]\ncommand = ls\n' >recipes.ini
    chmod g+w recipes.ini
    run derivfs --recipes=recipes.ini "$DS" "$MNT"
    assert_failure
    assert_output --partial 'recipes refused: its group may write the file, which has commands ([a.txt])'
}

@test "the daemon's end ends the program" {
    cat >recipes.ini <<END
[slow.txt]
command = echo \$\$ >$BATS_TEST_TMPDIR/pid; sleep 1000
shell = yes
END
    mount_derivfs_foreground "$DS" --recipes=recipes.ini
    cat "$MNT/slow.txt" 3>&- 4>&- 2>/dev/null &
    local reader=$!
    wait_until test -s pid
    kill -TERM "$DAEMON" # the mount is detached; what is under way goes on
    wait_until eval '! mounted "$MNT"'
    kill -TERM "$DAEMON"
    wait "$DAEMON" || true
    wait "$reader" || true
    wait_until no_group "$(cat pid)"
}

@test "what a killed daemon's command leaves behind goes with the next daemon; another's stays" {
    DAEMON_MAY_DIE=yes
    cat >recipes.ini <<END
[slow.txt]
command = wc -c {tsnr.nii}; echo \$\$ >>$BATS_TEST_TMPDIR/pids; exec sleep 1000
shell = yes
END
    mount_derivfs_foreground "$DS" --recipes=recipes.ini
    cat "$MNT/slow.txt" 3>&- 4>&- 2>/dev/null &
    wait_until test -s pids
    local alive
    alive=$(ls "$TMPDIR")
    # a second daemon is killed while the first one's command is running
    mkdir mnt2
    local killed
    MNT=$PWD/mnt2 mount_derivfs_foreground "$DS" --recipes=recipes.ini
    killed=$DAEMON
    cat mnt2/slow.txt 3>&- 4>&- 2>/dev/null &
    wait_until eval '[ "$(wc -l <pids)" -eq 2 ]'
    assert_equal "$(ls "$TMPDIR" | wc -l)" 2
    kill -KILL "$killed"
    wait_until no_group "$(tail -n 1 pids)"
    wait_until gone "$killed"
    fusermount3 -uz mnt2
    MNT=$PWD/mnt2 mount_derivfs "$DS" --recipes=recipes.ini
    wait_until eval '[ "$(ls "$TMPDIR")" = '"$alive"' ]'
    assert no_group "$(tail -n 1 pids)"
    kill -KILL -- "-$(head -n 1 pids)"
}
