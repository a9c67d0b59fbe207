#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Fail system calls of derivfs and derivctl, one after the other, and see what comes out.

Of each kind of directory, every call on the way from a name to a result fails, with each errno,
once and for as long as the fault lasts: the first such call of an operation, the second and so on,
until an operation does with fewer. Whatever is read then must be right, or reading must fail with an
errno that is not "no such file"; a listing must be whole, or fail. When the fault has gone,
everything must work again within two seconds.

Works in a new directory, with the programs in --bin and the library that makes calls fail (shim.c) in
--shim. Prints a row for each call, and every case that went wrong. Exit status 1: there were some.
"""

import argparse
import errno
import hashlib
import mmap
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
CONTROL = struct.Struct("=i20siiii256s")  # as struct control of shim.c
RECOVERY_S = 2.0

RECIPES = """[demeaned]
expr = bold - mean(bold)
[count.txt]
command = wc -c {mean.nii} {note.txt}
"""

# What is looked at in every directory, by the names that a user would.
NAMES = ["tsnr.nii", "tsnr.json", "tsnr.tsv", "demeaned.nii", "mean.nii.gz", "tsnr.png", "count.txt", "."]

RUNS = {
    "bids": ["sub-01_task-a_bold.nii.gz", "sub-01_task-b_bold.nii", "sub-01_task-c_bold.nii.zst"],
    "plain": ["run1.nii.gz", "run2.nii", "run3.nii.gz"],
    "annex": ["sub-01_task-a_bold.nii.gz", "sub-01_task-b_bold.nii.gz"],
    # the last one's content is not here, which is what every read must say
    "absent": ["sub-01_task-a_bold.nii.gz", "sub-01_task-b_bold.nii.gz"],
}

# Calls about files of the dataset, and what they may fail with.
SOURCE_CALLS = {
    "openat2": "EMFILE ENFILE ENOMEM EIO EACCES ESTALE ETIMEDOUT EINTR",
    "fstat": "EIO ENOMEM ESTALE ETIMEDOUT",
    "pread": "EIO ENOMEM ESTALE ETIMEDOUT ENOTCONN",
    "readdir": "EIO ENOMEM ESTALE",
    "fdopendir": "ENOMEM",
    "dup": "EMFILE",
    "readlink": "EIO ENOMEM",
    "readlinkat": "EIO ENOMEM",
}
# About the cache. What cannot be kept is still right.
CACHE_CALLS = {
    "open": "EMFILE ENFILE EIO EACCES ESTALE",
    "fstat": "EIO",
    "pread": "EIO ESTALE",
    "write": "EIO ENOSPC EDQUOT",
    "fdatasync": "EIO",
    "fallocate": "ENOSPC EIO",
    "linkat": "EIO ENOSPC ENOENT",
}
RECIPES_CALLS = {
    "open": "EMFILE EIO EACCES",
    "stat": "EIO ESTALE",
    "fstat": "EIO",
    "read": "EIO ENOMEM",
}
MEMORY_CALLS = {"malloc": "ENOMEM", "calloc": "ENOMEM", "realloc": "ENOMEM"}


class Control:
    def __init__(self, path):
        with open(path, "wb") as file:
            file.truncate(CONTROL.size)
        fd = os.open(path, os.O_RDWR)
        self.map = mmap.mmap(fd, CONTROL.size)
        os.close(fd)
        self.path = path

    def _put(self, armed, call="", code=0, lasts=False, after=0, path=""):
        self.map[:] = CONTROL.pack(armed, call.encode(), code, lasts, after, 0, path.encode())

    def arm(self, call, code, lasts, after, path):
        self._put(0, call, code, lasts, after, path)
        self.map[:4] = struct.pack("=i", 1)

    def disarm(self):
        """How many calls have failed."""
        self.map[:4] = struct.pack("=i", 0)
        return CONTROL.unpack(self.map[:])[5]


def write(path, content):
    with open(path, "wb") as file:
        file.write(content)


class World:
    def __init__(self, options):
        self.top = tempfile.mkdtemp(prefix="derivfs-faults.")
        self.bin = os.path.abspath(options.bin)
        self.shim = os.path.abspath(options.shim)
        self.dataset, self.mnt, self.cache, self.templates, self.recipes = (
            os.path.join(self.top, name)
            for name in ("dataset", "mnt", "cache", "templates", "recipes.ini")
        )
        for path in (self.dataset, self.mnt, self.templates):
            os.mkdir(path)
        with open(self.recipes, "w") as file:
            file.write(RECIPES)
        self.control = Control(os.path.join(self.top, "control"))
        self.env = dict(os.environ, DERIVFS_FAULTS=self.control.path, LD_PRELOAD=self.shim)
        self.ndirs = 0
        self.content = {}
        self.daemon = None
        self.make_templates()

    def make_templates(self):
        lines = []
        for kind, names in RUNS.items():
            os.mkdir(os.path.join(self.templates, kind))
            for i, name in enumerate(names):
                path = os.path.join(self.templates, kind, name.replace(".zst", ""))
                lines.append(f"{path} --seed {i + 1}")
        subprocess.run(
            [os.path.join(HERE, "../numpy/make_run.py"), "-"], input="\n".join(lines), text=True, check=True
        )
        for kind, names in RUNS.items():
            for name in names:
                path = os.path.join(self.templates, kind, name)
                if name.endswith(".zst"):
                    subprocess.run(["zstd", "-q", "--rm", path[: -len(".zst")]], check=True)
                with open(path, "rb") as file:
                    self.content[kind, name] = file.read()

    def new_dir(self, kind):
        """A directory of the kind that nobody has looked at. Its name in the dataset."""
        self.ndirs += 1
        name = f"{kind}-{self.ndirs}"
        path = os.path.join(self.dataset, name)
        os.mkdir(path)
        for run in RUNS[kind]:
            content = with_stamp(self.content[kind, run], run, self.ndirs)
            if kind not in ("annex", "absent"):
                write(os.path.join(path, run), content)
                continue
            key = f"SHA256E-s{len(content)}--{hashlib.sha256(content).hexdigest()}"
            objects = f".git/annex/objects/xx/yy/{key}"
            os.makedirs(os.path.join(self.dataset, objects), exist_ok=True)
            if kind == "annex" or run != RUNS[kind][-1]:
                write(os.path.join(self.dataset, objects, key), content)
            os.symlink(f"../{objects}/{key}", os.path.join(path, run))
        write(os.path.join(path, "note.txt"), b"note\n")
        return name

    def mount(self):
        log = open(os.path.join(self.top, "log"), "ab")
        self.daemon = subprocess.Popen(
            [f"{self.bin}/derivfs", "-f", f"--cache_dir={self.cache}", f"--recipes={self.recipes}",
             self.dataset, self.mnt],
            env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )
        log.close()
        while not os.path.exists(f"{self.mnt}/.derivfs/version"):
            if self.daemon.poll() is not None:
                sys.exit("derivfs does not start")
            time.sleep(0.01)

    def close(self):
        self.control.disarm()
        if self.daemon:
            subprocess.run(["fusermount3", "-u", self.mnt])
            try:
                self.daemon.wait(30)
            except subprocess.TimeoutExpired:
                self.daemon.kill()
                subprocess.run(["fusermount3", "-uz", self.mnt])
        shutil.rmtree(self.top, ignore_errors=True)


def with_stamp(content, name, stamp):
    """The stored bytes of a run, of the same image, that no other run has: results are shared."""
    if name.endswith(".gz"):  # the time in the header of gzip
        return content[:4] + struct.pack("<I", stamp) + content[8:]
    if name.endswith(".zst"):  # a frame to be skipped
        return content + struct.pack("<III", 0x184D2A50, 4, stamp)
    return content[:148] + struct.pack("<I", stamp) + content[152:]  # what the header describes


def read(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        parts = []
        while part := os.read(fd, 1 << 17):
            parts.append(part)
        return b"".join(parts)
    finally:
        os.close(fd)


def look(world, name, what):
    """What the mount says; an errno's name where it fails."""
    try:
        if what == ".":
            return sorted(os.listdir(f"{world.mnt}/{name}"))
        return read(f"{world.mnt}/{name}/{what}").replace(name.encode(), b"DIR")
    except OSError as e:
        return errno.errorcode[e.errno]


def compute(world, name, what):
    """What derivctl says, with a cache of its own."""
    out = f"{world.top}/out"
    done = subprocess.run(
        [f"{world.bin}/derivctl", "compute", f"{world.dataset}/{name}/{what}", "-o", out,
         f"--cache_dir={world.top}/cache2", f"--recipes={world.recipes}"],
        env=world.env, capture_output=True, text=True,
    )
    if done.returncode == 1:
        return "EIO" if not os.path.exists(out) else "a result and a failure"
    if done.returncode != 0:
        return f"exit status {done.returncode}: {done.stderr}"
    with open(out, "rb") as file:
        content = file.read()
    os.unlink(out)
    return content


def is_failure(got):
    return isinstance(got, str) and got in errno.errorcode.values()


def rows_of(table):
    """The rows without the columns that compare a run with others, which may be fewer now."""
    rows = [line.split(b"\t") for line in table.split(b"\n")]
    kept = [not name.endswith((b"_peers", b"_z", b"_outlier")) for name in rows[0]]
    return [[cell for cell, keep in zip(row, kept) if keep] for row in rows]


def is_right(got, expected, what):
    """A table may say of a run why it has no numbers."""
    if got == expected:
        return True
    if what != "tsnr.tsv" or not isinstance(got, bytes):
        return False
    rows, wanted = rows_of(got), rows_of(expected)
    return len(rows) == len(wanted) and all(
        row == right or row[-1] != b"n/a" for row, right in zip(rows, wanted)
    )


class Died(Exception):
    pass


class Cases:
    def __init__(self, world, long, calls):
        self.world = world
        self.long = long
        self.calls = calls  # empty: all
        self.expected = {}
        self.wrong = False
        self.count = {}
        self.left = []  # what must be right soon

    def learn(self):
        for kind in RUNS:
            name = self.world.new_dir(kind)
            for what in NAMES:
                got = look(self.world, name, what)
                if is_failure(got) and kind != "absent":
                    sys.exit(f"{name}/{what}: {got} without any fault")
                self.expected[kind, what] = got

    def complain(self, line):
        self.wrong = True
        print("WRONG", line, flush=True)

    def expect(self, kind, name, what):
        """What must come out, when the fault has gone: a picture shows the name of the directory."""
        if what != "tsnr.png":
            return self.expected[kind, what]
        since = time.monotonic()
        while is_failure(got := look(self.world, name, what)) and kind != "absent":
            if time.monotonic() - since > RECOVERY_S + 1:
                return self.expected[kind, what]
            time.sleep(0.05)
        return got

    def judge(self, title, kind, name, what, got):
        row = self.count.setdefault(title, [0, 0, 0])
        if is_right(got, self.expect(kind, name, what), what):
            row[0] += 1
        elif is_failure(got) and got != "ENOENT":
            row[1] += 1
        else:
            row[2] += 1
            return False
        return True

    @staticmethod
    def shown(got, expected):
        if isinstance(got, list):
            return f"names differ: {sorted(set(got) ^ set(expected))}"
        return got if isinstance(got, str) else f"{len(got)} bytes that differ"

    def one(self, how, where, call, code, lasts, after, kind, what, warm):
        """One case. Returns how many calls have failed, and the directory."""
        world = self.world
        name = world.new_dir(kind)
        if warm:
            look(world, name, what)
        path = {"source": f"/{name}", "cache": "/cache", "recipes": "/recipes.ini", "memory": ""}[where]
        if where == "source" and kind in ("annex", "absent"):
            path = "/dataset/"
        if where == "recipes":
            os.utime(world.recipes)
            time.sleep(1.05)  # the daemon looks at it once a second
        world.control.arm(call, getattr(errno, code), lasts, after, path)
        signal.alarm(60)
        got = how(world, name, what)
        signal.alarm(0)
        hits = world.control.disarm()
        title = f"{where} {call}"
        if hits and not self.judge(title, kind, name, what, got):
            shown = self.shown(got, self.expected[kind, what])
            self.complain(
                f"{title} {code} {'from' if lasts else 'at'} {after}: {name}/{what}: {shown}"
            )
        if world.daemon.poll() is not None:
            raise Died(f"{title} {code} {'from' if lasts else 'at'} {after}: {name}/{what}: derivfs died ({world.daemon.returncode})")
        return hits, name

    def recovers(self):
        """All that has met a fault must be right two seconds after the last one."""
        since = time.monotonic()
        for kind, name, what, title in self.left:
            while (got := look(self.world, name, what)) != self.expect(kind, name, what):
                if time.monotonic() - since > RECOVERY_S + 1:  # and one for a busy machine
                    self.complain(f"{title}: {name}/{what}: not right when the fault has gone: {self.shown(got, self.expected[kind, what])}")
                    break
                time.sleep(0.05)
        self.left = []

    def sweep(self, how, where, call, codes, kinds, names, warm=False):
        if self.calls and call not in self.calls:
            return
        codes = codes.split()
        for code in codes if self.long else codes[: 2 if call in ("openat2", "pread") else 1]:
            for kind in kinds:
                for what in names:
                    if code == "EACCES" and what == ".":
                        continue  # missing rights are a fact: the run's own files are not listed
                    for lasts in (False, True):
                        self.run_through(how, where, call, code, lasts, kind, what, warm)
        self.recovers()
        title = f"{where} {call}"
        right, failed, wrong = self.count.get(title, (0, 0, 0))
        print(f"{title:20} {right:5} right {failed:5} failed {wrong:5} wrong", flush=True)

    def run_through(self, how, where, call, code, lasts, kind, what, warm):
        for after in range(400 if self.long else 4 if lasts else 40):
            if code == "EINTR" and lasts and call != "openat2":
                break  # nobody interrupts for ever
            hits, name = self.one(how, where, call, code, lasts, after, kind, what, warm)
            if not hits:
                break
            self.left.append((kind, name, what, f"{where} {call} {code} {'from' if lasts else 'at'} {after}"))

    def run(self, only):
        names = NAMES if self.long else ["tsnr.nii", "tsnr.tsv", "."]
        image = NAMES if self.long else ["tsnr.nii"]
        if not only or "source" in only:
            for call, codes in SOURCE_CALLS.items():
                self.sweep(look, "source", call, codes, RUNS, names)
            for call in ("openat2", "pread"):
                self.sweep(compute, "source", call, SOURCE_CALLS[call], ["plain"], ["tsnr.nii"])
        if not only or "cache" in only:
            for call, codes in CACHE_CALLS.items():
                for warm in (False, True):
                    self.sweep(look, "cache", call, codes, ["bids"], image, warm)
        if not only or "recipes" in only:
            for call, codes in RECIPES_CALLS.items():
                self.sweep(look, "recipes", call, codes.split()[0], ["plain"], ["tsnr.nii"])
        if not only or "memory" in only:
            for call, codes in MEMORY_CALLS.items():
                self.sweep(look, "memory", call, codes, ["plain"], image)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--bin", required=True, help="directory of derivfs and derivctl")
    parser.add_argument("--shim", required=True, help="libfaults.so")
    parser.add_argument("--only", default="", help="kinds of calls, such as source,memory (all)")
    parser.add_argument("--calls", default="", help="names of calls, such as openat2,pread (all)")
    parser.add_argument("--long", action="store_true", help="every errno with every name")
    options = parser.parse_args()
    world = World(options)
    cases = Cases(world, options.long, options.calls.split(",") if options.calls else [])
    try:
        world.mount()
        cases.learn()
        cases.run(options.only.split(",") if options.only else [])
    except Died as died:
        cases.complain(str(died))
    finally:
        world.close()
    return 1 if cases.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
