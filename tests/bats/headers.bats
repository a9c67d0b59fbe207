#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# A header is read once, whatever is listed how often by how many daemons.

load helper

# header_reads [OPTION...]: list $MNT/a and $MNT/b with a new daemon; how often runs were read from for that.
header_reads() {
    local ASAN_OPTIONS=$ASAN_OPTIONS:detect_leaks=0 # nothing can be traced and look for leaks
    strace -f -y -qq -e trace=pread64 -o trace -- \
        derivfs -f --cache_dir="$CACHE" "$@" "$DS" "$MNT" 3>&- 4>&- &
    wait_until mounted "$MNT"
    ls -l "$MNT/a" >a.now
    ls -l "$MNT/b" >b.now
    ls -l "$MNT/a" >/dev/null
    fusermount3 -u "$MNT"
    wait $!
    READS=$(grep -c '_bold\.nii' trace) || true
}

setup() {
    common_setup
    local number
    for number in {1..20}; do
        echo "$DS/a/task-rest_run-${number}_bold.nii.gz --volumes 9 --shape 20,20,20 --seed $number"
    done | make_run -
    make_run "$DS/b/x_task-rest_bold.nii" --volumes 3 --shape 20,20,20 # the header of another directory
}

@test "the next daemon finds headers, and lists the same" {
    header_reads
    [ "$READS" -ge 21 ]
    cp a.now a.first
    header_reads
    [ "$READS" -eq 0 ]
    cmp a.now a.first

    # One more: it alone is read.
    make_run "$DS/a/task-rest_run-21_bold.nii" --volumes 9 --shape 20,20,20
    header_reads
    [ "$READS" -gt 0 ]
    run -1 grep '_bold.*gz' trace
    header_reads
    [ "$READS" -eq 0 ]
    grep -q 'run-21.*boldmap' a.now
}

@test "a changed file's header is read anew" {
    header_reads
    make_run "$DS/b/x_task-rest_bold.nii" --volumes 4 --shape 20,20,15
    header_reads
    [ "$READS" -gt 0 ]
    run -1 grep 'task-rest_run' trace
    grep -q ' 25024 .* tsnr.nii' b.now # 1024 + 20 * 20 * 15 * 4
}

@test "damaged pages are ignored and replaced; clearing the cache removes them" {
    header_reads
    local page
    for page in "$CACHE"/v1/headers/*; do
        printf 'X' | dd of="$page" bs=1 seek=200 conv=notrunc status=none
    done
    cp a.now a.first
    header_reads
    [ "$READS" -ge 21 ]
    cmp a.now a.first
    for page in "$CACHE"/v1/headers/*; do
        truncate -s 100 "$page"
    done
    header_reads
    [ "$READS" -ge 21 ]
    header_reads
    [ "$READS" -eq 0 ]
    derivctl --cache_dir="$CACHE" cache clear
    [ -z "$(ls "$CACHE/v1/headers")" ]
}

@test "without a cache on disk nothing is written" {
    header_reads --cache_size=0
    [ ! -e "$CACHE" ]
}

@test "a page that is used does not look old" {
    header_reads
    find "$CACHE/v1/headers" -type f -exec touch -d '170 days ago' {} +
    header_reads
    [ "$READS" -eq 0 ]
    assert_equal "$(find "$CACHE/v1/headers" -type f -mtime +1)" ''
    assert [ -n "$(find "$CACHE/v1/headers" -type f)" ]
}
