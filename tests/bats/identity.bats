#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# What a result is made from: two contents are never taken for each other, whatever the file system
# says of them; and the same content is known again, wherever it is.

load helper

R=sub-01/func/sub-01_task-x_bold.nii

# Two data sets whose files have the same names and sizes, and other voxels: d1 and d2.
setup_file() {
    make_run - <<END
$BATS_FILE_TMPDIR/1.nii --seed 1
$BATS_FILE_TMPDIR/2.nii --seed 2
END
    local i
    for i in 1 2; do
        mkdir -p "$BATS_FILE_TMPDIR/d$i/sub-01/func"
        mv "$BATS_FILE_TMPDIR/$i.nii" "$BATS_FILE_TMPDIR/d$i/$R"
    done
}

setup() {
    common_setup
    D1=$BATS_FILE_TMPDIR/d1 D2=$BATS_FILE_TMPDIR/d2
    mkdir at
}

teardown() {
    cd "$BATS_TEST_TMPDIR" || return
    local dir
    for dir in at over "$DS/sub-02"; do
        ! mounted "$(realpath "$dir")" || umount "$dir" || umount -l "$dir"
    done
    common_teardown
}

as_root() {
    [ "$EUID" = 0 ] || skip "only root may mount images"
}

# image TYPE DIR FILE: make an image of DIR, with the same times whenever it is made.
image() {
    case $1 in
    squashfs) mksquashfs "$2" "$3" -quiet -no-progress -all-time 1600000000 -mkfs-time 1600000000 ;;
    erofs) mkfs.erofs -T 1600000000 -U 01234567-89ab-cdef-0123-456789abcdef "$3" "$2" ;;
    ext4) ext4_image "$2" "$3" ;;
    esac >/dev/null 2>&1
}

# With the same UUID and times too, as reproducible builds make them.
ext4_image() {
    truncate -s 4M "$2"
    E2FSPROGS_FAKE_TIME=1600000000 SOURCE_DATE_EPOCH=1600000000 mke2fs -q -t ext4 -d "$1" \
        -U 01234567-89ab-cdef-0123-456789abcdef -E hash_seed=01234567-89ab-cdef-0123-456789abcdef "$2"
    local command
    for command in ctime mtime atime crtime; do
        debugfs -w -R "set_inode_field /$R $command 1600000000" "$2"
        debugfs -w -R "set_inode_field /$R ${command}_extra 0" "$2"
    done
}

compute() {
    derivctl compute --cache_dir="$CACHE" "$@"
}

# gives_the_mean DATASET RUN [OPTION...]: fails unless the mean is that of RUN, with the shared cache.
gives_the_mean() {
    local dataset=$1 run=$2
    shift 2
    rm -f mean.nii
    compute "$@" "$dataset/sub-01/func/mean.nii" -o mean.nii
    reference mean mean.nii "$run"
}

# one_after_the_other MOUNT UNMOUNT: `MOUNT DATA DIR` shows each data set at the same place in turn,
# and all means are right.
one_after_the_other() {
    local i
    for i in 1 2 1 2; do
        "$1" "$BATS_FILE_TMPDIR/d$i" at
        gives_the_mean at "$BATS_FILE_TMPDIR/d$i/$R"
        $2 at
    done
}

mount_image() { # of the type $TYPE
    local name=${1##*/}
    [ -e "$name.$TYPE" ] || image "$TYPE" "$1" "$name.$TYPE"
    mount -o loop,ro "$name.$TYPE" "$2"
}

@test "squashfs, erofs and ext4 images of the same times: each gives its own results" {
    as_root
    for TYPE in squashfs erofs ext4; do
        one_after_the_other mount_image umount
    done
}

mount_overlay() {
    mkdir -p over
    mount_image "$1" over
    mkdir -p empty
    mount -t overlay -o lowerdir="$PWD/over:$PWD/empty" overlay "$2"
}

unmount_overlay() {
    umount "$1" over
}

@test "overlays over such images: each gives its own results" {
    as_root
    for TYPE in squashfs erofs; do
        one_after_the_other mount_overlay unmount_overlay
    done
}

mount_squashfuse() {
    local name=${1##*/}
    [ -e "$name.squashfs" ] || image squashfs "$1" "$name.squashfs"
    squashfuse "$name.squashfs" "$2"
}

@test "images that FUSE programs show: each gives its own results" {
    one_after_the_other mount_squashfuse 'fusermount3 -u'
}

# Read eight new runs: as many stay open, and not those that were read before.
read_others() {
    local i
    for i in {1..8}; do
        make_run "$DS/other$i.nii" --seed $((10 + ++NOTHERS))
    done
    cat "$MNT"/other{1..8}_stat-std_boldmap.nii >/dev/null
}

@test "an image mounted in place of another one while the daemon runs" {
    as_root
    local i
    mkdir "$DS/sub-02"
    mount_derivfs "$DS"
    for TYPE in squashfs erofs; do
        for i in 1 2 1; do
            mount_image "$BATS_FILE_TMPDIR/d$i" "$DS/sub-02"
            wait_until test -e "$MNT/sub-02/sub-01/func/mean.nii"
            reference mean "$MNT/sub-02/sub-01/func/mean.nii" "$BATS_FILE_TMPDIR/d$i/$R"
            read_others
            umount "$DS/sub-02"
        done
    done
}

@test "derivctl identifies files as the daemon of the mount does" {
    bindfs --no-allow-other "$D1" at 3>&- 4>&-
    mount_derivfs "$PWD/at"
    cat "$MNT/sub-01/func/mean.nii" >/dev/null
    run -0 derivctl explain "$MNT/sub-01/func/mean.nii"
    assert_line 'state: cached'
    assert_line --partial 'saved: 2 of 2 tasks'
}

@test "trust_ids: inode numbers and times of a file system count for good" {
    local list
    bindfs --no-allow-other "$D1" at 3>&- 4>&-
    for list in fuse:fuse.other "$PWD/at/sub-01"; do
        gives_the_mean at "$D1/$R" --trust_ids="$list"
        mount_derivfs "$PWD/at" --trust_ids="$list"
        cat "$MNT/sub-01/func/mean.nii" >/dev/null
        assert_equal "$(metric tasks_done_total)" 0
        unmount_derivfs
        rm -r "$CACHE"
    done
    run ! derivfs --trust_ids=fuse.other:/nowhere "$PWD/at" "$MNT"
    assert_output --partial 'trust_ids=/nowhere: No such file'
}

# --- found again ----------------------------------------------------------------------------------

# known DATASET [OPTION...]: fails unless a new daemon gives the right mean of d1 from the cache.
known() {
    local dataset=$1
    shift
    mount_derivfs "$dataset" "$@"
    reference mean "$MNT/sub-01/func/mean.nii" "$D1/$R"
    assert_equal "$(metric cache_published_total)" 0
    assert_equal "$(metric tasks_failed_total)" 0
    unmount_derivfs
}

# The mean of a copy of d1 in $DS, in the cache.
computed() {
    rmdir "$DS"
    cp -r "$D1" "$DS"
    compute "$DS/sub-01/func/mean.nii"
}

@test "a copy, whatever its attributes, finds the results of the first one" {
    computed
    cp -a "$DS" archived
    known archived
    known archived # now by its attributes
    cp -r "$DS" copied
    known copied
    cp -al "$DS" linked
    known linked
    rsync -a "$DS/" synced
    known synced
    chmod g+w "$DS/$R"
    known "$DS"
    touch "$DS/$R"
    known "$DS"
    mv "$DS/$R" "$DS/sub-01/func/sub-01_task-y_bold.nii"
    known "$DS"
}

@test "images of d1, in turn on one device, find the results of the first one" {
    as_root
    computed
    for TYPE in squashfs erofs ext4; do
        mount_image "$D1" at
        known "$PWD/at"
        known "$PWD/at"
        umount at
    done
    mount_overlay "$D1" at
    known "$PWD/at"
}

@test "through FUSE, results are found" {
    computed
    mount_squashfuse "$D1" at
    known "$PWD/at"
    fusermount3 -u at
    bindfs --no-allow-other "$D1" at 3>&- 4>&-
    known "$PWD/at"
}

# A file system of the type TYPE, of a kernel's own times, with a copy of d1, in the file FILE.
make_filesystem() {
    truncate -s 320M "$2"
    "mkfs.$1" -q "$2"
    mount -o loop "$2" at
    cp -r "$D1/." at
    umount at
}

@test "file systems of the kernel are known on other devices, by their attributes alone" {
    as_root
    local first other
    for TYPE in ext4 xfs btrfs; do
        make_filesystem $TYPE $TYPE.img
        mount -o loop $TYPE.img at
        gives_the_mean at "$D1/$R"
        first=$(stat -c %d at)
        umount at
        rm -r "$CACHE/v1/names"
        other=$(losetup -f --show "$D1/$R") # so that the next device is another one
        mount -o loop $TYPE.img at
        losetup -d "$other"
        [ "$TYPE" = btrfs ] || assert [ "$first" != "$(stat -c %d at)" ]
        run -0 derivctl explain --cache_dir="$CACHE" at/sub-01/func/mean.nii
        assert_line --partial 'saved: 2 of 2 tasks'
        umount at
    done
}

# Inode numbers are in the order of looking here, and times whole seconds.
mount_sshfs() {
    mkfifo to from
    /usr/lib/openssh/sftp-server <to >from 3>&- 4>&- &
    sshfs -f -o passive :"$1" "$2" >to <from 3>&- 4>&- &
    wait_until mounted "$(realpath "$2")"
    rm to from
}

@test "sshfs: runs of one second and one size, looked at in another order, are not taken for each other" {
    local i
    mkdir four
    for i in 1 2 3 4; do
        make_run four/$i.nii --seed $i
    done
    touch -d @1600000000 four/*
    mount_sshfs "$PWD/four" at
    for i in 1 2 3 4; do
        compute at/${i}_stat-mean_boldmap.nii -o mean$i.nii
        reference mean mean$i.nii four/$i.nii
    done
    fusermount3 -u at
    mount_sshfs "$PWD/four" at
    mount_derivfs "$PWD/at"
    for i in 3 1 4 2; do
        cmp mean$i.nii "$MNT/${i}_stat-mean_boldmap.nii"
    done
    assert_equal "$(metric cache_published_total)" 0
}

@test "results of an image, or through FUSE, are found by its next daemon and by copies" {
    mount_squashfuse "$D1" at
    compute at/sub-01/func/mean.nii
    known "$PWD/at"
    fusermount3 -u at
    known "$D1"
}

@test "a file that differs in one byte from a known one has a result of its own" {
    computed
    cp -r "$D1" other
    # not in its first, middle or last block
    make_run big.nii --shape 40,40,20 --volumes 10
    cp big.nii "$DS/$R"
    cp big.nii "other/$R"
    printf '\\1' | dd of="other/$R" bs=1 seek=100000 conv=notrunc status=none
    run ! cmp "$DS/$R" "other/$R"
    compute "$DS/sub-01/func/mean.nii"
    gives_the_mean other "other/$R"
    gives_the_mean "$DS" big.nii
}

@test "compressed runs are known again, also when several threads have read them" {
    mkdir a b c
    make_run a/long.nii.gz --shape 64,64,30 --volumes 120
    make_run b/short.nii.gz
    cp b/short.nii.gz a/short.nii.gz
    zstd -q <"$D1/$R" >a/zstd.nii.zst
    compute --threads=4 a/{long,short,zstd}_stat-mean_boldmap.nii
    cp a/* c
    mount_derivfs "$PWD/c"
    cat "$MNT"/{long,short,zstd}_stat-mean_boldmap.nii >/dev/null
    assert_equal "$(metric cache_published_total)" 0
}

@test "another cache has another secret, and nobody else can read it" {
    computed
    compute --cache_dir="$PWD/other" "$DS/sub-01/func/mean.nii"
    assert_equal "$(stat -c '%s %a' "$CACHE/v1/secret" other/v1/secret | sort -u)" '16 600'
    run ! cmp "$CACHE/v1/secret" other/v1/secret
}

@test "damaged facts and secrets are made anew" {
    computed
    local file
    for file in "$CACHE"/v1/names/*; do
        echo rubbish >"$file"
    done
    cp -r "$DS" copied
    gives_the_mean copied "$D1/$R"
    cp -r "$DS" again
    known again
    : >"$CACHE/v1/secret"
    make_run new.nii --seed 3
    compute new_stat-mean_boldmap.nii
    assert_equal "$(stat -c %s "$CACHE/v1/secret")" 16
    derivctl cache clear --cache_dir="$CACHE"
    assert_equal "$(ls "$CACHE/v1/names")" ''
}

@test "results of commands that name small files are found where attributes prove nothing, too" {
    printf '[report.txt]\ncommand = cat {notes.txt}\n[large.txt]\ncommand = tail -c 5 {large}\n' >recipes.ini
    cp "$D1/$R" "$DS/run.nii"
    echo notes >"$DS/notes.txt"
    head -c 2000000 /dev/zero >"$DS/large"
    local file
    for file in report large; do
        bindfs --no-allow-other "$DS" at 3>&- 4>&-
        compute --recipes="$PWD/recipes.ini" "at/$file.txt"
        fusermount3 -u at
    done
    bindfs --no-allow-other "$DS" at 3>&- 4>&-
    mount_derivfs "$PWD/at" --recipes="$PWD/recipes.ini"
    assert_equal "$(cat "$MNT/report.txt")" notes
    assert_equal "$(metric tasks_done_total)" 0
    cat "$MNT/large.txt" >/dev/null
    assert_equal "$(metric tasks_done_total)" 1
    echo others >"$DS/notes.txt"
    wait_until eval '[ "$(cat "$MNT/report.txt")" = others ]'
}

# --- git-annex ------------------------------------------------------------------------------------

# annexed DATASET KEY FILE: DATASET's run is a link to an object of KEY, with the content of FILE.
annexed() {
    local object=$1/.git/annex/objects/Xx/1Z/$2/$2
    mkdir -p "${object%/*}" "$1/sub-01/func"
    echo '{}' >"$1/dataset_description.json" # here it begins, for derivctl
    ln -sfn "../../.git/annex/objects/Xx/1Z/$2/$2" "$1/$R"
    cp "$3" "$object"
}

# The key of FILE, which is as long as those of d1 and d2, by BACKEND.
key_of() {
    echo "$1-s$(stat -c %s "$2")--$("${3:-sha256sum}" "$2" | cut -d ' ' -f 1)${4-}"
}

gives_nothing() {
    run ! compute "$1/sub-01/func/mean.nii" -o mean.nii
    assert_output --partial 'content is not here'
}

@test "a damaged object of git-annex: its result is not that of the repaired one" {
    local key
    key=$(key_of SHA256E "$D1/$R" sha256sum .nii)
    annexed "$DS" "$key" "$D2/$R"
    gives_the_mean "$DS" "$D2/$R"
    cp "$D1/$R" "$DS/$R"
    gives_the_mean "$DS" "$D1/$R"
    annexed "$PWD/clone" "$key" "$D1/$R"
    gives_the_mean clone "$D1/$R"
}

@test "a path that looks like an annex's gives no other data set its voxels" {
    local key
    key=$(key_of SHA256E "$D1/$R" sha256sum .nii)
    mkdir hostile
    annexed "$PWD/hostile" "$key" "$D2/$R"
    gives_the_mean hostile "$D2/$R"
    # of content that is not here, its key is all that is known: it was never seen
    annexed "$DS" "$key" "$D1/$R"
    rm -r "$DS"/.git/annex/objects/*
    gives_nothing "$DS"
    annexed "$DS" "$key" "$D1/$R"
    gives_the_mean "$DS" "$D1/$R"
    gives_the_mean hostile "$D2/$R"
    rm -r hostile/.git/annex/objects/* # now it was: by the right one
    gives_the_mean hostile "$D1/$R"
}

@test "keys of each backend: content that was hashed to its key is known when it is gone" {
    local key i=0
    compute "$D1/sub-01/func/mean.nii"
    for key in "$(key_of SHA256E "$D1/$R" sha256sum .nii)" "$(key_of SHA512 "$D1/$R" sha512sum)" \
        "$(key_of MD5E "$D1/$R" md5sum .nii.gz)" "$(key_of SHA1 "$D1/$R" sha1sum)" \
        "$(key_of BLAKE2B512E "$D1/$R" b2sum .nii)" "$(key_of SHA224 "$D1/$R" sha224sum)"; do
        rm -rf "$CACHE"
        annexed "$PWD/annex$((++i))" "$key" "$D1/$R"
        compute "$PWD/annex$i/sub-01/func/mean.nii"
        rm -r "annex$i"/.git/annex/objects/*
        gives_the_mean "annex$i" "$D1/$R"
    done
    for key in WORM-s3232-m1--name.nii URL--http%c%%x "$(key_of SKEIN256 "$D1/$R")" \
        "$(key_of SHA256 "$D1/$R" md5sum)" "$(key_of SHA512 "$D2/$R" sha512sum)"; do
        annexed "$PWD/annex$((++i))" "$key" "$D1/$R"
        [[ $key != WORM* ]] || truncate -s 3232 "annex$i/$R"
        gives_the_mean "annex$i" "$D1/$R"
        rm -r "annex$i"/.git/annex/objects/*
        gives_nothing "annex$i"
    done
}

# --- checked --------------------------------------------------------------------------------------

# A run whose data breaks behind its first volumes, in $DS.
damaged_run() {
    make_run whole.nii.gz --shape 40,40,20 --volumes 40
    cp whole.nii.gz "$DS/run.nii.gz"
    local at=$(($(stat -c %s whole.nii.gz) * 3 / 4))
    head -c 64 /dev/zero | dd of="$DS/run.nii.gz" bs=1 seek=$at conv=notrunc status=none
    printf '[second]\nexpr = bold[..., 1]\n[early]\nexpr = mean(bold[..., 2:5])\n' >recipes.ini
    printf '[few]\nexpr = bold[..., 0:30]\n' >>recipes.ini
}

@test "a part of a run that is damaged further on gives no result" {
    damaged_run
    local name
    for name in second early; do
        run ! compute --recipes=recipes.ini "$DS/$name.nii" -o out.nii
        assert_output --partial 'run.nii.gz'
        assert_not_exists out.nii
    done
    cp whole.nii.gz "$DS/run.nii.gz"
    compute --recipes=recipes.ini "$DS/early.nii" -o out.nii
}

@test "chunks of a damaged run are not believed by anybody else" {
    damaged_run
    mount_derivfs "$DS" --recipes=recipes.ini
    head -c 100000 "$MNT/few.nii" >few.nii
    unmount_derivfs
    run -0 derivctl explain --cache_dir="$CACHE" --recipes=recipes.ini "$DS/few.nii"
    assert_line --partial 'saved: 0 of 1 tasks'
    # of a sound run they are, once it was read to its end
    cp whole.nii.gz "$DS/run.nii.gz"
    mount_derivfs "$DS" --recipes=recipes.ini
    head -c 100000 "$MNT/few.nii" >few.nii
    cat "$MNT/mean.nii" >/dev/null
    unmount_derivfs
    run -0 derivctl explain --cache_dir="$CACHE" --recipes=recipes.ini "$DS/few.nii"
    assert_line --partial 'saved: 1 of 1 tasks'
}

# --- explain --------------------------------------------------------------------------------------

# explained DATASET WHAT: derivctl says that the run is identified by WHAT.
explained() {
    run -0 derivctl explain --cache_dir="$CACHE" "$1/sub-01/func/mean.nii"
    assert_line "        identified by $2"
}

@test "explain says what identifies a source" {
    rmdir "$DS"
    cp -r "$D1" "$DS"
    explained "$DS" attributes
    compute "$DS/sub-01/func/mean.nii"
    explained "$DS" 'content, which was read before'
    cp -r "$DS" copied
    wait_until older_than_a_tick "copied/$R" # before that, its attributes count for nothing
    explained copied 'attributes, which are new; when it is read, its content is compared with known ones'
    compute copied/sub-01/func/mean.nii
    explained copied 'content, which was read before'
    run -0 derivctl explain --json --cache_dir="$CACHE" copied/sub-01/func/mean.nii
    assert_equal "$(json 'd["sources_identified_by"][0]' <<<"$output")" 'content, which was read before'
    bindfs --no-allow-other copied at 3>&- 4>&-
    rm -r "$CACHE"
    explained at 'attributes, for this mount and daemon only'
    annexed "$PWD/annexed" "$(key_of SHA256E "$D1/$R" sha256sum .nii)" "$D1/$R"
    compute annexed/sub-01/func/mean.nii
    rm -r annexed/.git/annex/objects/*
    explained annexed 'git-annex key, to which its content was hashed when it was here'
}

# missing DATASET NAME REASON...: explain gives these reasons, in the order of the tasks, and no other.
missing() {
    local dataset=$1 name=$2
    shift 2
    run -0 derivctl explain --cache_dir="$CACHE" ${SIZE:+--cache_size="$SIZE"} "$dataset/sub-01/func/$name"
    assert_equal "$(grep 'not in the cache' <<<"$output")" "$(printf '        not in the cache: %s\n' "$@")"
}

@test "explain says of each result why it is not in the cache" {
    local func=sub-01/func run=${R##*/} other place
    other="not computed of these runs by version 4 of 'image', or evicted"
    rmdir "$DS"
    cp -r "$D1" "$DS"
    wait_until older_than_a_tick "$DS/$R"
    missing "$DS" mean.nii "$run was not read before" "$run was not read before"
    compute "$DS/$func/mean.nii"
    run -0 derivctl explain --cache_dir="$CACHE" "$DS/$func/mean.nii"
    refute_output --partial 'not in the cache'
    missing "$DS" tsnr.nii "$other"
    place=$(grep -rl '^label moments' "$CACHE/v1/objects")
    echo rubbish >"$place"
    missing "$DS" mean.nii 'its entry is damaged; the next read replaces it'
    find "$CACHE/v1/objects" -type f -delete
    missing "$DS" mean.nii "${other/image/moments}" "$other"
    SIZE=1K missing "$DS" mean.nii 'the cache keeps no result of this size (see the option cache_size)' \
        'the cache keeps no result of this size (see the option cache_size)'
    cp -r "$D1" copied
    wait_until older_than_a_tick "copied/$R"
    place="$run was not read before; its content is compared with known ones before it is read"
    missing copied mean.nii "$place" "$place"
    make_run "$DS/$R" --volumes 9
    wait_until older_than_a_tick "$DS/$R"
    missing "$DS" mean.nii "$run has changed since it was read" "$run has changed since it was read"
    run -0 derivctl explain --json --cache_dir="$CACHE" "$DS/$func/mean.nii"
    assert_equal "$(json '[t["missing"] for t in d["tasks"]][0]' <<<"$output")" "$run has changed since it was read"
    bindfs --no-allow-other "$DS" at 3>&- 4>&-
    place="$run has attributes that count for this mount and daemon only, and was not read in it"
    missing at mean.nii "$place" "$place"
}

older_than_a_tick() {
    (($(date +%s%N) - $(date -r "$1" +%s%N) > 50000000))
}
