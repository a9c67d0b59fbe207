# SPDX-License-Identifier: MIT
"""Flip bits of the cache's files and of compressed runs.

The time of a file stays what it was, as with a disk that decays. With a damaged cache every read must
give what numpy says; with a damaged run, too, or fail. `derivctl cache verify` must find what no
read has met, and nothing after that.
"""

import os
import random
import subprocess

from world import FILES, add_options, soak


def options(parser):
    add_options(parser)
    parser.add_argument("--flips", type=int, default=500, help="(default: 500)")


def flip(path):
    """Flip a bit of the file. Returns what makes it good again."""
    st = os.stat(path)
    at, bit = random.randrange(st.st_size), 1 << random.randrange(8)
    mode = st.st_mode & 0o777
    os.chmod(path, 0o600)

    def turn():
        with open(path, "r+b", buffering=0) as f:
            byte = os.pread(f.fileno(), 1, at)
            os.pwrite(f.fileno(), bytes([byte[0] ^ bit]), at)
        os.utime(path, ns=(st.st_atime_ns, st.st_mtime_ns))

    turn()
    os.chmod(path, mode)
    return turn


def files_of(cache):
    found = []
    for place, _, names in os.walk(f"{cache}/v1"):
        found += [f"{place}/{name}" for name in names if os.path.getsize(f"{place}/{name}") > 0]
    return sorted(found)


class Flips:
    def __init__(self, world):
        self.world = world
        self.mount = world.mount()
        self.compressed = [run for run in world.runs if run.path.endswith(".gz")]

    def restart(self):
        """Another daemon, which has verified nothing yet."""
        if self.mount.daemon:
            self.mount.end()
        self.mount.ensure()

    def damage_cache(self):
        flip(random.choice(files_of(self.world.cache)))
        self.world.count("flips in the cache")
        if random.random() < 0.5:
            self.restart()
        for file in random.sample(FILES, 3):
            self.world.read(self.mount, *file, may_fail=False)

    def damage_run(self):
        run = random.choice(self.compressed)
        mend = flip(run.path)
        self.world.count("flips in runs")
        for file in random.sample(FILES, 3):
            self.world.read(self.mount, *file)
        mend()
        for file in random.sample(FILES, 2):
            self.world.read(self.mount, *file, may_fail=False)

    def verify(self):
        """What no read has met is found; then the cache is sound."""
        command = [f"{self.world.options.bin}/derivctl", "cache", "verify", f"--cache_dir={self.world.cache}"]
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        return self.world.verify()


def test(world):
    flips = Flips(world)
    flips.restart()
    world.read_all(flips.mount)
    for number in range(world.options.flips):
        flips.damage_run() if number % 4 == 3 else flips.damage_cache()
        if number % 25 == 24:
            print(f"flip {number + 1}: {world.counts}", flush=True)
            random.choice(world.runs).change()  # so that there is something to compute
            if not flips.verify():
                return False
    world.read_all(flips.mount)
    flips.mount.end()
    print(f"{world.options.flips} flips")
    return flips.verify() and world.passed()


def main(parsed):
    return soak(parsed, test)
