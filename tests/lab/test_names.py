# SPDX-License-Identifier: LGPL-2.1-or-later
"""Names of real disks: what lvs and scsi_id say of volumes and SCSI disks, and what we do."""

import pytest


@pytest.fixture(scope="module")
def lab(guests):
    return guests.run("names")


def test_the_commands_that_libvirt_runs_know_the_labs_disks(lab):
    lab.proves("the commands know the disks of the lab")
    lab.proves("a disk has one name by both its paths")
    lab.proves("different disks have different names")


def test_our_names_are_those_that_libvirt_makes(lab):
    if not lab.values["name-of"]:
        pytest.skip("the program that prints our names is not built")
    lab.proves("our names are those that libvirt makes")


def test_one_disk_by_two_paths_on_two_hosts_belongs_to_one_vm(lab):
    lab.proves("one disk by two paths belongs to one VM on two hosts")
