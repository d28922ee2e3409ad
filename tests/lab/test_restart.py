# SPDX-License-Identifier: LGPL-2.1-or-later
"""The NFS server is stopped for some seconds: who holds a lock keeps it, nobody else gets it."""

import pytest


@pytest.fixture(scope="module")
def lab(guests):
    return guests.run("restart")


EACH = pytest.mark.parametrize("what", ["the disk", "the lease"])


@EACH
def test_a_lock_survives_the_restart_of_its_server(lab, what):
    lab.proves(f"{what} is granted")
    lab.proves(f"{what} is not granted to the other host, whatever happens")
    lab.proves(f"{what} is refused to the other host after the restart")


@EACH
def test_after_the_restart_it_can_be_given_back_and_goes_to_the_other_host(lab, what):
    lab.proves(f"{what} is given back by its holder")
    lab.proves(f"{what} is granted to the other host when it was given back")
