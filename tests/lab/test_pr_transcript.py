# SPDX-License-Identifier: LGPL-2.1-or-later
"""Our helper answers as QEMU's does: the same requests to both about the same disks."""

import pytest

from hftest.pr_steps import differences

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
    assert not differences(transcript(lab, "stock"), transcript(lab, "ours"))
