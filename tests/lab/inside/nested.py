# SPDX-License-Identifier: LGPL-2.1-or-later
"""A QEMU within the guest, without any rights, on the guest's disks; and what runs in it."""

import json
import os
import re
import socket
import subprocess

from .report import until

QEMU = "/usr/bin/qemu-system-x86_64"
NOBODY = 65534
# A processor without much to find out about: some of what "max" has is slow to emulate twice.
MACHINE = ("-accel", "tcg", "-M", "pc", "-cpu", "qemu64", "-smp", "1", "-m", "160",
           "-nodefaults", "-display", "none", "-no-reboot")
KERNEL_WORDS = ("console=ttyS0 quiet no_timer_check panic=-1 mitigations=off nokaslr tsc=reliable "
                "random.trust_cpu=on")
PATIENCE = 120.0
STATUS_CHANGED = "PR_MANAGER_STATUS_CHANGED"


class Monitor:
    """QMP, with the events that came meanwhile."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.connect(path)
        self.stream = self.socket.makefile("rw", encoding="utf-8")
        self.events = []
        self.stream.readline()
        self.ask("qmp_capabilities")

    def ask(self, command):
        self.stream.write(json.dumps({"execute": command}) + "\n")
        self.stream.flush()
        while True:
            said = json.loads(self.stream.readline())
            if "event" not in said:
                return said["return"]
            self.events.append(said)

    def managers(self):
        """{id: whether it is connected}."""
        return {each["id"]: each["connected"] for each in self.ask("query-pr-managers")}

    def changes(self):
        """Of each event about a helper so far: whether it was connected."""
        self.ask("query-status")
        return [each["data"]["connected"] for each in self.events
                if each["event"] == STATUS_CHANGED]


class Guest:
    """It runs commands, one at a time. `made` are the arguments of lab.nested.Nested."""

    def __init__(self, nursery, made, helper, disks, folder="/run/nested"):
        os.makedirs(folder)
        os.chmod(folder, 0o777)
        for disk in disks:
            os.chown(disk, NOBODY, NOBODY)
        self.nursery, self.count = nursery, 0
        self.output = f"{folder}/console"
        self.monitor_path = f"{folder}/monitor"
        with open(self.output, "wb") as console:
            self.child = nursery.spawn(self.command(made, helper, disks), stdin=subprocess.PIPE,
                                       stdout=console, stderr=subprocess.STDOUT)
        self.monitor = until(self.connected, "QEMU's monitor")

    def command(self, made, helper, disks):
        words = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups",
                 "--bounding-set=-all", "--no-new-privs", "--", QEMU, *MACHINE,
                 "-kernel", made["kernel"], "-initrd", made["initramfs"], "-append", KERNEL_WORDS,
                 "-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console",
                 "-qmp", f"unix:{self.monitor_path},server=on,wait=off",
                 "-object", f"pr-manager-helper,id=helper,path={helper}",
                 "-device", "virtio-scsi-pci"]
        for number, disk in enumerate(disks):
            words += ["-blockdev", f"driver=host_device,filename={disk},node-name=disk{number},"
                      "pr-manager=helper", "-device", f"scsi-block,drive=disk{number}"]
        return words

    def connected(self):
        if self.child.poll() is not None:
            raise OSError(f"QEMU ended with {self.child.returncode}: {self.said()}")
        try:
            return Monitor(self.monitor_path)
        except (OSError, ValueError):
            return None  # Not yet; or it ends, which the next look will see.

    def said(self):
        with open(self.output, encoding="utf-8", errors="replace") as text:
            return text.read()

    def ended(self, number):
        """(status, what it said) of the command of that number, or None."""
        if self.child.poll() is not None:
            raise OSError(f"QEMU ended with {self.child.returncode}: {self.said()[-2000:]}")
        found = re.search(rf"^={number} (\d+)\r?$", self.said(), re.M)
        if not found:
            return None
        text = self.said()[:found.start()]
        return int(found[1]), text[text.rfind(f"={number - 1} ") if number else 0:]

    def await_boot(self):
        until(lambda: self.ended(0), f"the nested guest is up: {self.said()}", PATIENCE)

    def start(self, *words):
        self.child.stdin.write(" ".join(words).encode() + b"\n")
        self.child.stdin.flush()
        self.count += 1

    def finish(self):
        return until(lambda: self.ended(self.count), "the command ends", PATIENCE)

    def run(self, *words):
        """(status, output) of a command."""
        self.start(*words)
        return self.finish()

    def persist(self, disk, *words):
        """sg_persist on the disk of that number."""
        return self.run("/usr/bin/sg_persist", "-n", *words, f"/dev/sg{disk}")

    def off(self):
        self.child.stdin.write(b"off\n")
        self.child.stdin.flush()
        return self.child.wait(PATIENCE)
