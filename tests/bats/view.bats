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

@test "view takes the first viewer that there is, if there is a display, and says that one needs it" {
    dataset
    DERIVFS_VIEWER="/usr/bin/mrview -mode 2" run -1 ctl view "$DS/mean.nii"
    assert_output "derivctl: $DS/mean.nii: view: /usr/bin/mrview -mode 2 needs a display, and neither DISPLAY nor \
WAYLAND_DISPLAY is set: log in with ssh -X, or set DERIVFS_VIEWER=niivue for a page in the browser"
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
    assert_equal "$(status_of -H "Host: localhost:$port" "${URL}about.json")" 200
    assert_equal "$(json '[d["name"], d["unit"], d["volumes"]]' <answer.nii)" '["tsnr.nii","no unit",1]'
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

@test "of a series the page reads, and the mount computes, what is shown: a volume, a voxel over time" {
    make_run "$DS/sub-1/sub-1_task-x_bold.nii" --shape 40,40,20 --volumes 200
    printf '[half]\nexpr = bold / 2\n' >recipes.ini
    mount_derivfs "$DS" --recipes=recipes.ini
    local name
    for name in half.nii half.nii.gz; do
        start_page "$MNT/sub-1/$name"
        assert_equal "$(metric tasks_done_total)" 0
        assert_equal "$(status_of "${URL}about.json")" 200
        assert_equal "$(json '[d["name"], d["unit"], d["volumes"]]' <answer.nii)" '["sub-1/half.nii","a.u.",200]'
        # Voxel, volume: those of the run.
        assert_equal "$(status_of "${URL}volume.nii?t=150")" 200
        /usr/bin/python3 -c 'import nibabel, numpy, sys
volume, run = nibabel.load("answer.nii"), nibabel.load(sys.argv[1])
assert volume.shape == (40, 40, 20) and numpy.array_equal(volume.affine, run.affine)
assert numpy.array_equal(volume.get_fdata(), run.dataobj[..., 150] / 2)' "$DS/sub-1/sub-1_task-x_bold.nii"
        local computed
        computed=$(metric tasks_done_total)
        [ "$computed" -lt 5 ] # of all chunks
        assert_equal "$(status_of "${URL}course.json?x=7&y=3&z=11&from=140")" 200
        /usr/bin/python3 -c 'import json, nibabel, sys
values = json.load(open("answer.nii"))
assert values == [x / 2 for x in nibabel.load(sys.argv[1]).dataobj[7, 3, 11, 140:172].tolist()], values' \
            "$DS/sub-1/sub-1_task-x_bold.nii"
        local wrong
        for wrong in 'volume.nii' 'volume.nii?t=200' 'volume.nii?t=-1' 'volume.nii?t=x' 'course.json' \
            'course.json?x=40&y=0&z=0&from=0' 'course.json?x=0&y=0&z=0&from=200' 'course.json?x=0&y=0&z=0&from=99999999999999999999'; do
            assert_equal "$(status_of "$URL$wrong")" 404
        done
        kill "$VIEW"
        wait "$VIEW"
        unmount_derivfs
        rm -r "$CACHE"
        mount_derivfs "$DS" --recipes=recipes.ini
    done
}

@test "a series in a browser: a slider for the volume, and the time course under the cross" {
    make_run "$DS/sub-1/sub-1_task-x_bold.nii" --shape 20,20,10 --volumes 70
    printf '[half]\nexpr = bold / 2\n' >recipes.ini
    mount_derivfs "$DS" --recipes=recipes.ini
    start_page "$MNT/sub-1/half.nii"
    timeout 100 chromium --headless --no-sandbox --disable-quic --no-first-run --disable-background-networking \
        --disable-component-update --disable-sync --user-data-dir="$BATS_TEST_TMPDIR/profile" \
        --use-angle=swiftshader --enable-unsafe-swiftshader --window-size=900,800 \
        --virtual-time-budget=15000 --dump-dom "$URL" 3>&- >dom.html 2>chromium.log
    run -0 cat dom.html
    assert_line --partial '<h1 id="name">sub-1/half.nii</h1>'
    assert_line --partial 'type="range" min="0" value="0" max="69"'
    assert_line --partial '>volume 0 to 69 at voxel 10, 10, 5, a.u.</text>'
    assert_line --regexp '<polyline points="([0-9.]+,[0-9.]+ ?){70}"'
    assert_line --regexp 'voxel 10, 10, 5 . x y z [-0-9.]+, [-0-9.]+, [-0-9.]+ mm . value [0-9.]+ \(a\.u\.\)'
    kill "$VIEW" 2>/dev/null || true
    wait "$VIEW" || true
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
