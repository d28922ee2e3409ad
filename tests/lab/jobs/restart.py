# SPDX-License-Identifier: LGPL-2.1-or-later
"""The server goes away and comes back while host a holds a disk and a lease; b wants both."""

import time

from lab.inside import locks, nfs

IMAGE = f"{nfs.MOUNT}/disk.img"
WANTED = {"the disk": ("", IMAGE), "the lease": (f"{nfs.MOUNT}/leases", locks.NAMES["file"])}
OUTAGE = 5
# The grace period, and what the hosts need to find the server again.
SETTLED = nfs.LEASE + 20
PAUSE = 0.2


def ask(report, what, vm):
    """One try of b; granted is what must never be."""
    begin = report.clock()
    answer = vm.acquire()
    if answer.ok:
        report.event(f"b HAS {what}")
        vm.release()
    report.check(f"{what} is not granted to the other host, whatever happens", not answer.ok)
    report.event(f"b asks for {what}: {answer.verdict} after {report.clock() - begin:.1f} s")
    return answer


def run(report):
    server, hosts = nfs.setup("ab")
    with open(f"{nfs.EXPORT}/disk.img", "wb") as image:
        image.truncate(1 << 20)
    served = {name: host.holdfastd() for name, host in hosts.items()}
    a, b = ({what: locks.Holder(hosts[name], served[name], *where)
             for what, where in WANTED.items()} for name in "ab")
    for what, vm in a.items():
        answer = vm.acquire()
        report.check(f"{what} is granted", answer.ok, answer)
        ask(report, what, b[what])
    report.event("the server goes")
    server.stop()
    # The length of an outage is what the lab is about.
    time.sleep(OUTAGE)
    server.start()
    back = time.monotonic()
    report.event("the server is back")
    for what, vm in b.items():
        answer = ask(report, what, vm)
        while not locks.refused(answer) and time.monotonic() < back + SETTLED:
            time.sleep(PAUSE)
            answer = ask(report, what, vm)
        report.check(f"{what} is refused to the other host after the restart",
                     locks.refused(answer), answer)
    for what, vm in a.items():
        answer = vm.release()
        report.check(f"{what} is given back by its holder", answer.ok, answer)
        report.check(f"{what} is granted to the other host when it was given back",
                     locks.soon_granted(b[what]) is not None)
    for host in hosts.values():
        host.close()
