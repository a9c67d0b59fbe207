#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# The command line of derivfs: options in every form, what is refused, and odd paths.

load helper

# status_of FIELD...: from status.json, separated by blanks; "cache.dir" is a field of a field.
status_of() {
    /usr/bin/python3 - "$MNT/.derivfs/status.json" "$@" <<'PYTHON'
import functools, json, sys

status = json.load(open(sys.argv[1]))
print(*[functools.reduce(dict.get, name.split("."), status) for name in sys.argv[2:]])
PYTHON
}

# Fails unless `derivfs ARGUMENT...` fails with one line on stderr, says nothing on stdout, and
# mounts nothing. The line is in $output.
refused() {
    # shellcheck disable=SC2154
    run --separate-stderr derivfs "$@"
    assert_failure
    assert_output ''
    assert_equal "${#stderr_lines[@]}" 1
    local said=$stderr
    run ! mounted "$MNT"
    output=$said # the next run has replaced both
    assert_output --regexp '^derivfs: .'
}

write_recipe() {
    mkdir -p "$(dirname "$1")"
    printf '[%s]\nexpr = mean(bold) * 2\n' "$2" >"$1"
}

# --- options --------------------------------------------------------------------------------------

# Fails unless the mount is as in the next two tests.
assert_all_options_hold() {
    assert_equal "$(status_of cache.dir cache.max_bytes threads memory_bytes layout annex recipes)" \
        "$BATS_TEST_TMPDIR/other 3221225472 3 268435456 derivatives get $BATS_TEST_TMPDIR/my.ini"
    local dir=$MNT/derivatives/derivfs
    assert_equal "$(getfattr --only-values -n user.derivfs.state "$dir/tsnr.nii")" virtual
    cat "$dir/doubled.nii" >/dev/null
    assert_dir_exists "$BATS_TEST_TMPDIR/other"
}

@test "every option works as --name=value" {
    make_run "$DS/a.nii"
    write_recipe my.ini doubled
    derivfs --cache_dir="$BATS_TEST_TMPDIR/other" --cache_size=3G --threads=3 --memory=256M \
        --recipes="$BATS_TEST_TMPDIR/my.ini" --layout=derivatives --annex=get --xattr \
        --log_level=error \
        "$DS" "$MNT" 3>&- 4>&-
    assert_all_options_hold
}

@test "every option works as -o name=value, one by one" {
    make_run "$DS/a.nii"
    write_recipe my.ini doubled
    derivfs "$DS" "$MNT" -o cache_dir="$BATS_TEST_TMPDIR/other" -o cache_size=3145728K -o threads=3 \
        -o memory=268435456 -o recipes="$BATS_TEST_TMPDIR/my.ini" -o layout=derivatives \
        -o annex=get -o xattr -o log_level=debug 3>&- 4>&-
    assert_all_options_hold
}

@test "every option works in one -o list, among FUSE's own options" {
    make_run "$DS/a.nii"
    write_recipe my.ini doubled
    derivfs -o "cache_dir=$BATS_TEST_TMPDIR/other,cache_size=3G,max_threads=4,threads=3,memory=0.25G,\
recipes=$BATS_TEST_TMPDIR/my.ini,allow_other,layout=derivatives,annex=get,xattr=on,log_level=warn" \
        "$DS" "$MNT" 3>&- 4>&-
    assert_all_options_hold
    grep -F " $MNT " /proc/self/mountinfo | grep -q allow_other
}

@test "the mount is read-only, nosuid, nodev and checks permissions, whatever is asked for" {
    mount_derivfs "$DS" -o rw,suid,dev
    run -0 grep -F " $MNT " /proc/self/mountinfo
    assert_output --regexp " ro,nosuid,nodev.* fuse\.derivfs $DS ro,.*default_permissions"
}

@test "log_level=error tells of failures only, the other levels of warnings too" {
    local level
    make_run "$DS/broken.nii.gz" --cut 300
    make_run "$DS/sub/a.nii"
    : >file # no directory, so nothing can be kept
    for level in error warn info debug; do
        LOG=$BATS_TEST_TMPDIR/$level.log
        mount_derivfs_foreground "$DS" --log_level=$level --cache_dir=file/cache
        run ! cat "$MNT/tsnr.nii"
        cat "$MNT/sub/tsnr.nii" >/dev/null
        unmount_derivfs
        wait "$DAEMON"
        grep -q '^derivfs: error: .*broken.nii.gz' $level.log
    done
    run ! grep -q 'warning' error.log
    for level in warn info debug; do
        grep -q '^derivfs: warning: .*file/cache: Not a directory' $level.log
    done
}

@test "--help and --version exit with 0, and help names every option" {
    local option
    for option in -h --help; do
        run -0 --separate-stderr derivfs $option
        for name in cache_dir cache_size threads memory recipes layout annex xattr log_level \
            allow_other; do
            assert_line --regexp "^ +-o $name"
        done
        assert_equal "$stderr" ''
    done
    for option in -V --version; do
        run -0 derivfs $option
        assert_line --index 0 --regexp '^derivfs [0-9]+\.[0-9]+\.[0-9]+$'
    done
}

@test "unknown options and bad values are refused with one line" {
    refused --bogus "$DS" "$MNT"
    assert_output --partial '--bogus'
    refused -o bogus=3 "$DS" "$MNT"
    assert_output --partial 'bogus=3'
    refused --threads "$DS" "$MNT"
    local value
    for value in threads=0 threads=-1 threads=x threads=2x threads= threads=99999999999 \
        cache_size=x cache_size=-1 cache_size=5Q cache_size= memory=big memory=nan layout=above \
        annex=maybe annex= log_level=loud log_level= xattr=maybe recipes=/nowhere/recipes.ini; do
        refused --cache_dir="$CACHE" --"$value" "$DS" "$MNT"
        assert_output --partial "$value"
        refused --cache_dir="$CACHE" -o "$value" "$DS" "$MNT"
        assert_output --partial "$value"
    done
}

@test "wrong operands are refused with one line that says why" {
    refused
    assert_output --partial 'DATASET MOUNTPOINT'
    refused "$DS"
    assert_output --partial 'DATASET MOUNTPOINT'
    refused "$DS" "$MNT" "$MNT"
    assert_output --partial 'DATASET MOUNTPOINT'
    echo x >file
    refused "$DS" nowhere
    assert_output --regexp '/nowhere: .*No such file or directory \(make the directory first\)$'
    refused "$DS" file
    assert_output --regexp '/file: .*not a directory \(name an empty one\)$'
    refused nowhere "$MNT"
    assert_output --regexp 'nowhere: .*No such file'
    refused file "$MNT"
    assert_output --regexp '/file: .*Not a directory'
}

@test "a mount point inside the dataset is refused; one that is not empty is told of" {
    make_run "$DS/a.nii"
    mkdir "$DS/mnt" "$BATS_TEST_TMPDIR/dataset-2"
    refused "$DS" "$DS/mnt"
    assert_output --regexp "^derivfs: $DS/mnt: cannot be mounted on: it is inside the dataset.*choose a directory elsewhere"
    ln -s "$DS/mnt" link
    refused "$DS" link
    # A name that only starts like the dataset's is elsewhere.
    derivfs --cache_dir="$CACHE" "$DS" "$BATS_TEST_TMPDIR/dataset-2" 3>&- 4>&-
    fusermount3 -u "$BATS_TEST_TMPDIR/dataset-2"
    echo x >"$MNT/file"
    derivfs --cache_dir="$CACHE" "$DS" "$MNT" 2>notice 3>&- 4>&-
    assert_equal "$(cat notice)" "derivfs: $MNT: not empty: the mount hides its contents"
    reference tsnr "$MNT/tsnr.nii" "$DS/a.nii"
}

@test "without /dev/fuse it is said what works all the same" {
    run -1 unshare --mount bash -c 'mount -t tmpfs none /dev && exec derivfs "$@"' - \
        --cache_dir="$CACHE" "$DS" "$MNT"
    assert_output --partial 'derivctl compute works without'
}

@test "mounting a second time on the same mount point is refused, and leaves the first working" {
    make_run "$DS/a.nii"
    mount_derivfs "$DS"
    run --separate-stderr derivfs --cache_dir="$CACHE" "$DS" "$MNT"
    assert_failure
    assert_equal "${#stderr_lines[@]}" 1
    assert_equal "${stderr#*: }" "$MNT: a derivfs is mounted there already (fusermount3 -u $MNT)"
    assert_equal "$(grep -cF " $MNT " /proc/self/mountinfo)" 1
    reference tsnr "$MNT/tsnr.nii" "$DS/a.nii"
}

@test "-f stays in the foreground, -d as well and tells what is asked" {
    mount_derivfs_foreground "$DS"
    assert_equal "$(cat "$MNT/.derivfs/version")" "$(derivfs -V 2>/dev/null | head -1)"
    kill -0 "$DAEMON"
    unmount_derivfs
    wait "$DAEMON"
    derivfs -d --cache_dir="$CACHE" "$DS" "$MNT" >"$LOG" 2>&1 3>&- 4>&- &
    DAEMON=$!
    wait_until mounted "$MNT"
    ls "$MNT"
    kill -0 "$DAEMON"
    unmount_derivfs
    wait "$DAEMON"
    grep -q READDIR "$LOG"
}

@test "-s serves with a single thread, also while something is computed" {
    make_run "$DS/a.nii"
    mount_derivfs_foreground "$DS" -s
    assert_equal "$(status_of dataset)" "$DS"
    reference tsnr "$MNT/tsnr.nii" "$DS/a.nii"
    reference std "$MNT/std.nii" "$DS/a.nii"
    kill -TERM "$DAEMON"
    wait "$DAEMON"
}

@test "auto_unmount takes the mount down when the daemon is killed" {
    DAEMON_MAY_DIE=1
    mount_derivfs_foreground "$DS" -o auto_unmount
    ls "$MNT"
    kill -KILL "$DAEMON"
    wait "$DAEMON" || true
    not_mounted() { ! mounted "$MNT"; }
    wait_until not_mounted
}

# A killed process releases its highest descriptors first, and fusermount3 looks at the mount when its
# socket ends: by then the connection must have ended.
@test "with auto_unmount the daemon has /dev/fuse at a higher descriptor than fusermount3's socket" {
    highest() { find "/proc/$DAEMON/fd" -lname "$1" -printf '%f\n' | sort -n | tail -n 1; }
    mount_derivfs_foreground "$DS" -o auto_unmount
    cat "$MNT/.derivfs/version"
    assert [ "$(highest /dev/fuse)" -gt "$(highest 'socket:*')" ]
    kill -TERM "$DAEMON"
    wait "$DAEMON"
    run ! mounted "$MNT"
}

# --- mount(8) -------------------------------------------------------------------------------------

# mount(8) starts the helper mount.fuse, which looks for derivfs in the places of installed programs.
# as_installed SCRIPT: run SCRIPT where the programs are in /usr/local/bin: in a namespace of mounts
# of its own, so that nothing of this shows outside.
as_installed() {
    export DS MNT CACHE NUMPY
    unshare --mount bash -euc "mount --bind '$DERIVFS_BIN_DIR' /usr/local/bin; $1" 3>&- 4>&-
}

@test "mount -t fuse.derivfs works, with the options that fstab and systemd know" {
    make_run "$DS/a.nii"
    run -0 as_installed '
        mount -t fuse.derivfs "$DS" "$MNT" -o "ro,defaults,user,noauto,nofail,_netdev,relatime,\
x-systemd.automount,x-systemd.idle-timeout=60,allow_other,cache_dir=$CACHE,threads=3,layout=derivatives"
        cp "$MNT/.derivfs/status.json" .
        "$NUMPY/reference.py" tsnr "$MNT/derivatives/derivfs/tsnr.nii" "$DS/a.nii"
        findmnt -n -o SOURCE,FSTYPE,FS-OPTIONS "$MNT"
        umount "$MNT"'
    assert_output --regexp "^$DS +fuse\.derivfs +ro,.*allow_other"
    grep -q '"threads": 3' status.json
    grep -qF "\"dir\": \"$CACHE\"" status.json
}

@test "a line of fstab works" {
    make_run "$DS/a.nii"
    echo "$DS $MNT fuse.derivfs noauto,user,ro,nofail,_netdev,cache_dir=$CACHE,threads=3 0 0" >fstab
    run -0 as_installed '
        mount -T "$PWD/fstab" "$MNT"
        cp "$MNT/.derivfs/status.json" .
        "$NUMPY/reference.py" mean "$MNT/mean.nii" "$DS/a.nii"
        umount "$MNT"'
    grep -q '"threads": 3' status.json
}

@test "every other option of FUSE, mount(8) and fstab works, or fails before exit status 0" {
    local option status
    make_run "$DS/a.nii" --shape 32,32,16
    for option in blksize=4096 blkdev fd=99 rootmode=40000 user_id=1000 max_read={0,1,4097,65536,9999999,-1,x} \
        noatime sync dirsync async nodiratime silent loud nonempty nosymfollow helper=x uhelper=y comment=a b-junk \
        x-anything X-mount.mkdir context=x noexec,dev,suid,rw default_permissions clone_fd max_threads={1,x} \
        max_idle_threads={0,-1} subtype=other fsname=other remount; do
        status=0
        derivfs --cache_dir="$CACHE" -o "$option" "$DS" "$MNT" >said 2>&1 3>&- 4>&- || status=$?
        if [ $status -eq 0 ]; then
            assert_equal "$option $(cat said)" "$option "
            mounted "$MNT"
            reference mean "$MNT/mean.nii" "$DS/a.nii"
            unmount_derivfs
        else
            run ! mounted "$MNT"
            assert_equal "$option $(wc -l <said)" "$option 1"
        fi
        case $option in
        *time | silent | helper=* | x-* | max_read=65536 | nosymfollow) assert_equal "$option $status" "$option 0" ;;
        esac
    done
}

@test "nosymfollow: links in the mount are not followed" {
    echo text >"$DS/file"
    ln -s file "$DS/link"
    mount_derivfs "$DS" -o nosymfollow
    assert_equal "$(readlink "$MNT/link")" file
    run ! cat "$MNT/link"
    assert_output --partial 'Too many levels of symbolic links'
    run -0 cat "$MNT/file"
    run -0 grep -F " $MNT " /proc/self/mountinfo
    assert_output --regexp ' ro,nosuid,nodev,'
}

@test "mount -t fuse.derivfs fails where derivfs does" {
    run -1 as_installed 'mount -t fuse.derivfs "$DS/nowhere" "$MNT" -o cache_dir="$CACHE"'
    assert_output --partial "$DS/nowhere: open dataset: No such file or directory"
}

# --- paths ----------------------------------------------------------------------------------------

@test "relative paths mean what they mean when derivfs is started" {
    make_run "$DS/a.nii"
    write_recipe dataset/../my.ini doubled
    mkdir here
    cd here
    derivfs --cache_dir=../cache --recipes=../my.ini ../dataset ../mnt 3>&- 4>&-
    assert_equal "$(realpath "$(status_of cache.dir)")" "$CACHE"
    cat "$MNT/doubled.nii" >/dev/null
    reference tsnr "$MNT/tsnr.nii" "$DS/a.nii"
    assert_dir_not_exists cache
    fusermount3 -u ../mnt
}

@test "dataset, mount point and cache may have blanks, commas and colons in their names" {
    make_run "$DS/a, b: c/d.nii"
    mkdir "mount, it: here"
    derivfs "$DS/a, b: c" "mount, it: here" --cache_dir="$BATS_TEST_TMPDIR/ca, c: he" 3>&- 4>&-
    reference tsnr "mount, it: here/tsnr.nii" "$DS/a, b: c/d.nii"
    cmp "mount, it: here/d.nii" "$DS/a, b: c/d.nii"
    assert_dir_exists "ca, c: he"
    assert_equal "$(findmnt -n -o SOURCE "$BATS_TEST_TMPDIR/mount, it: here")" "$DS/a, b: c"
    run derivfs "$DS/a, b: c" "mount, it: here"
    assert_failure
    assert_output --partial 'mounted there already'
    fusermount3 -u "mount, it: here"
}

@test "the dataset may be its own mount point" {
    make_run "$DS/func/a.nii"
    cp "$DS/func/a.nii" original.nii
    MNT=$DS
    mount_derivfs "$DS"
    cmp "$DS/func/a.nii" original.nii
    reference tsnr "$DS/func/tsnr.nii" original.nii
    run ! touch "$DS/new"
    unmount_derivfs
    assert_equal "$(ls "$DS/func")" a.nii
}

@test "layout=derivatives shows derived files under derivatives/derivfs and none beside the runs" {
    make_sample "$DS/sample"
    mkdir "$DS/derivatives"
    echo other >"$DS/derivatives/other"
    mount_derivfs "$DS" --layout=derivatives
    run -1 diff -rq "$DS" "$MNT"
    assert_output "Only in $MNT/derivatives: derivfs"
    run ! ls "$MNT/sample/sub-01/ses-test/func/tsnr.nii"
    local dir=$MNT/derivatives/derivfs/sample/sub-01/ses-test/func
    assert_equal "$(ls "$dir" | grep -c '\.nii$')" 8
    reference tsnr "$dir/tsnr.nii" "$DS"/sample/sub-01/ses-test/func/*_bold.nii.gz
    run ! ls "$MNT/derivatives/derivfs/nowhere"
    run ! touch "$dir/new"
    assert_output --partial 'Read-only file system'
}

@test "recipes=FILE adds a recipe to the built-in ones" {
    make_run "$DS/a.nii"
    write_recipe my.ini doubled
    mount_derivfs "$DS" --recipes=my.ini
    grep -qx '\[doubled\]' "$MNT/.derivfs/recipes.ini"
    grep -qx '\[tsnr\]' "$MNT/.derivfs/recipes.ini"
    run -0 /usr/bin/python3 -c 'import nibabel, numpy, sys
doubled, mean = [nibabel.load(f"{sys.argv[1]}/{name}.nii").get_fdata() for name in ("doubled", "mean")]
numpy.testing.assert_allclose(doubled, 2 * mean, rtol=1e-6)' "$MNT"
}

@test "without options, cache and recipes are where XDG says, else in the home directory" {
    make_run "$DS/a.nii"
    write_recipe "$XDG_CONFIG_HOME/derivfs/recipes.ini" doubled
    export HOME=$BATS_TEST_TMPDIR/home
    mkdir "$HOME"
    derivfs "$DS" "$MNT" 3>&- 4>&-
    assert_equal "$(status_of cache.dir recipes)" \
        "$XDG_CACHE_HOME/derivfs $XDG_CONFIG_HOME/derivfs/recipes.ini"
    cat "$MNT/doubled.nii" >/dev/null
    assert_equal "$(status_of cache.entries cache.max_bytes threads)" "2 10737418240 $(nproc)"
    assert_equal "$(ls "$HOME")" ''
    unmount_derivfs
    unset XDG_CACHE_HOME XDG_CONFIG_HOME
    derivfs "$DS" "$MNT" 3>&- 4>&-
    assert_equal "$(status_of cache.dir recipes)" "$HOME/.cache/derivfs None"
    unmount_derivfs
    write_recipe "$HOME/.config/derivfs/recipes.ini" doubled
    derivfs "$DS" "$MNT" 3>&- 4>&-
    assert_equal "$(status_of recipes)" "$HOME/.config/derivfs/recipes.ini"
}
