# SPDX-License-Identifier: LGPL-2.1-or-later
"""Hosts on one filesystem whose locks are worth less than they seem: check warns, run where two
hosts are at odds, and explain tells who has it at another host and what to do."""

import pytest

from .jobs.dangers import VERSION_3


@pytest.fixture(scope="module")
def lab(guests):
    return guests.run("dangers")


@pytest.mark.parametrize("sentence", [
    "another lockspace directory is warned of",
    "a lock on the disk itself where others have a lockspace is warned of",
    "a lockspace that other hosts do not see is warned of",
    "a kernel that takes lost locks again is warned of",
    "a machine with this host's NFS client id is warned of",
    "a lock on a device node is warned of",
    *(f"{options} is warned of" for options in VERSION_3)])
def test_check_warns_of_it_and_is_strict_when_it_is_to_be(lab, sentence):
    lab.proves(sentence)
    lab.proves(f"{sentence}, and --strict answers no")


def test_run_warns_of_a_host_that_locks_the_disk_elsewhere(lab):
    lab.proves("run warns of it, each time")


def test_run_refuses_a_disk_that_another_host_has_locked_itself(lab):
    lab.proves("a disk that nobody has is not warned of")
    lab.proves("a lockspace where others lock the disk itself is warned of")
    lab.proves("run sees the lock on the disk itself, and does not start")
    lab.proves("it starts when that lock is gone")


def test_a_copy_of_this_machine_that_has_the_lock_is_warned_of(lab):
    lab.proves("so is a copy of this machine that has the lock now")


def test_what_is_well_is_not_warned_of(lab):
    lab.proves("the same directory is not warned of")
    lab.proves("a kernel that does not is not")
    lab.proves("what this host holds itself is not warned of")
    lab.proves("a lockspace on NFS cures that")


def test_the_daemon_says_that_it_cannot_notice_lost_locks(lab):
    lab.proves("the daemon says so when it has such a lock")


def test_vm_and_host_of_a_lock_file_are_named_elsewhere(lab):
    lab.proves("check names VM and host by the lock file")
    lab.proves("so does who")
    lab.proves("so does the refusal of run")


def test_what_a_lock_is_worth_is_what_its_lock_file_is_worth(lab):
    lab.proves("what the lock would be worth is that of the lock file")
    lab.proves("ps says cluster-advisory of a lock file on NFS")
    lab.proves("its lock is said to be worth host")
    lab.proves("ps says host of a lock file on tmpfs")


@pytest.mark.parametrize("options", VERSION_3)
def test_what_a_lock_on_nfs_version_3_is_worth(lab, options):
    lab.proves(f"a lock on {options} is said to be worth host, and why")


def test_explain_tells_of_a_holder_elsewhere_and_what_to_do(lab):
    lab.proves("explain knows that it is held elsewhere")
    lab.proves("explain names VM, process and host")
    lab.proves("explain tells the seconds of the lease")
    lab.proves("explain says where to go on")


def test_explain_tells_of_the_last_holder_and_what_it_advises_succeeds(lab):
    lab.proves("a VM whose daemon is stopped still has it")
    lab.proves("explain tells of the last holder when all of its host's has died")
    lab.proves("and what it advises succeeds")


def test_explain_does_not_know_whom_a_stock_virtlockd_has_it_for(lab):
    lab.proves("whom a stock virtlockd has it for is unknown to explain")


def test_the_image_of_a_cloud_hypervisor_elsewhere_is_refused(lab):
    lab.proves("a QEMU on the image of a cloud-hypervisor elsewhere is refused")
    lab.proves("explain says that somebody elsewhere has it")
    lab.proves("with a lockspace the cloud-hypervisor elsewhere is named")


def test_a_cloud_hypervisor_does_not_start_on_the_image_of_a_vm_elsewhere(lab):
    lab.proves("a cloud-hypervisor does not start on the image of a VM elsewhere")
