# SPDX-License-Identifier: LGPL-2.1-or-later
"""holdfast-consoled, moved as a whole below a directory of the test, and terminals for it."""

import os
import select
import signal
import time
import tty

from . import console_wire
from .daemons import BUILD, Holdfastd, name_of, read_pid
from .processes import children, is_there, kill_family, until

CONSOLED = os.path.join(BUILD, "src", "console", "holdfast-consoled")

GUARD = "console-guard"
LOGGER = "holdfast-log"


class Consoled(Holdfastd):
    """Our daemon of consoles. Lock files are made below its folder unless the conf says."""

    name = "holdfast-consoled"

    def __init__(self, nursery, directory, conf="", **how):
        self.locks = os.path.join(directory, "locks")
        os.makedirs(self.locks, exist_ok=True)
        if how.get("uid") is not None:
            os.chown(self.locks, how["uid"], how["uid"])
        if "lock_files" not in conf:
            conf = f'lock_files = "{self.locks}"\n' + conf
        super().__init__(nursery, directory, conf=conf, **how)

    def command(self):
        assert os.access(CONSOLED, os.X_OK), f"{CONSOLED} is not built"
        return [CONSOLED, *self.argv()]

    def argv(self):
        if self.exactly is not None:
            return list(self.exactly)
        return ["-v", "-f", self.conf, *self.args]

    @property
    def socket(self):
        return f"{self.run_dir}/holdfast/console-sock"

    @property
    def socket_ro(self):
        return f"{self.run_dir}/holdfast/console-sock-ro"

    @property
    def logs(self):
        return f"{self.run_dir}/consoles"

    @property
    def pid(self):
        pid = read_pid(f"{self.run_dir}/holdfast/holdfast-consoled.pid")
        return pid if pid and is_there(pid) else self.process.pid

    def kill_rest(self):
        pid = read_pid(f"{self.run_dir}/holdfast/holdfast-consoled.pid")
        started = [child.pid for child in self.nursery.children]
        if pid and is_there(pid) and pid not in started:
            kill_family(pid)

    def _named(self, names):
        return [pid for pid in children(self.pid) if name_of(pid) in names]

    @property
    def server_pid(self):
        others = (GUARD, LOGGER, "holdfast-worker")
        servers = [pid for pid in children(self.pid) if name_of(pid) not in others]
        return servers[0] if servers else self.pid

    @property
    def guard_pid(self):
        """None for the moment between two of them."""
        return (self._named((GUARD,)) or [None])[0]

    @property
    def logger_pid(self):
        return (self._named((LOGGER,)) or [None])[0]

    def kill(self):
        """SIGKILL for all of it at once, without those whom it leaves to clean up."""
        self.expected_to_live = False
        pids = {self.server_pid, self.pid}
        # Stopped first: the one that is killed last would replace the other.
        for sign in (signal.SIGSTOP, signal.SIGKILL):
            for pid in pids:
                os.kill(pid, sign)
        self.process.wait(20)

    def attach(self, **how):
        return console_wire.Client(self.socket, **how)

    def consoles(self, **how):
        return console_wire.consoles(self.socket, **how)

    def until_free(self):
        """Nothing is held any more."""
        until(lambda: not self.consoles(), "the last console's end", 20)


class Terminal:
    """A pair: the guest's side is ours, the path is for the daemon."""

    def __init__(self):
        self.master, slave = os.openpty()
        self.path = os.ttyname(slave)
        tty.setraw(slave)
        os.close(slave)
        os.set_blocking(self.master, False)
        self.heard = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self.master >= 0:
            os.close(self.master)
        self.master = -1

    def print(self, data, timeout=30):
        """All of it, as far as the other side takes it."""
        end = time.monotonic() + timeout
        while data:
            assert time.monotonic() < end, "what the guest prints is not taken"
            select.select([], [self.master], [], 1)
            try:
                data = data[os.write(self.master, data):]
            except BlockingIOError:
                pass

    def hear(self, timeout=0.05):
        """More of what was typed."""
        if select.select([self.master], [], [], timeout)[0]:
            try:
                self.heard += os.read(self.master, 65536)
            except (BlockingIOError, OSError):
                pass
        return self.heard

    def hear_until(self, text, timeout=30):
        end = time.monotonic() + timeout
        while text not in self.heard:
            assert time.monotonic() < end, (text, self.heard[-1000:])
            self.hear()
        return self.heard
