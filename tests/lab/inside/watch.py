# SPDX-License-Identifier: LGPL-2.1-or-later
"""How long byte 0 of a file is not locked, looked at all the time and without ever locking it."""

import fcntl
import os
import struct
import threading
import time

F_OFD_GETLK = 36
FLOCK = "hhqqi4x"
EACH_S = 0.002


class Watch:
    """Of each file: the moments when it was found free, the first and the last."""

    def __init__(self, *paths):
        self.fds = {path: os.open(path, os.O_RDWR | os.O_CLOEXEC) for path in paths}
        self.free, self.looks = {}, 0
        self.lock, self.over = threading.Lock(), threading.Event()
        self.thread = threading.Thread(target=self.look_on, daemon=True)
        self.thread.start()

    def is_free(self, path):
        asked = struct.pack(FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 1, 0)
        return struct.unpack(FLOCK, fcntl.fcntl(self.fds[path], F_OFD_GETLK, asked))[0] == \
            fcntl.F_UNLCK

    def look_on(self):
        while not self.over.wait(EACH_S):
            for path in self.fds:
                if self.is_free(path):
                    now = time.monotonic()
                    with self.lock:
                        self.free.setdefault(path, [now, now])[1] = now
            self.looks += 1

    def gaps(self):
        """{path: seconds} since the last call, of the files that were free."""
        with self.lock:
            found = {path: round(last - first, 3) for path, (first, last) in self.free.items()}
            self.free = {}
        return found

    def stop(self):
        self.over.set()
        self.thread.join()
        for fd in self.fds.values():
            os.close(fd)
