# SPDX-License-Identifier: LGPL-2.1-or-later
"""The guard of leases: hosts are cut off from their file server while their VMs hold locks.

The server's lease is 10 s. So each VM has to be dealt with 8 s after the last answer, by half of
the 2 s that are left where its monitor is silent, and before anybody else can have its lock.
"""

import pytest

TIMEOUT = 300


@pytest.fixture(scope="module")
def taken(guests):
    return guests.run("guard", {"way": "taken"}, TIMEOUT)


@pytest.fixture(scope="module")
def healed(guests):
    return guests.run("guard", {"way": "healed"}, TIMEOUT)


def test_the_lease_of_a_lock_is_watched_and_shown(taken):
    taken.proves("the lease of each lock is watched")


@pytest.mark.parametrize("vm, word", [("qemu", "paused"), ("writer", "paused"), ("killed", "dead")])
def test_a_vm_is_dealt_with_before_another_host_has_its_lock(taken, vm, word):
    taken.proves(f"the VM {vm} is {word} before its lease has ended")
    taken.proves("the other host gets the locks in the end")
    taken.proves(f"the VM {vm} is dealt with before the other host has its lock")


def test_a_vm_that_is_to_be_warned_of_runs_on_and_is_reported(taken):
    taken.proves("a VM that is to be warned of runs on")
    taken.proves("that it is in danger is reported")


def test_a_lost_lock_is_shown_and_its_vm_stays_paused(taken):
    taken.proves("a lost lock is shown as lost")
    taken.proves("a VM that lost its lock stays paused")
    taken.proves("and is shown so")
    taken.proves("the loss is reported")


def test_a_lost_lock_is_not_taken_again(taken):
    taken.proves("the same VM's acquire of it is refused")


def test_a_lost_lock_can_be_released_and_no_file_goes_with_it(taken):
    taken.proves("a lost lock can be released")
    taken.proves("then the other host's lock stands against it")
    taken.proves("a VM that has released its lost lock stays paused")
    taken.proves("the image of a lost lock is still there")


@pytest.mark.parametrize("vm", ["qemu", "mute", "writer"])
def test_a_vm_whose_lock_was_kept_continues_after_healing(healed, vm):
    healed.proves(f"the VM {vm} is paused before its lease has ended")
    healed.proves("a paused VM is shown so")
    healed.proves("a VM that kept its lock continues after healing")
    healed.proves("its lock is sound again")
    healed.proves("and was kept: the other host is refused")
    healed.proves("and it writes again")


def test_a_killed_server_is_followed_by_one_that_acts_in_time(healed):
    healed.proves("the VM served is paused before its lease has ended")


def test_a_vm_runs_on_after_the_restart_of_its_file_server(healed):
    healed.proves("a VM runs on after the restart of its server")
    healed.proves("with its lock")
    healed.proves("which is refused elsewhere after the restart")


@pytest.fixture(scope="module")
def again(guests):
    return guests.run("guard_again", {}, TIMEOUT)


@pytest.mark.parametrize("vm", ["shell", "daemonized", "served"])
def test_a_vm_that_is_not_its_first_process_or_its_daemons_first_server_is_dealt_with(again, vm):
    again.proves(f"the VM {vm} is paused before its lease has ended")
    again.proves(f"the VM {vm} continues after healing")
    again.proves(f"the lock of {vm} was kept")


def test_a_lost_lock_is_lost_for_a_daemon_that_starts_anew(again):
    again.proves("b gets the lock of a VM whose daemon is dead")
    again.proves("a lost lock is lost for the next daemon")
    again.proves("its VM stays paused")
    again.proves("nobody on its host gets it")


def test_a_lock_whose_file_another_host_removes_is_lost(again):
    again.proves("a lock whose file was removed is lost")
    again.proves("and its VM is paused")
