#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Swap a directory, or files in it, under a mount, and print what that lets through.

swap.py DATASET_DIR MOUNT_DIR HOW: `d` in the first is the caller's own; HOW is how it is swapped.
"""
import os
import sys

source, mounted, how = sys.argv[1:]
here, there = f"{source}/d", f"{mounted}/d"
derived = ["tsnr.nii", "tsnr.json", "mean.nii.gz", "tsnr.png", "tsnr.svg", "tsnr.tsv",
           "run_stat-mean_boldmap.nii"]


def read(name, **where):
    with open(os.open(name, os.O_RDONLY, **where), "rb") as f:
        return f.read()


def attempt(what, *args, **where):
    """What it gives; None if it is refused."""
    try:
        return what(*args, **where)
    except OSError:
        return None


def look(directory):
    """Let the kernel remember all names, and get the contents that are public."""
    names = {n: attempt(read, n, dir_fd=directory) for n in os.listdir(directory)}
    for name in derived:
        names[name] = attempt(read, name, dir_fd=directory)
    return names


def swap():
    if how == "files":
        for name in ("run.nii", "text"):
            os.rename(f"{source}/{name}", f"{here}/{name}")
        return
    os.rename(here, f"{source}/old")
    if how == "link":
        os.symlink("../private", here)
    else:
        os.rename(f"{source}/private", here)


directory = os.open(there, os.O_RDONLY | os.O_DIRECTORY)
public = look(directory)
held = {name: os.open(name, os.O_PATH | os.O_NOFOLLOW, dir_fd=directory) for name in public}
for name in public:
    attempt(os.stat, f"{there}/{name}")
swap()
for _ in range(3):
    for name, content in public.items():
        ways = [
            attempt(read, name, dir_fd=directory),
            attempt(read, f"{there}/{name}"),
            attempt(read, f"/proc/self/fd/{held[name]}"),
        ]
        for got in ways:
            if got is not None and got != content:
                print(f"content of {name}")
    if attempt(os.readlink, "link", dir_fd=directory) == "/private":
        print("target of a link")
    again = attempt(os.open, ".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=directory)
    if again is not None:
        for name in attempt(os.listdir, again) or []:
            if name not in public:
                print(f"name {name}")
        os.close(again)
