# SPDX-License-Identifier: LGPL-2.1-or-later
"""More of hosts that are cut off: VMs that are not their first process, daemons that are killed.

Host a has VMs behind a shell and of QEMU's -daemonize; on host x the daemon's server is killed
again and again; on host d all of the daemon is killed, and b takes the lock. Nothing of them has a
monitor. At last b removes the file of a lock that a has.
"""

import os
import signal
import time

from hftest import wire
from hftest.processes import is_there
from lab.inside import locks, nfs
from lab.inside.report import until
from lab.jobs import guard

SPACE = f"{nfs.MOUNT}/space"
KILL_EACH = 0.15


class Shell(guard.VmOf):
    """A shell is the first process; what writes is its child."""

    def __init__(self, host, cli, name):
        super().__init__(host, cli, name, "pause", lambda vm: (
            f"--disk={vm.image}", "--", "sh", "-c", '/usr/bin/python3 -I -S -c "$0" "$1"; true',
            guard.WRITER, vm.image))

    def find(self):
        found = guard.command.descendants(self.run.pid)
        return found[1] if len(found) > 1 else None


class Daemonized(guard.VmOf):
    def __init__(self, host, cli, name):
        self.pidfile = f"{nfs.SHARED}/{name}.pid"
        super().__init__(host, cli, name, "pause", lambda vm: (
            "--no-monitor", "--", "qemu-system-x86_64", "-accel", "tcg", "-M", "none", "-display",
            "none", "-daemonize", "-pidfile", self.pidfile,
            "-drive", f"file={vm.image},format=raw,if=none,id=d"))

    def find(self):
        return os.path.exists(self.pidfile) and guard.command.read_pid(self.pidfile)


def kill_server(daemon):
    pid = daemon.server_pid
    if pid != daemon.pid:
        os.kill(pid, signal.SIGKILL)


def kill_all(daemon):
    """All of it at once. Its end waits for the file server, which is silent."""
    daemon.expected_to_live = False
    pids = [daemon.pid, daemon.server_pid]
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in pids:
            os.kill(pid, number)
    return pids


def killing(world, host, done, timeout):
    end = time.monotonic() + timeout
    while not done() and time.monotonic() < end:
        kill_server(world.daemons[host])
        time.sleep(KILL_EACH)
    return done()


def cut_off(report, world):
    names = ["shell", "daemonized", "served", "idle"]
    begin = world.cut("axd")
    time.sleep(nfs.LEASE * 0.7)
    killing(world, "x", world.vms["served"].stopped, nfs.LEASE)
    guard.act(report, world, begin, names)
    report.event("all of d's daemon is killed")
    pids = kill_all(world.daemons["d"])
    granted = locks.soon_granted(world.rival("idle"), guard.PATIENCE)
    report.check("b gets the lock of a VM whose daemon is dead", granted)
    world.heal("axd")
    return pids


def healed(report, world):
    killing(world, "x", lambda: not world.vms["served"].stopped(), guard.PATIENCE)
    for name in ("shell", "daemonized", "served"):
        vm = world.vms[name]
        report.check(f"the VM {name} continues after healing",
                     guard.time_of(report, f"{name} continues", vm.runs_again))
        report.check(f"the lock of {name} was kept",
                     guard.time_of(report, f"{name} is sound",
                                   lambda v=vm: guard.leases(v) == {"sound"}))


def started_anew(report, world, pids):
    vm = world.vms["idle"]
    until(lambda: not any(is_there(pid) for pid in pids), "the old daemon's end", guard.PATIENCE)
    world.daemons["d"].start()
    report.check("a lost lock is lost for the next daemon", guard.time_of(
        report, "it is shown so", lambda: guard.leases(vm) == {"lost"}), vm.shown())
    report.check("its VM stays paused", vm.stopped())
    with world.daemons["d"].connect_as(wire.Owner("other", vm.pid)) as other:
        other.timeout = locks.TIMEOUT
        answer = other.acquire(vm.image)
        report.check("nobody on its host gets it", locks.refused(answer) and
                     "lost" in answer.error.message, answer)


def removed(report, world):
    one = locks.Holder(world.hosts["a"], world.daemons["a"], SPACE, locks.NAMES["file"])
    answer = one.acquire()
    report.check("a file's lock is granted", answer.ok, answer)
    name = one.vm.owner.name
    known = until(lambda: world.clis["a"].vms().get(name), "ps knows it")
    report.check("it is sound", known["locks"][0]["lease"] == "sound", known)
    world.hosts["b"].run("rm", f"{SPACE}/{locks.NAMES['file']}")
    report.event("b removes the file")
    report.check("a lock whose file was removed is lost", guard.time_of(
        report, "it is shown as lost",
        lambda: world.clis["a"].vms()[name]["locks"][0]["lease"] == "lost"))
    report.check("and its VM is paused", guard.time_of(
        report, "its VM is paused", lambda: guard.state_of(one.vm.pid) == "T"))
    os.kill(one.vm.pid, signal.SIGKILL)
    until(lambda: not is_there(one.vm.pid), "its end")


def run(report):
    world = guard.World(report, "abxd")
    for name, host, kind in (("shell", "a", Shell), ("daemonized", "a", Daemonized)):
        world.image(name)
        world.vms[name] = kind(world.hosts[host], world.clis[host], name)
    world.writer("x", "served", "pause")
    world.idler("d", "idle", "pause")
    try:
        guard.watched(report, world)
        pids = cut_off(report, world)
        healed(report, world)
        started_anew(report, world, pids)
        removed(report, world)
    finally:
        world.print_logs()
