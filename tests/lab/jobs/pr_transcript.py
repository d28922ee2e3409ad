# SPDX-License-Identifier: LGPL-2.1-or-later
"""The same requests to QEMU's helper, to that once more, and to ours, about the same disks: one by
two paths on the loopback fabric, and one by two iSCSI initiators for PREEMPT AND ABORT."""

import glob
import os

from hftest import pr_transcript, processes
from hftest.pr_steps import Targets, record
from lab.inside import disks, helpers, iscsi

# QEMU's comes twice: what it does not answer alike itself proves nothing.
TURNS = (("stock", "stock"), ("stock again", "stock"), ("ours", "ours"))


def generic(node):
    """/dev/sgN of /dev/sdX."""
    found, = glob.glob(f"/sys/block/{os.path.basename(node)}/device/scsi_generic/*")
    return f"/dev/{os.path.basename(found)}"


def run(report):
    turns = report.arguments.get("turns") or TURNS
    nursery = processes.Nursery()
    disks.setup()
    disk = disks.Disk("c0ffee11-transcript", paths=2)
    report.event("the disk is there")
    remote = iscsi.setup(nursery, "0ddba11f-aborts", ["one", "two"])
    disks.leave_alone()
    report.event("the disk by iSCSI is there")
    transcripts = {turn: {} for turn, _ in turns}
    for turn, side in turns:
        helper = helpers.Helper(nursery, side)
        for (a, b), steps in ((disk.nodes, pr_transcript.steps),
                              (remote, pr_transcript.aborting)):
            targets = Targets(a, b, generic(a))
            transcripts[turn] |= record(helper.socket, targets, steps())
            report.event(f"{turn}: recorded {len(transcripts[turn])}")
        report.value(f"{turn} exit", helper.stop())
    report.value("transcripts", transcripts)
