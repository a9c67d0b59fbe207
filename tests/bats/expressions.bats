#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# The whole language through a mount: images and series, over everything a series may be, against
# numpy; and 4-D files, which are computed in parts as they are read.

# bats file_tags=release

load helper

# make_joined DIR: three runs of different length, type and scaling, whole numbers all, so that
# comparisons meet ties.
make_joined() {
    make_run - <<END
$1/run1.nii.gz --volumes 12 --shape 6,4,3
$1/run2.nii --volumes 9 --shape 6,4,3 --seed 2 --dtype f4 --whole --slope 2 --inter=-90
$1/run3.nii.gz --volumes 16 --shape 6,4,3 --seed 3 --big --level 3 --spread 40
END
}

# check_all RECIPES DIR...: every recipe over the group in each directory, and over each of its runs.
check_all() {
    local recipes=$1 dir run
    shift
    assert_no_errors
    for dir in "$@"; do
        "$NUMPY/expressions.py" check "$recipes" "$MNT/$dir/{}.nii" "$DS/$dir"/*
        for run in "$DS/$dir"/*; do
            "$NUMPY/expressions.py" check "$recipes" \
                "$MNT/$dir/$(basename "${run%%.nii*}")_stat-{}_boldmap.nii" "$run"
        done
    done
}

# bats test_tags=once
@test "numpy's side has every function of the language" {
    grep -oP '^ +X\(.*"\K\w+(?=", +FUNCTION\()' "$ROOT/src/recipe/expr_ops.h" | sort -u >language
    /usr/bin/python3 - "$NUMPY" >numpy <<'END'
import sys
sys.path.insert(0, sys.argv[1])
import expressions
print(*sorted(expressions.FUNCTIONS), sep="\n")
END
    run diff language numpy
    assert_success
}

@test "every operation on series gives what numpy makes of it" {
    make_joined "$DS/joined"
    make_run "$DS/special/run1.nii" --dtype f4 --special --volumes 10
    make_run "$DS/special/run2.nii.gz" --seed 5 --volumes 14 --slope 0.3 --inter 7
    mount_derivfs "$DS" --recipes="$NUMPY/series.ini"
    check_all "$NUMPY/series.ini" joined special
}

@test "random expressions of the whole language give what numpy makes of them" {
    make_joined "$DS/joined"
    make_run "$DS/special/run1.nii" --dtype f4 --special --volumes 11 --shape 5,4,3
    make_run "$DS/special/run2.nii.gz" --seed 5 --volumes 8 --slope 0.3 --inter 7 --shape 5,4,3
    make_run "$DS/single/run1.nii.gz" --volumes 20 --shape 7,5,2 --dtype u1
    local number=400
    ! sanitized || number=80 # what they give is known; that they are in order is seen with fewer
    "$NUMPY/expressions.py" make $number 20240608 whole >recipes.ini
    mount_derivfs "$DS" --recipes="$PWD/recipes.ini"
    check_all recipes.ini joined special single
}

@test "percentiles have the same bits for any number of threads and any memory" {
    make_joined "$DS/joined"
    # noise that does not fit 8 bits
    make_run "$DS/large/run.nii" --shape 40,40,20 --volumes 70 --level 900 --spread 300
    cat >recipes.ini <<'END'
[low]
expr = percentile(bold, low)
param low = 2.5
[spread]
expr = percentile(drop(bold, 2), 75) - percentile(drop(bold, 2), 25) + median(drop(bold, 2))
[many]
expr = percentile(bold, 5) - percentile(bold, 20) + percentile(bold, 50) - percentile(bold, 65) + percentile(bold, 80) - percentile(bold, 95)
[cleaned]
expr = percentile(detrend(bold[..., 3:], 1), 90) / std(bold)
[middle]
expr = median(bold)
[fiftieth]
expr = percentile(bold, 50)
[deviation]
expr = median(abs(bold - median(bold)))
[steps]
expr = percentile(bold[..., 1:] - bold[..., :-1], 20)
END
    local files=(low 'low@low=33.3' spread cleaned middle fiftieth deviation steps) name options n=0
    files=("${files[@]/%/.nii}" run1_stat-spread_boldmap.nii.gz run1_stat-low_boldmap.nii)
    files=("${files[@]/#/joined/}" large/{spread,many,middle,deviation}.nii)
    run -0 derivctl explain --memory=4M --recipes="$PWD/recipes.ini" "$DS/large/spread.nii"
    assert_line --regexp '    percentiles 25, 50, 75 of .*, up to [0-9]+ times for want of memory'
    # six planes would leave no room for the values: one percentile after the other
    run -0 derivctl explain --memory=4M --recipes="$PWD/recipes.ini" "$DS/large/many.nii"
    assert_line --regexp '    percentiles 5, .* of bold, up to 18 times for want of memory'
    for options in --threads=1 --threads=2 --threads=8 '--threads=2 --memory=4M'; do
        # shellcheck disable=SC2086 # several options
        mount_derivfs "$DS" --recipes="$PWD/recipes.ini" $options
        n=$((n + 1))
        mkdir -p "$n"/{joined,large}
        for name in "${files[@]}"; do
            cat "$MNT/$name" >"$n/$name"
            cmp "$n/$name" "1/$name"
        done
        assert_no_errors
        unmount_derivfs
        rm -r "$CACHE"
    done
    # the headers say the expression
    cmp --ignore-initial=1024 1/joined/middle.nii 1/joined/fiftieth.nii
    refute cmp -s --ignore-initial=1024 1/joined/low.nii '1/joined/low@low=33.3.nii'
}

@test "percentiles of one series take one pass, and the fiftieth is the median's task" {
    make_joined "$DS/joined"
    cat >recipes.ini <<'END'
[spread]
expr = (percentile(bold, 75) - percentile(bold, 2.5)) / mean(bold)
[middle]
expr = median(bold)
[fiftieth]
expr = percentile(bold, 50) * 2
END
    mount_derivfs "$DS" --recipes="$PWD/recipes.ini"
    run -0 derivctl explain "$MNT/joined/spread.nii"
    assert_line 'passes over the data: 2'
    assert_line '    percentiles 2.5, 75 of bold'
    assert_line '    moments of bold'
    assert_line --regexp 'gives float64 \(6, 4, 3, 2\)'
    computed() {
        echo $(($(metric tasks_done_total) - $(metric tasks_found_total)))
    }
    cat "$MNT/joined/middle.nii" >/dev/null
    assert_equal "$(computed)" 2
    cat "$MNT/joined/fiftieth.nii" >/dev/null
    assert_equal "$(computed)" 3
}

@test "a percentile that there is none of is told with its place" {
    make_run "$DS/run.nii"
    cat >recipes.ini <<'END'
[good]
expr = percentile(bold, 99.5)
[above]
expr = percentile(bold, 101)
[below]
expr = 1 + percentile(bold, -1)
[none]
expr = percentile(bold, nan)
[missing]
expr = 2 * percentile(bold)
END
    mount_derivfs "$DS" --recipes="$PWD/recipes.ini"
    cat "$MNT/good.nii" >/dev/null
    for name in above below none missing; do
        assert [ ! -e "$MNT/$name.nii" ]
    done
    run cat "$MNT/.derivfs/errors"
    local reason='q of percentile() must be written as a number from 0 to 100' nl=$'\n'
    assert_output --partial "recipes.ini:4:25: $reason${nl}expr = percentile(bold, 101)$nl                        ^"
    assert_output --partial "recipes.ini:6:29: $reason${nl}expr = 1 + percentile(bold, -1)$nl                            ^"
    assert_output --partial "recipes.ini:8:25: $reason${nl}expr = percentile(bold, nan)$nl                        ^"
    assert_output --partial "recipes.ini:10:12: percentile() takes 2 arguments but 1 is given${nl}expr = 2 * percentile(bold)$nl           ^"
}

# --- 4-D files ------------------------------------------------------------------------------------

# make_long [RUNS]: runs of 40 volumes of 400 kB in $DS/long, so that a 4-D file of one has several
# parts; and recipes.ini.
make_long() {
    local number
    for ((number = 1; number <= ${1:-2}; number++)); do
        echo "$DS/long/run$number.nii.gz --volumes 40 --shape 64,50,32 --dtype u1 --seed $number"
    done | make_run -
    cat >recipes.ini <<'END'
[trendless]
expr = detrend(bold, 2)
[later]
expr = bold[..., 3:]
[scored]
expr = zscore(bold)
END
}

# whole_file NAME: a copy of $MNT/long/NAME, read from front to back and right, as ./NAME.
whole_file() {
    cat "$MNT/long/$1.nii" >"$1.nii"
    sed -n "/^\[$1\]/,/^expr/p" recipes.ini >one.ini
    "$NUMPY/expressions.py" check one.ini "$PWD/{}.nii" "$DS/long"/*
}

# forget: mount again with nothing in the cache.
forget() {
    unmount_derivfs
    rm -r "$CACHE"
    mount_derivfs "$DS" --recipes="$PWD/recipes.ini" "$@"
}

# compare_reads FILE COPY READERS: each reader, a thread with an open file of its own, reads at
# places of its own and finds what the copy has.
compare_reads() {
    /usr/bin/python3 - "$@" <<'END'
import concurrent.futures, os, random, sys

file, copy, readers = sys.argv[1:]
with open(copy, "rb") as f:
    expected = f.read()

def read(seed):
    rng = random.Random(seed)
    fd = os.open(file, os.O_RDONLY)
    for _ in range(6):
        off = rng.randrange(len(expected))
        nbytes = rng.choice([1, 4096, 70000, 1 << 20, 5 << 20])
        got = b""
        while piece := os.pread(fd, nbytes - len(got), off + len(got)):
            got += piece
        assert got == expected[off : off + nbytes], (seed, off, nbytes)
    assert os.pread(fd, 100, len(expected)) == b""
    os.close(fd)

with concurrent.futures.ThreadPoolExecutor(int(readers)) as pool:
    list(pool.map(read, range(int(readers))))
END
}

@test "the size of a 4-D file is exact before anything is computed" {
    make_long
    mount_derivfs "$DS" --recipes="$PWD/recipes.ini"
    assert_equal "$(stat -c %s "$MNT/long/trendless.nii")" $((1024 + 4 * 64 * 50 * 32 * 80))
    assert_equal "$(stat -c %s "$MNT/long/later.nii")" $((1024 + 4 * 64 * 50 * 32 * 77))
    head -c 1024 "$MNT/long/later.nii" >start
    assert_equal "$(od -An -tu2 -j40 -N10 start | xargs)" '4 64 50 32 77'
    assert_equal "$(metric tasks_done_total)" 0
}

@test "a 4-D file is the same from the middle, at random places, through mmap and front to back" {
    make_long
    mount_derivfs "$DS" --recipes="$PWD/recipes.ini"
    local name
    for name in trendless later scored; do
        whole_file $name
    done
    forget
    dd if="$MNT/long/later.nii" bs=1M skip=17 count=3 iflag=fullblock status=none |
        cmp - <(tail -c +$(((17 << 20) + 1)) later.nii | head -c 3M)
    forget
    for name in trendless later scored; do
        compare_reads "$MNT/long/$name.nii" $name.nii 1
    done
    forget
    /usr/bin/python3 - "$MNT/long/trendless.nii" trendless.nii <<'END'
import mmap, sys
with open(sys.argv[1], "rb") as f, open(sys.argv[2], "rb") as copy:
    with mmap.mmap(f.fileno(), 0, mmap.MAP_SHARED, mmap.PROT_READ) as m:
        expected = copy.read()
        assert m[20_000_000:20_100_000] == expected[20_000_000:20_100_000]
        assert m[:] == expected
END
}

@test "a 4-D .nii.gz has its exact size, and the bytes of the .nii, from any place" {
    make_long
    mount_derivfs "$DS" --recipes="$PWD/recipes.ini"
    local size
    size=$(stat -c %s "$MNT/long/trendless.nii.gz")
    head -c 1039 "$MNT/long/trendless.nii.gz" | tail -c 1024 | cmp - <(head -c 1024 "$MNT/long/trendless.nii")
    assert_equal "$(metric tasks_done_total)" 0
    cat "$MNT/long/trendless.nii.gz" >trendless.nii.gz
    assert_equal "$(stat -c %s trendless.nii.gz)" "$size"
    gzip -dc trendless.nii.gz | cmp - "$MNT/long/trendless.nii"
    # two trends and eight chunks, which both files are made of
    assert_equal $(($(metric tasks_done_total) - $(metric tasks_found_total))) 10
    compare_reads "$MNT/long/trendless.nii.gz" trendless.nii.gz 4
    # the end by itself: a checksum without the parts
    forget
    tail -c 100 "$MNT/long/trendless.nii.gz" | cmp - <(tail -c 100 trendless.nii.gz)
    compare_reads "$MNT/long/trendless.nii.gz" trendless.nii.gz 64
    # and when nothing is kept
    forget --cache_size=1M
    cmp "$MNT/long/trendless.nii.gz" trendless.nii.gz
    assert [ "$(kept_nbytes)" -lt 1200000 ]
    # of one run, and without a mount
    gzip -t <"$MNT/long/run1_stat-scored_boldmap.nii.gz"
    derivctl compute --cache_dir="$CACHE" --recipes="$PWD/recipes.ini" -o out.nii.gz \
        "$DS/long/trendless.nii.gz"
    cmp out.nii.gz trendless.nii.gz
    run ! grep -v 'the result is not kept' "$MNT/.derivfs/errors" # of the small cache
}

@test "64 readers at random places of a 4-D file each get their bytes" {
    make_long
    mount_derivfs "$DS" --recipes="$PWD/recipes.ini"
    whole_file trendless
    forget
    compare_reads "$MNT/long/trendless.nii" trendless.nii 64
}

@test "reading a 4-D file from front to back inflates each run once" {
    make_run "$DS/long/run1.nii.gz" --volumes 120 --shape 64,50,32
    printf '[later]\nexpr = bold[..., 3:]\n' >recipes.ini
    mount_derivfs "$DS" --recipes="$PWD/recipes.ini"
    local before stored result
    stored=$(stat -c %s "$DS/long/run1.nii.gz")
    result=$(stat -c %s "$MNT/long/later.nii")
    before=$(sed -n 's/^rchar: //p' "/proc/$(daemon_pid)/io")
    cat "$MNT/long/later.nii" >/dev/null
    is_joined() {
        [ -n "$(find "$CACHE/v1/objects" -type f -size "${result}c")" ]
    }
    wait_until is_joined
    # what was computed is read again from the cache: for the reader, and to join and check it
    assert [ $(($(sed -n 's/^rchar: //p' "/proc/$(daemon_pid)/io") - before)) \
        -lt $((2 * result + stored * 11 / 10)) ]
}

# The files of the cache, without its many directories.
kept_nbytes() {
    find "$CACHE" -type f -printf '%s\n' | awk '{ sum += $1 } END { print sum + 0 }'
}

@test "a 4-D file larger than the cache is right, and the cache stays small" {
    make_long
    mount_derivfs "$DS" --recipes="$PWD/recipes.ini" --cache_size=1M
    local name
    for name in trendless scored; do
        whole_file $name
    done
    compare_reads "$MNT/long/trendless.nii" trendless.nii 3
    assert [ "$(kept_nbytes)" -lt 1200000 ]
    forget --cache_size=6M # some fit, and go again
    compare_reads "$MNT/long/scored.nii" scored.nii 8
    assert [ "$(kept_nbytes)" -lt 7000000 ]
    assert_no_errors
}

@test "a 4-D file of 300 MB is read in little memory" {
    local limit_kb=100000
    ! sanitized || limit_kb=1000000 # it needs memory of its own
    make_run "$DS/long/run1.nii" --volumes 2 --shape 64,64,30 --set dim=4,64,64,30,640,1,1,1
    truncate -s $((352 + 2 * 64 * 64 * 30 * 640)) "$DS/long/run1.nii"
    printf '[trendless]\nexpr = detrend(bold, 2)\n' >recipes.ini
    mount_derivfs "$DS" --recipes="$PWD/recipes.ini" --threads=2
    assert_equal "$(wc -c <"$MNT/long/trendless.nii")" $((1024 + 4 * 64 * 64 * 30 * 640))
    assert [ "$(sed -n 's/^VmHWM:\s*\([0-9]*\) kB/\1/p' "/proc/$(daemon_pid)/status")" -lt $limit_kb ]
}

@test "a source that changes between two parts gives EIO, never a mixture" {
    make_long 1
    cp -r "$DS/long" "$DS/plain"
    gunzip "$DS/plain"/*.gz
    mount_derivfs "$DS" --recipes="$PWD/recipes.ini"
    /usr/bin/python3 - "$MNT" "$DS" <<'END'
import errno, os, shutil, sys

mnt, dataset = sys.argv[1:]
for directory, run in [("long", "run1.nii.gz"), ("plain", "run1.nii")]:
    source = f"{dataset}/{directory}/{run}"
    for name in ["later", "trendless"]:
        for change in ["touch", "replace"]:
            fd = os.open(f"{mnt}/{directory}/{name}.nii", os.O_RDONLY)
            assert len(os.pread(fd, 1000, 2000)) == 1000
            if change == "touch":
                os.utime(source)
            else:
                shutil.copyfile(source, source + ".new")
                os.rename(source + ".new", source)
            try:
                os.pread(fd, 1000, 14_000_000)
                raise AssertionError(f"{source}: {change} was not noticed")
            except OSError as error:
                assert error.errno == errno.EIO, error
            os.close(fd)
            # and who opens it now reads what is there now (of another part: what is in the cache
            # from before a change is no mixture)
            fd = os.open(f"{mnt}/{directory}/{name}.nii", os.O_RDONLY)
            assert len(os.pread(fd, 1000, 9_000_000)) == 1000
            os.close(fd)
END
}

@test "what a run is too short for is said, and fails alone" {
    make_run "$DS/long/run1.nii" --volumes 12
    make_run "$DS/long/run2.nii" --volumes 5 --seed 2
    cat >recipes.ini <<'END'
[tenth]
expr = bold[..., 10]
[after]
expr = bold[..., 7:]
[mismatch]
expr = bold[..., 1:] + bold
END
    mount_derivfs "$DS" --recipes="$PWD/recipes.ini"
    cat "$MNT/long/tenth.nii" "$MNT/long/after.nii" "$MNT/long/run1_stat-tenth_boldmap.nii" >all
    run cat "$MNT/long/run2_stat-tenth_boldmap.nii"
    assert_failure
    run cat "$MNT/long/run2_stat-after_boldmap.nii"
    assert_failure
    run cat "$MNT/long/mismatch.nii"
    assert_failure
    run cat "$MNT/.derivfs/errors"
    assert_output --partial 'there is no volume 10: the series has 5'
    assert_output --partial 'bold[..., 7:] has no volumes here'
    assert_output --partial 'series of 16 and 17 volumes cannot be combined'
}
