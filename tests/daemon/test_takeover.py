# SPDX-License-Identifier: LGPL-2.1-or-later
"""A live virtlockd executes our daemon in its place: what it held is held, whom it served is served,
and nobody who wants a disk all the time gets it, whatever of ours is killed after that."""

import os
import signal

import pytest
from hftest import own_program, ways, wire
from hftest.competitor import Competitor
from hftest.files import lock_on_first_byte
from hftest.handover import byte_zero_locks
from hftest.processes import until
from hftest.wire import AUTOCREATE, SHARED, Owner

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs mount namespaces")

BUSY = (87, 51)
WAYS = [ways.kill_server, ways.upgrade, ways.kill_supervisor]
TRIES = 20000


def refused(daemon, nursery, path, flags=0):
    """What another VM is told."""
    with daemon.connect_as(Owner("other", nursery.sleeper().pid)) as other:
        answer = other.acquire(path, flags=flags)
        assert answer.verdict == BUSY, answer
        return answer.error.message


def held(daemon):
    with wire.Connection(daemon.own_socket_ro) as reader:
        return sorted((lock.name, lock.owner.name, lock.owner.pid, lock.owner.via, lock.shared)
                      for lock in own_program.locks(reader))


class Host:
    """A virtlockd with two VMs, two disks of the first, one that both share, and a stand-in."""

    def __init__(self, daemon, nursery, disk, folder):
        self.daemon, self.nursery = daemon, nursery
        self.one, self.two = nursery.vm("one"), nursery.vm("two")
        self.disks = [disk("a.img"), disk("b.img")]
        self.common = disk("common.img")
        self.space = os.path.join(folder, "space")
        self.own = self.one.own_connection(daemon)
        self.other = self.two.own_connection(daemon)
        with daemon.connect_as(self.one.owner) as client:
            assert client.create_lockspace(self.space).ok
            for path in self.disks:
                assert client.acquire(path).ok
            assert client.acquire(self.common, flags=SHARED).ok
            assert client.acquire("f" * 64, self.space, AUTOCREATE).ok
        with daemon.connect_as(self.two.owner) as client:
            assert client.acquire(self.common, flags=SHARED).ok
        assert self.own.restrict().ok
        self.stand_in = os.path.join(self.space, "f" * 64)

    @property
    def exclusive(self):
        return [*self.disks, self.stand_in]

    def check(self):
        """Everything is as it was, to the kernel and to who asks."""
        for path in self.exclusive:
            assert lock_on_first_byte(path) == "write lock"
        assert lock_on_first_byte(self.common) == "read lock"
        names = [(name, owner) for name, owner, *_ in held(self.daemon)]
        assert names == sorted([("f" * 64, "one"), *[(path, "one") for path in self.disks],
                                (self.common, "one"), (self.common, "two")])
        assert self.one.alive and self.two.alive
        assert "that virtlockd had taken" not in self.daemon.log(), "none was gone meanwhile"


@pytest.fixture
def host(handover, nursery, disk, folder):
    return Host(handover(), nursery, disk, folder)


def test_what_virtlockd_held_and_served_is_held_and_served_by_us(host, nursery):
    pid = host.daemon.pid
    host.daemon.take_over()
    assert host.daemon.pid == pid and host.daemon.is_ours()
    host.check()
    assert {via for *_, via, _ in held(host.daemon)} == {"virtlockd"}
    message = refused(host.daemon, nursery, host.disks[0])
    assert "one" in message and str(host.one.pid) in message and "virtlockd" in message
    # The connections live, and are what they were.
    assert host.own.release(host.disks[0]).verdict == (29, 7)
    assert host.other.release(host.disks[0]).verdict == (1, 51)
    assert host.daemon.virt_admin("client-list", "virtlockd").stdout.count("\n") >= 4


def test_exclusive_locks_stay_the_posix_locks_that_they_were(host):
    host.daemon.take_over()
    for path in host.exclusive:
        assert byte_zero_locks(path) == [("POSIX", "WRITE")]
    assert byte_zero_locks(host.common) == [("OFDLCK", "READ")]


def test_nobody_gets_a_disk_while_it_is_taken_over(host, nursery):
    writer = Competitor(nursery, [*host.exclusive, host.common])
    sharer = Competitor(nursery, host.exclusive, shared=True)
    writer.tries(TRIES)
    sharer.tries(TRIES)
    host.daemon.take_over()
    assert not writer.tries(TRIES) and not sharer.tries(TRIES)
    host.check()


@pytest.mark.parametrize("way", WAYS)
def test_nobody_gets_a_disk_when_one_of_us_is_killed_or_upgraded(host, nursery, way):
    host.daemon.take_over()
    writer = Competitor(nursery, [*host.exclusive, host.common])
    sharer = Competitor(nursery, host.exclusive, shared=True)
    for _ in range(3):
        way(host.daemon)
        host.daemon.await_answering()
    assert not writer.tries(TRIES) and not sharer.tries(TRIES)
    host.check()
    for path in host.exclusive:
        assert byte_zero_locks(path) == [("POSIX", "WRITE")]


def test_a_released_lock_is_free_and_the_next_one_is_of_our_kind(host, nursery):
    host.daemon.take_over()
    path = host.disks[0]
    with host.daemon.connect_as(host.one.owner) as client:
        assert client.release(path).ok
        assert lock_on_first_byte(path) == "unlocked"
        assert client.acquire(path).ok
        assert byte_zero_locks(path) == [("OFDLCK", "WRITE")]
        assert client.release("f" * 64, host.space).ok
    assert not os.path.exists(host.stand_in)
    assert byte_zero_locks(host.disks[1]) == [("POSIX", "WRITE")]


@pytest.mark.parametrize("way", [None, ways.kill_server])
def test_another_name_of_a_disk_is_refused_and_leaves_its_lock(host, nursery, folder, way):
    host.daemon.take_over()
    hard, soft = os.path.join(folder, "hard.img"), os.path.join(folder, "soft.img")
    os.link(host.disks[0], hard)
    os.symlink(host.disks[0], soft)
    if way:
        way(host.daemon)
    for path in (hard, soft):
        assert "one" in refused(host.daemon, nursery, path)
        assert "one" in refused(host.daemon, nursery, path, SHARED)
        assert byte_zero_locks(host.disks[0]) == [("POSIX", "WRITE")]
    with host.daemon.connect_as(host.one.owner) as client:
        assert client.acquire(hard).ok, "the VM itself may have it by two names"
        assert client.release(hard).ok
    assert byte_zero_locks(host.disks[0]) == [("POSIX", "WRITE")]


def test_a_vm_that_ends_gives_everything_back(host):
    host.daemon.take_over()
    host.one.kill()
    until(lambda: [lock_on_first_byte(path) for path in host.disks] == ["unlocked"] * 2,
          "the end of its locks", 60)
    until(lambda: not os.path.exists(host.stand_in), "the end of its stand-in", 60)
    assert [(name, owner) for name, owner, *_ in held(host.daemon)] == [(host.common, "two")]


def test_a_vm_that_closes_its_connection_is_ended_as_before(host):
    host.daemon.take_over()
    host.own.close()
    assert host.one.ending(60) == signal.SIGTERM
