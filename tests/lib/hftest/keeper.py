# SPDX-License-Identifier: LGPL-2.1-or-later
"""The toy program on the keeper, its clients, and somebody who wants its locks."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading

from .daemons import BUILD, REPO
from .processes import STOP_DEADLINE, until

TOY = os.path.join(BUILD, "tests", "keeper", "keeper-toy")
COMPETITOR = os.path.join(REPO, "tests", "keeper", "competitor.py")
FIRST, REPLACED, UPGRADED, HEIR = range(4)
ANSWER_DEADLINE = 10.0


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as text:
            return text.read().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def children(pid):
    """The pids of the children of a process with one thread; none if it is gone."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as text:
            return [int(child) for child in text.read().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


class Client:
    """A connection. Answers may come twice, after a kill; each is known by its number."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(ANSWER_DEADLINE)
        self.socket.connect(path)
        self.number = 0

    def send(self, words):
        self.number += 1
        self.socket.send(f"{self.number} {words}".encode())

    def answer(self):
        while True:
            data = self.socket.recv(4096)
            assert data, "the connection was closed"
            number, _, text = data.decode().partition(" ")
            if int(number) == self.number:
                return text

    def ask(self, words):
        self.send(words)
        return self.answer()

    def close(self):
        self.socket.close()


class Pinger:
    """A client that asks for the counter all the time, and what was wrong with the answers."""

    def __init__(self, path):
        self.client = Client(path)
        self.count, self.faults, self.stopped = 0, [], False
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        last = 0
        try:
            while not self.stopped:
                value = int(self.client.ask("ping"))
                if value <= last:
                    self.faults.append(f"{value} after {last}")
                last = value
                self.count += 1
        except (AssertionError, OSError) as fault:
            self.faults.append(repr(fault))

    def stop(self):
        self.stopped = True
        self.thread.join(ANSWER_DEADLINE * 2)
        self.client.close()
        return self.faults


class Toy:
    """A running toy. `program` is a copy, so that a test can put another file in its place."""

    def __init__(self, nursery, folder, options=(), env=None, prefix=(), pass_fds=(), copy=True,
                 files=(), wait=True):
        self.nursery, self.folder = nursery, os.path.join(folder, "toy")
        os.makedirs(self.folder)
        self.program = os.path.join(self.folder, "keeper-toy") if copy else TOY
        if copy:
            shutil.copy(TOY, self.program)
        for name, content in dict(files).items():
            self.put(name, str(content))
        self.socket = os.path.join(self.folder, "socket")
        leash, self.leash = os.pipe()
        self.last = []
        self.pingers = []
        self.child = nursery.spawn(
            [*prefix, self.program, *options, self.folder], leashed=False,
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, pass_fds=(leash, *pass_fds),
            env={**os.environ, "TOY_LEASH": str(leash), **(env or {})})
        os.close(leash)
        nursery.at_end(self.end)
        if wait:
            until(self.up, "the toy serves")
            self.client = Client(self.socket)

    def path(self, name):
        return os.path.join(self.folder, name)

    def put(self, name, content=""):
        """Writes a file in one step."""
        with open(self.path(name + ".new"), "w", encoding="ascii") as out:
            out.write(content)
        os.rename(self.path(name + ".new"), self.path(name))

    def replace(self, source):
        """Puts another program where the toy was."""
        shutil.copy(source, self.program + ".new")
        os.rename(self.program + ".new", self.program)

    def up(self):
        assert self.child.poll() is None, (self.child.returncode, self.child.stderr.read())
        try:
            Client(self.socket).close()
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        return True

    def info(self):
        told = dict(pair.split("=") for pair in self.client.ask("info").split())
        told = {key: value if key == "env" else int(value) for key, value in told.items()}
        self.last = [told["supervisor"], told["server"]]
        return told

    def starts(self):
        """(why, when in ms, counter) of each server so far."""
        try:
            with open(self.path("starts"), encoding="ascii") as text:
                return [tuple(map(int, line.split())) for line in text if line.endswith("\n")]
        except FileNotFoundError:
            return []

    def kill_server(self):
        """Kills the server and returns the next one's info."""
        old = self.info()
        os.kill(old["server"], signal.SIGKILL)
        return self.after(old)

    def kill_supervisor(self):
        old = self.info()
        os.kill(old["supervisor"], signal.SIGKILL)
        if old["supervisor"] == self.child.pid:
            self.child.wait(STOP_DEADLINE)
        return self.after(old)

    def after(self, old):
        def later():
            new = self.info()
            return new if new["generations"] > old["generations"] else None
        return until(later, "another server is there")

    def ping_all_the_time(self, n=2):
        self.pingers += [Pinger(self.socket) for _ in range(n)]

    def faults_of_pingers(self):
        faults = [fault for pinger in self.pingers for fault in pinger.stop()]
        assert all(pinger.count for pinger in self.pingers) or faults
        self.pingers = []
        return faults

    def end(self):
        """Lets go of the leash; a toy that does not mind it is killed, both at once."""
        pids = {self.child.pid, *self.last}
        pids.update(child for pid in list(pids) for child in children(pid))
        for pinger in self.pingers:
            pinger.stopped = True
        os.close(self.leash)
        try:
            until(lambda: self.child.poll() is not None and not any(map(alive, pids)),
                  "the toy ends with its leash", 5)
        except AssertionError:
            for number in (signal.SIGSTOP, signal.SIGKILL):
                for pid in pids:
                    if alive(pid):
                        os.kill(pid, number)
            raise
        finally:
            for pinger in self.pingers:
                pinger.stop()


class Competitor:
    """A process that tries to lock the toy's files, both ways, all the time."""

    def __init__(self, nursery, toy):
        self.process = nursery.spawn(
            [sys.executable, "-I", "-S", COMPETITOR, toy.folder], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "tries\n"

    def stolen(self):
        """How many locks it got; it has tried all of them since it was asked."""
        tries, stolen = map(int, self.process.communicate("", timeout=10)[0].split())
        assert tries > 0
        return stolen
