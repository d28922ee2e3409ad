# SPDX-License-Identifier: LGPL-2.1-or-later
"""A Linux guest of a QEMU without any right registers with two disks and reserves them, by sg_persist;
the second has been reserved by their other initiator, the guest around it."""

from hftest import processes
from lab.inside import disks, helpers, nested

from .pr_qemu import INNER, OUTER, REGISTRANTS, persist, prepare

# Of sg_persist.
OK, CONFLICT = 0, 24


def refusal(node, *words):
    """What sg_persist says that fails, or ""."""
    try:
        persist(node, *words)
        return ""
    except OSError as fault:
        return str(fault)


def judge_inside(report, status, steps, console):
    report.check("QEMU ends well", status == 0, console)
    for disk in ("0", "1"):
        report.check("the nested guest registers", steps.get(f"register-{disk}") == OK, console)
    report.check("the nested guest reserves a free disk", steps.get("reserve-0") == OK, console)
    report.check("the nested guest reads keys and reservation",
                 steps.get("keys") == OK and steps.get("reservation") == OK
                 and f"Key={INNER:#x}" in console, console)
    report.check("the nested guest meets a conflict", steps.get("reserve-1") == CONFLICT, console)


def judge_disks(report, free, taken):
    for node in (free, taken):
        said = persist(node, "--in", "--read-keys")
        report.check("both are registered", f"{INNER:#x}" in said and f"{OUTER:#x}" in said, said)
    said = persist(free, "--in", "--read-reservation")
    report.check("the nested guest's reservation is on the disk", f"Key={INNER:#x}" in said, said)
    said = persist(taken, "--in", "--read-reservation")
    report.check("the other initiator still has its own", f"Key={OUTER:#x}" in said, said)
    said = refusal(free, "--out", "--reserve", f"--param-rk={OUTER:#x}",
                   f"--prout-type={REGISTRANTS}")
    report.check("the other initiator meets a conflict", f"status {CONFLICT}" in said, said)


def run(report):
    nursery = processes.Nursery()
    disks.setup()
    fast = nested.allow_kvm()
    first = disks.Disk("c0ffee11-first", paths=2)
    second = disks.Disk("0ddba11f-second", paths=2)
    prepare([first.nodes[1], second.nodes[1]])
    disks.leave_alone()
    helper = helpers.Helper(nursery, "ours")
    vm = nested.Guest(nursery, report.arguments["made"], helper.socket,
                      [first.nodes[0], second.nodes[0]])
    report.event(f"a nested guest, {'with' if fast else 'without'} KVM")
    report.check("QEMU has no right", vm.rights() == (nested.NOBODY, 0), vm.rights())
    report.check("QEMU is connected", vm.monitor.managers() == {"helper": True})
    status, steps = vm.finish()
    report.event("the nested guest has ended")
    judge_inside(report, status, steps, vm.said())
    judge_disks(report, first.nodes[1], second.nodes[1])
    report.check("the helper ends when it is told to", helper.stop() == 0, helper.log())
