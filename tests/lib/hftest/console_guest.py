# SPDX-License-Identifier: LGPL-2.1-or-later
"""A real QEMU with a guest that talks over its serial line, up within a second.

The guest is one boot sector, assembled from console_guest.S, which says what it understands.

    guest = ConsoleGuest(nursery, folder, "web1")
    with guest.terminal() as terminal:
        terminal.type("p200\\r")
        terminal.read_until(numbered(200))

`Terminal` is a plain opener of a pty or of a UNIX socket, with no regard for others: what every
program does that knows nothing of Holdfast.
"""

import json
import os
import re
import select
import socket
import subprocess
import termios
import time
import tty

from .command import need, read_pid
from .processes import is_there, until

SOURCE = os.path.join(os.path.dirname(__file__), "console_guest.S")
# A booted guest under TCG on a busy machine.
DEADLINE = 60

LINE = b"line %06d the quick brown fox jumps over the lazy dog\r\n"


def numbered(last, first=1):
    """What the guest prints for those numbers."""
    return b"".join(LINE % number for number in range(first, last + 1))


def lines_of(text):
    """The numbers of the whole lines in a text, as they come."""
    found = re.findall(rb"line (\d{6}) the quick brown fox jumps over the lazy dog\r\n", text)
    return [int(number) for number in found]


def heard_in(text):
    """What the guest says that it has read, command by command."""
    return re.findall(rb"heard ([^\r]*)\r\n", text)


def boot_sector(folder):
    """The path of a disk with the guest on it."""
    path = os.path.join(folder, "console-guest.img")
    if not os.path.exists(path):
        part = f"{path}.o"
        subprocess.run([need("as"), "--32", "-o", part, SOURCE], check=True, timeout=DEADLINE)
        subprocess.run([need("ld"), "-m", "elf_i386", "-Ttext", "0x7c00", "-e", "0x7c00",
                        "--oformat", "binary", "-o", f"{path}.new", part],
                       check=True, timeout=DEADLINE)
        os.rename(f"{path}.new", path)
    return path


class Monitor:
    """QEMU's monitor, for the truth."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(DEADLINE)
        until(lambda: self.socket.connect_ex(path) == 0, "QEMU's monitor listens", DEADLINE)
        self.stream = self.socket.makefile("rw")
        assert "QMP" in json.loads(self.stream.readline())
        self.ask("qmp_capabilities")

    def ask(self, command, **arguments):
        self.stream.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self.stream.flush()
        while True:
            answer = json.loads(self.stream.readline())
            assert "error" not in answer, answer
            if "return" in answer:
                return answer["return"]

    def close(self):
        self.stream.close()
        self.socket.close()


class Terminal:
    """A pty or a UNIX socket, opened as any program would."""

    def __init__(self, path):
        self.path = path
        self.seen = b""
        if os.path.exists(path) and not path.startswith("/dev/"):
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.connect(path)
            self.fd = self.socket.detach()
        else:
            self.fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
            tty.setraw(self.fd, termios.TCSANOW)
        os.set_blocking(self.fd, False)

    def __enter__(self):
        return self

    def __exit__(self, *ignored):
        self.close()

    def close(self):
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = -1

    def type(self, text):
        data = text.encode() if isinstance(text, str) else text
        end = time.monotonic() + DEADLINE
        while data:
            assert time.monotonic() < end, f"{self.path} takes nothing"
            if select.select([], [self.fd], [], 1)[1]:
                data = data[os.write(self.fd, data):]

    def read_some(self, timeout):
        """What is there, or comes within that time; b"" for nothing and at the end."""
        if not select.select([self.fd], [], [], timeout)[0]:
            return b""
        try:
            data = os.read(self.fd, 65536)
        except (BlockingIOError, OSError):
            return b""
        self.seen += data
        return data

    def read_until(self, text, timeout=DEADLINE):
        """All that was read by this terminal, which has the text in it (or matches it)."""
        end = time.monotonic() + timeout
        pattern = re.compile(re.escape(text)) if isinstance(text, bytes) else text
        while not pattern.search(self.seen):
            assert time.monotonic() < end, (text, self.seen[-2000:])
            self.read_some(0.1)
        return self.seen

    def wake(self):
        """Types until the guest hears: QEMU looks about once a second whether a pty is open."""
        until(lambda: self.type("hello\r") or b"heard hello" in self.read_for(0.2),
              f"the guest behind {self.path} hears", DEADLINE)
        # Of those that were typed before, the rest comes now.
        while self.read_some(0.2):
            pass
        self.seen = b""

    def read_for(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.read_some(max(0, end - time.monotonic()))
        return self.seen


def qemu_command(folder, name, serial=("-serial", "pty"), words=()):
    """The command line of a guest; its monitor and pid file are in the folder."""
    return [need("qemu-system-x86_64"), "-name", name, "-accel", "tcg", "-display", "none",
            "-nodefaults", "-no-reboot", "-m", "16", "-snapshot",
            "-pidfile", os.path.join(folder, f"{name}.pid"),
            "-qmp", f"unix:{os.path.join(folder, name)}.qmp,server=on,wait=off",
            "-drive", f"file={boot_sector(folder)},format=raw,if=ide,readonly=off",
            *serial, *words]


class ConsoleGuest:
    """A guest with one serial line; ended with the test."""

    def __init__(self, nursery, folder, name="web1", serial=("-serial", "pty"), words=(),
                 start=None):
        """start: called with the command line, instead of plainly starting it."""
        self.folder, self.name, self.nursery = folder, name, nursery
        self.monitor_path = os.path.join(folder, f"{name}.qmp")
        pidfile = os.path.join(folder, f"{name}.pid")
        for old in (pidfile, self.monitor_path):
            if os.path.exists(old):
                os.unlink(old)
        command = qemu_command(folder, name, serial, words)
        plain = start or (lambda argv: nursery.spawn(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL))
        self.child = plain(command)
        self.pid = read_pid(pidfile)
        if self.pid != self.child.pid:
            nursery.adopt(self.pid)
        self.monitor = Monitor(self.monitor_path)
        nursery.at_end(self.monitor.close)

    def chardevs(self):
        """{label: where it is} of all that QEMU has."""
        return {one["label"]: one["filename"] for one in self.monitor.ask("query-chardev")}

    @property
    def pty(self):
        """The path of its first pty, by the order of labels."""
        ptys = [name[4:] for _, name in sorted(self.chardevs().items())
                if name.startswith("pty:")]
        assert ptys, self.chardevs()
        return ptys[0]

    def terminal(self, path=None):
        """Opens its pty, and returns when the guest hears."""
        terminal = Terminal(path or self.pty)
        terminal.wake()
        return terminal

    @property
    def alive(self):
        return is_there(self.pid)

    def kill(self):
        os.kill(self.pid, 9)
        until(lambda: not self.alive, "QEMU's end")
