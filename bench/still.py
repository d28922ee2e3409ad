# SPDX-License-Identifier: LGPL-2.1-or-later
"""A filesystem that does not answer while it is stopped (tests/fault/stillfs.c)."""

import contextlib
import os
import signal
import subprocess
import time

START_SECONDS = 10


class Still:
    """Mounted in our namespace, before there is a daemon, so that each one sees it."""

    def __init__(self, program, work):
        self.point = os.path.join(work, 'still')
        self.file = os.path.join(self.point, 'disk')
        os.mkdir(self.point)
        self.process = subprocess.Popen([program, '-f', '-s', self.point],
                                        stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + START_SECONDS
        while not os.path.ismount(self.point):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise OSError(f'{program} mounts nothing')
            time.sleep(0.005)
        with open(self.file, 'wb'):
            pass

    @contextlib.contextmanager
    def stopped(self):
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)


def make(program, work):
    """A Still, or None where the program or /dev/fuse is missing."""
    if not os.access(program, os.X_OK):
        return None
    try:
        return Still(program, work)
    except OSError:
        return None
