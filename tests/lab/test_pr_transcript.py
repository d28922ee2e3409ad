# SPDX-License-Identifier: LGPL-2.1-or-later
"""Our helper answers as QEMU's does: the same requests to both about the same disks."""

import pytest

from hftest.pr_steps import differences
from hftest.pr_transcript import DELIBERATE

# A transcript of fewer steps proves too little.
ENOUGH = 200


@pytest.fixture(scope="module")
def lab(guests):
    result = guests.run("pr_transcript")
    assert "transcripts" in result.values, result.failure
    return result


def transcript(lab, turn):
    return lab.values["transcripts"][turn]


def test_qemus_helper_answers_alike_twice(lab):
    """Else the comparison would prove nothing."""
    assert not differences(transcript(lab, "stock"), transcript(lab, "stock again"))
    assert len(transcript(lab, "stock")) >= ENOUGH


def test_our_helper_answers_each_request_as_qemus_does(lab):
    found = {label: (stock, ours) for label, stock, ours
             in differences(transcript(lab, "stock"), transcript(lab, "ours"))}
    assert not {label: each for label, each in found.items() if label not in DELIBERATE}
    assert set(found) == set(DELIBERATE), "what differs on purpose is a complete list"


def test_both_helpers_end_well_when_they_are_told_to(lab):
    assert (lab.values["stock exit"], lab.values["ours exit"]) == (0, 0)
