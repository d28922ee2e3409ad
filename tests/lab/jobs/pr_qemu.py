# SPDX-License-Identifier: LGPL-2.1-or-later
"""A real QEMU without any right, whose machine reserves two SCSI disks through a helper, which is
killed and started again under it. The disks have one more initiator: the guest itself."""

from hftest import processes
from hftest.prhelper import (CONFLICT, GOOD, READ_KEYS, READ_RESERVATION, REGISTER_AND_IGNORE,
                             RELEASE, REPORT_CAPABILITIES, RESERVE, parameters, pr_in, pr_out)
from lab.inside import disks, helpers, vmm
from lab.inside.machine import run as command

INNER, OUTER, REGISTRANTS = 0xAAAA, 0xBBBB, 6
ROOM = 1024


def persist(node, *words):
    return command("sg_persist", "-n", *words, node)


def ask(vm, disk, action):
    return vm.scsi(disk, pr_in(action, ROOM)[:10])


def change(vm, disk, action, key=0, new=0, kind=0):
    return vm.scsi(disk, pr_out(action, kind)[:10], parameters(key, new))


def prepare(nodes):
    """The guest itself has registered with both disks and reserved the second."""
    for node in nodes:
        persist(node, "--out", "--register-ignore", f"--param-sark={OUTER:#x}")
    persist(nodes[1], "--out", "--reserve", f"--param-rk={OUTER:#x}",
            f"--prout-type={REGISTRANTS}")


def keys_in(data):
    size = int.from_bytes(data[4:8], "big")
    return {int.from_bytes(data[at:at + 8], "big") for at in range(8, 8 + size, 8)}


def look(report, vm, free):
    """What the machine can do while all is well."""
    answer = change(vm, 0, REGISTER_AND_IGNORE, 0, INNER)
    report.check("a VM registers", answer[0] == GOOD, answer)
    status, _, data = ask(vm, 0, READ_KEYS)
    report.check("a VM reads the keys of all", status == GOOD and keys_in(data) == {INNER, OUTER},
                 data[:64])
    answer = change(vm, 0, RESERVE, INNER, kind=REGISTRANTS)
    report.check("a VM reserves", answer[0] == GOOD, answer)
    said = persist(free, "--in", "--read-reservation")
    report.check("the reservation is on the disk", f"{INNER:#x}" in said, said)
    status, _, data = ask(vm, 0, REPORT_CAPABILITIES)
    report.check("a VM reads what the disk can", status == GOOD and data[:2] == b"\0\10", data[:8])
    change(vm, 1, REGISTER_AND_IGNORE, 0, INNER)
    answer = change(vm, 1, RESERVE, INNER, kind=REGISTRANTS)
    report.check("a VM meets a conflict", answer[0] == CONFLICT, answer)


def break_helper(report, vm, helper):
    """Killed, and started again before the machine asks for the next time."""
    before = len(vm.monitor.changes())
    helper.kill()
    helper.start()
    status, sense, data = ask(vm, 0, READ_RESERVATION)
    report.check("a VM does not notice that the helper was started anew",
                 status == GOOD and data[8:16] == INNER.to_bytes(8, "big"), (status, sense))
    changes = vm.monitor.changes()[before:]
    report.check("QEMU says that the helper went and came", changes == [False, True], changes)
    report.check("QEMU is connected again", vm.monitor.managers() == {"helper": True})


def miss_helper(report, vm, helper):
    """Killed, and started again only while the machine's command waits."""
    before = len(vm.monitor.changes())
    helper.kill()
    vm.start(0, pr_in(READ_RESERVATION, ROOM)[:10])
    disks.until(lambda: vm.monitor.changes()[before:], "QEMU misses the helper")
    report.check("QEMU says that it has none", vm.monitor.managers() == {"helper": False})
    helper.start()
    answer = vm.finish()
    report.check("a command waits for the helper that comes", answer[0] == GOOD, answer[:2])
    report.check("QEMU is connected again", vm.monitor.managers() == {"helper": True})


def release(report, vm, free):
    answer = change(vm, 0, RELEASE, INNER, kind=REGISTRANTS)
    report.check("a VM releases", answer[0] == GOOD, answer[:2])
    try:
        said = persist(free, "--in", "--read-reservation")
    except OSError as fault:
        said = str(fault)
    report.check("the other initiator is told of it", "Reservations released" in said, said)
    said = persist(free, "--in", "--read-reservation")
    report.check("the reservation is gone from the disk", "NO reservation" in said, said)


def run(report):
    nursery = processes.Nursery()
    disks.setup()
    first = disks.Disk("c0ffee11-first", paths=2)
    second = disks.Disk("0ddba11f-second", paths=2)
    prepare([first.nodes[1], second.nodes[1]])
    disks.leave_alone()
    helper = helpers.Helper(nursery, report.arguments.get("side", "ours"))
    vm = vmm.Vm(nursery, helper.socket, [first.nodes[0], second.nodes[0]])
    report.event("the machine has its disks")
    report.check("QEMU is connected", vm.monitor.managers() == {"helper": True})
    look(report, vm, first.nodes[1])
    report.event("it has reserved")
    break_helper(report, vm, helper)
    miss_helper(report, vm, helper)
    report.event("it has another helper")
    release(report, vm, first.nodes[1])
    report.check("QEMU ends well", vm.quit() == 0)
    report.check("the helper ends when it is told to", helper.stop() == 0, helper.log())
