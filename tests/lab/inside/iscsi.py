# SPDX-License-Identifier: LGPL-2.1-or-later
"""A SCSI disk by way of iSCSI, on the guest's own loopback: target and initiators are its kernel's.

For what the loopback fabric of disks.py cannot do: PREEMPT AND ABORT never comes back there, as
the command waits for the worker that runs it.
"""

import glob
import os

from .disks import CORE, FILES
from .machine import load, put, run
from .report import until

FABRIC = "/sys/kernel/config/target/iscsi"
TARGET = "iqn.2024-01.test.lab:disk"
PORTAL = "127.0.0.1:3260"
# Anybody may come, and write.
OPEN = {"authentication": 0, "generate_node_acls": 1, "demo_mode_write_protect": 0,
        "cache_dynamic_acls": 1}


def serve(serial, mib):
    load("iscsi_target_mod", "iscsi_tcp")
    core = f"{CORE}/fileio_0/iscsi"
    os.makedirs(core)
    file = f"{FILES}/lab-iscsi"
    with open(file, "wb") as out:
        out.truncate(mib << 20)
    put(f"{core}/control", f"fd_dev_name={file},fd_dev_size={mib << 20}")
    put(f"{core}/wwn/vpd_unit_serial", f"{serial}\n")
    put(f"{core}/enable", "1\n")
    group = f"{FABRIC}/{TARGET}/tpgt_1"
    os.makedirs(f"{group}/lun/lun_0")
    os.symlink(core, f"{group}/lun/lun_0/disk")
    for name, value in OPEN.items():
        put(f"{group}/attrib/{name}", f"{value}\n")
    os.makedirs(f"{group}/np/{PORTAL}")
    put(f"{group}/enable", "1\n")


def log_in(initiator):
    """A session by an initiator of this name: the new node."""
    before = set(glob.glob("/dev/sd*"))
    to = ("-m", "node", "-T", TARGET, "-p", PORTAL, "-I", initiator)
    run("iscsiadm", "-m", "iface", "-I", initiator, "-o", "new")
    run("iscsiadm", "-m", "iface", "-I", initiator, "-o", "update", "-n", "iface.initiatorname",
        "-v", f"iqn.2024-01.test.lab:{initiator}")
    run("iscsiadm", *to, "-o", "new")
    run("iscsiadm", *to, "--login")
    node, = until(lambda: set(glob.glob("/dev/sd*")) - before, f"the disk of {initiator}")
    return node


def setup(nursery, serial, initiators, mib=16):
    """The nodes of one disk, one an initiator. After disks.setup()."""
    run("ip", "link", "set", "lo", "up")
    serve(serial, mib)
    os.makedirs("/run/lock", exist_ok=True)  # For the lock of iscsiadm's database.
    with open("/etc/iscsi/initiatorname.iscsi", "w", encoding="ascii") as out:
        out.write("InitiatorName=iqn.2024-01.test.lab:itself\n")
    nursery.spawn(["iscsid", "-f"])
    return [log_in(initiator) for initiator in initiators]
