# SPDX-License-Identifier: LGPL-2.1-or-later
"""libvirt's domains and VMs of `holdfast run` on one host: they find the same locks.

libvirt's lockd.so and our driver make the names, each from the settings in the same
qemu-lockd.conf. The host with stock virtlockd knows nothing of Holdfast: there names are all
that the two have in common.
"""
import pytest

from .lab import lock_on, lockspace_file


@pytest.fixture(params=["ours", "stock"])
def host(request, lab, neighbour):
    return lab if request.param == "ours" else neighbour


def test_a_domains_disk_is_refused_to_holdfast_run(host, disk):
    domain = host.started(disk)
    refused = host.holdfast("run", f"--disk={disk}", "--", "echo", "started")
    assert refused.returncode == 75 and "started" not in refused.stdout, refused.stderr
    assert str(disk) in refused.stderr
    assert domain.state == "running"
    domain.destroy()
    host.until_free(disk)
    assert host.holdfast("run", f"--disk={disk}", "--", "true").returncode == 0


def test_a_disk_of_holdfast_run_is_refused_to_a_domain(host, disk):
    pid = host.holdfast_run("beside", disk)
    domain = host.vm(disk)
    domain.refused_start()
    host.ns.stop(pid)
    host.until_free(disk)
    domain.start()
    assert host.lock(disk) == "exclusive"


def test_a_domain_of_the_other_host_refuses_it_too(lab, neighbour, disk):
    domain = neighbour.started(disk)
    assert lab.holdfast("run", f"--disk={disk}", "--", "true").returncode == 75
    domain.destroy()
    neighbour.until_free(disk)
    pid = lab.holdfast_run("beside", disk)
    neighbour.vm(disk).refused_start()
    lab.ns.stop(pid)
    lab.until_free(disk)


def test_both_lock_the_same_file(host, disk):
    file = lockspace_file(host.lockspace, disk) if host.lockspace else disk
    domain = host.started(disk)
    assert lock_on(file) == "exclusive"
    domain.destroy()
    host.until_free(disk)
    pid = host.holdfast_run("beside", disk)
    assert lock_on(file) == "exclusive"
    assert not host.lockspace or set(host.lockspace.iterdir()) == {file}
    host.ns.stop(pid)
    host.until_free(disk)
