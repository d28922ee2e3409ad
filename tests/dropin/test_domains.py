# SPDX-License-Identifier: LGPL-2.1-or-later
"""What libvirt's domains may rely on, as long as each disk has one name."""
from .lab import QEMU, Disk


def test_start_takes_the_lock_and_destroy_frees_it(lab, disk):
    vm = lab.started(disk)
    assert lab.lock(disk) == "exclusive"
    vm.destroy()
    lab.until_free(disk)
    lab.started(disk)


def test_a_second_start_is_refused_and_the_first_runs_on(lab, disk):
    first, second = lab.started(disk), lab.vm(disk)
    second.refused_start()
    assert second.state == "shut off"
    assert first.state == "running"
    assert lab.lock(disk) == "exclusive"
