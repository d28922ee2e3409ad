# SPDX-License-Identifier: LGPL-2.1-or-later
"""docs/switching.md followed word for word, on a host with a real systemd and a real libvirt."""

import pytest

from .guest import TEST_LIMIT

TIMEOUT = 600
pytestmark = pytest.mark.timeout(TEST_LIMIT + TIMEOUT)
STEPS = ["Before", "Dry run", "Adopt", "Check", "From now on", "Back"]


@pytest.fixture(scope="module")
def lab(guests):
    return guests.run("switching", timeout=TIMEOUT, systemd=True)


@pytest.mark.parametrize("step", STEPS)
def test_each_command_of_the_guide_succeeds_and_no_domain_notices(lab, step):
    lab.proves(f"{step}: each command succeeds")
    lab.proves(f"{step}: the domains run on and were never paused")
    lab.proves(f"{step}: no disk was ever free")


def test_a_dry_run_says_what_would_be_done_and_does_not(lab):
    lab.proves("the dry run says that it can be done, and changes nothing")


def test_virtlockd_becomes_holdfastd_for_systemd_and_libvirt_as_well(lab):
    lab.proves("it says that all locks are held as before")
    lab.proves("the process is the same, and systemd's")
    lab.proves("virsh lists the same domains")
    lab.proves("holdfast ps shows each with its disk")
    lab.proves("systemctl shows the drop-in")


def test_a_reload_is_no_restart(lab):
    lab.proves("it is the same process after a reload")


def test_the_next_start_is_holdfastds_and_harms_no_domain(lab):
    lab.proves("and there once more")
    lab.proves("a restart later: the domains run on and were never paused")
    lab.proves("a restart later: no disk was ever free")
    lab.proves("the next start is holdfastd's, in its sandbox")


def test_the_way_back_leads_to_virtlockd_with_all_locks(lab):
    lab.proves("Back: the way back is looked at first")
    lab.proves("Back: virtlockd goes on with all locks")
    lab.proves("Back: the drop-in is gone")
    lab.proves("Back: the service is active")


def test_after_a_restart_the_way_back_is_refused_and_changes_nothing(lab):
    lab.proves("after a restart the way back is refused, and names who is in the way")
    lab.proves("a refused way back: the domains run on and were never paused")
    lab.proves("a refused way back: no disk was ever free")
    lab.proves("a refused way back leaves the service as it was")


def test_what_comes_next_behaves(lab):
    lab.proves("pause and resume behave afterwards")
    lab.proves("destroy and start behave afterwards")
