# SPDX-License-Identifier: LGPL-2.1-or-later
"""Two hosts hammer one lookaside file on NFS, which comes and goes meanwhile.

HF_RACE_SECONDS is how long each pair of hosts does so.
"""

import os

import pytest

from . import guest

PAIRS = {"ab": "a and b", "as": "a and s"}
SECONDS = int(os.environ.get("HF_RACE_SECONDS", "12"))
LIMIT = len(PAIRS) * SECONDS + guest.JOB_DEADLINE

pytestmark = pytest.mark.timeout(LIMIT + 60)


@pytest.fixture(scope="module")
def lab(guests):
    return guests.run("race", {"seconds": SECONDS, "pairs": list(PAIRS)},
                      timeout=LIMIT)


@pytest.mark.parametrize("pair", PAIRS.values(), ids=["two holdfastd", "holdfastd and virtlockd"])
def test_a_file_that_comes_and_goes_never_has_two_holders(lab, pair):
    lab.proves(f"{pair}: never two holders")


@pytest.mark.parametrize("pair", PAIRS.values(), ids=["two holdfastd", "holdfastd and virtlockd"])
def test_whoever_asks_for_it_is_granted_or_refused_and_gets_it_in_the_end(lab, pair):
    lab.proves(f"{pair}: an acquire is granted, or refused for another holder")
    lab.proves(f"{pair}: each VM has had it")
