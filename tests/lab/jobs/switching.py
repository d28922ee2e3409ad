# SPDX-License-Identifier: LGPL-2.1-or-later
"""docs/switching.md, followed word for word by an administrator of a host with two domains, whose
disks are locked in a lockspace directory."""

import hashlib
import os
import re
import subprocess

from hftest import daemons, files, processes
from hftest.competitor import Competitor
from lab.inside import installed
from lab.inside.libvirt import QEMU_CONF, start_libvirtd, virsh
from lab.inside.machine import run as command
from lab.inside.report import until
from lab.inside.systemd import journal, show, systemctl, try_systemctl
from lab.inside.watch import Watch

GUIDE = f"{daemons.REPO}/docs/switching.md"
UNIT = "virtlockd.service"
DISKS = {"one": "/vm/one.img", "two": "/vm/two.img"}
# Each disk is locked by a file here, as on hosts that share a directory for that.
LEASES = "/vm/leases"
LOCKD = 'lock_manager = "lockd"\n'
DOMAIN = """\
<domain type='qemu'><name>{name}</name><memory unit='MiB'>16</memory>
<os><type arch='x86_64' machine='pc'>hvm</type></os>
<devices><emulator>{repo}/tests/dropin/qemu-without-locks</emulator>
<controller type='scsi' model='virtio-scsi'/><controller type='usb' model='none'/>
<memballoon model='none'/>
<disk type='file' device='disk'><driver name='qemu' type='raw'/>
<source file='{disk}'/><target dev='sda' bus='scsi'/></disk>
</devices></domain>
"""
# The guest is slow, and so is systemd in it.
SOON = 120.0


def sections(path):
    """{heading: its commands}, of the blocks that are marked as sh."""
    found, heading, inside = {}, None, False
    with open(path, encoding="utf-8") as text:
        for line in text:
            if line.startswith("```"):
                inside = line.strip() == "```sh"
            elif inside:
                found[heading].append(line.strip())
            elif title := re.match(r"## (.*)", line):
                heading = title[1]
                found[heading] = []
    return found


def lock_file(disk):
    return f"{LEASES}/{hashlib.sha256(disk.encode()).hexdigest()}"


def is_locked(name):
    return files.lock_on_first_byte(lock_file(DISKS[name])) == "write lock"


def main_pid():
    return int(show(UNIT, "MainPID"))


class Host:
    """The guest, its domains, and who wants their disks."""

    def __init__(self, report):
        self.report, self.nursery = report, processes.Nursery()
        self.names = installed.install()
        self.guide = sections(GUIDE)
        self.path = f"{os.path.dirname(self.names['holdfast'])}:{os.environ['PATH']}"
        os.makedirs("/vm")
        command("mount", "-t", "tmpfs", "vm", "/vm")
        os.mkdir(LEASES)
        with open("/etc/libvirt/qemu-lockd.conf", "w", encoding="ascii") as out:
            out.write(f'file_lockspace_dir = "{LEASES}"\n')
        for path in DISKS.values():
            with open(path, "wb") as disk:
                disk.truncate(1 << 20)

    def start(self):
        systemctl("start", "virtlockd.socket", "virtlockd-admin.socket")
        # As the package has left them.
        systemctl("start", "holdfastd.socket", "holdfastd-ro.socket")
        start_libvirtd(self.nursery, LOCKD + QEMU_CONF)
        for name, disk in DISKS.items():
            with open("/run/vm.xml", "w", encoding="ascii") as out:
                out.write(DOMAIN.format(name=name, disk=disk, repo=daemons.REPO))
            virsh("define", "/run/vm.xml")
            virsh("start", name)
        self.report.event("two domains run on a host with stock virtlockd")
        self.before, self.pid = self.domains(), main_pid()
        locks = [lock_file(disk) for disk in DISKS.values()]
        self.competitor, self.watch = Competitor(self.nursery, locks), Watch(*locks)

    def domains(self):
        """What would be another thing of a domain that was started again, or paused."""
        return {name: (daemons.read_pid(f"/run/libvirt/qemu/{name}.pid"),
                       virsh("domstate", "--reason", name).strip()) for name in DISKS}

    def program(self):
        return os.path.basename(os.readlink(f"/proc/{main_pid()}/exe"))

    def follow(self, heading):
        """Types what the guide says there; what was printed."""
        said = []
        for line in self.guide[heading]:
            done = subprocess.run(["sh", "-c", line], check=False, capture_output=True, text=True,
                                  stdin=subprocess.DEVNULL, timeout=SOON * 2,
                                  env={**os.environ, "PATH": self.path})
            self.report.check(f"{heading}: each command succeeds", done.returncode == 0,
                              (line, done.returncode, done.stderr[-1500:]))
            self.report.event(f"# {line}\n{done.stdout[-1500:]}{done.stderr[-1500:]}")
            said.append(done.stdout)
        self.unharmed(heading)
        return said

    def unharmed(self, what):
        now, gaps, (tries, got) = self.domains(), self.watch.gaps(), self.competitor.count()
        self.report.check(f"{what}: the domains run on and were never paused",
                          now == self.before, (self.before, now))
        self.report.check(f"{what}: no disk was ever free", tries and not gaps and not got,
                          (tries, gaps, got))


def there(host):
    report = host.report
    listed, = host.follow("Before")
    plan, = host.follow("Dry run")
    report.check("the dry run says that it can be done, and changes nothing",
                 "It can be done." in plan and host.program() == "virtlockd", plan)
    said, = host.follow("Adopt")
    report.check("it says that all locks are held as before",
                 "all its locks (2) are held as before" in said, said)
    report.check("the process is the same, and systemd's",
                 (host.program(), main_pid(), show(UNIT, "ActiveState")) ==
                 ("holdfastd", host.pid, "active"), (host.program(), main_pid(), host.pid))
    listed_again, shown, status = host.follow("Check")
    report.check("virsh lists the same domains", listed_again == listed, listed_again)
    report.check("holdfast ps shows each with its disk",
                 all(word in shown for word in (*DISKS, *map(lock_file, DISKS.values()))), shown)
    report.check("systemctl shows the drop-in", "holdfast.conf" in status, status)
    host.follow("From now on")
    until(lambda: show(UNIT, "ActiveState") == "active", "active", SOON)
    report.check("it is the same process after a reload", main_pid() == host.pid)


def back(host, what):
    report = host.report
    pid = main_pid()
    dry, said, _ = host.follow("Back")
    report.check(f"{what}: the way back is looked at first", "It can be done." in dry, dry)
    report.check(f"{what}: virtlockd goes on with all locks",
                 "all its locks (2) are held as before" in said and
                 host.program() == "virtlockd" and main_pid() == pid, (said, host.program(), main_pid(), pid))
    report.check(f"{what}: the drop-in is gone",
                 "holdfast.conf" not in systemctl("cat", UNIT))
    done = try_systemctl("is-active", UNIT)
    report.check(f"{what}: the service is active", done.returncode == 0, done.stdout)


def refused_back(host):
    """Domains that ran through a restart have no connection any more."""
    holdfast = host.names["holdfast"]
    done = subprocess.run([holdfast, "adopt", "--back"], check=False, capture_output=True,
                          text=True, stdin=subprocess.DEVNULL, timeout=SOON)
    host.report.check("after a restart the way back is refused, and names who is in the way",
                      done.returncode == 75 and all(f"{name} (pid" in done.stderr
                                                    for name in DISKS), done)
    host.unharmed("a refused way back")
    host.report.check("a refused way back leaves the service as it was",
                      "holdfast.conf" in systemctl("cat", UNIT) and host.program() == "holdfastd")


def behaves(host):
    """The daemon at hand gives locks and takes them back."""
    host.competitor.stop()
    virsh("suspend", "one")
    until(lambda: not is_locked("one"), "a paused domain's disk is free", SOON)
    virsh("resume", "one")
    host.report.check("pause and resume behave afterwards", is_locked("one"))
    virsh("destroy", "two")
    until(lambda: not is_locked("two"), "a destroyed domain's disk is free", SOON)
    virsh("start", "two")
    host.report.check("destroy and start behave afterwards", is_locked("two"))


def run(report):
    host = Host(report)
    try:
        host.start()
        there(host)
        back(host, "Back")
        host.follow("Adopt")
        host.report.check("and there once more", host.program() == "holdfastd")
        systemctl("restart", UNIT)
        host.unharmed("a restart later")
        report.check("the next start is holdfastd's, in its sandbox",
                     (host.program(), show(UNIT, "ActiveState")) == ("holdfastd", "active") and
                     main_pid() != host.pid, (host.program(), main_pid()))
        refused_back(host)
        behaves(host)
    finally:
        report.event(f"what the service said:\n{journal(UNIT)[-4000:]}")
        host.nursery.close()
