#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# The Debian package, installed, used and removed; the tarball; the systemd unit.

# bats file_tags=release,once

load helper

installed() {
    [ "$(dpkg-query -W -f '${db:Status-Status}' derivfs 2>/dev/null)" = installed ]
}

teardown() {
    common_teardown
    [ ! -e "$BATS_TEST_TMPDIR/installed" ] || ! installed || dpkg --purge derivfs
}

# package_of LIBRARY: the package of the shared library that programs are linked with here.
package_of() {
    local file
    file=$(realpath "$(cc -print-file-name="$1.so")")
    # By its last name, because dpkg may know the file in /lib and not in /usr/lib.
    dpkg-query -S "*/${file##*/}" | cut -d : -f 1
}

# A copy of the sources that git knows, committed, since that is what a tarball is made of.
copy_sources() {
    mkdir "$1"
    (cd "$ROOT" && git ls-files -z --cached --others --exclude-standard |
        xargs -0 cp --parents -t "$1" 2>/dev/null) || true
    git -C "$1" init -q
    git -C "$1" add -A
    git -C "$1" -c user.name=test -c user.email=test@localhost commit -qm test
}

@test "a Debian package is built, installed, mounts, and is removed without a trace; so is the tarball" {
    local version deb library file
    run ! installed # one of the machine's own would be replaced
    copy_sources "$PWD/sources"
    run -0 sources/contrib/deb/build "$PWD/out"
    version=$(derivctl --version | cut -d ' ' -f 2)
    deb=$(echo out/derivfs_"${version}"_*.deb)
    assert_exists "$deb"
    run -0 dpkg-deb --field "$deb" Version Depends
    assert_line "Version: $version"
    for library in libfuse3 libmicrohttpd libcairo libgvc; do
        assert_line --regexp "^Depends: (.*, )?$(package_of $library)[ ,]"
    done

    # The tarball can be built, and packaged: in the place of the sources that it is made of, so that
    # nothing is compiled twice.
    dpkg-deb --fsys-tarfile "$deb" | tar t >contents
    rm -r "$deb" sources
    mkdir sources
    tar xf "out/derivfs-$version.tar.xz" -C sources --strip-components=1
    run -0 meson setup fresh sources
    run -0 sources/contrib/deb/build "$PWD/out"
    assert_line "$(realpath "$deb")"
    refute_output --partial tar.xz
    dpkg-deb --fsys-tarfile "$deb" | tar t | diff contents -

    run -0 dpkg-deb --contents "$deb"
    assert_output --partial './usr/share/zsh/vendor-completions/_derivfs'
    assert_output --partial './usr/lib/systemd/user/derivfs@.service'
    run lintian --fail-on error --suppress-tags bogus-mail-host,bogus-mail-host-in-debian-changelog "$deb"
    assert_success

    touch installed
    dpkg --install "$deb"
    make_run "$DS/run.nii"
    /usr/bin/derivfs --cache_dir="$CACHE" "$DS" "$MNT" 3>&- 4>&-
    reference tsnr "$MNT/tsnr.nii" "$DS/run.nii"
    run -0 /usr/bin/derivctl status "$MNT"
    # A line of fstab finds the program by itself.
    unmount_derivfs
    echo "$DS $MNT fuse.derivfs noauto,nofail,cache_dir=$CACHE 0 0" >fstab
    mount -T "$PWD/fstab" "$MNT" 3>&- 4>&-
    reference tsnr "$MNT/tsnr.nii" "$DS/run.nii"
    unmount_derivfs
    run -0 man --warnings --where derivctl
    dpkg --listfiles derivfs | grep -E '^/usr/(bin|lib|share/(man|doc/derivfs|derivfs|fish|zsh))/.*derivfs' >files
    assert [ -s files ]
    dpkg --purge derivfs
    run ! installed
    while read -r file; do
        assert_not_exists "$file"
    done <files
}

@test "the systemd unit is right, and what it starts mounts" {
    local unit=$PWD/derivfs@.service
    sed "s|@BINDIR@|$DERIVFS_BIN_DIR|" "$ROOT/contrib/systemd/derivfs@.service.in" >"$unit"
    XDG_RUNTIME_DIR=$PWD run -0 systemd-analyze verify --user --man=no "$unit"
    assert_output ''
    make_run "$DS/run.nii"
    printf 'DATASET=%s\nMOUNTPOINT=%s\nOPTIONS=--cache_dir=%s --threads=2\n' "$DS" "$MNT" "$CACHE" >study.env
    # The same line, with the same words, as systemd would start it.
    bash -c "$(sed 's/^/export /; s/=\(.*\)/="\1"/' study.env)
        $(sed -n 's/^ExecStart=//p' "$unit" | sed 's/\${\([A-Z]*\)}/"$\1"/g')" 3>&- 4>&-
    reference tsnr "$MNT/tsnr.nii" "$DS/run.nii"
    # Its daemon is killed: what the unit does then leaves no dead mount.
    DAEMON_MAY_DIE=1
    kill -KILL "$(daemon_pid)"
    MOUNTPOINT=$MNT bash -c "$(sed -n 's/^ExecStopPost=-//p' "$unit" | sed 's/[$][$]/$/g')"
    run ! mounted "$MNT"
}
