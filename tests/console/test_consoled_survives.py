# SPDX-License-Identifier: LGPL-2.1-or-later
"""Nothing is lost and nothing doubled, whoever of the daemon is killed, and when."""

import os
import random
import signal
import subprocess
import time

import pytest

from hftest import console_wire as cw
from hftest.consoled import Terminal
from hftest.processes import is_there, until

ROUNDS = int(os.environ.get("HF_CONSOLE_KILLS", "60"))


def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def victims(daemon):
    """Their pids; None for one that is not there at this moment. Never the last that has all."""
    supervisor, server = daemon.pid, daemon.server_pid
    both = supervisor != server
    return {"server": server if both else None, "supervisor": supervisor if both else None,
            "guard": daemon.guard_pid, "logger": daemon.logger_pid}


class Traffic:
    """Lines that go both ways, each with its number, and a writer and a watcher who read them."""

    def __init__(self, daemon, terminal):
        self.terminal = terminal
        self.writer = daemon.attach(path=terminal.path)
        self.watcher = daemon.attach(path=terminal.path, flags=cw.WATCH)
        self.printed, self.typed = b"", b""
        self.n = 0

    def turn(self, lines=20):
        for _ in range(lines):
            text = b"%06d %s\n" % (self.n, b"." * (self.n * 7 % 90))
            self.terminal.print(text)
            self.writer.type(text)
            self.printed += text
            self.typed += text
            self.n += 1
        self.collect(0)

    def collect(self, timeout):
        for client in (self.writer, self.watcher):
            assert client.read_some(timeout) is not None, "the stream was ended"
        self.terminal.hear(timeout)

    def check(self, timeout=20):
        end = time.monotonic() + timeout
        while (len(self.writer.seen) < len(self.printed)
               or len(self.watcher.seen) < len(self.printed)
               or len(self.terminal.heard) < len(self.typed)):
            assert time.monotonic() < end, (len(self.printed), len(self.writer.seen),
                                            len(self.watcher.seen), len(self.typed),
                                            len(self.terminal.heard))
            self.collect(0.05)
        assert self.writer.seen == self.printed
        assert self.watcher.seen == self.printed
        assert self.terminal.heard == self.typed

    def close(self):
        self.writer.close()
        self.watcher.close()


@pytest.mark.parametrize("who", ["server", "supervisor", "guard", "logger", "any"])
def test_random_kills_lose_no_byte_of_either_direction(daemon, terminal, who):
    chance = random.Random(4711)
    traffic = Traffic(daemon, terminal)
    for _ in range(ROUNDS // 3):
        pid = None
        while pid is None:
            processes = victims(daemon)
            pid = processes[who if who != "any" else chance.choice(list(processes))]
        traffic.turn(5)
        time.sleep(chance.random() / 300)
        kill(pid)
        traffic.turn(5)
        until(lambda: not is_there(pid), "the end of what was killed", 10)
    traffic.check()
    log = open(traffic_log(daemon), "rb").read()
    traffic.close()
    assert traffic.printed.startswith(log) or log == traffic.printed
    daemon.until_free()
    until(lambda: os.listdir(daemon.locks) == [], "the lock files' end", 10)


def traffic_log(daemon):
    """The console's log, once it has all that was printed."""
    entry, = daemon.consoles()
    until(lambda: daemon.consoles()[0].log, "the log's name", 20)
    entry, = daemon.consoles()
    until(lambda: os.path.getsize(entry.log) >= entry.head, "the whole log", 20)
    return entry.log


CALLS = ("splice", "readv", "sendmmsg", "recvmmsg", "socketpair", "pipe2", "recvmsg", "ioctl",
         "close", "recvfrom", "epoll_ctl", "accept4", "sendmsg")


def is_traced(pid):
    """Or killed by its tracer already."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii") as status:
            return "TracerPid:\t0\n" not in status.read()
    except FileNotFoundError:
        return True


def trace(daemon, call, nth, nursery):
    """Kills the server at its nth such call, before it is made."""
    pid = daemon.server_pid
    tracer = nursery.spawn(
        ["strace", "-qq", "-o", "/dev/null", "-p", str(pid), "-e", f"trace={call}",
         "-e", f"inject={call}:signal=SIGKILL:when={nth}"], stderr=subprocess.DEVNULL)
    until(lambda: is_traced(pid), "the tracer", 10)
    return tracer


@pytest.mark.parametrize("call", CALLS)
def test_a_kill_at_a_system_call_of_an_attach_or_a_turn_loses_nothing(daemon, terminal, nursery,
                                                                      call):
    traffic = Traffic(daemon, terminal)
    for nth in (1, 2, 3, 5):
        before = daemon.server_pid
        tracer = trace(daemon, call, nth, nursery)
        traffic.turn(2)
        with daemon.attach(path=terminal.path, flags=cw.WATCH) as other:
            traffic.turn(2)
            other.read_until(traffic.printed.splitlines()[-1])
            assert other.seen in traffic.printed
        with daemon.attach(path=terminal.path, flags=cw.FORCE) as other:
            traffic.writer.await_notice(cw.DISPLACED)
            other.type(b"other %d\n" % nth)
            traffic.typed += b"other %d\n" % nth
        traffic.writer.act(cw.TAKE, cw.FORCE)
        traffic.turn(2)
        traffic.check()
        tracer.terminate()
        tracer.wait()
        if daemon.server_pid == before:
            break
    traffic.close()
    daemon.until_free()


def test_an_upgrade_loses_nothing(daemon, terminal):
    traffic = Traffic(daemon, terminal)
    for n in range(3):
        before = daemon.server_pid
        traffic.turn()
        daemon.signal(signal.SIGUSR1)
        traffic.turn()
        until(lambda: daemon.server_pid != before, "another server: " + daemon.log(), 20)
        traffic.turn()
        traffic.check()
    assert "upgraded to" in daemon.log()
    traffic.close()


def test_a_client_that_is_killed_leaves_the_console_to_the_next(daemon, terminal, nursery):
    import sys
    code = ("import sys; sys.path.insert(0, sys.argv[1])\n"
            "from hftest import console_wire as cw\n"
            "c = cw.Client(sys.argv[2], path=sys.argv[3])\n"
            "print('here', flush=True)\nsys.stdin.read()\n")
    for _ in range(3):
        child = nursery.spawn(
            [sys.executable, "-c", code, os.path.join(os.path.dirname(__file__), "..", "lib"),
             daemon.socket, terminal.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert child.stdout.readline() == b"here\n"
        child.kill()
        child.wait()
        until(lambda: all(e.writer is None for e in daemon.consoles()), "its end", 10)
        with daemon.attach(path=terminal.path) as client:
            client.type(b"x")
            terminal.hear_until(b"x")
            terminal.heard = b""
    daemon.until_free()


def test_after_a_kill_of_all_of_it_a_new_daemon_takes_the_device_at_once(consoled, terminal):
    for n in range(5):
        daemon = consoled(f"c{n}")
        with daemon.attach(path=terminal.path) as client:
            client.type(b"%d" % n)
            terminal.hear_until(b"%d" % n)
            daemon.kill()


def test_registered_consoles_are_held_again_after_a_kill_of_all_of_it(consoled, terminal, nursery):
    dead, live = nursery.spawn(["sleep", "1000"]), nursery.spawn(["sleep", "1000"])
    with Terminal() as other:
        daemon = consoled()
        cw.register(daemon.socket, "web1", "serial0", terminal.path, live.pid)
        cw.register(daemon.socket, "web2", "serial0", other.path, dead.pid)
        daemon.kill()
        dead.kill()
        dead.wait()
        daemon.start()
        with daemon.attach(vm="web1") as client:
            terminal.print(b"still here")
            client.read_until(b"still here")
        assert [entry.vm for entry in daemon.consoles()] == ["web1"]
        with pytest.raises(cw.Refused):
            daemon.attach(vm="web2")
