#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""serve.py SOCKET PID: run programs of this directory for tests, until the process PID has ended.

Most of their time is the start of Python, numpy and nibabel. Here that is done once: each request
is answered by a fork, which has the caller's arguments, working directory, stdin, stdout and stderr,
and gives back the exit status. `ask` asks.
"""

import importlib
import os
import select
import signal
import socket
import sys
import traceback

PROGRAMS = "inputs", "make_run", "reference"


def run(program, words):
    sys.argv = [program, *words]
    try:
        status = importlib.import_module(program).main()
    except SystemExit as end:
        status = end.code
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return int(status or 0)


def answer(client):
    message, fds, _, _ = socket.recv_fds(client, 1 << 18, 4)
    for target, fd in enumerate(fds[:3]):
        os.dup2(fd, target)
    os.fchdir(fds[3])
    for fd in fds:
        os.close(fd)
    program, *words = os.fsdecode(message).split("\0")
    client.send(bytes([run(program, words)]))


def main():
    path, pid = sys.argv[1:]
    for program in PROGRAMS:
        importlib.import_module(program)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # no zombies
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    owner = os.pidfd_open(int(pid))
    listener.bind(path + ".new")
    listener.listen(100)
    os.rename(path + ".new", path)  # where it is, it answers
    while owner not in select.select([listener, owner], [], [])[0]:
        client, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            os.close(owner)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            answer(client)
            os._exit(0)
        client.close()


if __name__ == "__main__":
    main()
