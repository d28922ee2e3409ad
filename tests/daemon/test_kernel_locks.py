# SPDX-License-Identifier: LGPL-2.1-or-later
"""The lock in the kernel: visible to everybody's tools, and shared with stock virtlockd."""

import json
import os
import shutil
import subprocess

import pytest
from hftest.files import lock_on_first_byte
from hftest.processes import until
from hftest.wire import AUTOCREATE, SHARED, Owner

BUSY = (87, 51)


def locks_of(pid, path):
    """The locks on a file that /proc says a process has open, as (kind, mode, start, end)."""
    inode = os.stat(path).st_ino
    found = []
    for fd in os.listdir(f"/proc/{pid}/fdinfo"):
        try:
            with open(f"/proc/{pid}/fdinfo/{fd}", encoding="ascii") as info:
                words = [line.split() for line in info if line.startswith("lock:")]
        except FileNotFoundError:
            continue  # closed since it was listed
        found += [(kind, mode, start, end) for _, _, kind, _, mode, _, where, start, end in words
                  if where.rpartition(":")[2] == str(inode)]
    return found


@pytest.fixture
def client(daemon, nursery):
    return daemon.connect_as(Owner("one", nursery.sleeper().pid))


def test_an_exclusive_lock_is_an_ofd_write_lock_on_byte_0_alone(daemon, client, disk):
    path = disk()
    assert client.acquire(path).ok
    assert locks_of(daemon.pid, path) == [("OFDLCK", "WRITE", "0", "0")]


def test_a_shared_lock_is_an_ofd_read_lock_on_byte_0_alone(daemon, client, disk):
    path = disk()
    assert client.acquire(path, flags=SHARED).ok
    assert locks_of(daemon.pid, path) == [("OFDLCK", "READ", "0", "0")]


def test_after_a_release_nothing_is_locked_or_open(daemon, client, disk):
    path = disk()
    assert client.acquire(path).ok
    assert client.release(path).ok
    assert locks_of(daemon.pid, path) == []
    names = {os.readlink(f"/proc/{daemon.pid}/fd/{fd}")
             for fd in os.listdir(f"/proc/{daemon.pid}/fd")}
    assert path not in names


def test_a_shared_lock_of_many_owners_is_one_lock(daemon, nursery, disk):
    path = disk()
    for number in range(5):
        owner = Owner(f"vm{number}", nursery.sleeper().pid)
        assert daemon.connect_as(owner).acquire(path, flags=SHARED).ok
    assert locks_of(daemon.pid, path) == [("OFDLCK", "READ", "0", "0")]


def test_lslocks_shows_the_lock_by_inode(daemon, client, disk):
    if not shutil.which("lslocks"):
        pytest.fail("lslocks is not installed (Debian: util-linux)")
    path = disk()
    assert client.acquire(path).ok
    listing = subprocess.run(["lslocks", "-J", "-o", "TYPE,MODE,START,END,INODE"],
                             capture_output=True, text=True, check=True)
    inode = os.stat(path).st_ino
    shown = [lock for lock in json.loads(listing.stdout)["locks"] if int(lock["inode"]) == inode]
    assert [(lock["type"], lock["mode"], int(lock["start"]), int(lock["end"]))
            for lock in shown] == [("OFDLCK", "WRITE", 0, 0)]


def test_the_descriptor_of_a_lock_is_closed_on_exec(daemon, client, disk):
    path = disk()
    assert client.acquire(path).ok
    seen = []
    for fd in os.listdir(f"/proc/{daemon.pid}/fd"):
        if os.readlink(f"/proc/{daemon.pid}/fd/{fd}") == path:
            with open(f"/proc/{daemon.pid}/fdinfo/{fd}", encoding="ascii") as info:
                seen.append(int(info.read().split("flags:")[1].split()[0], 8))
    assert seen and all(flags & os.O_CLOEXEC for flags in seen)


def test_a_shared_lock_is_held_on_a_descriptor_that_cannot_write(daemon, client, disk):
    path = disk()
    assert client.acquire(path, flags=SHARED).ok
    for fd in os.listdir(f"/proc/{daemon.pid}/fd"):
        if os.readlink(f"/proc/{daemon.pid}/fd/{fd}") == path:
            with open(f"/proc/{daemon.pid}/fdinfo/{fd}", encoding="ascii") as info:
                flags = int(info.read().split("flags:")[1].split()[0], 8)
            assert flags & os.O_ACCMODE == os.O_RDONLY


# ---- beside stock virtlockd, on the same files --------------------------------------


@pytest.fixture
def pair(holdfastd, virtlockd, nursery):
    """One client of each daemon: (ours, stock)."""
    ours, stock = holdfastd(), virtlockd()
    return (ours.connect_as(Owner("of-ours", nursery.sleeper().pid)),
            stock.connect_as(Owner("of-stock", nursery.sleeper().pid)))


def first_and_second(pair, order):
    return pair if order == "ours first" else pair[::-1]


each_order = pytest.mark.parametrize("order", ["ours first", "virtlockd first"])


@each_order
@pytest.mark.parametrize("mode,other", [(0, 0), (0, SHARED), (SHARED, 0)],
                         ids=["exclusive after exclusive", "shared after exclusive",
                              "exclusive after shared"])
def test_the_two_daemons_exclude_each_other(pair, disk, order, mode, other):
    first, second = first_and_second(pair, order)
    path = disk()
    assert first.acquire(path, flags=mode).ok
    assert second.acquire(path, flags=other).verdict == BUSY
    assert lock_on_first_byte(path) == ("read lock" if mode else "write lock")
    assert first.release(path).ok
    assert second.acquire(path, flags=other).ok
    assert first.acquire(path, flags=mode).verdict == BUSY


@each_order
def test_the_two_daemons_share(pair, disk, order):
    first, second = first_and_second(pair, order)
    path = disk()
    assert first.acquire(path, flags=SHARED).ok
    assert second.acquire(path, flags=SHARED).ok
    assert first.release(path).ok
    assert lock_on_first_byte(path) == "read lock"
    assert second.release(path).ok
    assert lock_on_first_byte(path) == "unlocked"


@each_order
def test_the_two_daemons_exclude_each_other_in_a_directory_lockspace(pair, folder, order):
    first, second = first_and_second(pair, order)
    space = os.path.join(folder, "space")
    for client in pair:
        assert client.create_lockspace(space).ok
    assert first.acquire("lease", space, AUTOCREATE).ok
    assert second.acquire("lease", space, AUTOCREATE).verdict == BUSY
    assert first.release("lease", space).ok
    assert second.acquire("lease", space, AUTOCREATE).ok
    assert os.listdir(space) == ["lease"]


@each_order
def test_a_lease_passes_to_and_fro_between_the_two_daemons(pair, folder, order):
    first, second = first_and_second(pair, order)
    space = os.path.join(folder, "space")
    for client in pair:
        assert client.create_lockspace(space).ok
    for _ in range(50):
        for client in (first, second):
            assert client.acquire("lease", space, AUTOCREATE).ok
            assert client.release("lease", space).ok
    assert os.listdir(space) == []


def test_an_alias_is_no_way_around_the_other_daemon(pair, disk, folder):
    ours, stock = pair
    path = disk()
    alias = os.path.join(folder, "alias.img")
    os.link(path, alias)
    assert stock.acquire(path).ok
    assert ours.acquire(alias).verdict == BUSY
    assert stock.acquire(path).verdict == BUSY
    assert stock.release(path).ok
    assert ours.acquire(alias).ok
    assert stock.acquire(path).verdict == BUSY


def test_what_virtlockd_held_is_free_when_virtlockd_is_gone(holdfastd, virtlockd, nursery, disk):
    ours, stock = holdfastd(), virtlockd()
    path = disk()
    owner = nursery.sleeper()
    assert stock.connect_as(Owner("one", owner.pid)).acquire(path).ok
    client = ours.connect_as(Owner("two", nursery.sleeper().pid))
    assert client.acquire(path).verdict == BUSY
    stock.stop()
    until(lambda: client.acquire(path).ok, "the file is free")


def test_a_vm_of_virtlockd_that_dies_frees_its_disk_for_us(holdfastd, virtlockd, nursery, disk):
    ours, stock = holdfastd(), virtlockd()
    path = disk()
    vm = nursery.vm("one")
    assert vm.own_connection(stock).acquire(path).ok
    client = ours.connect_as(Owner("two", nursery.sleeper().pid))
    assert client.acquire(path).verdict == BUSY
    vm.kill()
    until(lambda: client.acquire(path).ok, "the file is free")
