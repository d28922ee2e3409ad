# SPDX-License-Identifier: LGPL-2.1-or-later
"""Hosts with one NFS export tell who holds something at another host, by its record."""

import pytest


@pytest.fixture(scope="module")
def lab(guests):
    return guests.run("records", timeout=240)


@pytest.mark.parametrize("how", ["direct", "lockspace"])
def test_a_refusal_names_the_vm_and_the_host_that_has_it(lab, how):
    lab.proves(f"{how}: the refusal at the other host names VM and host")
    lab.proves(f"{how}: so does who")


def test_check_names_it_as_well(lab):
    lab.proves("direct: so does check")


def test_the_record_is_in_a_stand_in_and_beside_a_disk(lab):
    lab.proves("the record is in the stand-in")
    lab.proves("a record is beside a locked disk")
    lab.proves("at its own host it is a VM of the daemon")


@pytest.mark.parametrize("how", ["direct", "lockspace"])
def test_a_release_clears_the_record(lab, how):
    lab.proves(f"{how}: a release clears the record")


def test_who_holds_it_through_a_stock_virtlockd_is_unknown(lab):
    lab.proves("who holds it through virtlockd is an unknown party")
    lab.proves("for who, too")


def test_the_record_of_who_died_with_all_of_its_host_tells_of_the_last_holder(lab):
    lab.proves("who tells of the last holder when all of its host's has died, and ends with 1")
    lab.proves("in words as well")


def test_a_daemon_that_follows_another_has_the_records_too(lab):
    lab.proves("a lock that is taken again has a record of the new daemon")
    lab.proves("a server that follows a killed one clears its records")


def test_a_record_without_a_lock_keeps_nobody_off(lab):
    lab.proves("a record without a lock keeps nobody off")
    lab.proves("the new holder's record takes its place")


def test_a_lock_on_nfs_is_told_from_one_of_this_host(lab):
    lab.proves("ps says cluster-advisory of a lock on NFS")
    lab.proves("ps says host of a lock on tmpfs")
    lab.proves("a local lock has no record")
