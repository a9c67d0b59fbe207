#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Are the numbers right? Derived images of every kind of run against numpy in float64.

# bats file_tags=release

load helper

FUNC=sub-01/ses-test/func

# compare STATISTIC... : the statistics of all runs in the dataset's root, joined, are numpy's.
compare() {
    local statistic
    for statistic in "$@"; do
        echo "$statistic $MNT/$statistic.nii" "$DS"/*
    done | reference -
}

# compare_each: in every directory of the dataset, which holds one group, and for each of its runs.
compare_each() {
    local dir run
    for dir in "$DS"/*/; do
        dir=$(basename "$dir")
        for statistic in tsnr mean std; do
            echo "$statistic $MNT/$dir/$statistic.nii" "$DS/$dir"/*
        done
        for run in "$DS/$dir"/*; do
            echo "tsnr $MNT/$dir/$(basename "${run%%.nii*}")_stat-tsnr_boldmap.nii $run"
        done
    done | reference -
}

# How many bytes the daemon has read so far.
bytes_read() {
    sed -n 's/^rchar: //p' "/proc/$(daemon_pid)/io"
}

@test "a session of five runs gives numpy's tsnr, mean and std" {
    make_sample "$DS"
    mount_derivfs "$DS"
    for statistic in tsnr mean std; do
        echo "$statistic $MNT/$FUNC/$statistic.nii" "$DS/$FUNC"/*_bold.nii.gz
    done | reference -
}

@test "every datatype, byte order, NIfTI version and container is read" {
    mkdir "$DS/x"
    local seed=0 dtype order version ending
    for dtype in u1 i1 u2 i2 u4 i4 u8 i8 f4 f8; do
        for order in little big; do
            for version in 1 2; do
                for ending in nii nii.gz; do
                    echo "$DS/x/$dtype-$order-$version-${ending/./}.$ending --dtype $dtype" \
                        "--version $version --seed $((++seed)) ${order/little/}"
                done
            done
        done
    done | sed 's/ big$/ --big/' | make_run -
    assert_equal "$(find "$DS/x" -type f | wc -l)" 80
    mount_derivfs "$DS" --join=all
    compare_each
}

@test "integers that only 64 bits can hold are read" {
    make_run - <<END
$DS/signed/run1.nii --dtype i8 --level=-7e17 --spread 1e17
$DS/signed/run2.nii --dtype i8 --level 7e17 --spread 1e17 --big
$DS/unsigned/run1.nii --dtype u8 --level 1.5e19 --spread 2e17
$DS/words/run1.nii --dtype u4 --level 4e9 --spread 1e8
$DS/words/run2.nii --dtype i4 --level=-2e9 --spread 5e7
END
    mount_derivfs "$DS"
    compare_each
}

@test "a gzip file of several members is read to its end" {
    make_run - <<END
$DS/two/run1.nii.gz --members 2
$DS/many/run1.nii.gz --members 23 --volumes 40
END
    mount_derivfs "$DS"
    compare_each
}

@test "each run's own slope and intercept count, and slope 0 means none" {
    make_run - <<END
$DS/same/run1.nii --slope 2.5 --inter=-1000
$DS/mixed/run1.nii --slope 2.5 --inter=-1000 --seed 2
$DS/mixed/run2.nii.gz --slope 0 --inter 12 --seed 3
$DS/mixed/run3.nii --slope=-0.125 --inter 3e4 --seed 4 --dtype u2
$DS/mixed/run4.nii --slope 1e-3 --inter 0 --seed 5 --dtype f4 --big
$DS/nan/run1.nii --set scl_slope=nan --set scl_inter=7
END
    mount_derivfs "$DS"
    compare_each
}

@test "header extensions and a gap before the voxels are passed over" {
    make_run - <<END
$DS/small/run1.nii --extension 16
$DS/small/run2.nii.gz --extension 4096 --version 2
$DS/large/run1.nii.gz --extension 1200000 --seed 3
END
    mount_derivfs "$DS"
    compare_each
}

@test "five dimensions with a singleton in either place are a series" {
    make_run - <<END
$DS/before/run1.nii --five
$DS/behind/run1.nii --set dim=5,5,6,4,12,1,1,1
$DS/both/run1.nii.gz --five --version 2
$DS/both/run2.nii.gz --seed 2
END
    mount_derivfs "$DS"
    compare_each
}

@test "NaN and inf in the data come out as numpy has them" {
    make_run - <<END
$DS/one/run1.nii --dtype f4 --special
$DS/joined/run1.nii --dtype f8 --special
$DS/joined/run2.nii.gz --dtype i2
$DS/joined/run3.nii --dtype f4 --special --big --slope=-2 --inter 5
END
    mount_derivfs "$DS"
    compare_each
}

# Voxel (v, 0, 0) of the run gets NaN number v in one volume, in its own byte order.
put_each_nan() {
    /usr/bin/python3 - "$@" <<'END'
import sys
import numpy as np

BITS = {4: [0x7FC00000, 0xFFC00000, 0x7F800001, 0xFF800001, 0x7FC12345, 0xFFFFFFFF],
        8: [0x7FF8000000000000, 0xFFF8000000000000, 0x7FF0000000000001, 0xFFF0000000000001,
            0x7FF8123456789ABC, 0xFFFFFFFFFFFFFFFF]}
for path, nbytes, order in zip(*[iter(sys.argv[1:])] * 3):
    bits = np.array(BITS[int(nbytes)], f"{order}u{nbytes}")
    volume = np.memmap(path, bits.dtype, "r+", 352)
    volume[: len(bits)] = bits
END
}

@test "every NaN is the same NaN, in each format, whatever the machine makes of it" {
    make_run - <<END
$DS/one/run1.nii --dtype f4 --shape 16,16,9
$DS/wide/run1.nii --dtype f8 --shape 16,16,9
$DS/joined/run1.nii --dtype f8 --big
$DS/joined/run2.nii --dtype f4 --special
$DS/packed/run1.nii --dtype f4
$DS/other/run1.nii --dtype f4
END
    put_each_nan "$DS/one/run1.nii" 4 '<' "$DS/wide/run1.nii" 8 '<' "$DS/joined/run1.nii" 8 '>' \
        "$DS/joined/run2.nii" 4 '<' "$DS/packed/run1.nii" 4 '<' "$DS/other/run1.nii" 4 '<'
    gzip "$DS/packed/run1.nii"
    zstd -q --rm "$DS/other/run1.nii"
    cat >recipes.ini <<'END'
[nothing]
expr = 0 * bold[..., 0] / 0
[root]
expr = sqrt(-1 - abs(mean(bold)))
[difference]
expr = mean(bold) / 0 - mean(bold) / 0
[negative]
expr = -(0 * bold[..., 1] / 0) + where(mean(bold) > 0, -median(bold), sqrt(-std(bold)))
[smallest]
expr = -min(bold)
[largest]
expr = max(bold)
[middle]
expr = median(bold) - percentile(bold, 30)
[quotient]
expr = std(detrend(bold, 1)) / mean(bold)
[volume]
expr = bold[..., 0]
[late]
expr = -bold[..., 0:5]
[scored]
expr = zscore(bold)
[straight]
expr = detrend(bold, 2)
END
    mount_derivfs "$DS" --recipes="$PWD/recipes.ini"
    # slices first: a whole image would be cached
    for name in tsnr nothing largest; do
        dd if="$MNT/one/$name.nii" of="slice.$name" bs=1024 skip=1 count=1 status=none
    done
    /usr/bin/python3 - "$MNT" "$CACHE" <<'END'
import glob, gzip, sys
import numpy as np

NAN = 0x7FC00000
TOTAL = 0
def check(what, words, nan=NAN):
    global TOTAL
    values = words.view(words.dtype.str.replace("u", "f"))
    found = np.unique(words[np.isnan(values)])
    assert set(found) <= {nan}, f"{what}: {[hex(bits) for bits in found]}"
    TOTAL += len(found)
    return len(found)

mount, cache = sys.argv[1:]
names = "tsnr nothing root difference negative smallest largest middle quotient volume late scored straight"
for run in "one wide joined packed other".split():
    for name in names.split():
        path = f"{mount}/{run}/{name}.nii"
        plain = open(path, "rb").read()
        zipped = gzip.decompress(open(path + ".gz", "rb").read())
        assert plain == zipped, path
        assert check(path, np.frombuffer(plain[1024:], "<u4")) or name == "middle", path
for name in "tsnr nothing largest".split():
    slice_ = open(f"slice.{name}", "rb").read()
    assert slice_ == open(f"{mount}/one/{name}.nii", "rb").read()[1024:2048], name
    check(name, np.frombuffer(slice_, "<u4"))
# what results are computed from
for meta in glob.glob(f"{cache}/v1/objects/*/*.meta"):
    label = open(meta).read().split("label ")[1]
    if label.split()[0] in ("moments", "trend", "median", "percentiles", "volume", "plane"):
        check(label, np.fromfile(meta[:-5], "<u8"), 0x7FF8000000000000)
assert TOTAL > 60, TOTAL
END
}

@test "a mean far larger than the deviation loses no digits" {
    make_run - <<END
$DS/float32/run1.nii --dtype f4 --level 1e5 --spread 0.5
$DS/float64/run1.nii --dtype f8 --level 1e8 --spread 1 --volumes 200
$DS/float64/run2.nii --dtype f8 --level 1e8 --spread 1 --seed 2
$DS/int32/run1.nii --dtype i4 --level 2e9 --spread 3 --volumes 100
$DS/inter/run1.nii --dtype i2 --slope 0.001 --inter 1e6 --volumes 100
END
    mount_derivfs "$DS"
    compare_each
}

@test "runs of one volume more than a power of two, and longer than any buffer" {
    make_run - <<END
$DS/short/run1.nii --volumes 17
$DS/short/run2.nii.gz --volumes 33 --dtype f4
$DS/long/run1.nii.gz --volumes 1025 --dtype u1 --shape 5,3,2
$DS/odd/run1.nii --shape 31,29,7 --volumes 65 --dtype f8 --level 1e6
$DS/odd/run2.nii.gz --shape 31,29,7 --volumes 129 --dtype i2
END
    mount_derivfs "$DS"
    compare_each
}

@test "runs of different datatypes are joined" {
    make_run - <<END
$DS/run1.nii --dtype u1
$DS/run2.nii.gz --dtype i2 --big --volumes 5
$DS/run3.nii --dtype f4 --version 2 --volumes 3
$DS/run4.nii --dtype f8 --slope 0.5 --volumes 7
$DS/run5.nii.gz --dtype i8 --inter 4 --slope 1 --volumes 2
END
    mount_derivfs "$DS"
    compare tsnr mean std
}

@test "nibabel's own images" {
    local image
    for image in functional.nii example4d.nii.gz example_nifti2.nii.gz; do
        mkdir "$DS/${image%%.*}"
        cp "$NIBABEL_DATA/$image" "$DS/${image%%.*}"
    done
    mount_derivfs "$DS"
    compare_each
}

@test "the bytes are the same for any number of threads" {
    make_sample "$DS"
    local threads
    for threads in 1 2 8; do
        mount_derivfs "$DS" --threads=$threads --cache_dir="$CACHE.$threads"
        cat "$MNT/$FUNC"/{tsnr,mean,std}.nii "$MNT/$FUNC"/*_stat-tsnr_boldmap.nii >"all.$threads"
        unmount_derivfs
    done
    assert_equal "$(stat -c %s all.1)" $((8 * (1024 + 4 * 16 * 16 * 8)))
    cmp all.1 all.2
    cmp all.1 all.8
}

@test "the grid and the units of the first run are kept" {
    make_run - <<END
$DS/flipped/run1.nii --set pixdim=-1,2,3,4,1.5,0,0,0 --set quatern_b=0.5 --set quatern_c=-0.25
$DS/qform/run1.nii --set sform_code=0 --set qform_code=3 --set quatern_d=0.7071
$DS/sform/run1.nii --set qform_code=0 --set sform_code=4 --set srow_x=2,0.5,0,-9 --big
$DS/neither/run1.nii --set qform_code=0 --set sform_code=0
$DS/units/run1.nii --set xyzt_units=19
$DS/version2/run1.nii --version 2 --zooms 0.75,0.8,1.25,0.5 --set xyzt_units=1
END
    mount_derivfs "$DS"
    compare_each
}

@test "a dimension that NIfTI-1 cannot hold gives NIfTI-2" {
    make_run "$DS/wide/run1.nii" --version 2 --shape 40000,1,2 --volumes 5
    mount_derivfs "$DS"
    compare_each
    nifti_tool -check_nim -infiles "$MNT/wide/tsnr.nii"
    assert_equal "$(od -An -td4 -N4 "$MNT/wide/tsnr.nii" | tr -d ' ')" 540
}

@test "nibabel, nifti_tool and mrinfo read derived images without a warning" {
    make_run "$DS/run1.nii.gz"
    mount_derivfs "$DS"
    local file
    for file in tsnr.nii mean.nii.gz run1_stat-std_boldmap.nii; do
        /usr/bin/python3 -W error -c 'import nibabel, sys
image = nibabel.load(sys.argv[1])
assert image.get_fdata().shape == (5, 6, 4)' "$MNT/$file"
        run nifti_tool -check_hdr -infiles "$MNT/$file"
        assert_success
        assert_output --partial 'header IS GOOD'
        run nifti_tool -check_nim -infiles "$MNT/$file"
        assert_success
        assert_output --partial 'nifti_image IS GOOD'
        run --separate-stderr mrinfo "$MNT/$file"
        assert_success
        assert_output --partial '5 x 6 x 4'
        assert_equal "$stderr" ''
    done
}

@test "NAME.nii.gz is a gzip of NAME.nii whose size is told before anything is computed" {
    make_run - <<END
$DS/small/run1.nii
$DS/blocks/run1.nii.gz --shape 64,32,17
END
    mount_derivfs "$DS"
    local dir size
    for dir in small blocks; do
        size=$(stat -c %s "$MNT/$dir/tsnr.nii.gz")
        assert_equal "$(metric tasks_done_total)" "$([ $dir = small ] && echo 0 || echo 3)"
        cat "$MNT/$dir/tsnr.nii.gz" >$dir.gz
        assert_equal "$(stat -c %s $dir.gz)" "$size"
        gzip -t $dir.gz
        gunzip -c $dir.gz | cmp - "$MNT/$dir/tsnr.nii"
        reference tsnr "$MNT/$dir/tsnr.nii.gz" "$DS/$dir"/*
    done
}

@test "a second statistic of the same runs reads no run again" {
    # Long runs of few voxels: reading one is not to be confused with anything else.
    make_run - <<END
$DS/run1.nii.gz --shape 8,8,4 --volumes 1000
$DS/run2.nii --shape 8,8,4 --volumes 1000 --seed 2
END
    mount_derivfs "$DS"
    local before statistic
    cat "$MNT/mean.nii" >/dev/null
    assert_equal "$(metric cache_published_total)" 3 # two runs, one image
    reads_nothing() { # what comes behind an answer is done, too
        before=$(bytes_read)
        read -r -t 0.3 -u "$NEVER" || true
        [ "$(bytes_read)" -eq "$before" ]
    }
    wait_until reads_nothing
    for statistic in tsnr std run1_stat-tsnr_boldmap run2_stat-mean_boldmap; do
        before=$(bytes_read)
        cat "$MNT/$statistic.nii" >/dev/null
        assert [ $(($(bytes_read) - before)) -lt 100000 ]
    done
    assert_equal "$(metric cache_published_total)" 7
    before=$(bytes_read)
    touch "$DS/run2.nii"
    cat "$MNT/tsnr.nii" >/dev/null
    assert [ $(($(bytes_read) - before)) -gt 500000 ] # so it would have been seen
}

@test "a user's recipes give what numpy makes of the same text" {
    cat >recipes.ini <<'END'
[total]
expr = sum(bold)
[unbiased]
expr = std(bold, ddof=1)
[variance]
expr = var(bold)
[variance_of_few]
expr = var(bold, ddof=33) ; as many degrees of freedom as volumes
[range]
expr = max(bold) - min(bold)
[lowest]
expr = min(bold)
[highest]
expr = max(bold)
[precedence]
expr = -mean(bold) ** 2 / 3 - 2 * std(bold) ** -1 ** 2 + 7
[functions]
expr = sqrt(abs(-var(bold))) + exp(-mean(bold) / 100) * log(1 + max(bold))
[masked]
expr = where(mean(bold) > 60.05, mean(bold) / std(bold), -1)
[mask]
expr = std(bold) <= 8.52
[finite]
expr = isfinite(tsnr)
[clean]
expr = nan_to_num(tsnr)
[of_others]
expr = where(isfinite(clean), clean
       * 2, unbiased) - range
[divided]
expr = (mean(bold) - mean(bold)) / (range - range)
[huge]
expr = 1e39 * mean(bold) - 3e-46
END
    make_run - <<END
$DS/run1.nii --dtype f4 --special --volumes 12
$DS/run2.nii.gz --dtype i2 --slope 0.5 --inter 1 --volumes 21
END
    mount_derivfs "$DS" --recipes="$PWD/recipes.ini"
    assert_no_errors
    "$NUMPY/expressions.py" check recipes.ini "$MNT/{}.nii" "$DS"/*
}

@test "random recipes give what numpy makes of the same text" {
    local number=150
    ! sanitized || number=40
    "$NUMPY/expressions.py" make $number 20240607 >recipes.ini
    make_run - <<END
$DS/run1.nii --dtype f4 --special --whole --slope 0.5 --volumes 8 --shape 5,4,3
$DS/run2.nii.gz --volumes 8 --shape 5,4,3 --seed 2
$DS/run3.nii.gz --volumes 16 --shape 5,4,3 --seed 3 --level 3 --spread 40
END
    mount_derivfs "$DS" --recipes="$PWD/recipes.ini"
    assert_no_errors
    "$NUMPY/expressions.py" check recipes.ini "$MNT/{}.nii" "$DS"/*
}
