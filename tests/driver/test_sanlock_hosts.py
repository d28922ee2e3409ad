# SPDX-License-Identifier: LGPL-2.1-or-later
"""The driver sanlock between hosts: who keeps whom out, and how a VM moves.

Two hosts are two sanlock daemons on one lease directory. Beside our driver there is a raw client of
libsanlock, which stands for any other program: it takes the lease that libvirt's plugin would take.
"""

import errno
import os

import pytest

from hftest import sanlock
from hftest.peers import end
from hftest.processes import until
from hftest.sanlock import starts

BUSY, NO_DAEMON, STALE = 3, 4, 11
SHARED = 2
# What libsanlock says: held by a process of this host, by another host that lives.
HELD_HERE, HELD_ELSEWHERE = -errno.EEXIST, -243


@pytest.fixture
def here(cluster):
    return cluster[0]


@pytest.fixture
def there(cluster):
    return cluster[1]


# ---- who keeps whom out

def test_a_disk_is_refused_to_the_other_host_in_both_directions(cluster, here, there):
    for mine, other in ((here, there), (there, here)):
        disk = cluster.disk()
        vm = mine.started("web", disk)
        second = other.vm("second", disk)
        answer = second.start()
        assert answer["code"] == BUSY and disk in answer["text"]
        holder = second.refusal()
        assert (holder["host_id"], holder["host"]) == (mine.id, mine.name)
        assert holder["generation"] == 1 and holder["resource"] == disk
        assert mine.name in answer["text"]
        assert mine.holds(vm.pid) == {sanlock.key_of(disk): 1}
        assert not other.holds(second.pid)
        end(vm)
        starts(other, disk)


def test_three_hosts_get_a_disk_one_after_the_other(cluster):
    disk = cluster.disk()
    for turn, host in enumerate(cluster.hosts):
        vm = starts(host, disk)
        assert host.version(disk) == turn + 1 and host.owner(disk) == host.id
        for other in cluster.hosts:
            assert other.vm("other", disk).start()["code"] == BUSY
        end(vm)


def test_a_raw_client_is_kept_out_by_a_vm_on_either_host(cluster, here, there):
    disk = cluster.disk()
    vm = here.started("web", disk)
    lease = cluster.lease_of(disk)
    assert here.raw(registered=True).acquire(lease)["r"] == HELD_HERE
    other = there.raw(registered=True)
    assert other.acquire(lease)["r"] == HELD_ELSEWHERE
    assert other.acquire(lease, shared=True)["r"] == HELD_ELSEWHERE
    end(vm)
    until(lambda: other.acquire(lease)["r"] == 0, "the raw client gets it")


@pytest.mark.parametrize("which", ["this host", "the other host"])
def test_a_raw_client_keeps_a_vm_out(cluster, here, there, which):
    holder_host = here if which == "this host" else there
    disk = cluster.disk()
    lease = cluster.make_lease(disk)
    raw = holder_host.raw(registered=True)
    raw.must("acquire", lease)
    vm = here.vm("web", disk)
    answer = vm.start()
    assert answer["code"] == BUSY and disk in answer["text"]
    holder = vm.refusal()
    assert holder["host"] in (holder_host.name, os.uname().nodename)
    if holder_host is here:
        assert holder["pid"] == raw.pid
    else:
        assert holder["host_id"] == there.id
    raw.kill()
    until(lambda: vm.start()["r"] >= 0, "the VM starts", 20)
    assert here.version(disk) == 2


def test_a_vm_that_pauses_lets_a_raw_client_in_and_is_kept_out_by_it(cluster, here, there):
    disk = cluster.disk()
    vm = here.started("web", disk)
    manager = here.manager(vm, disk)
    manager.must("pause")
    raw = there.raw(registered=True)
    raw.must("acquire", cluster.lease_of(disk))
    answer = manager.resume()
    assert answer["code"] in (BUSY, STALE) and answer["r"] < 0
    assert here.holds(vm.pid) == {}


def test_readers_of_both_hosts_share_a_disk_and_keep_writers_out(cluster, here, there):
    disk = cluster.disk()
    one = here.started("one", disk, flags=SHARED)
    two = there.started("two", disk, flags=SHARED)
    key = sanlock.key_of(disk)
    assert here.holds(one.pid) == there.holds(two.pid) == {key: "SH"}
    for host in (here, there):
        assert host.vm("writer", disk).start()["code"] == BUSY
    end(one)
    assert here.vm("writer", disk).start()["code"] == BUSY
    end(two)
    starts(here, disk)


def test_one_of_many_disks_taken_on_the_other_host_leaves_none_of_them_taken(cluster, here, there):
    disks = [cluster.disk() for _ in range(10)]
    taken = there.started("there", disks[9])
    vm = here.vm("web", *disks)
    answer = vm.start()
    assert answer["code"] == BUSY and disks[9] in answer["text"]
    assert not here.holds(vm.pid)
    other = there.vm("all", *disks[:9])
    other.must("start")
    end(other)
    end(taken)
    until(lambda: vm.start()["r"] >= 0, "the VM starts", 20)
    assert len(here.holds(vm.pid)) == 10


def test_the_lease_of_a_killed_vm_is_had_by_the_other_host_at_once(cluster, here, there):
    disk = cluster.disk()
    for host, other in ((here, there), (there, here), (here, there)):
        vm = starts(host, disk)
        assert other.vm("early", disk).start()["code"] == BUSY
        end(vm)
    starts(here, disk)


# ---- moving

def test_a_vm_moves_to_the_other_host_and_back_with_its_state(cluster, here, there):
    disk = cluster.disk()
    source = here.started("web", disk)
    leaving = here.manager(source, disk)
    for number in range(3):
        target_host = (there, here)[number % 2]
        target = target_host.vm("web", disk)
        target.must("start", paused=True)
        arriving = target_host.manager(target, disk)
        state = leaving.must("pause")["state"]
        assert state.endswith(f":{number + 1}")
        arriving.must("resume", state=state)
        assert target_host.version(disk) == number + 2
        assert target_host.owner(disk) == target_host.id
        end(source)
        source, leaving = target, arriving


def test_a_move_that_fails_goes_on_where_it_began(cluster, here, there):
    disk = cluster.disk()
    source = here.started("web", disk)
    leaving = here.manager(source, disk)
    target = there.vm("web", disk)
    target.must("start", paused=True)
    state = leaving.must("pause")["state"]
    end(target)
    leaving.must("resume", state=state)
    assert here.owner(disk) == here.id


def test_the_target_is_refused_until_the_source_has_paused(cluster, here, there):
    disk = cluster.disk()
    source = here.started("web", disk)
    leaving = here.manager(source, disk)
    target = there.vm("web", disk)
    target.must("start", paused=True)
    arriving = there.manager(target, disk)
    early = leaving.must("inquire")["state"]
    assert arriving.resume(state=early)["code"] == BUSY
    assert leaving.must("pause")["state"] == early
    arriving.must("resume", state=early)


def test_a_state_whose_disk_was_used_elsewhere_is_refused_in_plain_words(cluster, here, there):
    disk = cluster.disk()
    vm = here.started("web", disk)
    manager = here.manager(vm, disk)
    state = manager.must("pause")["state"]
    end(starts(there, disk))
    until(lambda: there.owner(disk) == 0, "it is given back")
    for given in (None, state):
        answer = manager.resume(state=given)
        assert answer["r"] == -errno.ESTALE and answer["code"] == STALE, answer
        for word in (disk, "used elsewhere", "version 1 then, 2 now", "Do not"):
            assert word in answer["text"], answer["text"]
        assert here.holds(vm.pid) == {}
    # Somebody else's VM is not concerned.
    starts(there, disk)


def test_a_second_pause_forgets_nothing(cluster, here, there):
    disk = cluster.disk()
    vm = here.started("web", disk)
    manager = here.manager(vm, disk)
    manager.must("pause")
    manager.must("pause")
    end(starts(there, disk))
    until(lambda: there.owner(disk) == 0, "it is given back")
    assert manager.resume()["code"] == STALE


def test_of_many_disks_the_one_that_was_used_is_named_and_none_is_taken(cluster, here, there):
    disks = [cluster.disk() for _ in range(9)]
    vm = here.started("web", *disks)
    manager = here.manager(vm, *disks)
    manager.must("pause")
    end(starts(there, disks[8]))
    until(lambda: there.owner(disks[8]) == 0, "it is given back")
    answer = manager.resume()
    assert answer["code"] == STALE and disks[8] in answer["text"]
    assert here.holds(vm.pid) == {}


def test_a_resume_that_another_disk_has_kept_back_is_made_up_for_later(cluster, here, there):
    """What is taken and given back again by the refused one is not taken for used elsewhere."""
    mine, new = cluster.disk(), cluster.disk()
    vm = here.started("web", mine)
    state = here.manager(vm, mine).must("pause")["state"]
    taker = there.started("taker", new)
    manager = here.manager(vm, mine, new)
    assert manager.resume(state=state)["code"] == BUSY
    end(taker)
    until(lambda: there.owner(new) == 0, "it is given back")
    manager.must("resume")
    assert set(here.holds(vm.pid)) == {sanlock.key_of(mine), sanlock.key_of(new)}


# ---- the daemon

@pytest.fixture(scope="module")
def lone_cluster(session_nursery):
    return sanlock.Cluster(session_nursery, hosts=1)


@pytest.fixture
def lone(lone_cluster, nursery):
    """A host whose daemon a test may stop and restart; it is joined afterwards."""
    lone_cluster.guests = nursery
    return lone_cluster[0]


def unlocked(answer):
    assert answer["r"] < 0 and "not under lock control" in answer["text"], answer
    return True


def test_after_a_restart_of_the_daemon_nothing_is_done_silently(lone):
    host, disks = lone, [lone.cluster.disk() for _ in range(2)]
    vm = host.started("web", disks[0])
    manager = host.manager(vm, disks[0])
    host.restart()
    assert host.holds(vm.pid) is None
    assert unlocked(manager.resume())
    assert unlocked(manager.disk(what="attach", path=disks[1]))
    # To give back what is not held is no error, and there is no state.
    assert manager.must("pause")["state"] is None
    assert vm.process.poll() is None


def test_a_vm_that_was_started_without_is_not_resumed_silently(cluster, here):
    disk = cluster.disk()
    stranger = here.raw()
    assert unlocked(here.manager(stranger, disk).resume())


def test_without_a_daemon_a_start_says_so(new_cluster):
    cluster = new_cluster(hosts=1, join=False)
    cluster[0].kill()
    answer = cluster[0].vm("web", cluster.disk()).start()
    assert answer["code"] == NO_DAEMON and "sanlock daemon" in answer["text"]


def test_a_daemon_that_stands_still_is_waited_for_no_longer_than_said(lone):
    host, disk = lone, lone.cluster.disk()
    vm = host.vm("web", disk, timeout_ms=1000)
    host.freeze()
    answer = vm.start()
    assert answer["r"] == -errno.ETIMEDOUT, answer
    host.thaw()
    end(vm)
    starts(host, disk)
