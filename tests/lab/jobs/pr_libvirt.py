# SPDX-License-Identifier: LGPL-2.1-or-later
"""Stock libvirtd with <reservations managed='yes'/> on a SCSI disk: it starts the program that
qemu.conf names, and ours is that."""

import glob
import json
import os

from hftest import prhelper, processes
from hftest.prhelper import GOOD, READ_KEYS, REGISTER_AND_IGNORE
from lab.inside import disks
from lab.inside.libvirt import QEMU_CONF, start_libvirtd, virsh
from lab.inside.report import until

DOMAIN = """\
<domain type='qemu'><name>vm</name><memory unit='MiB'>16</memory>
<os><type arch='x86_64' machine='pc'>hvm</type></os>
<devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
<controller type='scsi' model='virtio-scsi'/><controller type='usb' model='none'/>
<memballoon model='none'/>
<disk type='block' device='lun'><driver name='qemu' type='raw'/>
<source dev='{node}'><reservations managed='yes'/></source><target dev='sda' bus='scsi'/></disk>
</devices></domain>
"""
SOCKETS = "/var/lib/libvirt/qemu/*/pr-helper0.sock"


def helper_processes():
    """{pid: command line} of the processes that run our program and have no parent that does."""
    found = {}
    for path in glob.glob("/proc/[0-9]*/exe"):
        folder = os.path.dirname(path)
        try:
            if os.readlink(path) == os.path.realpath(prhelper.OURS):
                with open(f"{folder}/cmdline", "rb") as words:
                    found[int(folder.split("/")[2])] = words.read().decode().split("\0")[:-1]
        except OSError:
            pass  # It has ended.
    inner = {child for pid in found for child in processes.children(pid)}
    return {pid: words for pid, words in found.items() if pid not in inner}


def managers():
    said = virsh("qemu-monitor-command", "vm", '{"execute": "query-pr-managers"}')
    return json.loads(said)["return"]


def run(report):
    nursery = processes.Nursery()
    disks.setup()
    node, = disks.Disk("c0ffee11-libvirt").nodes
    start_libvirtd(nursery, f'pr_helper = "{prhelper.OURS}"\n{QEMU_CONF}')
    report.event("libvirtd answers")
    with open("/run/vm.xml", "w", encoding="ascii") as out:
        out.write(DOMAIN.format(node=node))
    virsh("define", "/run/vm.xml")
    virsh("start", "vm")
    report.event("the domain runs")
    helper, = helper_processes().items()
    socket, = glob.glob(SOCKETS)
    report.check("libvirt starts our helper", helper[1] == [prhelper.OURS, "-k", socket], helper)
    report.check("the VM is connected to it",
                 managers() == [{"id": "pr-helper0", "connected": True}], managers())
    fd = os.open(node, os.O_RDWR)
    with prhelper.Client(socket) as client:
        answer = client.write(fd, REGISTER_AND_IGNORE, 0, 0x1234)
        report.check("it changes the disk's registrations",
                     answer.status == GOOD and client.read(fd, READ_KEYS).keys == [0x1234], answer)
    virsh("destroy", "vm")
    until(lambda: not helper_processes(), "the helper has ended")
    report.check("it ends with the VM and leaves no socket", not glob.glob(SOCKETS))
