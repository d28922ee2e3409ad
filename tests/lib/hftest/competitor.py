# SPDX-License-Identifier: LGPL-2.1-or-later
"""Somebody who wants every disk, all the time: run as a program it tries to lock byte 0 of each
file, by turns as POSIX and as OFD lock, gives back what it gets, and counts. After "--shared" it
wants to share them.

Told "count" it prints how often it tried and which files it got; it ends with its input.
"""

import collections
import fcntl
import json
import os
import select
import struct
import subprocess
import sys

F_OFD_SETLK = 37
STOP_DEADLINE = 10


def flock(kind):
    return struct.pack("hhqqi4x", kind, os.SEEK_SET, 0, 1, 0)


def main(paths):
    mode = fcntl.F_WRLCK
    if paths[0] == "--shared":
        mode, paths = fcntl.F_RDLCK, paths[1:]
    # One descriptor each: the second one's close would give a POSIX lock back.
    fds = [os.open(path, os.O_RDWR) for path in paths]
    tries, got = 0, collections.Counter()
    print("ready", flush=True)
    while True:
        for path, fd in zip(paths, fds):
            for command in (fcntl.F_SETLK, F_OFD_SETLK):
                tries += 1
                try:
                    fcntl.fcntl(fd, command, flock(mode))
                except (BlockingIOError, PermissionError):
                    continue
                got[path] += 1
                fcntl.fcntl(fd, command, flock(fcntl.F_UNLCK))
        if select.select([sys.stdin], [], [], 0)[0]:
            if not sys.stdin.readline():
                return
            print(json.dumps({"tries": tries, "got": got}), flush=True)
            tries, got = 0, collections.Counter()


class Competitor:
    def __init__(self, nursery, paths, shared=False):
        how = ["--shared"] if shared else []
        self.child = nursery.spawn(
            [sys.executable, "-I", "-S", os.path.abspath(__file__), *how, *paths],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.child.stdout.readline() == "ready\n"

    def count(self):
        """(tries, how often it got which file) since the last time it was asked."""
        self.child.stdin.write("count\n")
        self.child.stdin.flush()
        answer = json.loads(self.child.stdout.readline())
        return answer["tries"], answer["got"]

    def tries(self, n):
        """Waits until it has tried so often; what it got meanwhile."""
        got = collections.Counter()
        while n > 0:
            tries, more = self.count()
            n -= tries
            got.update(more)
        return got

    def stop(self):
        self.child.stdin.close()
        assert self.child.wait(STOP_DEADLINE) == 0


if __name__ == "__main__":
    main(sys.argv[1:])
