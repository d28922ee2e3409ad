# SPDX-License-Identifier: LGPL-2.1-or-later
"""What libvirt's domains may rely on, as long as each disk has one name.

All of this, except where a mark says so, is what virtlockd does as well.
"""
import pytest

from .lab import QEMU, Disk
from .words import NAMES_NOBODY, names


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


def test_a_refused_vm_starts_when_the_holder_is_gone(lab, disk):
    first, second = lab.started(disk), lab.vm(disk)
    second.refused_start()
    first.destroy()
    lab.until_free(disk)
    second.start()
    assert lab.lock(disk) == "exclusive"


@pytest.mark.stock_breaks(NAMES_NOBODY)
def test_the_refusal_of_a_start_names_the_holder(lab, disk):
    holder, second = lab.started(disk), lab.vm(disk)
    assert names(second.refused_start(), holder)


def test_a_suspended_vm_has_no_lock_and_a_resumed_one_has_it_again(lab, disk):
    vm = lab.started(disk)
    vm.suspend()
    assert lab.lock(disk) is None
    vm.resume()
    assert lab.lock(disk) == "exclusive"


def test_resume_is_refused_while_another_vm_has_taken_the_disk(lab, disk):
    first = lab.started(disk)
    first.suspend()
    second = lab.started(disk)
    first.refused_resume()
    assert (first.state, second.state) == ("paused", "running")
    second.destroy()
    lab.until_free(disk)
    first.resume()
    assert lab.lock(disk) == "exclusive"


@pytest.mark.stock_breaks(NAMES_NOBODY)
def test_the_refusal_of_a_resume_names_the_holder(lab, disk):
    first = lab.started(disk)
    first.suspend()
    holder = lab.started(disk)
    assert names(first.refused_resume(), holder)


@pytest.mark.stock_breaks("the refused resume leaves the VM's own lock on the first disk, and "
                          "virtlockd counts that against the VM in every later resume")
def test_a_vm_resumes_after_a_resume_that_got_only_one_of_two_disks(lab, disk, disk2):
    first = lab.started(disk, disk2)
    first.suspend()
    second = lab.started(disk2)
    first.refused_resume()
    second.destroy()
    lab.until_free(disk2)
    first.resume()
    assert first.state == "running"
    assert lab.lock(disk) == lab.lock(disk2) == "exclusive"


def test_an_attached_disk_is_locked(lab, disk, disk2):
    vm, other = lab.started(disk), lab.vm(disk2)
    vm.attach(Disk(disk2))
    assert lab.lock(disk2) == "exclusive"
    other.refused_start()


def test_a_busy_disk_cannot_be_attached(lab, disk, disk2):
    holder, vm = lab.started(disk), lab.started(disk2)
    vm.refused_attach(Disk(disk))
    assert vm.plugged() == [str(disk2)]
    assert (holder.state, vm.state) == ("running", "running")
    assert lab.lock(disk) == lab.lock(disk2) == "exclusive"


@pytest.mark.stock_breaks(NAMES_NOBODY)
def test_the_refusal_of_an_attach_names_the_holder(lab, disk, disk2):
    holder, vm = lab.started(disk), lab.started(disk2)
    assert names(vm.refused_attach(Disk(disk)), holder)


def test_a_detached_disk_is_free_and_the_other_one_stays_locked(lab, disk, disk2):
    extra = Disk(disk2)
    vm, other = lab.started(disk, extra), lab.vm(disk2)
    other.refused_start()
    vm.detach(extra)
    lab.until_free(disk2)
    other.start()
    assert lab.lock(disk) == lab.lock(disk2) == "exclusive"
    assert vm.state == "running"


def test_a_disk_can_be_attached_again_after_it_was_detached(lab, disk, disk2):
    vm = lab.started(disk)
    for _ in range(2):
        extra = Disk(disk2)
        vm.attach(extra)
        assert lab.lock(disk2) == "exclusive"
        vm.detach(extra)
        lab.until_free(disk2)


def test_a_restart_of_libvirtd_leaves_domain_and_lock(lab, disk):
    vm, second = lab.started(disk), lab.vm(disk)
    pid = vm.pid
    lab.stop_libvirtd()
    assert lab.lock(disk) == "exclusive"
    lab.start_libvirtd()
    assert (vm.state, vm.pid) == ("running", pid)
    second.refused_start()
    vm.suspend()
    assert lab.lock(disk) is None
    vm.resume()
    assert lab.lock(disk) == "exclusive"
    vm.destroy()
    lab.until_free(disk)


def test_two_vms_share_a_shareable_disk_and_keep_an_exclusive_one_out(lab, disk):
    first = lab.started(Disk(disk, shareable=True))
    second = lab.started(Disk(disk, shareable=True))
    alone = lab.vm(disk)
    assert lab.lock(disk) == "shared"
    alone.refused_start()
    first.destroy()
    alone.refused_start()
    second.destroy()
    lab.until_free(disk)
    alone.start()
    assert lab.lock(disk) == "exclusive"


def test_a_shareable_disk_is_refused_while_one_vm_has_it_alone(lab, disk):
    lab.started(disk)
    lab.vm(Disk(disk, shareable=True)).refused_start()
    assert lab.lock(disk) == "exclusive"


def test_a_read_only_disk_is_not_locked(lab, disk):
    readers = [lab.started(Disk(disk, readonly=True)) for _ in range(2)]
    assert lab.lock(disk) is None
    lab.started(disk)
    assert lab.lock(disk) == "exclusive"
    assert [vm.state for vm in readers] == ["running", "running"]


def test_the_lock_of_a_killed_qemu_goes(lab, disk):
    vm, second = lab.started(disk), lab.vm(disk)
    vm.die()
    lab.until_free(disk)
    second.start()
    assert lab.lock(disk) == "exclusive"


def test_a_killed_qemu_takes_nothing_from_other_vms(lab, disk, disk2):
    killed, other = lab.started(disk), lab.started(disk2)
    killed.die()
    lab.until_free(disk)
    assert lab.lock(disk2) == "exclusive"
    assert other.state == "running"


def test_a_saved_vm_has_no_lock_and_a_restored_one_has_it_again(lab, disk, tmp_path):
    vm = lab.started(disk)
    lab.virsh("save", vm.name, tmp_path / "saved")
    lab.until_free(disk)
    lab.virsh("restore", tmp_path / "saved")
    assert vm.state == "running"
    assert lab.lock(disk) == "exclusive"


def test_qemus_own_image_locks_and_ours_live_together(lab, disk):
    first = lab.started(disk, emulator=QEMU)
    assert lab.lock(disk) == "exclusive"
    second = lab.vm(disk, emulator=QEMU)
    # Which of the two refuses is not ours to say: QEMU looks first.
    with pytest.raises(AssertionError, match="lock|busy"):
        second.start()
    first.suspend()
    first.resume()
    assert first.state == "running"
    assert lab.lock(disk) == "exclusive"
    first.destroy()
    lab.until_free(disk)
    second.start()
