# SPDX-License-Identifier: LGPL-2.1-or-later
"""Stock libvirtd starts our helper for a VM with managed reservations, as it starts QEMU's."""

import pytest


@pytest.fixture(scope="module")
def lab(guests):
    return guests.run("pr_libvirt")


def test_libvirt_starts_our_helper_for_managed_reservations(lab):
    lab.proves("libvirt starts our helper")
    lab.proves("the VM is connected to it")
    lab.proves("it changes the disk's registrations")


def test_the_helper_ends_with_the_vm(lab):
    lab.proves("it ends with the VM and leaves no socket")
