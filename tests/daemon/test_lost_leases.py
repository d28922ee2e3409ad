# SPDX-License-Identifier: LGPL-2.1-or-later
"""What becomes of VMs whose file server is silent, or has given their locks up.

The server is a stillfs that the daemon takes for NFSv4 with a lease of 5 s (hftest/still.py): quick
enough for many ways to be disturbed in the middle. What a real one does, tests/lab/test_guard.py shows.
"""

import ctypes
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
from hftest import own_program, wire
from hftest.command import Cli
from hftest.daemons import REPO
from hftest.fdstore import FdStore
from hftest.processes import children, state_of, until
from hftest.still import LEASE, is_stopped, leased
from hftest.wire import Owner

BUSY = (87, 51)
HOLDFAST_PROGRAM = 0x486F6C64
GUARD = 7
PAUSE = 2
CONF = "holder_records = 0\nlog_level = 2\n"
# After an answer: questions are a second apart, and looks are shorter.
SOON = 8.0
PTRACE_DETACH, PTRACE_SEIZE, PTRACE_INTERRUPT = 17, 0x4206, 0x4207


@pytest.fixture
def inside(still, holdfastd):
    """A daemon to which the filesystem has a lease."""
    return holdfastd(wrapper=still.enter, extra_env=leased(), conf=CONF)


@pytest.fixture
def cli(nursery, folder, inside):
    return Cli(nursery, folder, inside.run_dir)


class Machine:
    """A VM with locks on the filesystem, by a connection of its own."""

    def __init__(self, nursery, daemon, still, name, disks=("disk",), monitor=""):
        self.vm = nursery.vm(name)
        self.pid = self.vm.pid
        self.own = self.vm.own_connection(daemon)
        if monitor:
            answer = self.own.call(GUARD, wire.u32(PAUSE) + wire.string(monitor) + wire.u32(0),
                                   prog=HOLDFAST_PROGRAM)
            assert answer.ok, answer
        for disk in disks:
            answer = self.own.acquire(still.make(disk))
            assert answer.ok, answer

    def stops(self, timeout=LEASE + 1):
        until(lambda: is_stopped(self.pid), "the VM is stopped", timeout)

    def runs_again(self):
        until(lambda: not is_stopped(self.pid), "the VM runs", SOON)


def leases(cli, name):
    return [lock["lease"] for lock in cli.vms().get(name, {}).get("locks", [])]


def test_a_vm_is_stopped_before_its_lease_has_ended_and_continues_later(still, inside, nursery,
                                                                      cli):
    machine = Machine(nursery, inside, still, "web1")
    began = time.monotonic()
    still.stop()
    machine.stops()
    assert time.monotonic() - began < LEASE
    still.go()
    machine.runs_again()
    until(lambda: leases(cli, "web1") == ["sound"], "its lock is sound")


def test_a_lock_that_was_given_up_is_lost_and_its_vm_stays_stopped(still, inside, nursery, cli):
    machine = Machine(nursery, inside, still, "web1")
    still.give_up_locks()
    machine.stops()
    assert leases(cli, "web1") == ["lost"]
    time.sleep(2)
    assert is_stopped(machine.pid)


def test_who_stands_for_himself_is_only_warned_of_unless_he_asked_for_more(still, inside, nursery):
    warned, paused = nursery.vm("warned"), nursery.vm("paused")
    connections = []
    for vm, path in ((warned, "one"), (paused, "two")):
        connection = vm.connect(inside.socket)
        assert own_program.client(connection, vm.name).ok
        assert connection.acquire(still.make(path)).ok
        connections.append(connection)
    assert own_program.guard(connections[1], PAUSE).ok
    still.stop()
    until(lambda: is_stopped(paused.pid), "who asked for it is stopped", LEASE + 1)
    until(lambda: f"warned (pid {warned.pid}) runs on" in inside.log(), "the other is warned of")
    assert not is_stopped(warned.pid)
    still.go()
    until(lambda: not is_stopped(paused.pid), "it runs", SOON)
    assert warned.alive


def test_a_vm_that_is_traced_is_not_taken_for_one_that_somebody_stopped(still, inside, nursery):
    machine = Machine(nursery, inside, still, "web1")
    libc = ctypes.CDLL(None, use_errno=True)
    for request in (PTRACE_SEIZE, PTRACE_INTERRUPT):
        assert libc.ptrace(request, machine.pid, None, None) == 0, ctypes.get_errno()
    until(lambda: state_of(machine.pid) == "t", "it is held by its tracer")
    os.waitpid(machine.pid, 0)
    still.stop()
    until(lambda: "web1" in inside.log() and "danger" in inside.log(), "it is dealt with")
    time.sleep(0.5)
    assert libc.ptrace(PTRACE_DETACH, machine.pid, None, None) == 0, ctypes.get_errno()
    machine.stops(1)
    still.go()
    machine.runs_again()


def test_a_vm_that_somebody_else_stopped_is_left_so(still, inside, nursery):
    machine = Machine(nursery, inside, still, "web1")
    os.kill(machine.pid, signal.SIGSTOP)
    still.stop()
    until(lambda: "somebody else" in inside.log(), "it is found stopped")
    still.go()
    until(lambda: "answers again" in inside.log(), "its locks are looked at")
    time.sleep(1)
    assert is_stopped(machine.pid)


def test_a_vm_that_somebody_else_continues_too_early_is_stopped_again(still, inside, nursery):
    machine = Machine(nursery, inside, still, "web1")
    os.kill(machine.pid, signal.SIGSTOP)
    still.stop()
    until(lambda: "somebody else" in inside.log(), "it is found stopped")
    os.kill(machine.pid, signal.SIGCONT)
    machine.runs_again()
    machine.stops()
    still.go()
    machine.runs_again()


class Monitor:
    """What a QEMU says of itself. `delay`: before its greeting."""

    def __init__(self, folder, status, delay=0.0):
        self.path, self.status, self.delay = os.path.join(folder, "qmp"), status, delay
        self.heard = []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            stream, _ = self.listener.accept()
            try:
                self.talk(stream)
            except OSError:
                pass
            stream.close()

    def talk(self, stream):
        time.sleep(self.delay)
        stream.sendall(b'{"QMP": {}}\n')
        for line in stream.makefile():
            said = json.loads(line)
            self.heard.append(said["execute"])
            if said["execute"] in ("stop", "cont"):
                self.status = "paused" if said["execute"] == "stop" else "running"
            result = {"status": self.status} if said["execute"] == "query-status" else {}
            stream.sendall(json.dumps({"return": result, "id": said["id"]}).encode() + b"\n")


def test_a_guest_that_somebody_else_continues_too_early_is_stopped_again(still, inside, nursery,
                                                                       folder):
    monitor = Monitor(folder, "paused")
    Machine(nursery, inside, still, "web1", monitor=monitor.path)
    still.stop()
    until(lambda: "somebody else" in inside.log(), "it is found paused")
    assert "stop" not in monitor.heard
    monitor.status = "running"
    until(lambda: monitor.status == "paused", "it is stopped again")
    still.go()
    until(lambda: monitor.status == "running", "it continues")


def test_a_guest_that_somebody_else_paused_is_not_continued_though_it_says_so_late(
        still, inside, nursery, folder):
    monitor = Monitor(folder, "paused", delay=0.4)
    machine = Machine(nursery, inside, still, "web1", monitor=monitor.path)
    still.stop()
    # The worker that talks to it is held up for longer than it has.
    until(lambda: [pid for pid in inside.workers if has_socket_to(pid)], "it is talked to")
    talking = [pid for pid in inside.workers if has_socket_to(pid)]
    os.kill(talking[0], signal.SIGSTOP)
    machine.stops()
    os.kill(talking[0], signal.SIGCONT)
    still.go()
    machine.runs_again()
    until(lambda: "answers again" in inside.log(), "its locks are looked at")
    time.sleep(2)
    assert monitor.status == "paused", monitor.heard


def has_socket_to(pid):
    """A worker that has a table of its own and a connection in it is one that talks to a monitor."""
    try:
        with open(f"/proc/{pid}/stack", encoding="ascii") as text:
            return "poll" in text.read()
    except OSError:
        return False


def kill_servers(daemon, done, rng):
    """Until it is done; each is given a moment."""
    while not done():
        time.sleep(rng.uniform(0.0, 0.06))
        victims = [daemon.server_pid]
        if victims[0] != daemon.pid:
            os.kill(victims[0], signal.SIGKILL)


@pytest.mark.parametrize("seed", range(int(os.environ.get("HF_SEEDS", "2"))))
def test_a_vm_that_left_its_first_process_is_dealt_with_by_whichever_server(still, inside, nursery,
                                                                          seed):
    rng = random.Random(seed)
    machine = Machine(nursery, inside, still, "web1")
    carrier = machine.vm.fork_carrier()
    machine.vm.leave()
    until(lambda: "carries" in inside.log(), "its process has ended")
    still.stop()
    began = time.monotonic()
    time.sleep(2.5)
    kill_servers(inside, lambda: is_stopped(carrier) or time.monotonic() > began + 8, rng)
    assert is_stopped(carrier), inside.log()
    time.sleep(rng.uniform(0, 0.5))
    still.go()
    began = time.monotonic()
    kill_servers(inside, lambda: not is_stopped(carrier) or time.monotonic() > began + 8, rng)
    until(lambda: not is_stopped(carrier), f"it continues\n{inside.log()}", SOON)
    time.sleep(1)
    assert not is_stopped(carrier)


def test_after_a_time_without_a_daemon_all_locks_are_looked_at(still, inside, nursery, cli):
    disks = [f"d{n}" for n in range(100)]
    machine = Machine(nursery, inside, still, "web1", disks)
    inside.signal(signal.SIGSTOP)
    time.sleep(LEASE + 1)
    # The one that is looked at first would tell of them all.
    still.give_up_locks()
    inside.signal(signal.SIGCONT)
    until(lambda: leases(cli, "web1") == ["lost"] * len(disks), "all are found out", 4)
    assert is_stopped(machine.pid)


def test_a_time_without_a_daemon_alone_stops_nobody(still, inside, nursery, cli):
    machine = Machine(nursery, inside, still, "web1")
    inside.signal(signal.SIGSTOP)
    time.sleep(LEASE + 1)
    inside.signal(signal.SIGCONT)
    end = time.monotonic() + 2
    while time.monotonic() < end:
        assert not is_stopped(machine.pid)
    assert leases(cli, "web1") == ["sound"]


def test_locks_that_say_nothing_do_not_keep_others_from_being_looked_at(still, inside, nursery):
    Machine(nursery, inside, still, "web1", [f"unreadable{n}" for n in range(140)])
    machine = Machine(nursery, inside, still, "web2")
    still.stop()
    machine.stops()
    still.go()
    machine.runs_again()


def restart_all(daemon, store):
    daemon.kill()
    store.start(daemon)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_lost_lock_is_lost_for_a_daemon_that_starts_anew(still, holdfastd, nursery, folder,
                                                         when):
    store = FdStore(nursery, folder, enter=still.enter)
    daemon = store.start(holdfastd(extra_env=leased(), conf=CONF, start=False))
    cli = Cli(nursery, folder, daemon.run_dir)
    machine = Machine(nursery, daemon, still, "web1")
    if when == "before":
        still.give_up_locks()
        machine.stops()
        restart_all(daemon, store)
    else:
        daemon.kill()
        still.give_up_locks()
        store.start(daemon)
    until(lambda: leases(cli, "web1") == ["lost"], "it is shown so")
    machine.stops()
    with daemon.connect_as(Owner("web2", nursery.sleeper().pid)) as other:
        answer = other.acquire(still.path("disk"))
        assert answer.verdict == BUSY and "lost" in answer.error.message, answer
    with daemon.connect_as(machine.vm.owner) as manager:
        assert manager.acquire(still.path("disk")).verdict == BUSY
    machine.vm.kill()
    with daemon.connect_as(Owner("web3", nursery.sleeper().pid)) as third:
        until(lambda: third.acquire(still.path("disk")).ok, "its end frees the name")


# A VM that has a duplicate of its lock's descriptor, as those of libholdfast have.
KEEPS = """
import os, socket, sys, time
sys.path.insert(0, sys.argv[1])
from hftest import wire
client = wire.Connection(wire.Transport(sys.argv[2]))
assert client.register(wire.Owner("web1", os.getpid())).ok
client.send(wire.frame(2, wire.string("") + wire.string(sys.argv[3]) + wire.u32(0x100) + bytes(20) +
                       wire.string(""), prog=0x486F6C64))
data, fds, _, _ = socket.recv_fds(client.transport.sock, 65536, 8)
print(len(fds), flush=True)
time.sleep(600)
"""


def test_a_lost_lock_that_its_vm_kept_is_lost_for_a_daemon_that_starts_anew(still, inside, nursery,
                                                                          cli):
    path = still.make("disk")
    machine = nursery.spawn([sys.executable, "-c", KEEPS, os.path.join(REPO, "tests", "lib"),
                             inside.socket, path], stdout=subprocess.PIPE, text=True)
    assert machine.stdout.readline() == "1\n"
    inside.kill()
    still.give_up_locks()
    inside.start()
    until(lambda: leases(cli, "web1") == ["lost"], f"it is shown so\n{inside.log()}")
    until(lambda: is_stopped(machine.pid), "the VM is stopped")
    with inside.connect_as(Owner("web2", nursery.sleeper().pid)) as other:
        assert other.acquire(path).verdict == BUSY


def test_a_hung_question_delays_neither_an_upgrade_nor_the_end(still, inside, nursery):
    machine = Machine(nursery, inside, still, "web1")
    still.stop()
    machine.stops()
    inside.signal(signal.SIGUSR1)
    until(lambda: "becoming the program" in inside.log(), "it is upgraded", 5)
    until(inside.accepts, "it serves", 5)
    asking = inside.workers
    began = time.monotonic()
    inside.stop()
    assert time.monotonic() - began < 3
    # What FUSE has handed over already it waits for, killed or not.
    still.go()
    until(lambda: not [pid for pid in asking if state_of(pid) not in "ZX"], "nobody is left", 5)
    assert not children(inside.process.pid)
