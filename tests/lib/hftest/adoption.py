# SPDX-License-Identifier: LGPL-2.1-or-later
"""A host with a stock virtlockd that holdfast adopt is tried on, in a mount namespace."""

import json
import os
import signal
import subprocess

from hftest import daemons
from hftest.command import Cli, catches
from hftest.processes import until

OK, USAGE, NO_DAEMON, SYSTEM, HELD, DENIED, CONFIG = 0, 64, 69, 71, 75, 77, 78
# What its mounts are called.
MOUNTED = "holdfast-adopt"


def crippled(folder):
    """A holdfastd that has too few descriptors for a server, and can get no more."""
    wrapper = os.path.join(folder, "crippled-holdfastd")
    with open(wrapper, "w", encoding="ascii") as out:
        out.write('#!/bin/sh\ncase "$*" in *--version*) ;; *) ulimit -n 16 ;; esac\n'
                  f'exec {daemons.HOLDFASTD} "$@"\n')
    os.chmod(wrapper, 0o755)
    return {"HOLDFAST_DAEMON": wrapper}


class Host:
    """A /run with a virtlockd in it, and the command as root of that host."""

    def __init__(self, nursery, folder, virtlockd):
        self.nursery, self.folder = nursery, folder
        self.stock = virtlockd()
        self.cli = Cli(nursery, folder, "")
        del self.cli.env["HOLDFAST_RUN_DIR"]

    def command(self, *words, **how):
        return self.cli(*words, **how,
                        prefix=["nsenter", "-m", "-t", str(self.stock.pid), "--"])

    def adopt(self, *words, **how):
        """Returns when the daemon, whichever it is by then, would end as it should."""
        answer = self.command("adopt", *words, **how)
        until(lambda: catches(self.stock.pid, signal.SIGTERM)
              or not daemons.is_program(self.stock.pid, "virtlockd"), "virtlockd has begun", 60)
        return answer

    def plan(self, *words):
        answer = self.adopt("--dry-run", "--json", *words)
        return answer.returncode, json.loads(answer.stdout)

    def findings(self):
        """The keys of what makes it unsafe, and of what is only noted."""
        status, plan = self.plan()
        stops = {finding["key"] for finding in plan["findings"] if finding["stops"]}
        assert status == (HELD if stops else OK) and plan["safe"] == (not stops)
        return stops, {finding["key"] for finding in plan["findings"] if not finding["stops"]}

    def vm(self, name, *disks):
        """A VM that uses these disks and has them locked; its connection."""
        vm = self.nursery.vm(name)
        connection = vm.own_connection(self.stock)
        for path in disks:
            vm.open(path)
            answer = connection.acquire(path)
            assert answer.ok, answer
        return vm, connection

    def run(self, *argv):
        """A command within, that has to succeed."""
        return subprocess.run(["nsenter", "-m", "-t", str(self.stock.pid), "--", *argv],
                              check=True, capture_output=True, text=True, timeout=30).stdout

    def mounts(self):
        with open(f"/proc/{self.stock.pid}/mountinfo", encoding="utf-8") as text:
            return [line for line in text if MOUNTED in line]
