# SPDX-License-Identifier: MIT
"""Mixed operations of several programs on one mount, and what the daemon holds afterwards.

Every byte that is read is compared with what was read, and checked with numpy, before. When all is
quiet again, the daemon must hold no more descriptors and threads than before, and hardly more memory.
"""

import errno
import mmap
import os
import random
import signal
import threading
import time

from world import FILES, PATIENCE_S, RUNS, add_options, soak

SLACK = [0, 10, 24 << 10]  # libfuse keeps idle threads, and malloc(3) freed buffers
CONTROL = ["status", "status.json", "metrics", "errors", "recipes.ini", "trace.json", "version", "counters"]
TEXTS = ["tsnr.json", "tsnr.tsv", "tsnr.png", "tsnr.svg"]


def options(parser):
    add_options(parser)
    parser.add_argument("--operations", type=int, default=100000, help="(default: 100000)")


def held(pid):
    """Descriptors, threads, KiB of memory of a process."""
    with open(f"/proc/{pid}/status", encoding="utf8") as f:
        status = dict(line.split(":", 1) for line in f)
    return len(os.listdir(f"/proc/{pid}/fd")), int(status["Threads"]), int(status["RssAnon"].split()[0])


class Operations:
    """Each method is an operation on a random file, and complains of what is wrong."""

    def __init__(self, world, mount):
        self.world, self.mount = world, mount
        self.whole = {}
        for name in [file[0] for file in FILES] + RUNS:
            with open(self.path(name), "rb") as f:
                self.whole[name] = f.read()
        self.names = sorted(self.whole)
        self.kinds = [getattr(self, name) for name in sorted(vars(Operations)) if name.startswith("op_")]

    def path(self, name):
        return f"{self.mount.dir}/{name}"

    def any(self):
        return random.choice(self.names)

    def compare(self, name, offset, got):
        if got == self.whole[name][offset : offset + len(got)]:
            self.world.count("right")
        else:
            self.world.complain(f"{name} from byte {offset}", got)

    def op_stat(self):
        name = self.any()
        if os.stat(self.path(name)).st_size != len(self.whole[name]):
            self.world.complain(f"size of {name}")

    def op_open(self):
        os.close(os.open(self.path(self.any()), os.O_RDONLY))

    def op_read(self):
        name = self.any()
        with open(self.path(name), "rb") as f:
            got = f.read()
        if len(got) != len(self.whole[name]):
            self.world.complain(f"{name} has {len(got)} bytes")
        self.compare(name, 0, got)

    def op_pread(self):
        name = self.any()
        fd = os.open(self.path(name), os.O_RDONLY)
        try:
            for _ in range(4):
                offset = random.randrange(len(self.whole[name]) + 1)
                self.compare(name, offset, os.pread(fd, random.randrange(1, 200000), offset))
        finally:
            os.close(fd)

    def op_map(self):
        name = self.any()
        with open(self.path(name), "rb") as f, mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ) as m:
            offset = random.randrange(len(m))
            self.compare(name, offset, m[offset : offset + 50000])

    def op_sendfile(self):
        name = self.any()
        with open(self.path(name), "rb") as f, open(os.memfd_create("copy"), "r+b") as to:
            offset = random.randrange(len(self.whole[name]))
            count = os.sendfile(to.fileno(), f.fileno(), offset, 60000)
            self.compare(name, offset, os.pread(to.fileno(), count, 0))

    def op_seek(self):
        name = self.any()
        with open(self.path(name), "rb") as f:
            if f.seek(0, os.SEEK_END) != len(self.whole[name]):
                self.world.complain(f"end of {name}")
            os.lseek(f.fileno(), 0, os.SEEK_DATA)

    def op_list(self):
        missing = {"tsnr.nii", "mean.nii", *RUNS} - set(os.listdir(self.mount.dir))
        if missing:
            self.world.complain(f"not listed: {missing}")

    def op_list_and_stat(self):
        with os.scandir(self.mount.dir) as entries:
            for entry in entries:
                entry.stat()

    def op_list_partly(self):
        with os.scandir(self.mount.dir) as entries:
            next(entries)

    def op_control(self):
        with open(self.path(f".derivfs/{random.choice(CONTROL)}"), "rb") as f:
            f.read()

    def op_text(self):
        with open(self.path(random.choice(TEXTS)), "rb") as f:
            if not f.read():
                self.world.complain(f"{f.name} is empty")

    def op_absent(self):
        self.refused(errno.ENOENT, os.stat, self.path(f"no{random.randrange(1000)}.nii"))

    def op_write(self):
        self.refused(errno.EROFS, os.open, self.path(self.any()), os.O_RDWR)
        self.refused(errno.EROFS, os.unlink, self.path(self.any()))
        self.refused(errno.EROFS, os.mkdir, self.path("new"))

    def op_attributes(self):
        path = self.path(self.any())
        for name in os.listxattr(path):
            os.getxattr(path, name)

    def op_space(self):
        os.statvfs(self.mount.dir)
        os.access(self.path(self.any()), os.R_OK)

    def op_other_value(self):
        """A result that is not in the cache yet, and a reader that is killed."""
        pid = os.fork()
        if pid == 0:
            try:
                with open(self.path(f"scaled@n={random.randrange(300)}.nii"), "rb") as f:
                    f.read()
            finally:
                os._exit(0)
        time.sleep(random.uniform(0, 0.003))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)

    def refused(self, code, operation, *args):
        try:
            operation(*args)
        except OSError as error:
            if error.errno == code:
                return
            self.world.complain(f"{operation.__name__}{args}: {error}")
        else:
            self.world.complain(f"{operation.__name__}{args} works")

    def work(self, todo):
        while todo.acquire(blocking=False):
            operation = random.choice(self.kinds)
            try:
                operation()
            except OSError as error:
                self.world.complain(f"{operation.__name__}: {error}")


def quiet(pid, most):
    """What the daemon holds, once it has no more than `most` descriptors and threads (or after PATIENCE_S)."""
    end = time.monotonic() + PATIENCE_S
    while True:
        now = held(pid)
        if all(have <= limit for have, limit in zip(now, most)) or time.monotonic() > end:
            return now
        time.sleep(0.1)


def run(world, operations, count):
    todo = threading.Semaphore(count)
    threads = [threading.Thread(target=operations.work, args=(todo,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test(world):
    mount = world.mount(options=["-o", "xattr"])
    world.read_all(mount)
    pid = mount.daemon.pid
    descriptors = held(pid)[0]
    operations = Operations(world, mount)
    run(world, operations, world.options.operations // 10)  # memory that is kept, and threads
    first = quiet(pid, [descriptors])
    run(world, operations, world.options.operations - world.options.operations // 10)
    most = [have + slack for have, slack in zip(first, SLACK)]
    last = quiet(pid, most[:2])
    print(f"{world.options.operations} operations; descriptors, threads, KiB: {first}, then {last}")
    if any(have > limit for have, limit in zip(last, most)):
        world.complain("the daemon holds more than before")
    world.read_all(mount)
    mount.end()
    return world.verify() and world.passed()


def main(parsed):
    return soak(parsed, test)
