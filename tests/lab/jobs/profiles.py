# SPDX-License-Identifier: LGPL-2.1-or-later
"""The daemons under their AppArmor profiles, enforced: they do their work, and nothing else."""

import json
import os
import pty
import shutil
import signal
import subprocess

from hftest import processes
from hftest.processes import until
from lab.inside import installed
from lab.inside.machine import put, run as command

SOON = 90.0
DISK, PR_DISK = "/vm/disk.img", "/vm/shared.img"
PROFILES = {"holdfastd": "usr.sbin.holdfastd", "holdfast-consoled": "usr.sbin.holdfast-consoled",
            "holdfast-pr-helper": "usr.bin.holdfast-pr-helper"}
POLICY = f'emulate = [ "{PR_DISK} as shared" ]\nemulation_dir = "/vm/pr"\n'
POLICY_FILE = "/usr/local/etc/holdfast/pr-policy.conf"
LOCAL = "/vm/** rwkl,\n"
# What somebody could do who has taken a daemon over.
INTRUDER = """
import ctypes, json, os, socket, subprocess, sys
assert ctypes.CDLL("libapparmor.so.1").aa_change_profile(sys.argv[1].encode()) == 0
def able(what):
    try:
        what()
        return True
    except OSError:
        return False
print(json.dumps({
    "run": able(lambda: subprocess.run(["/bin/true"], check=False)),
    "configure": able(lambda: os.open("/etc/passwd", os.O_RDWR)),
    "replace": able(lambda: os.open("/usr/bin/true", os.O_RDWR)),
    "kernel": able(lambda: os.open("/proc/sys/kernel/core_pattern", os.O_RDWR)),
    "network": able(lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM)),
    "read": able(lambda: os.open("/usr/local/etc/holdfast/pr-policy.conf", os.O_RDONLY))}))
"""


def load_profiles(report, names):
    command("mount", "-t", "securityfs", "none", "/sys/kernel/security")
    with open("/sys/module/apparmor/parameters/enabled", encoding="ascii") as text:
        report.check("the kernel has AppArmor", text.read().strip() == "Y")
    os.makedirs("/etc/apparmor.d/local", exist_ok=True)
    with open("/etc/apparmor.d/local/usr.bin.holdfast-pr-helper", "w", encoding="ascii") as out:
        out.write(LOCAL)
    for name in PROFILES.values():
        shutil.copy(names[name], "/etc/apparmor.d")
        command("apparmor_parser", "-r", "-K", f"/etc/apparmor.d/{name}")


def confinement(pid):
    with open(f"/proc/{pid}/attr/current", encoding="ascii") as text:
        return text.read().strip()


def denials():
    return [line for line in command("dmesg").splitlines() if 'apparmor="DENIED"' in line]


class Host:
    def __init__(self, report, names):
        self.report, self.names, self.nursery = report, names, processes.Nursery()

    def start(self, name, *words):
        return self.nursery.spawn([self.names[name], *words], stdin=subprocess.DEVNULL)

    def holdfast(self, *words, status=0):
        done = subprocess.run([self.names["holdfast"], *words], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=SOON, check=False)
        if status is not None and done.returncode != status:
            raise OSError(f"holdfast {words}: {done.returncode}: {done.stdout} {done.stderr}")
        return done.stdout + done.stderr

    def locks(self):
        daemon = self.start("holdfastd")
        until(lambda: "NAME" in self.holdfast("ps", status=None), "holdfastd serves", SOON)
        family = [daemon.pid, *processes.children(daemon.pid)]
        told = {confinement(pid) for pid in family}
        self.report.check("holdfastd and its server are confined",
                          len(family) > 1 and told == {"holdfastd (enforce)"}, told)
        owner = self.nursery.spawn([self.names["holdfast"], "run", "--name=web0", f"--disk={DISK}",
                                    "--", "sleep", "600"], stdin=subprocess.DEVNULL)
        until(lambda: "web0" in self.holdfast("ps", status=None), "a VM is locked", SOON)
        second = self.holdfast("lock", DISK, "--", "true", status=None)
        self.report.check("a disk is kept for its VM", "web0" in second, second)
        self.upgrade(daemon)
        processes.kill_family(daemon.pid)
        daemon.wait()
        daemon = self.start("holdfastd")
        until(lambda: "web0" in self.holdfast("ps", status=None), "the next one has the lock", SOON)
        self.report.check("the next one has what a VM carries",
                          "web0" in self.holdfast("lock", DISK, "--", "true", status=None))
        owner.send_signal(signal.SIGTERM)
        until(lambda: "web0" not in self.holdfast("ps", status=None), "the VM has gone", SOON)
        self.stranger()

    def upgrade(self, daemon):
        path = self.names["holdfastd"]
        shutil.copy(path, f"{path}.new")
        os.rename(f"{path}.new", path)
        daemon.send_signal(signal.SIGUSR1)
        until(lambda: os.stat(f"/proc/{daemon.pid}/exe").st_ino == os.stat(path).st_ino,
              "it has become the new program", SOON)
        until(lambda: "web0" in self.holdfast("ps", status=None), "it serves again", SOON)
        self.report.check("it becomes its next version, confined as before",
                          confinement(daemon.pid) == "holdfastd (enforce)")

    def stranger(self):
        """A process that never asked, found by what it has open."""
        said = self.nursery.spawn(["flock", "-x", DISK, "sleep", "600"], stdin=subprocess.DEVNULL)
        found = until(lambda: (text := self.holdfast("who", DISK, status=None))
                      and str(said.pid) in text and text, "a stranger is found", SOON)
        self.report.check("it finds who has a disk open that never asked", bool(found), found)

    def consoles(self):
        daemon = self.start("holdfast-consoled")
        _, guest = pty.openpty()
        path = os.ttyname(guest)
        until(lambda: "answers" not in self.holdfast("console", "list", status=None),
              "holdfast-consoled serves", SOON)
        self.holdfast("console", "--keep", path, status=None)
        listed = self.holdfast("console", "list", status=None)
        self.report.check("a terminal is held", path in listed, listed)
        told = confinement(daemon.pid)
        self.report.check("holdfast-consoled is confined", told == "holdfast-consoled (enforce)", told)

    def reservations(self):
        os.makedirs("/vm/pr")
        os.makedirs(os.path.dirname(POLICY_FILE), exist_ok=True)
        with open(POLICY_FILE, "w", encoding="ascii") as out:
            out.write(POLICY)
        daemon = self.start("holdfast-pr-helper")
        until(lambda: os.path.exists("/run/qemu-pr-helper.sock") or daemon.poll() is not None,
              "the helper serves", SOON)
        self.report.check("holdfast-pr-helper serves", daemon.poll() is None, denials())
        self.holdfast("pr", "register", "--new-key=0x1", PR_DISK, status=None)
        said = self.holdfast("pr", "keys", PR_DISK, status=None)
        self.report.check("a reservation is made", "0x1" in said, said)
        told = confinement(daemon.pid)
        self.report.check("holdfast-pr-helper is confined",
                          told == "holdfast-pr-helper (enforce)", told)

    def intrude(self):
        for name in PROFILES:
            can = json.loads(command("/usr/bin/python3", "-c", INTRUDER, name))
            self.report.check(f"who has taken {name} over reads its settings", can.pop("read"), can)
            self.report.check(f"and who has taken {name} over can do little else",
                              not any(can.values()), can)


def run(report):
    names = installed.install()
    load_profiles(report, names)
    os.makedirs("/vm")
    command("mount", "-t", "tmpfs", "vm", "/vm")
    for path in (DISK, PR_DISK):
        with open(path, "wb") as disk:
            disk.truncate(1 << 20)
    put("/proc/sys/kernel/printk_ratelimit", "0")
    host = Host(report, names)
    host.locks()
    host.consoles()
    host.reservations()
    denied = denials()
    report.check("nothing that the daemons need is denied", not denied, "\n".join(denied[:20]))
    host.intrude()
    report.check("what is denied is told by the kernel's log", len(denials()) > len(denied))
    host.nursery.close()
