# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# What every mounted test starts from: an own directory, an own cache and an own mount, which is
# taken down whatever happens. Nothing outside $BATS_TEST_TMPDIR is touched, so that tests may run
# side by side. $DERIVFS_BIN_DIR says which build to test.
#
# What runs for each test, and what waits, starts as few processes as it can: on a busy machine the
# shell would take more than the programs it tests.
#
# After a test its daemons must end by themselves once they are unmounted, and no sanitizer may
# have reported anything, or the test fails. State is looked up in /proc and not kept in variables:
# a mount made inside `run` is found too.

bats_require_minimum_version 1.5.0
# As bats_load_library does for all three, but that starts a process for each file in them.
for LIBRARY in "${BATS_LIB_PATH%%:*}"/bats-{support,assert,file}/src/*.bash; do
    # shellcheck disable=SC1090
    source "$LIBRARY"
done

ROOT=${BATS_TEST_DIRNAME%/*/*}
NUMPY=$ROOT/tests/numpy
NIBABEL_DATA=/usr/lib/python3/dist-packages/nibabel/tests/data

# Daemons under a sanitizer are slower; bounded waits take it into account.
PATIENCE_S=${DERIVFS_TEST_PATIENCE_S:-20}

# The size of a file whose length is not known yet.
# shellcheck disable=SC2034
UNKNOWN_SIZE=1073741824

# Nothing ever comes from here: `read -t` waits on it without a process.
exec {NEVER}<> <(:)

setup() {
    common_setup
}

teardown() {
    common_teardown
}

# For test files with a setup() or teardown() of their own.
common_setup() {
    DERIVFS_BIN_DIR=${DERIVFS_BIN_DIR:-$ROOT/build/mount}
    PATH=$DERIVFS_BIN_DIR:$PATH
    DS=$BATS_TEST_TMPDIR/dataset
    MNT=$BATS_TEST_TMPDIR/mnt
    CACHE=$BATS_TEST_TMPDIR/cache
    LOG=$BATS_TEST_TMPDIR/derivfs.log
    mkdir "$DS" "$MNT"
    # Where a program looks when it is not told: never the home of whoever runs the tests.
    export XDG_CACHE_HOME=$BATS_TEST_TMPDIR/xdg-cache
    export XDG_CONFIG_HOME=$BATS_TEST_TMPDIR/xdg-config
    local report=log_path=$BATS_TEST_TMPDIR/sanitizer
    export ASAN_OPTIONS=$report:detect_stack_use_after_return=1:${ASAN_OPTIONS-}
    export LSAN_OPTIONS=suppressions=$ROOT/tests/lsan.supp:print_suppressions=0:${LSAN_OPTIONS-}
    export UBSAN_OPTIONS=$report:print_stacktrace=1:halt_on_error=1:${UBSAN_OPTIONS-}
    export TSAN_OPTIONS=$report:second_deadlock_stack=1:${TSAN_OPTIONS-}
    # Only the test's own lines are followed, for the report of a failure, not those of functions
    # too: a tenth of the time.
    [ -z "${DERIVFS_TEST_BRIEF-}" ] || set +T
    cd "$BATS_TEST_TMPDIR" || return
    set +T
}

common_teardown() {
    local status=0
    cd /
    continue_daemons
    unmount_all || status=1
    wait_for_daemons || status=1
    sanitizers_silent || status=1
    return $status
}

# --- mounts ---------------------------------------------------------------------------------------

# mount_derivfs DATASET [OPTION...]: mount DATASET at $MNT with the cache in $CACHE; returns when
# the mount works. The daemon is in the background.
mount_derivfs() {
    local dataset=$1
    shift
    # An open fd 3 would keep bats waiting for the daemon's end.
    derivfs --cache_dir="$CACHE" "$@" "$dataset" "$MNT" 3>&- 4>&-
}

# mount_derivfs_foreground DATASET [OPTION...]: the same, but as a child of the test: its process id
# in $DAEMON, for `wait`, and what it says in $LOG.
mount_derivfs_foreground() {
    local dataset=$1
    shift
    derivfs -f --cache_dir="$CACHE" "$@" "$dataset" "$MNT" >>"$LOG" 2>&1 3>&- 4>&- &
    DAEMON=$!
    wait_until mounted_or_dead "$DAEMON"
    mounted "$MNT" || { cat "$LOG" >&2 && return 1; }
}

# mount_throttled DIR RATE MOUNTPOINT: show DIR at MOUNTPOINT, readable at RATE bytes a second (as
# in 500k): a dataset on a slow disk, to have time while something is computing. Reads are slow, but
# names and attributes are there at once.
mount_throttled() {
    bindfs --multithreaded --no-allow-other --read-rate="$2" "$1" "$3" 3>&- 4>&-
}

# Is something mounted at DIR?
mounted() {
    local table
    mapfile -d '' table </proc/self/mountinfo
    [[ ${table[0]} == *" / $1 "* ]]
}

mounted_or_dead() {
    mounted "$MNT" || ! kill -0 "$1" 2>/dev/null
}

# Unmount $MNT and wait until its daemon has ended.
unmount_derivfs() {
    local pid
    pid=$(daemon_pid)
    fusermount3 -u "$MNT" && wait_until gone "$pid"
}

# The process id of the daemon that serves $MNT.
daemon_pid() {
    local pid word words
    for pid in $(daemons); do
        mapfile -d '' -t words <"/proc/$pid/cmdline"
        for word in "${words[@]}"; do
            [ "$word" != "$MNT" ] || echo "$pid" # the mount point is an argument of its own
        done
    done
}

# Are the programs built with a sanitizer?
sanitized() {
    grep -qE '__(a|t)san_init' "$(command -v derivfs)"
}

# --- time -----------------------------------------------------------------------------------------

# wait_until COMMAND...: ask again until the command succeeds; fails after $PATIENCE_S seconds.
wait_until() {
    local end=$((SECONDS + PATIENCE_S))
    until "$@"; do
        if [ $SECONDS -gt $end ]; then
            echo "gave up waiting until: $*" >&2
            return 1
        fi
        read -r -t 0.02 -u "$NEVER" || true
    done
}

# Has the process ended? A zombie has: only its parent, bats, has not asked for it yet.
gone() {
    local text=()
    { mapfile -d '' text <"/proc/$1/status"; } 2>/dev/null || true
    [[ ${text-} != *$'\nState:\t'[^ZX]* ]]
}

# milliseconds COMMAND...: how long the command takes, on stdout; its own output is dropped.
milliseconds() {
    local begin=${EPOCHREALTIME/[.,]/}
    "$@" >/dev/null || return
    echo $(((${EPOCHREALTIME/[.,]/} - begin) / 1000))
}

# --- an ordinary user -----------------------------------------------------------------------------

export USER_ID=47111 # an account is not needed

# as_user COMMAND...: run it as an ordinary user, who sees this test's directory as /mnt, owns `user`
# in it, and may open /dev/fuse. Only this process sees these mounts; and it does not see those of tests
# that run beside it, whose daemons would not end before it does.
as_user() {
    as_user_without '' "$@"
}

# as_user_without FILE COMMAND...: the same, where FILE cannot be run or read.
as_user_without() {
    local dir=$BATS_TEST_TMPDIR
    mkdir -p "$dir/programs" "$dir/user"
    cp -u "$DERIVFS_BIN_DIR"/deriv{fs,ctl} "$dir/programs"
    [ -e "$dir/fuse" ] || mknod -m 666 "$dir/fuse" c 10 229
    chown "$USER_ID:$USER_ID" "$dir/user"
    chmod -R a+rX "$dir"
    # shellcheck disable=SC2016
    unshare -m bash -c '
        without=$1
        shift
        findmnt --noheadings --raw --output=TARGET,FSTYPE | grep " fuse[.]" | cut -d " " -f 1 |
            xargs --no-run-if-empty umount --lazy
        mount --bind "$BATS_TEST_TMPDIR" /mnt && mount --bind /mnt/fuse /dev/fuse || exit
        [ -z "$without" ] || mount --bind /dev/null "$without" || exit
        cd /mnt || exit
        exec setpriv --reuid "$USER_ID" --regid "$USER_ID" --clear-groups \
            env -u XDG_CONFIG_HOME HOME=/mnt/user TMPDIR=/mnt/user XDG_CACHE_HOME=/mnt/user/cache \
            PATH=/mnt/programs:/usr/bin:/bin ASAN_OPTIONS="${ASAN_OPTIONS/$BATS_TEST_TMPDIR//mnt/user}:detect_leaks=0" \
            UBSAN_OPTIONS="${UBSAN_OPTIONS/$BATS_TEST_TMPDIR//mnt/user}" \
            TSAN_OPTIONS="${TSAN_OPTIONS/$BATS_TEST_TMPDIR//mnt/user}" "$@"' as_user "$@"
}

# --- data -----------------------------------------------------------------------------------------

# make_run FILE [OPTION...]: see tests/numpy/make_run.py --help.
make_run() {
    "$NUMPY/ask" "$NUMPY_SERVER" make_run "$@"
}

# make_sample DIR [OPTION...]: the sample session, small; DIR is new or empty.
make_sample() {
    [ ! -d "$1" ] || rmdir "$1"
    "$ROOT/contrib/sample" --scale small "$@"
}

# reference STATISTIC DERIVED RUN...: fails where DERIVED is not what numpy says.
reference() {
    "$NUMPY/ask" "$NUMPY_SERVER" reference "$@"
}

# known_contents N: have N files been hashed? Copies of those are found by content.
known_contents() {
    [ "$(find "$CACHE/v1/names" -size 88c 2>/dev/null | wc -l)" -ge "$1" ]
}

# known_keys N: have the contents of N git-annex keys been hashed? Those are known without content.
known_keys() {
    [ "$(find "$CACHE/v1/names" ! -name '*.*' -size +500c 2>/dev/null | wc -l)" -ge "$1" ]
}

# --- looking into a mount -------------------------------------------------------------------------

# metric NAME: the value of derivfs_NAME in the metrics of $MNT.
metric() {
    sed -n "s/^derivfs_$1 //p" "$MNT/.derivfs/metrics"
}

# Its size says nothing before it is opened.
assert_no_errors() {
    assert_equal "$(<"$MNT/.derivfs/errors")" ''
}

# json EXPRESSION: what a Python expression makes of d, the JSON on stdin; fails where that is none.
json() {
    /usr/bin/python3 -c 'import json, sys
d = json.load(sys.stdin)
value = eval("(" + sys.argv[1] + ")")
print(value if isinstance(value, str) else json.dumps(value, separators=(",", ":")))' "$1"
}

# --- taking down ----------------------------------------------------------------------------------

# The daemons and controls of this test that are running: their arguments name its directory.
daemons() {
    local file pid name
    for file in $(grep -lsF "$BATS_TEST_TMPDIR/" /proc/[0-9]*/cmdline); do
        pid=${file//[^0-9]/}
        { read -r name <"/proc/$pid/comm"; } 2>/dev/null || name=
        case $name in
        derivfs | derivctl | bindfs) gone "$pid" || echo "$pid" ;;
        esac
    done
}

# A test that has failed may leave one stopped, and whatever looks at its mount waits for it.
continue_daemons() {
    local pid text
    for pid in $(daemons); do
        { mapfile -d '' text <"/proc/$pid/status"; } 2>/dev/null || continue
        [[ ${text-} != *$'\nState:\tT'* ]] || kill -CONT "$pid"
    done
}

# Unmount everything beneath the test's directory, the youngest first. A mount whose daemon has died
# fails the test, unless it has set DAEMON_MAY_DIE.
unmount_all() {
    local mounts dir status=0 i
    mapfile -t mounts < <(grep -aF " $BATS_TEST_TMPDIR/" /proc/self/mountinfo)
    for ((i = ${#mounts[@]} - 1; i >= 0; i--)); do
        read -r _ _ _ _ dir _ <<<"${mounts[i]}"
        printf -v dir %b "$dir" # blanks are in octal
        if [ -z "${DAEMON_MAY_DIE-}" ] && ! [ -e "$dir/." ] &&
            LC_ALL=C stat "$dir/." 2>&1 | grep -q 'endpoint is not connected'; then
            echo "the daemon of $dir has died" >&2
            status=1
        fi
        fusermount3 -u "$dir" 2>/dev/null || fusermount3 -uz "$dir" || status=1
    done
    return $status
}

# Daemons end by themselves after the unmount; one that doesn't fails the test and is killed.
wait_for_daemons() {
    local pids pid name status=0
    mapfile -t pids < <(daemons)
    # A throttled bindfs sleeps off all that was asked of it before it ends, and who reads from it
    # waits for that: nothing to wait for.
    for pid in "${pids[@]}"; do
        { read -r name <"/proc/$pid/comm"; } 2>/dev/null || continue
        [ "$name" != bindfs ] || kill -KILL "$pid"
    done
    for pid in "${pids[@]}"; do
        if ! wait_until gone "$pid"; then
            echo "still running after the unmount: $(tr '\0' ' ' <"/proc/$pid/cmdline")" >&2
            kill -KILL "$pid"
            status=1
        fi
    done
    return $status
}

sanitizers_silent() {
    local report status=0
    for report in "$BATS_TEST_TMPDIR"/{,user/}sanitizer.*; do
        [ -e "$report" ] || continue
        cat "$report" >&2
        status=1
    done
    return $status
}
