# SPDX-License-Identifier: LGPL-2.1-or-later
"""One file is one resource, by whatever name a domain calls it.

virtlockd compares names. What is more, it opens the file once per name, and POSIX locks know
neither two openers in one process nor more than one close: the first close drops them all.
"""
import os

import pytest

from .lab import Disk
from .words import names

GRANTS = "virtlockd grants each name of a file once"


def symlink(disk):
    path = disk.with_name("symlink.raw")
    path.symlink_to(disk)
    return path


def hard_link(disk):
    path = disk.with_name("hardlink.raw")
    path.hardlink_to(disk)
    return path


def dot(disk):
    return f"{disk.parent}/./{disk.name}"


def linked_directory(disk):
    path = disk.parent.with_name(disk.parent.name + "-link")
    path.symlink_to(disk.parent, target_is_directory=True)
    return path / disk.name


def aliases(*makers):
    return pytest.mark.parametrize("alias", makers, ids=lambda alias: alias.__name__)


def in_mode(mode):
    """For what holds, or can be asked, only where locks are taken in this way."""
    return pytest.mark.parametrize("mode", [mode], indirect=True)


@aliases(symlink, hard_link, dot, linked_directory)
@pytest.mark.stock_breaks(GRANTS)
def test_a_start_on_another_name_of_a_busy_disk_is_refused(lab, disk, alias):
    holder, second = lab.started(disk), lab.vm(alias(disk))
    assert names(second.refused_start(), holder)
    assert (holder.state, second.state) == ("running", "shut off")
    assert lab.lock(disk) == "exclusive"


@aliases(symlink, hard_link, dot)
@pytest.mark.stock_breaks(GRANTS)
def test_a_start_on_the_plain_name_of_a_disk_busy_by_an_alias_is_refused(lab, disk, alias):
    name = alias(disk)
    holder, second = lab.started(name), lab.vm(disk)
    second.refused_start()
    assert holder.state == "running"
    assert lab.lock(name) == "exclusive"


@aliases(symlink, hard_link, dot)
@pytest.mark.stock_breaks("virtlockd grants the second name, and with locks on the images it "
                          "drops the first VM's lock when the second VM ends")
def test_a_vm_that_tried_another_name_takes_nothing_from_the_holder(lab, disk, alias):
    holder, second = lab.started(disk), lab.vm(alias(disk))
    if second.try_start():
        second.die()
    third = disk.with_name("third.raw")
    third.hardlink_to(disk)
    lab.vm(third).refused_start()
    assert holder.state == "running"
    assert lab.lock(disk) == "exclusive"


@aliases(symlink, hard_link)
@pytest.mark.stock_breaks(GRANTS)
def test_a_resume_on_another_name_of_a_busy_disk_is_refused(lab, disk, alias):
    first = lab.started(alias(disk))
    first.suspend()
    second = lab.started(disk)
    first.refused_resume()
    assert (first.state, second.state) == ("paused", "running")
    second.destroy()
    lab.until_free(disk)
    first.resume()


@in_mode("direct")
@aliases(symlink, hard_link, dot)
@pytest.mark.stock_breaks(GRANTS)
def test_another_name_of_a_busy_disk_cannot_be_attached(lab, disk, disk2, alias):
    holder, vm = lab.started(disk), lab.started(disk2)
    vm.refused_attach(Disk(alias(disk)))
    assert (holder.state, vm.state) == ("running", "running")
    assert lab.lock(disk) == "exclusive"


@in_mode("file_lockspace_dir")
@aliases(symlink, hard_link, dot)
@pytest.mark.stock_breaks("it shows nothing")
def test_what_is_attached_by_a_hash_is_shown_as_known_by_its_name_only(lab, disk, disk2, alias):
    """QEMU opens the file only after the lock was granted, so no identity can be found."""
    vm, name = lab.started(disk), alias(disk2)
    vm.attach(Disk(name))
    assert lab.known_by_name_only(vm) == {lab.lock_file(disk).name: False,
                                          lab.lock_file(name).name: True}


@aliases(symlink, hard_link, dot)
@pytest.mark.stock_breaks(GRANTS)
def test_a_start_on_another_name_of_an_attached_disk_is_refused(lab, disk, disk2, alias):
    """With a lockspace directory too: QEMU has the file open by the time of the second start."""
    holder = lab.started(disk)
    holder.attach(Disk(disk2))
    assert names(lab.vm(alias(disk2)).refused_start(), holder)
    assert lab.lock(disk2) == "exclusive"


@pytest.mark.stock_breaks("the file is no longer locked by its remaining name (direct), or its "
                          "other name was never refused (lockspace directory)")
def test_a_vm_that_detaches_one_of_two_names_keeps_the_lock(lab, disk):
    other_name = hard_link(disk)
    second_disk = Disk(other_name)
    vm = lab.started(disk, second_disk)
    vm.detach(second_disk)
    assert lab.lock(disk) == "exclusive"
    for name in (disk, other_name):
        lab.vm(name).refused_start()
    vm.destroy()
    lab.until_free(disk)
    lab.started(other_name)


def test_two_files_of_one_base_name_do_not_conflict(lab, disk, tmp_path):
    os.mkdir(tmp_path / "other")
    twin = (tmp_path / "other" / disk.name)
    twin.write_bytes(disk.read_bytes())
    lab.started(disk)
    lab.started(twin)
    assert lab.lock(disk) == lab.lock(twin) == "exclusive"
