# SPDX-License-Identifier: LGPL-2.1-or-later
"""The driver sanlock, with real daemons: what is peculiar to it.

What all drivers have in common is in test_contract.py.
"""

import os

import pytest

from hftest.processes import Nursery, until
from hftest.sanlock import DISKS, Cluster, key_of

EX, SHARED, READONLY = 0, 2, 1
EBUSY, ESTALE, EOPNOTSUPP, EINVAL = -16, -116, -95, -22


@pytest.fixture(scope="module")
def cluster():
    nursery = Nursery()
    try:
        yield Cluster(nursery)
    finally:
        nursery.close()


@pytest.fixture
def vms(cluster):
    """Ends what a test has started, so that the next one finds nothing held."""
    started = []
    yield started
    for vm in started:
        vm.process.kill()
        vm.process.wait(10)


def test_a_start_takes_the_lease_that_libvirt_would_take(cluster):
    host, disk = cluster[0], cluster.disk()
    vm = host.vm("vm", disk)
    answer = vm.must("start")
    assert answer["fd"] >= 3 and not answer["cloexec"]
    assert host.holds(vm.pid) == {key_of(disk): 1}
    assert host.owner(disk) == host.id
    assert os.stat(cluster.lease_of(disk)[2]).st_mode & 0o777 == 0o600
    assert not [name for name in os.listdir(cluster.leases) if name.startswith(".")]
    other = cluster[1].vm("other", disk)
    refused = other.start()
    assert refused["r"] == EBUSY, refused
    vm.process.kill()
    until(lambda: other.start()["r"] == 0, "the other host has it")


def test_a_vm_gives_back_and_takes_again_by_its_pid(cluster):
    host, disks = cluster[0], [cluster.disk() for _ in range(3)]
    vm = host.started("vm", *disks)
    manager = host.manager(vm, *disks)
    state = manager.must("pause")["state"]
    assert host.holds(vm.pid) == {}
    assert len(state.split()) == 3
    manager.must("resume", state=state)
    assert host.holds(vm.pid) == {key_of(disk): 2 for disk in disks}
