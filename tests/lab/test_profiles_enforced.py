# SPDX-License-Identifier: LGPL-2.1-or-later
"""The daemons under AppArmor, on a distribution's kernel that enforces their profiles."""

import shutil

import pytest

DAEMONS = ("holdfastd", "holdfast-consoled", "holdfast-pr-helper")


@pytest.fixture(scope="module")
def lab(guests):
    if not shutil.which("apparmor_parser"):
        pytest.skip("apparmor_parser is not installed (Debian: apparmor)")
    return guests.run("profiles", words="security=apparmor apparmor=1")


@pytest.mark.parametrize("sentence", [
    "the kernel has AppArmor",
    "holdfastd and its server are confined",
    "a disk is kept for its VM",
    "it becomes its next version, confined as before",
    "the next one has what a VM carries",
    "it finds who has a disk open that never asked",
    "a terminal is held",
    "holdfast-consoled is confined",
    "holdfast-pr-helper serves",
    "a reservation is made",
    "holdfast-pr-helper is confined",
    "nothing that the daemons need is denied",
    *(f"who has taken {name} over reads its settings" for name in DAEMONS),
    *(f"and who has taken {name} over can do little else" for name in DAEMONS),
    "what is denied is told by the kernel's log",
])
def test_under_apparmor_it_is_so_that(lab, sentence):
    lab.proves(sentence)
