# SPDX-License-Identifier: MIT
"""How the first read of tsnr.nii grows: with threads, runs, volumes and voxels."""

import glob
import os

import inputs
from computing import cold, func_of, warm_up
from harness import CPUS, Row

# what grows: grids and numbers of volumes and runs
VOLUMES = (60, 120, 240, 480)
RUNS = (1, 2, 4, 8, 16)
GRIDS = ((32, 32, 15), (64, 64, 30), (128, 128, 60))


def stored_mb(directory):
    files = glob.glob(f"{func_of(directory)}/*_bold.nii*")
    return sum(os.path.getsize(path) for path in files) / 1e6


def rows_of(bench, datasets, *options):
    """One row for each (what it is, directory), all of them taking turns."""
    for _, directory in datasets:
        warm_up(func_of(directory))
    contestants = {
        what: lambda d=directory: cold(bench, d, "tsnr.nii", *options)
        for what, directory in datasets
    }
    samples = bench.contest(**contestants)
    return [
        Row(what, f"{stored_mb(directory):.1f} MB stored", samples[what])
        for what, directory in datasets
    ]


def threads(bench, data):
    rows = []
    numbers = sorted({1, CPUS} | {1 << i for i in range(CPUS.bit_length()) if 1 << i < CPUS})
    large = data.run(inputs.LARGE_GRID, 400)
    runs = (("session of 5 runs", data.session()), ("91x109x91x400 run", large))
    for number in numbers:
        named = [(f"{what}, {number} threads", directory) for what, directory in runs]
        rows += rows_of(bench, named, f"--threads={number}")
    return sorted(rows, key=lambda row: row.work.split(",")[0])


def nruns(bench, data):
    made = [(f"{n} runs of 64x64x30x60", data.run(inputs.GRID, 60, n)) for n in RUNS]
    return rows_of(bench, made)


def nvolumes(bench, data):
    made = [(f"1 run of 64x64x30x{n}", data.run(inputs.GRID, n)) for n in VOLUMES]
    return rows_of(bench, made)


def nvoxels(bench, data):
    made = [(f"1 run of {'x'.join(map(str, g))}x60", data.run(g, 60)) for g in GRIDS]
    return rows_of(bench, made)
