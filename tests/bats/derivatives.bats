#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# layout=derivatives and exports as BIDS derivative datasets, and what npm's bids-validator says of them.

load helper

# Fails unless the validator finds no error in DIR, apart from those of the codes given.
assert_valid() {
    local dir=$1 validator=$ROOT/build-npm/bids-validator/package/bin/bids-validator
    shift
    node "$validator" --json "$dir" >said.json 2>complaints || true # fails where there are errors
    run -0 json '[i["code"] for i in d["issues"]["errors"]]' <said.json
    assert_output "[$*]"
}

@test "layout=derivatives: the whole passes bids-validator as the dataset did, and says what it is" {
    make_sample "$DS"
    assert_valid "$DS"
    mount_derivfs "$DS" --layout=derivatives
    assert_valid "$MNT"
    local root=$MNT/derivatives/derivfs
    # This validator takes every root for raw data, and all names here are ignored by it.
    assert_valid "$root" 45
    assert_equal "$(ls -A "$root" | LC_ALL=C sort | tr '\n' ' ')" '.bidsignore README dataset_description.json sub-01 '
    /usr/bin/python3 - "$root" <<'PYTHON'
import json, mmap, os, sys
root = sys.argv[1]
for name in "dataset_description.json", "README", ".bidsignore":
    with open(f"{root}/{name}", "rb") as f:
        whole = f.read()
        assert os.stat(f.fileno()).st_size == len(whole) > 0, name
        with mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ) as m:
            assert m[:] == whole
d = json.load(open(f"{root}/dataset_description.json"))
assert d["DatasetType"] == "derivative" and d["BIDSVersion"] and d["Name"]
assert d["GeneratedBy"][0]["Name"] == "derivfs" and d["GeneratedBy"][0]["Version"]
# BIDS URIs lead to the runs.
func = f"{root}/sub-01/ses-test/func"
sidecar = json.load(open(f"{func}/tsnr.json"))
assert len(sidecar["Sources"]) == 5
for uri in sidecar["Sources"] + [sidecar["SpatialReference"]]:
    scheme, dataset, path = uri.split(":")
    assert scheme == "bids"
    assert os.path.isfile(f"{root}/{d['DatasetLinks'][dataset]}/{path}"), uri
PYTHON
    run ! touch "$root/README"
    assert_output --partial 'Read-only file system'
    run -1 derivctl list "$root/README"
    assert_output --partial 'not a derived one'
    assert_equal "$(metric tasks_done_total)" 0
}

@test "layout=beside passes bids-validator with the lines that behaviour.md gives" {
    make_sample "$DS"
    for suffix in bold cbv; do
        make_run "$DS/sub-02/func/sub-02_task-rest_$suffix.nii.gz"
        echo '{"TaskName": "rest", "RepetitionTime": 2}' >"$DS/sub-02/func/sub-02_task-rest_$suffix.json"
    done
    assert_valid "$DS"
    printf '%s\n' '[cv]' 'expr = std(bold) / mean(bold)' 'list = yes' >recipes.ini
    {
        sed -nE 's/^    (\*\*\/)/\1/p' "$ROOT/contrib/docs/behaviour.md"
        printf '%s\n' '**/cv.*' '**/*_cv.*'
    } >"$DS/.bidsignore"
    mount_derivfs "$DS" --recipes=recipes.ini
    assert_valid "$MNT"
    assert_exists "$MNT/sub-02/func/sub-02_task-rest_stat-tsnr_cbvmap.nii"
    assert_exists "$MNT/sub-02/func/cbv_cv.nii"
}

@test ".bidsignore follows the recipes, and layout=beside has no such files" {
    make_run "$DS/sub-1/func/sub-1_task-x_bold.nii"
    printf '%s\n' '[late]' 'expr = mean(drop(bold, n))' 'param n = 2' >recipes.ini
    mount_derivfs "$DS" --layout=derivatives --recipes=recipes.ini
    run -0 cat "$MNT/derivatives/derivfs/.bidsignore"
    assert_line '**/late.*'
    assert_line '**/late@*'
    assert_line '**/*_stat-*_boldmap.*'
    printf '%s\n' '[later]' 'expr = mean(bold)' >recipes.ini
    wait_until grep -qx '\*\*/later\.\*' "$MNT/derivatives/derivfs/.bidsignore"
    unmount_derivfs
    mount_derivfs "$DS"
    assert_not_exists "$MNT/derivatives"
    assert_not_exists "$MNT/dataset_description.json"
}

# study: two subjects with sessions, a group of several tasks, echoes, a preprocessed run; one name
# without its session, and one that is not BIDS.
study() {
    local pre=$DS/sub-01/ses-pre/func post=$DS/sub-01/ses-post/func
    make_run "$pre/sub-01_ses-pre_task-rest_bold.nii.gz" --seed 1
    make_run "$pre/sub-01_ses-pre_task-n_bold.nii.gz" --seed 2
    make_run "$post/sub-01_ses-post_task-rest_echo-1_bold.nii.gz" --seed 3
    make_run "$post/sub-01_ses-post_task-rest_echo-2_bold.nii.gz" --seed 4
    make_run "$DS/sub-02/ses-pre/func/sub-02_task-rest_desc-preproc_bold.nii.gz" --seed 5
    make_run "$DS/sub-02/ses-post/func/rest.nii.gz" --seed 6
    echo '{"Name": "study", "BIDSVersion": "1.8.0"}' >"$DS/dataset_description.json"
    printf '%s\n' '[late_tsnr]' 'expr = mean(drop(bold, n)) / std(drop(bold, n))' 'param n = 2' 'param w = 0.5' >recipes.ini
}

ctl() {
    derivctl --cache_dir="$CACHE" "$@"
}

# The names of the BIDS form that a study has for tsnr, without their endings.
names() {
    local pre=sub-01/ses-pre/func post=sub-01/ses-post/func
    printf '%s\n' "$post/sub-01_ses-post_task-rest_echo-1_stat-tsnr_boldmap" \
        "$post/sub-01_ses-post_task-rest_echo-2_stat-tsnr_boldmap" \
        "$pre/sub-01_ses-pre_stat-tsnr_desc-joined_boldmap" \
        "$pre/sub-01_ses-pre_task-n_stat-tsnr_boldmap" "$pre/sub-01_ses-pre_task-rest_stat-tsnr_boldmap" \
        sub-02/ses-post/func/sub-02_ses-post_stat-tsnr_desc-rest_boldmap \
        sub-02/ses-pre/func/sub-02_ses-pre_task-rest_stat-tsnr_desc-preproc_boldmap
}

# files DIR ENDING: the paths beneath DIR with the ending, without it.
files() {
    (cd "$1" && find . -name "*$2" | sed "s|^\./||; s|$2\$||" | LC_ALL=C sort)
}

@test "layout=derivatives lists BIDS names, and plain names stay readable" {
    study
    mount_derivfs "$DS" --layout=derivatives --recipes=recipes.ini
    local root=$MNT/derivatives/derivfs name
    assert_equal "$(files "$root" .nii | grep stat-tsnr)" "$(names)"
    while read -r name; do
        cat "$root/$name.nii" "$root/$name.nii.gz" "$root/$name.json" >/dev/null
    done < <(names)
    cmp "$root/sub-01/ses-pre/func/tsnr.nii" "$root/sub-01/ses-pre/func/sub-01_ses-pre_stat-tsnr_desc-joined_boldmap.nii"
    reference tsnr "$root/sub-02/ses-post/func/sub-02_ses-post_stat-tsnr_desc-rest_boldmap.nii" "$DS/sub-02/ses-post/func/rest.nii.gz"
    # not listed, and with the recipe's name in letters and digits
    cmp "$root/sub-01/ses-pre/func/late_tsnr.nii" "$root/sub-01/ses-pre/func/sub-01_ses-pre_stat-latetsnr_desc-joined_boldmap.nii"
    run ! cat "$root/sub-01/ses-pre/func/sub-01_ses-pre_stat-tsn_desc-joined_boldmap.nii"
    assert_output --partial 'No such file'
}

@test "stat stands before desc in the names of runs" {
    study
    mount_derivfs "$DS"
    local func=$MNT/sub-02/ses-pre/func
    run -0 ls "$func"
    assert_line sub-02_task-rest_stat-tsnr_desc-preproc_boldmap.nii
    reference tsnr "$func/sub-02_task-rest_stat-tsnr_desc-preproc_boldmap.nii" "$DS"/sub-02/ses-pre/func/*_bold.nii.gz
    cat "$MNT/group_tsnr.tsv" >/dev/null
    assert_no_errors
}

@test "layout=derivatives has links to directories of the dataset, which lead to derived files" {
    study
    ln -s sub-01 "$DS/sub-03"
    mkdir "$DS/sourcedata" elsewhere
    mv "$DS/sub-02" "$DS/sourcedata/two"
    ln -s sourcedata/two "$DS/sub-02"
    ln -s "$PWD/elsewhere" "$DS/sub-04"
    ln -s sub-01/ses-pre "$DS/dangling-"
    mount_derivfs "$DS" --layout=derivatives
    local root=$MNT/derivatives/derivfs
    run -0 ls "$root"
    assert_line sub-03
    refute_line sub-04
    refute_line sourcedata
    assert_equal "$(readlink "$root/sub-03")" sub-01
    cmp "$root/sub-03/ses-pre/func/tsnr.nii" "$root/sub-01/ses-pre/func/tsnr.nii"
    reference tsnr "$root/sub-02/ses-post/func/tsnr.nii" "$DS/sourcedata/two/ses-post/func/rest.nii.gz"
    run ! stat "$root/sub-04"
    run -0 cut -f 1 "$root/group_tsnr.tsv"
    assert_line rest
}

@test "export: a derivative dataset of real files, as the mount shows it" {
    study
    run -0 ctl export "$DS" out
    assert_line --partial 'out: 21 images: 21 written, 0 were up to date, 0 failed'
    assert_equal "$(files out .nii.gz | grep stat-tsnr)" "$(names)"
    assert_equal "$(files out .json | grep stat-tsnr)" "$(names)"
    mount_derivfs "$DS" --layout=derivatives
    local root=$MNT/derivatives/derivfs name
    while read -r name; do
        cmp "$root/$name.nii.gz" "out/$name.nii.gz"
        cmp "$root/$name.json" "out/$name.json"
        assert_equal "$(stat -c %Y "out/$name.nii.gz")" "$(stat -c %Y "$root/$name.nii.gz")"
        gunzip -t "out/$name.nii.gz"
    done < <(names)
    cmp "$root/group_tsnr.tsv" out/group_tsnr.tsv
    cmp "$root/group_tsnr.json" out/group_tsnr.json
    cmp "$root/.bidsignore" out/.bidsignore
    assert_valid out 45 # this validator takes every root for raw data, and all names are new to it
    /usr/bin/python3 - out "$DS" <<'PYTHON'
import glob, json, os, re, sys, urllib.parse
out, raw = sys.argv[1:]
d = json.load(open(f"{out}/dataset_description.json"))
assert d["DatasetType"] == "derivative" and d["BIDSVersion"] >= "1.11", d
link = urllib.parse.urlparse(d["DatasetLinks"]["raw"])
assert link.scheme == "file" and os.path.samefile(urllib.parse.unquote(link.path), raw), link
sidecars = glob.glob(f"{out}/sub-*/**/*.json", recursive=True)
assert len(sidecars) == 21
for path in sidecars:
    sidecar = json.load(open(path))
    for uri in sidecar["Sources"] + [sidecar["SpatialReference"]]:
        assert os.path.isfile(f"{raw}/{uri.removeprefix('bids:raw:')}"), uri
    name = os.path.basename(path).removesuffix("_boldmap.json")
    assert all(re.fullmatch(r"[a-z]+-[0-9a-zA-Z+]+", part) for part in name.split("_")), name
readme = open(f"{out}/README").read()
assert "BEP012" in readme and "draft" in readme
PYTHON
}

@test "export: again, it writes only what has changed; it leaves no half file" {
    study
    run -0 ctl export "$DS" out --recipe=tsnr
    assert_line --partial ': 7 images: 7 written'
    find out -type f -printf '%p %i %T@\n' | LC_ALL=C sort >before
    run -0 ctl export "$DS" out --recipe=tsnr
    assert_line --partial ': 7 images: 0 written, 7 were up to date'
    find out -type f -printf '%p %i %T@\n' | LC_ALL=C sort >after
    cmp before after
    make_run "$DS/sub-02/ses-post/func/rest.nii.gz" --seed 7 --mtime 1700000000
    local image
    image=$(find out -name '*ses-pre_task-n_stat-tsnr*.gz')
    truncate -s 100 "$image"
    rm "$(find out -name '*echo-1*.json')"
    run -0 ctl export "$DS" out --recipe=tsnr
    assert_line --partial ': 7 images: 3 written, 4 were up to date'
    gunzip -t "$image"
    # A failure is told, and leaves nothing under the name.
    truncate -s -10 "$DS/sub-02/ses-post/func/rest.nii.gz"
    rm -r out/sub-02
    run -1 ctl export "$DS" out --recipe=tsnr
    assert_line --regexp '^derivctl: .*tsnr.nii.gz: compute: .*rest.nii.gz'
    assert_line --partial '1 written, 5 were up to date, 1 failed'
    assert_equal "$(find out/sub-02/ses-post -type f)" ''
}

@test "export: killed, it leaves whole files only, and goes on" {
    make_run "$DS/sub-01/func/sub-01_task-a_bold.nii"
    make_run "$DS/sub-02/func/sub-02_task-a_bold.nii" --shape 40,40,20 --volumes 40
    mkdir slow
    mount_throttled "$DS" 500k slow
    derivctl --cache_dir="$CACHE" export slow out --recipe=tsnr >summary 2>&1 3>&- &
    local first=out/sub-01/func/sub-01_task-a_stat-tsnr_boldmap status=0
    wait_until test -e $first.json
    kill -TERM $!
    wait $! || status=$?
    assert_equal "$status" $((128 + 15))
    run -0 cat summary
    assert_output --regexp ': 2 images: 1 written, .*, 1 left: the same command continues$'
    assert_equal "$(find out/sub-* -type f | LC_ALL=C sort | tr '\n' ' ')" "$first.json $first.nii.gz "
    fusermount3 -uz slow
    run -0 ctl export "$DS" out --recipe=tsnr
    assert_output --partial ' 0 failed'
    assert_equal "$(files out .nii.gz | wc -l)" 2
}

@test "export: recipes with parameters, participants, sessions, levels" {
    study
    run -0 ctl export "$DS" out --recipes=recipes.ini --recipe='late_tsnr@n=3,w=-1.5' --participant-label=sub-02
    assert_equal "$(files out .nii.gz)" "sub-02/ses-post/func/sub-02_ses-post_stat-latetsnr_desc-rest+n3+wm1p5_boldmap
sub-02/ses-pre/func/sub-02_ses-pre_task-rest_stat-latetsnr_desc-preproc+n3+wm1p5_boldmap"
    assert_not_exists 'out/group_*'
    run -0 ctl export "$DS" out2 --recipe=tsnr --recipe=std --participant_label=01,02 --session-label=post
    assert_equal "$(files out2 .nii.gz | wc -l)" 6
    assert_equal "$(files out2 .nii.gz | grep -c ses-pre)" 0
    run -0 ctl export "$DS" out3 --level=group --recipe=tsnr
    assert_equal "$(ls out3)" "$(printf '%s\n' README dataset_description.json group_tsnr.json group_tsnr.tsv)"
    assert_equal "$(find "$DS" -newer recipes.ini)" '' # nothing was written into it
}

@test "export into the dataset's derivatives has a relative link; elsewhere in it, nothing is written" {
    study
    run -0 ctl export "$DS" "$DS/derivatives/tsnr/" --recipe=tsnr
    assert_equal "$(json 'd["DatasetLinks"]["raw"]' <"$DS/derivatives/tsnr/dataset_description.json")" ../../
    run -0 ctl export "$DS" "$DS/derivatives/tsnr" --recipe=tsnr
    assert_output --partial '0 written, 7 were up to date'
    run -1 ctl export "$DS" "$DS/sub-01/out"
    assert_output --partial "it is in the dataset, among the runs: choose $DS/derivatives/NAME"
    assert_not_exists "$DS/sub-01/out"
    run -1 ctl export "$DS" "$DS"
    mkdir other
    echo '{"Name": "x", "GeneratedBy": [{"Name": "fMRIPrep"}]}' >other/dataset_description.json
    run -1 ctl export "$DS" other
    assert_output 'derivctl: other: export: there is a dataset of fMRIPrep already: choose an empty directory'
    run -1 ctl export "$DS" out --recipe=tsnrr
    assert_output 'derivctl: --recipe=tsnrr: there is no such recipe (did you mean tsnr?)'
    run -1 ctl export "$DS" out --participant-label=07
    assert_output "derivctl: --participant-label=07: there is no directory sub-07 in $DS"
    run -2 ctl export "$DS"
    run -2 ctl export "$DS" out --level=subject
    run -2 ctl export "$DS" out --level=group --participant-label=01
    assert_line --index 0 --partial 'tables are of all runs'
    # a name without a subject
    make_run "$DS/odd/odd.nii"
    run -0 ctl export "$DS" out --recipe=tsnr
    assert_line --regexp '^derivctl: not exported: .*odd/.*name a subject'
}

@test "derivfs-app: the form of BIDS Apps" {
    study
    local app=$ROOT/contrib/app/derivfs-app
    run -0 "$app" "$DS" out participant --participant-label 02 01 --session_label pre --recipe tsnr 'late_tsnr@n=1' \
        --recipes recipes.ini --work-dir "$CACHE" --n_cpus 2 --mem-mb 500 --skip-bids-validation
    assert_equal "$(files out .nii.gz | wc -l)" 8
    run -0 "$app" "$DS" out group -w "$CACHE" --recipe tsnr
    assert_exists out/group_tsnr.tsv
    assert_valid out 45
    assert_equal "$("$app" --version)" "$(derivctl --version)"
    run -0 "$app" --help
    assert_line --partial 'BIDS_DIR OUTPUT_DIR participant|group'
    for wrong in '' "$DS" "$DS out" "$DS out dataset" "$DS out participant --nope" "$DS out group x" \
        "$DS out participant --participant-label"; do
        # shellcheck disable=SC2086
        run -2 "$app" $wrong
    done
}
