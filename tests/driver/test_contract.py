# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the library promises of every driver: the same sentences for nop, lockd and sanlock.

Where drivers differ, their capabilities say so, and the tests expect what these say. A driver that
locks nothing keeps nobody out, and obeys all the same.
"""

import errno
import os
import signal

import pytest

from hftest.peers import end
from hftest.processes import until

import sides
from sides import Cap

INVALID, BUSY, UNSUPPORTED, STALE = 2, 3, 8, 11
READONLY, SHARED = 1, 2


@pytest.fixture(params=["nop", "lockd", "sanlock"])
def side(request, peer, folder):
    if request.param == "nop":
        return sides.Nop(peer, folder)
    if request.param == "lockd":
        return sides.Lockd(peer, folder, request.getfixturevalue("daemon"))
    return sides.Sanlock(peer, folder, request.getfixturevalue("cluster")[0])


def refused(side, answer):
    """Whether it was: of a driver that locks nothing it is said beforehand that it is not."""
    if not side.keeps_out:
        assert answer["r"] >= 0, answer
        return True
    if answer["r"] >= 0:
        return False
    assert answer["r"] == -errno.EBUSY and answer["code"] == BUSY, answer
    return True


def is_free(side, *disks, **how):
    """Whether another VM gets them; it gives them back at once."""
    other = side.vm("probe", *disks, **how)
    started = other.start()
    end(other)
    if started["r"] >= 0:
        return True
    assert started["code"] == BUSY, started
    return False


def taken(side, *disks, **how):
    return not side.keeps_out or not is_free(side, *disks, **how)


def becomes_free(side, *disks, **how):
    until(lambda: is_free(side, *disks, **how), f"{disks} are free", 20)


@pytest.fixture
def running(side):
    """A started VM with disks and, where locks are taken from outside, who does that."""
    def make(*disks, **how):
        vm = side.started("vm", *disks, **how)
        return vm, side.manager(vm, *disks, **how)
    return make


def test_the_driver_that_was_asked_for_is_used(side, peer):
    made = peer(side.env(), uid=side.uid).must("new", name="vm", **side.params())
    assert made["driver"] == side.driver


def test_a_started_vm_keeps_others_out_until_its_process_ends(side):
    disk = side.disk("a")
    vm = side.started("first", disk)
    assert vm.guarantee()["name"] == side.guarantee
    assert refused(side, side.vm("second", disk).start())
    end(vm)
    becomes_free(side, disk)


def test_a_refusal_says_which_disk_it_is_and_who_has_it(side):
    free, disk = side.disk("free"), side.disk("a")
    first = side.started("first", disk)
    second = side.vm("second", free, disk)
    answer = second.start()
    assert refused(side, answer)
    if not side.keeps_out:
        assert second.refusal()["r"] == 0
        return
    assert disk in answer["text"]
    assert second.guarantee()["name"] == "none"
    holder = second.refusal()
    assert holder["r"] == 1 and holder["resource"] == disk
    if Cap.HOLDER in side.capabilities:
        assert (holder["name"], holder["pid"]) == ("first", first.pid)
        assert "first" in answer["text"] and str(first.pid) in answer["text"]


def test_a_refused_start_takes_none_of_its_disks_and_the_process_lives(side):
    disks = [side.disk(name) for name in "abc"]
    side.started("first", disks[1])
    vm = side.vm("second", *disks)
    assert refused(side, vm.start())
    if side.keeps_out:
        assert is_free(side, disks[0]) and is_free(side, disks[2])
    assert vm.must("open_fds")["r"] > 0


def test_a_refused_vm_starts_when_the_disk_is_free(side):
    disk = side.disk("a")
    first = side.started("first", disk)
    vm = side.vm("second", disk)
    assert refused(side, vm.start())
    end(first)
    if side.keeps_out:
        until(lambda: vm.start()["r"] >= 0, "it starts")
        assert taken(side, disk)


def test_a_vm_has_more_disks_than_any_call_takes(side):
    disks = [side.disk(f"d{i}") for i in range(11)]
    first = side.started("first", disks[10])
    vm = side.vm("vm", *disks)
    assert refused(side, vm.start())
    if side.keeps_out:
        assert is_free(side, *disks[:10])
        end(first)
        until(lambda: vm.start()["r"] >= 0, "it starts", 20)
        assert taken(side, disks[0]) and taken(side, disks[7]) and taken(side, disks[10])
        side.manager(vm, *disks).must("pause")
        assert is_free(side, *disks)


def test_the_connection_stays_open_in_what_the_process_becomes(side):
    vm = side.vm("vm", side.disk("a"))
    started = vm.must("start")
    if Cap.CONNECTION in side.capabilities:
        assert started["fd"] >= 3 and not started["cloexec"]
    else:
        assert started["fd"] == -1


def test_the_disk_is_kept_while_a_child_has_the_connection(side, nursery):
    if Cap.CONNECTION not in side.capabilities:
        pytest.skip("the driver has no connection that a child could have")
    disk = side.disk("a")
    vm = side.started("vm", disk)
    child = nursery.adopt(vm.must("fork_carrier")["r"])
    end(vm)
    assert taken(side, disk)
    os.kill(child, signal.SIGKILL)
    becomes_free(side, disk)


def test_a_paused_start_takes_nothing_until_it_is_resumed_from_outside(side):
    disk = side.disk("a")
    vm = side.vm("vm", disk)
    vm.must("start", paused=True)
    assert is_free(side, disk)
    outside = side.manager(vm, disk)
    outside.must("resume")
    assert taken(side, disk)
    outside.end()
    assert taken(side, disk)


def test_the_vmm_itself_can_only_start(side):
    disk = side.disk("a")
    vm = side.started("vm", disk)
    for verb in ("pause", "resume"):
        answer = vm.ask(verb)
        assert not side.keeps_out or answer["code"] == UNSUPPORTED
    assert taken(side, disk)


def test_pause_frees_everything_also_the_second_time(side, running):
    disks = [side.disk(name) for name in "ab"]
    vm, outside = running(*disks)
    state = outside.must("pause")["state"]
    assert (state is not None) == (Cap.STATE in side.capabilities)
    assert is_free(side, *disks)
    outside.must("pause")
    assert vm.process.poll() is None


def test_a_resume_is_refused_as_a_whole_while_one_disk_is_taken(side, running):
    disks = [side.disk(name) for name in "ab"]
    _, outside = running(*disks)
    outside.must("pause")
    taker = side.started("taker", disks[1])
    answer = outside.resume()
    if Cap.STATE in side.capabilities:
        # It remembers what pause gave: whoever has the disk now has used it.
        assert answer["code"] in (BUSY, STALE)
    else:
        assert refused(side, answer)
    if side.keeps_out:
        assert is_free(side, disks[0])
    end(taker)


def test_pause_and_resume_follow_each_other_any_number_of_times(side, running):
    disk = side.disk("a")
    _, outside = running(disk)
    for _ in range(3):
        outside.must("pause")
        outside.must("resume")
    assert taken(side, disk)


def test_a_second_resume_is_no_error(side, running):
    disk = side.disk("a")
    _, outside = running(disk)
    outside.must("resume")
    outside.must("pause")
    assert is_free(side, disk)


def test_the_state_that_is_asked_for_is_the_one_that_pause_gives(side, running):
    disk = side.disk("a")
    _, outside = running(disk)
    asked = outside.must("inquire")["state"]
    assert taken(side, disk)
    assert outside.must("pause")["state"] == asked
    assert outside.must("inquire")["state"] is None
    outside.must("resume", state=asked)
    assert taken(side, disk)


def test_another_manager_resumes_with_the_state(side, running):
    disk = side.disk("a")
    vm, outside = running(disk)
    state = outside.must("pause")["state"]
    outside.end()
    side.manager(vm, disk).must("resume", state=state)
    assert taken(side, disk)


def test_what_was_used_meanwhile_is_not_resumed_with_its_state(side, running):
    disk = side.disk("a")
    _, outside = running(disk)
    state = outside.must("pause")["state"]
    assert is_free(side, disk)
    again = outside.resume(state=state)
    if Cap.STATE in side.capabilities:
        assert again["r"] == -errno.ESTALE and disk in again["text"]
        assert is_free(side, disk)
    else:
        assert again["r"] >= 0


def test_disks_are_plugged_and_unplugged_from_outside(side, running):
    first, second = side.disk("a"), side.disk("b")
    _, outside = running(first)
    outside.must("disk", what="attach", path=second)
    assert taken(side, second)
    assert outside.disk(what="attach", path=second)["code"] == INVALID
    outside.must("disk", what="detach", path=second)
    assert is_free(side, second) and taken(side, first)


def test_a_disk_that_is_refused_is_not_attached(side, running):
    mine, theirs = side.disk("a"), side.disk("b")
    taker = side.started("taker", theirs)
    _, outside = running(mine)
    assert refused(side, outside.disk(what="attach", path=theirs))
    end(taker)
    if side.keeps_out:
        outside.must("pause")
        outside.must("resume")
        becomes_free(side, theirs)


def test_a_disk_attached_by_one_is_detached_by_another(side, running):
    first, second = side.disk("a"), side.disk("b")
    vm, outside = running(first)
    outside.must("disk", what="attach", path=second)
    outside.end()
    side.manager(vm).must("disk", what="detach", path=second)
    assert is_free(side, second) and taken(side, first)


def test_what_is_not_held_is_detached_without_an_error(side, running):
    _, outside = running(side.disk("a"))
    outside.must("disk", what="detach", path=side.disk("b"))


def test_a_disk_attached_while_the_vm_is_paused_is_its_own_when_it_resumes(side, running):
    first, second = side.disk("a"), side.disk("b")
    _, outside = running(first)
    outside.must("pause")
    outside.must("disk", what="attach", path=second)
    assert taken(side, second)
    outside.must("resume")
    assert taken(side, first) and taken(side, second)


def test_a_shared_disk_has_readers_and_no_writer(side):
    disk = side.disk("a")
    assert Cap.SHARED in side.capabilities
    one = side.started("one", disk, flags=SHARED)
    two = side.started("two", disk, flags=SHARED | READONLY)
    assert refused(side, side.vm("writer", disk).start())
    end(one)
    assert taken(side, disk)
    end(two)
    becomes_free(side, disk)
    side.started("writer", disk)
    assert refused(side, side.vm("reader", disk, flags=SHARED).start())


def test_readonly_alone_takes_nothing(side):
    disk = side.disk("a")
    side.started("writer", disk)
    side.started("reader", disk, flags=READONLY)


def test_a_lease_of_the_users_belongs_to_one_vm(side):
    assert Cap.LEASES in side.capabilities
    lease = side.lease("key")
    vm = side.started("vm", leases=[lease])
    second = side.vm("second", leases=[lease])
    answer = second.start()
    assert refused(side, answer)
    if side.keeps_out:
        assert lease["key"] in answer["text"]
    end(vm)
    if side.keeps_out:
        until(lambda: second.start()["r"] >= 0, "the lease is free")


def test_a_lease_is_attached_and_detached(side, running):
    lease = side.lease("key")
    _, outside = running(side.disk("a"))
    outside.must("lease", what="attach", **lease)
    assert taken(side, leases=[lease])
    outside.must("lease", what="detach", **lease)
    assert is_free(side, leases=[lease])


def test_two_disks_with_a_lease_of_one_name_are_told_apart(side):
    first, second = side.disk("a"), side.disk("b")
    side.started("one", first)
    side.started("two", second)


def test_a_client_has_the_disk_until_it_closes_the_descriptor(side):
    if Cap.CLIENTS not in side.capabilities:
        pytest.skip("the driver has no clients")
    disk = side.disk("a")
    client = side.client("backup", disk)
    fd = client.must("start")["fd"]
    assert client.pause()["code"] == UNSUPPORTED
    assert taken(side, disk)
    if fd >= 0:
        client.must("close", fd=fd)
        becomes_free(side, disk)
        client.must("start")
        assert taken(side, disk)


def test_a_driver_that_cannot_wait_says_so_where_there_is_something_to_wait_for(side):
    disk = side.disk("a")
    holder = side.started("holder", disk)
    vm = side.vm("vm", disk, wait_ms=-1)
    vm.begin("start")
    if not side.keeps_out:
        assert vm.answer("start")["r"] >= 0
    elif Cap.WAIT in side.capabilities:
        assert not vm.has_answered(0.1)
        end(holder)
        assert vm.answer("start")["r"] >= 0
    else:
        answer = vm.answer("start")
        assert answer["code"] == UNSUPPORTED and "cannot wait" in answer["text"]


def test_no_descriptor_is_left_by_any_call(side, running):
    disk = side.disk("a")
    _, outside = running(disk)
    outside.must("pause")
    outside.must("resume")
    before = outside.must("open_fds")["r"]
    for _ in range(3):
        outside.must("pause")
        outside.must("resume")
        outside.must("inquire")
        outside.disk(what="attach", path="/does/not/exist\n")
    assert outside.must("open_fds")["r"] == before


def test_nothing_but_the_connection_goes_through_exec(side):
    """What the driver opens for itself is closed in the program that the process becomes."""
    disk = side.disk("a")
    vm = side.vm("vm", disk)
    before = set(vm.must("inheritable")["fds"])
    fd = vm.must("start")["fd"]
    after = set(vm.must("inheritable")["fds"]) - before
    allowed = {fd} - {-1}
    if Cap.DESCRIPTORS in side.capabilities:
        # Duplicates of the locks' own descriptors, which are to outlive the daemon.
        assert allowed <= after
    else:
        assert after == allowed
