# SPDX-License-Identifier: LGPL-2.1-or-later
"""Reservations on disks with two paths, through the helper: libmpathpersist and multipathd are
the distribution's own."""

import pytest

from .jobs.pr_multipath import NAMES


@pytest.fixture(scope="module")
def lab(guests):
    return guests.run("pr_multipath")


def test_a_registration_is_made_on_all_paths_and_taken_from_all(lab):
    lab.proves("a registration reaches all paths")
    lab.proves("a registration is taken from all paths")


@pytest.mark.parametrize("step", NAMES)
def test_it_ends_as_with_mpathpersist(lab, step):
    lab.proves(f"{step}: it is good where mpathpersist's is")
    lab.proves(f"{step}: keys and reservation are as after mpathpersist")


def test_keys_reservation_and_capabilities_are_read_through_the_map(lab):
    lab.proves("the keys are read through the map")
    lab.proves("the reservation is read through the map")
    lab.proves("the capabilities are the disk's, types in their order")
    lab.proves("data below its header is cut")


def test_what_the_library_does_not_take_is_refused(lab):
    lab.proves("full status is refused")
    lab.proves("register and move is refused")
    lab.proves("more initiators than the library takes are refused")
    lab.proves("a descriptor for reading registers nothing")


def test_a_path_that_comes_back_is_registered(lab):
    lab.proves("with a path lost the other is registered")
    lab.proves("with a path lost the other reserves")
    lab.proves("a path that comes back is registered")
    lab.proves("clear takes all of it")


def test_without_any_path_nothing_is_said_to_be_good(lab):
    lab.proves("without any path it is an error of the device")


@pytest.mark.parametrize("name", ["a logical volume", "a partition by hand",
                                  "a device on a device on the map"])
def test_what_stands_on_a_map_is_the_map(lab, name):
    lab.proves(f"{name} registers on all paths of the map")
    lab.proves(f"{name} reads the keys of the map")


def test_what_would_be_reserved_in_part_is_refused(lab):
    lab.proves("a device on the map and on another disk is refused")
    lab.proves("a multipath device that multipath-tools did not make is refused")
    lab.proves("what was refused left nothing behind")


def test_a_mapped_device_of_a_plain_disk_goes_to_that_disk(lab):
    lab.proves("a mapped device of a plain disk registers with that")


@pytest.mark.parametrize("name", ["without the library", "without root", "without multipathd",
                                  "where it is left out"])
def test_it_is_refused_plainly_where_it_cannot_work(lab, name):
    lab.proves(f"{name} it is refused")
    lab.proves(f"{name} the log says why, once")
    lab.proves(f"{name} no path is registered")


def test_a_mapped_device_of_a_plain_disk_needs_no_multipath(lab):
    lab.proves("where it is left out a mapped device of a plain disk is not refused")


def test_it_works_again_when_multipathd_is_back(lab):
    lab.proves("when multipathd is back it works again")
