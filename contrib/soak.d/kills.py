# SPDX-License-Identifier: MIT
"""Kill derivfs and derivctl at random while they share a cache and the runs change.

Two mounts and derivctl use one cache. In each round, runs are replaced or rewritten, several readers
start, and a program is killed with SIGKILL. A read must fail, or give what numpy makes of runs that
were there between its start and its end. After each round, every file must be read without an
error and be right. At the end `derivctl cache verify` must find no damage.
"""

import os
import random
import signal
import threading
import time

from world import FILES, add_options, sleep_ms, soak


def options(parser):
    add_options(parser)
    parser.add_argument("--rounds", type=int, default=500, help="(default: 500)")
    parser.add_argument("--cache2", metavar="DIR", help="of the second mount: the same cache, as another host sees it")


class Kills:
    def __init__(self, world):
        self.world = world
        cache2 = world.options.cache2
        self.mounts = [world.mount(), world.mount(os.path.abspath(cache2) if cache2 else None)]
        self.lock = threading.Lock()
        self.orders = []

    def compute(self, name, function, which):
        world = self.world
        begin = time.monotonic()
        out = f"{world.work}/out.{threading.get_ident()}"
        order = world.start("derivctl", "compute", f"{world.dataset}/{name}", "-o", out)
        with self.lock:
            self.orders.append(order)
        if order.wait() != 0:
            world.count("failed")
            return
        with open(out, "rb") as f:
            content = f.read()
        os.unlink(out)
        world.judge(f"derivctl compute {name}", content, function, which, begin)

    def readers(self):
        threads = []
        for _ in range(random.randint(2, 5)):
            file = random.choice(FILES)
            target = self.compute if random.random() < 0.3 else self.world.read
            args = file if target == self.compute else (random.choice(self.mounts), *file)
            threads.append(threading.Thread(target=target, args=args))
            threads[-1].start()
        return threads

    def kill_one(self):
        with self.lock:
            victims = [m.daemon for m in self.mounts] + [o for o in self.orders if o.poll() is None]
        victim = random.choice(victims)
        if victim.poll() is None:
            victim.send_signal(signal.SIGKILL)
            victim.wait()
            self.world.count("kills")

    def round(self):
        for mount in self.mounts:
            mount.ensure()
        self.orders.clear()
        threads = self.readers()
        for _ in range(random.randint(0, 2)):
            sleep_ms(0, 60)
            random.choice(self.world.runs).change()
        sleep_ms(0, 120)
        self.kill_one()
        for thread in threads:
            thread.join()
        for mount in self.mounts:
            mount.ensure()
        for mount in self.mounts:
            for file in random.sample(FILES, 4):
                self.world.read(mount, *file, may_fail=False)


def test(world):
    kills = Kills(world)
    for number in range(world.options.rounds):
        kills.round()
        if number % 20 == 19:
            print(f"round {number + 1}: {world.counts}", flush=True)
    for mount in kills.mounts:
        world.read_all(mount)
        mount.end()
    print(f"{world.options.rounds} rounds")
    return world.verify() and world.passed()


def main(parsed):
    return soak(parsed, test)
