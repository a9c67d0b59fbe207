# SPDX-License-Identifier: MIT
"""What every measurement of contrib/bench is made of: mounts, times, rows, tables.

A contest lets its contestants take turns, so that a busy moment of the machine meets all of them
alike. A row compares the medians of two of them, or one with a number.
"""

import contextlib
import os
import platform
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from dataclasses import asdict, dataclass, field

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CPUS = len(os.sched_getaffinity(0))
PACKAGES = "libfuse3-3 libisal2 isal python3-numpy python3-dask python3-nibabel mrtrix3 bindfs"


# ---- commands -----------------------------------------------------------------------------------


def output(*command):
    """What a command prints, or n/a where it is not there or fails."""
    try:
        return subprocess.check_output(command, stderr=subprocess.DEVNULL, text=True).strip()
    except (OSError, subprocess.CalledProcessError):
        return "n/a"


def timed(command, cwd=None):
    """Wall seconds of a command whose output is dropped; a string is for the shell."""
    begin = time.perf_counter()
    subprocess.run(
        command,
        cwd=cwd,
        check=True,
        shell=isinstance(command, str),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return time.perf_counter() - begin


def peak_of(command, cwd):
    """Peak memory of a command in MiB."""
    process = subprocess.Popen(command, cwd=cwd, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"{command[0]} fails with status {process.returncode}")
    return usage.ru_maxrss / 1024


# ---- mounts -------------------------------------------------------------------------------------


@contextlib.contextmanager
def mounted(mountpoint, *command):
    """Run a FUSE daemon in the foreground; it is mounted inside the `with`. Its value: the process.
    Always takes the mount down again."""
    os.makedirs(mountpoint, exist_ok=True)
    process = subprocess.Popen([*command, mountpoint])
    try:
        wait_for_mount(process, mountpoint)
        yield process
        subprocess.run(["fusermount3", "-u", mountpoint], check=True)
        process.wait(timeout=20)
    finally:
        if process.poll() is None:
            subprocess.run(["fusermount3", "-uz", mountpoint], stderr=subprocess.DEVNULL)
            process.terminate()
            process.wait()


def wait_for_mount(process, mountpoint):
    end = time.monotonic() + 20
    while True:
        with open("/proc/self/mountinfo", errors="surrogateescape") as file:
            if any(line.split()[4] == mountpoint for line in file):
                return
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"{process.args[0]} does not mount")
        time.sleep(0.002)


def peak_mib(process):
    with open(f"/proc/{process.pid}/status") as file:
        return int(re.search(r"VmHWM:\s*(\d+)", file.read())[1]) / 1024


class Bench:
    """The options, and a directory for what a measurement leaves behind."""

    def __init__(self, options, work):
        self.bin = options.bin
        self.repeat = options.repeat
        self.work = work

    @contextlib.contextmanager
    def place(self):
        """A directory that is gone afterwards."""
        path = tempfile.mkdtemp(dir=self.work)
        yield path
        shutil.rmtree(path)

    @contextlib.contextmanager
    def derivfs(self, dataset, place, *options):
        """A mount at `place`/mnt with the cache `place`/cache."""
        program = f"{self.bin}/derivfs"
        cache = f"--cache_dir={place}/cache"
        with mounted(f"{place}/mnt", program, "-f", cache, *options, dataset) as process:
            yield process

    def bindfs(self, directory, place):
        return mounted(f"{place}/bindfs", "bindfs", "-f", "--no-allow-other", directory)

    def contest(self, **contestants):
        """Seconds (or what they return) of each, taken in turns."""
        samples = {name: [] for name in contestants}
        for _ in range(self.repeat):
            for name, measure in contestants.items():
                samples[name].append(measure())
        return samples


# ---- rows ---------------------------------------------------------------------------------------


@dataclass
class Row:
    """One line of the table. `ours` and `peers` are samples; the ratio is of their medians. Where
    there is no peer the limit is for our own median."""

    work: str
    peer: str
    ours: list
    peers: list = field(default_factory=list)
    unit: str = "s"
    at_most: float = None
    at_least: float = None  # of throughput, where samples are seconds: 1 / ratio

    def mine(self):
        return statistics.median(self.ours)

    def theirs(self):
        return statistics.median(self.peers) if self.peers else None

    def value(self):
        """What the limit is for."""
        if not self.peers:
            return self.mine()
        ratio = self.mine() / self.theirs()
        return 1 / ratio if self.at_least else ratio

    def limit(self):
        if self.at_least:
            return f"{self.at_least:g} at least"
        return f"{self.at_most:g}" if self.at_most else ""

    def met(self):
        """True, False, or None where there is no limit."""
        if self.at_least:
            return self.value() >= self.at_least
        return self.value() <= self.at_most if self.at_most else None

    def verdict(self):
        return {True: "met", False: "MISSED", None: ""}[self.met()]

    def as_dict(self):
        return asdict(self) | {"value": self.value(), "met": self.met()}

    def cells(self):
        ours = show(self.mine(), self.unit)
        peers = show(self.theirs(), self.unit) if self.peers else ""
        value = f"{self.value():.3g}" if self.peers else ""
        return [self.work, ours, self.peer, peers, value, self.limit(), self.verdict()]


def show(value, unit):
    if unit == "s" and value < 0.1:
        return f"{value * 1000:.3g} ms"
    return f"{value:.3g} {unit}".rstrip()


HEADINGS = ["work", "derivfs", "peer", "peer's", "ratio", "at most", ""]


def describe_machine(bench):
    with open("/proc/cpuinfo") as file:
        model = re.search(r"^model name\s*: (.*)", file.read(), re.M)
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    about = output(f"{bench.bin}/derivfs", "--version")
    listed = output("dpkg-query", "-W", "-f", "${Package} ${Version}, ", *PACKAGES.split())
    return {
        "processor": f"{model[1] if model else platform.machine()}, {CPUS} CPUs",
        "memory": f"{memory / 2**30:.1f} GiB",
        "kernel": platform.release(),
        "load": f"{os.getloadavg()[0]:.1f} at the start",
        "derivfs": re.search(r"(?<=derivfs )\S+|$", about)[0],
        "commit": output("git", "-C", ROOT, "describe", "--always", "--dirty"),
        "packages": listed.rstrip(", "),
    }


def print_header(machine, markdown):
    for name, value in machine.items():
        print(f"- {name}: {value}" if markdown else f"{name:12}{value}")
    print()


def print_table(rows, markdown):
    """Rows of cells; the first one is the headings."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for number, row in enumerate(rows):
        if markdown:
            print("| " + " | ".join(row) + " |")
            if number == 0:
                print("|" + "---|" * len(row))
        else:
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
    print(flush=True)
