#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Files of the dataset as arrays: which file an input is for a run, what its values mean, and what is
# told where there is none.

load helper

FUNC=sub-01/ses-1/func
RUN=sub-01_ses-1_task-rest_run-1

# image FILE KIND [OPTION...]: a file on the grid of the first run, in the dataset.
image() {
    local file=$DS/$1 kind=$2
    shift 2
    mkdir -p "${file%/*}"
    "$NUMPY/ask" "$NUMPY_SERVER" inputs make "$file" "$DS/$FUNC/${RUN}_bold.nii.gz" "$kind" "$@"
}

# is_numpy DERIVED EXPRESSION NAME=KIND:FILE...: files are in the dataset's directory of runs.
is_numpy() {
    local derived=$1 expression=$2
    shift 2
    (cd "$DS/$FUNC" && "$NUMPY/ask" "$NUMPY_SERVER" inputs check "$MNT/$FUNC/$derived" "$expression" "$@")
}

# fails FILE SENTENCE: reading it is EIO, and the sentence is among the errors.
fails() {
    run cat "$MNT/$FUNC/$1"
    assert_failure
    assert_output --partial 'Input/output error'
    run cat "$MNT/.derivfs/errors"
    assert_output --partial "$2"
}

setup() {
    common_setup
    echo '{"Name": "Test", "BIDSVersion": "1.8.0"}' >"$DS/dataset_description.json"
    make_run - <<END
$DS/$FUNC/${RUN}_bold.nii.gz
$DS/$FUNC/sub-01_ses-1_task-rest_run-2_bold.nii --seed 2 --volumes 9
END
}

@test "masks, labels and images have numpy's values, alone and among volumes" {
    image "$FUNC/${RUN}_desc-brain_mask.nii.gz" wild
    image "$FUNC/${RUN}_dseg.nii" labels --dtype i2
    image "sub-01/ses-1/anat/sub-01_ses-1_label-GM_probseg.nii.gz" image --dtype f8
    cat >r.ini <<'END'
[m]
file = desc-brain_mask.nii
[tissue]
file = dseg.nii.gz
[gm]
file = anat/label-GM_probseg.nii.gz
[in]
expr = where(m & ~(tissue == 2) | (gm > 6) & (x > -14), tsnr, -1)
[among]
expr = where(m, bold - mean(bold), bold * gm) + tissue
[place]
expr = x + 100 * y - z / 3 + i * j * k
[tight]
expr = 1 * ((mean(bold) > 80) | m & ~m) + 0 * bold
[inner]
expr = std((bold - gm)[..., 2:], ddof=1)
END
    mount_derivfs "$DS" --recipes=r.ini
    assert_no_errors
    local files=("bold=run:${RUN}_bold.nii.gz" "m=mask:${RUN}_desc-brain_mask.nii.gz"
        "tissue=labels:${RUN}_dseg.nii" gm=image:../anat/sub-01_ses-1_label-GM_probseg.nii.gz)
    is_numpy ${RUN}_stat-in_boldmap.nii \
        'where(m & ~(tissue == 2) | (gm > 6) & (x > -14), mean(bold) / std(bold), -1)' "${files[@]}"
    is_numpy ${RUN}_stat-among_boldmap.nii \
        'where(m[..., None], bold - mean(bold)[..., None], bold * gm[..., None]) + tissue[..., None]' \
        "${files[@]}"
    is_numpy ${RUN}_stat-place_boldmap.nii.gz 'x + 100 * y - z / 3 + i * j * k' "${files[@]}"
    is_numpy ${RUN}_stat-tight_boldmap.nii '1 * ((mean(bold) > 80) | m & ~m)[..., None] + 0 * bold' \
        "${files[@]}"
    is_numpy ${RUN}_stat-inner_boldmap.nii 'std((bold - gm[..., None])[..., 2:], ddof=1)' "${files[@]}"
    is_numpy ${RUN}_stat-m_boldmap.nii 'm' "${files[@]}"
    is_numpy ${RUN}_stat-gm_boldmap.nii 'gm' "${files[@]}"
}

@test "the file is the run's: entities, spaces, directories, patterns in their order" {
    local mni=space-MNI152NLin2009cAsym_res-2
    make_run "$DS/$FUNC/${RUN}_${mni}_desc-preproc_bold.nii.gz" --seed 3
    image "$FUNC/${RUN}_desc-brain_mask.nii.gz" mask --seed 1
    image "$FUNC/sub-01_ses-1_task-rest_run-2_desc-brain_mask.nii.gz" mask --seed 2
    image "$FUNC/${RUN}_${mni}_desc-brain_mask.nii.gz" mask --seed 3
    image "$FUNC/${RUN}_space-T1w_desc-brain_mask.nii.gz" mask --seed 4
    image "$FUNC/sub-01_ses-1_task-other_desc-brain_mask.nii.gz" mask --seed 5
    image "sub-01/sub-01_dseg.nii.gz" labels
    image "sub-01/anat/sub-01_label-CSF_mask.nii.gz" mask
    image "sub-01_desc-old_mask.nii.gz" mask
    image "$FUNC/sub-01_ses-1_desc-old_mask.nii.gz" mask
    image "$FUNC/${RUN}_T1w.nii" image
    image "$FUNC/${RUN}_T1w.nii.gz" image --seed 2
    cat >r.ini <<'END'
[m]
file = label-brain_mask.nii.gz desc-brain_mask.nii.gz
[t1]
file = space-T1w_desc-brain_mask.nii.gz
[tissue]
file = dseg.nii.gz
[csf]
file = anat/label-CSF_mask.nii.gz
[old]
file = desc-old_mask.nii.gz
[t]
file = T1w.nii.gz
END
    mount_derivfs "$DS" --recipes=r.ini
    # which file an input is: NAME RUN FILE [DESC]
    which() {
        assert_equal "$(derivctl list --json --recipes=r.ini "$DS/$FUNC/$2_stat-$1${4-}_boldmap.nii" |
            json 'd[0]["inputs"]')" "[\"$3\"]"
    }
    which m "$RUN" "$FUNC/${RUN}_desc-brain_mask.nii.gz"
    which m sub-01_ses-1_task-rest_run-2 "$FUNC/sub-01_ses-1_task-rest_run-2_desc-brain_mask.nii.gz"
    which m "${RUN}_${mni}" "$FUNC/${RUN}_${mni}_desc-brain_mask.nii.gz" _desc-preproc
    which t1 "${RUN}_${mni}" "$FUNC/${RUN}_space-T1w_desc-brain_mask.nii.gz" _desc-preproc
    which tissue "$RUN" sub-01/sub-01_dseg.nii.gz
    which csf "$RUN" sub-01/anat/sub-01_label-CSF_mask.nii.gz
    which old "$RUN" "$FUNC/sub-01_ses-1_desc-old_mask.nii.gz"
    which t "$RUN" "$FUNC/${RUN}_T1w.nii"
    cmp <(tail -c +1025 "$MNT/$FUNC/${RUN}_stat-m_boldmap.nii") \
        <(/usr/bin/python3 -c 'import nibabel, sys
sys.stdout.buffer.write(nibabel.load(sys.argv[1]).get_fdata().astype("f4").tobytes("F"))' \
            "$DS/$FUNC/${RUN}_desc-brain_mask.nii.gz")
}

@test "masks of joined runs are joined; other images must be one" {
    local other=sub-01_ses-1_task-rest_run-2
    image "$FUNC/${RUN}_desc-brain_mask.nii.gz" wild --seed 1
    image "$FUNC/${other}_desc-brain_mask.nii.gz" wild --seed 2
    image "$FUNC/sub-01_ses-1_task-rest_desc-both_mask.nii.gz" mask
    cat >r.ini <<'END'
[all]
file = desc-brain_mask.nii.gz
[any]
file = desc-brain_mask.nii.gz
join = any
[both]
file = desc-both_mask.nii.gz
[image]
file = desc-brain_mask.nii.gz
kind = image
END
    mount_derivfs "$DS" --recipes=r.ini
    local runs=bold=run:${RUN}_bold.nii.gz,${other}_bold.nii
    local masks=${RUN}_desc-brain_mask.nii.gz,${other}_desc-brain_mask.nii.gz
    is_numpy all.nii m "$runs" "m=all:$masks"
    is_numpy any.nii m "$runs" "m=any:$masks"
    is_numpy both.nii m "$runs" m=mask:sub-01_ses-1_task-rest_desc-both_mask.nii.gz
    is_numpy ${RUN}_stat-image_boldmap.nii m "$runs" "m=image:${RUN}_desc-brain_mask.nii.gz"
    fails image.nii "image: the runs of this group have different files ($FUNC/${RUN}_desc-brain_mask.nii.gz, $FUNC/${other}_desc-brain_mask.nii.gz): read the runs' own files"
}

@test "an input that is absent, ambiguous, on another grid or no image: a sentence, and no listing" {
    local name
    image "$FUNC/${RUN}_desc-grid_mask.nii.gz" mask --shape 4,6,4
    image "$FUNC/${RUN}_desc-moved_mask.nii.gz" mask --shift 0.5
    image "$FUNC/${RUN}_desc-long_mask.nii.gz" mask --volumes 3
    image "$FUNC/sub-01_ses-1_task-rest_desc-two_mask.nii.gz" mask
    image "$FUNC/sub-01_ses-1_run-1_desc-two_mask.nii.gz" mask
    image "$FUNC/${RUN}_desc-good_mask.nii.gz" mask
    image "$FUNC/${RUN}_desc-cut_mask.nii" mask
    truncate -s -10 "$DS/$FUNC/${RUN}_desc-cut_mask.nii"
    echo no image >"$DS/$FUNC/${RUN}_desc-text_mask.nii"
    ln -s nowhere.nii "$DS/$FUNC/${RUN}_desc-loose_mask.nii"
    mkdir "$DS/$FUNC/${RUN}_desc-dir_mask.nii"
    make_run "$DS/$FUNC/${RUN}_desc-colour_mask.nii" --dtype rgb --volumes 0
    for name in absent grid moved long two good cut text loose dir colour; do
        printf '[%s]\nfile = desc-%s_mask.nii.gz\n[t%s]\nexpr = where(%s, tsnr, 0)\nlist = yes\n' \
            $name $name $name $name
    done >r.ini
    rm "$DS/$FUNC"/*run-2*
    mount_derivfs "$DS" --recipes=r.ini
    assert_no_errors
    run -0 ls "$MNT/$FUNC"
    assert_line tgood.nii
    assert_line tsnr.nii
    refute_output --regexp '(^|'$'\n'')t(absent|grid|moved|long|two|cut|text|loose|dir|colour)\.'
    fails tabsent.nii "absent: no file desc-absent_mask.nii[.gz] for ${RUN}_bold.nii.gz; looked in $FUNC, sub-01/ses-1, sub-01"
    fails tgrid.nii "grid: $FUNC/${RUN}_desc-grid_mask.nii.gz (4x6x4) is on another grid than ${RUN}_bold.nii.gz (5x6x4); nothing is resampled"
    fails tmoved.nii "moved: $FUNC/${RUN}_desc-moved_mask.nii.gz is on another grid than ${RUN}_bold.nii.gz: their affines differ; nothing is resampled"
    fails tlong.nii "long: $FUNC/${RUN}_desc-long_mask.nii.gz has 3 volumes, and mask has one"
    fails ttwo.nii "two: $FUNC/sub-01_ses-1_run-1_desc-two_mask.nii.gz and sub-01_ses-1_task-rest_desc-two_mask.nii.gz fit ${RUN}_bold.nii.gz equally well: name one more entity"
    fails tcut.nii 'its header promises'
    fails ttext.nii "text: $FUNC/${RUN}_desc-text_mask.nii"
    fails tloose.nii "loose: $FUNC/${RUN}_desc-loose_mask.nii"
    fails tdir.nii 'dir: no file desc-dir_mask.nii[.gz]'
    fails tcolour.nii "colour: $FUNC/${RUN}_desc-colour_mask.nii is RGB voxels"
    # the others work, and each file has its exact size
    cat "$MNT/$FUNC/tgood.nii" | wc -c >size
    assert_equal "$(<size)" "$(stat -c %s "$MNT/$FUNC/tabsent.nii")"
    cat "$MNT/$FUNC/tsnr.nii" >tsnr.nii
    run -0 derivctl explain --recipes=r.ini "$DS/$FUNC/tabsent.nii"
    assert_output --partial "    absent for $FUNC/${RUN}_bold.nii.gz: none
        file(\"desc-absent_mask.nii.gz\", kind=mask), looked for in $FUNC, sub-01/ses-1, sub-01"
    run -0 derivctl explain --recipes=r.ini "$DS/$FUNC/tgood.nii"
    assert_output --partial "    good for $FUNC/${RUN}_bold.nii.gz: $FUNC/${RUN}_desc-good_mask.nii.gz, float32 (5, 6, 4)"
    assert_equal "$(derivctl explain --json --recipes=r.ini "$DS/$FUNC/tgood.nii" |
        json 'd["resolved"][0]["looked_in"]')" "$FUNC"
    run -0 derivctl list --recipes=r.ini "$DS/$FUNC/tgood.nii"
    assert_output --partial "tgood.nii  with $FUNC/${RUN}_desc-good_mask.nii.gz"
}

# differs FIRST FILE: is the mount's file another one by now?
differs() {
    cat "$MNT/$FUNC/$2" >now.nii && ! cmp -s "$1" now.nii
}

@test "an input that appears, changes or goes is seen; the sidecar names it, content names the result" {
    cat >r.ini <<'END'
[m]
file = desc-brain_mask.nii.gz
[in]
expr = where(m, tsnr, 0)
list = yes
END
    rm "$DS/$FUNC"/*run-2*
    local mask=$DS/$FUNC/${RUN}_desc-brain_mask.nii.gz
    mount_derivfs "$DS" --recipes=r.ini
    run ls "$MNT/$FUNC"
    refute_line in.nii
    image "$FUNC/${RUN}_desc-brain_mask.nii.gz" mask --seed 1
    lists() { [ -n "$(ls "$MNT/$FUNC" | grep -x in.nii)" ]; }
    wait_until lists
    cat "$MNT/$FUNC/in.nii" >first.nii
    is_numpy in.nii 'where(m, mean(bold) / std(bold), 0)' bold=run:${RUN}_bold.nii.gz "m=mask:$mask"
    assert_equal "$(json 'd["Sources"] + list(d["Inputs"].items())[0][1]' <"$MNT/$FUNC/in.json")" \
        "[\"bids::$FUNC/${RUN}_bold.nii.gz\",\"bids::$FUNC/${RUN}_desc-brain_mask.nii.gz\",\"bids::$FUNC/${RUN}_desc-brain_mask.nii.gz\"]"
    run -0 json 'd["Definition"] + "|" + list(d["Inputs"])[0]' <"$MNT/$FUNC/in.json"
    assert_output --partial '|file("desc-brain_mask.nii.gz", kind=mask)'
    # another mask of the same length, at once: an open looks for itself
    image "$FUNC/${RUN}_desc-brain_mask.nii.gz" mask --seed 2
    wait_until differs first.nii in.nii
    is_numpy in.nii 'where(m, mean(bold) / std(bold), 0)' bold=run:${RUN}_bold.nii.gz "m=mask:$mask"
    # the first one again: nothing is computed
    local before
    before=$(metric 'tasks_done_total')
    cat "$MNT/$FUNC/in.nii" >second.nii
    assert_equal "$(metric tasks_done_total)" "$before"
    rm "$mask"
    gone_again() { ! lists; }
    wait_until gone_again
    fails in.nii 'm: no file desc-brain_mask.nii[.gz]'
    cat "$MNT/$FUNC/tsnr.nii" >tsnr.nii
}

@test "owner, mode and time are those of runs and inputs, and of the directories to these" {
    image "$FUNC/${RUN}_desc-brain_mask.nii.gz" mask
    image "sub-01/ses-1/anat/sub-01_ses-1_label-GM_mask.nii.gz" mask
    cat >r.ini <<'END'
[m]
file = desc-brain_mask.nii.gz
[gm]
file = anat/label-GM_mask.nii.gz
END
    local file=$MNT/$FUNC/${RUN}_stat
    chmod 644 "$DS/$FUNC/${RUN}_bold.nii.gz"
    chmod 600 "$DS/$FUNC/${RUN}_desc-brain_mask.nii.gz"
    touch -d '2031-02-03 UTC' "$DS/$FUNC/${RUN}_desc-brain_mask.nii.gz"
    chmod 711 "$DS/sub-01/ses-1/anat"
    mount_derivfs "$DS" --recipes=r.ini
    assert_equal "$(stat -c '%a %u' "$file-tsnr_boldmap.nii")" "444 $(id -u)"
    assert_equal "$(stat -c %a "$file-m_boldmap.nii")" 400
    assert_equal "$(date -ud "$(stat -c %y "$file-m_boldmap.nii")" +%F)" 2031-02-03
    assert_equal "$(stat -c %a "$file-gm_boldmap.nii")" 444
    unmount_derivfs
    chmod 700 "$DS/sub-01/ses-1/anat"
    mount_derivfs "$DS" --recipes=r.ini
    assert_equal "$(stat -c %a "$file-gm_boldmap.nii")" 400
}

@test "content that git-annex has not here is ENODATA, not listed, and no other file's fault" {
    mkdir -p "$DS/.git/annex/objects"
    ln -s "../../../.git/annex/objects/aa/bb/MD5E-s9--0.nii.gz/MD5E-s9--0.nii.gz" \
        "$DS/$FUNC/${RUN}_desc-brain_mask.nii.gz"
    printf '[m]\nfile = desc-brain_mask.nii\n[in]\nexpr = where(m, tsnr, 0)\nlist = yes\n' >r.ini
    rm "$DS/$FUNC"/*run-2*
    mount_derivfs "$DS" --recipes=r.ini
    run ls "$MNT/$FUNC"
    refute_line in.nii
    assert_line tsnr.nii
    run cat "$MNT/$FUNC/in.nii"
    assert_output --partial 'No data available'
    cat "$MNT/$FUNC/tsnr.nii" >tsnr.nii
}

@test "numbers of an image within a mask are numpy's to 1e-12, alone, in images and in series" {
    image "$FUNC/${RUN}_desc-brain_mask.nii.gz" wild
    image "$FUNC/${RUN}_T1w.nii.gz" wild --seed 3 # with NaN and infinities, which do not count
    rm "$DS/$FUNC"/*run-2*
    local files=("bold=run:${RUN}_bold.nii.gz" "m=mask:${RUN}_desc-brain_mask.nii.gz"
        "t=image:${RUN}_T1w.nii.gz")
    local n=0 recipe numpy
    printf '%s\n' '[m]' 'file = desc-brain_mask.nii.gz' '[t]' 'file = T1w.nii' >r.ini
    while read -r recipe; do
        numpy=$(cd "$DS/$FUNC" && "$NUMPY/ask" "$NUMPY_SERVER" inputs value "$recipe" \
            "bold=run:${RUN}_bold.nii.gz" "m=mask:${RUN}_desc-brain_mask.nii.gz" "t=image:${RUN}_T1w.nii.gz")
        printf '[d%d]\nexpr = 0 * z + (%s - %s) / %s * 1e12\n' $n "$recipe" "$numpy" "$numpy"
        printf '[s%d]\nexpr = 0 * bold + (%s - %s) / %s * 1e12\n' $n "$recipe" "$numpy" "$numpy"
        n=$((n + 1))
    done >>r.ini <<'END'
mean(t + 1, m)
std(mean(bold), m)
std(x * mean(bold), m & (z > -9), ddof=1)
var(median(bold), m, ddof=2)
sum(t, ~m)
min(mean(bold) + x, m)
max(mean(bold), m | (y < -20))
median(mean(bold), m)
mean(mean(bold), m) / (1 + std(std(bold), ~m))
mean(mean(bold) - mean(mean(bold), m), i > 2)
std((bold - mean(mean(bold), m))[..., 3], m)
END
    cat >>r.ini <<'END'
[none]
expr = 0 * z + mean(t, m & ~m)
[of_none]
expr = sum(t, m & ~m)
[scaled]
expr = 100 * bold / median(mean(bold), m)
[inside]
expr = median(mean(bold), m)
END
    mount_derivfs "$DS" --recipes=r.ini
    assert_no_errors
    local k
    for ((k = 0; k < n; k++)); do
        /usr/bin/python3 - "$MNT/$FUNC/d$k.nii" "$MNT/$FUNC/s$k.nii" <<'END'
import sys, nibabel, numpy
for path in sys.argv[1:]:
    assert numpy.abs(nibabel.load(path).get_fdata()).max() < 1, path
END
    done
    [ "$k" = 11 ]
    is_numpy none.nii 'where(z > 0, z, z) / 0 * 0' "${files[@]:0:3}"
    is_numpy scaled.nii '100 * bold / median(mean(bold), m)' "${files[@]:0:3}"
    # a table has the number alone, and no other file has it
    run -0 cat "$MNT/$FUNC/inside.tsv"
    assert_line --index 0 --regexp $'size_t\tinside\tinside_peers\tinside_z\tinside_outlier\tfilename'
    assert_line --index 1 --regexp $'\t12\t[0-9.]+\t1\tn/a\ttoo few\t'
    run -0 cat "$MNT/$FUNC/of_none.tsv"
    assert_line --index 1 --regexp $'\t12\tn/a\t'
    assert_not_exist "$MNT/$FUNC/inside.nii"
    assert_not_exist "$MNT/$FUNC/inside.png"
    assert_equal "$(cut -f 5- "$MNT/group_inside.tsv" | tail -n 1)" "$(tail -n 1 "$MNT/$FUNC/inside.tsv" | cut -f 5-)"
    run -0 json 'd["inside"]["Description"]' <"$MNT/$FUNC/inside.json"
    assert_output --partial 'median(mean(bold), file("desc-brain_mask.nii.gz", kind=mask)), where bold is the run'
}

@test "a slice of an uncompressed image is not scaled by a number of that slice" {
    rm "$DS/$FUNC"/*run-2*
    gunzip "$DS/$FUNC/${RUN}_bold.nii.gz"
    printf '[a]\nexpr = tsnr / mean(mean(bold), tsnr > 5)\n' >r.ini
    mount_derivfs "$DS" --recipes=r.ini
    local size
    size=$(stat -c %s "$MNT/$FUNC/a.nii")
    dd if="$MNT/$FUNC/a.nii" bs=120 skip=$(((size - 120) / 120)) count=1 status=none >last
    tail -c +$(((size - 120) / 120 * 120 + 1)) "$MNT/$FUNC/a.nii" | head -c 120 | cmp - last
    is_numpy a.nii 'mean(bold) / std(bold) / mean(mean(bold), mean(bold) / std(bold) > 5)' \
        bold=run:${RUN}_bold.nii
}

# numbers TABLE: median, mean, p05, p95, n and mask of its first row.
numbers() {
    /usr/bin/python3 -c 'import csv, sys
row = next(csv.DictReader(sys.stdin, delimiter="\t", quoting=csv.QUOTE_NONE))
name = sys.argv[1]
print(*(row[name + end] for end in ("", "_mean", "_p05", "_p95", "_n")), row["mask"])' tsnr <"$1"
}

@test "numbers, tables and pictures are those of the brain: the run's mask, or the head" {
    rm "$DS/$FUNC"/*run-2*
    mount_derivfs "$DS"
    numbers "$MNT/$FUNC/tsnr.tsv" >head.tsv
    cat "$MNT/$FUNC/tsnr.png" >head.png
    run -0 "$NUMPY/tables.py" "$MNT/$FUNC/tsnr.tsv" "$DS"
    assert_output '1 0'
    unmount_derivfs
    assert_equal "$(cut -d " " -f 6- head.tsv)" otsu
    # the mask that a mask of the head is makes the same numbers
    printf '[brain]\nexpr = otsu(mean(bold)) | (x > 1000)\n' >same.ini
    mount_derivfs "$DS" --recipes=same.ini
    assert_equal "$(cut -d ' ' -f -5 head.tsv) otsu(mean(bold)) | (x > 1000)" "$(numbers "$MNT/$FUNC/tsnr.tsv")"
    unmount_derivfs

    image "$FUNC/${RUN}_desc-brain_mask.nii.gz" wild --seed 7
    mount_derivfs "$DS"
    numbers "$MNT/$FUNC/tsnr.tsv" >brain
    assert_equal "$(cut -d ' ' -f 6- brain)" "$FUNC/${RUN}_desc-brain_mask.nii.gz"
    (cd "$DS/$FUNC" && /usr/bin/python3 - "${RUN}_bold.nii.gz" "${RUN}_desc-brain_mask.nii.gz") <<'END' >numpy
import sys, nibabel, numpy as np
bold, mask = (nibabel.load(path).get_fdata() for path in sys.argv[1:])
with np.errstate(all="ignore"):
    tsnr = (bold.mean(-1) / bold.std(-1)).astype("f4").astype(float)
inside = tsnr[(mask != 0) & ~np.isnan(mask) & np.isfinite(tsnr)]
print(*(f"{v:.4g}" for v in (np.median(inside), inside.mean(), *np.percentile(inside, [5, 95]))), inside.size)
END
    assert_equal "$(cut -d ' ' -f -5 brain)" "$(<numpy)"
    cat "$MNT/$FUNC/tsnr.png" >brain.png
    run cmp head.png brain.png
    assert_failure
    run -0 /usr/bin/python3 -c 'import sys, re
for path in sys.argv[1:]:
    data = open(path, "rb").read()
    print(*sorted(set(re.findall(rb"iTXt(Head|Brain|Median)\0\0\0\0\0([0-9.]+)", data))))' head.png brain.png
    assert_line --index 0 --partial "(b'Head', b'"
    assert_line --index 1 --partial "(b'Brain', b'"
    run -0 json 'd["mask"]["Description"]' <"$MNT/group_tsnr.json"
    assert_output --partial 'brighter than Otsu'
    unmount_derivfs

    # as before, if the user says so; a mask that cannot be used is an error, no head
    printf '[brain]\nexpr = head\n' >head.ini
    mount_derivfs "$DS" --recipes=head.ini
    assert_equal "$(numbers "$MNT/$FUNC/tsnr.tsv")" "$(<head.tsv)"
    cmp head.png "$MNT/$FUNC/tsnr.png"
    assert_equal "$(metric tasks_done_total)" 0
    unmount_derivfs
    image "$FUNC/${RUN}_desc-brain_mask.nii.gz" mask --shape 4,4,4
    mount_derivfs "$DS"
    run -0 grep -c "brain: $FUNC/${RUN}_desc-brain_mask.nii.gz (4x4x4) is on another grid" "$MNT/$FUNC/tsnr.tsv"
    fails tsnr.png 'brain: '
    cat "$MNT/$FUNC/tsnr.nii" >tsnr.nii
}

@test "found() and otsu() are numpy's; a group whose runs have not all a mask is an error" {
    local other=sub-01_ses-1_task-rest_run-2
    image "$FUNC/${RUN}_desc-brain_mask.nii.gz" mask
    cat >r.ini <<'END'
[b]
expr = where(brain, tsnr, 0)
[h]
expr = where(head, tsnr, 0)
[o]
expr = where(otsu(std(bold)), bold, 0)
[count]
expr = sum(1 + 0 * x, brain)
END
    mount_derivfs "$DS" --recipes=r.ini
    local run=bold=run:${RUN}_bold.nii.gz
    is_numpy ${RUN}_stat-b_boldmap.nii 'where(m, mean(bold) / std(bold), 0)' "$run" \
        m=mask:${RUN}_desc-brain_mask.nii.gz
    is_numpy ${RUN}_stat-h_boldmap.nii 'where(otsu(mean(bold)), mean(bold) / std(bold), 0)' "$run"
    is_numpy ${RUN}_stat-o_boldmap.nii 'where(otsu(std(bold))[..., None], bold, 0)' "$run"
    is_numpy ${other}_stat-b_boldmap.nii 'where(otsu(mean(bold)), mean(bold) / std(bold), 0)' \
        bold=run:${other}_bold.nii
    fails b.nii "brain: no file desc-brain_mask.nii[.gz] or label-brain_mask.nii[.gz] for ${other}_bold.nii"
    run -0 cut -f 6,7 "$MNT/$FUNC/count.tsv"
    assert_line --index 0 --regexp '^size_t.count$'
}

@test "the same bits with 1, 2 and 8 threads and with little memory" {
    local other=sub-01_ses-1_task-rest_run-2
    image "$FUNC/${RUN}_desc-brain_mask.nii.gz" wild --seed 1
    image "$FUNC/${other}_desc-brain_mask.nii.gz" wild --seed 2
    cat >r.ini <<'END'
[m]
file = desc-brain_mask.nii.gz
join = any
[in]
expr = where(m & (x < -10), median(bold * z), std(where(m, bold, 1)))
[among]
expr = where(m, zscore(bold), x) / std(bold[..., 1], m) + median(y * mean(bold), m)
END
    local options
    for options in threads=1 threads=2 threads=8 threads=2,memory=16M; do
        mount_derivfs "$DS" --recipes=r.ini -o "$options"
        cat "$MNT/$FUNC/in.nii" "$MNT/$FUNC/among.nii" "$MNT/$FUNC/among.nii.gz" >"$options"
        unmount_derivfs
        rm -r "$CACHE"
        cmp "$options" threads=1
    done
}

@test "mistakes in a section with file: a sentence with its place, and the other recipes work" {
    cat >r.ini <<'END'
[a]
file = sub-01/func/x_mask.nii
[b]
file = mask.txt
[c]
file = desc-x_mask.nii
kind = bold
[d]
file = desc-x_dseg.nii
join = any
[e]
kind = mask
expr = mean(bold)
[f]
file = a_mask.nii
[g]
file = mask.nii
expr = bold
[h]
expr = where(bold & 1, 1, 0)
[i]
expr = file("mask.nii, kind=mask)
[good]
file = desc-x_mask.nii.gz anat/desc-y_mask.nii
    anat/desc-z_mask.nii.gz
END
    mount_derivfs "$DS" --recipes=r.ini
    run cat "$MNT/.derivfs/errors"
    assert_output --partial 'r.ini:2:8: the directory of an input is a datatype, such as anat/'
    assert_output --partial 'r.ini:4:8: an input ends with .nii, .nii.gz or .nii.zst'
    assert_output --partial "r.ini:7:8: kind is image, mask or labels, not 'bold'"
    assert_output --partial 'r.ini:10:8: only masks are joined'
    assert_output --partial 'r.ini:12:8: only a section with file = ... has this key'
    assert_output --partial 'r.ini:15:8: an input is [DATATYPE/]'
    assert_output --partial "r.ini:17:8: 'g' has an expr, too"
    assert_output --partial "r.ini:20:19: '&' is defined for masks alone (true and false); put comparisons in parentheses"
    assert_output --partial "r.ini:22:13: this text has no end: '\"' is missing"
    run -0 bash -c 'grep -A 2 "^\[good\]" "$1" | tail -n 2 | tr -s " \n" " "' - "$MNT/.derivfs/recipes.ini"
    assert_output 'expr = file("desc-x_mask.nii.gz", "anat/desc-y_mask.nii", "anat/desc-z_mask.nii.gz", kind=mask) '
}
