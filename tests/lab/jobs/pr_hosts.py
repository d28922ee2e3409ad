# SPDX-License-Identifier: LGPL-2.1-or-later
"""Two hosts keep reservations for one unit in a store on NFS."""

import contextlib
import os
import threading

from hftest.prhelper import (CONFLICT, GOOD, PREEMPT, READ_KEYS, READ_RESERVATION, REGISTER,
                             REGISTER_AND_IGNORE, RESERVE, Helper)

from lab.inside import nfs

STORES = {"sqlite": "emulation_database", "files": "emulation_dir"}
EXCLUSIVE = 3
TURNS = 5
CLIENTS_OF_A_HOST = 2
CUT = 3.0


class Hammer(threading.Thread):
    """Registers one key after the other; knows how many were answered as good."""

    def __init__(self, helper, device, turns):
        super().__init__(daemon=True)
        self.client, self.device, self.turns = helper.client(), device, turns
        self.good, self.last, self.odd = 0, None, []
        self.start()

    def run(self):
        for turn in range(self.turns):
            key = id(self) % 1000003 * 1000 + turn + 1
            answer = self.client.write(self.device, REGISTER_AND_IGNORE, 0, key)
            if answer is None:
                return
            if answer.status == GOOD:
                self.good, self.last = self.good + 1, key
            else:
                self.odd.append(repr(answer))


def rules(report, label, a, b, device):
    one, two = a.client(), b.client()
    answers = [one.write(device, REGISTER, 0, 0x11), two.write(device, REGISTER, 0, 0x22),
               one.write(device, RESERVE, 0x11, kind=EXCLUSIVE)]
    report.check(f"{label}: both register and one reserves",
                 all(x.status == GOOD for x in answers), answers)
    refused = two.write(device, RESERVE, 0x22, kind=EXCLUSIVE)
    report.check(f"{label}: the other host meets a conflict", refused.status == CONFLICT, refused)
    seen = two.read(device, READ_RESERVATION)
    report.check(f"{label}: the other host sees who holds", seen.reservation == (0x11, EXCLUSIVE),
                 seen)
    taken = two.write(device, PREEMPT, 0x22, 0x11, kind=EXCLUSIVE)
    told = one.read(device, READ_KEYS)
    report.check(f"{label}: a preempt removes the first host, which is told",
                 taken.status == GOOD and told.why == "6/2A/05", (taken, told))
    two.close()
    one.close()


def hammer(report, label, a, b, device):
    """Many at once; then once more, and all of one host is killed meanwhile."""
    with b.client() as client:
        before = client.read(device, READ_KEYS).generation
    crowd = [Hammer(helper, device, TURNS) for helper in (a, b) for _ in range(CLIENTS_OF_A_HOST)]
    for one in crowd:
        one.join(120)
    with b.client() as client:
        count = client.read(device, READ_KEYS).generation - before
    good = sum(one.good for one in crowd)
    report.check(f"{label}: each good answer of two hosts is one step of the generation",
                 good == count and good > 0, (good, count, [one.odd[:2] for one in crowd]))
    report.check(f"{label}: nobody waits in vain", good == TURNS * len(crowd),
                 [one.odd[:2] for one in crowd])
    victim, other = Hammer(a, device, 10 ** 6), Hammer(b, device, TURNS)
    other.join(60)
    for pid in [*a.children, a.pid]:
        # Of a connection that was closed a moment ago, the process may end by itself.
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, 9)
    a.wait()
    victim.join(30)
    with b.client() as client:
        keys = client.read(device, READ_KEYS).keys
        report.check(f"{label}: what a killed host was answered is there",
                     any(key in keys for key in (victim.last, victim.last + 1)),
                     (victim.last, keys))
        again = client.write(device, REGISTER_AND_IGNORE, 0, 0x77)
        report.check(f"{label}: a host that is killed stops nobody", again.status == GOOD, again)


def cut(report, label, host, helper, other, device):
    client = helper.client()
    client.write(device, REGISTER_AND_IGNORE, 0, 0x11)
    host.cut()
    waiting = Hammer(helper, device, 1)
    waiting.join(CUT)
    with other.client() as there:
        answer = there.write(device, REGISTER_AND_IGNORE, 0, 0x78)
    report.check(f"{label}: a host that is cut off stops nobody", answer.status == GOOD, answer)
    host.heal()
    waiting.join(60)
    with other.client() as there:
        keys = there.read(device, READ_KEYS).keys
    report.check(f"{label}: it is answered when it is back, and what was good is kept",
                 bool(waiting.odd) or (waiting.good == 1 and waiting.last in keys),
                 (waiting.odd, keys))


def run(report):
    _, hosts = nfs.setup("ab")
    disk = f"{nfs.SHARED}/disk"
    with open(disk, "wb"):
        pass
    device = os.open(disk, os.O_RDWR)
    for store, key in STORES.items():
        def helper(name, number, store=store, key=key):
            return Helper(f"{hosts[name].folder}/{store}{number}", nursery=hosts[name], config=(
                f'emulate = ["{disk} as one"]\nhost_name = "{name}"\n'
                f'{key} = "{nfs.MOUNT}/{store}"\n'))
        a, b = helper("a", 1), helper("b", 1)
        rules(report, store, a, b, device)
        hammer(report, store, a, b, device)
        report.event(f"{store}: two hosts have hammered")
        cut(report, store, hosts["a"], helper("a", 2), b, device)
        report.event(f"{store}: one was cut off")
    for host in hosts.values():
        host.close()
