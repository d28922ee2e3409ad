# SPDX-License-Identifier: LGPL-2.1-or-later
"""The programs that people open a console with: started in a terminal of their own, under a
directory of lock files that only they and ours see, and asked whether they got the line."""

import os
import re
import select
import shutil
import signal
import subprocess
import time

import pytest

from .holder import as_user, comm
from .processes import children, is_there, send, until

LOCK_DIR = "/run/lock"

# How each is told to open PATH, and to stay out of what is not the line.
PROGRAMS = {
    "picocom": ["picocom", "PATH"],
    "minicom": ["minicom", "-D", "PATH"],
    "cu": ["cu", "-l", "PATH"],
    "screen": ["screen", "PATH", "115200"],
    "tio": ["tio", "--no-autoconnect", "PATH"],
    "tio again": ["tio", "PATH"],
    "socat": ["socat", "-,raw,echo=0", "OPEN:PATH,raw,echo=0"],
    "socat flock": ["socat", "-,raw,echo=0", "OPEN:PATH,raw,echo=0,flock-ex-nb"],
}

# Where one that is refused does not end but goes on asking, what it says then.
REFUSALS = re.compile(rb"locked|in use|busy|cannot open|could not open|permission denied|"
                      rb"sorry, could not find a pty|terminating|terminated", re.IGNORECASE)
MARK = b"#mark#"


def need_programs(names=PROGRAMS):
    missing = [n for n in {name.split()[0] for name in names} if not shutil.which(n)]
    if missing:
        pytest.fail(f"not installed: {', '.join(sorted(missing))}")
    if os.geteuid() != 0:
        pytest.skip("a mount namespace needs root")


class Arena:
    """A mount namespace with a directory of lock files of its own."""

    def __init__(self, nursery):
        need_programs()
        self.nursery = nursery
        self.keeper = nursery.spawn(
            ["unshare", "-m", "--propagation", "private", "sh", "-c",
             f"mount -t tmpfs -o mode=1777 none {LOCK_DIR} && echo ready && exec sleep 600"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        assert self.keeper.stdout.readline() == b"ready\n"
        self.enter = ["nsenter", "-t", str(self.keeper.pid), "-m", "--"]
        # For us, who stay outside.
        self.lock_dir = f"/proc/{self.keeper.pid}/root{LOCK_DIR}"

    def files(self):
        return sorted(name for name in os.listdir(self.lock_dir))

    def clear(self):
        for name in self.files():
            try:
                os.unlink(os.path.join(self.lock_dir, name))
            except (FileNotFoundError, IsADirectoryError):
                pass  # its maker was faster; or screen's folder

    def start(self, name, pty, uid=None):
        return Program(self, name, pty, uid)


class Program:
    def __init__(self, arena, name, pty, uid=None):
        self.name, self.pty = name, pty
        self.master, slave = os.openpty()
        os.set_blocking(self.master, False)
        if uid is not None:
            os.fchown(slave, uid, uid)
        argv = [word.replace("PATH", pty.path) for word in PROGRAMS[name]]
        drop = as_user(uid) if uid is not None else []
        self.child = arena.nursery.spawn(
            [*arena.enter, "env", "-i", "TERM=vt100", "PATH=/usr/bin:/bin", "HOME=/nonexistent",
             "LANG=C", "SCREENDIR=" + screen_dir(arena, uid), *drop, "setsid", "-c", *argv],
            stdin=slave, stdout=slave, stderr=slave)
        os.close(slave)
        arena.nursery.at_end(self.end)
        self.said = b""

    def family(self):
        found, look = [], [self.child.pid]
        while look:
            pid = look.pop()
            found.append(pid)
            look += children(pid)
        return found

    def pid(self):
        """Of the one that has the line open, or 0."""
        for pid in self.family():
            try:
                fds = os.listdir(f"/proc/{pid}/fd")
            except OSError:
                continue
            for fd in fds:
                try:
                    if os.readlink(f"/proc/{pid}/fd/{fd}") == self.pty.path:
                        return pid
                except OSError:
                    pass
        return 0

    def read(self, seconds=0.02):
        try:
            if select.select([self.master], [], [], seconds)[0]:
                self.said += os.read(self.master, 65536)
        except OSError:
            time.sleep(seconds)  # its last descriptor is closed: nothing more comes

    def ended(self):
        return self.child.poll() is not None

    def verdict(self, timeout=12.0):
        """"o": what the guest prints arrives in its terminal. "R": it has ended, or says that it
        was refused and does not have the line."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if self.pid():
                try:
                    os.write(self.pty.master, MARK + b"\r\n")
                except BlockingIOError:
                    pass
            self.read()
            if MARK in self.said:
                return "o"
            if self.ended():
                return "R"
            if REFUSALS.search(self.said) and not self.pid():
                return "R"
        raise AssertionError(f"{self.name} neither has the line nor was refused: {self.said!r}")

    def gets_it(self):
        assert self.verdict() == "o", (self.name, self.said)
        return self

    def end(self):
        if self.master < 0:
            return
        family = self.family()
        for number in (signal.SIGTERM, signal.SIGKILL):
            for pid in family:
                if is_there(pid):
                    send(pid, number)
            end = time.monotonic() + (0.3 if number == signal.SIGTERM else 5)
            while any(map(is_there, family)) and time.monotonic() < end:
                self.read(0.005)
        until(lambda: not any(map(is_there, family)), f"{self.name} has ended")
        self.child.wait(10)
        os.close(self.master)
        self.master = -1


def screen_dir(arena, uid):
    """screen insists on a folder that is its user's alone."""
    path = f"{LOCK_DIR}/screens-{uid or 0}"
    seen = f"/proc/{arena.keeper.pid}/root{path}"
    if not os.path.isdir(seen):
        os.mkdir(seen, 0o700)
        os.chown(seen, uid or 0, uid or 0)
    return path


__all__ = ["Arena", "PROGRAMS", "Program", "comm", "need_programs"]
