# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# Once for each run of bats, before the first test: a server for make_run and reference.

setup_suite() {
    local end=$((SECONDS + 60))
    export NUMPY_SERVER=$BATS_RUN_TMPDIR/numpy
    "${BASH_SOURCE[0]%/*}/../numpy/serve.py" "$NUMPY_SERVER" $$ \
        </dev/null >"$NUMPY_SERVER.log" 2>&1 3>&- 4>&- &
    until [ -S "$NUMPY_SERVER" ]; do
        if [ $SECONDS -gt $end ] || ! kill -0 $!; then
            cat "$NUMPY_SERVER.log" >&2
            return 1
        fi
        sleep 0.05
    done
}
