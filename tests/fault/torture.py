# SPDX-License-Identifier: LGPL-2.1-or-later
"""Clients that know every right answer, and a competitor, around a daemon that is disturbed."""

import json
import os
import signal
import subprocess
import sys
import time

from torture_client import DISKS

HERE = os.path.dirname(os.path.abspath(__file__))
# For a client to end: it waits for its last answers first.
PATIENCE = 90.0


class Torture:
    """Use it as a context; disturb the daemon within. Afterwards there are the results."""

    def __init__(self, nursery, daemon, folder, clients=2):
        self.nursery, self.daemon, self.folder, self.n = nursery, daemon, folder, clients
        self.shared = os.path.join(folder, "certain")
        self.results, self.hammered, self.seconds = [], None, 0.0

    def spawn(self, script, *words):
        return self.nursery.spawn([sys.executable, os.path.join(HERE, script), *map(str, words)],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)

    def __enter__(self):
        with open(self.shared, "wb") as out:
            out.write(bytes(8 * DISKS * self.n))
        for i in range(DISKS * self.n):
            with open(os.path.join(self.folder, f"disk{i}.img"), "wb"):
                pass
        self.clients = [self.spawn("torture_client.py", self.daemon.socket, self.folder,
                                   self.shared, i) for i in range(self.n)]
        self.hammer = self.spawn("torture_hammer.py", self.folder, self.shared)
        self.begin = time.monotonic()
        return self

    def finish(self, process):
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=PATIENCE)
        assert out, f"{process.args} said nothing"
        return json.loads(out)

    def __exit__(self, kind, *_):
        if kind:
            return
        self.seconds = time.monotonic() - self.begin
        self.results = [self.finish(client) for client in self.clients]
        self.hammered = self.finish(self.hammer)

    def check(self, what):
        """Prints the figures, and fails where one answer was wrong or one lock stolen."""
        answers = sum(r["answers"] for r in self.results)
        longest = max(r["longest"] for r in self.results)
        print(f"{what}: {answers} answers, {self.hammered['tries']} tries of a competitor in "
              f"{self.seconds:.1f} s, {self.hammered['thefts']} stolen, longest wait "
              f"{longest * 1000:.0f} ms")
        wrong = [r["wrong"] for r in self.results if r["wrong"]]
        assert not wrong, "\n".join([*wrong, self.daemon.log()])
        assert self.hammered["thefts"] == 0 and self.hammered["tries"] > 0 and answers > 0
