# SPDX-License-Identifier: LGPL-2.1-or-later
"""Under load, whatever is done to the daemon: each answer once and right, no lock stolen."""

import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))

import torture  # noqa: E402

KINDS = [torture.none, torture.reload]


@pytest.mark.parametrize("disturbance", KINDS, ids=lambda kind: kind.__name__)
def test_all_answers_are_right_and_no_lock_is_stolen(daemon, nursery, folder, disturbance):
    run = torture.Torture(nursery, folder, daemon).begin()
    torture.disturb(run, disturbance)
    run.go_on()
    result = run.result()
    assert torture.is_perfect(result), result
    assert result["tries"] > 1000 and result["reconnects"] > 0
