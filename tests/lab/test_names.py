# SPDX-License-Identifier: LGPL-2.1-or-later
"""Names of real disks: what lvs and scsi_id say of volumes and SCSI disks, and what we do."""

import pytest

from .jobs.names import KINDS, PAIRS, SENTENCES

EACH = pytest.mark.parametrize(
    "pair", [pytest.param(f"{kind}: {first} then {second}", id=f"{kind}-{first}-{second}")
             for kind in KINDS for first, second in PAIRS])


@pytest.fixture(scope="module")
def lab(guests):
    return guests.run("names")


def test_the_commands_that_libvirt_runs_know_the_labs_disks(lab):
    lab.proves("the commands know the disks of the lab")
    lab.proves("a disk has one name by both its paths")
    lab.proves("different disks have different names")


def test_our_names_are_those_that_libvirt_makes(lab):
    lab.proves("our names are those that libvirt makes")


def test_names_are_found_in_the_kernel_and_udev_and_by_programs(lab):
    assert lab.values["ways"] == ["lvm (kernel)", "lvm (lvs)", "scsi (scsi_id)", "scsi (udev)",
                                  "sha256"]


def test_a_name_is_the_same_however_a_host_finds_it(lab):
    """What follows is about hosts of which one has udev's database, and one has not."""
    assert (lab.values["scsi a"], lab.values["scsi b"]) == ("scsi (udev)", "scsi (scsi_id)")
    assert (lab.values["lvm a"], lab.values["lvm b"]) == ("lvm (kernel)", "lvm (kernel)")


@EACH
def test_one_disk_by_two_paths_on_two_hosts_belongs_to_one_vm(lab, pair):
    for sentence in SENTENCES:
        lab.proves(f"{pair}: {sentence}")
