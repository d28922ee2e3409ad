# SPDX-License-Identifier: LGPL-2.1-or-later
"""VMs of three hosts take turns with a disk on which each counts: no update is ever lost.

A VM lives on a host, has a disk for a moment, and counts. Then it is paused and resumed with its
state, or moves to another host with it; or it is killed while it counts; or it is stopped while it
counts, and goes on; or it ends. The disk's first bytes are the sum and each VM's own count. Two VMs that
have the disk at once write over each other, and one of them misses what it had counted.

HF_SANLOCK_TORTURE_SECONDS says for how long (5), HF_SANLOCK_TORTURE_SEED which course it takes.
"""

import collections
import os
import random
import signal
import struct
import threading
import time

from hftest import processes
from hftest.processes import until

SECONDS = float(os.environ.get("HF_SANLOCK_TORTURE_SECONDS", "5"))
SEED = int(os.environ.get("HF_SANLOCK_TORTURE_SEED", "0")) or random.randrange(1, 1 << 30)
VMS, DISKS = 5, 2
# Of one time of counting; and how long each VM thinks between reading and writing.
COUNTS, THINKING = 4, 0.002
BUSY, STALE = 3, 11
RECORD = struct.Struct(f"<{VMS + 1}Q")
# How long a VM waits for a disk before it tries something else, and between tries.
TURN, PAUSE = 3.0, 0.005


class Fault(AssertionError):
    """Something that must not happen."""


class Shared:
    """What all VMs have in common."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.disks = [cluster.disk() for _ in range(DISKS)]
        for disk in self.disks:
            with open(disk, "r+b") as out:
                out.write(RECORD.pack(*[0] * (VMS + 1)))
        self.end = time.monotonic() + SECONDS
        self.done = collections.Counter()
        self.faults = []

    def record(self, disk):
        with open(disk, "rb") as file:
            total, *counts = RECORD.unpack(file.read(RECORD.size))
        return total, counts


class Vm(threading.Thread):
    """One VM, which lives on one host after another. Its thread is whoever manages it."""

    def __init__(self, shared, number):
        super().__init__(name=f"vm{number}")
        self.shared = shared
        self.number = number
        self.random = random.Random(SEED * 1000 + number)
        self.host = self.random.choice(shared.cluster.hosts)
        self.vmm = self.manager = self.disk = None
        # How far it has counted on each disk: at least, and at most where it was killed.
        self.least, self.most = [0] * DISKS, [0] * DISKS

    def run(self):
        try:
            while time.monotonic() < self.shared.end and not self.shared.faults:
                self.live()
        except Exception as fault:  # pylint: disable=broad-except
            self.shared.faults.append(f"{self.name} on {self.host.name}: {fault!r}")

    # What it does

    def live(self):
        """From a start to an end of its process."""
        self.disk = self.random.randrange(DISKS)
        self.place(self.host)
        if self.take():
            what = self.random.choice((self.resume, self.move, self.stop, self.kill, self.exit))
            self.shared.done[what.__name__] += 1
            what()
        self.leave()

    def place(self, host):
        """A VMM of its own on that host, which has nothing yet."""
        path = self.shared.disks[self.disk]
        self.host = host
        self.vmm = host.vm(self.name, path)
        self.vmm.must("start", paused=True)
        self.manager = host.manager(self.vmm, path, name=self.name)

    def leave(self):
        self.end(self.vmm, self.manager)

    def end(self, *ended):
        for peer in ended:
            self.shared.cluster.guests.end(peer.process)

    def take(self, state=None, before=None):
        """Whether it gets the disk; with a state only if nobody had it since."""
        end = time.monotonic() + TURN
        while time.monotonic() < end:
            timeouts = self.host.timeouts()
            answer = self.manager.resume(state=state)
            if answer["r"] >= 0:
                if before is not None and self.total() != before:
                    raise Fault(f"resumed at {before}, but others have counted to {self.total()}")
                return True
            if answer["code"] == STALE:
                self.shared.done["stale"] += 1
                return False
            if answer["code"] != BUSY and self.host.timeouts() == timeouts:
                raise Fault(f"neither taken nor refused: {answer}")
            self.shared.done["refused"] += 1
            time.sleep(PAUSE)
        return False

    def total(self):
        return self.shared.record(self.shared.disks[self.disk])[0]

    def begin_count(self):
        self.vmm.begin("count", path=self.shared.disks[self.disk], who=self.number, times=COUNTS,
                       least=self.least[self.disk], most=self.most[self.disk], vms=VMS,
                       thinking=THINKING)

    def end_count(self):
        answer = self.vmm.answer("count")
        if answer["r"] < 0:
            raise Fault(answer["text"])
        self.least[self.disk] = self.most[self.disk] = answer["r"]
        self.shared.done["turns"] += 1

    def count(self):
        self.begin_count()
        self.end_count()

    def pause(self):
        """Gives the disk back; the state, and how far all had counted then."""
        before = self.total()
        return self.manager.must("pause")["state"], before

    # What becomes of it when it has the disk.

    def resume(self):
        self.count()
        state, before = self.pause()
        time.sleep(self.random.random() * 0.02)
        if self.take(state, before):
            self.shared.done["resumed"] += 1
            self.count()

    def move(self):
        self.count()
        source = self.vmm, self.manager
        state, before = self.pause()
        self.place(self.random.choice([h for h in self.shared.cluster.hosts if h != self.host]))
        self.end(*source)
        if self.take(state, before):
            self.shared.done["moved"] += 1
            self.count()

    def stop(self):
        """Its process stands still while it counts; it keeps the disk meanwhile."""
        self.begin_count()
        os.kill(self.vmm.pid, signal.SIGSTOP)
        until(lambda: processes.state_of(self.vmm.pid) == "T", "it stands still")
        before = self.total()
        time.sleep(self.random.random() * 0.1)
        if self.total() != before:
            raise Fault("others count on the disk of a VM that stands still")
        os.kill(self.vmm.pid, signal.SIGCONT)
        self.end_count()

    def kill(self):
        self.begin_count()
        time.sleep(self.random.random() * THINKING * COUNTS)
        self.most[self.disk] += COUNTS

    def exit(self):
        self.count()
        self.vmm.end()


def test_no_count_is_lost_while_vms_of_three_hosts_take_turns(cluster):
    shared = Shared(cluster)
    vms = [Vm(shared, number) for number in range(VMS)]
    for vm in vms:
        vm.start()
    for vm in vms:
        vm.join()
    print(f"seed {SEED}, {SECONDS:.0f} s: {dict(shared.done)}, "
          f"timeouts of the disk {[host.timeouts() for host in cluster.hosts]}")
    assert not shared.faults, f"seed {SEED}: {shared.faults}"
    for index, disk in enumerate(shared.disks):
        total, counts = shared.record(disk)
        assert total == sum(counts), (SEED, counts)
        for vm in vms:
            assert vm.least[index] <= counts[vm.number] <= vm.most[index], (SEED, vm.name, counts)
    assert shared.done["turns"] > SECONDS
