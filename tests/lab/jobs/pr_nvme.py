# SPDX-License-Identifier: LGPL-2.1-or-later
"""A real NVMe namespace, of a target without reservations: no packaged kernel has one with them.
What is sent to it has to be what it takes for reservation commands, which it then refuses."""

import os
import re

from hftest import prhelper, processes
from lab.inside import nvme
from lab.inside.machine import put, run as command

TRACE = "/sys/kernel/tracing"
REFUSED = "5/20/00"
# What the kernel calls the command, and dword 10 of it with reservation type 1.
REPORT = "resv_report"
COMMANDS = {
    prhelper.REGISTER: ("resv_register", "00000080"),
    prhelper.RESERVE: ("resv_acquire", "00010000"),
    prhelper.RELEASE: ("resv_release", "00010000"),
    prhelper.CLEAR: ("resv_release", "01000000"),
    prhelper.PREEMPT: ("resv_acquire", "01010000"),
    prhelper.PREEMPT_AND_ABORT: ("resv_acquire", "02010000"),
}
COMMAND = re.compile(r"qid=[1-9].* cmd=\(nvme_cmd_(\w+) cdw10=(.. .. .. ..)")


def sent():
    """[(name, dword 10)] of the I/O commands that the driver was given since the last look."""
    with open(f"{TRACE}/trace", encoding="ascii") as text:
        found = COMMAND.findall(text.read())
    put(f"{TRACE}/trace", "")
    return [(name, dword.replace(" ", "")) for name, dword in found]


def ask(report, path):
    fd = os.open(path, os.O_RDWR)
    with prhelper.Client("/run/pr/ours.sock") as client:
        for action in (prhelper.READ_KEYS, prhelper.READ_RESERVATION, prhelper.READ_FULL_STATUS,
                       prhelper.REPORT_CAPABILITIES):
            answer = client.read(fd, action, 256)
            report.check("a namespace without reservations has no such command",
                         answer.why == REFUSED and answer.size == 0, (path, action, answer))
            names = [name for name, _ in sent()]
            report.check("each question is one Report", names == [REPORT], (path, action, names))
        for action, command_of in COMMANDS.items():
            answer = client.write(fd, action, new_key=7, kind=1)
            report.check("a namespace without reservations has no such command",
                         answer.why == REFUSED and answer.size == 0, (path, action, answer))
            found = sent()
            report.check("each command is the one of NVMe", found == [command_of],
                         (path, action, found))
        answer = client.write(fd, prhelper.REGISTER_AND_MOVE, key=7, new_key=8)
        report.check("what NVMe has not reaches no device",
                     answer.why == "5/24/00" and sent() == [], answer)
    os.close(fd)


def run(report):
    nursery = processes.Nursery()
    try:
        block, character = nvme.setup()
        command("mount", "-t", "tracefs", "tracefs", TRACE)
        put(f"{TRACE}/events/nvme/nvme_setup_cmd/enable", "1")
        helper = prhelper.Helper("/run/pr", nursery=nursery)
        report.event(f"{block} and {character} are there")
        for path in (block, character):
            ask(report, path)
        helper.stop()
        report.event(f"log: {helper.log()}")
    finally:
        nursery.close()
