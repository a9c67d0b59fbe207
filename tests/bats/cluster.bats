#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# engine=NAME: what takes long is computed by the jobs of a batch system.
# shellcheck disable=SC2154 # status, output and lines are those of bats
# shellcheck disable=SC2016 # templates are for another shell

load helper

setup() {
    common_setup
    local i
    for i in 1 2 3; do
        mkdir -p "$DS/sub-0$i/func"
        make_run "$DS/sub-0$i/func/sub-0${i}_task-rest_bold.nii.gz" --seed "$i"
    done
    printf '{"Name": "made", "BIDSVersion": "1.8.0"}' >"$DS/dataset_description.json"
    ENGINES=$XDG_CONFIG_HOME/derivfs/engines.ini
    mkdir -p "${ENGINES%/*}"
    ELSEWHERE=(--submit_above=0 --threads=1 --memory=200M)
}

# Jobs of `sh` that outlive a failed test, and Slurm.
teardown() {
    local file
    if [ -e slurm ]; then
        "$BATS_TEST_DIRNAME/../cluster/slurm" stop "$PWD/slurm"
        unmount_all
        wait_until umount "$DS"
    fi
    for file in "$CACHE"/jobs/*/*.pid; do
        [ ! -e "$file" ] || kill -KILL -- "-$(cat "$file")" 2>/dev/null || true
    done
    common_teardown
}

# engine NAME SUBMIT POLL CANCEL: a batch system of one's own.
engine() {
    printf '[%s]\nsubmit = %s\npoll = %s\ncancel = %s\n' "$@" >"$ENGINES"
}

# Is what the mount shows equal to what this machine computes by itself?
is_right() {
    derivctl compute --cache_dir="$BATS_TEST_TMPDIR/other" "$DS/$1" -o expected 2>/dev/null
    cmp expected "$MNT/$1"
}

# Tasks that this machine has computed itself, but for looking: into the cache, and whether runs of the
# same sizes are copies.
assert_computed_here() {
    local looked
    looked=$(jq '[.traceEvents[] | select(.name | startswith("identify"))] | length' "$MNT/.derivfs/trace.json")
    assert_equal "$(($(metric tasks_done_total) - $(metric tasks_found_total) - looked))" "$1"
}

no_jobs() {
    [ -z "$(ls "$CACHE/jobs")" ]
}

@test "a read of something large is a job; the result is the same, and nothing is left of the job" {
    mount_derivfs "$DS" --engine=sh "${ELSEWHERE[@]}"
    is_right sub-01/func/tsnr.nii
    assert_computed_here 0
    wait_until no_jobs
    is_right sub-01/func/mean.nii # from moments that are in the cache: here
    assert_computed_here 1
}

@test "small work stays here" {
    mount_derivfs "$DS" --engine=sh
    is_right sub-01/func/tsnr.nii
    assert_not_exists "$CACHE/jobs"
}

@test "what is asked for together is one array; a table, a 4-D file and a command come back, too" {
    printf '[z]\nexpr = zscore(bold)\n[c.txt]\ncommand = cksum {mean.nii}\n' >recipes.ini
    engine count 'echo "$JOBS" >>"$JOBDIR/../../arrays"
  for i in $(seq $JOBS)
  do "$JOBDIR/script" $i >"$JOBDIR/$i.log" 2>&1 &
  done
  echo 1' 'echo "1 R"' true
    mount_derivfs "$DS" --engine=count "${ELSEWHERE[@]}" --recipes=recipes.ini
    cp "$MNT/group_tsnr.tsv" table
    assert_equal "$(cat "$CACHE/arrays")" 1
    assert_equal "$(cut -f 5 table | grep -c '[0-9]')" 3
    derivctl compute --cache_dir=other --recipes=recipes.ini "$DS/sub-02/func/z.nii" -o expected
    cmp expected "$MNT/sub-02/func/z.nii"
    assert_computed_here 0
    mkdir -p mean && cp "$MNT/sub-03/func/mean.nii" mean
    assert_equal "$(cut -d ' ' -f 1,2 <"$MNT/sub-03/func/c.txt")" "$(cksum mean/mean.nii | cut -d ' ' -f 1,2)"
}

@test "status shows where a result is computed; the last reader that leaves cancels the job" {
    engine slow 'echo 77' 'echo "1 PENDING"' 'echo "$ID" >"$JOBDIR/../../cancelled"'
    mount_derivfs "$DS" --engine=slow "${ELSEWHERE[@]}"
    cat "$MNT/sub-01/func/tsnr.nii" >/dev/null 2>&1 3>&- 4>&- &
    wait_until grep -qF 'slow: job 77 (1) PENDING: elsewhere sub-01/func/tsnr.nii' "$MNT/.derivfs/status"
    run derivctl status --json "$MNT"
    assert_output --partial '"where": "slow: job 77 (1) PENDING"'
    kill -KILL $!
    wait_until [ -e "$CACHE/cancelled" ]
    assert_equal "$(cat "$CACHE/cancelled")" 77
    wait_until no_jobs
}

@test "what a job loses is submitted once more, and then fails with job, state and log" {
    engine mortal 'echo "$JOBDIR" >>"$JOBDIR/../../submitted"
  echo died >"$JOBDIR/1.log"
  echo 5' \
        'echo "1 OUT_OF_MEMORY"' true
    mount_derivfs "$DS" --engine=mortal "${ELSEWHERE[@]}"
    run ! cat "$MNT/sub-01/func/tsnr.nii"
    assert_equal "$(wc -l <"$CACHE/submitted")" 2
    run cat "$MNT/.derivfs/errors"
    assert_output --partial 'sub-01/func/tsnr.nii: job 5 (1) of mortal ended without a result: OUT_OF_MEMORY (log: '
    assert_equal "$(cat "$(tail -n 1 "$CACHE/submitted")/1.log")" died
}

@test "a worker that is killed once costs nothing but time" {
    engine once 'if mkdir "$JOBDIR/../../killed"
  then echo 1
  else "$JOBDIR/script" 1 >"$JOBDIR/1.log" 2>&1 &
  echo 2
  fi' \
        'if [ "$ID" = 1 ]; then echo "1 NODE_FAIL"; else echo "1 RUNNING"; fi' true
    mount_derivfs "$DS" --engine=once "${ELSEWHERE[@]}"
    is_right sub-01/func/tsnr.nii
    assert_computed_here 0
}

@test "a run that cannot be read says so, with the node" {
    make_run "$DS/sub-04_bold.nii.gz" --cut 300
    mount_derivfs "$DS" --engine=sh "${ELSEWHERE[@]}"
    run ! cat "$MNT/tsnr.nii"
    run cat "$MNT/.derivfs/errors"
    assert_output --partial 'sub-04_bold.nii.gz'
    assert_output --partial "(on $(uname -n))"
}

@test "a node that sees another file is found out" {
    mkdir -p other/sub-01/func
    make_run other/sub-01/func/sub-01_task-rest_bold.nii.gz --seed 9
    engine wrong 'sed -i "s|^dataset=.*|dataset='"$PWD"'/other|" "$JOBDIR/settings"
  "$JOBDIR/script" 1 >"$JOBDIR/1.log" 2>&1 &
  echo 1' \
        'echo "1 RUNNING"' true
    mount_derivfs "$DS" --engine=wrong "${ELSEWHERE[@]}"
    run ! cat "$MNT/sub-01/func/tsnr.nii"
    run cat "$MNT/.derivfs/errors"
    assert_output --partial 'that node sees another file or recipe'
}

@test "jobs read the recipes that the submitter has read" {
    printf '[double]\nexpr = 2 * mean(bold)\n' >recipes.ini
    engine late 'rm "'"$PWD"'/recipes.ini"
  "$JOBDIR/script" 1 >"$JOBDIR/1.log" 2>&1 &
  echo 1' 'echo "1 RUNNING"' true
    run -0 derivctl compute --cache_dir="$CACHE" --engine=late "${ELSEWHERE[@]}" --recipes=recipes.ini \
        "$DS/sub-01/func/double.nii" -o double.nii
    derivctl compute --cache_dir=other "$DS/sub-01/func/mean.nii" -o mean.nii
    /usr/bin/python3 -c 'import nibabel, numpy, sys
double, mean = (nibabel.load(name).get_fdata() for name in ("double.nii", "mean.nii"))
sys.exit(not numpy.array_equal(double, 2 * mean, equal_nan=True))'
}

@test "a failing command of the batch system is told in its own words" {
    engine closed 'echo "the partition is down" >&2; exit 1' true true
    mount_derivfs "$DS" --engine=closed "${ELSEWHERE[@]}"
    run ! cat "$MNT/sub-01/func/tsnr.nii"
    run cat "$MNT/.derivfs/errors"
    assert_output --partial 'engine=closed: submit failed: the partition is down'
}

@test "wrong names and numbers are refused before anything is computed" {
    run ! derivfs --cache_dir="$CACHE" --engine=slurn "$DS" "$MNT"
    assert_output --partial 'engine=slurn: no such batch system (slurm, pbs, sge, sh, or a section of'
    run ! derivfs --cache_dir="$CACHE" --engine=sh --submit_above=soon "$DS" "$MNT"
    assert_output --partial 'submit_above=soon: expected a number'
    run ! derivfs --cache_dir="$CACHE" --engine=sh --submit_jobs=0 "$DS" "$MNT"
    assert_output --partial 'submit_jobs=0: expected a number'
    run ! derivfs --cache_size=0 --engine=sh "$DS" "$MNT"
    assert_output --partial 'needs a cache that all nodes share'
    printf '[half]\nsubmit = true\n' >"$ENGINES"
    run ! derivfs --cache_dir="$CACHE" --engine=half "$DS" "$MNT"
    assert_output --partial 'submit, poll or cancel is missing'
    printf '[half]\nfoo = true\n' >"$ENGINES"
    run ! derivfs --cache_dir="$CACHE" --engine=half "$DS" "$MNT"
    assert_output --partial "$ENGINES:2:"
}

@test "compute -r fills an array with groups, at most submit_jobs at a time, and is found again" {
    run -0 derivctl compute -r --cache_dir="$CACHE" --engine=sh "${ELSEWHERE[@]}" --submit_jobs=2 "$DS" tsnr.nii
    assert_output --partial '6 files: 6 computed'
    run -0 derivctl compute -r --cache_dir="$CACHE" "$DS" tsnr.nii
    assert_output --partial '0 computed, 6 in the cache before'
}

# speaks AS: commands that speak as those of PBS or SGE do, in ./bin; they run jobs at once.
speaks() {
    mkdir -p bin
    install -m 755 "$BATS_TEST_DIRNAME/../cluster/$1" bin/qsub
    ln -sf qsub bin/qstat
    ln -sf qsub bin/qdel
    export FAKE_DIR=$BATS_TEST_TMPDIR/fake
    mkdir -p "$FAKE_DIR"
    PATH=$PWD/bin:$PATH
}

@test "PBS" {
    speaks pbs
    run -0 derivctl compute -r --cache_dir="$CACHE" --engine=pbs "${ELSEWHERE[@]}" "$DS" tsnr.nii
    assert_output --partial '6 files: 6 computed'
    grep -F -- '-l select=1:ncpus=1:mem=' "$FAKE_DIR/qsub"
    touch "$FAKE_DIR/kill"
    run ! derivctl compute --cache_dir=new --engine=pbs "${ELSEWHERE[@]}" "$DS/sub-01/func/tsnr.nii"
    assert_output --partial 'of pbs ended without a result: ENDED'
}

@test "SGE" {
    speaks sge
    run -0 derivctl compute -r --cache_dir="$CACHE" --engine=sge "${ELSEWHERE[@]}" "$DS" tsnr.nii
    assert_output --partial '6 files: 6 computed'
    touch "$FAKE_DIR/kill"
    run ! derivctl compute --cache_dir=new --engine=sge "${ELSEWHERE[@]}" "$DS/sub-01/func/tsnr.nii"
    assert_output --partial 'of sge ended without a result: state unknown, at last '
}

# Nodes of this machine that see the dataset, an image, by loop devices of their own: with other device
# numbers, but as the same file system.
start_slurm() {
    mkfs.ext4 -q -d "$DS" image 16M
    mount -o ro,loop,noload image "$DS"
    cat >node <<END
#!/bin/bash
node=\$1
shift
exec unshare -m bash -c '
    findmnt --noheadings --raw --output=TARGET,FSTYPE | grep " fuse[.]" | cut -d " " -f 1 |
        xargs --no-run-if-empty umount --lazy
    device=\$(losetup --find --show --read-only $PWD/image) || exit
    mount -o ro,noload \$device $DS || exit
    losetup --detach \$device # once it is unmounted
    exec "\$@"' node "\$@"
END
    chmod +x node
    "$BATS_TEST_DIRNAME/../cluster/slurm" start "$PWD/slurm" "$PWD/node"
    export SLURM_CONF=$PWD/slurm/slurm.conf
}

pending() {
    squeue --noheader --states=PENDING | grep -q .
}

none_queued() {
    ! squeue --noheader | grep -q .
}

@test "Slurm with two nodes, which see the dataset by devices of their own" {
    start_slurm
    mount_derivfs "$DS" --engine=slurm "${ELSEWHERE[@]}"
    cp "$MNT/group_tsnr.tsv" table
    assert_equal "$(cut -f 5 table | grep -c '[0-9]')" 3
    assert_computed_here 0
    is_right sub-02/func/tsnr.nii
    scontrol update NodeName=n1,n2 State=DRAIN Reason=test
    cat "$MNT/sub-03/func/std.nii" >std.nii # from moments: here
    printf '[z]\nexpr = zscore(bold)\n' >recipes.ini
    derivctl compute --cache_dir="$CACHE" --engine=slurm "${ELSEWHERE[@]}" --recipes=recipes.ini \
        "$DS/sub-03/func/z.nii" -o z.nii 2>log 3>&- 4>&- &
    wait_until pending
    kill -TERM $!
    wait_until none_queued # cancelled with its last reader
}
