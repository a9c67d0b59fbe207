#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# What README.md tells to type works. Its blocks that open with "```sh test" are run one after the
# other as one script, in a directory that has the sample session at ./sample; the block that opens
# with "```ini test" is ./recipes.ini there.

# bats file_tags=release

load helper

# blocks LANGUAGE: the blocks of README.md with that tag.
blocks() {
    awk -v open="\`\`\`$1 test" '
        $0 == "```" { inside = 0 }
        inside { print }
        $0 == open { inside = 1 }' "$ROOT/README.md"
}

no_daemon_left() {
    local file pid
    for file in $(grep -lsF "$BATS_TEST_TMPDIR/" /proc/[0-9]*/environ); do
        pid=${file//[^0-9]/}
        [ "$(cat "/proc/$pid/comm" 2>/dev/null)" != derivfs ] || gone "$pid" || return 1
    done
}

@test "the commands of README.md work" {
    make_sample sample
    ln -s "$ROOT/contrib" contrib
    blocks sh >script
    blocks ini >recipes.ini
    assert [ "$(grep -c '^derivfs ' script)" -ge 2 ]
    assert [ "$(grep -c '^derivctl ' script)" -ge 4 ]

    bash -eux script >output 2>&1 3>&- 4>&- || { cat output && false; }

    # Their arguments are relative, so only the environment tells whose daemons they are.
    wait_until no_daemon_left
    reference tsnr tsnr.nii sample/sub-01/ses-test/func/*_bold.nii.gz
    gunzip -t cv.nii.gz
}

@test "the recipes of README.md have no mistakes" {
    make_sample "$DS/sample"
    blocks ini >recipes.ini
    assert [ -s recipes.ini ]
    mount_derivfs "$DS/sample" --recipes=recipes.ini
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
