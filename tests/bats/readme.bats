#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# The commands in README.md and in the pages of contrib/docs and contrib/recipes work. The blocks of a
# page that open with "```sh" are one script, which runs in a directory with the sample session at
# ./sample; its blocks of "```ini" are ./recipes.ini there. Two programs are replaced: the one that
# makes the sample makes a smaller one, and sbatch runs its script at once.

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

# run_page PAGE: its output is in ./output.
run_page() {
    blocks ini "$1" >recipes.ini
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
    run_page README.md
    assert [ "$(grep -c '^derivfs ' script)" -ge 2 ]
    assert [ "$(grep -c '^derivctl ' script)" -ge 4 ]
    reference tsnr tsnr.nii sample/sub-01/ses-test/func/*_bold.nii.gz
    grep -q '<svg' tsnr.svg
    assert_exists cv.nii
}

@test "the commands of the page on recipes work" {
    run_page contrib/docs/recipes.md
    gunzip -t cv.nii.gz
    cmp cleaned.nii <(gunzip -c cleaned.nii.gz)
}

@test "the commands of the page on behaviour work" {
    run_page contrib/docs/behaviour.md
    grep -q '<svg' tsnr.svg
    grep -q '<svg' drawn.svg
}

@test "the commands of the tutorial work, and find the run" {
    run_page contrib/docs/tutorial.md
    grep -P '^[a-z]+\t[0-9]+\t[0-9.]+\t' output | sort -t $'\t' -k 3 -n >medians
    assert_equal "$(wc -l <medians)" 5
    assert_equal "$(head -n 1 medians | cut -f 1)" linebisection
    grep -q 'data:image/png;base64,' report/index.html
    grep -E '^voxel [0-9]+ [0-9]+ [0-9]+ at -[0-9.]+ -[0-9.]+ ' output
    # Without that run the place is as good as others.
    awk '/ there: / { at[$1] = $NF } END { exit !(2 * at["tsnr.nii"] < at["tsnr_without.nii"]) }' output
}

@test "the commands of the page on clusters work" {
    run_page contrib/docs/cluster.md
    reference tsnr tsnr.nii sample/sub-01/ses-test/func/*_bold.nii.gz
}

@test "the commands of the questions and answers work" {
    run_page contrib/docs/questions.md
}

@test "the commands of the page on definitions of tSNR work" {
    run_page contrib/recipes/README.md
    assert_exists tsnr_nipype@regress_poly=2.nii
}

@test "every page that has commands is run here, and every command is in a block that is" {
    cd "$ROOT"
    for page in $(grep -l '^```sh$' README.md contrib/docs/*.md contrib/recipes/*.md); do
        grep -qF "run_page $page" "$BATS_TEST_FILENAME"
    done
    # but for programs that install, build or measure, and those that need a cluster
    run ! grep -nP '^ {4,}(\./)?(?!contrib/(try|check|bench|setup|deb)\b|derivfs /data/study )(derivfs|derivctl|contrib/\w)' \
        README.md contrib/docs/*.md contrib/recipes/*.md
    assert_output ''
}

# anchors PAGE: what links may name behind "#", as hosts of git make it from the headings.
anchors() {
    sed -nE 's/^#+ +//p' "$1" | tr '[:upper:]' '[:lower:]' | sed -E 's/[^a-z0-9 _-]//g; s/ /-/g'
}

@test "links between the pages lead somewhere" {
    local page link file
    cd "$ROOT"
    for page in *.md contrib/docs/*.md contrib/recipes/README.md; do
        for link in $(grep -oP '\]\(\K[^) :]+(?=\))' "$page"); do
            file=${link%%#*}
            file=${file:+$(dirname "$page")/$file}
            assert_exists "${file:-$page}"
            [[ $link != *#* ]] || anchors "${file:-$page}" | grep -qxF "${link#*#}" || fail "$page: $link"
        done
    done
}

@test "the recipes of README.md and of the page on recipes have no mistakes" {
    local page
    for page in README.md contrib/docs/recipes.md; do
        blocks ini "$page" >recipes.ini
        assert [ -s recipes.ini ]
        mount_derivfs "$BATS_FILE_TMPDIR/sample" --recipes=recipes.ini
        run cat "$MNT/.derivfs/errors"
        assert_output ''
        unmount_derivfs
    done
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
    # Of a run, it is one number in the picture, in the table and here.
    local run=sub-01_ses-test_task-linebisection
    assert_line --regexp "^ +$(median_shown "tree/mnt/sample/sub-01/ses-test/func/${run}_stat-tsnr_boldmap.png")  ${run}_bold$"
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
