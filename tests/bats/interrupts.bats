#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Signals to programs that wait for a result. Only those that end the program, or ask it to end, end
# its wait; the work goes on for a while, for a program that comes back.
#
# held.txt is the file of a command that ends when the test lets it.

# bats file_tags=release,concurrent

load helper

setup() {
    common_setup
    make_run "$DS/a.nii" --shape 32,32,16 --volumes 32
    mkfifo let_go
    cat >recipes.ini <<INI
[held.txt]
command = echo started >>$BATS_TEST_TMPDIR/starts; read word <$BATS_TEST_TMPDIR/let_go; echo \$word
shell = yes
INI
}

mount_held() {
    mount_derivfs_foreground "$DS" -o recipes="$BATS_TEST_TMPDIR/recipes.ini"
}

# Start a program in the background that waits for held.txt; its process id in $READER.
wait_for_held() {
    "$@" "$MNT/held.txt" >got 2>got.err 3>&- 4>&- &
    READER=$!
    wait_until waits_for_answer "$READER"
    wait_until test -e starts
}

# Is the program in a request to the mount?
waits_for_answer() {
    grep -q request_wait_answer "/proc/$1/wchan"
}

waiting_readers() {
    [ "$(metric requests_waiting)" -eq "$1" ]
}

let_go() {
    echo "$1" >let_go
}

reader_fails_with() {
    local status=0
    wait "$READER" || status=$?
    assert_equal "$status" "$1"
}

starts() {
    wc -l <starts
}

# A reader with a handler for SIGNAL that, as a C program, does not repeat what a signal interrupts.
# With a time: the signal comes each so many milliseconds.
reader_in_c() {
    cat >reader.py <<'PYTHON'
import ctypes, errno, os, signal, sys

libc = ctypes.CDLL(None, use_errno=True)
number = getattr(signal, sys.argv[1])
signal.signal(number, lambda *_: None)
signal.siginterrupt(number, sys.argv[2] == "restart=no")
if int(sys.argv[3]):
    signal.setitimer(signal.ITIMER_REAL, int(sys.argv[3]) / 1000, int(sys.argv[3]) / 1000)
fd = libc.open(sys.argv[4].encode(), os.O_RDONLY)
if fd < 0:
    sys.exit("open: " + errno.errorcode[ctypes.get_errno()])
buf = ctypes.create_string_buffer(1 << 20)
while n := libc.read(fd, buf, len(buf)):
    if n < 0:
        sys.exit("read: " + errno.errorcode[ctypes.get_errno()])
    sys.stdout.buffer.write(buf.raw[:n])
signal.setitimer(signal.ITIMER_REAL, 0)
PYTHON
}

@test "a program with a timer gets its bytes, and the work is done once" {
    local restart
    reader_in_c
    mount_held
    for restart in restart=yes restart=no; do
        /usr/bin/python3 reader.py SIGALRM $restart 5 "$MNT/tsnr.nii" >tsnr.nii
        reference tsnr tsnr.nii "$DS/a.nii"
    done
    wait_for_held /usr/bin/python3 reader.py SIGALRM restart=no 5
    # Handlers run before the wait and after it: so wait for a few ticks of the clock.
    local ticks=$((SECONDS + 2))
    ticked() { [ $SECONDS -ge $ticks ]; }
    wait_until ticked
    let_go finished
    wait "$READER"
    assert_equal "$(cat got got.err)" finished
    assert_equal "$(starts)" 1
    assert_equal "$(metric tasks_cancelled_total)" 0
}

@test "signals that programs live with do not end a wait: handled, ignored, stopping, a debugger's" {
    local signal
    reader_in_c
    for signal in CHLD WINCH URG USR1 PROF IO; do
        rm -f starts
        mount_held
        wait_for_held /usr/bin/python3 reader.py SIG$signal restart=no 0
        kill -$signal "$READER"
        let_go "$signal"
        wait "$READER"
        assert_equal "$(cat got got.err)" "$signal"
        assert_equal "$(starts)" 1
        unmount_derivfs
        wait "$DAEMON"
        rm -rf "$CACHE"
    done
    mount_held
    wait_for_held cat
    kill -TSTP "$READER"
    kill -STOP "$READER"
    kill -CONT "$READER"
    strace -qq -o /dev/null -p "$READER" 3>&- 4>&- &
    local tracer=$!
    traced() { ! grep -q $'^TracerPid:\t0$' "/proc/$READER/status"; }
    wait_until traced
    wait_until waiting_readers 1
    let_go on
    wait "$READER"
    wait "$tracer"
    assert_equal "$(cat got got.err)" on
}

@test "a handled signal that asks a program to end is answered at once, and the work goes on" {
    local signal
    reader_in_c
    mount_held
    for signal in INT TERM HUP; do
        wait_for_held env --default-signal=INT /usr/bin/python3 reader.py SIG$signal restart=no 0
        kill -$signal "$READER"
        reader_fails_with 1
        assert_equal "$(cat got got.err)" 'open: EINTR'
    done
    wait_for_held cat
    let_go shared
    wait "$READER"
    assert_equal "$(cat got got.err)" shared
    assert_equal "$(starts)" 1
    assert_equal "$(metric tasks_cancelled_total)" 0
}

@test "Ctrl-C ends a Python program that waits, and the work is cancelled when nobody comes back" {
    mount_held
    wait_for_held env --default-signal=INT /usr/bin/python3 -c 'import sys
try:
    open(sys.argv[1]).read()
except KeyboardInterrupt:
    sys.exit(3)'
    kill -INT "$READER"
    reader_fails_with 3
    cancelled() { [ "$(metric tasks_cancelled_total)" -ge 1 ]; }
    wait_until cancelled
    wait_until waiting_readers 0
    assert_equal "$(cat "$MNT/.derivfs/errors")" ''
}

@test "after a signal that it lived with, a waiting program can still be killed" {
    local signal pids=()
    mount_held
    for signal in KILL TERM INT; do
        wait_for_held env --default-signal=INT cat
        kill -STOP "$READER"
        kill -CONT "$READER"
        kill -WINCH "$READER"
        kill -$signal "$READER"
        wait_until gone "$READER"
        wait_until waiting_readers 0
    done
    # All threads of a program die together, also those that did not get the signal.
    wait_for_held /usr/bin/python3 -c 'import sys, threading
threading.Thread(target=lambda: open(sys.argv[1]).read(), daemon=True).start()
open(sys.argv[1]).read()'
    wait_until waiting_readers 2
    kill -TERM "$READER"
    wait_until gone "$READER"
    wait_until waiting_readers 0
}
