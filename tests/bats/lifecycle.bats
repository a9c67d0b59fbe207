#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Start and end: of the daemon, orderly and not, and of those who wait for a result.
#
# $DS/slow is on a slow disk, so that a computation there lasts for seconds.

# bats file_tags=release

load helper

setup() {
    common_setup
    mkdir "$DS/slow" disk
}

# slow_run NAME SECONDS: a run that takes about so long to read.
slow_run() { # 500 kB are 16 volumes
    make_run "disk/$1" --shape 32,32,16 --volumes $(($2 * 16))
    mounted "$DS/slow" || mount_throttled disk 500k "$DS/slow"
}

# Read FILE in the background, its bytes to OUT; its process id in $READER.
start_reader() {
    cat "$1" >"$2" 2>"$2.err" 3>&- 4>&- &
    READER=$!
}

waiting_readers() {
    [ "$(metric requests_waiting)" -eq "$1" ]
}

metric_is() {
    [ "$(metric "$1")" -eq "$2" ]
}

number_of_mounts() {
    cut -d ' ' -f 5 /proc/self/mountinfo | grep -cxF "$MNT"
}

# End the daemon in the background as no daemon should end.
kill_daemon() {
    local pid
    pid=$(daemon_pid)
    kill -KILL "$pid"
    wait_until gone "$pid"
}

# Wait for a process of ours that a signal ends; fails unless it is gone within a second.
assert_ends_within_a_second() {
    local begin=${EPOCHREALTIME/[.,]/}
    wait_until gone "$1"
    assert [ $(((${EPOCHREALTIME/[.,]/} - begin) / 1000)) -lt 1000 ]
}

# --- start ----------------------------------------------------------------------------------------

@test "when derivfs returns, the mount works and nothing of its output is held open" {
    make_run "$DS/a.nii"
    # Command substitution would wait for a daemon that keeps the pipe.
    local said
    said=$(timeout "$PATIENCE_S" derivfs --cache_dir="$CACHE" "$DS" "$MNT" 2>&1 3>&- 4>&-)
    mounted "$MNT"
    assert_equal "$said" ''
    assert_file_exists "$MNT/tsnr.nii"
    assert_equal "$(ps -o tty= -p "$(daemon_pid)")" '?'
    assert_equal "$(readlink "/proc/$(daemon_pid)/cwd")" /
}

@test "when mounting fails, no daemon stays behind" {
    make_run "$DS/a.nii"
    chmod 0 "$MNT"
    run ! derivfs --cache_dir="$CACHE" "$DS" "$MNT/nowhere" 3>&- 4>&-
    assert_equal "$(daemons)" ''
}

# --- sudden end -----------------------------------------------------------------------------------

@test "after kill -9 everybody gets ENOTCONN at once, waiting readers too" {
    DAEMON_MAY_DIE=1
    slow_run a.nii 20
    mount_derivfs_foreground "$DS"
    start_reader "$MNT/slow/tsnr.nii" got
    wait_until waiting_readers 1
    kill -KILL "$DAEMON"
    assert_ends_within_a_second "$READER"
    run ! wait "$READER"
    # What was there before the failure is the header at most.
    assert [ "$(wc -c <got)" -le 1024 ]
    assert_file_not_empty got.err
    run ! ls "$MNT/slow"
    assert_output --partial 'Transport endpoint is not connected'
    wait "$DAEMON" || true
}

@test "a restart after kill -9 detaches the dead mount and does not stack" {
    DAEMON_MAY_DIE=1
    local round
    make_run "$DS/a.nii"
    for round in 1 2 3; do
        mount_derivfs "$DS"
        assert_equal "$(number_of_mounts)" 1
        # The kernel remembers these attributes for a while after the daemon's death.
        ls -lR "$MNT" "$MNT/.derivfs" >/dev/null
        cat "$MNT/.derivfs/version" "$MNT/tsnr.nii" >/dev/null
        kill_daemon
    done
    run -0 --separate-stderr derivfs --cache_dir="$CACHE" "$DS" "$MNT" 3>&- 4>&-
    assert_equal "$stderr" "derivfs: $MNT: detaching the mount of a daemon that died"
    assert_equal "$(number_of_mounts)" 1
    reference tsnr "$MNT/tsnr.nii" "$DS/a.nii"
    # The result was in the cache.
    assert_equal "$(metric tasks_done_total)" 0
    unmount_derivfs
    run ! mounted "$MNT"
}

@test "a computation that kill -9 ended is done again after the restart" {
    DAEMON_MAY_DIE=1
    slow_run a.nii 2
    mount_derivfs "$DS"
    start_reader "$MNT/slow/tsnr.nii" got
    wait_until waiting_readers 1
    kill_daemon
    wait "$READER" || true
    mount_derivfs "$DS"
    reference tsnr "$MNT/slow/tsnr.nii" disk/a.nii
    assert_equal "$(number_of_mounts)" 1
}

# --- orderly end ----------------------------------------------------------------------------------

@test "SIGTERM, SIGINT and SIGHUP end an idle daemon at once, with exit status 0" {
    local signal
    make_run "$DS/a.nii"
    for signal in TERM INT HUP; do
        mount_derivfs_foreground "$DS"
        cat "$MNT/tsnr.nii" >/dev/null
        kill -$signal "$DAEMON"
        assert_ends_within_a_second "$DAEMON"
        wait "$DAEMON"
        run ! mounted "$MNT"
    done
}

@test "SIGTERM ends a daemon in the background too, and one with a single thread" {
    local pid option
    for option in -s -omax_threads=2; do
        mount_derivfs "$DS" $option
        pid=$(daemon_pid)
        kill -TERM "$pid"
        wait_until gone "$pid"
        run ! mounted "$MNT"
    done
}

@test "SIGTERM with a reader waiting: the mount is gone, the reader gets its bytes, exit status 0" {
    slow_run a.nii 2
    mount_derivfs_foreground "$DS"
    start_reader "$MNT/slow/tsnr.nii" got.nii
    wait_until waiting_readers 1
    kill -TERM "$DAEMON"
    not_mounted() { ! mounted "$MNT"; }
    wait_until not_mounted
    run ! gone "$READER"
    wait "$READER"
    reference tsnr got.nii disk/a.nii
    wait "$DAEMON"
}

@test "SIGTERM while files are read: their readers come to the end, sources and derived" {
    make_run "$DS/a.nii" --shape 32,32,16
    make_run "$DS/sub/b.nii" --shape 32,32,16
    mount_derivfs_foreground "$DS"
    exec 5<"$MNT/a.nii" 6<"$MNT/tsnr.nii" 7<"$MNT/sub/mean.nii"
    cat "$MNT/tsnr.nii" >/dev/null # and the other has yet to be computed
    kill -TERM "$DAEMON"
    not_mounted() { ! mounted "$MNT"; }
    wait_until not_mounted
    cat <&5 >a.nii
    cat <&6 >tsnr.nii
    cat <&7 >mean.nii
    exec 5<&- 6<&- 7<&-
    wait "$DAEMON"
    cmp a.nii "$DS/a.nii"
    reference tsnr tsnr.nii "$DS/a.nii"
    reference mean mean.nii "$DS/sub/b.nii"
}

@test "SIGTERM does not wait for files and directories that nobody reads, nor for commands" {
    make_run "$DS/a.nii"
    cat >recipes.ini <<INI
[slow.txt]
command = echo \$\$ >$BATS_TEST_TMPDIR/pid; exec sleep 1000
shell = yes
INI
    mount_derivfs_foreground "$DS" -o recipes=recipes.ini
    exec 5<"$MNT/a.nii" 6<"$MNT/tsnr.nii" 7<"$MNT/slow"
    head -c 1000 <&6 >/dev/null
    (cd "$MNT" && exec sleep 1000 3>&- 4>&-) &
    local inside=$!
    start_reader "$MNT/slow.txt" got
    wait_until test -s pid
    kill -TERM "$DAEMON"
    wait "$DAEMON" # with status 0
    run ! mounted "$MNT"
    wait_until gone "$READER"
    wait_until gone "$(cat pid)"
    kill "$inside"
    assert_file_empty got
}

# A sanitizer needs more memory than that.
# bats test_tags=release,once
@test "exit status 0 also if neither descriptors nor memory are left at the end" {
    local limit
    make_run "$DS/a.nii"
    for limit in nofile=3 as=1000000; do
        mount_derivfs_foreground "$DS"
        cat "$MNT/tsnr.nii" >/dev/null
        prlimit --pid "$DAEMON" --$limit
        fusermount3 -u "$MNT"
        wait "$DAEMON"
    done
}

@test "a second SIGTERM ends the daemon although a reader waits" {
    slow_run a.nii 30
    mount_derivfs_foreground "$DS"
    start_reader "$MNT/slow/tsnr.nii" got
    wait_until waiting_readers 1
    kill -TERM "$DAEMON"
    not_mounted() { ! mounted "$MNT"; }
    wait_until not_mounted
    kill -TERM "$DAEMON"
    wait "$DAEMON"
    run ! wait "$READER"
    assert [ "$(wc -c <got)" -le 1024 ]
}

@test "umount with a reader waiting is refused as busy; umount -l lets it finish" {
    slow_run a.nii 2
    mount_derivfs_foreground "$DS"
    start_reader "$MNT/slow/tsnr.nii" got.nii
    wait_until waiting_readers 1
    run ! umount "$MNT"
    assert_output --partial 'busy'
    umount -l "$MNT"
    wait "$READER"
    reference tsnr got.nii disk/a.nii
    wait "$DAEMON"
}

# --- readers that give up -------------------------------------------------------------------------

@test "a waiting reader that is killed is gone within a second, and the others get their bytes" {
    local signal pids=()
    slow_run a.nii 4
    mount_derivfs_foreground "$DS"
    for signal in KILL TERM INT none; do
        # A shell starts background jobs with SIGINT ignored.
        env --default-signal=INT cat "$MNT/slow/tsnr.nii" >"got.$signal.nii" 3>&- 4>&- &
        pids+=($!)
    done
    wait_until waiting_readers 4
    kill -KILL "${pids[0]}"
    assert_ends_within_a_second "${pids[0]}"
    kill -TERM "${pids[1]}"
    assert_ends_within_a_second "${pids[1]}"
    kill -INT "${pids[2]}"
    assert_ends_within_a_second "${pids[2]}"
    wait_until waiting_readers 1
    wait "${pids[3]}"
    reference tsnr got.none.nii disk/a.nii
    assert_equal "$(metric tasks_cancelled_total)" 0
    assert_equal "$(metric tasks_done_total)" 2
}

@test "readers through mmap and sendfile can be killed as well" {
    slow_run a.nii 20
    mount_derivfs_foreground "$DS"
    /usr/bin/python3 -c 'import mmap, sys
with open(sys.argv[1], "rb") as f:
    sum(mmap.mmap(f.fileno(), 0, mmap.MAP_SHARED, mmap.PROT_READ)[:])' "$MNT/slow/tsnr.nii" 3>&- 4>&- &
    local mapper=$!
    waits_for_page() { grep -q '^State:.D' "/proc/$1/status" && waiting_readers 1; }
    wait_until waits_for_page "$mapper"
    kill -KILL "$mapper"
    assert_ends_within_a_second "$mapper"
    /usr/bin/python3 -c 'import os, sys
with open(sys.argv[1], "rb") as f, open("sent", "wb") as o:
    os.sendfile(o.fileno(), f.fileno(), 0, 1 << 20)' "$MNT/slow/tsnr.nii" 3>&- 4>&- &
    local sender=$!
    # Perhaps for the same page, which has been asked for already.
    wait_until waits_for_page "$sender"
    kill -TERM "$sender"
    assert_ends_within_a_second "$sender"
}

@test "when the last reader gives up the work is cancelled; a later read does it again" {
    slow_run a.nii 3
    mount_derivfs_foreground "$DS"
    start_reader "$MNT/slow/tsnr.nii" first
    local first=$READER
    start_reader "$MNT/slow/tsnr.nii" second
    wait_until waiting_readers 2
    kill -TERM "$first"
    wait_until gone "$first"
    assert_equal "$(metric tasks_cancelled_total)" 0
    kill -TERM "$READER"
    wait_until gone "$READER"
    cancelled() { [ "$(metric tasks_cancelled_total)" -ge 1 ]; }
    wait_until cancelled
    wait_until metric_is tasks_running 0
    wait_until metric_is requests_waiting 0
    assert_equal "$(metric tasks_queued)" 0
    assert_equal "$(metric tasks_done_total)" 0
    assert_equal "$(metric memory_used_bytes)" 0
    assert_equal "$(cat "$MNT/.derivfs/errors")" ''
    reference tsnr "$MNT/slow/tsnr.nii" disk/a.nii
    assert_equal "$(metric tasks_done_total)" 2
}
