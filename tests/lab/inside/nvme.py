# SPDX-License-Identifier: LGPL-2.1-or-later
"""An NVMe namespace: the kernel's own target, which its own host reaches by its loopback."""

import glob
import os

from .machine import load, put, run
from .report import until

TARGET = "/sys/kernel/config/nvmet"
NAME = "holdfast-lab"
FILE = "/dev/shm/lab-nvme"
PORT = "4420"


def setup(mib=16):
    """The node of the namespace, and its character node."""
    load("configfs", "nvmet_tcp", "nvme_tcp")
    run("ip", "link", "set", "lo", "up")
    if not os.path.ismount("/sys/kernel/config"):
        run("mount", "-t", "configfs", "configfs", "/sys/kernel/config")
    with open(FILE, "wb") as out:
        out.truncate(mib << 20)
    subsystem, port = f"{TARGET}/subsystems/{NAME}", f"{TARGET}/ports/1"
    os.makedirs(f"{subsystem}/namespaces/1")
    put(f"{subsystem}/attr_allow_any_host", "1")
    put(f"{subsystem}/namespaces/1/device_path", FILE)
    # A file in memory is not to be had without the cache.
    put(f"{subsystem}/namespaces/1/buffered_io", "1")
    put(f"{subsystem}/namespaces/1/enable", "1")
    os.makedirs(port)
    for name, value in (("trtype", "tcp"), ("adrfam", "ipv4"), ("traddr", "127.0.0.1"),
                        ("trsvcid", PORT)):
        put(f"{port}/addr_{name}", value)
    os.symlink(subsystem, f"{port}/subsystems/{NAME}")
    put("/dev/nvme-fabrics", f"transport=tcp,traddr=127.0.0.1,trsvcid={PORT},nqn={NAME}")
    node, = until(lambda: glob.glob("/dev/nvme[0-9]*n[0-9]*"), "a namespace")
    return node, node.replace("nvme", "ng")
