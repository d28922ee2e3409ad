# SPDX-License-Identifier: LGPL-2.1-or-later
"""A real QEMU without any rights, with a Linux in it that reserves two SCSI disks through a helper,
which is killed and started again under it. The disks have one more initiator: the guest itself."""

from hftest import processes
from lab.inside import disks, helpers, nested
from lab.inside.machine import run as command

CONFLICT = 24
INNER, OUTER = "0xaaaa", "0xbbbb"
REGISTRANTS = "--prout-type=6"


def persist(node, *words):
    return command("sg_persist", "-n", *words, node)


def register(guest, disk):
    return guest.persist(disk, "--out", "--register-ignore", f"--param-sark={INNER}")


def reserve(guest, disk):
    return guest.persist(disk, "--out", "--reserve", f"--param-rk={INNER}", REGISTRANTS)


def prepare(nodes):
    """The guest itself has registered with both disks and reserved the second."""
    for node in nodes:
        persist(node, "--out", "--register-ignore", f"--param-sark={OUTER}")
    persist(nodes[1], "--out", "--reserve", f"--param-rk={OUTER}", REGISTRANTS)


def look(report, guest, free):
    """What the inner guest can do while all is well."""
    status, said = register(guest, 0)
    report.check("a guest registers", status == 0, said)
    status, said = guest.persist(0, "--in", "--read-keys")
    report.check("a guest reads the keys of all", status == 0 and INNER in said and OUTER in said,
                 said)
    report.check("a guest reserves", reserve(guest, 0)[0] == 0)
    said = persist(free, "--in", "--read-reservation")
    report.check("the reservation is on the disk", INNER in said, said)
    status, said = guest.persist(0, "--in", "--report-capabilities")
    report.check("a guest reads what the disk can", status == 0, said)
    report.check("a guest registers", register(guest, 1)[0] == 0)
    status, said = reserve(guest, 1)
    report.check("a guest meets a conflict", status == CONFLICT, (status, said))


def break_helper(report, guest, helper):
    """Killed, and started again before the guest asks for the next time."""
    before = guest.monitor.changes()
    helper.kill()
    helper.start()
    status, said = guest.persist(0, "--in", "--read-reservation")
    report.check("a guest does not notice that the helper was started anew",
                 status == 0 and INNER in said, (status, said))
    changes = guest.monitor.changes()[len(before):]
    report.check("QEMU says that the helper went and came", changes == [False, True], changes)
    report.check("QEMU is connected again", guest.monitor.managers() == {"helper": True})


def miss_helper(report, guest, helper):
    """Killed, and started again only while the guest's command waits."""
    before = len(guest.monitor.changes())
    helper.kill()
    guest.start("/usr/bin/sg_persist", "-n", "--in", "--read-reservation", "/dev/sg0")
    disks.until(lambda: guest.monitor.changes()[before:], "QEMU misses the helper")
    report.check("QEMU says that it has none", guest.monitor.managers() == {"helper": False})
    helper.start()
    status, said = guest.finish()
    report.check("a command waits for the helper that comes", status == 0, (status, said))


def run(report):
    nursery = processes.Nursery()
    disks.setup()
    first = disks.Disk("c0ffee11-first", paths=2)
    second = disks.Disk("0ddba11f-second", paths=2)
    prepare([first.nodes[1], second.nodes[1]])
    helper = helpers.Helper(nursery, report.arguments.get("side", "ours"))
    guest = nested.Guest(nursery, report.arguments["nested"], helper.socket,
                         [first.nodes[0], second.nodes[0]])
    report.event("QEMU runs")
    report.check("QEMU is connected", guest.monitor.managers() == {"helper": True})
    guest.await_boot()
    report.event("the guest in the guest is up")
    look(report, guest, first.nodes[1])
    report.event("it has reserved")
    break_helper(report, guest, helper)
    miss_helper(report, guest, helper)
    report.event("it has another helper")
    status, said = guest.persist(0, "--out", "--release", f"--param-rk={INNER}", REGISTRANTS)
    report.check("a guest releases", status == 0, said)
    said = persist(first.nodes[1], "--in", "--read-reservation")
    report.check("the reservation is gone from the disk", "NO reservation" in said, said)
    report.check("QEMU ends as its guest does", guest.off() == 0)
    report.check("the helper ends when it is told to", helper.stop() == 0, helper.log())
