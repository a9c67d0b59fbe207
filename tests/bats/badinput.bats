#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Bad input: what depends on it fails with one clear sentence, and nothing else does.

load helper

GOOD=sub-1_task-a_bold.nii.gz
BAD=sub-1_task-b_bold

# Made once: two good runs and, plain and compressed, the third, which tests replace by a bad one.
setup_file() {
    make_run - <<END
$BATS_FILE_TMPDIR/a.nii.gz
$BATS_FILE_TMPDIR/well.nii.gz --seed 2
$BATS_FILE_TMPDIR/sound.nii --seed 3
$BATS_FILE_TMPDIR/sound.nii.gz --seed 3
END
    zstd -q "$BATS_FILE_TMPDIR/sound.nii"
}

# Two directories: in "sick" a good run and a bad one that the test makes, in "well" a good one.
setup() {
    common_setup
    RESTRICTED=() # what to run programs with
    SOUND=$BATS_FILE_TMPDIR/sound
    mkdir "$DS/sick" "$DS/well"
    cp "$BATS_FILE_TMPDIR/a.nii.gz" "$DS/sick/$GOOD"
    cp "$BATS_FILE_TMPDIR/well.nii.gz" "$DS/well/$GOOD"
    echo '{}' >"$DS/dataset_description.json"
}

mount_here() {
    mount_derivfs_foreground "$DS" "$@"
}

# assert_sick FILE REASON [ERRNO_TEXT]: the joined results of "sick" fail because of FILE, whose
# sentence says REASON; everything else in the mount works; repaired, the next read succeeds.
assert_sick() {
    fails_clearly "$1" "$2" "${3:-Input/output error}"
    assert_equal "$(grep -Ec "sick/tsnr.nii: sick/$1: .*$2" "$LOG")" 1
    others_are_read
    nothing_is_cached
    nothing_leaks
    repair "$1"
    numbers_are_right
    refute_errors_of sick/tsnr.nii
}

fails_clearly() {
    run cat "$MNT/sick/tsnr.nii"
    assert_failure
    assert_output --partial "$3"
    assert_equal "$(errors_of sick/tsnr.nii | wc -l)" 1
    assert_regex "$(errors_of sick/tsnr.nii)" "sick/$1: .*$2"
    run derivctl explain "$MNT/sick/tsnr.nii"
    assert_success
    assert_line --regexp "^error: sick/$1: .*$2"
    assert_line 'state: failed'
    run "${RESTRICTED[@]}" derivctl compute "$DS/sick/tsnr.nii" --cache_dir="$CACHE"
    assert_failure 1
    assert_output --regexp "^derivctl: sick/tsnr.nii: .*: sick/$1: .*$2"
}

errors_of() {
    grep -F " $1: " "$MNT/.derivfs/errors"
}

refute_errors_of() {
    run errors_of "$1"
    assert_output ''
}

# What has nothing to do with the bad run; the copies are for numbers_are_right.
others_are_read() {
    cat "$MNT/well/tsnr.nii" >well.nii
    cat "$MNT/sick/sub-1_task-a_stat-tsnr_boldmap.nii" >alone.nii
    cmp "$MNT/sick/$GOOD" "$DS/sick/$GOOD"
    refute_errors_of well/tsnr.nii
}

numbers_are_right() {
    local third
    third=$(echo "$DS/sick/$BAD".nii*)
    [[ $third != *.zst ]] || third=$SOUND.nii # nibabel needs a library for it
    reference - <<END
tsnr well.nii $DS/well/$GOOD
tsnr alone.nii $DS/sick/$GOOD
tsnr $MNT/sick/tsnr.nii $DS/sick/$GOOD $third
END
}

# Those of all processes: a daemon counts what others publish now and then only.
cache_entries() {
    find "$CACHE/v1/objects" -name '*.meta' | wc -l
}

# Moments and image of the sound runs, one for each directory, and nothing of the bad one.
nothing_is_cached() {
    assert_equal "$(cache_entries)" 4
}

descriptors() {
    find "/proc/$DAEMON/fd" -mindepth 1 | wc -l
}

nothing_leaks() {
    local before
    before=$(descriptors)
    for _ in {1..20}; do
        cat "$MNT/sick/mean.nii" >/dev/null 2>&1 && return 1
    done
    wait_until eval "[ \$(descriptors) -le $before ]"
    assert_equal "$(metric requests_waiting)" 0
    assert_equal "$(metric memory_used_bytes)" 0
}

repair() {
    rm -f "$DS/sick/$1"
    cp "$SOUND.${1#*.}" "$DS/sick/$1"
}

# flip FILE OFFSET: change one byte; a negative offset counts from the end.
flip() {
    /usr/bin/python3 - "$@" <<'PYTHON'
import os, sys
with open(sys.argv[1], "r+b") as file:
    file.seek(int(sys.argv[2]), os.SEEK_END if sys.argv[2].startswith("-") else os.SEEK_SET)
    byte = file.read(1)[0]
    file.seek(-1, os.SEEK_CUR)
    file.write(bytes([byte ^ 0x55]))
PYTHON
}

@test "a truncated gzip file" {
    make_run "$DS/sick/$BAD.nii.gz" --cut 100
    mount_here
    assert_sick $BAD.nii.gz 'inflate: gzip data ends early'
}

@test "a gzip file cut within its header" {
    head -c 9 "$SOUND.nii.gz" >"$DS/sick/$BAD.nii.gz"
    mount_here
    assert_sick $BAD.nii.gz 'inflate: gzip data ends early'
}

@test "a gzip file whose second member is missing" {
    make_run whole.nii.gz --members 2
    local member
    member=$(LC_ALL=C grep -abo $'\x1f\x8b\x08' whole.nii.gz | LC_ALL=C sed -n '2s/:.*//p')
    head -c "$member" whole.nii.gz >"$DS/sick/$BAD.nii.gz"
    mount_here
    assert_sick $BAD.nii.gz 'inflate: inflated data ends after'
}

@test "a gzip file with a wrong checksum" {
    make_run "$DS/sick/$BAD.nii.gz"
    flip "$DS/sick/$BAD.nii.gz" -6
    mount_here
    assert_sick $BAD.nii.gz 'inflate: wrong CRC-32'
}

@test "a gzip file with a changed byte in its data" {
    make_run "$DS/sick/$BAD.nii.gz"
    flip "$DS/sick/$BAD.nii.gz" -700
    mount_here
    assert_sick $BAD.nii.gz 'inflate: (wrong CRC-32|corrupt gzip data)'
}

@test "a gzip file with garbage behind it" {
    make_run "$DS/sick/$BAD.nii.gz"
    echo garbage >>"$DS/sick/$BAD.nii.gz"
    mount_here
    assert_sick $BAD.nii.gz 'inflate: garbage after the end'
}

@test "a truncated zstd file" {
    head -c -100 "$SOUND.nii.zst" >"$DS/sick/$BAD.nii.zst"
    mount_here
    assert_sick $BAD.nii.zst 'decompress: zstd data ends early'
}

@test "a zstd file cut within its header" {
    head -c 5 "$SOUND.nii.zst" >"$DS/sick/$BAD.nii.zst"
    mount_here
    assert_sick $BAD.nii.zst 'decompress: zstd data ends early'
}

@test "a zstd file whose second frame is missing" {
    head -c 3000 "$SOUND.nii" | zstd -q >"$DS/sick/$BAD.nii.zst"
    mount_here
    assert_sick $BAD.nii.zst 'decompress: decompressed data ends after 3000 of at least'
}

@test "a zstd file with a wrong checksum" {
    cp "$SOUND.nii.zst" "$DS/sick/$BAD.nii.zst"
    flip "$DS/sick/$BAD.nii.zst" -1
    mount_here
    assert_sick $BAD.nii.zst 'decompress: wrong checksum in the zstd data'
}

@test "a zstd file with a changed byte in its data" {
    cp "$SOUND.nii.zst" "$DS/sick/$BAD.nii.zst"
    flip "$DS/sick/$BAD.nii.zst" -700
    mount_here
    assert_sick $BAD.nii.zst 'decompress: (wrong checksum in the zstd|corrupt zstd) data'
}

@test "a zstd file with garbage behind it" {
    { cat "$SOUND.nii.zst" && echo garbage; } >"$DS/sick/$BAD.nii.zst"
    mount_here
    assert_sick $BAD.nii.zst 'decompress: garbage after the end'
}

@test "a zstd file with a window that is too large" {
    zstd -q --long=28 --stdout <"$SOUND.nii" >"$DS/sick/$BAD.nii.zst"
    mount_here
    assert_sick $BAD.nii.zst 'decompress: the zstd data needs a window of more than 128 MiB'
}

@test "garbage within zstd" {
    head -c 5000 /dev/zero | zstd -q >"$DS/sick/$BAD.nii.zst"
    mount_here
    assert_sick $BAD.nii.zst 'read header: not NIfTI'
}

@test "garbage" {
    head -c 5000 /dev/urandom | tr '\37' ' ' >"$DS/sick/$BAD.nii.gz"
    mount_here
    assert_sick $BAD.nii.gz 'read header: not NIfTI'
}

@test "garbage within gzip" {
    head -c 5000 /dev/zero | gzip >"$DS/sick/$BAD.nii.gz"
    mount_here
    assert_sick $BAD.nii.gz 'read header: not NIfTI'
}

@test "an empty file" {
    : >"$DS/sick/$BAD.nii"
    mount_here
    assert_sick $BAD.nii 'read header: the file is empty'
}

@test "an empty file that should be gzip" {
    : >"$DS/sick/$BAD.nii.gz"
    mount_here
    assert_sick $BAD.nii.gz 'read header: the file is empty'
}

@test "a header that ends early" {
    head -c 300 "$SOUND.nii" >"$DS/sick/$BAD.nii"
    mount_here
    assert_sick $BAD.nii 'read header: .*300 bytes are too few'
}

@test "a header that makes no sense" {
    # Each in a directory of its own, plain and compressed, with the reason that is to be told.
    local cases='
        negative|dimension 2 is -6|dim=4,5,-6,4,12,1,1,1
        zero|dimension 3 is 0|dim=4,5,6,0,12,1,1,1
        zero_time|dimension 4 is 0|dim=4,5,6,4,0,1,1,1
        ndim|number of dimensions is 9|dim=9,5,6,4,12,1,1,1
        overflow|dimensions overflow|dim=4,4611686018427387904,6,4,12,1,1,1 --version 2
        offset_overflow|overflow|vox_offset=9223372036854775807 --version 2
        datatype|unknown datatype 999|datatype=999
        nan|vox_offset is nan|vox_offset=nan
        inside|vox_offset 40 lies inside the header|vox_offset=40
        pair|a header of a .hdr/.img pair|magic=ni1'
    local name reason field ending
    while IFS='|' read -r name reason field; do
        [ -n "${name// /}" ] || continue
        for ending in nii nii.gz; do
            echo "$DS/${name// /}-${ending/./}/$BAD.$ending --set $field"
        done
    done <<<"$cases" | make_run -
    mount_here
    while IFS='|' read -r name reason field; do
        [ -n "${name// /}" ] || continue
        for ending in nii nii.gz; do
            local dir=${name// /}-${ending/./}
            run cat "$MNT/$dir/tsnr.nii"
            assert_failure
            assert_output --partial 'Input/output error'
            assert_regex "$(errors_of "$dir/tsnr.nii")" "$dir/$BAD.$ending: read header: .*$reason"
        done
    done <<<"$cases"
    reference tsnr "$MNT/well/tsnr.nii" "$DS/well/$GOOD"
    assert_equal "$(cache_entries)" 2
}

@test "a negative dimension" {
    make_run "$DS/sick/$BAD.nii" --set dim=4,5,-6,4,12,1,1,1
    mount_here
    assert_sick $BAD.nii 'read header: dimension 2 is -6'
}

@test "voxels that would lie beyond the file" {
    make_run "$DS/sick/$BAD.nii" --set vox_offset=1e6
    mount_here
    assert_sick $BAD.nii 'the file has 3232 bytes, its header promises 1002880'
}

@test "voxels that would lie beyond what a gzip file inflates to" {
    make_run "$DS/sick/$BAD.nii.gz" --set vox_offset=1e6
    mount_here
    assert_sick $BAD.nii.gz 'ends after 3232 of at least 1000000 bytes'
}

@test "dimensions far larger than the file cost neither memory nor time" {
    make_run "$DS/sick/$BAD.nii.gz" --set dim=4,5,6,4,32767,1,1,1
    make_run "$DS/huge/a.nii.gz" --set dim=4,32767,32767,4,12,1,1,1
    mount_here --memory=64M
    assert_sick $BAD.nii.gz 'ends after'
    run cat "$MNT/huge/tsnr.nii"
    assert_failure
    assert_output --partial 'Cannot allocate memory'
    assert [ "$(sed -n 's/^VmHWM:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/$DAEMON/status")" -lt 1000000 ]
}

# Sizes that a header claims and a compressed file need not have.
claims() { # DIR FILE DIMS: a gzip file with a NIfTI-2 header alone
    make_run "$DS/$1/$2.nii.gz" --version 2 --set dim="$3"
}

# claim_fails FILE ERRNO_TEXT: stat(2) has an answer, reading behind the header fails, the daemon
# lives.
claim_fails() {
    stat "$MNT/$1" >/dev/null
    run ! head -c 1M "$MNT/$1"
    assert_output --partial "$2"
    mounted "$MNT"
}

@test "claims of any size: stat and read agree, nothing overflows" {
    local name i
    for i in 1 2 3 4; do
        claims joined "sub-1_task-$i""_bold" 4,65536,1024,1,2147483648,1,1,1 # 2^57 voxels each
    done
    claims volumes x 4,16,16,4,4294967296,1,1,1
    claims voxels x 4,262144,262144,1,2,1,1,1
    claims "most" sub-1_task-a_bold 4,65536,65536,17,4,1,1,1
    cat >recipes.ini <<'END'
[z]
expr = zscore(bold)
[flat]
expr = detrend(bold, 10)
[med]
expr = median(bold)
[vol]
expr = bold[..., -1]
[copy.txt]
command = wc -c {z.nii}
END
    mount_here --memory=64M --recipes=recipes.ini
    for name in z.nii z.nii.gz flat.nii; do
        assert_equal "$(stat -c %s "$MNT/joined/$name")" "$UNKNOWN_SIZE"
        claim_fails "joined/$name" 'Input/output error'
    done
    for name in tsnr.nii tsnr.nii.gz tsnr.png med.nii vol.nii; do
        claim_fails "joined/$name" 'Input/output error'
    done
    assert_regex "$(errors_of joined/tsnr.nii)" 'the runs joined have more than 2.58 voxels'
    for name in z.nii z.nii.gz flat.nii tsnr.nii tsnr.nii.gz tsnr.png med.nii; do
        claim_fails "voxels/$name" 'Cannot allocate memory'
        claim_fails "most/$name" 'Input/output error' # one volume is too large
    done
    for name in flat.nii med.nii; do
        claim_fails "volumes/$name" 'Cannot allocate memory'
    done
    claim_fails volumes/copy.txt 'Input/output error'
    assert_regex "$(errors_of volumes/copy.txt)" 'a series of 4294967296 volumes is too long'
    reference tsnr "$MNT/well/tsnr.nii" "$DS/well/$GOOD"
}

@test "a file that may not be read" {
    cp "$SOUND.nii" "$DS/sick/$BAD.nii"
    chown nobody "$DS/sick/$BAD.nii"
    chmod 000 "$DS/sick/$BAD.nii"
    # Root may read everything unless it gives up the right to.
    local bits=-dac_override,-dac_read_search
    RESTRICTED=(setpriv "--bounding-set=$bits" "--inh-caps=$bits")
    "${RESTRICTED[@]}" derivfs -f --cache_dir="$CACHE" "$DS" "$MNT" >"$LOG" 2>&1 3>&- 4>&- &
    DAEMON=$!
    wait_until mounted "$MNT"
    assert_sick $BAD.nii 'cannot open: Permission denied' 'Permission denied'
}

@test "a link that dangles" {
    ln -s nowhere.nii "$DS/sick/$BAD.nii"
    mount_here
    assert_sick $BAD.nii "cannot open: the link's target does not exist"
}

@test "a link in a circle" {
    ln -s $BAD.nii "$DS/sick/$BAD.nii"
    mount_here
    assert_sick $BAD.nii 'cannot open: too many levels of links'
}

@test "a link that leads out of the dataset" {
    cp "$SOUND.nii" outside.nii
    ln -s ../../outside.nii "$DS/sick/$BAD.nii"
    mount_here
    assert_sick $BAD.nii 'cannot open: a link leads out of the dataset'
}

@test "a link to a FIFO" {
    mkfifo "$DS/fifo"
    ln -s ../fifo "$DS/sick/$BAD.nii"
    mount_here
    assert_sick $BAD.nii 'cannot open: not a regular file'
}

@test "a FIFO and a directory that are named like runs are none" {
    mkfifo "$DS/sick/$BAD.nii"
    mkdir "$DS/sick/sub-1_task-c_bold.nii.gz" "$DS/well/x.nii.gz"
    mount_here
    reference tsnr "$MNT/sick/tsnr.nii" "$DS/sick/$GOOD"
    reference tsnr "$MNT/well/tsnr.nii" "$DS/well/$GOOD"
    assert [ -p "$MNT/sick/$BAD.nii" ]
    assert [ -d "$MNT/well/x.nii.gz" ]
    assert_equal "$(<"$MNT/.derivfs/errors")" ''
}

@test "without BIDS names a broken file is no run, and the errors say why, once" {
    make_run "$DS/plain/a.nii"
    echo 'this is not an image, however it is called' >"$DS/plain/b.nii"
    ln -s nowhere "$DS/plain/c.nii.gz"
    mount_here
    reference tsnr "$MNT/plain/tsnr.nii" "$DS/plain/a.nii"
    local file
    for file in b.nii c.nii.gz; do
        assert_regex "$(errors_of plain/$file)" "plain/$file: (read header: not NIfTI|cannot open)"
    done
    # Looking again and again is no news; what makes the daemon look is a change of the directory.
    local begin=$SECONDS
    while [ $((SECONDS - begin)) -lt 3 ]; do
        ls -l "$MNT/plain" >/dev/null
    done
    assert_equal "$(grep -c 'plain/b.nii' "$LOG")" 1
    assert_equal "$(grep -c 'plain/c.nii.gz' "$LOG")" 1
    make_run "$DS/plain/b.nii" --seed 2
    wait_until assert_exists "$MNT/plain/b_stat-tsnr_boldmap.nii"
    refute_errors_of plain/b.nii
}

@test "a group whose every run is broken is not listed and cannot be read" {
    rm "$DS/sick/$GOOD"
    echo garbage >"$DS/sick/$BAD.nii"
    mount_here
    assert_equal "$(ls "$MNT/sick")" "$BAD.nii"
    run cat "$MNT/sick/tsnr.nii"
    assert_failure
    assert_output --partial 'Input/output error'
    repair $BAD.nii
    wait_until reference tsnr "$MNT/sick/tsnr.nii" "$DS/sick/$BAD.nii"
    assert_equal "$(ls "$MNT/sick" | grep -c '\.nii$')" 5
}

@test "a run that is truncated while mounted" {
    cp "$SOUND.nii" "$DS/sick/$BAD.nii"
    mount_here
    head -c 1024 "$MNT/sick/tsnr.nii" >/dev/null
    truncate -s 2000 "$DS/sick/$BAD.nii"
    assert_sick $BAD.nii 'read header: the file has 2000 bytes, its header promises 3232'
}

@test "a disk that fails" {
    make_run "$DS/large/a.nii" --shape 64,64,30 --volumes 30
    export ASAN_OPTIONS=detect_leaks=0:$ASAN_OPTIONS # nothing can be traced and look for leaks
    # What a thread reads of the file first is its header.
    strace -f -o strace.log -P "$DS/large/a.nii" -e trace=pread64 \
        -e inject=pread64:error=EIO:when=6+ \
        derivfs -f --threads=1 --cache_dir="$CACHE" "$DS" "$MNT" >"$LOG" 2>&1 3>&- 4>&- &
    wait_until mounted "$MNT"
    run cat "$MNT/large/mean.nii"
    assert_failure
    assert_output --partial 'Input/output error'
    assert_regex "$(errors_of large/mean.nii)" \
        'large/a.nii: read: read fails at byte [0-9]+: Input/output error'
    cmp "$MNT/sick/$GOOD" "$DS/sick/$GOOD"
    cat "$MNT/well/tsnr.nii" >/dev/null
}

@test "a failure that the kernel asks for twice is computed and told once" {
    make_run "$DS/sick/$BAD.nii.gz" --cut 100
    mount_here
    run /usr/bin/python3 - "$MNT/sick/tsnr.nii" <<'PYTHON'
import mmap, sys
with open(sys.argv[1], "rb") as file:
    print(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)[1024])
PYTHON
    assert_failure 135 # SIGBUS
    assert_equal "$(grep -c "sick/$BAD.nii.gz" "$LOG")" 1
    local failed
    failed=$(metric tasks_failed_total)
    run cat "$MNT/sick/mean.nii" # asks once
    assert_failure
    assert_equal "$(metric tasks_failed_total)" $((2 * failed))
}
