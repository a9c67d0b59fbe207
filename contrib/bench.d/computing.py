# SPDX-License-Identifier: MIT
"""Rows on computing: first reads of derived images."""

import glob
import os
import shutil
import sys
import time

import inputs
from harness import CPUS, ROOT, Row, peak_mib, peak_of, timed

INFLATE_ALL = f"ls *_bold.nii.gz | xargs -P {CPUS} -n 1 igzip -dc"
INFLATE_ONE_BY_ONE = "for run in *_bold.nii.gz; do igzip -dc $run; done"
CAT_ALL = f"ls *_bold.nii | xargs -P {CPUS} -n 1 cat"
ARRAYS = f"{ROOT}/contrib/bench.d/arrays.py"
RUN_TSNR = "sub-01_ses-test_task-linebisection_stat-tsnr_boldmap.nii"
RUN = "sub-01_ses-test_task-linebisection_bold.nii.gz"
MRTRIX = "mrmath -quiet {0} mean {1}/mean.nii -axis 3 -force && mrmath -quiet {0} std {1}/std.nii \
-axis 3 -force && mrcalc -quiet {1}/mean.nii {1}/std.nii -div {1}/tsnr.nii -force"
AFNI = "rm -f {1}/afni.nii && 3dTstat -cvarinvNOD -prefix {1}/afni.nii {0}"
FSL = "{2} {0} -Tmean {1}/m && {2} {0} -Tstd {1}/s && {2} {1}/m -div {1}/s {1}/t"


def func_of(dataset):
    """Where the runs of a session lie."""
    return f"{dataset}/sub-01/ses-test/func" if os.path.isdir(f"{dataset}/sub-01") else dataset


def cold(bench, dataset, name, *options, peaks=None):
    """Seconds of the first `cat` of a derived file, of a fresh mount with an empty cache.
    Appends the daemon's peak memory to `peaks`."""
    with bench.place() as place, bench.derivfs(dataset, place, *options) as process:
        seconds = timed(["cat", name], func_of(f"{place}/mnt"))
        if peaks is not None:
            peaks.append(peak_mib(process))
        return seconds


def warm_up(directory):
    timed("cat *_bold.nii*", directory)


def arrays(bench, engine, formula, directory):
    """The command of a program that uses an array library."""
    runs = sorted(glob.glob(f"{directory}/*_bold.nii*"))
    command = [sys.executable, "-W", "ignore", ARRAYS, engine, formula]
    return [*command, f"{bench.work}/{engine}.nii", *runs]


def session(bench, data):
    dataset = data.session()
    func, peaks = func_of(dataset), []
    dask = arrays(bench, "dask", "tsnr", func)
    warm_up(func)
    s = bench.contest(
        derivfs=lambda: cold(bench, dataset, "tsnr.nii", peaks=peaks),
        igzip=lambda: timed(INFLATE_ALL, func),
        dask=lambda: timed(dask),
        single=lambda: cold(bench, dataset, "tsnr.nii", "--threads=1"),
        igzip_single=lambda: timed(INFLATE_ONE_BY_ONE, func),
    )
    of_dask = peak_of(dask, func)
    work = "first `tsnr.nii` of the session (5 gzip runs)"
    inflating = f"`igzip -dc` of the runs, {CPUS} at once"
    return [
        Row(work, inflating, s["derivfs"], s["igzip"], at_most=1.15),
        Row("the same", "Dask program", s["derivfs"], s["dask"], at_most=0.10),
        Row("peak memory for it", f"Dask: {of_dask:.0f} MiB", peaks, unit="MiB", at_most=48),
        Row(
            "the same, one thread",
            "`igzip -dc`, one after the other",
            s["single"],
            s["igzip_single"],
            at_most=1.12,
        ),
    ]


def run(bench, data):
    dataset = data.session()
    func = func_of(dataset)
    warm_up(func)
    peers = {"mrtrix": MRTRIX, "3dTstat": AFNI, "fslmaths": FSL, "niimath": FSL}
    commands = {
        name: command.format(RUN, bench.work, name)
        for name, command in peers.items()
        if name == "mrtrix" or shutil.which(name)
    }
    s = bench.contest(
        derivfs=lambda: cold(bench, dataset, RUN_TSNR),
        igzip=lambda: timed(["igzip", "-dc", RUN], func),
        **{name: lambda c=command: timed(c, func) for name, command in commands.items()},
    )
    work = "first tsnr of one run (238 volumes)"
    rows = [
        Row(work, "`igzip -dc` of it", s["derivfs"], s["igzip"], at_most=0.65),
        Row(work, "`mrmath`, `mrcalc`", s["derivfs"], s["mrtrix"], at_most=0.10),
    ]
    others = (name for name in commands if name != "mrtrix")
    return rows + [Row(work, name, s["derivfs"], s[name]) for name in others]


def large(bench, data):
    """Runs on the grid of MNI152: time of 400 volumes, memory of 400 and of 1200."""
    rows = []
    for nvol, limit in ((400, 96), (1200, 192)):
        dataset, peaks = data.run(inputs.LARGE_GRID, nvol), []
        file = glob.glob(f"{dataset}/*.nii.gz")[0]
        warm_up(dataset)
        s = bench.contest(
            derivfs=lambda: cold(bench, dataset, "tsnr.nii", peaks=peaks),
            igzip=lambda: timed(["igzip", "-dc", file]),
        )
        work = f"first tsnr of a 91x109x91x{nvol} int16 gzip run"
        rows.append(Row(work, "`igzip -dc` of it", s["derivfs"], s["igzip"], at_most=0.65))
        rows.append(Row("peak memory for it", "", peaks, unit="MiB", at_most=limit))
    return rows


def odd(bench, data):
    """Runs whose gzip is not what most programs write: more threads must not make them slower."""
    rows = []
    for way, dataset in data.odd_runs().items():
        warm_up(dataset)
        s = bench.contest(
            all=lambda: cold(bench, dataset, "tsnr.nii"),
            one=lambda: cold(bench, dataset, "tsnr.nii", "--threads=1"),
        )
        rows.append(Row(f"first tsnr of a run: {way}", "one thread", s["all"], s["one"], at_most=1.1))
    return rows


def plain(bench, data):
    dataset = data.plain_session()
    func = func_of(dataset)
    warm_up(func)
    s = bench.contest(
        derivfs=lambda: cold(bench, dataset, "tsnr.nii"), cat=lambda: timed(CAT_ALL, func)
    )
    work = "first `tsnr.nii` of the session, uncompressed runs"
    return [Row(work, f"`cat` of the runs, {CPUS} at once", s["derivfs"], s["cat"], at_most=1.5)]


def read_part(path, off, nbytes):
    """Seconds of opening a file and reading a part of it."""
    begin = time.perf_counter()
    fd = os.open(path, os.O_RDONLY)
    while nbytes > 0:
        got = len(os.pread(fd, min(nbytes, 1 << 20), off))
        if got == 0:
            raise RuntimeError(f"{path} ends early")
        off += got
        nbytes -= got
    seconds = time.perf_counter() - begin
    os.close(fd)
    return seconds


def one_slice(bench, data):
    dataset = data.plain_session()
    nx, ny, nz = inputs.GRID
    slice_nbytes = nx * ny * 4
    warm_up(func_of(dataset))

    def cold_part(off, nbytes):
        with bench.place() as place, bench.derivfs(dataset, place):
            path = f"{func_of(place + '/mnt')}/tsnr.nii"
            os.stat(path)  # the headers: both need them
            return read_part(path, off, nbytes)

    s = bench.contest(
        slice=lambda: cold_part(1024 + nz // 2 * slice_nbytes, slice_nbytes),
        whole=lambda: cold_part(0, 1024 + nz * slice_nbytes),
    )
    work = f"one slice of `tsnr.nii`, uncompressed runs (share {1 / nz:.2g})"
    return [Row(work, "the whole image", s["slice"], s["whole"], at_most=round(2 / nz, 3))]


def again(bench, data):
    """Other recipes over the same runs, and one more run."""
    dataset = data.session()
    func = func_of(dataset)
    warm_up(func)
    first, others, grown, alone = [], [], [], []
    for _ in range(bench.repeat):
        with bench.place() as place, bench.derivfs(dataset, place):
            inside = func_of(f"{place}/mnt")
            first.append(timed(["cat", "tsnr.nii"], inside))
            others.append(timed(["cat", "std.nii"], inside))
            others.append(timed(["cat", "mean.nii"], inside))
        grown.append(one_more(bench, func))
        alone.append(cold(bench, dataset, RUN_TSNR))
    work = "`std.nii`, `mean.nii` after `tsnr.nii`"
    return [
        Row(work, "the first read", others, first, at_most=0.05),
        Row("`tsnr.nii` after one more run", "that run alone", grown, alone, at_most=1.1),
    ]


def one_more(bench, func):
    """Seconds of tsnr.nii when RUN has been added to the other four."""
    with bench.place() as place:
        dataset = f"{place}/dataset"
        os.mkdir(dataset)
        for path in glob.glob(f"{func}/*_bold.nii.gz"):
            if os.path.basename(path) != RUN:
                shutil.copy(path, dataset)
        with bench.derivfs(dataset, place):
            timed(["cat", "tsnr.nii"], f"{place}/mnt")
        shutil.copy(f"{func}/{RUN}", dataset)
        with bench.derivfs(dataset, place):
            return timed(["cat", "tsnr.nii"], f"{place}/mnt")
