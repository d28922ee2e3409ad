# SPDX-License-Identifier: LGPL-2.1-or-later
"""A stock virtlockd in a mount namespace of its own, which executes our daemon in its place.

The namespace has an empty /run. There our daemon is bound over virtlockd's path for the moment of
the re-exec, as `holdfast adopt` does it.
"""

import os
import re
import signal
import subprocess

from . import daemons, own_program, wire
from .processes import STOP_DEADLINE, children, is_there, kill_family, until

# virtlockd's re-exec reads what it wrote, so this is soon; on a busy machine it may take a while.
DEADLINE = 60


def byte_zero_locks(path):
    """[(POSIX or OFDLCK, READ or WRITE)] of the locks on byte 0 of a file."""
    found = os.stat(path)
    name = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    with open("/proc/locks", encoding="ascii") as text:
        return sorted((kind, mode) for kind, mode in
                      re.findall(rf"(\w+) +\w+ +(\w+) +-?\d+ {name} 0 0$", text.read(), re.M))


class Handover(daemons.StockVirtlockd):
    """The stock daemon, and what it has become."""

    holder = None  # of the namespace, where it has one of its own
    line = ()  # servers that were seen, each of which may have taken its supervisor's place

    @property
    def pid(self):
        """That stands for it; after the supervisor's end the server, which has its place."""
        self.process.poll()
        living = [pid for pid in (self.process.pid, *self.line) if is_there(pid)]
        return living[0] if living else self.process.pid

    @property
    def alive(self):
        return is_there(self.pid)

    @property
    def server_pid(self):
        servers = [pid for pid in children(self.pid) if daemons.name_of(pid) != daemons.WORKER]
        if servers and servers[0] not in self.line:
            self.line = (*self.line, servers[0])
        return servers[0] if servers else self.pid

    @property
    def run_dir(self):
        return f"/proc/{self.pid}/root/run"

    @property
    def own_socket(self):
        return f"{self.run_dir}/holdfast/holdfast-sock"

    @property
    def own_socket_ro(self):
        return f"{self.run_dir}/holdfast/holdfast-sock-ro"

    @property
    def handover_file(self):
        return f"{self.run_dir}/virtlockd-restart-exec.json"

    def inside(self, *command):
        done = subprocess.run(["nsenter", "-m", "-t", str(self.pid), "--", *command],
                              capture_output=True, text=True, timeout=DEADLINE, check=False)
        assert done.returncode == 0, (command, done.stderr)
        return done.stdout

    def disguise(self, program=None):
        """Virtlockd's path leads to our daemon."""
        self.inside("mount", "--bind", program or daemons.holdfastd(), daemons.virtlockd())

    def undisguise(self):
        self.inside("umount", "-l", daemons.virtlockd())

    def is_ours(self):
        """Its link names the path of the moment, so it is the file that counts."""
        return os.path.samefile(f"/proc/{self.pid}/exe", daemons.holdfastd())

    def answers(self):
        """On our own socket, whose file an earlier one may have left."""
        try:
            with wire.Connection(self.own_socket_ro) as reader:
                own_program.locks(reader)
            return True
        except (FileNotFoundError, ConnectionRefusedError):
            return False

    def take_over(self):
        """Our daemon serves in its place, and knows where it will find a newer one."""
        self.disguise()
        os.makedirs(f"{self.run_dir}/holdfast", exist_ok=True)
        with open(f"{self.run_dir}/holdfast/holdfastd.path", "w", encoding="utf-8") as hint:
            hint.write(daemons.holdfastd() + "\n")
        os.kill(self.pid, signal.SIGUSR1)
        until(self.answers, "our daemon", DEADLINE)
        until(lambda: not os.path.exists(self.handover_file), "the end of the handover", DEADLINE)
        self.undisguise()
        return self

    def hold_namespace(self):
        """It outlives us: needed before all of ours end."""
        self.holder = self.nursery.spawn(["nsenter", "-m", "-t", str(self.pid), "--", "sleep",
                                          "600"], stdin=subprocess.DEVNULL)
        ours = os.readlink(f"/proc/{self.pid}/ns/mnt")
        until(lambda: os.readlink(f"/proc/{self.holder.pid}/ns/mnt") == ours, "the namespace")

    def command(self):
        """Once the namespace is held: our daemon itself, in it."""
        if not self.holder:
            return super().command()
        return ["nsenter", "-m", "-t", str(self.holder.pid), "--", daemons.holdfastd(),
                *self.argv()]

    def end_all(self):
        """Everything of ours at once."""
        self.expected_to_live = False
        self.kill_rest()
        self.process.wait(STOP_DEADLINE)
        self.line = ()

    def kill_rest(self):
        while self.process and is_there(self.pid):
            kill_family(self.pid)

    def stop(self):
        """Whatever it has become: a stock daemon that is told to stop kills its VMs."""
        if self.process:
            self.kill_rest()
            self.process.wait(STOP_DEADLINE)
