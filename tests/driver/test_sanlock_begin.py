# SPDX-License-Identifier: LGPL-2.1-or-later
"""The driver sanlock where there is nothing yet: lockspaces are made and joined, and a start that
is killed on its way leaves nothing behind.
"""

import os
import re
import subprocess
import time

import pytest

from hftest.processes import Nursery, until
from hftest.sanlock import DISKS, Cluster, key_of, own

EBUSY, EINVAL, ENOSPC, ETIMEDOUT = -16, -22, -28, -110
E_CONFIG, E_TIMEOUT = 6, 9
# What a start does that another process, or the next start, could see half of.
STEPS = ("connect,sendto,sendmsg,recvfrom,openat,mkdir,write,ftruncate,fchmod,fsync,link,unlink,"
         "rename,fcntl,setsockopt,close")


def end(*vms):
    for vm in vms:
        vm.process.kill()
        vm.process.wait(10)
        vm.process.stdin.close()
        vm.process.stdout.close()


@pytest.fixture(scope="module")
def nursery():
    made = Nursery()
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def cluster(nursery):
    """No lockspace has been made, and nobody has joined."""
    return Cluster(nursery, join=False)


def test_a_host_without_a_number_says_so(cluster):
    host = cluster[0]
    host.configure(host_id=None)
    vm = host.vm("vm", cluster.disk())
    refused = vm.start()
    assert refused["r"] == EINVAL and refused["code"] == E_CONFIG and "host_id" in refused["text"]
    assert not os.path.exists(cluster.lockspace)
    host.configure()
    end(vm)


def test_the_first_start_makes_the_lockspace_and_joins_it(cluster):
    vms = [host.vm("vm", cluster.disk()) for host in cluster.hosts]
    hurried = cluster[0].vm("hurried", cluster.disk(), timeout_ms=300)
    hurried.begin("start")
    for vm in vms:
        vm.begin("start")
    answer = hurried.answer("start")
    assert (answer["r"], answer["code"]) == (ETIMEDOUT, E_TIMEOUT), answer
    assert DISKS in answer["text"]
    assert [vm.answer("start")["r"] for vm in vms] == [0, 0]
    made = os.stat(cluster.lockspace)
    assert made.st_mode & 0o777 == 0o600
    assert cluster[0].asker.read_lockspace(DISKS, cluster.lockspace)["io_timeout"] == 1
    assert not [name for name in os.listdir(cluster.leases) if name.startswith(".")]
    end(hurried, *vms)


def test_another_number_than_the_joined_one_is_refused(cluster):
    join_all(cluster)
    host = cluster[0]
    host.configure(host_id=7)
    vm = host.vm("vm", cluster.disk())
    answer = vm.start()
    assert answer["r"] < 0 and "as host 1" in answer["text"] and "= 7" in answer["text"], answer
    assert not host.holds(vm.pid)
    end(vm)
    host.configure()


def test_leases_of_another_directory_than_the_joined_one_are_refused(cluster):
    """Or two hosts would have a disk, each by the lease of its own directory."""
    join_all(cluster)
    disk = cluster.disk()
    holder = cluster[0].started("holder", disk)
    other = own(make_folder(cluster, "other"))
    cluster[1].configure(disk_lease_dir=other)
    vm = cluster[1].vm("vm", disk)
    answer = vm.start()
    assert answer["r"] < 0, "two VMs have one disk"
    assert cluster.leases in answer["text"] and other in answer["text"], answer
    assert not cluster[1].holds(vm.pid)
    # The same directory by another name is none.
    cluster[1].configure(disk_lease_dir=cluster.leases + "/.")
    following = cluster[1].vm("next", cluster.disk())
    following.must("start")
    cluster[1].configure()
    end(holder, vm, following)


def make_folder(cluster, name):
    path = os.path.join(cluster.folder, name)
    os.mkdir(path)
    return path


def join_all(cluster):
    """As the first start on each host does; those that come alone have no others before them."""
    for host in cluster.hosts:
        joined = host.started("vm", cluster.disk())
        end(joined)


class Steps:
    """A VMM to be, that is killed at a system call of its start."""

    def __init__(self, nursery, vm, number):
        self.log = os.path.join(vm.folder, f"steps-{vm.pid}")
        inject = [] if number is None else ["-e", f"inject={STEPS}:signal=SIGKILL:when={number}"]
        self.tracer = nursery.spawn(
            ["strace", "-qq", "-e", f"trace={STEPS}", "-o", self.log, *inject, "-p", str(vm.pid)],
            stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(lambda: traced(vm.pid), "strace is attached")

    def count(self):
        self.tracer.wait(10)
        with open(self.log, encoding="utf-8") as text:
            return sum(bool(re.match(r"\w+\(", line)) for line in text)


def traced(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as status:
        return not re.search(r"^TracerPid:\s*0$", status.read(), re.M)


def killed_at(cluster, nursery, number):
    """Starts a VM and kills it at that step; returns the disk."""
    disk = cluster.disk()
    vm = cluster[0].vm("vm", disk)
    vm.folder = cluster.runs
    steps = Steps(nursery, vm, number)
    vm.begin("start")
    until(lambda: vm.process.poll() is not None or vm.has_answered(), "it is over")
    end(vm)
    return disk, steps.count()


def test_a_start_that_is_killed_at_any_step_leaves_no_lease_and_no_half_made_file(cluster, nursery):
    join_all(cluster)
    _, total = killed_at(cluster, nursery, None)
    assert total > 30, total
    stride = int(os.environ.get("HF_SANLOCK_KILL_STRIDE", "3"))
    for number in range(1, total + 1, stride):
        disk, _ = killed_at(cluster, nursery, number)
        # Whoever comes next finds a lease that is whole, or none, and nobody who has it.
        path = cluster.lease_of(disk)[2]
        if os.path.exists(path):
            assert cluster[1].asker.read_resource(cluster.lease_of(disk))["r"] == 0, number
        following = cluster[1].vm("next", disk)
        until(lambda: following.start()["r"] == 0, f"it can be had (step {number})")
        assert set(cluster[1].holds(following.pid)) == {key_of(disk)}
        end(following)


def test_a_host_that_is_silent_is_not_waited_for(cluster):
    """The last, for it harms the host: without OWNER_NOWAIT it would be until the host is given up."""
    join_all(cluster)
    disk = cluster.disk()
    holder = cluster[1].started("holder", disk)
    vm = cluster[0].vm("late", disk)
    cluster[1].freeze()
    begin = time.monotonic()
    vm.begin("start")
    answer = vm.answer("start")
    took = time.monotonic() - begin
    cluster[1].thaw()
    assert answer["r"] == EBUSY and took < 20, (answer, took)
    end(holder, vm)
