# SPDX-License-Identifier: LGPL-2.1-or-later
"""What libvirt's own commands call real disks: logical volumes, SCSI disks (one of them by two
paths), and what is neither. Then what we call them, and three hosts with one disk: a and b with
`holdfast run`, s with stock virtlockd and the name that libvirt makes."""

import concurrent.futures
import hashlib
import os
import re
import shutil
import subprocess

from hftest import command as holdfast, daemons
from lab.inside import disks, locks, nfs
from lab.inside.machine import load, run as command
from lab.inside.report import until

LVM_FORM = r"\w{6}(-\w{4}){5}-\w{6}"
FOLDERS = {"lvm": "/mnt/lvm", "scsi": "/mnt/scsi", "file": "/mnt/file"}
# The program of the unit tests that prints our names: "FOLDER NAME WAY", with tabs.
NAME_OF = os.path.join(daemons.BUILD, "tests", "unit", "storage", "name-of")
OPTIONS = [word for kind, folder in FOLDERS.items() for word in (f"--{kind}", folder)]
SETTINGS = "".join(f'{kind}_lockspace_dir = "{folder}"\n' for kind, folder in FOLDERS.items())
# Where each host has them.
FILES = {"a": "holdfast/holdfast.conf", "b": "libvirt/qemu-lockd.conf"}
HELD = 75
PAIRS = [("a", "b"), ("b", "a"), ("a", "s"), ("s", "b")]
KINDS = ("lvm", "scsi")
SENTENCES = ("the VM of the second is refused", "the refusal says who has it",
             "it goes to the second when the first has ended")


def said_by(*argv):
    """A command as libvirt runs it: the first line of what it says, or "" when it fails."""
    done = subprocess.run(argv, check=False, stdin=subprocess.DEVNULL, capture_output=True,
                          text=True)
    return done.stdout.lstrip().partition("\n")[0] if done.returncode == 0 else ""


def libvirt_name(path):
    """(kind of lockspace, name) by libvirt's rules, with a folder for each kind."""
    uuid = said_by(*disks.LVS, path)
    if uuid:
        return "lvm", uuid
    ident = said_by(*disks.SCSI_ID, path)
    if ident:
        return "scsi", ident
    return "file", hashlib.sha256(os.fsencode(path)).hexdigest()


def make():
    """Paths of all sorts: {path: the kind of its name}; and the SCSI disk with two paths."""
    disks.setup()
    double = disks.Disk("a1b2c3d4-double", paths=2)
    single = disks.Disk("e5f60718-single")
    base = disks.Disk("293a4b5c-volumes", mib=64)
    volumes = disks.make_volumes(base.nodes[0], "vg0", ["one", "with-dash"])
    foreign = disks.foreign()
    mapped = disks.mapped(single.nodes[0])
    command("addpart", single.nodes[0], "1", "2048", "8192")
    disks.settle()
    kinds = {path: "lvm" for path in volumes.values()}
    kinds |= {"/dev/mapper/vg0-one": "lvm", "/dev/mapper/vg0-with--dash": "lvm"}
    kinds |= {node: "scsi" for node in (*double.nodes, *single.nodes, *foreign)}
    kinds |= {f"/dev/disk/by-id/scsi-{double.scsi_id()}": "scsi", f"{single.nodes[0]}1": "scsi"}
    # A mapped device passes the question on to the disk below it.
    kinds |= {mapped: "scsi", disks.loop(): "file", "/var/lib/images/disk.img": "file"}
    return kinds, double


def look(report, kinds, double):
    # With paths for which only the commands themselves know what they say.
    paths = [*kinds, os.path.realpath("/dev/vg0/one"), "/dev//vg0/one", "/dev/null",
             "/dev/no-such-disk"]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        names = dict(zip(paths, pool.map(libvirt_name, paths)))
    for path, (kind, name) in names.items():
        report.event(f"{path}: {kind}: {name}")
        report.check("the commands know the disks of the lab",
                     kinds.get(path, kind) == kind and
                     (kind != "lvm" or re.fullmatch(LVM_FORM, name)), (path, kind, name))
    first, second = (names[node] for node in double.nodes)
    report.check("a disk has one name by both its paths", first == second, (first, second))
    whole = [names[path] for path in ("/dev/vg0/one", "/dev/vg0/with-dash", double.nodes[0])]
    report.check("different disks have different names", len(set(whole)) == len(whole), whole)
    return names


def compare(report, names):
    """Ours, path by path."""
    done = subprocess.run([NAME_OF, *OPTIONS, *names], check=False, capture_output=True, text=True)
    said = [line.split("\t") for line in done.stdout.splitlines()]
    report.check("our names are those that libvirt makes", len(said) == len(names), done)
    for (path, (kind, name)), ours in zip(names.items(), said):
        report.event(f"ours: {path}: {ours}")
        report.check("our names are those that libvirt makes", ours[:2] == [FOLDERS[kind], name],
                     (path, kind, name, ours))
    report.value("ways", sorted({ours[2] for ours in said}))


class OurVm:
    """A VM that `holdfast run` starts on a host, with a path of its own to the disk."""

    def __init__(self, host, daemon, path):
        self.cli, self.path, self.name = host.cli(daemon), path, f"vm-{host.name}"

    def start(self):
        self.run = self.cli.hold(self.name, f"--disk={self.path}")
        return True

    def end(self):
        holdfast.end(self.run)

    def ask(self):
        """Whether it was refused, and in which words; what was granted has ended already."""
        answer = self.cli("run", f"--name={self.name}", f"--disk={self.path}", "--", "true")
        assert answer.returncode in (0, HELD), answer
        return answer.returncode == HELD, answer.stderr

    def is_named(self, words, host):
        return self.name in words and f"host {host}" in words


class StockVm:
    """A VM of libvirt, as its lock daemon sees it."""

    def __init__(self, host, daemon, path):
        kind, name = libvirt_name(path)
        self.holder = locks.Holder(host, daemon, FOLDERS[kind], name)

    def start(self):
        return self.holder.acquire().ok

    def end(self):
        self.holder.release()

    def ask(self):
        answer = self.holder.acquire()
        if answer.ok:
            self.holder.release()
        return locks.refused(answer), None

    def is_named(self, words, host):
        return "unknown party" in words and "virtlockd" in words


def granted_soon(vm):
    try:
        return until(lambda: not vm.ask()[0], "it was given back")
    except TimeoutError:
        return False


def exclude(report, label, host, first, second):
    assert first.start(), label
    refused, words = second.ask()
    report.check(f"{label}: the VM of the second is refused", refused, words)
    # virtlockd knows nobody.
    report.check(f"{label}: the refusal says who has it",
                 words is None or first.is_named(words, host), words)
    first.end()
    # The daemon hears of an end from the kernel, as everybody else does, and gives back on NFS.
    given = granted_soon(second)
    report.check(f"{label}: it goes to the second when the first has ended", given, label)


def show_udev(host):
    """What udev knows of the disks, which a host with a /run of its own has not seen."""
    shutil.copytree("/run/udev/data", f"{host.folder}/udev/data")
    host.run("ln", "-s", f"{host.folder}/udev", "/run/udev")


def hosts_with_one_disk(report, double):
    """Each host has a path of its own to one disk, and all have the lockspaces on NFS."""
    _, hosts = nfs.setup("abs")
    show_udev(hosts["a"])
    for name, file in FILES.items():
        hosts[name].configure(SETTINGS, file)
    served = {"a": hosts["a"].holdfastd(), "b": hosts["b"].holdfastd(),
              "s": hosts["s"].virtlockd()}
    paths = {"lvm": {"a": "/dev/vg0/one", "b": "/dev/mapper/vg0-one", "s": "/dev/vg0/one"},
             "scsi": {"a": double.nodes[0], "b": double.nodes[1], "s": double.nodes[1]}}
    report.event("three daemons answer")
    for kind in KINDS:
        for name in "ab":
            said = hosts[name].run(NAME_OF, *OPTIONS, paths[kind][name]).rstrip("\n").split("\t")
            report.event(f"{name}: {paths[kind][name]}: {said}")
            report.value(f"{kind} {name}", said[2])
        vms = {name: (StockVm if name == "s" else OurVm)(hosts[name], served[name],
                                                         paths[kind][name]) for name in "abs"}
        for first, second in PAIRS:
            exclude(report, f"{kind}: {first} then {second}", first, vms[first], vms[second])
        report.event(f"{kind}: done")
    for host in hosts.values():
        host.close()


def run(report):
    load("loop")
    kinds, double = make()
    report.event("the disks are there")
    compare(report, look(report, kinds, double))
    disks.stop_udev()
    hosts_with_one_disk(report, double)
