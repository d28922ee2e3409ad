# SPDX-License-Identifier: LGPL-2.1-or-later
"""Our helper at work on real disks: for a process without any right, and beside a command that
never comes back."""

import pytest


@pytest.fixture(scope="module")
def lab(guests):
    return guests.run("pr_service")


def test_a_process_with_nothing_but_the_socket_reserves_a_real_disk(lab):
    lab.proves("the kernel refuses it to a process without rights")
    lab.proves("a process without rights registers and reserves")
    lab.proves("a process without rights sees the keys")
    lab.proves("the reservation is on the disk")
    lab.proves("a process without rights clears")


def test_a_conflict_on_a_real_disk_says_who_has_it(lab):
    lab.proves("a conflict says who has it")


def test_a_stuck_command_delays_only_its_own_connection(lab):
    lab.proves("a stuck command delays no other connection")
    lab.proves("a new connection is served beside a stuck command")
    lab.proves("the command is stuck all the time")


def test_a_helper_that_is_told_to_end_waits_for_a_stuck_command_and_leaves_its_path(lab):
    lab.proves("a helper that is told to end waits for the command in flight")
    lab.proves("another helper serves on the same path meanwhile")
    lab.proves("the other one ends when it is told to")
