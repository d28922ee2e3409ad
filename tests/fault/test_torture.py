# SPDX-License-Identifier: LGPL-2.1-or-later
"""Under load, whatever is done to the daemon: each answer once and right, no lock stolen."""

import os
import sys
import time

import pytest
from hftest.files import lock_on_first_byte
from hftest.processes import until

sys.path.insert(0, os.path.dirname(__file__))

import torture  # noqa: E402

# It takes all that there is of this machine: one at a time.
pytestmark = pytest.mark.xdist_group("torture")

# What is done, and how often; by hand far more.
KINDS = {
    torture.none: 25,
    torture.reload: 25,
    torture.kill_server: int(os.environ.get("HF_KILLS", "1000")),
    torture.kill_supervisor: int(os.environ.get("HF_HEIRS", "50")),
    torture.upgrade: int(os.environ.get("HF_UPGRADES", "100")),
    torture.everything: int(os.environ.get("HF_ROUNDS", "50")),
}


@pytest.mark.parametrize("disturbance", KINDS, ids=lambda kind: kind.__name__)
def test_all_answers_are_right_and_no_lock_is_stolen(daemon, nursery, folder, disturbance):
    run = torture.Torture(nursery, folder, daemon).begin()
    begin, times = time.monotonic(), KINDS[disturbance]
    torture.disturb(run, disturbance, times)
    seconds = time.monotonic() - begin
    run.go_on()
    result = run.result()
    print(f"{disturbance.__name__} {times} times in {seconds:.1f} s: {result['requests']} requests, "
          f"{result['tries']} tries of a competitor, {result['thefts']} stolen")
    assert torture.is_perfect(result), (result, daemon.log())
    assert result["tries"] > 1000 and result["reconnects"] > 0
    files = os.path.join(folder, "files")
    paths = [os.path.join(files, name) for name in os.listdir(files) if not name.startswith("space")]
    # All owners have ended; their locks are given back as soon as the daemon has seen it.
    until(lambda: all(lock_on_first_byte(path) == "unlocked" for path in paths),
          "no lock is left that nobody owns")
