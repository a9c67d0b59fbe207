#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# What README.md and the pages of contrib/docs and contrib/recipes tell to type works. Of each page the blocks that open
# with "```sh" are run one after the other as one script, in a directory that has the sample session
# at ./sample; README.md's blocks of "```ini" are ./recipes.ini there. Only what makes the sample
# (smaller) and sbatch (which runs its script at once) are stood in for.

load helper

setup_file() {
    "$BATS_TEST_DIRNAME/../../contrib/sample" --scale small "$BATS_FILE_TMPDIR/sample"
}

# blocks LANGUAGE PAGE: the blocks of a page in that language.
blocks() {
    awk -v open="\`\`\`$1" '
        $0 == "```" { inside = 0 }
        inside { print }
        $0 == open { inside = 1 }' "$ROOT/$2"
}

no_daemon_left() {
    local file pid
    for file in $(grep -lsF "$BATS_TEST_TMPDIR/" /proc/[0-9]*/environ); do
        pid=${file//[^0-9]/}
        [ "$(cat "/proc/$pid/comm" 2>/dev/null)" != derivfs ] || gone "$pid" || return 1
    done
}

stand_in() {
    mkdir -p "$(dirname "$1")"
    cat >"$1"
    chmod +x "$1"
}

# run_page PAGE: what it says is in ./output.
run_page() {
    cp -r "$BATS_FILE_TMPDIR/sample" sample
    mkdir contrib
    ln -s "$ROOT"/contrib/* contrib/
    rm contrib/sample
    stand_in contrib/sample <<<"exec '$ROOT/contrib/sample' --scale small \"\$@\""
    stand_in bin/sbatch <<<'SLURM_ARRAY_TASK_ID=1 SLURM_CPUS_PER_TASK=2 exec bash "$@"'
    blocks sh "$1" >script
    assert [ -s script ]
    # the system's Python has the libraries
    PATH=$PWD/bin:$DERIVFS_BIN_DIR:/usr/bin:$PATH bash -eux script >output 2>&1 3>&- 4>&- ||
        { cat output && false; }
    # Their arguments are relative, so only the environment tells whose daemons they are.
    wait_until no_daemon_left
}

@test "the commands of README.md work" {
    blocks ini README.md >recipes.ini
    run_page README.md
    assert [ "$(grep -c '^derivfs ' script)" -ge 2 ]
    assert [ "$(grep -c '^derivctl ' script)" -ge 4 ]
    reference tsnr tsnr.nii sample/sub-01/ses-test/func/*_bold.nii.gz
    gunzip -t cv.nii.gz
}

@test "the commands of the tutorial work, and find the run" {
    run_page contrib/docs/tutorial.md
    grep -P '^[a-z]+\t[0-9]+\t[0-9.]+\t' output | sort -t $'\t' -k 3 -n >medians
    assert_equal "$(wc -l <medians)" 5
    assert_equal "$(head -n 1 medians | cut -f 1)" linebisection
    grep -q 'data:image/png;base64,' tsnr.html
    grep -E '^voxel [0-9]+ [0-9]+ [0-9]+ at -[0-9.]+ -[0-9.]+ ' output
    # Without that run the place is as good as others.
    awk '/ there: / { at[$1] = $NF } END { exit !(2 * at["tsnr.nii"] < at["tsnr_without.nii"]) }' output
}

@test "the commands of the page on clusters work" {
    run_page contrib/docs/hpc.md
    reference tsnr tsnr.nii sample/sub-01/ses-test/func/*_bold.nii.gz
}

@test "the commands of the questions and answers work" {
    run_page contrib/docs/questions.md
}

@test "the commands of the page on recipes work" {
    run_page contrib/recipes/README.md
    assert_exists tsnr_nipype@regress_poly=2.nii
}

@test "every page that has commands is run here, and every command is in a block that is" {
    cd "$ROOT"
    for page in $(grep -l '^```sh$' README.md contrib/docs/*.md contrib/recipes/*.md); do
        grep -qF "run_page $page" "$BATS_TEST_FILENAME"
    done
    # but for programs that install, build or measure, and those that need a cluster
    run ! grep -nP '^ {4,}(\./)?(?!contrib/(try|check|bench)\b|derivfs /data/study )(derivfs|derivctl|contrib/\w)' \
        README.md contrib/docs/*.md contrib/recipes/*.md
    assert_output ''
}

@test "links between the pages lead somewhere" {
    cd "$ROOT"
    for page in README.md contrib/docs/*.md contrib/recipes/README.md; do
        for link in $(grep -oP '\]\(\K[^)#: ]+(?=[)#])' "$page"); do
            assert_exists "$(dirname "$page")/$link"
        done
    done
}

@test "the recipes of README.md have no mistakes" {
    blocks ini README.md >recipes.ini
    assert [ -s recipes.ini ]
    mount_derivfs "$BATS_FILE_TMPDIR/sample" --recipes=recipes.ini
    run cat "$MNT/.derivfs/errors"
    assert_output ''
}

@test "README.md names every option of derivfs, and no others" {
    # libfuse's own options follow behind a heading.
    derivfs --help | sed '/^FUSE options:/,$d' | grep -oP '^    -o \K[a-z_]+' | sort >own
    awk '/^### Options/ { on = 1; next } /^###/ { on = 0 } on' "$ROOT/README.md" |
        sed -nE 's/^\| `([a-z_]+)` .*/\1/p' | sort >table
    assert [ -s own ]
    run diff own table
    assert_success
}

# A tree like this one, in which nothing has to be installed or built.
tree_to_try() {
    mkdir -p tree/contrib tree/build
    cp "$ROOT/contrib/try" tree/contrib/
    stand_in tree/contrib/setup <<<'exit 0'
    stand_in tree/contrib/sample <<<"exec cp -r '$BATS_FILE_TMPDIR/sample' \"\$1\""
    ln -s "$DERIVFS_BIN_DIR" tree/build/mount
    touch tree/build/build.ninja
    stand_in bin/meson <<<"[ \"\$*\" = 'compile -C build' ]"
    PATH=$PWD/bin:$PATH
}

# median_shown PICTURE: the number in the corner of a picture.
median_shown() {
    /usr/bin/python3 -c 'import PIL.Image, sys
print("%.4g" % float(PIL.Image.open(sys.argv[1]).text["Median"]))' "$1"
}

@test "contrib/try shows the tSNR of a session, twice, as its picture does" {
    tree_to_try
    run -0 tree/contrib/try 3>&- 4>&-
    assert_line Mounted:
    assert_line --regexp '^  .*sub-01_ses-test_task-.*_stat-tsnr_boldmap.nii$'
    assert_line --regexp '^  first [0-9.]+ s \(computed\), then [0-9.]+ s \(from the cache\)$'
    assert_line --regexp '^  16 x 16 x 8 voxels, [0-9]+ of them in the head$'
    assert_line --regexp '^  median tSNR in the head: [1-9][0-9.]*$'
    assert_line "  median tSNR in the head: $(median_shown tree/mnt/sample/sub-01/ses-test/func/tsnr.png)"
    assert_line "  as a picture: $PWD/tree/mnt/sample/sub-01/ses-test/func/tsnr.png"
    assert_exists tree/mnt/sample/sub-01/ses-test/func/tsnr.png
    assert_line "  fusermount3 -u $PWD/tree/mnt/sample"
    run -0 tree/contrib/try
    assert_line 'Already mounted:'
    assert_line --regexp '^  median tSNR in the head: [1-9][0-9.]*$'
    # another dataset of the same name
    mkdir sample
    run -1 tree/contrib/try sample
    assert_output --partial "another dataset is mounted at $PWD/tree/mnt/sample"
    run -2 tree/contrib/try one two
    assert_line --regexp 'contrib/try DATASET'
}
