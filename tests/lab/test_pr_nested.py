# SPDX-License-Identifier: LGPL-2.1-or-later
"""Linux in a real QEMU without any right reserves real disks through our helper, by sg_persist."""

import shutil
import tempfile

import pytest

from . import nested

# Several times what it takes without KVM in the guest, where all is emulated twice.
LIMIT = 600
pytestmark = pytest.mark.timeout(LIMIT + 60)


@pytest.fixture(scope="module")
def lab(guests):
    folder = tempfile.mkdtemp(prefix="hf-")
    yield guests.run("pr_nested", {"made": nested.Nested(folder).folder}, timeout=LIMIT)
    shutil.rmtree(folder, ignore_errors=True)


def test_qemu_has_no_right_and_a_helper(lab):
    lab.proves("QEMU has no right")
    lab.proves("QEMU is connected")


def test_a_nested_guest_registers(lab):
    lab.proves("the nested guest registers")
    lab.proves("both are registered")


def test_a_nested_guest_reserves(lab):
    lab.proves("the nested guest reserves a free disk")
    lab.proves("the nested guest reads keys and reservation")
    lab.proves("the nested guest's reservation is on the disk")
    lab.proves("the other initiator meets a conflict")


def test_a_nested_guest_meets_a_conflict(lab):
    lab.proves("the nested guest meets a conflict")
    lab.proves("the other initiator still has its own")


def test_all_end_well(lab):
    lab.proves("QEMU ends well")
    lab.proves("the helper ends when it is told to")
