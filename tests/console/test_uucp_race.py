# SPDX-License-Identifier: LGPL-2.1-or-later
"""Lock files that a dead process left: of those who want them at the same moment one gets them."""

import os
import subprocess

from hftest.daemons import BUILD
from hftest.processes import kill_family, until

RACER = os.path.join(BUILD, "tests", "console", "racer")
ROUNDS = int(os.environ.get("HF_RACE_ROUNDS", "10000"))


def run(lock_dir, rounds, racers):
    done = subprocess.run([RACER, lock_dir, str(rounds), str(racers)], capture_output=True,
                          timeout=150, check=True)
    return [int(word) for word in done.stdout.split()]


def test_of_four_exactly_one_gets_it_in_every_round(lock_dir):
    assert run(lock_dir, ROUNDS, 4) == [0, ROUNDS, 0, 0]
    assert os.listdir(lock_dir) == []


def test_files_of_killed_racers_stop_nobody(lock_dir, nursery):
    """Killed at any moment, with what it made half done."""
    for _ in range(30):
        racers = nursery.spawn([RACER, lock_dir, "1000000", "2"], stdout=subprocess.DEVNULL)
        until(lambda: os.listdir(lock_dir), "they race")
        kill_family(racers.pid)
        assert run(lock_dir, 2, 2)[1:] == [2, 0, 0]
