# SPDX-License-Identifier: MIT
"""Rows on what is there already: mirrored files, cached results, listings, mounting, planning."""

import contextlib
import glob
import os
import statistics
import subprocess
import time

from harness import Row, timed

SERIES_RECIPE = "[demeaned]\nexpr = bold - mean(bold)\n"


def source(bench, data):
    """A page-cached file of the dataset, read through the mount and beside it."""
    dataset = data.big_file()
    with bench.place() as place, contextlib.ExitStack() as stack:
        stack.enter_context(bench.derivfs(dataset, place))
        stack.enter_context(bench.bindfs(dataset, place))
        places = {"direct": dataset, "derivfs": f"{place}/mnt", "bindfs": f"{place}/bindfs"}
        for where in places.values():
            timed(["cat", "file"], where)
        s = bench.contest(
            **{name: lambda at=where: timed(["cat", "file"], at) for name, where in places.items()}
        )
    work = "`cat` of a 500 MB file of the dataset"
    return [
        Row(work, "the file itself", s["derivfs"], s["direct"], at_least=0.9),
        Row("the same", "bindfs", s["derivfs"], s["bindfs"]),
    ]


def wait_for_entry(cache, nbytes):
    """Until the cache has an entry of that size: parts are joined behind the first reader."""
    end = time.monotonic() + 60
    while not any(os.stat(path).st_size == nbytes for path in glob.glob(f"{cache}/v1/objects/*/*")):
        if time.monotonic() > end:
            raise RuntimeError(f"no entry of {nbytes} bytes in {cache}")
        time.sleep(0.05)


def result(bench, data):
    """A 4-D result that has been computed and read before, and is at rest in the cache."""
    dataset = data.series()
    with bench.place() as place:
        recipes = f"{place}/recipes.ini"
        with open(recipes, "w") as file:
            file.write(SERIES_RECIPE)
        with bench.derivfs(dataset, place, f"--recipes={recipes}"):
            name = f"{place}/mnt/demeaned.nii"
            copy = f"{place}/copy.nii"
            subprocess.run(["cp", name, copy], check=True)
            wait_for_entry(f"{place}/cache", os.stat(name).st_size)
            for path in (name, copy):
                timed(["cat", path])
            s = bench.contest(
                derivfs=lambda: timed(["cat", name]), copy=lambda: timed(["cat", copy])
            )
    work = "`cat` of a cached 4-D result of 500 MB"
    return [Row(work, "a plain copy", s["derivfs"], s["copy"], at_least=0.95)]


def find(bench, data):
    """A new daemon over an old cache: what it is to come back to a dataset."""
    tree = data.tree()
    timed(["find", tree, "-ls"])

    def ours(place):
        with bench.derivfs(tree, place):
            return timed(["find", f"{place}/mnt", "-ls"])

    def peer(place):
        with bench.bindfs(tree, place):
            return timed(["find", f"{place}/bindfs", "-ls"])

    def fresh():
        with bench.place() as place:
            return ours(place)

    with bench.place() as place:
        ours(place)
        s = bench.contest(derivfs=lambda: ours(place), bindfs=lambda: peer(place), fresh=fresh)
    work = "`find -ls` of 20000 files, 2000 runs"
    return [
        Row(work, "bindfs", s["derivfs"], s["bindfs"], at_most=1.5),
        Row("the same, headers not yet known", "bindfs", s["fresh"], s["bindfs"]),
    ]


def mount(bench, data):
    """Until the first listing of the root is there."""

    def start(directory, *command):
        with bench.place() as place:
            os.mkdir(f"{place}/mnt")
            words = [*command, directory, f"{place}/mnt"]
            seconds = timed(f"{' '.join(words)} && ls {place}/mnt")
            subprocess.run(["fusermount3", "-u", f"{place}/mnt"], check=True)
            return seconds

    derivfs = (f"{bench.bin}/derivfs", f"--cache_dir={bench.work}/cache")
    bindfs = ("bindfs", "--no-allow-other")
    few, many = data.files(100), data.files(100_000)
    s = bench.contest(
        few=lambda: start(few, *derivfs),
        many=lambda: start(many, *derivfs),
        bindfs_few=lambda: start(few, *bindfs),
        bindfs_many=lambda: start(many, *bindfs),
    )
    work = "mount, first `ls` of the root: {} files"
    return [
        Row(work.format(100), "bindfs", s["few"], s["bindfs_few"], at_most=1.5),
        Row(work.format(100_000), "bindfs", s["many"], s["bindfs_many"], at_most=1.5),
        Row("the same", "derivfs with 100 files", s["many"], s["few"], at_most=1.2),
    ]


def plan(bench, data):
    """Processor time to read 50 recipes and to plan all files of a directory of 200 runs."""
    build = os.path.dirname(bench.bin)
    command = ["meson", "compile", "-C", build, "bench_plan"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    values = []
    for _ in range(bench.repeat):
        program = f"{build}/contrib/bench.d/bench_plan"
        printed = subprocess.check_output([program], text=True).split()
        values.append(float(dict(zip(printed[::2], printed[1::2]))["total_ms"]))
    return [Row("parse 50 recipes, plan 200 runs", "", values, unit="ms", at_most=50)]
