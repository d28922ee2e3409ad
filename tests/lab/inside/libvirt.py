# SPDX-License-Identifier: LGPL-2.1-or-later
"""Stock libvirtd on its default paths: the guest is nobody else's."""

import subprocess

from .machine import run
from .report import until

# No users, labels, cgroups and namespaces of its own, none of which is any lab's subject.
QEMU_CONF = """\
security_driver = "none"
user = "root"
group = "root"
cgroup_controllers = []
namespaces = []
stdio_handler = "file"
"""
LIBVIRTD_CONF = 'auth_unix_rw = "none"\nauth_unix_ro = "none"\n'
URI = "qemu:///system"
# It asks each QEMU what it can do, on an emulated processor.
DEADLINE = 120


def virsh(*words):
    return run("virsh", "-q", "-c", URI, *words, timeout=DEADLINE)


def start_libvirtd(nursery, qemu_conf=QEMU_CONF):
    """Returns when it answers."""
    for name, text in (("qemu.conf", qemu_conf), ("libvirtd.conf", LIBVIRTD_CONF)):
        with open(f"/etc/libvirt/{name}", "w", encoding="ascii") as out:
            out.write(text)
    with open("/run/libvirtd.log", "wb") as log:
        nursery.spawn(["libvirtd"], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    until(lambda: subprocess.run(["virsh", "-q", "-c", URI, "list"], check=False,
                                 capture_output=True).returncode == 0, "libvirtd answers", DEADLINE)
