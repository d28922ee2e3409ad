# SPDX-License-Identifier: LGPL-2.1-or-later
"""A stand-in for what systemd does with the descriptors that a service leaves with it.

It serves NOTIFY_SOCKET, keeps what comes with FDSTORE=1 by its name until FDSTOREREMOVE=1,
and starts the daemon again with all of it, as systemd does: from descriptor 3 on, with
LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES.
"""

import os
import socket
import sys
import threading

from .processes import STOP_DEADLINE

# Puts the descriptors where systemd would, says so in the environment, becomes the daemon.
LAUNCHER = """
import fcntl, os, sys
count = int(sys.argv[1])
given = [fcntl.fcntl(int(fd), fcntl.F_DUPFD, 100) for fd in sys.argv[2:2 + count]]
for fd in sys.argv[2:2 + count]:
    os.close(int(fd))
for at, fd in enumerate(given):
    os.dup2(fd, 3 + at)
    os.close(fd)
os.environ["LISTEN_PID"] = str(os.getpid())
os.environ["LISTEN_FDS"] = str(count)
if sys.argv[2 + count]:
    os.environ["LISTEN_FDNAMES"] = sys.argv[2 + count]
os.execvp(sys.argv[3 + count], sys.argv[3 + count:])
"""


def launcher(fds, names):
    """The words in front of a daemon's command that hand descriptors over to it."""
    return [sys.executable, "-I", "-S", "-c", LAUNCHER, str(len(fds)), *map(str, fds),
            ":".join(names)]


class FdStore:
    """room: how many descriptors it keeps, as FileDescriptorStoreMax= says; more are closed.
    enter: words in front of each daemon's command, as of nsenter."""

    def __init__(self, nursery, folder, room=16, enter=()):
        self.path = os.path.join(folder, "notify")
        self.room, self.enter = room, list(enter)
        self.stored = []  # (name, fd), the oldest first
        self.history = []  # what was asked for: ("store" or "remove", name)
        self.marks = threading.Semaphore(0)
        self.server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.server.bind(self.path)
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()
        nursery.at_end(self.close)

    def serve(self):
        while True:
            data, fds, _, _ = socket.recv_fds(self.server, 4096, 8)
            if data == b"end":
                return
            if data == b"mark":
                self.marks.release()
                continue
            self.take(dict(line.split("=", 1) for line in data.decode().split("\n") if line), fds)

    def take(self, words, fds):
        name = words.get("FDNAME", "stored")
        if words.get("FDSTORE") == "1":
            self.history.append(("store", name))
            assert words.get("FDPOLL") == "0", "a lot whose sender has ended is not to be dropped"
            for fd in fds:
                if len(self.stored) < self.room:
                    self.stored.append((name, fd))
                else:
                    os.close(fd)
            return
        for fd in fds:
            os.close(fd)
        if words.get("FDSTOREREMOVE") == "1":
            self.history.append(("remove", name))
            for entry in [entry for entry in self.stored if entry[0] == name]:
                self.stored.remove(entry)
                os.close(entry[1])

    def tell(self, word):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
            client.connect(self.path)
            client.send(word)

    def settle(self):
        """Returns when all that was sent so far has been dealt with."""
        self.tell(b"mark")
        assert self.marks.acquire(timeout=STOP_DEADLINE), "the stand-in for systemd has died"

    @property
    def names(self):
        self.settle()
        return [name for name, _ in self.stored]

    def start(self, daemon, wait=True):
        """Starts the daemon, for the first time or again, as systemd would."""
        self.settle()
        fds = [fd for _, fd in self.stored]
        daemon.extra_env["NOTIFY_SOCKET"] = self.path
        names = [name for name, _ in self.stored]
        daemon.wrapper = self.enter + (launcher(fds, names) if fds else [])
        daemon.pass_fds = fds
        daemon.start(wait=wait)
        return daemon

    def close(self):
        self.tell(b"end")
        self.thread.join(STOP_DEADLINE)
        self.server.close()
        for _, fd in self.stored:
            os.close(fd)
