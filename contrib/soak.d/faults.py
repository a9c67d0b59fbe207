# SPDX-License-Identifier: MIT
"""Fail system calls: each on the way from a name to a result, with each errno, once and for ever.

Results must be right or reading must fail, and all must be right two seconds after the fault has gone.
tests/faults/faults.py says more. All kinds together take an hour or more.
"""

import os
import subprocess

from world import ROOT


def options(parser):
    parser.add_argument("--bin", metavar="DIR", default=f"{ROOT}/build/mount", help="of the programs")
    parser.add_argument("--only", default="", help="kinds of calls: source, cache, recipes, memory (default: all)")
    parser.add_argument("--calls", default="", help="of these, such as openat2,pread (default: all)")


def main(parsed):
    shim = os.path.join(parsed.bin, "../tests/libfaults.so")
    command = [f"{ROOT}/tests/faults/faults.py", "--long", "--bin", parsed.bin, "--shim", shim]
    return subprocess.run([*command, "--only", parsed.only, "--calls", parsed.calls], check=False).returncode
