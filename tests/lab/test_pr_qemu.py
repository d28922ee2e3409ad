# SPDX-License-Identifier: LGPL-2.1-or-later
"""A real QEMU without any right, whose machine reserves real disks through our helper."""

import pytest


@pytest.fixture(scope="module")
def lab(guests):
    return guests.run("pr_qemu")


def test_qemu_is_connected(lab):
    lab.proves("QEMU is connected")


def test_a_vm_registers_and_reserves_through_scsi_block(lab):
    lab.proves("a VM registers")
    lab.proves("a VM reads the keys of all")
    lab.proves("a VM reads what the disk can")
    lab.proves("a VM reserves")
    lab.proves("the reservation is on the disk")


def test_a_vm_meets_a_conflict(lab):
    lab.proves("a VM meets a conflict")


def test_a_vm_releases(lab):
    lab.proves("a VM releases")
    lab.proves("the other initiator is told of it")
    lab.proves("the reservation is gone from the disk")


def test_a_vm_does_not_notice_that_the_helper_was_started_anew(lab):
    lab.proves("a VM does not notice that the helper was started anew")
    lab.proves("QEMU says that the helper went and came")
    lab.proves("QEMU is connected again")


def test_a_command_waits_for_the_helper_that_comes(lab):
    lab.proves("QEMU says that it has none")
    lab.proves("a command waits for the helper that comes")


def test_all_end_well(lab):
    lab.proves("QEMU ends well")
    lab.proves("the helper ends when it is told to")
