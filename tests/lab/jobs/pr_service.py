# SPDX-License-Identifier: LGPL-2.1-or-later
"""A helper at work on real disks: for a process that has nothing but its socket, and while one
command never comes back.

PREEMPT AND ABORT on the loopback fabric waits for the worker that runs it, for ever and out of
reach of any signal. That is the device that is stuck; the guest goes with it at the end."""

import os
import subprocess
import threading
import time

from hftest import command as holdfast, processes
from hftest.prhelper import (GOOD, PREEMPT_AND_ABORT, READ_KEYS, REGISTER_AND_IGNORE,
                             REPORT_CAPABILITIES)
from lab.inside import disks, helpers
from lab.inside.vmm import NOBODY, UNPRIVILEGED
from lab.inside.report import until

CONFLICT = 75
ONE, TWO = 0x1111, 0x2222
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}
# While one command is stuck, others are answered within this, each.
SOON = 5.0


def pr(helper, *words, env=None):
    """`holdfast pr` by nobody: (status, output)."""
    done = subprocess.run([*UNPRIVILEGED, holdfast.HOLDFAST, "pr", *words, "--socket",
                           helper.socket], check=False, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, env=env or ENVIRONMENT, timeout=60)
    return done.returncode, done.stdout + done.stderr


def serve_nobody(report, helper, first, second):
    """The first path is nobody's, with the helper; by the second the guest itself has registered."""
    os.chown(first, NOBODY, NOBODY)
    done = subprocess.run([*UNPRIVILEGED, "sg_persist", "-n", "--in", "--read-keys", first],
                          check=False, capture_output=True, text=True)
    report.check("the kernel refuses it to a process without rights", done.returncode != 0, done)
    for words in (("register", first, "--new-key", hex(ONE)),
                  ("reserve", first, "--key", hex(ONE), "--type", "write-exclusive-registrants")):
        status, said = pr(helper, *words)
        report.check("a process without rights registers and reserves", status == 0, (words, said))
    status, said = pr(helper, "keys", first)
    report.check("a process without rights sees the keys", status == 0 and hex(ONE) in said, said)
    said = disks.run("sg_persist", "-n", "--in", "--read-reservation", second)
    report.check("the reservation is on the disk", f"{ONE:x}" in said, said)
    os.chown(second, NOBODY, NOBODY)
    pr(helper, "register", second, "--new-key", hex(TWO))
    status, said = pr(helper, "reserve", second, "--key", hex(TWO), "--type", "exclusive-access")
    report.check("a conflict says who has it", status == CONFLICT and hex(ONE) in said,
                 (status, said))
    status, said = pr(helper, "clear", first, "--key", hex(ONE))
    report.check("a process without rights clears", status == 0, said)


class Asking(threading.Thread):
    """Asks again and again on a connection of its own."""

    def __init__(self, helper, path):
        super().__init__(daemon=True)
        self.helper, self.path = helper, path
        self.slowest, self.count, self.wrong = 0.0, 0, []
        self.over = threading.Event()

    def run(self):
        fd = os.open(self.path, os.O_RDWR)
        with self.helper.client() as client:
            while not self.over.is_set():
                begin = time.monotonic()
                answer = client.read(fd, READ_KEYS)
                self.slowest = max(self.slowest, time.monotonic() - begin)
                if not answer or answer.status != GOOD:
                    self.wrong.append(repr(answer))
                    break
                self.count += 1


def stuck_processes(helper):
    return [pid for pid in helper.children if processes.state_of(pid) == "D"]


def get_stuck(report, helper, victim, other):
    """One command that never comes back, while eight connections ask for the other disk."""
    asking = [Asking(helper, other) for _ in range(8)]
    for thread in asking:
        thread.start()
    fd = os.open(victim, os.O_RDWR)
    client = helper.client()
    client.write(fd, REGISTER_AND_IGNORE, 0, ONE)
    client.write(fd, 1, ONE, kind=5)
    threading.Thread(target=client.write, daemon=True, args=(fd, PREEMPT_AND_ABORT, ONE, ONE),
                     kwargs={"kind": 3}).start()
    until(lambda: stuck_processes(helper), "a command is stuck")
    report.event("a command is stuck")
    before = [thread.count for thread in asking]
    until(lambda: all(thread.count > count + 20 for thread, count in zip(asking, before)),
          "the others are served")
    with helper.client() as late:
        answer = late.read(os.open(other, os.O_RDWR), REPORT_CAPABILITIES, 8)
        report.check("a new connection is served beside a stuck command",
                     answer and answer.status == GOOD, answer)
    for thread in asking:
        thread.over.set()
        thread.join()
        report.check("a stuck command delays no other connection",
                     not thread.wrong and thread.slowest < SOON, (thread.wrong, thread.slowest))
    report.check("the command is stuck all the time", stuck_processes(helper))
    report.value("slowest answer beside a stuck command", max(t.slowest for t in asking))


def end_stuck(report, helper, nursery, other):
    """What TERM does while a command is stuck, and that another helper can take over."""
    helper.process.terminate()
    until(lambda: not os.path.exists(helper.socket), "the socket is gone")
    report.event("told to end, it listens no more")
    report.check("a helper that is told to end waits for the command in flight", helper.alive)
    new = helpers.Helper(nursery, helper.name)
    answer = new.ask(other, helpers.prhelper.pr_in(READ_KEYS))
    report.check("another helper serves on the same path meanwhile",
                 answer and answer.status == GOOD, answer)
    report.check("the other one ends when it is told to", new.stop() == 0, new.log())


def run(report):
    nursery = processes.Nursery()
    disks.setup()
    disk = disks.Disk("c0ffee11-nobody", paths=2)
    victim = disks.Disk("0ddba11f-stuck")
    disks.leave_alone()
    helper = helpers.Helper(nursery, report.arguments.get("side", "ours"))
    report.event("the helper serves")
    if report.arguments.get("cli", True):
        serve_nobody(report, helper, *disk.nodes)
    report.event("nobody is served")
    get_stuck(report, helper, victim.nodes[0], disk.nodes[0])
    end_stuck(report, helper, nursery, disk.nodes[0])
