# SPDX-License-Identifier: LGPL-2.1-or-later
"""What libvirt's own commands call real disks: logical volumes, SCSI disks (one of them by two
paths), and what is neither. Then what we call them, and two hosts with one disk."""

import hashlib
import os
import re
import subprocess

from hftest import daemons
from lab.inside import disks, locks, nfs
from lab.inside.machine import load, run as command

LVM_FORM = r"\w{6}(-\w{4}){5}-\w{6}"
FOLDERS = {"lvm": "/mnt/lvm", "scsi": "/mnt/scsi", "file": "/mnt/file"}
# The program of the unit tests that prints our names: "FOLDER NAME WAY", with tabs.
NAME_OF = os.path.join(daemons.BUILD, "tests", "unit", "storage", "name-of")


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
    names = {path: libvirt_name(path) for path in kinds}
    # Paths for which only the commands themselves know what they say.
    names |= {path: libvirt_name(path) for path in
              (os.path.realpath("/dev/vg0/one"), "/dev/null", "/dev/no-such-disk")}
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
    """Ours, path by path; nothing where the program that prints them is not built."""
    report.value("name-of", os.access(NAME_OF, os.X_OK))
    if not os.access(NAME_OF, os.X_OK):
        return
    folders = [word for kind, folder in FOLDERS.items() for word in (f"--{kind}", folder)]
    for path, (kind, name) in names.items():
        done = subprocess.run([NAME_OF, *folders, path], check=False, capture_output=True,
                              text=True)
        report.event(f"ours: {path}: {done.stdout.strip() or done.stderr.strip()}")
        report.check("our names are those that libvirt makes",
                     done.stdout.split("\t")[:2] == [FOLDERS[kind], name], (path, kind, name, done))


def two_hosts(report, double):
    """Each host has a path of its own to one disk, and both have the lockspace on NFS."""
    _, hosts = nfs.setup("ab")
    vms = [locks.Holder(host, host.holdfastd(), FOLDERS["scsi"], double.scsi_id(node))
           for host, node in zip(hosts.values(), double.nodes)]
    for first, second in (vms, vms[::-1]):
        granted, refused = first.acquire(), second.acquire()
        report.check("one disk by two paths belongs to one VM on two hosts",
                     granted.ok and locks.refused(refused), (granted, refused))
        first.release()
    for host in hosts.values():
        host.close()


def run(report):
    load("loop")
    kinds, double = make()
    report.event("the disks are there")
    compare(report, look(report, kinds, double))
    two_hosts(report, double)
