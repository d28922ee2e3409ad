# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every process a test starts is registered here and ended by its pid.

A `Nursery` owns processes. Closing it ends what is left and raises when a process that
should have lived did not, so that a crashed daemon fails the test that crashed it. A
process also ends with the test run itself, however that ends: children carry a parent
death signal, and helpers watch a pipe (the leash) whose other end only we have open.

`Vm` is a stand-in for a VMM: a process that opens its own lock connection, so that the
peer's pid is the owner's pid, and that does what it is told, such as ignoring SIGTERM.
"""

import json
import os
import select
import signal
import subprocess
import sys
import time

from . import wire

STOP_DEADLINE = 10.0
POLL = 0.002


def until(condition, what, timeout=10.0):
    """Polls condition until it is true and returns its value; fails with `what` if never."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {timeout} s: {what}")
        time.sleep(POLL)


def state_of(pid):
    """The letter of /proc/PID/stat; "Z" also for a process that is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as text:
            return text.read().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "Z"


def is_there(pid):
    """Whether the process runs; one that has ended and was not waited for does not."""
    return state_of(pid) not in "ZX"


def children(pid):
    """The pids of a process's children that run, the oldest first."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as text:
            return [int(word) for word in text.read().split() if is_there(int(word))]
    except (FileNotFoundError, ProcessLookupError):
        return []


def send(pid, number):
    """A signal; nothing where it has ended meanwhile, and its parent has noticed."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def kill_family(pid):
    """SIGKILL for a process and its children, of which none learns of another's end before."""
    frozen = []
    while True:
        found = [p for p in (pid, *children(pid)) if p not in frozen and is_there(p)]
        if not found:
            break
        for process in found:
            send(process, signal.SIGSTOP)
            until(lambda p=process: state_of(p) in "TZX", f"{process} has stopped")
        frozen += found
    for process in frozen:
        send(process, signal.SIGKILL)
    for process in frozen:
        until(lambda p=process: not is_there(p), f"{process} is gone")


def with_parent_death_signal(argv):
    return ["setpriv", "--pdeathsig", "KILL", "--", *argv]


class Nursery:
    """Owns the processes of one test, or of the session."""

    def __init__(self):
        self.children = []
        self.pidfds = {}
        self.closers = []
        self.leash, self.leash_end = os.pipe()

    def spawn(self, argv, leashed=True, **how):
        if leashed:
            argv = with_parent_death_signal(argv)
        child = subprocess.Popen(argv, **how)
        self.children.append(child)
        return child

    def end(self, child):
        """Kills one that was spawned, and forgets it: for tests that start very many."""
        child.kill()
        child.wait(STOP_DEADLINE)
        for pipe in (child.stdin, child.stdout, child.stderr):
            if pipe:
                try:
                    pipe.close()
                except BrokenPipeError:
                    pass
        self.children.remove(child)

    def adopt(self, pid):
        """Takes over a process that is not our child; it will be killed at the end."""
        self.pidfds[pid] = os.pidfd_open(pid)
        return pid

    def at_end(self, action):
        """Runs action before the processes are killed; the last one first."""
        self.closers.append(action)

    def sleeper(self):
        """A process that only lives: an owner without a connection."""
        return self.spawn(["sleep", "600"], leashed=True, stdin=subprocess.DEVNULL)

    def vm(self, name, **how):
        vm = Vm(self, name, **how)
        self.at_end(vm.close)
        return vm

    def close(self):
        faults = []
        while self.closers:
            try:
                self.closers.pop()()
            except AssertionError as fault:
                faults.append(str(fault))
        for child in self.children:
            if child.poll() is None:
                kill_family(child.pid)
        for child in self.children:
            child.wait(STOP_DEADLINE)
            for pipe in (child.stdin, child.stdout, child.stderr):
                if pipe:
                    pipe.close()
        for pid, pidfd in self.pidfds.items():
            if not select.select([pidfd], [], [], 0)[0]:
                kill_family(pid)
            os.close(pidfd)
        self.children, self.pidfds = [], {}
        os.close(self.leash)
        os.close(self.leash_end)
        if faults:
            raise AssertionError("\n".join(faults))


class RemoteTransport:
    """The bytes of a connection that another process has open; same shape as wire.Transport."""

    def __init__(self, vm, number):
        self.vm = vm
        self.number = number

    def send(self, data):
        return self.vm.ask("send", conn=self.number, data=data.hex())

    def receive(self, count, timeout):
        data = self.vm.ask("receive", conn=self.number, count=count, timeout=max(0, timeout))
        return None if data is None else bytes.fromhex(data)

    def half_close(self):
        self.vm.ask_last("half_close", conn=self.number)

    def close(self):
        self.vm.ask_last("close", conn=self.number)


class VmEnded(AssertionError):
    """A VM was told to do something and is no more."""


class Vm:
    """A VMM stand-in. `argv` is added to its command line, where a daemon may look for images."""

    def __init__(self, nursery, name, argv=(), uid=None, **how):
        helper = os.path.join(os.path.dirname(__file__), "vm_helper.py")
        program, drop = [helper], []
        if uid is not None:
            # Another user may not be able to read this tree: the program goes along as text.
            with open(helper, encoding="utf-8") as text:
                program = ["-c", text.read()]
            drop = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--"]
        self.nursery = nursery
        self.name = name
        self.child = nursery.spawn(
            [*drop, sys.executable, "-I", "-S", *program, str(nursery.leash), *argv],
            leashed=False, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            pass_fds=(nursery.leash,), **how)
        self.pid = self.child.pid
        self.owner = wire.Owner(name, self.pid)

    def ask(self, verb, **arguments):
        try:
            # Past the buffer: what a dead VM did not take must not wait there for close().
            os.write(self.child.stdin.fileno(), json.dumps([verb, arguments]).encode() + b"\n")
            line = self.child.stdout.readline()
        except BrokenPipeError:
            line = b""
        if not line:
            raise VmEnded(f"VM {self.name} ended while asked to {verb}")
        result = json.loads(line)
        if "error" in result:
            raise OSError(result["errno"], result["error"])
        return result["value"]

    def ask_last(self, verb, **arguments):
        """For what may end the VM: the daemon can be faster than the VM's reply."""
        try:
            self.ask(verb, **arguments)
        except VmEnded:
            pass

    def connect(self, path):
        """A connection of this VM; from outside it is used like any other."""
        return wire.Connection(RemoteTransport(self, self.ask("connect", path=path)))

    def own_connection(self, daemon):
        """Connects and registers itself, as the forked child does before it becomes the VMM."""
        connection = self.connect(daemon.socket)
        answer = connection.register(self.owner)
        assert answer.ok, answer
        return connection

    def ignore(self, *signals):
        self.ask("ignore", signals=[int(s) for s in signals])

    def open(self, path, flags=os.O_RDWR):
        return self.ask("open", path=path, flags=flags)

    def close_file(self, fd):
        self.ask("close_file", fd=fd)

    def lock(self, path, kind, mode, start=0, length=1):
        """Holds a record lock: kind 'posix' or 'ofd', mode F_RDLCK or F_WRLCK."""
        return self.ask("lock", path=path, ofd=kind == "ofd", mode=mode, start=start,
                        length=length)

    def fork_carrier(self):
        """Forks a process that only keeps everything open, as a VMM with -daemonize does."""
        return self.nursery.adopt(self.ask("fork"))

    def leave(self):
        """Exits; every connection closes by the hand of the kernel."""
        self.child.stdin.close()
        self.child.wait(STOP_DEADLINE)

    def kill(self):
        self.child.kill()
        self.child.wait(STOP_DEADLINE)

    @property
    def alive(self):
        return self.child.poll() is None

    def ending(self, timeout=10.0):
        """The signal that ended it (or 0), or None when it lives on."""
        try:
            code = self.child.wait(timeout)
        except subprocess.TimeoutExpired:
            return None
        return -code if code < 0 else 0

    def close(self):
        if self.alive:
            self.child.kill()
            self.child.wait(STOP_DEADLINE)
