# SPDX-License-Identifier: MIT
"""The data that contrib/bench measures on. Made once, kept in a directory, quickly: voxels are
noise on a smooth head, which igzip compresses to what real runs come to (a ratio of about 1.9)."""

import glob
import math
import os
import shutil
import struct
import subprocess
import zlib

import numpy as np

from harness import ROOT

GRID = (64, 64, 30)  # of the sample session
LARGE_GRID = (91, 109, 91)  # MNI152, 2 mm
BIG_NBYTES = 500_000_000
BLOCK_NVOX = 1 << 22


def header(shape):
    """The 352 bytes before the voxels of an int16 NIfTI-1 file."""
    dim = [len(shape), *shape] + [1] * (7 - len(shape))
    pixdim = [1, 2, 2, 2, 2.5, 0, 0, 0]
    affine = [2, 0, 0, -90, 0, 2, 0, -90, 0, 0, 2, -90]
    fields = [348, *dim, 4, 16, *pixdim, 352, 1, 0, 2 | 8, 0, 1, *affine, b"n+1"]
    return struct.pack("<i36x8h14x2h2x8f3f3xB128x2h24x12f16x4s4x", *fields)


def volumes(grid, nvol):
    """Blocks of volumes as bytes. Noise repeats only after 2^23 samples: nothing that gzip sees."""
    axes = [np.linspace(-1, 1, n, dtype="f4") for n in grid[::-1]]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    head = 1200 * np.exp(-2 * (x * x + y * y + z * z)) * (x * x + y * y < 1)
    noise = np.random.default_rng(91).normal(0, 30, 1 << 23).astype("f4")
    nvox = head.size
    some = max(1, BLOCK_NVOX // nvox)
    for vol0 in range(0, nvol, some):
        n = min(some, nvol - vol0)
        begin = np.random.default_rng(vol0).integers(noise.size - 1)
        rolled = np.resize(np.roll(noise, -begin), n * nvox).reshape(n, *head.shape)
        yield np.where(head > 0, head + rolled, 0).astype("<i2").tobytes()


def write_run(path, grid, nvol):
    """A run, compressed with igzip if the name says so."""
    if not path.endswith(".gz"):
        with open(path, "wb") as out:
            out.write(header((*grid, nvol)))
            out.writelines(volumes(grid, nvol))
        return
    with open(path, "wb") as out:
        igzip = subprocess.Popen(["igzip", "-2", "-c"], stdin=subprocess.PIPE, stdout=out)
        igzip.stdin.write(header((*grid, nvol)))
        for block in volumes(grid, nvol):
            igzip.stdin.write(block)
        igzip.stdin.close()
        if igzip.wait() != 0:
            raise RuntimeError(f"igzip fails on {path}")


class Inputs:
    """Directories under `directory`, each a dataset; each is made when it is first asked for, and
    complete as soon as it has its name."""

    def __init__(self, directory):
        self.directory = directory

    def _made(self, name, fill):
        path = f"{self.directory}/{name}"
        if not os.path.isdir(path):
            partial = f"{path}.partial"
            shutil.rmtree(partial, ignore_errors=True)
            os.makedirs(partial)
            fill(partial)
            os.rename(partial, path)
        return path

    def session(self):
        """The sample session: directory of the dataset."""
        sample = f"{ROOT}/sample"
        if not os.path.isdir(sample):
            subprocess.run([f"{ROOT}/contrib/sample", sample], check=True)
        return sample

    def plain_session(self):
        """The same runs, uncompressed."""

        def fill(path):
            for run in glob.glob(f"{self.session()}/**/*_bold.nii.gz", recursive=True):
                target = os.path.join(path, os.path.relpath(run, self.session()))[: -len(".gz")]
                os.makedirs(os.path.dirname(target), exist_ok=True)
                with open(target, "wb") as out:
                    subprocess.run(["igzip", "-dc", run], check=True, stdout=out)

        return self._made("plain", fill)

    def run(self, grid, nvol, nruns=1, ending=".nii.gz"):
        """A directory of `nruns` runs with different bytes."""
        name = f"{'x'.join(map(str, grid))}x{nvol}-{nruns}{ending}"

        def fill(path):
            for i in range(nruns):
                write_run(f"{path}/task-rest_run-{i + 1}_bold{ending}", grid, nvol)

        return self._made(name, fill)

    def odd_runs(self):
        """Directories of one run of 30 MB each, highly compressible ones of 98 MB (inflated), by
        how it is compressed."""
        ways = {
            "stored blocks": (0, zlib.Z_DEFAULT_STRATEGY, None),
            "fixed codes": (6, zlib.Z_FIXED, None),
            "no matches": (6, zlib.Z_HUFFMAN_ONLY, None),
            "zlib, level 9": (9, zlib.Z_DEFAULT_STRATEGY, None),
            "flushed every 128 KiB": (1, zlib.Z_DEFAULT_STRATEGY, zlib.Z_FULL_FLUSH),
            "highly compressible": (6, zlib.Z_DEFAULT_STRATEGY, None),
            "many members": (1, zlib.Z_DEFAULT_STRATEGY, zlib.Z_FINISH),
        }

        def packed(voxels, level, strategy, flush):
            z = zlib.compressobj(level, zlib.DEFLATED, 31, 9, strategy)
            for off in range(0, len(voxels), 128 << 10):
                yield z.compress(voxels[off : off + (128 << 10)])
                if flush == zlib.Z_FINISH:
                    yield z.flush()
                    z = zlib.compressobj(level, zlib.DEFLATED, 31, 9, strategy)
                elif flush:
                    yield z.flush(flush)
            yield z.flush()

        def fill(path):
            for way, how in ways.items():
                nvol = 400 if way == "highly compressible" else 122
                voxels = b"".join(volumes(GRID, nvol))
                if way == "highly compressible":
                    voxels = voxels[: 2 * math.prod(GRID)] * nvol
                os.mkdir(f"{path}/{way}")
                with open(f"{path}/{way}/task-rest_bold.nii.gz", "wb") as out:
                    out.writelines(packed(header((*GRID, nvol)) + voxels, *how))

        path = self._made("odd", fill)
        return {way: f"{path}/{way}" for way in ways}

    def series(self):
        """An uncompressed run of which a 4-D result has some 500 MB."""
        return self.run(GRID, 1017, ending=".nii")

    def big_file(self):
        def fill(path):
            with open(f"{path}/file", "wb") as file:
                for _ in range(BIG_NBYTES // 10_000_000):
                    file.write(os.urandom(10_000_000))

        return self._made("big", fill)

    def tree(self):
        """20000 files in 100 directories, 2000 of them runs."""

        def fill(path):
            write_run(f"{path}/run.nii.gz", (8, 8, 4), 5)
            for sub in range(100):
                func = f"{path}/sub-{sub:03}/func"
                os.makedirs(func)
                for run in range(20):
                    stem = f"{func}/sub-{sub:03}_task-rest_run-{run:02}"
                    shutil.copy(f"{path}/run.nii.gz", f"{stem}_bold.nii.gz")
                    for i in range(9):
                        with open(f"{stem}_recording-{i}_physio.tsv", "w") as file:
                            file.write("n/a\n")
            os.remove(f"{path}/run.nii.gz")

        return self._made("tree", fill)

    def files(self, number):
        """`number` files in ten directories."""

        def fill(path):
            for sub in range(10):
                os.makedirs(f"{path}/sub-{sub}/anat")
                for i in range(number // 10):
                    with open(f"{path}/sub-{sub}/anat/sub-{sub}_run-{i}_T1w.json", "w"):
                        pass

        return self._made(f"files-{number}", fill)
