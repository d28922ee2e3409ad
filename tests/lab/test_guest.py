# SPDX-License-Identifier: LGPL-2.1-or-later
"""The lab itself: what goes wrong in a guest fails outside, and is shown."""

import pytest

from . import guest


@pytest.fixture(scope="module")
def broken(guests):
    """The Result of a job that breaks off."""
    started = guests.start("broken")
    started.tell("go on")
    return started.finish()


@pytest.fixture(scope="module")
def dead(guests):
    """A guest that lost its power while the job ran."""
    started = guests.start("broken")
    started.await_event("half way")
    started.kill()
    return started


def test_what_a_job_found_right_is_proved(broken):
    broken.proves("this is so")


def test_what_was_not_so_once_is_not_proved(broken):
    with pytest.raises(AssertionError, match="not the second time.*1 of 2"):
        broken.proves("this was so each time")


def test_what_a_job_never_came_to_fails_with_the_reason(broken):
    with pytest.raises(AssertionError, match="never looked at(.|\n)*what it needs is missing"):
        broken.proves("and this")


def test_a_guest_without_an_exit_status_has_failed_and_shows_what_is_known(dead):
    with pytest.raises(guest.Broken, match="ended(.|\n)*half way(.|\n)*end of the console"):
        dead.finish()


def test_a_guest_that_takes_too_long_is_ended(guests):
    started = guests.start("broken")
    with pytest.raises(guest.Broken, match="did not within 0 s"):
        started.finish(timeout=0)
    assert started.qemu.poll() is not None


def test_a_host_that_joins_cuts_no_other_one_off_from_the_server(guests):
    joined = guests.run("joining")
    joined.proves("a host reaches the server")
    joined.proves("it still does when another host has joined")


@pytest.mark.timeout(2 * guest.TEST_LIMIT)
def test_a_guest_may_have_systemd_as_its_first_process_and_no_service_of_this_machine(guests):
    first = guests.run("first_systemd", timeout=2 * guest.JOB_DEADLINE, systemd=True)
    first.proves("systemd is the first process")
    first.proves("units can be started and stopped")
    first.proves("nothing that the machine outside has enabled is running")
