# SPDX-License-Identifier: MIT
"""Read while the runs are replaced, rewritten, touched and linked all the time.

A read must fail, or give what numpy makes of runs that were there between its start and its end; it
must not fail with ESTALE. Two seconds after the last change, everything must be read and be right.
"""

import errno
import os
import random
import threading
import time

from world import FILES, RUNS, PATIENCE_S, add_options, sleep_ms, soak


def options(parser):
    add_options(parser)
    parser.add_argument("--reads", type=int, default=5000, help="(default: 5000)")


class Changer(threading.Thread):
    """Changes the runs, and what is around them, until it is told to end."""

    def __init__(self, world):
        super().__init__()
        self.world = world
        self.ends = threading.Event()

    def link(self, run):
        os.link(run.path, run.path + ".link")
        sleep_ms(0, 5)
        os.unlink(run.path + ".link")

    def run(self):
        while not self.ends.is_set():
            run = random.choice(self.world.runs)
            random.choices([run.change, lambda: os.utime(run.path), lambda: self.link(run)], [6, 1, 1])[0]()
            self.world.count("changes")
            sleep_ms(0, 60)


def read(world, mount):
    begin = time.monotonic()
    name, function, which = random.choice(FILES)
    try:
        with open(f"{mount.dir}/{name}", "rb") as f:
            content = f.read()
    except OSError as error:
        world.count("failed")
        if error.errno in (errno.ESTALE, errno.ENOENT):
            world.complain(f"{name}: {error}")
        return
    world.judge(name, content, function, which, begin)


def reader(world, mount, todo):
    while todo.acquire(blocking=False):
        read(world, mount)


def test(world):
    mount = world.mount()
    mount.ensure()
    todo = threading.Semaphore(world.options.reads)
    changer = Changer(world)
    readers = [threading.Thread(target=reader, args=(world, mount, todo)) for _ in range(3)]
    for thread in (changer, *readers):
        thread.start()
    for thread in readers:
        thread.join()
    changer.ends.set()
    changer.join()
    time.sleep(2)
    world.read_all(mount)
    mount.end()
    print(f"{world.options.reads} reads")
    return world.verify() and world.passed()


def main(parsed):
    return soak(parsed, test)
