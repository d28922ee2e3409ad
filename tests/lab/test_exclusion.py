# SPDX-License-Identifier: LGPL-2.1-or-later
"""Three hosts on one NFS export, a and b with holdfastd, s with stock virtlockd: what one holds
the others do not get, directly and through each kind of lockspace."""

import pytest

from .jobs.exclusion import SENTENCES, SHARING, scenes

PAIRS = [pytest.param(f"{kind}: {first} then {second}", id=f"{kind}-{first}-{second}")
         for kind, _, _, pairs in scenes() for first, second in pairs]


@pytest.fixture(scope="module")
def lab(guests):
    return guests.run("exclusion")


@pytest.mark.parametrize("pair", PAIRS)
def test_one_holder_on_all_hosts(lab, pair):
    for sentence in SENTENCES:
        lab.proves(f"{pair}: {sentence}")


@pytest.mark.parametrize("pair", PAIRS)
def test_what_two_hosts_share_neither_has_alone(lab, pair):
    for sentence in SHARING:
        lab.proves(f"{pair}: {sentence}")


@pytest.mark.parametrize("host", "ab")
def test_run_does_not_start_a_vm_on_the_disk_of_a_vm_elsewhere(lab, host):
    lab.proves(f"run: {host} refuses the VM of the other host, and it does not start")


@pytest.mark.parametrize("host", "ab")
def test_run_starts_it_when_the_other_vm_has_ended(lab, host):
    lab.proves(f"run: {host} starts it when the other is gone")
