# SPDX-License-Identifier: LGPL-2.1-or-later
"""Persistent reservation helpers in a guest: QEMU's own, and ours."""

import os
import socket
import subprocess

from hftest import daemons

from .report import until

STOCK = "/usr/bin/qemu-pr-helper"
OURS = os.path.join(daemons.BUILD, "src", "prhelper", "holdfast-pr-helper")
PROGRAMS = {"stock": STOCK, "ours": OURS}
# For everybody: a VMM that is to use it has no rights of its own.
OPEN = 0o666


def answers(path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except (FileNotFoundError, ConnectionRefusedError):
            return False
    return True


class Helper:
    """One that runs, started as libvirt does: -k PATH and nothing else."""

    def __init__(self, nursery, side, folder="/run", name=None):
        self.nursery, self.side = nursery, side
        self.socket = f"{folder}/{name or side}.sock"
        self.log = f"{self.socket}.log"
        self.start()

    def start(self):
        # What it says, of all its lives.
        with open(self.log, "ab") as log:
            self.child = self.nursery.spawn([PROGRAMS[self.side], "-k", self.socket],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until(lambda: answers(self.socket) or self.child.poll() is not None,
              f"{self.side} answers")
        if self.child.poll() is not None:
            raise OSError(f"{self.side} ended with {self.child.returncode}: {self.said()}")
        os.chmod(self.socket, OPEN)

    def said(self):
        with open(self.log, encoding="utf-8", errors="replace") as text:
            return text.read()

    def kill(self):
        self.child.kill()
        self.child.wait()

    def stop(self):
        """As a service manager does; its exit status."""
        self.child.terminate()
        return self.child.wait(20)
