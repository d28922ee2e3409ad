# SPDX-License-Identifier: LGPL-2.1-or-later
"""Filesystems that stop answering when they are told to, in mount namespaces of a test.

tests/fault/stillfs is stopped and continued by signals. `leased` makes a daemon take it for NFSv4
(tests/fault/leased.c): its locks have a lease of 5 s then, and it can give them up.
"""

import os
import signal
import subprocess

import pytest

from .daemons import BUILD
from .processes import state_of, until

STILLFS = os.path.join(BUILD, "tests", "fault", "stillfs")
LEASED = os.path.join(BUILD, "tests", "fault", "leased.so")
# What a lease lasts of which nothing is said (daemon/lease-clock.h); VMs are dealt with before.
LEASE = 5.0


def is_stopped(pid):
    return state_of(pid) == "T"


def need_mounts():
    if os.geteuid() != 0:
        pytest.skip("mounts need root")


def need_stillfs():
    need_mounts()
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("no /dev/fuse here")
    if not os.access(STILLFS, os.X_OK):
        pytest.skip("stillfs was not built: libfuse3 is missing (Debian: libfuse3-dev)")


class Namespace:
    """Mounts of our own."""

    def __init__(self, nursery, folder):
        self.nursery = nursery
        self.point = os.path.join(folder, "mnt")
        os.mkdir(self.point)
        self.holder = nursery.spawn(["unshare", "-m", "--propagation", "private", "sleep", "600"],
                                    stdin=subprocess.DEVNULL)
        ours = os.readlink("/proc/self/ns/mnt")
        until(lambda: os.readlink(f"/proc/{self.holder.pid}/ns/mnt") != ours, "a namespace")
        self.enter = ["nsenter", "-t", str(self.holder.pid), "-m", "--"]

    def path(self, name):
        """For those inside."""
        return os.path.join(self.point, name)

    def outside(self, name):
        """The same file, for us."""
        return f"/proc/{self.holder.pid}/root{self.point}/{name}"

    def make(self, name="disk"):
        with open(self.outside(name), "wb"):
            pass
        return self.path(name)

    def run(self, *words):
        subprocess.run([*self.enter, *words], check=True, stdin=subprocess.DEVNULL,
                       capture_output=True, timeout=20)


class Still(Namespace):
    """A filesystem that stops answering when it is told to."""

    def __init__(self, nursery, folder):
        super().__init__(nursery, folder)
        self.process = nursery.spawn([*self.enter, STILLFS, "-f", "-s", self.point],
                                     stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        until(lambda: os.path.ismount(f"/proc/{self.holder.pid}/root{self.point}") or
              self.process.poll() is not None, "stillfs is mounted")
        assert self.process.poll() is None, self.process.stderr.read()
        nursery.at_end(self.go)

    def stop(self):
        self.process.send_signal(signal.SIGSTOP)
        until(lambda: is_stopped(self.process.pid), "stillfs has stopped")

    def go(self):
        self.process.send_signal(signal.SIGCONT)

    def give_up_locks(self):
        """All of them, as a server does with those of a client that it has not heard of."""
        self.process.send_signal(signal.SIGUSR1)


def leased():
    """Variables for a daemon to which a Still is an NFS mount."""
    # A sanitizer does not mind that it is not the first library.
    asan = os.environ.get("ASAN_OPTIONS", "")
    return {"LD_PRELOAD": LEASED, "ASAN_OPTIONS": f"{asan}:verify_asan_link_order=0".lstrip(":")}
