# SPDX-License-Identifier: LGPL-2.1-or-later
"""A real QEMU without any right, with a guest that reserves real disks through our helper."""

import shutil
import tempfile

import pytest

from . import nested


@pytest.fixture(scope="module")
def lab(guests):
    folder = tempfile.mkdtemp(prefix="hf-")
    try:
        yield guests.run("pr_qemu", {"nested": nested.Nested(folder).arguments})
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_qemu_is_connected(lab):
    lab.proves("QEMU is connected")


def test_a_guest_registers_and_reserves_through_scsi_block(lab):
    lab.proves("a guest registers")
    lab.proves("a guest reads the keys of all")
    lab.proves("a guest reads what the disk can")
    lab.proves("a guest reserves")
    lab.proves("the reservation is on the disk")


def test_a_guest_meets_a_conflict(lab):
    lab.proves("a guest meets a conflict")


def test_a_guest_releases(lab):
    lab.proves("a guest releases")
    lab.proves("the reservation is gone from the disk")


def test_a_guest_does_not_notice_that_the_helper_was_started_anew(lab):
    lab.proves("a guest does not notice that the helper was started anew")
    lab.proves("QEMU says that the helper went and came")
    lab.proves("QEMU is connected again")


def test_a_command_waits_for_the_helper_that_comes(lab):
    lab.proves("QEMU says that it has none")
    lab.proves("a command waits for the helper that comes")


def test_all_end_well(lab):
    lab.proves("QEMU ends as its guest does")
    lab.proves("the helper ends when it is told to")
