#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""fake_mount.py DIR MOUNTPOINT UID: what user UID might mount to deceive others.

The tree DIR, read-only, under the type and with the owner of a derivfs that UID has mounted, readable
by everybody. Needs root. Runs until it is unmounted.
"""
import ctypes
import errno
import os
import struct
import sys

LOOKUP, GETATTR, OPEN, READ, INIT, OPENDIR = 1, 3, 14, 15, 26, 27
NO_ANSWER = {2, 36, 42}  # forget, interrupt

top, mountpoint, uid = sys.argv[1], sys.argv[2], int(sys.argv[3])
fd = os.open("/dev/fuse", os.O_RDWR)
options = f"fd={fd},rootmode=40000,user_id={uid},group_id={uid},allow_other"
libc = ctypes.CDLL(None, use_errno=True)
if libc.mount(b"fake", os.fsencode(mountpoint), b"fuse.derivfs", 0, options.encode()) != 0:
    sys.exit(f"{mountpoint}: {os.strerror(ctypes.get_errno())}")
paths = {1: top}  # by node


def attributes(node):
    st = os.stat(paths[node])
    return struct.pack("<6Q10I", node, st.st_size, 1, 0, 0, 0, 0, 0, 0, st.st_mode | 0o555, 1,
                       uid, uid, 0, 4096, 0)


def answer(op, node, body):
    if op == INIT:
        return struct.pack("<4I2H2I2H8I", 7, 31, 65536, 0, 1, 1, 65536, 1, 1, 0, *[0] * 8)
    if op == LOOKUP:
        path = os.path.join(paths[node], os.fsdecode(body.rstrip(b"\0")))
        child = os.stat(path).st_ino + 1
        paths[child] = path
        return struct.pack("<4Q2I", child, 0, 1, 1, 0, 0) + attributes(child)
    if op == GETATTR:
        return struct.pack("<QII", 1, 0, 0) + attributes(node)
    if op in (OPEN, OPENDIR):
        return struct.pack("<QII", 0, 0, 0)
    if op == READ:
        _, offset, size = struct.unpack_from("<QQI", body)
        with open(paths[node], "rb") as f:
            return f.read()[offset:offset + size]
    raise OSError(errno.ENOSYS, "")


while True:
    try:
        request = os.read(fd, 1 << 20)
    except OSError as e:
        if e.errno == errno.ENODEV:
            break
        continue
    _, op, unique, node = struct.unpack_from("<IIQQ", request)
    if op in NO_ANSWER:
        continue
    try:
        code, body = 0, answer(op, node, request[40:])
    except OSError as e:
        code, body = -e.errno, b""
    os.write(fd, struct.pack("<IiQ", 16 + len(body), code, unique) + body)
