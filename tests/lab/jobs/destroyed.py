# SPDX-License-Identifier: LGPL-2.1-or-later
"""One of three guests: the server, a host a that is destroyed, a host b that waits for its locks.

Argument: role.
"""

import os
import time

from lab.inside import locks, nfs
from lab.inside.report import until

from .records import NOBODY, told

IMAGE = f"{nfs.MOUNT}/disk.img"
WANTED = {"the disk": ("", IMAGE), "the lease": (f"{nfs.MOUNT}/leases", locks.NAMES["file"])}
WANTED_PATHS = {what: os.path.join(*where) for what, where in WANTED.items()}
PAUSE = 0.2
# For a lease to run out, with much to spare.
PATIENCE = 60


def serve(report):
    nfs.serve(2, ["eth0", "eth1"])
    with open(f"{nfs.EXPORT}/disk.img", "wb") as image:
        image.truncate(1 << 20)
    report.event("serving")
    report.told("end")


def join(name, number):
    """The host with its daemon and a VM that wants each of the two."""
    host = nfs.Client(name, number)
    until(lambda: mounted(host), "the server answers", PATIENCE)
    daemon = host.holdfastd()
    return host, daemon, {what: locks.Holder(host, daemon, *where) for what, where in WANTED.items()}


def mounted(host):
    if not os.path.ismount(nfs.MOUNT):
        try:
            host.mount()
        except OSError:
            return False
    return True


def hold(report):
    _, _, vms = join("a", 0)
    for what, vm in vms.items():
        answer = vm.acquire()
        report.check(f"a gets {what}", answer.ok, answer)
    report.event("a holds both")
    report.told("nothing, it dies here", PATIENCE * 2)


def wait(report):
    host, daemon, vms = join("b", 1)
    report.event("b is ready")
    report.told("try")
    for what, vm in vms.items():
        answer = vm.acquire()
        report.check(f"b is refused {what}", locks.refused(answer), answer)
    report.event("b is refused both")
    report.told("a is dead")
    cli = host.cli(daemon)
    for what, path in WANTED_PATHS.items():
        status, holders = told(cli, path)
        report.check(f"who says whose {what} was", status in (0, NOBODY) and
                     [(h["host"], h["kind"]) for h in holders] ==
                     [("a", "elsewhere" if status == 0 else "last")] and
                     holders[0]["name"].startswith("a-"),
                     (status, holders))
    end = time.monotonic() + PATIENCE
    while vms and time.monotonic() < end:
        for what, vm in [*vms.items()]:
            if vm.acquire().ok:
                report.event(f"b has {what}")
                del vms[what]
        time.sleep(PAUSE)
    report.check("b gets both", not vms, list(vms))
    host.close()


def run(report):
    {"server": serve, "a": hold, "b": wait}[report.arguments["role"]](report)
