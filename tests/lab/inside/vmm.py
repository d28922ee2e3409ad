# SPDX-License-Identifier: LGPL-2.1-or-later
"""A real QEMU without any right, on the guest's disks, and the driver of its virtual machine.

The machine has no program but one that halts its processor; its memory and registers are ours to
read and write, by QEMU's qtest protocol. So the driver of its SCSI adapter is here: a virtqueue in the
machine's memory, by the virtio standard (legacy interface, MMIO). All that a kernel in there would
ask of a disk goes the same way through QEMU, without minutes of an emulation in an emulation.
"""

import json
import os
import socket
import struct

from .report import until

QEMU = "/usr/bin/qemu-system-x86_64"
NOBODY = 65534
UNPRIVILEGED = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups",
                "--bounding-set=-all", "--no-new-privs", "--")
# At the end of the firmware, where the processor begins: no interrupts, halt, and that for ever.
FIRMWARE = b"\xfa\xf4\xeb\xfd".rjust(0xFFF4, b"\0").ljust(0x10000, b"\0")
MACHINE = ("-accel", "tcg", "-M", "microvm", "-m", "16", "-nodefaults", "-display", "none")
PATIENCE = 60.0
STATUS_CHANGED = "PR_MANAGER_STATUS_CHANGED"

# The adapter takes the last of the machine's places for virtio; what is where in each of them.
PLACES = range(0xFEB00000, 0xFEB00000 + 24 * 0x200, 0x200)
MAGIC, DEVICE, FEATURES, PAGE_SIZE = 0x000, 0x008, 0x020, 0x028
QUEUE, QUEUE_SIZE, QUEUE_ALIGN, QUEUE_PAGE, NOTIFY, STATUS = 0x30, 0x38, 0x3C, 0x40, 0x50, 0x70
VIRTIO, SCSI_ADAPTER = 0x74726976, 8
RUNNING = 1 | 2 | 4  # found, there is a driver, the driver is ready
# The first queue for commands; those before it are for control and events.
COMMANDS = 2
SIZE, PAGE = 16, 4096
RING, REQUEST, RESPONSE, DATA = 0x100000, 0x110000, 0x111000, 0x112000
# Where the ring's parts are: descriptors, what we offer, what has been used.
OFFERED, USED = RING + 16 * SIZE, RING + PAGE
NEXT, WRITE = 1, 2
HEADER, ANSWER, CDB_SIZE, ROOM = 51, 108, 32, 4096


class Monitor:
    """QMP, with the events that came meanwhile."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(PATIENCE)
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


class Qemu:
    """QEMU without any right, with `disks` of the guest as scsi-block, by number, and a helper for
    them. Whoever derives says the rest of its command line, and launches it."""

    def __init__(self, helper, disks, folder):
        self.helper, self.disks = helper, disks
        os.makedirs(folder)
        os.chmod(folder, 0o777)
        for disk in disks:
            os.chown(disk, NOBODY, NOBODY)
        self.monitor_path, self.log = f"{folder}/monitor", f"{folder}/log"
        self.child = self.monitor = None

    def launch(self, nursery, words, adapter, **how):
        """Returns when its monitor answers; `how` are files, as for subprocess."""
        words = [*UNPRIVILEGED, QEMU, *words,
                 "-qmp", f"unix:{self.monitor_path},server=on,wait=off",
                 "-object", f"pr-manager-helper,id=helper,path={self.helper}", "-device", adapter]
        for number, disk in enumerate(self.disks):
            words += ["-blockdev", f"driver=host_device,filename={disk},node-name=disk{number},"
                      "pr-manager=helper",
                      "-device", f"scsi-block,drive=disk{number},scsi-id={number},lun=0"]
        with open(self.log, "wb") as log:
            self.child = nursery.spawn(words, stderr=log, **{"stdout": log, **how})
        self.monitor = until(self.connected, "QEMU's monitor", PATIENCE)

    def connected(self):
        if self.child.poll() is not None:
            raise OSError(f"QEMU ended with {self.child.returncode}: {self.said()}")
        try:
            return Monitor(self.monitor_path)
        except (OSError, ValueError):
            return None  # Not yet; or it ends, which the next look will see.

    def said(self):
        with open(self.log, encoding="utf-8", errors="replace") as text:
            return text.read()


class Vm(Qemu):
    """One whose virtual machine is driven from here."""

    def __init__(self, nursery, helper, disks, folder="/run/vm"):
        super().__init__(helper, disks, folder)
        self.firmware = f"{folder}/firmware"
        with open(self.firmware, "wb") as out:
            out.write(FIRMWARE)
        ours, theirs = socket.socketpair()
        ours.settimeout(PATIENCE)
        self.launch(nursery, [*MACHINE, "-bios", self.firmware, "-qtest", "stdio",
                              "-qtest-log", "none"],
                    "virtio-scsi-device", stdin=theirs, stdout=theirs)
        theirs.close()
        self.machine = ours.makefile("rw", encoding="ascii")
        self.offered = 0
        self.start_adapter()
        for disk in range(len(disks)):
            # Each has been switched on, and says so to whoever asks first.
            until(lambda disk=disk: self.scsi(disk, bytes(6))[0] == 0, "the disk is ready")

    def tell(self, *words):
        """One command of the qtest protocol: the words of its answer behind OK."""
        self.machine.write(" ".join(map(str, words)) + "\n")
        self.machine.flush()
        answer = self.machine.readline().split()
        if not answer or answer[0] != "OK":
            raise OSError(f"QEMU: {words}: {answer}")
        return answer[1:]

    def read(self, address, size):
        return bytes.fromhex(self.tell("read", hex(address), size)[0].removeprefix("0x"))

    def write(self, address, data):
        self.tell("write", hex(address), len(data), f"0x{data.hex()}")

    def get(self, register):
        return int(self.tell("readl", hex(self.adapter + register))[0], 16)

    def put(self, register, value):
        self.tell("writel", hex(self.adapter + register), hex(value))

    def start_adapter(self):
        for self.adapter in PLACES:
            if (self.get(MAGIC), self.get(DEVICE)) == (VIRTIO, SCSI_ADAPTER):
                break
        else:
            raise OSError("the machine has no SCSI adapter")
        self.put(STATUS, 0)
        self.put(STATUS, RUNNING & ~4)
        self.put(FEATURES, 0)
        self.put(PAGE_SIZE, PAGE)
        self.put(QUEUE, COMMANDS)
        self.put(QUEUE_SIZE, SIZE)
        self.put(QUEUE_ALIGN, PAGE)
        self.write(RING, bytes(2 * PAGE))
        self.put(QUEUE_PAGE, RING // PAGE)
        self.put(STATUS, RUNNING)

    def start(self, disk, cdb, out=b""):
        """Hands a command over; with a parameter list, or with room for data."""
        header = struct.pack("<BBH4xQ3x", 1, disk, 0x40, self.offered) + cdb.ljust(CDB_SIZE, b"\0")
        self.write(REQUEST, header)
        self.write(RESPONSE, bytes(ANSWER))
        self.write(DATA, out or bytes(ROOM))
        data = (DATA, len(out), 0) if out else (DATA, ROOM, WRITE)
        parts = [(REQUEST, HEADER, 0), (RESPONSE, ANSWER, WRITE)]
        # What the device reads comes before what it writes.
        parts.insert(1 if out else 2, data)
        if cdb[0] == 0:
            parts.remove(data)
        for number, (address, size, flags) in enumerate(parts):
            more = NEXT if number < len(parts) - 1 else 0
            self.write(RING + 16 * number,
                       struct.pack("<QIHH", address, size, flags | more, number + more))
        self.write(OFFERED + 4 + 2 * (self.offered % SIZE), struct.pack("<H", 0))
        self.offered += 1
        self.write(OFFERED + 2, struct.pack("<H", self.offered & 0xFFFF))
        self.put(NOTIFY, COMMANDS)

    def done(self):
        used, = struct.unpack("<H", self.read(USED + 2, 2))
        return used == self.offered & 0xFFFF

    def finish(self):
        """(status, sense, data) of the command that was started."""
        until(self.done, "the adapter answers", PATIENCE)
        answer = self.read(RESPONSE, ANSWER)
        size, _, _, status, response = struct.unpack_from("<IIHBB", answer)
        if response:
            raise OSError(f"the adapter failed: {response}")
        return status, answer[12:12 + size], self.read(DATA, ROOM)

    def scsi(self, disk, cdb, out=b""):
        self.start(disk, cdb, out)
        return self.finish()

    def quit(self):
        self.monitor.ask("quit")
        return self.child.wait(PATIENCE)
