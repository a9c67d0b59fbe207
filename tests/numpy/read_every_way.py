#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""read_every_way.py DIR: read DIR/NUMBER/mean.nii in a different way for each NUMBER, from 0, into the
file way.NUMBER; print how many ways there are.
"""

import mmap
import os
import shutil
import socket
import subprocess
import sys
import threading


def program(command):
    def way(path, out):
        text = command.format(path=path, out=out, dir=os.path.dirname(path))
        subprocess.run(["bash", "-ec", text], check=True)

    return way


def mapped(flags):
    def way(path, out):
        with open(path, "rb") as f, open(out, "wb") as o:
            with mmap.mmap(f.fileno(), 0, flags, mmap.PROT_READ) as m:
                o.write(m[:])

    return way


def mapped_backwards(path, out):
    with open(path, "rb") as f, open(out, "wb") as o:
        with mmap.mmap(f.fileno(), 0, mmap.MAP_SHARED, mmap.PROT_READ) as m:
            pages = [m[at : at + 4096] for at in reversed(range(0, len(m), 4096))]
        o.write(b"".join(reversed(pages)))


def sendfile_to_file(path, out):
    with open(path, "rb") as f, open(out, "wb") as o:
        at, total = 0, os.fstat(f.fileno()).st_size
        while at < total:
            n = os.sendfile(o.fileno(), f.fileno(), at, total - at)
            assert n > 0, f"sendfile ends at {at} of {total}"
            at += n


def sendfile_to_socket(path, out):
    left, right = socket.socketpair()

    def send():
        with open(path, "rb") as f:
            left.sendfile(f)
        left.close()

    sender = threading.Thread(target=send)
    sender.start()
    with open(out, "wb") as o:
        while data := right.recv(65536):
            o.write(data)
    sender.join()


def copy_file_range(path, out):
    with open(path, "rb") as f, open(out, "wb") as o:
        try:
            while os.copy_file_range(f.fileno(), o.fileno(), 1 << 20):
                pass
        except OSError:
            o.truncate(0)
            shutil.copyfile(path, out)


def backwards(path, out):
    with open(path, "rb", buffering=0) as f, open(out, "wb") as o:
        for at in reversed(range(0, os.fstat(f.fileno()).st_size, 1000)):
            data = b""
            while len(data) < 1000 and (more := os.pread(f.fileno(), 1000 - len(data), at + len(data))):
                data += more
            o.seek(at)
            o.write(data)


def vectors(path, out):
    with open(path, "rb") as f, open(out, "wb") as o:
        while True:
            parts = [bytearray(700), bytearray(5000)]
            n = os.readv(f.fileno(), parts)
            if n == 0:
                break
            o.write(b"".join(parts)[:n])


WAYS = [
    program("cat {path} >{out}"),
    program("cp {path} {out}"),
    program("cp --sparse=always {path} {out}"),
    program("cp --reflink=auto -p {path} {out}"),
    program("dd if={path} of={out} bs=1M status=none"),
    program("dd if={path} of={out} bs=777 status=none"),
    program("dd if={path} of={out} bs=4096 iflag=direct status=none"),
    program("tar -C {dir} -S -cf - mean.nii | tar -xO >{out}"),
    program("rsync {path} {out}"),
    program("rsync -c --inplace --no-whole-file {path} {out}"),
    program("tail -c +1 {path} >{out}"),
    program("gzip -c <{path} | gzip -dc >{out}"),
    program("split -b 3000 {path} {out}.part. && cat {out}.part.* >{out}"),
    mapped(mmap.MAP_SHARED),
    mapped(mmap.MAP_PRIVATE),
    mapped_backwards,
    sendfile_to_file,
    sendfile_to_socket,
    copy_file_range,
    backwards,
    vectors,
]

for number, way in enumerate(WAYS):
    way(f"{sys.argv[1]}/{number}/mean.nii", f"way.{number}")
print(len(WAYS))
