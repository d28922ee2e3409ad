# SPDX-License-Identifier: LGPL-2.1-or-later
"""The driver sanlock, with real daemons: what is peculiar to it.

What all drivers have in common is in test_contract.py, what happens between hosts in
test_sanlock_hosts.py.
"""

import glob
import os
import time

import pytest

from hftest.processes import Nursery, until
from hftest.sanlock import DISKS, Cluster, key_of

EX, READONLY, SHARED = 0, 1, 2
CLIENT = 2
ENOENT, ESRCH, EBUSY, EINVAL, ESTALE, EOPNOTSUPP, ETIMEDOUT = -2, -3, -16, -22, -116, -95, -110
E_INVALID, E_CONFIG, E_UNSUPPORTED, E_STALE = 2, 6, 8, 11


@pytest.fixture(scope="module")
def cluster():
    nursery = Nursery()
    try:
        yield Cluster(nursery)
    finally:
        nursery.close()


@pytest.fixture
def host(cluster):
    """The first one, with its usual settings again when the test is over."""
    yield cluster[0]
    cluster[0].configure()


def end(*vms):
    for vm in vms:
        vm.process.kill()
        vm.process.wait(10)


def leftovers(cluster):
    return [name for name in os.listdir(cluster.leases) if name.startswith(".")]


def set_up(vm):
    """The descriptor that the VMM inherits goes with the process."""
    answer = vm.must("start")
    assert answer["fd"] >= 3 and not answer["cloexec"]
    return answer


# ---- leases of disks ----------------------------------------------------------------------------

def test_a_start_takes_the_lease_that_libvirt_would_take(cluster, host):
    disk = cluster.disk()
    vm = host.vm("vm", disk)
    set_up(vm)
    assert host.holds(vm.pid) == {key_of(disk): 1}
    assert host.owner(disk) == host.id
    made = os.stat(cluster.lease_of(disk)[2])
    assert made.st_mode & 0o777 == 0o600 and made.st_size == 1 << 20 and made.st_nlink == 1
    assert not leftovers(cluster)
    assert vm.guarantee()["name"] == "cluster-advisory"
    assert [text for text in vm.warnings()["said"] if "watchdog" in text]
    end(vm)


def test_a_vm_gives_back_and_takes_again_by_its_pid(cluster, host):
    disks = [cluster.disk() for _ in range(3)]
    vm = host.started("vm", *disks)
    manager = host.manager(vm, *disks)
    state = manager.must("pause")["state"]
    assert host.holds(vm.pid) == {}
    assert len(state.split()) == 3
    manager.must("resume", state=state)
    assert host.holds(vm.pid) == {key_of(disk): 2 for disk in disks}
    assert manager.guarantee()["name"] == "cluster-advisory"
    end(vm, manager)


def test_more_leases_than_one_call_takes_are_all_taken_or_none(cluster, host):
    disks = [cluster.disk() for _ in range(12)]
    other = cluster[1].started("other", disks[10])
    vm = host.vm("vm", *disks)
    refused = vm.start()
    assert refused["r"] == EBUSY and disks[10] in refused["text"]
    assert vm.refusal()["resource"] == disks[10]
    assert vm.refusal()["host_id"] == 2 and vm.refusal()["host"] == "beta"
    assert "host 2 (beta" in refused["text"] and "host 2 (beta" in vm.refusal()["state"]
    rest = cluster[1].vm("rest", *disks[:10], disks[11])
    until(lambda: rest.start()["r"] == 0, "the rest is free")
    end(other, rest)
    until(lambda: vm.start()["r"] == 0, "all are free")
    assert set(host.holds(vm.pid)) == {key_of(disk) for disk in disks}
    end(vm)


def test_a_holder_on_this_host_is_named_with_its_vm(cluster, host):
    disk = cluster.disk()
    holder = host.started("the holder", disk, uuid="00112233445566778899aabbccddeeff")
    refused = host.vm("vm", disk)
    answer = refused.start()
    assert answer["r"] == EBUSY
    found = refused.refusal()
    assert (found["name"], found["pid"]) == ("the holder", holder.pid)
    assert found["uuid"] == "00112233445566778899aabbccddeeff"
    assert "the holder" in answer["text"] and str(holder.pid) in answer["text"]
    end(holder, refused)


def test_a_vm_that_has_just_ended_is_not_in_the_way(cluster, host):
    disk = cluster.disk()
    for _ in range(8):
        vm = host.vm("vm", disk)
        following = host.vm("next", disk)
        vm.must("start")
        vm.process.kill()
        following.must("start")
        end(vm, following)


def test_a_refused_attach_leaves_what_the_vm_had(cluster, host):
    mine, theirs = cluster.disk(), cluster.disk()
    vm = host.started("vm", mine)
    other = cluster[1].started("other", theirs)
    manager = host.manager(vm)
    assert manager.disk(what="attach", path=theirs)["r"] == EBUSY
    again = host.manager(vm, mine, theirs)
    assert again.resume()["r"] == EBUSY
    assert host.holds(vm.pid) == {key_of(mine): 1}
    end(vm, other, manager, again)


def test_a_disk_by_a_symbolic_link_is_not_granted_twice(cluster, host):
    disk = cluster.disk()
    link = disk + ".link"
    os.symlink(disk, link)
    vm = host.vm("vm", link)
    set_up(vm)
    assert set(host.holds(vm.pid)) == {key_of(link), key_of(disk)}
    refused = host.vm("other", disk)
    assert refused.start()["r"] == EBUSY
    manager = host.manager(vm, link)
    manager.must("disk", what="detach", path=link)
    assert host.holds(vm.pid) == {}
    end(vm, refused, manager)


def test_a_lease_of_its_own_changes_its_mode_in_place(cluster, host):
    disk = cluster.disk()
    vm = host.started("vm", disk, flags=SHARED)
    sharer = cluster[1].started("sharer", disk, flags=SHARED)
    manager = host.manager(vm, disk)
    assert manager.resume()["r"] == EBUSY
    assert host.holds(vm.pid) == {key_of(disk): "SH"}
    end(sharer)
    until(lambda: manager.resume()["r"] == 0, "alone, it is exclusive")
    assert isinstance(host.holds(vm.pid)[key_of(disk)], int)
    host.manager(vm, disk, flags=SHARED).must("resume")
    assert host.holds(vm.pid) == {key_of(disk): "SH"}
    end(vm, manager)


def test_what_is_only_read_has_no_lease(cluster, host):
    disk = cluster.disk()
    vm = host.started("vm", disk, flags=READONLY)
    assert host.holds(vm.pid) == {}
    end(vm)


def test_on_the_connection_that_a_vmm_inherits_nothing_can_be_given_back(cluster, host):
    disk = cluster.disk()
    vm = host.vm("vm", disk)
    answer = set_up(vm)
    assert vm.sanlock_release_all(fd=answer["fd"])["r"] < 0
    assert set(host.holds(vm.pid)) == {key_of(disk)}
    end(vm)


def test_a_client_has_its_leases_until_its_connection_closes(cluster, host):
    disk = cluster.disk()
    client = host.vm("client")
    client.must("free")
    client.must("new", name="client", driver="sanlock", config=host.conf, flags=CLIENT)
    client.must("disk", what="add", path=disk)
    fd = set_up(client)["fd"]
    assert set(host.holds(client.pid)) == {key_of(disk)}
    notes = os.path.join(host.holdfast_dir, "holdfast", "sanlock")
    assert not glob.glob(os.path.join(glob.escape(notes), f"{client.pid}-*"))
    client.must("close", fd=fd)
    until(lambda: host.owner(disk) == 0, "it is given back")
    assert client.process.poll() is None
    end(client)


# ---- leases of the user's -----------------------------------------------------------------------

def test_a_lease_of_the_users_goes_through_as_it_is(cluster, host):
    path = os.path.join(cluster.folder, "mine")
    cluster.make_area(path)
    host.asker.must("write_resource", [DISKS, "a-key", path, 0])
    vm = host.vm("vm")
    vm.must("lease", what="add", lockspace=DISKS, key="a-key", path=path)
    set_up(vm)
    assert host.holds(vm.pid) == {"a-key": 1}
    end(vm)


@pytest.mark.parametrize("words", [
    {"lockspace": DISKS, "key": "k", "path": "/a b"},
    {"lockspace": DISKS, "key": "k" * 49, "path": "/a"},
    {"lockspace": DISKS, "key": "a:b", "path": "/a"},
    {"lockspace": "", "key": "k", "path": "/a"},
    {"lockspace": DISKS, "key": "k", "path": "relative"},
], ids=["blank", "long", "colon", "lockspace", "relative"])
def test_a_lease_that_sanlock_could_not_report_is_refused(host, words):
    vm = host.vm("vm")
    vm.must("lease", what="add", **words)
    refused = vm.start()
    assert (refused["r"], refused["code"]) == (EINVAL, E_INVALID), refused
    end(vm)


def test_a_missing_lease_of_the_users_is_not_made(cluster, host):
    path = os.path.join(cluster.folder, "missing")
    vm = host.vm("vm")
    vm.must("lease", what="add", lockspace=DISKS, key="missing", path=path)
    assert vm.start()["r"] == ENOENT
    assert not os.path.exists(path)
    end(vm)


def test_a_vm_without_leases_is_refused_where_its_disk_would_need_one(cluster, host):
    disk = cluster.disk()
    host.configure(auto_disk_leases=0)
    vm = host.vm("vm", disk)
    refused = vm.start()
    assert (refused["r"], refused["code"]) == (EOPNOTSUPP, E_CONFIG)
    assert disk in refused["text"] and "auto_disk_leases" in refused["text"]
    assert vm.inquire()["r"] == EOPNOTSUPP
    host.configure(auto_disk_leases=0, require_lease_for_disks=0)
    allowed = host.vm("vm", disk)
    set_up(allowed)
    assert host.holds(allowed.pid) == {}
    end(vm, allowed)


# ---- versions -----------------------------------------------------------------------------------

def use_elsewhere(cluster, disk):
    user = cluster[1].started("user", disk)
    end(user)
    until(lambda: cluster[0].owner(disk) == 0, "it was given back")


def test_a_vm_whose_disk_was_used_meanwhile_is_not_resumed(cluster, host):
    disks = [cluster.disk() for _ in range(3)]
    vm = host.started("vm", *disks)
    manager = host.manager(vm, *disks)
    manager.must("pause")
    use_elsewhere(cluster, disks[1])
    refused = manager.resume()
    assert (refused["r"], refused["code"]) == (ESTALE, E_STALE), refused
    assert disks[1] in refused["text"] and "version 1 then, 2 now" in refused["text"]
    assert host.holds(vm.pid) == {}
    # What nobody else has used is as it was, and can still be resumed.
    assert [host.version(disk) for disk in disks] == [1, 2, 1]
    end(vm, manager)


def test_who_comes_too_early_spoils_nothing(cluster, host):
    disks = [cluster.disk() for _ in range(2)]
    vm = host.started("vm", *disks)
    manager = host.manager(vm, *disks)
    state = manager.must("inquire")["state"]
    manager.must("disk", what="detach", path=disks[0])
    moved = cluster[1].vm("vm", *disks)
    moved.must("start", paused=True)
    mover = cluster[1].manager(moved, *disks)
    # The one is free already, the other is not.
    assert mover.resume(state=state)["r"] == EBUSY
    assert cluster[1].holds(moved.pid) == {} and host.version(disks[0]) == 1
    manager.must("disk", what="detach", path=disks[1])
    mover.must("resume", state=state)
    assert cluster[1].holds(moved.pid) == {key_of(disk): 2 for disk in disks}
    end(vm, moved, manager, mover)


def test_a_second_pause_forgets_nothing(cluster, host):
    disk = cluster.disk()
    vm = host.started("vm", disk)
    manager = host.manager(vm, disk)
    state = manager.must("pause")["state"]
    assert manager.must("pause")["state"] == state
    use_elsewhere(cluster, disk)
    assert manager.resume()["r"] == ESTALE
    assert manager.resume(state=state)["r"] == ESTALE
    # Who knows better says so.
    assert manager.resume(state="")["r"] == 0
    end(vm, manager)


def test_what_is_attached_to_a_paused_vm_is_no_strangers_use(cluster, host):
    disks = [cluster.disk() for _ in range(2)]
    vm = host.started("vm", *disks)
    manager = host.manager(vm, *disks)
    manager.must("pause")
    manager.must("disk", what="detach", path=disks[1])
    manager.must("disk", what="attach", path=disks[1])
    manager.must("resume")
    assert host.holds(vm.pid) == {key_of(disks[0]): 2, key_of(disks[1]): 2}
    end(vm, manager)


@pytest.mark.parametrize("state", ["nonsense", "a:b:c", f"{DISKS}:k:/p:0:1  ", "a:b:/c:0:1\tx",
                                   "x" * 9000])
def test_a_text_that_is_no_state_is_refused(cluster, host, state):
    disk = cluster.disk("states")
    vm = host.started("vm", disk)
    manager = host.manager(vm, disk)
    manager.must("pause")
    assert manager.resume(state=state)["r"] == EINVAL
    end(vm, manager)


# ---- who is not under lock control --------------------------------------------------------------

def test_a_process_that_is_not_registered_is_never_taken_for_locked(cluster, host):
    disk = cluster.disk()
    stranger = host.vm("stranger")
    manager = host.manager(stranger, disk)
    refused = manager.resume()
    assert (refused["r"], refused["code"]) == (ESRCH, E_INVALID)
    assert "not under lock control" in refused["text"]
    assert manager.must("pause")["state"] is None
    end(stranger, manager)


@pytest.mark.parametrize("action", ["warn"])
def test_an_action_that_sanlock_has_not_is_refused_in_words(host, action):
    host.configure(on_lost=action)
    vm = host.vm("vm")
    refused = vm.start()
    assert (refused["r"], refused["code"]) == (EOPNOTSUPP, E_UNSUPPORTED)
    assert "on_lost" in refused["text"]
    end(vm)


# ---- a daemon that does not answer ---------------------------------------------------------------

def test_a_stopped_daemon_keeps_nobody_beyond_the_deadline(cluster, host):
    disk = cluster.disk()
    vm = host.started("vm", disk)
    starter = host.vm("starter", cluster.disk(), timeout_ms=500)
    manager = host.manager(vm, disk, timeout_ms=500)
    host.freeze()
    try:
        begun = time.monotonic()
        assert starter.start()["r"] == ETIMEDOUT
        assert manager.resume()["r"] == ETIMEDOUT
        assert time.monotonic() - begun < 5
    finally:
        host.thaw()
    until(lambda: host.holds(starter.pid) is None, "the connection was given up")
    end(vm, starter, manager)


# ---- files ---------------------------------------------------------------------------------------

def test_starters_on_all_hosts_at_once_make_one_lease_file(cluster):
    for _ in range(4):
        disk = cluster.disk()
        vms = [cluster[i % 2].vm(f"vm{i}", disk) for i in range(6)]
        for vm in vms:
            vm.begin("start")
        answers = [vm.answer("start") for vm in vms]
        assert sorted(answer["r"] for answer in answers) == [EBUSY] * 5 + [0], answers
        assert not leftovers(cluster)
        end(*vms)


def test_a_lease_file_that_another_is_formatting_is_waited_for(cluster, host):
    disk = cluster.disk()
    lease = cluster.lease_of(disk)
    cluster.make_area(lease[2])
    vm = host.vm("vm", disk)
    vm.begin("start")
    assert not vm.has_answered(0.3)
    host.asker.must("write_resource", lease)
    assert vm.answer("start")["r"] == 0
    end(vm)


def test_a_directory_that_is_missing_is_said_so(cluster, host):
    host.configure(disk_lease_dir=os.path.join(cluster.folder, "none"))
    vm = host.vm("vm", cluster.disk())
    refused = vm.start()
    assert refused["r"] == ENOENT and os.path.join(cluster.folder, "none") in refused["text"]
    end(vm)


@pytest.mark.parametrize("setting,value", [("disk_lease_dir", "/a b"), ("disk_lease_dir", "x"),
                                           ("host_id", 2001), ("user", "no such user"),
                                           ("group", "no such group"), ("io_timeout", -1)])
def test_a_setting_that_cannot_be_is_refused_by_its_name(host, setting, value):
    host.configure(**{setting: value})
    vm = host.raw()
    from hftest.peers import Peer
    made = Peer(host.nursery, {"HOME": host.directory, **host.env})
    answer = made.new(name="vm", driver="sanlock", config=host.conf)
    assert answer["r"] == EINVAL and answer["code"] == E_CONFIG
    assert setting in answer["text"] and host.conf in answer["text"]
    end(vm, made)
