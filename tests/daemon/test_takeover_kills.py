# SPDX-License-Identifier: LGPL-2.1-or-later
"""What happens to a takeover whose processes are killed on the way, all at once, by a service
manager, or that cannot be: no lock of virtlockd's is ever somebody else's."""

import os
import signal
import subprocess
import time

import pytest
from hftest import daemons, own_program, ways, wire
from hftest.competitor import Competitor
from hftest.fdstore import FdStore
from hftest.files import lock_on_first_byte
from hftest.handover import byte_zero_locks
from hftest.processes import children, is_there, until
from hftest.still import Still, need_stillfs
from hftest.wire import SHARED

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs mount namespaces")

TRIES = 20000
SEEDS = os.path.join(daemons.REPO, "tests", "fuzz", "seeds", "daemon-stock-state")
POSIX, OFD = [("POSIX", "WRITE")], [("OFDLCK", "WRITE")]


class Locked:
    """A VM with two disks, and one that others may share."""

    def __init__(self, daemon, nursery, disk):
        self.daemon = daemon
        self.vm = nursery.vm("web0")
        self.disks = [disk("a.img"), disk("b.img")]
        self.common = disk("common.img")
        self.own = self.vm.own_connection(daemon)
        with daemon.connect_as(self.vm.owner) as client:
            for path in self.disks:
                assert client.acquire(path).ok
            assert client.acquire(self.common, flags=SHARED).ok

    def check(self, kind):
        for path in self.disks:
            assert byte_zero_locks(path) == kind
        assert lock_on_first_byte(self.common) == "read lock"
        with wire.Connection(self.daemon.own_socket_ro) as reader:
            assert sorted(lock.name for lock in own_program.locks(reader)) == \
                sorted([*self.disks, self.common])
        assert self.vm.alive
        assert "that virtlockd had taken" not in self.daemon.log(), "none was gone meanwhile"


@pytest.fixture
def locked(handover, nursery, disk):
    return Locked(handover(), nursery, disk)


def servers(daemon):
    return [pid for pid in children(daemon.pid) if daemons.name_of(pid) != daemons.WORKER]


def begin(daemon):
    daemon.disguise()
    os.makedirs(f"{daemon.run_dir}/holdfast", exist_ok=True)
    os.kill(daemon.pid, signal.SIGUSR1)


def end(daemon):
    until(daemon.answers, "our daemon", 60)
    daemon.undisguise()
    until(lambda: not os.path.exists(daemon.handover_file), "the end of the handover", 60)


@pytest.mark.parametrize("pause", [0, 0.0005, 0.001, 0.002, 0.004])
def test_a_server_that_is_killed_while_it_takes_over_is_followed_by_one_that_does(
        locked, nursery, pause):
    competitor = Competitor(nursery, [*locked.disks, locked.common])
    begin(locked.daemon)
    killed = []
    while len(killed) < 3:
        found = [pid for pid in servers(locked.daemon) if pid not in killed]
        if found:
            time.sleep(pause)  # at another place of its begin
            os.kill(found[0], signal.SIGKILL)
            killed.append(found[0])
    end(locked.daemon)
    assert not competitor.tries(TRIES)
    locked.check(POSIX)


@pytest.mark.parametrize("pause", [0, 0.001, 0.003])
def test_a_supervisor_that_is_killed_while_its_server_takes_over_has_an_heir(
        locked, nursery, pause):
    competitor = Competitor(nursery, [*locked.disks, locked.common])
    locked.daemon.hold_namespace()
    begin(locked.daemon)
    until(lambda: servers(locked.daemon), "a server", 60)
    server = locked.daemon.server_pid
    time.sleep(pause)  # at another place of its begin
    os.kill(locked.daemon.process.pid, signal.SIGKILL)
    until(lambda: is_there(server) and children(server), "the heir", 60)
    end(locked.daemon)
    assert not competitor.tries(TRIES)
    locked.check(POSIX)


def test_all_of_us_killed_at_once_leave_locks_that_are_taken_again(locked):
    locked.daemon.take_over()
    locked.daemon.hold_namespace()
    locked.daemon.end_all()
    assert lock_on_first_byte(locked.disks[0]) == "unlocked", "nobody else keeps these"
    locked.daemon.start(wait=False)
    until(locked.daemon.answers, "our daemon", 60)
    locked.check(OFD)


def test_a_stop_under_a_service_manager_leaves_no_moment_without_a_lock(
        handover, nursery, disk, folder):
    store = FdStore(nursery, folder)
    locked = Locked(store.start(handover(start=False)), nursery, disk)
    locked.daemon.take_over()
    assert store.names, "there is a place to park"
    locked.daemon.hold_namespace()
    competitor = Competitor(nursery, locked.disks)
    locked.daemon.signal(signal.SIGTERM)
    assert locked.daemon.wait(60) == 0
    assert not competitor.tries(TRIES)
    for path in locked.disks:
        assert byte_zero_locks(path) == OFD
    locked.daemon.line = ()
    locked.daemon.expected_to_live = True
    store.start(locked.daemon, wait=False)
    until(locked.daemon.answers, "our daemon", 60)
    assert not competitor.tries(TRIES)
    locked.check(OFD)


def test_while_a_process_hangs_with_our_descriptors_nothing_is_executed(handover, nursery, folder,
                                                                         disk):
    need_stillfs()
    still = Still(nursery, folder)
    locked = Locked(handover(wrapper=still.enter), nursery, disk)
    daemon = locked.daemon.take_over()
    path = still.make()
    with daemon.connect_as(locked.vm.owner) as client:
        assert client.acquire(path).ok
    nursery.at_end(still.go)
    still.stop()
    server = daemon.server_pid
    client = daemon.connect_as(locked.vm.owner)
    client.send(wire.frame(wire.Proc.RELEASE, wire.resource("", path, 0), serial=9))
    until(lambda: [pid for pid in children(daemon.pid) if pid != server], "a worker", 60)
    daemon.signal(signal.SIGUSR1)
    until(lambda: "serving on as before: a process waits" in daemon.log(), "a refusal", 60)
    os.kill(daemon.process.pid, signal.SIGKILL)
    until(lambda: "cannot take the supervisor's place" in daemon.log(), "no heir", 60)
    competitor = Competitor(nursery, locked.disks)
    assert not competitor.tries(TRIES)
    assert byte_zero_locks(locked.disks[0]) == POSIX
    still.go()
    until(lambda: daemon.pid == server and children(server), "the heir", 60)
    assert not competitor.tries(TRIES)
    locked.check(POSIX)
    client.close()


def test_where_taking_over_fails_everything_is_held_until_virtlockd_is_back(locked, nursery):
    """It has no descriptors left for what we need beside virtlockd's."""
    competitor = Competitor(nursery, [*locked.disks, locked.common])
    daemon = locked.daemon
    highest = max(int(number) for number in os.listdir(f"/proc/{daemon.pid}/fd"))
    daemon.disguise()
    subprocess.run(["prlimit", f"--nofile={highest + 5}", "--pid", str(daemon.pid)], check=True)
    os.kill(daemon.pid, signal.SIGUSR1)
    until(lambda: "holding what virtlockd had" in daemon.log(), "it is said", 60)
    daemon.undisguise()
    daemon.await_answering()
    assert os.path.samefile(f"/proc/{daemon.pid}/exe", daemons.virtlockd())
    assert not competitor.tries(TRIES)
    for path in locked.disks:
        assert byte_zero_locks(path) == POSIX
        assert locked.own.release(path).ok, "its connection is virtlockd's again"
    assert locked.vm.alive


def test_a_file_of_a_process_that_had_our_number_once_is_ignored(nursery, folder):
    """What a virtlockd would have left, with the pid of a daemon that was started by itself."""
    with open(os.path.join(SEEDS, "empty"), encoding="utf-8") as text:
        state = text.read()
    os.mkdir(f"{folder}/own")
    script = rf"""printf %s '{state}' | sed "s/\"magic\": \"1\"/\"magic\": \"$$\"/" \
        > {folder}/own/virtlockd-restart-exec.json; exec {daemons.holdfastd()}"""
    with open(f"{folder}/log", "wb") as log:
        nursery.spawn(["sh", "-c", script], env={"HOLDFAST_RUN_DIR": f"{folder}/own"}, stderr=log)
    until(lambda: os.path.exists(f"{folder}/own/libvirt/virtlockd-sock"), "it serves", 60)
    with open(f"{folder}/log", encoding="utf-8") as text:
        assert "nothing that it names is here" in text.read()


@pytest.mark.parametrize("way", [ways.kill_server, ways.upgrade])
def test_a_disk_that_virtlockd_had_granted_twice_stays_locked(handover, nursery, folder, disk, way):
    daemon = handover()
    path, alias = disk("a.img"), os.path.join(folder, "alias.img")
    os.link(path, alias)
    one, two = nursery.vm("one"), nursery.vm("two")
    connections = [vm.own_connection(daemon) for vm in (one, two)]
    for vm, name in ((one, path), (two, alias)):
        with daemon.connect_as(vm.owner) as client:
            assert client.acquire(name).ok, "virtlockd knows names alone"
    daemon.take_over()
    competitor = Competitor(nursery, [path])
    assert "granted one disk twice" in daemon.log()
    way(daemon)
    daemon.await_answering()
    with daemon.connect_as(two.owner) as client:
        assert client.release(alias).ok
    assert not competitor.tries(TRIES)
    assert "that virtlockd had taken" not in daemon.log(), "it was never gone"
    with daemon.connect_as(one.owner) as client:
        assert client.release(path).ok
    assert one.alive and two.alive and connections
