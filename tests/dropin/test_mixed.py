# SPDX-License-Identifier: LGPL-2.1-or-later
"""Two hosts on the same files, one of them with stock virtlockd: the mixed cluster.

The stock daemon has POSIX locks, ours has OFD locks: they must exclude each other on the same byte,
in both directions, whoever comes first.
"""
from .lab import Disk


def test_a_disk_of_this_host_is_refused_to_the_stock_host(lab, neighbour, disk):
    here, there = lab.started(disk), neighbour.vm(disk)
    there.refused_start()
    assert here.state == "running"
    assert lab.lock(disk) == "exclusive"
    here.destroy()
    lab.until_free(disk)
    there.start()


def test_a_disk_of_the_stock_host_is_refused_to_this_host(lab, neighbour, disk):
    there, here = neighbour.started(disk), lab.vm(disk)
    here.refused_start()
    assert there.state == "running"
    assert lab.lock(disk) == "exclusive"
    there.destroy()
    lab.until_free(disk)
    here.start()


def test_both_hosts_share_a_shareable_disk_until_the_last_one_ends(lab, neighbour, disk):
    here = lab.started(Disk(disk, shareable=True))
    there = neighbour.started(Disk(disk, shareable=True))
    lab.vm(disk).refused_start()
    neighbour.vm(disk).refused_start()
    here.destroy()
    lab.vm(disk).refused_start()
    there.destroy()
    lab.until_free(disk)
    lab.started(disk)


def test_a_paused_vm_of_one_host_loses_its_disk_to_the_other(lab, neighbour, disk):
    here = lab.started(disk)
    here.suspend()
    there = neighbour.started(disk)
    here.refused_resume()
    there.suspend()
    here.resume()
    there.refused_resume()
    assert (here.state, there.state) == ("running", "paused")


def test_a_busy_disk_of_the_other_host_cannot_be_attached(lab, neighbour, disk, disk2):
    neighbour.started(disk)
    vm = lab.started(disk2)
    vm.refused_attach(Disk(disk))
    assert vm.plugged() == [str(disk2)]
