#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# NAME.json: what the mount says of a derived image, before anything is computed.

load helper

@test "sidecars are listed, have their exact size at once, and compute nothing" {
    make_run "$DS/sub-1/func/sub-1_task-x_bold.nii.gz"
    make_run "$DS/sub-1/func/sub-1_task-y_bold.nii.gz" --seed 2 --mtime 1800000000
    mount_derivfs "$DS"
    local func=$MNT/sub-1/func file
    run -0 ls "$func"
    for file in tsnr mean std sub-1_task-{x,y}_stat-tsnr_boldmap; do
        assert_line "$file.json"
        assert_equal "$(stat -c %s "$func/$file.json")" "$(cat "$func/$file.json" | wc -c)"
        assert_equal "$(stat -c '%a %U %Y' "$func/$file.json")" "$(stat -c '%a %U %Y' "$func/$file.nii")"
    done
    refute_line sub-1_task-x_stat-mean_boldmap.json
    assert_equal "$(json 'd["Sources"]' <"$func/sub-1_task-y_stat-mean_boldmap.json")" \
        '["bids::sub-1/func/sub-1_task-y_bold.nii.gz"]'
    # Every way of reading, at every place.
    /usr/bin/python3 - "$func/tsnr.json" <<'PYTHON'
import json, mmap, os, sys
with open(sys.argv[1], "rb") as f:
    whole = f.read()
    assert os.pread(f.fileno(), 7, 100) == whole[100:107]
    assert os.pread(f.fileno(), 7, len(whole)) == b""
    with mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ) as m:
        assert m[:] == whole
d = json.loads(whole)
assert list(d) == ["Description", "Sources", "SpatialReference", "SkullStripped", "Recipe",
                   "Expression", "Definition", "SoftwareName", "SoftwareVersion", "Remarks"], list(d)
func = "bids::sub-1/func/"
assert d["Sources"] == [func + f"sub-1_task-{task}_bold.nii.gz" for task in "xy"]
assert d["SpatialReference"] == d["Sources"][0]
assert d["SkullStripped"] is False
assert d["Expression"] == "mean(bold) / std(bold)"
assert "standard deviation" in d["Description"]
assert d["Definition"].startswith("mean(bold) / std(bold), where bold is the runs")
PYTHON
    assert_equal "derivfs $(json 'd["SoftwareVersion"]' <"$func/tsnr.json")" "$(cat "$MNT/.derivfs/version")"
    derivctl compute "$func/tsnr.json" -o copy.json
    cmp copy.json "$func/tsnr.json"
    assert_equal "$(metric tasks_done_total)" 0
    run -0 derivctl list "$func"
    refute_output --partial json
}

@test "recipes: parameters, what is named in them, texts that are not UTF-8, and mistakes" {
    make_run "$DS/a.nii"
    printf '%s\n' '[early]' 'expr = drop(bold, n) * tsnr' 'param n = 2' \
        '[odd]' 'expr = bold + 1' $'description = caf\xe9 \xff' >recipes.ini
    mount_derivfs "$DS" --recipes=recipes.ini
    assert_equal "$(json '[d[k] for k in ("Recipe", "Parameters")]' <"$MNT/early@n=3.json")" \
        '["early@n=3",{"n":3.0}]'
    assert_regex "$(json 'd["Definition"]' <"$MNT/early.json")" '^drop\(bold, 2\) \* \(?mean\(bold\) / std\(bold\)'
    assert_equal "$(json 'd["Description"]' <"$MNT/odd.json")" 'caf? ?'
    run ! cat "$MNT/early@m=3.json"
    assert_output --partial 'Invalid argument'
    # A changed recipe has a changed sidecar.
    printf '%s\n' '[odd]' 'expr = bold + 22' >recipes.ini
    wait_until grep -q 'bold + 22' "$MNT/odd.json"
}

@test "any name of a file is a URI in the sidecar" {
    local name=$'x%y "z\xff\n&<é>?#[1].nii'
    make_run "$DS/run.nii"
    mv "$DS/run.nii" "$DS/$name"
    mount_derivfs "$DS"
    run -0 json 'd["Sources"][0]' <"$MNT/tsnr.json"
    assert_output 'bids::x%25y%20%22z%FF%0A%26%3C%C3%A9%3E%3F%23%5B1%5D.nii'
}

@test "a dataset's own sidecar wins; one of a broken run is readable" {
    make_run "$DS/a_1.nii"
    echo '{}' >"$DS/tsnr.json"
    make_run "$DS/sub-2/sub-2_task-x_bold.nii"
    make_run "$DS/sub-2/sub-2_task-y_bold.nii" --cut 100
    mount_derivfs "$DS"
    assert_equal "$(cat "$MNT/tsnr.json")" '{}'
    assert_equal "$(find "$MNT" -maxdepth 1 -name tsnr.json | wc -l)" 1
    run ! cat "$MNT/sub-2/tsnr.nii"
    assert_equal "$(json 'len(d["Sources"])' <"$MNT/sub-2/tsnr.json")" 2
}
