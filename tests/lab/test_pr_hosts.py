# SPDX-License-Identifier: LGPL-2.1-or-later
"""Reservations that two hosts keep together, in a store on NFS."""

import pytest

SENTENCES = (
    "both register and one reserves",
    "the other host meets a conflict",
    "the other host sees who holds",
    "a preempt removes the first host, which is told",
    "each good answer of two hosts is one step of the generation",
    "nobody waits in vain",
    "what a killed host was answered is there",
    "a host that is killed stops nobody",
    "a host that is cut off stops nobody",
    "it is answered when it is back, and what was good is kept",
)


@pytest.fixture(scope="module")
def lab(guests):
    return guests.run("pr_hosts")


@pytest.mark.parametrize("store", ["sqlite", "files"])
@pytest.mark.parametrize("sentence", SENTENCES)
def test_two_hosts_on_one_store(lab, store, sentence):
    lab.proves(f"{store}: {sentence}")
