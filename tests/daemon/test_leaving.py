# SPDX-License-Identifier: LGPL-2.1-or-later
"""The daemon becomes stock virtlockd again: with every socket, client and lock, or not at all."""

import os
import signal

import pytest
from hftest import daemons, own_program, ways, wire
from hftest.competitor import Competitor
from hftest.files import lock_on_first_byte
from hftest.handover import byte_zero_locks
from hftest.processes import until
from hftest.wire import AUTOCREATE, SHARED, Owner

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs mount namespaces")

LEAVE = 23
DESCRIPTOR = 0x100
TRIES = 20000
BUSY = (87, 51)


def leave(daemon, program=None, dry_run=False):
    """The answer."""
    with wire.Connection(daemon.own_socket) as client:
        payload = wire.string(program or daemons.virtlockd()) + wire.u32(dry_run)
        return own_program.call(client, LEAVE, payload)


def refusal(daemon, **how):
    """Why not; a dry run says the same."""
    answer = leave(daemon, **how)
    assert not answer.ok
    assert leave(daemon, dry_run=True, **how).error.message == answer.error.message
    assert "cannot go back: " in answer.error.message
    return answer.error.message


def is_stock(daemon):
    return os.path.samefile(f"/proc/{daemon.pid}/exe", daemons.virtlockd())


def go_back(daemon):
    answer = leave(daemon)
    assert answer.ok, answer
    until(lambda: is_stock(daemon), "virtlockd", 60)
    until(lambda: not os.path.exists(daemon.handover_file), "virtlockd has read all", 60)
    daemon.await_answering()


class Host:
    """A daemon that was a virtlockd, with a VM that has had two disks, one shared, since then, and
    has got a third one and a stand-in from us."""

    def __init__(self, daemon, nursery, disk, folder):
        self.daemon, self.nursery = daemon, nursery
        self.vm, self.second = nursery.vm("one"), nursery.vm("two")
        self.old, self.common, self.new = disk("old.img"), disk("common.img"), disk("new.img")
        self.space = os.path.join(folder, "space")
        self.own = self.vm.own_connection(daemon)
        self.other = self.second.own_connection(daemon)
        with daemon.connect_as(self.vm.owner) as client:
            assert client.acquire(self.old).ok
            assert client.acquire(self.common, flags=SHARED).ok
        daemon.take_over()
        with daemon.connect_as(self.vm.owner) as client:
            assert client.acquire(self.new).ok
            assert client.create_lockspace(self.space).ok
            assert client.acquire("stand-in", self.space, AUTOCREATE).ok
        with daemon.connect_as(self.second.owner) as client:
            assert client.acquire(self.common, flags=SHARED).ok
        assert self.own.restrict().ok
        self.stand_in = os.path.join(self.space, "stand-in")

    @property
    def exclusive(self):
        return [self.old, self.new, self.stand_in]

    def check(self):
        for path in self.exclusive:
            assert lock_on_first_byte(path) == "write lock"
        assert lock_on_first_byte(self.common) == "read lock"
        assert self.vm.alive and self.second.alive

    def refuses(self, path):
        with self.daemon.connect_as(Owner("thief", self.nursery.sleeper().pid)) as thief:
            return thief.acquire(path).verdict == BUSY


@pytest.fixture
def host(handover, nursery, disk, folder):
    return Host(handover(), nursery, disk, folder)


def test_virtlockd_goes_on_with_every_socket_client_and_lock(host):
    pid = host.daemon.pid
    go_back(host.daemon)
    assert host.daemon.pid == pid
    host.check()
    assert byte_zero_locks(host.old) == [("POSIX", "WRITE")]
    assert byte_zero_locks(host.new) == [("OFDLCK", "WRITE")]
    assert all(host.refuses(path) for path in (host.old, host.new, host.common))
    # The connections are what they were.
    assert host.own.release(host.old).verdict == (29, 7)
    assert host.other.release(host.common).ok
    assert daemons.read_pid(host.daemon.pidfile) == pid


def test_nobody_gets_a_disk_on_the_way_back_and_virtlockd_frees_what_is_released(host, nursery):
    writer = Competitor(nursery, [*host.exclusive, host.common])
    sharer = Competitor(nursery, host.exclusive, shared=True)
    writer.tries(TRIES)
    sharer.tries(TRIES)
    go_back(host.daemon)
    assert not writer.tries(TRIES) and not sharer.tries(TRIES)
    host.check()
    writer.stop()
    sharer.stop()
    with host.daemon.connect_as(host.vm.owner) as client:
        for path in (host.old, host.new, host.common):
            assert client.release(path).ok
        assert client.release("stand-in", host.space).ok
    with host.daemon.connect_as(host.second.owner) as client:
        assert client.release(host.common).ok
    for path in (host.old, host.new, host.common):
        assert lock_on_first_byte(path) == "unlocked"
    assert not os.path.exists(host.stand_in)


def test_a_vm_that_ends_is_noticed_by_the_virtlockd_that_went_on(host):
    go_back(host.daemon)
    host.vm.kill()
    until(lambda: lock_on_first_byte(host.new) == lock_on_first_byte(host.old) == "unlocked",
          "its locks are free", 60)
    assert host.second.alive


def test_there_and_back_again_and_there_once_more(host):
    for _ in range(2):
        go_back(host.daemon)
        host.check()
        host.daemon.take_over()
        host.check()
    with wire.Connection(host.daemon.own_socket_ro) as reader:
        names = sorted(lock.name for lock in own_program.locks(reader))
    assert names == sorted([host.old, host.new, host.common, host.common, "stand-in"])


@pytest.mark.parametrize("way", [ways.kill_server, ways.upgrade, ways.kill_supervisor])
def test_it_goes_back_after_one_of_us_was_killed_or_upgraded(host, way):
    way(host.daemon)
    host.daemon.await_answering()
    go_back(host.daemon)
    host.check()


def test_a_dry_run_changes_nothing(host):
    assert leave(host.daemon, dry_run=True).ok
    assert host.daemon.is_ours() and not os.path.exists(host.daemon.handover_file)
    host.check()


@pytest.mark.parametrize("program, why", [
    ("virtlockd", "absolute"), ("/nowhere/virtlockd", "No such file"),
    ("/bin/true", "does not say"), (daemons.HOLDFASTD, "does not say")])
def test_what_is_not_virtlockd_is_not_executed(host, program, why):
    assert why in refusal(host.daemon, program=program)
    assert host.daemon.is_ours()
    host.check()


def test_every_reason_against_it_is_named(host, nursery, disk, folder):
    hard = os.path.join(folder, "hard.img")
    os.link(host.new, hard)
    loner = nursery.sleeper()
    waiter = nursery.vm("waiter")
    waiting = waiter.own_connection(host.daemon)
    with wire.Connection(host.daemon.own_socket) as own:
        assert own_program.client(own, "backup").ok
        assert own_program.acquire_set(own, own_program.want(disk("backup.img"))).granted
        with host.daemon.connect_as(host.vm.owner) as client:
            assert client.acquire(hard).ok
        with host.daemon.connect_as(Owner("loner", loner.pid)) as client:
            assert client.acquire(disk("lonely.img")).ok
        own_program.send_set(waiting, own_program.want(host.old), timeout=own_program.FOREVER)
        until(lambda: "waits" in refusal(host.daemon), "somebody waits", 60)
        why = refusal(host.daemon)
        for words in (f"backup (pid {os.getpid()})", f"loner (pid {loner.pid}) has no connection",
                      "is held by two names", f"pid {waiter.pid} waits for a lock"):
            assert words in why, why
    assert host.daemon.is_ours()
    host.check()


def test_a_vm_that_carries_its_locks_itself_is_named(host, nursery, disk):
    vm = nursery.vm("carrier")
    client = vm.own_connection(host.daemon)
    path = disk("carried.img")
    payload = own_program.want(path, flags=DESCRIPTOR)
    answer = own_program.call(client, own_program.Own.ACQUIRE, payload)
    assert answer.ok, answer
    assert f"{path} of carrier (pid {vm.pid}) is carried by the VM itself" in refusal(host.daemon)


def test_a_full_disk_for_the_file_is_said_and_nothing_happens(host):
    found = os.statvfs(host.daemon.run_dir)
    used = (found.f_blocks - found.f_bfree) * found.f_bsize
    host.daemon.inside("mount", "-o", f"remount,size={used}", "/run")
    try:
        why = leave(host.daemon).error.message
    finally:
        host.daemon.inside("mount", "-o", "remount,size=50%", "/run")
    assert "cannot write" in why, why
    assert host.daemon.is_ours() and not os.path.exists(host.daemon.handover_file)
    host.check()
    go_back(host.daemon)


def test_a_virtlockd_that_cannot_be_executed_after_all_changes_nothing(host, nursery, folder):
    """It says its version, and is gone when it is to be executed."""
    program = os.path.join(folder, "virtlockd")
    with open(program, "w", encoding="ascii") as script:
        script.write("#!/bin/sh\nrm -f \"$0\"\necho 'virtlockd (libvirt) 9.0.0'\n")
    os.chmod(program, 0o755)
    writer = Competitor(nursery, host.exclusive)
    before = host.daemon.server_pid
    assert leave(host.daemon, program=program).ok
    ways.replaced(host.daemon, before)
    host.daemon.await_answering()
    assert not writer.tries(TRIES)
    assert host.daemon.is_ours() and not os.path.exists(host.daemon.handover_file)
    host.check()
    ways.kill_server(host.daemon)
    host.check()
    go_back(host.daemon)


def test_its_state_is_not_taken_again_from_virtlockd(host):
    """A daemon of ours that begins beside virtlockd has nothing to say of its locks."""
    go_back(host.daemon)
    left = [name for name in os.listdir(f"{host.daemon.run_dir}/holdfast") if ".state" in name]
    assert left in ([], ["holdfastd.state.left"])
    assert host.vm.alive and host.own.release(host.old).verdict == (29, 7)


def test_a_daemon_that_is_told_to_leave_by_its_own_path_alone_is_refused(holdfastd):
    daemon = holdfastd()
    why = refusal(daemon)
    assert "HOLDFAST_RUN_DIR" in why
    os.kill(daemon.pid, signal.SIGHUP)
    assert daemon.alive
