# SPDX-License-Identifier: LGPL-2.1-or-later
"""A QEMU within the guest, without any right, that boots Linux on the guest's disks.

QEMU emulates a processor that has virtualization, and so the guest has KVM: what runs in there is
about as fast as the guest. Where it has none it is an emulation in an emulation, which takes ten times
as long. What runs there is of lab/nested.py's making; it does all that it does by itself, and says on
its console how each step ended.
"""

import os
import re
import subprocess

from .machine import run
from .vmm import NOBODY, Qemu

MACHINE = ("-accel", "kvm", "-accel", "tcg,thread=single", "-M", "pc", "-cpu", "qemu64", "-smp", "1",
           "-m", "128", "-nodefaults", "-display", "none", "-no-reboot", "-serial", "stdio")
# Every access to a device or a PCI bus is slow: without noearly, it looks for a graphics port on 256
# buses, twice; only emergencies are printed. The timer's interrupt may be late, but it comes.
KERNEL_WORDS = ("console=ttyS0 loglevel=1 panic=-1 mitigations=off nokaslr acpi=off pci=noearly "
                "no_timer_check random.trust_cpu=on")
MADE = "/run/made"
# Without KVM, on a machine that does something else as well.
PATIENCE = 500.0


def allow_kvm():
    """Lets everybody use KVM; whether there is one."""
    subprocess.run(["modprobe", "-q", "kvm_amd"], check=False)
    if not os.path.exists("/dev/kvm"):
        return False
    os.chown("/dev/kvm", NOBODY, NOBODY)
    return True


class Guest(Qemu):
    """`made` is the folder of lab.nested.Nested."""

    def __init__(self, nursery, made, helper, disks, folder="/run/nested"):
        super().__init__(helper, disks, folder)
        # The folder may be in one that is not everybody's.
        os.makedirs(MADE)
        run("mount", "--bind", made, MADE)
        self.launch(nursery, [*MACHINE, "-kernel", f"{MADE}/vmlinux",
                              "-initrd", f"{MADE}/initramfs", "-append", KERNEL_WORDS],
                    "virtio-scsi-pci", stdin=subprocess.DEVNULL)

    def rights(self):
        """(user, effective capabilities) of QEMU, from its status."""
        with open(f"/proc/{self.child.pid}/status", encoding="ascii") as text:
            status = dict(line.split(":\t", 1) for line in text if ":\t" in line)
        return int(status["Uid"].split()[1]), int(status["CapEff"], 16)

    def finish(self):
        """Waits for its end; QEMU's status, and {step: status}."""
        try:
            status = self.child.wait(PATIENCE)
        except subprocess.TimeoutExpired as fault:
            raise TimeoutError(f"the nested guest is not done: {self.said()}") from fault
        steps = re.findall(r"^=(\S+) (\d+)\r?$", self.said(), re.M)
        return status, {step: int(number) for step, number in steps}
