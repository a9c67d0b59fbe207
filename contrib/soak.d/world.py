# SPDX-License-Identifier: MIT
"""What the soak tests share: a dataset whose runs change, what numpy makes of it, mounts, counts."""

import gzip
import itertools
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time

import nibabel
import numpy as np

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SHAPE, NVOL = (24, 24, 10), 40
RUNS = ["sub-01_task-a_bold.nii.gz", "sub-01_task-b_bold.nii", "sub-01_task-c_bold.nii.gz"]
RECIPES = "[scored]\nexpr = bold - mean(bold)\n[middle]\nexpr = median(bold)\n[scaled]\nparam n = 1\nexpr = mean(bold) * n\n"
PATIENCE_S = 60


def add_options(parser):
    parser.add_argument("--seed", type=int, default=None, help="of the random choices (default: a new one)")
    parser.add_argument("--bin", metavar="DIR", default=f"{ROOT}/build/mount", help="of the programs")
    parser.add_argument("--cache", metavar="DIR", help="(default: a new directory)")


def sleep_ms(least, most):
    time.sleep(random.uniform(least, most) / 1000)


# ---- runs that change ----


def voxels(seed):
    rng = np.random.default_rng(seed)
    base = rng.integers(300, 900, SHAPE)
    return (base[..., None] + rng.integers(-40, 41, (*SHAPE, NVOL))).astype("i2")


class Run:
    """A run of the dataset. `versions` are [seed, from, until]: when the file may have had it."""

    def __init__(self, path):
        self.path = path
        self.lock = threading.Lock()
        self.versions = []
        self.change()

    def bytes_of(self, seed):
        image = nibabel.Nifti1Image(voxels(seed), np.diag([3, 3, 3, 1]))
        image.header.set_xyzt_units("mm", "sec")
        image.header["pixdim"][4] = 2
        plain = image.to_bytes()
        return gzip.compress(plain, 1) if self.path.endswith(".gz") else plain

    def change(self):
        seed = random.getrandbits(30)
        content = self.bytes_of(seed)
        in_place = bool(self.versions) and random.random() < 0.3
        with self.lock:
            self.versions.append([seed, time.monotonic(), float("inf")])
        if in_place:
            with open(self.path, "r+b") as f:
                f.write(content)
                f.truncate()
        else:
            with open(self.path + ".new", "wb") as f:
                f.write(content)
            os.rename(self.path + ".new", self.path)
        with self.lock:
            if len(self.versions) > 1:
                self.versions[-2][2] = time.monotonic()

    def seeds(self, begin, end):
        with self.lock:
            return [seed for seed, first, last in self.versions if first <= end and begin <= last]


# ---- what must be read ----


def tsnr(series):
    return series.mean(-1) / series.std(-1)


def own(name, run):
    return f"{os.path.basename(run).partition('_bold')[0]}_{name}"


GROUP = {
    "tsnr.nii": tsnr,
    "mean.nii": lambda series: series.mean(-1),
    "std.nii.gz": lambda series: series.std(-1),
    "middle.nii": lambda series: np.median(series, -1),
    "scored.nii": lambda series: series - series.mean(-1, keepdims=True),
}
SINGLE = {"stat-tsnr_boldmap.nii": tsnr, "stat-tsnr_boldmap.nii.gz": tsnr}
# name, function, numbers of the runs
FILES = [(name, function, range(len(RUNS))) for name, function in GROUP.items()]
FILES += [(own(name, run), function, [i]) for i, run in enumerate(RUNS) for name, function in SINGLE.items()]


def is_right(content, function, candidates):
    """Is it the function of one of the candidates for each run?"""
    image = nibabel.Nifti1Image.from_bytes(gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content)
    got = np.asarray(image.dataobj).astype("f8")
    for seeds in itertools.product(*candidates):
        expected = function(np.concatenate([voxels(seed) for seed in seeds], -1).astype("f8"))
        if got.shape == expected.shape and np.allclose(got, expected, rtol=1e-5, atol=1e-4):
            return True
    return False


# ---- programs ----


class Mount:
    def __init__(self, world, number, cache, *options):
        self.world, self.cache, self.options = world, cache, options
        self.dir = f"{world.work}/mount{number}"
        os.mkdir(self.dir)
        self.daemon = None

    def is_mounted(self):
        with open("/proc/self/mountinfo", encoding="utf8", errors="replace") as f:
            return f" {self.dir} " in f.read()

    def ensure(self):
        if self.daemon and self.daemon.poll() is None:
            return
        self.detach()
        self.daemon = self.world.start(
            "derivfs", "-f", f"--cache_dir={self.cache}", *self.options, self.world.dataset, self.dir
        )
        end = time.monotonic() + PATIENCE_S
        while not self.is_mounted():
            if self.daemon.poll() is not None or time.monotonic() > end:
                sys.exit("contrib/soak: derivfs does not mount")
            time.sleep(0.005)

    def detach(self):
        while self.is_mounted():
            subprocess.run(["fusermount3", "-uz", self.dir], check=False)

    def end(self):
        subprocess.run(["fusermount3", "-u", self.dir], check=True)
        self.daemon.wait(PATIENCE_S)


class World:
    """A dataset in a new directory, whose mounts go with it."""

    def __init__(self, options):
        options.seed = random.getrandbits(32) if options.seed is None else options.seed
        random.seed(options.seed)
        self.options = options
        self.work = tempfile.mkdtemp(prefix="derivfs-soak.")
        print(f"seed {options.seed}, in {self.work}", flush=True)
        self.dataset = f"{self.work}/dataset"
        self.log = open(f"{self.work}/log", "ab")
        os.mkdir(self.dataset)
        with open(f"{self.work}/recipes.ini", "w", encoding="utf8") as f:
            f.write(RECIPES)
        self.cache = os.path.abspath(options.cache or f"{self.work}/cache")
        self.runs = [Run(f"{self.dataset}/{name}") for name in RUNS]
        self.mounts = []
        self.counts = {"right": 0, "failed": 0, "wrong": 0}
        self.lock = threading.Lock()

    def mount(self, cache=None, options=()):
        self.mounts.append(Mount(self, len(self.mounts) + 1, cache or self.cache, *options))
        return self.mounts[-1]

    def start(self, program, *words):
        command = [f"{self.options.bin}/{program}", *words, f"--recipes={self.work}/recipes.ini"]
        if program == "derivctl":
            command.append(f"--cache_dir={self.cache}")
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)

    def count(self, what):
        with self.lock:
            self.counts[what] = self.counts.get(what, 0) + 1

    def complain(self, text, content=None):
        self.count("wrong")
        print(f"wrong: {text}", flush=True)
        if content is not None:
            with open(f"{self.work}/wrong.{self.counts['wrong']}", "wb") as f:
                f.write(content)

    def judge(self, where, content, function, which, begin):
        candidates = [self.runs[i].seeds(begin, time.monotonic()) for i in which]
        try:
            right = is_right(content, function, candidates)
        except (OSError, EOFError, nibabel.filebasedimages.ImageFileError, ValueError) as error:
            where, right = f"{where}: {error}", False
        if right:
            self.count("right")
        else:
            self.complain(where, content)

    def read(self, mount, name, function, which, may_fail=True):
        begin = time.monotonic()
        path = f"{mount.dir}/{name}"
        try:
            with open(path, "rb") as f:
                content = f.read()
        except OSError as error:
            self.count("failed")
            if not may_fail:
                self.complain(f"{path}: {error}")
            return
        self.judge(path, content, function, which, begin)

    def read_all(self, mount):
        """Without a fault, everything is there and right."""
        mount.ensure()
        for file in FILES:
            self.read(mount, *file, may_fail=False)

    def verify(self):
        """Does the cache have no damage?"""
        done = subprocess.run(
            [f"{self.options.bin}/derivctl", "cache", "verify", f"--cache_dir={self.cache}"],
            capture_output=True, text=True, check=False,
        )
        print(done.stdout + done.stderr, end="")
        return done.returncode == 0 and " 0 damaged" in done.stdout

    def passed(self):
        return self.counts["wrong"] == 0 and self.counts["right"] > 0

    def end(self, right):
        """Take everything down; what is wrong is kept."""
        for mount in self.mounts:
            if mount.daemon and mount.daemon.poll() is None:
                mount.daemon.kill()
                mount.daemon.wait()
            mount.detach()
        self.log.close()
        if right:
            shutil.rmtree(self.work)


def soak(options, test):
    """Run test(world), which says whether all was right. Returns an exit status."""
    world = World(options)
    right = False
    try:
        right = test(world)
        print(world.counts)
    finally:
        world.end(right)
    return 0 if right else 1
