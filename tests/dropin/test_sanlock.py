# SPDX-License-Identifier: LGPL-2.1-or-later
"""Two hosts on one lease directory: here our driver, there libvirtd with its own sanlock plugin.

Both take the same lease of a disk, in the same lockspace and the same files, so they keep each
other out in both directions, whoever comes first and whoever has made the files.
"""

import errno
import os
import stat

import pytest

from hftest import sanlock
from hftest.peers import end
from hftest.processes import until
from hftest.sanlock import starts

from .lab import Disk
from .sanlock_host import LibvirtHost

BUSY, STALE = 3, 11


@pytest.fixture(scope="module")
def hosts(machine, session_nursery):
    """Ours and libvirt's; it is libvirt that has made the lockspace."""
    cluster = sanlock.Cluster(session_nursery, hosts=2, join=False, started=1)
    lab = LibvirtHost(cluster[1])
    try:
        cluster[0].join()
        yield cluster, lab
    finally:
        lab.close()


@pytest.fixture
def cluster(hosts, nursery):
    hosts[0].guests = nursery
    return hosts[0]


@pytest.fixture
def ours(cluster):
    return cluster[0]


@pytest.fixture
def lab(hosts):
    assert hosts[1].healthy(), hosts[1].logs_since()
    yield hosts[1]
    hosts[1].forget_vms()


@pytest.fixture
def disk(cluster):
    path = cluster.disk()
    os.truncate(path, 1 << 20)
    return path


def test_a_disk_of_our_vm_is_refused_to_libvirt_until_the_vm_ends(ours, lab, disk):
    vm = ours.started("web", disk)
    there = lab.vm(disk)
    there.refused_start()
    assert ours.holds(vm.pid) == {sanlock.key_of(disk): 1}
    end(vm)
    until(lambda: ours.owner(disk) == 0, "it is given back")
    there.start()
    assert ours.owner(disk) == 2 and ours.version(disk) == 2


def test_a_disk_of_libvirts_vm_is_refused_to_ours_which_says_by_which_host(ours, lab, disk):
    there = lab.started(disk)
    vm = ours.vm("web", disk)
    answer = vm.start()
    assert answer["code"] == BUSY and disk in answer["text"]
    holder = vm.refusal()
    assert (holder["host_id"], holder["host"]) == (lab.host.id, lab.host.name)
    there.destroy()
    until(lambda: vm.start()["r"] >= 0, "our VM starts", 20)
    there.refused_start()


def test_a_vm_that_libvirt_suspends_loses_its_disk_to_ours(ours, lab, disk):
    there = lab.started(disk)
    there.suspend()
    vm = ours.started("web", disk)
    there.refused_resume()
    assert there.state == "paused"
    end(vm)


def test_our_vm_that_pauses_loses_its_disk_to_libvirt(ours, lab, disk):
    vm = ours.started("web", disk)
    manager = ours.manager(vm, disk)
    manager.must("pause")
    there = lab.started(disk)
    assert manager.resume()["code"] in (BUSY, STALE)
    assert there.state == "running" and ours.holds(vm.pid) == {}


def test_a_disk_of_ours_cannot_be_attached_to_a_vm_of_libvirt(ours, lab, disk, cluster):
    theirs = cluster.disk()
    os.truncate(theirs, 1 << 20)
    ours.started("web", disk)
    there = lab.started(theirs)
    there.refused_attach(Disk(disk))
    assert there.plugged() == [theirs]


def test_a_disk_of_libvirt_cannot_be_attached_to_ours(ours, lab, disk, cluster):
    lab.started(disk)
    mine = cluster.disk()
    vm = ours.started("web", mine)
    manager = ours.manager(vm, mine)
    assert manager.disk(what="attach", path=disk)["code"] == BUSY
    assert ours.holds(vm.pid) == {sanlock.key_of(mine): 1}


def test_both_kinds_share_a_shareable_disk_and_keep_writers_out(ours, lab, disk):
    there = lab.started(Disk(disk, shareable=True))
    vm = ours.started("reader", disk, flags=2)
    assert ours.vm("writer", disk).start()["code"] == BUSY
    assert not lab.vm(disk).try_start()
    there.destroy()
    end(vm)
    starts(ours, disk)


def test_files_that_either_makes_are_alike(ours, lab, cluster):
    paths = []
    for host in ("ours", "libvirt"):
        disk = cluster.disk()
        os.truncate(disk, 1 << 20)
        if host == "ours":
            ours.started("web", disk)
        else:
            lab.started(disk)
        lockspace, key, path, _ = cluster.lease_of(disk)
        read = ours.asker.must("read_resource", cluster.lease_of(disk))
        assert (read["lockspace"], read["key"], read["version"]) == (lockspace, key, 1)
        paths.append(os.stat(path))
    mine, theirs = paths
    for field in ("st_mode", "st_size", "st_uid", "st_gid", "st_nlink"):
        assert getattr(mine, field) == getattr(theirs, field), field
    assert stat.S_IMODE(mine.st_mode) == 0o600


def test_what_was_used_while_it_was_paused_is_resumed_by_libvirt_and_refused_by_us(ours, lab, disk):
    """The one difference: libvirt goes on with a disk that may have changed meanwhile."""
    there = lab.started(disk)
    there.suspend()
    end(ours.started("web", disk))
    until(lambda: ours.owner(disk) == 0, "it is given back")
    there.resume()
    assert there.state == "running"
    there.destroy()
    until(lambda: ours.owner(disk) == 0, "it is given back")
    vm = ours.started("web", disk)
    manager = ours.manager(vm, disk)
    manager.must("pause")
    other = lab.started(disk)
    other.destroy()
    until(lambda: ours.owner(disk) == 0, "it is given back")
    answer = manager.resume()
    assert answer["r"] == -errno.ESTALE and answer["code"] == STALE
    assert "used elsewhere" in answer["text"] and "version 4 then, 5 now" in answer["text"]
