#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# .derivfs/index.html: all runs with what is known of them, in one file that computes nothing.

load helper

# browse FILE: what a browser makes of it.
browse() {
    chromium --headless --no-sandbox --disable-gpu --disable-quic --no-first-run \
        --disable-background-networking --disable-component-update --disable-sync \
        --user-data-dir="$BATS_TEST_TMPDIR/profile" --virtual-time-budget=10000 --dump-dom "file://$PWD/$1" 3>&- 2>chromium.log
}

# make_lab: six subjects with two tasks, one of two echoes, in which one run is bad, one "run" is 3-D,
# the content of one is not here, and a subject is a link that leads out.
make_lab() {
    local i
    for i in 01 02 03 04 05 06; do
        local func=$DS/sub-$i/func/sub-$i
        cat <<RUNS
${func}_task-rest_bold.nii.gz --seed $i --spread 8.$i
${func}_task-nback_echo-1_bold.nii --seed 1$i --spread 5.$i
${func}_task-nback_echo-2_bold.nii --seed 2$i --spread 11.$i
RUNS
    done | grep -v sub-04_task-nback_echo-2 >runs
    cat >>runs <<RUNS
$DS/sub-04/func/sub-04_task-nback_echo-2_bold.nii --seed 7 --spread 40
$DS/sub-05/func/sub-05_task-extra_bold.nii --volumes 0
outside/func/sub-07_task-rest_bold.nii
RUNS
    make_run - <runs
    ln -s "../.git/annex/objects/aa/bb/MD5E-s9--0.nii.gz/MD5E-s9--0.nii.gz" \
        "$DS/sub-06/func/sub-06_task-absent_bold.nii.gz"
    ln -s "$PWD/outside" "$DS/sub-07"
    echo '{"Name": "lab", "BIDSVersion": "1.8.0"}' >"$DS/dataset_description.json"
}

# cells FILE: of each row of the table the run, whether it has a median, the verdict where it stands out,
# the state, and whether it has a picture.
cells() {
    /usr/bin/python3 - "$1" <<'PYTHON'
import html, re, sys
with open(sys.argv[1], encoding="utf-8") as f:
    body = f.read().split("<tbody>")[1].split("</table>")[0]
for row in re.findall(r"<tr\b.*?(?=<tr\b|$)", body, re.S):
    name = re.search(r'<th scope="row">([^<]*)', row).group(1)
    median = re.findall(r'<td class="n" data-v="(.*?)"', row)[1]
    mark = re.findall(r'<td class="mark">([^<]+)', row)
    state = re.search(r'<td class="(cached|virtual|failed|computing|omitted)"', row).group(1)
    print(html.unescape(name).strip(), bool(median), *mark, state, " data-p=" in row)
PYTHON
}

@test "the page computes nothing, says what is there, and marks what stands out" {
    local i
    for i in 1 2 3 4 5; do
        make_run "$DS/sub-$i/sub-${i}_task-x_bold.nii" --seed $i
    done
    make_run "$DS/sub-6/sub-6_task-x_bold.nii" --spread 40
    make_run "$DS/sub-6/sub-6_task-y_bold.nii" --cut 100
    make_run "$DS/<img src=x onerror=alert(1)>\"&.nii"
    mount_derivfs "$DS"
    assert_equal "$(stat -c '%a %u' "$MNT/.derivfs/index.html")" "400 $(id -u)"
    cp "$MNT/.derivfs/index.html" before.html
    run -0 cells before.html
    assert_equal "${lines[0]}" '<img src=x onerror=alert(1)>"&.nii False virtual False'
    assert_equal "${lines[7]}" 'sub-6_task-y_bold.nii False failed False'
    assert_equal "$(metric tasks_done_total)" 0

    cat "$MNT/group_tsnr.tsv" "$MNT/sub-1/sub-1_task-x_stat-tsnr_boldmap.png" >/dev/null
    cp "$MNT/.derivfs/index.html" after.html
    run -0 cells after.html
    assert_equal "${lines[1]}" 'sub-1_task-x_bold.nii True cached True'
    assert_equal "${lines[6]}" 'sub-6_task-x_bold.nii True low cached False'

    # The names are text, the table sorts, and the file needs no other.
    sed -i 's|</html>|<script>document.querySelectorAll("thead button")[4].click()</script>&|' after.html
    browse after.html >dom.html
    run -0 cells dom.html
    assert_equal "${lines[0]}" 'sub-6_task-x_bold.nii True low cached False'
    assert_equal "${lines[7]}" 'sub-6_task-y_bold.nii False failed False'
    run ! grep -E '<img src="?x|src="?http|href=' dom.html
}

@test "table, page and compute -r name all of a dataset, and mark exactly the bad run" {
    make_lab
    mount_derivfs "$DS"
    local bad='sub-04_task-nback_echo-2_bold'
    cp "$MNT/group_tsnr.tsv" table
    cp "$MNT/.derivfs/index.html" page.html
    run derivctl compute -r "$MNT" tsnr.nii
    local said=$output
    /usr/bin/python3 - "$bad" <<'PYTHON'
import csv, sys
with open("table", newline="") as f:
    rows = list(csv.DictReader(f, delimiter="\t", quoting=csv.QUOTE_NONE))
assert [row["sub"] for row in rows] == [f"sub-0{i}" for i in (1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4,
                                                              5, 5, 5, 5, 6, 6, 6, 6, 7)]
marked = [(row["bids_name"], row["tsnr_outlier"]) for row in rows if row["tsnr_outlier"] != "no"]
assert marked == [(sys.argv[1], "low"), ("sub-05_task-extra_bold", "n/a"),
                  ("sub-06_task-absent_bold", "n/a"), ("sub-07", "n/a")], marked
z = {row["bids_name"]: float(row["tsnr_z"]) for row in rows if row["tsnr"] != "n/a"}
assert min(z, key=z.get) == sys.argv[1] and z[sys.argv[1]] < -3.5, z
assert all(row["tsnr_peers"] == "6" for row in rows if row["tsnr"] != "n/a")
reasons = {row["bids_name"]: row["reason"] for row in rows if row["reason"] != "n/a"}
assert ["3-D", "content", "link"] == [word for word, reason in zip(["3-D", "content", "link"], reasons.values())
                                      if word in reason], reasons
PYTHON
    run -0 cells page.html
    assert_equal "$(grep -E ' (low|high)' <<<"$output")" "$bad.nii True low cached False"
    run -0 cat page.html
    assert_line --regexp 'data-median=.*<h3>task-nback echo-2 bold <small>6 with a median; median '
    assert_line --regexp '<h3>task-absent bold <small>0 with a median, fewer than 5: not judged'
    local what
    for what in sub-05/func/sub-05_task-extra_bold.nii sub-06/func/sub-06_task-absent_bold.nii.gz sub-07; do
        assert_line --partial "${what##*/}"
        assert_regex "$said" "$what"
    done
}

@test "the page tells of images that are under way, failed or there, though nobody asked for numbers" {
    make_run "$DS/a.nii" --seed 1
    make_run "$DS/b.nii.gz" --seed 2 --cut 100
    make_run "$DS/c.nii" --seed 3
    make_run "$DS/d.nii.gz" --shape 40,40,20 --volumes 200
    mkdir slow
    mount_throttled "$DS" 400k slow
    mount_derivfs "$BATS_TEST_TMPDIR/slow"
    cat "$MNT/a_stat-tsnr_boldmap.nii" >/dev/null
    run ! cat "$MNT/b_stat-tsnr_boldmap.nii.gz"
    cat "$MNT/d_stat-tsnr_boldmap.png" >/dev/null 3>&- &
    local reader=$!
    is_computing() {
        cp "$MNT/.derivfs/index.html" page.html
        run -0 cells page.html
        [ "${lines[3]}" = 'd.nii.gz False computing False' ]
    }
    wait_until is_computing
    assert_equal "${lines[0]}" 'a.nii False cached False'
    assert_equal "${lines[1]}" 'b.nii.gz False failed False'
    assert_equal "${lines[2]}" 'c.nii False virtual False'
    run -0 cat page.html
    assert_line --regexp '^<p>Runs: 4, of which 1 computed, 1 computing, .*1 failed.*, 1 not computed'
    assert_line --partial 'computed, not measured'
    assert_line --partial 'inflate: gzip data ends early'
    kill "$reader"
    wait_until is_not_computing
}

is_not_computing() {
    grep -q ', 0 computing' "$MNT/.derivfs/index.html"
}

@test "no name gets out of its cell" {
    mkdir -p "$DS/x<" "$DS/y\"><svg onload=alert(1)>"
    make_run "$DS/x</script><script>alert(1)<.nii"
    make_run "$DS/y\"><svg onload=alert(1)>/--> '&amp;.nii" --seed 2
    make_run other.nii --seed 3
    mv other.nii "$DS/"$'\377\n\342\200\256.nii'
    mount_derivfs "$DS"
    cat "$MNT/group_tsnr.tsv" >table
    assert_equal "$(wc -l <table)" 4
    cp "$MNT/.derivfs/index.html" page.html
    browse page.html >dom.html
    /usr/bin/python3 - dom.html <<'PYTHON'
import sys
from html.parser import HTMLParser

KEYS = set("""class data-v data-g data-f data-c data-p data-by data-median data-low data-high scope aria-sort lang
charset name content http-equiv id hidden method type size value src alt width height loading style""".split())

class Page(HTMLParser):
    tags, text, svg = [], "", 0
    def handle_starttag(self, tag, attributes):
        self.svg += tag == "svg"
        if not self.svg:  # of the script
            assert all(key in KEYS for key, _ in attributes), (tag, attributes)
        self.tags.append(tag)
    def handle_endtag(self, tag):
        self.svg -= tag == "svg"
    def handle_data(self, data):
        self.text += data

page = Page()
page.feed(open(sys.argv[1], encoding="utf-8").read())
assert page.tags.count("script") == 1 and page.tags.count("tr") == 4 and page.tags.count("svg") <= 3, page.tags
assert "script><script>alert(1)<.nii" in page.text and "x</" in page.text and "--> '&amp;.nii" in page.text, page.text
PYTHON
}

# acts PAGE SCRIPT: what the script, which runs in the page, writes; in a browser.
acts() {
    { sed 's|</html>||' "$1" && printf '<pre id="found"></pre><script>\n%s\n</script>\n' "$2"; } >acts.html
    browse acts.html | /usr/bin/python3 -c 'import html, re, sys
print(html.unescape(re.search("<pre id=\"found\">(.*?)</pre>", sys.stdin.read(), re.S).group(1)))'
}

@test "derivctl report writes page, tables and pictures, each whole, and the page finds them" {
    make_lab
    run -1 derivctl report --cache_dir="$CACHE" "$DS" -o out/lab
    assert_line --partial 'out/lab/index.html: 19 runs, 18 of them computed'
    assert_equal "$(grep -c 'compute: ' <<<"$output")" 1 # the absent one, once
    assert_line --regexp 'sub-06_task-absent.*compute: '
    assert_equal "$(cd out/lab && echo *)" 'group_tsnr.json group_tsnr.tsv index.html pictures'
    find out -name '*.png' >pngs
    assert_equal "$(wc -l <pngs)" 18
    xargs pngcheck -q <pngs
    # As in a mount; pictures and thumbnails are inside, as they are few.
    mount_derivfs "$DS"
    cmp "$MNT/group_tsnr.tsv" out/lab/group_tsnr.tsv
    cmp "$MNT/group_tsnr.json" out/lab/group_tsnr.json
    diff "$MNT/.derivfs/index.html" out/lab/index.html
    cmp "$MNT/sub-01/func/sub-01_task-rest_stat-tsnr_boldmap.png" \
        out/lab/pictures/sub-01/func/sub-01_task-rest_stat-tsnr_boldmap.png
    assert_equal "$(metric tasks_done_total)" 0
    run -0 cells out/lab/index.html
    assert_equal "$(grep -E ' (low|high)' <<<"$output")" 'sub-04_task-nback_echo-2_bold.nii True low cached True'
    # Once more: nothing is computed again, and nothing else is left there.
    run -1 derivctl report --cache_dir="$CACHE" "$DS" -o out/lab
    assert_equal "$(cd out/lab && echo *)" 'group_tsnr.json group_tsnr.tsv index.html pictures'

    run -1 derivctl report --cache_dir="$CACHE" "$DS/sub-01" -o out
    assert_output --partial 'a report is about all of it'
    run -1 derivctl report --cache_dir="$CACHE" --cache_size=0 "$DS" -o out
    assert_output --partial 'needs a cache'
    run -2 derivctl report "$DS"
    touch file
    run -1 derivctl report --cache_dir="$CACHE" "$DS" -o file/out
    assert_output --partial 'file/out: create: '
}

@test "the page in a browser: filters, plots, the run under the pointer, and pictures in full" {
    make_lab
    derivctl report --cache_dir="$CACHE" "$DS" -o out || true
    cp out/index.html page.html
    acts page.html '
        const found = [], say = (...words) => found.push(words.join(" "));
        const shown = () => rows.filter((row) => !row.hidden).length;
        const set = (i, value) => { filter.elements[i].value = value; filter.oninput(); };
        say(document.querySelectorAll(".group svg").length, document.querySelectorAll("circle").length,
            document.querySelectorAll("circle.marked").length);
        say([...filter.querySelectorAll("label")].map((label) => label.firstChild.textContent));
        set(2, "nback"); say(shown());
        set(3, "2"); say(shown(), document.querySelectorAll("circle.off").length);
        set(2, "*"); set(3, "*"); set(0, "sub-04 REST"); say(shown());
        set(0, ""); set(4, "low"); say(rows.filter((row) => !row.hidden).map(nameOf));
        const dot = document.querySelector("circle.marked"), box = dot.getBoundingClientRect();
        const at = { clientX: box.x + 3, clientY: box.y + 3 };
        dot.ownerSVGElement.onpointermove(at);
        say(tip.hidden, tip.querySelector("b").textContent, tip.querySelector("img").src.slice(0, 15));
        dot.ownerSVGElement.onpointerleave();
        say(tip.hidden);
        set(4, "*");
        rows[0].querySelector(".p button").click();
        say(dialog.open, large.src.slice(0, 15), dialog.querySelector("span").textContent);
        dialog.querySelector("[data-by=\"1\"]").click();
        large.addEventListener("load", () => {
            const box = large.getBoundingClientRect();
            found[9] = [nameOf(current), box.width <= innerWidth && box.height <= innerHeight && box.width > 300].join(" ");
            document.querySelector("#found").textContent = found.join("\n");
        });' >found
    diff found - <<'END'
3 18 1
Name contains,sub,task,echo,Outlier,State
12
6 12
1
sub-04_task-nback_echo-2_bold.nii
false sub-04_task-nback_echo-2_bold.nii data:image/png;
true
true data:image/png; sub-01_task-nback_echo-1_bold.nii
sub-01_task-nback_echo-2_bold.nii true
END
}

@test "the page of an empty dataset, and with layout=derivatives" {
    mount_derivfs "$DS"
    run -0 grep 'Runs: 0,' "$MNT/.derivfs/index.html"
    unmount_derivfs
    make_run "$DS/sub-1/sub-1_task-x_bold.nii"
    mount_derivfs "$DS" -o layout=derivatives
    cat "$MNT/derivatives/derivfs/group_tsnr.tsv"
    run -0 grep 'Runs: 1, of which 1 computed' "$MNT/.derivfs/index.html"
}

@test "whoever makes pages and tables of a slow disk holds up nobody" {
    local i pids=()
    make_run run.nii
    for ((i = 0; i < 80; i++)); do
        mkdir "$DS/sub-$i"
        cp run.nii "$DS/sub-$i/sub-${i}_bold.nii"
    done
    mkdir slow
    mount_throttled "$DS" 20k slow
    mount_derivfs "$BATS_TEST_TMPDIR/slow"
    for ((i = 0; i < 12; i++)); do
        cat "$MNT/.derivfs/index.html" >"page$i" 3>&- &
        pids+=($!)
    done
    cat "$MNT/group_tsnr.tsv" >page12 3>&- &
    pids+=($!)
    is_opening() {
        grep -q '^257 ' "/proc/$1/syscall" # openat(2)
    }
    for i in "${pids[@]}"; do
        wait_until is_opening "$i"
    done
    run -0 cat "$MNT/.derivfs/version"
    run -0 ls "$MNT"
    kill -TERM "${pids[@]}" # all are waiting still
    for i in "${pids[@]}"; do
        run ! wait "$i"
    done
    assert_equal "$(cat page*)" ''
}
