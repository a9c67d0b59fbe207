#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# layout=derivatives as a BIDS derivative dataset, and what npm's bids-validator says of it.

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
