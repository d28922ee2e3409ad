# SPDX-License-Identifier: LGPL-2.1-or-later
"""holdfastd as systemd's service, and what an administrator does to a service.

Two VMs, one of libvirt and one of `holdfast run`, hold a disk each, which somebody else tries to
lock all the time. First holdfastd is virtlockd.service, by its drop-in, then a service of its own.
"""

import json
import os
import signal
import subprocess

from hftest import daemons, processes
from hftest.competitor import Competitor
from lab.inside import installed, systemd
from lab.inside.libvirt import QEMU_CONF, start_libvirtd, virsh
from lab.inside.machine import run as command
from lab.inside.report import until
from lab.inside.systemd import show, systemctl, try_systemctl
from lab.inside.watch import Watch

UNIT = "virtlockd.service"
DROPIN, LAB_DROPIN = "virtlockd.service.d/holdfast.conf", "virtlockd.service.d/lab.conf"
RUN_DISK, LIBVIRT_DISK = "/vm/run.img", "/vm/libvirt.img"
OWN_DISK = "/vm/own.img"
OWN_SOCKETS = ("holdfastd.socket", "holdfastd-ro.socket")
# A hanging server is replaced when it has not moved for half of it.
WATCHDOG = "[Service]\nWatchdogSec=20s\n"
# Shorter than the start of libvirtd takes here.
SHORT_WATCHDOG = "[Service]\nWatchdogSec=3s\n"
# One that says, as holdfastd does before it becomes a program that feeds no watchdog: expect none.
UNWATCHED = """\
[Service]
Type=notify
NotifyAccess=all
WatchdogSec=3s
ExecStart=/bin/sh -c 'systemd-notify --ready WATCHDOG_USEC=0; exec sleep infinity'
"""
LOCKD = 'lock_manager = "lockd"\n'
DOMAIN = f"""\
<domain type='qemu'><name>vm</name><memory unit='MiB'>16</memory>
<os><type arch='x86_64' machine='pc'>hvm</type></os>
<devices><emulator>{daemons.REPO}/tests/dropin/qemu-without-locks</emulator>
<controller type='scsi' model='virtio-scsi'/><controller type='usb' model='none'/>
<memballoon model='none'/>
<disk type='file' device='disk'><driver name='qemu' type='raw'/>
<source file='{LIBVIRT_DISK}'/><target dev='sda' bus='scsi'/></disk>
</devices></domain>
"""
QEMU = ("/usr/bin/qemu-system-x86_64", "-accel", "tcg", "-M", "microvm", "-m", "16", "-nodefaults",
        "-display", "none", "-S", "-blockdev",
        f"driver=file,filename={RUN_DISK},node-name=disk,locking=off")
# The priority that is nobody's in the way.
LEAST = 19
# The guest is slow, and so is systemd in it.
SOON = 180.0


def main_pid(unit=UNIT):
    return int(show(unit, "MainPID"))


def server_of(pid):
    """The process that serves below a supervisor; None while there is none."""
    found = [child for child in processes.children(pid)
             if daemons.name_of(child) != daemons.WORKER]
    return found[0] if found else None


class Host:
    """The guest with both VMs and who wants their disks."""

    def __init__(self, report):
        self.report, self.nursery = report, processes.Nursery()
        self.programs = installed.get(report.arguments)
        # holdfast adopt does it where this daemon is to be virtlockd.service.
        try_systemctl("stop", *OWN_SOCKETS)
        self.names = self.programs.names
        self.dropin = self.names["virtlockd.service.d/holdfast.conf"]
        self.holdfastd, self.holdfast = self.names["holdfastd"], self.names["holdfast"]
        os.makedirs("/vm")
        command("mount", "-t", "tmpfs", "vm", "/vm")
        for path in (RUN_DISK, LIBVIRT_DISK):
            with open(path, "wb") as disk:
                disk.truncate(1 << 20)

    def become_virtlockd(self):
        """As an administrator would it do with no VM yet; the one that runs has to live on."""
        systemctl("start", UNIT)
        stock = main_pid()
        with open(self.dropin, encoding="utf-8") as text:
            systemd.unit(DROPIN, text.read())
        systemd.unit("unwatched.service", UNWATCHED)
        systemd.unit(LAB_DROPIN, SHORT_WATCHDOG)
        systemctl("start", "unwatched.service")
        began = self.report.clock()
        self.report.event("stock virtlockd runs, with the drop-in for the next one")
        start_libvirtd(self.nursery, LOCKD + QEMU_CONF)
        until(lambda: self.report.clock() > began + 8, "the watchdogs would have acted")
        self.report.check("a service that has turned its watchdog off is left alone",
                          show("unwatched.service", "NRestarts") == "0" and
                          show("unwatched.service", "ActiveState") == "active")
        systemctl("stop", "unwatched.service")
        self.report.check("a stock virtlockd that runs is not ended by the drop-in",
                          main_pid() == stock and processes.is_there(stock), main_pid())
        systemd.unit(LAB_DROPIN, WATCHDOG)
        systemctl("restart", UNIT)
        exe = os.readlink(f"/proc/{main_pid()}/exe")
        self.report.check("the next start is holdfastd's", exe == self.holdfastd, exe)
        named = [daemons.read_pid(path)
                 for path in ("/run/virtlockd.pid", "/run/holdfast/holdfastd.pid")]
        self.report.check("the PID files name the supervisor", named == 2 * [main_pid()], named)

    def start_vms(self):
        with open("/run/vm.xml", "w", encoding="ascii") as out:
            out.write(DOMAIN)
        virsh("define", "/run/vm.xml")
        virsh("start", "vm")
        self.libvirt_vm = daemons.read_pid("/run/libvirt/qemu/vm.pid")
        # Outside of this job's life, as a VM is that somebody starts.
        with open("/run/run.log", "wb") as log:
            self.run_child = self.nursery.spawn(
                [self.holdfast, "run", "--name=run", f"--disk={RUN_DISK}", "--", *QEMU],
                leashed=False, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until(lambda: self.shown() == {"vm", "run"}, "both VMs are shown", SOON)
        self.run_vms = processes.children(self.run_child.pid) or [self.run_child.pid]
        self.competitor = Competitor(self.nursery, [RUN_DISK])
        self.other = Competitor(self.nursery, [LIBVIRT_DISK])
        # They try all the time that nobody else has to do something.
        for competitor in (self.competitor, self.other):
            os.setpriority(os.PRIO_PROCESS, competitor.child.pid, LEAST)
        self.watch = Watch(RUN_DISK, LIBVIRT_DISK)

    def shown(self):
        """The VMs that holdfast ps shows, or None when nobody answers."""
        done = subprocess.run([self.holdfast, "ps", "--json"], check=False, capture_output=True,
                              text=True, stdin=subprocess.DEVNULL, timeout=60)
        if done.returncode:
            return None
        return {vm["name"] for vm in json.loads(done.stdout)["vms"] if vm["locks"]}

    def alive(self):
        return all(processes.is_there(pid) for pid in (self.libvirt_vm, *self.run_vms))

    def after(self, what, act, done, competing=True):
        """Acts, and looks what became of the VMs and of their locks."""
        self.watch.gaps()
        self.competitor.count()
        if competing:
            self.other.count()
        self.report.event(what)
        act()
        until(done, what, SOON)
        until(lambda: show(UNIT, "ActiveState") == "active", f"{what}: active", SOON)
        until(lambda: self.shown() == {"vm", "run"}, f"{what}: both VMs are shown", SOON)
        gaps = self.watch.gaps()
        tries, got = self.competitor.count()
        if competing:
            more = self.other.count()
            tries, got = tries + more[0], got | more[1]
        self.report.value(what, {"tries": tries, "got": got, "gaps": gaps})
        self.report.event(f"{what}: served again; free for: {gaps or 'nothing'}; "
                          f"somebody else tried {tries} times and got {got or 'nothing'}")
        self.report.check(f"{what}: the VMs run on", self.alive())
        self.report.check(f"{what}: the VM of libvirt runs for libvirt",
                          virsh("domstate", "vm").strip() == "running")
        free = {RUN_DISK, LIBVIRT_DISK} & set(got) | set(gaps)
        self.report.check(f"{what}: the disk of holdfast run was never free",
                          RUN_DISK not in free and tries > 0, (got, gaps, tries))
        if competing:
            self.report.check(f"{what}: no disk was ever free", not free, (got, gaps))


def restarts(host):
    before = main_pid()
    host.after("restart", lambda: systemctl("restart", UNIT), lambda: main_pid() != before)


def kills(host):
    before, server = main_pid(), server_of(main_pid())
    host.after("the supervisor killed",
               lambda: systemctl("kill", "--kill-whom=main", "-s", "KILL", UNIT),
               lambda: main_pid() not in (0, before))
    host.report.check("the heir is the service's main process", main_pid() == server,
                      (main_pid(), server))
    host.report.check("and the PID file names it",
                      daemons.read_pid("/run/holdfast/holdfastd.pid") == server)
    server = server_of(main_pid())
    host.after("the server killed", lambda: os.kill(server, signal.SIGKILL),
               lambda: server_of(main_pid()) not in (None, server))
    before = main_pid()
    host.after("all killed", lambda: systemctl("kill", "-s", "KILL", UNIT),
               lambda: main_pid() not in (0, before))


def upgrades(host):
    before, server = main_pid(), server_of(main_pid())
    host.after("upgrade", lambda: host.programs.upgrade(UNIT),
               lambda: server_of(main_pid()) not in (None, server))
    host.report.check("an upgrade is no restart", main_pid() == before, (before, main_pid()))
    server = server_of(main_pid())
    host.after("downgrade", lambda: host.programs.become_other_version(UNIT),
               lambda: "serving on as before" in systemd.journal(UNIT))
    host.report.check("a program of another version is refused, and the old one serves on",
                      (main_pid(), server_of(main_pid())) == (before, server))
    host.programs.repair()


def hangs(host):
    before, server = main_pid(), server_of(main_pid())
    restarted = show(UNIT, "NRestarts")
    host.after("the server hangs", lambda: os.kill(server, signal.SIGSTOP),
               lambda: server_of(main_pid()) not in (None, server))
    host.report.check("a server that hangs is replaced by its supervisor, not by systemd",
                      (main_pid(), show(UNIT, "NRestarts")) == (before, restarted),
                      (main_pid(), before))
    host.report.check("and that is said", "did not move" in systemd.journal(UNIT),
                      systemd.journal(UNIT)[-1500:])


def stops_and_starts(host):
    """Where systemd does not keep descriptors of a stopped service (before 254) there is a gap for
    the VM of libvirt: nobody may be in the way when its lock is taken again."""
    preserved = "FileDescriptorStorePreserve=" in systemctl("show", UNIT)
    host.report.value("preserved", preserved)
    if not preserved:
        host.other.stop()

    before, server = main_pid(), server_of(main_pid())

    def act():
        systemctl("stop", UNIT)
        host.report.check("stopped, it leaves no process of its own",
                          not (processes.is_there(before) or processes.is_there(server)))
        systemctl("start", UNIT)
    host.after("stop and start", act, lambda: main_pid() not in (0, before), competing=preserved)


def behaves_afterwards(host):
    virsh("suspend", "vm")
    until(lambda: host.watch.is_free(LIBVIRT_DISK), "a paused VM's disk is free", SOON)
    virsh("resume", "vm")
    host.report.check("pause and resume give the lock back and take it again",
                      not host.watch.is_free(LIBVIRT_DISK))
    virsh("destroy", "vm")
    until(lambda: host.watch.is_free(LIBVIRT_DISK), "the disk of a destroyed VM is free", SOON)
    host.run_child.terminate()
    host.run_child.wait(60)
    until(lambda: host.watch.is_free(RUN_DISK), "the disk of a VM that has ended is free", SOON)
    host.report.check("the locks go with their VMs", True)


def own_services(host):
    """Without libvirt's units: everything by its own sockets."""
    report = host.report
    systemctl("stop", UNIT, "virtlockd.socket", "virtlockd-admin.socket")
    for name in (DROPIN, LAB_DROPIN):
        os.unlink(f"{systemd.FOLDER}/{name}")
    systemctl("daemon-reload")
    systemctl("start", "holdfastd.socket", "holdfastd-ro.socket", "holdfast-consoled.socket",
              "holdfast-consoled-ro.socket", "holdfast-pr-helper.socket")
    report.check("the service is not there before its first client",
                 show("holdfastd.service", "ActiveState") == "inactive")
    report.check("a first client starts it", host.shown() == set())
    until(lambda: show("holdfastd.service", "ActiveState") == "active", "holdfastd.service", SOON)
    report.check("it leaves the place of a stock virtlockd alone",
                 not os.path.exists("/run/virtlockd.pid"))
    done = try_systemctl("start", UNIT)
    report.check("and that can be started beside it", done.returncode == 0, done.stderr)
    # Nobody looks at this one, which would be somebody who writes it without a lock.
    with open(OWN_DISK, "wb") as disk:
        disk.truncate(1 << 20)
    said = command(host.names["holdfast"], "run", "--name=own", f"--disk={OWN_DISK}", "--", "echo",
                   "ran")
    report.check("a VM gets its lock", said == "ran\n", said)
    command(host.names["holdfast"], "console", "list")
    report.check("the daemon of consoles answers", True)
    with open("/vm/pr.img", "wb") as disk:
        disk.truncate(1 << 20)
    done = subprocess.run([host.holdfast, "pr", "keys", "/vm/pr.img", "--socket",
                           "/run/qemu-pr-helper.sock"], check=False, capture_output=True,
                          text=True, stdin=subprocess.DEVNULL, timeout=60)
    report.check("the helper of reservations is started by its socket",
                 show("holdfast-pr-helper.service", "ActiveState") == "active",
                 (done, systemd.journal("holdfast-pr-helper.service")))
    said = systemd.journal("holdfast-pr-helper.service")
    report.check("and may do in its sandbox what it has to", "cannot enter" not in said, said)
    for name in ("holdfastd", "holdfast-consoled", "holdfast-pr-helper"):
        said = command("systemd-analyze", "security", "--no-pager", f"{name}.service")
        report.value(f"exposure of {name}", said.splitlines()[-1].strip())
        report.event(said.splitlines()[-1].strip())


def removes(host):
    """With no VM left: the packages go, and all that runs of them."""
    running = main_pid("holdfastd.service")
    host.programs.remove()
    host.report.value("packaged", "packages" in host.report.arguments)
    host.report.check("removed, it leaves no daemon",
                      "packages" not in host.report.arguments or
                      not processes.is_there(running))
    host.report.check("and no unit", "packages" not in host.report.arguments or
                      show("holdfastd.service", "LoadState") == "not-found")


def run(report):
    host = Host(report)
    try:
        host.become_virtlockd()
        report.event("holdfastd is virtlockd.service")
        host.start_vms()
        for part in (restarts, kills, upgrades, hangs, stops_and_starts, behaves_afterwards,
                     own_services, removes):
            part(host)
    finally:
        report.event(f"what the service said:\n{systemd.journal(UNIT)[-4000:]}")
        host.nursery.close()
