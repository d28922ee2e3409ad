# SPDX-License-Identifier: LGPL-2.1-or-later
"""Real SCSI disks and logical volumes, in a guest.

The kernel's own SCSI target (LIO) makes a disk of a file, and its loopback fabric shows it to the
same kernel as a disk on a SCSI bus, once for each path. systemd-udevd fills udev's database as on
any machine, so that what reads names from there finds them.
"""

import glob
import os
import subprocess

from .machine import load, put, run
from .report import until

CORE = "/sys/kernel/config/target/core"
FABRIC = "/sys/kernel/config/target/loopback"
FILES = "/dev/shm"
UDEVD = "/lib/systemd/systemd-udevd"
# As libvirt runs them, without the path.
LVS = ("lvs", "--noheadings", "--unbuffered", "--nosuffix", "--options", "uuid")
SCSI_ID = ("/lib/udev/scsi_id", "--replace-whitespace", "--whitelisted", "--device")


def setup():
    """Modules, configfs and udev; ends with the guest."""
    load("configfs", "scsi_mod", "sd_mod", "sg", "target_core_mod", "target_core_file", "tcm_loop",
         "dm_mod")
    if not os.path.ismount("/sys/kernel/config"):
        run("mount", "-t", "configfs", "configfs", "/sys/kernel/config")
    # Without these LIO answers every registration with an error, although it is made.
    for folder in ("/var/target/pr", "/etc/target/pr"):
        os.makedirs(folder, exist_ok=True)
    subprocess.run([UDEVD, "--daemon"], check=True, stdin=subprocess.DEVNULL)
    settle()


def settle():
    """Waits for udev to have looked at all that there is."""
    run("udevadm", "trigger", "--action=add", "--subsystem-match=block")
    run("udevadm", "settle", "--timeout=50")


def stop_udev():
    """When there are no more disks to come: it would look at each network card, too."""
    run("udevadm", "control", "--exit")


def leave_alone():
    """udev looks at each disk that somebody has closed after writing, and would be told what a disk
    tells once, to whoever asks first. From here on nobody asks but who is meant to."""
    run("udevadm", "settle", "--timeout=50")
    stop_udev()


class Disk:
    """A SCSI disk with `paths` of its own to it; `nodes` are /dev/sd*, one a path.

    Two disks have to differ within the first characters of their serials: the name that the
    disk says it has is made of those.
    """

    count = 0

    def __init__(self, serial, mib=16, paths=1):
        Disk.count += 1
        self.serial = serial
        core = f"{CORE}/fileio_0/disk{Disk.count}"
        os.makedirs(core)
        file = f"{FILES}/lab-disk{Disk.count}"
        with open(file, "wb") as out:
            out.truncate(mib << 20)
        put(f"{core}/control", f"fd_dev_name={file},fd_dev_size={mib << 20}")
        put(f"{core}/wwn/vpd_unit_serial", f"{serial}\n")
        put(f"{core}/enable", "1\n")
        self.nodes = [self.add_path(core, Disk.count * 16 + path) for path in range(paths)]

    def add_path(self, core, number):
        """One more way to the disk, from an initiator of its own: the new node."""
        before = set(glob.glob("/dev/sd*"))
        target = f"{FABRIC}/naa.6001405{number:09x}/tpgt_1"
        os.makedirs(target)
        put(f"{target}/nexus", f"naa.6001405{number + 0x80000:09x}\n")
        os.makedirs(f"{target}/lun/lun_0")
        os.symlink(core, f"{target}/lun/lun_0/disk")
        node, = until(lambda: set(glob.glob("/dev/sd*")) - before, f"a path to {self.serial}")
        return node

    def scsi_id(self, node=None):
        """The disk's name, as by this path."""
        return run(*SCSI_ID, node or self.nodes[0]).rstrip("\n")


def make_volumes(node, group, names, mib=4, known=True):
    """Logical volumes of this size in a new group on a disk; {name: path}. With known=False udev
    is not made to look at all that there is, which takes some seconds."""
    run("pvcreate", "-q", "-ff", "-y", node)
    run("vgcreate", "-q", group, node)
    for name in names:
        run("lvcreate", "-q", "-y", "-Wn", "-n", name, "-L", f"{mib}M", group)
    if known:
        settle()
    return {name: f"/dev/{group}/{name}" for name in names}


def foreign():
    """Nodes of disks of another make, whose names are of the kind that nobody has registered."""
    before = set(glob.glob("/dev/sd*"))
    run("modprobe", "scsi_debug", "dev_size_mb=8")
    until(lambda: set(glob.glob("/dev/sd*")) - before, "a disk of scsi_debug")
    return sorted(set(glob.glob("/dev/sd*")) - before)


def mapped(node, name="plain"):
    """A mapped device that is no logical volume, of the disk's first half."""
    sectors = int(run("blockdev", "--getsz", node)) // 2
    run("dmsetup", "create", name, "--table", f"0 {sectors} linear {node} 0")
    return f"/dev/mapper/{name}"


def loop(mib=4):
    """A block device that is neither."""
    file = f"{FILES}/lab-loop"
    with open(file, "wb") as out:
        out.truncate(mib << 20)
    return run("losetup", "--find", "--show", file).strip()
