#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# derivctl view: which viewer is started with what; the page, who may see it, and when it ends.

load helper

setup() {
    common_setup
    export DERIVFS_NIIVUE=$ROOT/contrib/viewer/node_modules/@niivue/niivue/dist/niivue.umd.js
    export TMPDIR=$BATS_TEST_TMPDIR/tmp
    mkdir "$TMPDIR"
    unset DISPLAY WAYLAND_DISPLAY DERIVFS_VIEWER
}

dataset() {
    make_run "$DS/run.nii" "$@"
}

ctl() {
    derivctl --cache_dir="$CACHE" "$@"
}

# A program that writes what it is started with into the file "shown".
make_viewer() {
    mkdir -p "$(dirname "$1")"
    printf '#!/bin/sh\nprintf "%%s\\n" "%s" "$@" >"%s"\nfor last; do :; done\ncp "$last" "%s"\n' \
        "${1##*/}" "$BATS_TEST_TMPDIR/shown" "$BATS_TEST_TMPDIR/image.nii" >"$1"
    chmod +x "$1"
}

# start_page PATH: `derivctl view --no-open PATH` in the background, as $VIEW; its address in $URL.
start_page() {
    derivctl --cache_dir="$CACHE" view --no-open "$1" >url 2>hint 3>&- &
    VIEW=$!
    wait_until grep -q . url
    URL=$(cat url)
}

# status_of CURL-ARGUMENT...: the status of the answer.
status_of() {
    curl -s -o answer.nii -w '%{http_code}' "$@"
}

@test "view without a mount: computed, and a copy of its own name given to \$DERIVFS_VIEWER" {
    dataset
    make_viewer "$BATS_TEST_TMPDIR/my viewer"
    export DERIVFS_VIEWER="'$BATS_TEST_TMPDIR/my viewer' -x"
    run -0 ctl view "$DS/tsnr.nii"
    assert_output ''
    assert_equal "$(sed -n '1,2p' shown)" $'my viewer\n-x'
    assert_regex "$(sed -n 3p shown)" "^$TMPDIR/derivctl-view\..*/tsnr.nii$"
    reference tsnr image.nii "$DS/run.nii"
    assert_equal "$(ls -A "$TMPDIR")" ''
}

@test "view in a mount: the path itself, computed before" {
    dataset
    mount_derivfs "$DS"
    make_viewer "$BATS_TEST_TMPDIR/viewer"
    DERIVFS_VIEWER=$BATS_TEST_TMPDIR/viewer run -0 derivctl view "$MNT/tsnr.nii.gz"
    assert_equal "$(cat shown)" "viewer"$'\n'"$MNT/tsnr.nii.gz"
    assert_equal "$(metric tasks_done_total)" 0
}

@test "view takes the first viewer that there is, if there is a display" {
    dataset
    make_viewer bin/mricron
    make_viewer bin/itksnap
    ln -s "$(command -v cp)" "$(command -v derivctl)" bin
    DISPLAY=:99 PATH=$PWD/bin run -0 ctl view "$DS/mean.nii"
    assert_regex "$(cat shown)" $'^itksnap\n-g\n.*/mean.nii$'
}

@test "view: what is wrong is said with the next step" {
    dataset
    run -1 env DERIVFS_VIEWER=no-such-program derivctl --cache_dir="$CACHE" view "$DS/tsnr.nii"
    assert_line --partial "derivctl: $DS/tsnr.nii: view: no-such-program: exit status 127 (no such program? see \$DERIVFS_VIEWER)"
    run -1 env DERIVFS_VIEWER=false derivctl --cache_dir="$CACHE" view "$DS/tsnr.nii"
    assert_output "derivctl: $DS/tsnr.nii: view: false: exit status 1"
    DERIVFS_NIIVUE=$PWD/nowhere run -1 ctl view "$DS/tsnr.nii"
    assert_output --partial 'set DERIVFS_VIEWER to a program, or run contrib/setup view to get NiiVue'
    run -1 ctl view "$DS"
    assert_output "derivctl: $DS: view: takes one derived image, .nii or .nii.gz"
    run -1 ctl view "$DS/run.nii"
    assert_output --partial 'not a derived one'
    run -2 ctl view
    make_run "$DS/sub/sub-01_task-a_bold.nii" --cut 100
    run -1 ctl view --no-open "$DS/sub/tsnr.nii"
    assert_output --regexp '^derivctl: tsnr.nii: compute: .*sub-01_task-a_bold.nii'
    assert_equal "$(ls -A "$TMPDIR")" ''
}

@test "the page is for who knows the address alone, and serves three files" {
    dataset
    start_page "$DS/tsnr.nii"
    assert_regex "$URL" '^http://127\.0\.0\.1:[0-9]+/[0-9a-f]{32}/$'
    local base=${URL%/*/} port=${URL#http://127.0.0.1:}
    port=${port%%/*}
    assert_equal "$(status_of "$URL")" 200
    assert_equal "$(status_of -H "Host: localhost:$port" "${URL}name")" 200
    assert_equal "$(cat answer.nii)" tsnr.nii
    assert_equal "$(status_of "${URL}image.nii")" 200
    reference tsnr answer.nii "$DS/run.nii"
    assert_equal "$(status_of "${URL}niivue.js")" 200
    cmp answer.nii "$DERIVFS_NIIVUE"
    # Another token, none, one cut short, another name for the host, other paths, other methods.
    local wrong
    for wrong in "$base/" "$base/$(tr 0-9a-f 1-9a-f0 <<<"${URL: -33:32}")/" "${URL%??}/" \
        "${URL%/}" "${URL}../../etc/passwd" "${URL}%2e%2e/image.nii" "${URL}run.nii"; do
        assert_equal "$(status_of --path-as-is "$wrong")" 404
    done
    assert_equal "$(status_of -H "Host: evil.example:$port" "$URL")" 404
    assert_equal "$(status_of --http1.0 -H "Host:" "$URL")" 404
    # HTTP/1.1 requires the header: newer versions of libmicrohttpd refuse the request by themselves.
    assert_regex "$(status_of -H "Host:" "$URL")" '^(404|400)$'
    assert_equal "$(status_of -X POST -d x "$URL")" 405
    # Only on loopback.
    run -0 ss -Hltn "sport = :$port"
    assert_output --partial "127.0.0.1:$port"
    assert_equal "${#lines[@]}" 1
    run -0 curl -sI "$URL"
    assert_line --regexp "^Content-Security-Policy: default-src 'none'"
    kill "$VIEW" # SIGINT is ignored by what is started in the background
    wait "$VIEW"
    assert_equal "$(ls -A "$TMPDIR")" ''
}

@test "xdg-open gets an address that works once; a signal meanwhile leaves nothing behind" {
    dataset
    mkdir bin
    cat >bin/xdg-open <<'END' # which goes on, as one does that is the browser itself
#!/bin/sh
echo $$ >opener
printf %s "$1" >opened
exec tail -f /dev/null
END
    chmod +x bin/xdg-open
    DISPLAY=:99 PATH=$PWD/bin:$PATH DERIVFS_VIEWER=niivue \
        derivctl --cache_dir="$CACHE" view "$DS/tsnr.nii" >url 3>&- &
    VIEW=$!
    wait_until test -s opened
    local ticket token
    ticket=$(cat opened)
    token=$(sed 's|.*:[0-9]*/\(.*\)/|\1|' url)
    refute_regex "$ticket" "$token"
    assert_equal "$(status_of -X POST "$ticket")" 404
    assert_equal "$(status_of -I "$ticket")" 404
    assert_equal "$(curl -s -o answer.nii -w '%{redirect_url}' "$ticket")" "$(cat url)"
    assert_equal "$(status_of "$ticket")" 404
    assert_equal "$(status_of "$(cat url)")" 200
    kill "$VIEW"
    wait "$VIEW"
    kill "$(cat opener)"
    assert_equal "$(ls -A "$TMPDIR")" ''
}

@test "the page stays for as long as one of its tabs is open" {
    dataset
    start_page "$DS/tsnr.nii"
    curl -sf "${URL}alive?tab=1"
    curl -sf "${URL}alive?tab=2"
    curl -sf "${URL}bye?tab=1"
    run -124 timeout 4 tail --pid="$VIEW" -f /dev/null # three seconds after the last it would end
    curl -sf "${URL}bye?tab=2"
    wait "$VIEW"
}

@test "the page shows the image in a browser, and ends when it is closed" {
    dataset --shape 40,40,20
    start_page "$DS/tsnr.nii"
    assert_equal "$(cat hint)" 'derivctl: open it in a browser on this machine; Ctrl-C ends it'
    chromium --headless --no-sandbox --disable-quic --no-first-run --disable-background-networking \
        --disable-component-update --disable-sync --user-data-dir="$BATS_TEST_TMPDIR/profile" \
        --use-angle=swiftshader --enable-unsafe-swiftshader --window-size=800,600 \
        --virtual-time-budget=15000 --screenshot="$PWD/shot.png" "$URL" 3>&- >chromium.log 2>&1
    # viridis goes from dark violet over green to yellow: the image and its colour bar have them all.
    run -0 /usr/bin/python3 -c 'import sys
from PIL import Image

def near(pixel, colour):
    return max(abs(a - b) for a, b in zip(pixel, colour)) < 25

picture = Image.open("shot.png").convert("RGB")
image = list(picture.crop((0, 60, 800, 500)).getdata())
for colour in (68, 1, 84), (33, 145, 140), (253, 231, 37):
    count = sum(near(pixel, colour) for pixel in image)
    assert count > 20, (colour, count)'
    # Chromium has gone, and so has the page.
    wait "$VIEW"
    run ! curl -s "$URL"
    assert_equal "$(ls -A "$TMPDIR")" ''
}
