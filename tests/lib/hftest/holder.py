# SPDX-License-Identifier: LGPL-2.1-or-later
"""A stand-in for the console daemon that has a guard and nothing else (tests/console/holder.c),
and terminals as a VMM makes them: we have the side of the guest."""

import array
import collections
import fcntl
import os
import select
import shutil
import signal
import subprocess
import termios

import pytest

from .daemons import BUILD
from .processes import children, is_there, send, until

PROGRAM = os.path.join(BUILD, "tests", "console", "holder")
TIOCGEXCL, TIOCSPTLCK, TIOCGPTN = 0x80045440, 0x40045431, 0x80045430
TAKE, RELEASE, ADOPT, LIST, QUIT, LOOK, HELD = range(1, 8)
EVICT = 1
USER = 65534

Intruder = collections.namedtuple("Intruder", "pid uid program how")
Answer = collections.namedtuple("Answer", "op id result names text intruders")


def as_user(uid):
    return ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--"]


class Terminal:
    """A pty whose master we have. The terminal is for `uid`."""

    def __init__(self, nursery, uid=None):
        self.master = os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC | os.O_NONBLOCK)
        fcntl.ioctl(self.master, TIOCSPTLCK, array.array("i", [0]))
        number = array.array("i", [0])
        fcntl.ioctl(self.master, TIOCGPTN, number)
        self.number = number[0]
        self.path = f"/dev/pts/{self.number}"
        if uid is not None:
            os.chown(self.path, uid, uid)
        os.chmod(self.path, 0o600)
        nursery.at_end(self.close)

    def open(self):
        return os.open(self.path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)

    def is_exclusive(self):
        flag = array.array("i", [0])
        fd = self.open()
        fcntl.ioctl(fd, TIOCGEXCL, flag)
        os.close(fd)
        return flag[0] != 0

    def settings(self):
        fd = self.open()
        settings = termios.tcgetattr(fd)
        os.close(fd)
        return settings

    def is_locked(self):
        fd = self.open()
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return False
        except BlockingIOError:
            return True
        finally:
            os.close(fd)

    def opens_for_a_user(self, uid=USER):
        """Whether one without privilege may open it. Its node must be that user's."""
        return subprocess.run([*as_user(uid), "sh", "-c", f"exec 3<>{self.path}"], timeout=20,
                              stdin=subprocess.DEVNULL, capture_output=True,
                              check=False).returncode == 0

    def is_free(self, lock_dir):
        """Nothing is left on it, seen by all four means."""
        return not (self.is_exclusive() or self.is_locked() or
                    any(name.startswith("LCK..") for name in os.listdir(lock_dir)))

    def close(self):
        if self.master >= 0:
            os.close(self.master)
        self.master = -1


def parse(line):
    fields = line.decode().rstrip("\n").split("\t")
    op, number, result, names, text, *rest = fields
    intruders = [Intruder(int(rest[i]), int(rest[i + 1]), rest[i + 2], rest[i + 3])
                 for i in range(0, len(rest), 4)]
    return Answer(int(op), int(number), int(result), names.split(), text, intruders)


class Holder:
    def __init__(self, nursery, lock_dir, uid=None, timeout_ms=3000, enter=()):
        if not os.access(PROGRAM, os.X_OK):
            pytest.fail(f"{PROGRAM} is not built")
        program = PROGRAM
        if uid is not None:
            # That user may have no way to the build folder.
            program = os.path.join(lock_dir, "..", f"holder-{uid}")
            shutil.copy(PROGRAM, program)
        self.child = nursery.spawn(
            [*enter, *(as_user(uid) if uid is not None else ()), program, lock_dir,
             str(timeout_ms)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.nursery = nursery
        nursery.at_end(self.end_family)

    def end_family(self):
        for pid in self.seen():
            send(pid, signal.SIGKILL)

    def seen(self):
        return [pid for parent in children(self.child.pid) for pid in (parent, *children(parent))]

    def line(self, timeout=10):
        assert select.select([self.child.stdout], [], [], timeout)[0], "no answer"
        line = b""
        while not line.endswith(b"\n"):
            piece = os.read(self.child.stdout.fileno(), 1)
            assert piece, "the holder has ended"
            line += piece
        return line

    def tell(self, words):
        os.write(self.child.stdin.fileno(), words.encode() + b"\n")

    def ask(self, words, timeout=10):
        self.tell(words)
        return self.answer(timeout)

    def answer(self, timeout=10):
        return parse(self.line(timeout))

    def take(self, number, path, flags=0, timeout=10):
        answer = self.ask(f"take {number} {flags} {path}", timeout)
        assert (answer.op, answer.id) == (TAKE, number), answer
        return answer

    def hold(self, number, path, flags=0):
        answer = self.take(number, path, flags)
        assert answer.result == 0, answer
        return answer

    def release(self, number):
        answer = self.ask(f"release {number}")
        assert (answer.op, answer.id, answer.result) == (RELEASE, number, 0), answer

    def guard(self):
        self.tell("pid")
        return int(self.line().split()[1])

    def second(self):
        """Of the guard: its child that lives as long."""
        return until(lambda: [p for p in children(self.guard())
                              if comm(p) == "console-second"], "a second")[0]

    def kill_guard(self):
        pid = self.guard()
        os.kill(pid, signal.SIGKILL)
        assert self.line() == b"gone\n"

    def again(self):
        """The next guard. Its answers to ADOPT."""
        self.tell("again")
        answers = []
        while (line := self.line()) != b"again\n":
            answers.append(parse(line))
        return answers

    def kill(self):
        self.child.kill()
        self.child.wait(10)


def comm(pid):
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8") as text:
            return text.read().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def all_gone(pids):
    until(lambda: not any(map(is_there, pids)), f"{pids} have ended")
