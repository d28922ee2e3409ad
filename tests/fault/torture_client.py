# SPDX-License-Identifier: LGPL-2.1-or-later
"""Two VMs with disks, that ask a lock daemon without pause and know the right answer to everything.

    torture_client.py SOCKET FOLDER SHARED SEED

Each request has a serial number; its answer must come once, in order, and be the right one. Which
disks are held for certain stands in SHARED, for torture_hammer.py. Ends on SIGTERM, and prints one
line of JSON.
"""

import json
import mmap
import os
import random
import signal
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

from hftest import wire  # noqa: E402
from hftest.wire import SHARED as SHARED_FLAG  # noqa: E402
from hftest.wire import Owner, Proc  # noqa: E402

DISKS = 8
# An answer may take as long as it takes to replace a server, and this machine is busy.
PATIENCE = 60.0


class Wrong(Exception):
    """An answer that should not have been given."""


class Vm:
    """A connection of a VM, and what it holds."""

    def __init__(self, torture, name, pid):
        self.torture, self.name, self.owner = torture, name, Owner(name, pid)
        self.held = {}
        self.connect()

    def connect(self):
        self.connection = wire.Connection(wire.Transport(self.torture.socket), timeout=PATIENCE)
        self.serial = 0
        self.expect(self.ask(Proc.REGISTER, self.owner.xdr() + wire.u32(0)), "register", ok=True)

    def ask(self, proc, payload):
        """Sends one request, perhaps in pieces. Returns its serial number."""
        self.serial += 1
        data = wire.frame(proc, payload, serial=self.serial)
        if random.random() < 0.3:
            cut = random.randrange(1, len(data))
            self.connection.send(data[:cut])
            data = data[cut:]
        self.connection.send(data)
        return self.serial

    def expect(self, serial, what, ok, says=""):
        answer = self.connection.receive(PATIENCE)
        self.torture.count(time.monotonic())
        if answer.serial != serial:
            raise Wrong(f"{self.name}: {what}: no answer to {serial}: {answer}")
        if answer.ok != ok or (not ok and says not in answer.error.message):
            # The competitor may have had the disk for a moment when nobody did.
            if not answer.ok and ("does not say for whom" in answer.error.message
                                  or "cannot be seen" in answer.error.message):
                return False
            raise Wrong(f"{self.name}: {what}: {answer}")
        return answer.ok


class Torture:
    def __init__(self, socket, folder, shared, seed):
        random.seed(seed)
        self.socket, self.folder, self.seed = socket, folder, seed
        with open(shared, "r+b") as file:
            self.certain = mmap.mmap(file.fileno(), 0)
        self.first = seed * DISKS
        self.answers, self.longest, self.last = 0, 0.0, time.monotonic()
        self.spaces, self.stopping = 0, False
        signal.signal(signal.SIGTERM, self.stop)
        self.sleeper = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "sleep", "3600"])
        self.vms = [Vm(self, f"own{seed}", os.getpid()), Vm(self, f"sleeper{seed}",
                                                           self.sleeper.pid)]

    def stop(self, *_):
        self.stopping = True

    def count(self, now):
        self.answers += 1
        self.longest = max(self.longest, now - self.last)
        self.last = now

    def path(self, disk):
        return os.path.join(self.folder, f"disk{self.first + disk}.img")

    def tell(self, disk, held):
        """A word of its own for each disk; odd while it is held for certain."""
        at = 8 * (self.first + disk)
        word = struct.unpack_from("=Q", self.certain, at)[0]
        if (word % 2 == 1) != held:
            struct.pack_into("=Q", self.certain, at, word + 1)

    def holder(self, disk):
        return next((vm for vm in self.vms if disk in vm.held), None)

    def acquire(self, vm, disk):
        other = self.holder(disk)
        serial = vm.ask(Proc.ACQUIRE, wire.resource("", self.path(disk), 0))
        if other is None or other is vm:
            if vm.expect(serial, f"acquire {disk}", ok=True):
                vm.held[disk] = True
                self.tell(disk, True)
        else:
            vm.expect(serial, f"acquire {disk} of {other.name}", ok=False, says=other.name)

    def release(self, vm, disk):
        held = disk in vm.held
        somebody = self.holder(disk) is not None
        if held:
            self.tell(disk, False)
        serial = vm.ask(Proc.RELEASE, wire.resource("", self.path(disk), 0))
        vm.expect(serial, f"release {disk}", ok=held,
                  says="does not hold" if somebody else "is not locked")
        vm.held.pop(disk, None)

    def pipeline(self, vm):
        """Several disks at once, each acquired and released."""
        free = [d for d in range(DISKS) if not self.holder(d)][:random.randrange(1, 5)]
        asked = []
        for disk in free:
            resource = wire.resource("", self.path(disk), 0)
            asked.append((vm.ask(Proc.ACQUIRE, resource), disk, "acquire"))
            asked.append((vm.ask(Proc.RELEASE, resource), disk, "release"))
        refused = set()
        for serial, disk, what in asked:
            if what == "release" and disk in refused:
                vm.expect(serial, f"pipelined {what} {disk}", ok=False, says="is not locked")
            elif not vm.expect(serial, f"pipelined {what} {disk}", ok=True):
                refused.add(disk)

    def lockspace(self, vm):
        self.spaces += 1
        if self.spaces > 200:
            return
        path = os.path.join(self.folder, f"space{self.seed}.{self.spaces}")
        args = wire.string(path) + wire.u32(0)
        vm.expect(vm.ask(Proc.NEW, args), "new lockspace", ok=True)
        vm.expect(vm.ask(Proc.NEW, args), "lockspace again", ok=False, says="already")

    def reconnect(self, _):
        """The second VM's connection is not its own, so nothing ends with it."""
        self.vms[1].connection.close()
        held = self.vms[1].held
        self.vms[1].connect()
        self.vms[1].held = held

    def share(self, vm):
        """A disk that nobody has, by both VMs."""
        disk = next((d for d in range(DISKS) if not self.holder(d)), None)
        if disk is None:
            return
        resource = wire.resource("", self.path(disk), SHARED_FLAG)
        for sharer in self.vms:
            if not sharer.expect(sharer.ask(Proc.ACQUIRE, resource), f"share {disk}", ok=True):
                break
        else:
            vm.expect(vm.ask(Proc.ACQUIRE, wire.resource("", self.path(disk), 0)),
                      f"exclusive {disk}", ok=False, says="held by")
        for sharer in self.vms:
            sharer.connection.send(wire.frame(Proc.RELEASE, wire.resource("", self.path(disk), 0),
                                              serial=4711))
            sharer.connection.receive(PATIENCE)

    def run(self):
        actions = [(self.acquire, 40), (self.release, 30), (self.pipeline, 10),
                   (self.reconnect, 2), (self.lockspace, 1), (self.share, 4)]
        names, weights = zip(*actions)
        while not self.stopping:
            action, vm = random.choices(names, weights)[0], random.choice(self.vms)
            if action in (self.acquire, self.release):
                action(vm, random.randrange(DISKS))
            else:
                action(vm)
        for vm in self.vms:
            for disk in list(vm.held):
                self.release(vm, disk)
            answer = vm.connection.receive(0.05)
            if answer.outcome != "silence":
                raise Wrong(f"{vm.name}: nobody asked for {answer}")


def main():
    torture = Torture(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
    wrong = None
    try:
        torture.run()
    except (Wrong, AssertionError, OSError) as fault:
        wrong = repr(fault)
    for disk in range(DISKS):
        torture.tell(disk, False)
    torture.sleeper.kill()
    torture.sleeper.wait()
    print(json.dumps({"answers": torture.answers, "longest": torture.longest, "wrong": wrong}),
          flush=True)


if __name__ == "__main__":
    main()
