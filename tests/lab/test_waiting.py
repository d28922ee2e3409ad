# SPDX-License-Identifier: LGPL-2.1-or-later
"""A host waits for a lock that another host has, without asking for it again and again."""

import pytest

# The figure is some milliseconds; all machines here are emulated, and slow.
WOKEN = 1.0


@pytest.fixture(scope="module")
def lab(guests):
    return guests.run("waiting")


@pytest.mark.parametrize("label", ["4.2", "4.1", "stand-in", "virtlockd"])
def test_a_host_is_woken_when_another_one_lets_go(lab, label):
    lab.proves(f"{label}: a has it")
    lab.proves(f"{label}: b waits while a has it")
    lab.proves(f"{label}: b gets it")
    assert lab.values[f"{label}: after"] < WOKEN


@pytest.mark.parametrize("label", ["4.2", "4.1", "stand-in", "virtlockd"])
def test_a_host_that_waits_asks_its_server_for_nothing(lab, label):
    lab.proves(f"{label}: b has asked for it")
    lab.proves(f"{label}: b waits while a has it")
    assert lab.values[f"{label}: asked"] == 0


@pytest.mark.parametrize("label", ["4.2", "4.1", "4.0", "stand-in", "virtlockd"])
def test_who_has_waited_is_named_to_other_hosts(lab, label):
    lab.proves(f"{label}: b is named to other hosts")


def test_where_the_server_wakes_nobody_it_is_had_later(lab):
    lab.proves("4.0: a has it")
    lab.proves("4.0: b gets it")


def test_a_lock_of_a_host_that_dies_is_had_after_its_lease(lab):
    lab.proves("death: a has it")
    lab.proves("death: b gets it")
