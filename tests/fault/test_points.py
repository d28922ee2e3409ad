# SPDX-License-Identifier: LGPL-2.1-or-later
"""The server is killed at each of its branches, in one request of each kind, and those that take
over as well: each request has its one right answer, nothing is lost and nothing left."""

import os
import platform
import random

import pytest

from kinds import KINDS, Scene

# Of the points of a request so many are tried, all of nearly every kind, else spread over them;
# 0: each one.
POINTS = int(os.environ.get("HF_POINTS", "1000"))
# The same for pairs: a point of the request, and one of the server that takes over.
PAIRS = int(os.environ.get("HF_PAIRS", "8"))
# And from so many points (0: each one) on after each instruction, or after each STRIDE-th.
STEPPED = int(os.environ.get("HF_STEPPED", "2"))
STRIDE = int(os.environ.get("HF_STRIDE", "7"))


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def kind(request, faulty, nursery, folder):
    return request.param(Scene(faulty, nursery, folder))


def play(kind, kill_at, steps=0):
    """Plays it once. Returns how often the daemon was killed, and what it counted after that."""
    fault = kind.scene.daemon.fault
    kind.before()
    # Answered, so it is idle.
    assert kind.scene.rival.ping().ok
    fault.arm(kind.scene.daemon.pid, kill_at, steps=steps)
    try:
        kind.act()
        assert kind.scene.rival.ping().ok
    finally:
        fault.disarm()
    kind.after()
    return fault["kills"], fault["points"]


def chosen(total, wanted):
    """All of 1 .. total, or so many of them, a different choice in each run."""
    if not wanted or wanted >= total:
        return range(1, total + 1)
    step = total / wanted
    return sorted({1 + int(step * (i + random.random())) for i in range(wanted)})


def test_killed_at_any_point(kind):
    points = play(kind, [0])[1]
    for point in chosen(points, POINTS and min(POINTS, kind.most or POINTS)):
        kills, _ = play(kind, [point])
        assert kills <= 1
    assert points > 0
    print(f"{type(kind).__name__}: {points} points")


def test_killed_at_any_point_and_again_when_another_takes_over(kind):
    points = play(kind, [0])[1]
    for first in chosen(points, 2):
        after = play(kind, [first])[1]
        for second in chosen(after, PAIRS):
            play(kind, [first, second, random.randint(1, after)])


@pytest.mark.skipif(platform.machine() != "x86_64", reason="single steps need x86's trap flag")
def test_killed_after_any_instruction(kind):
    points = play(kind, [0])[1]
    tried = 0
    for point in chosen(points, STEPPED):
        steps, kills = 1, 1
        while kills:
            kills, _ = play(kind, [point], steps)
            tried, steps = tried + kills, steps + STRIDE
    print(f"{type(kind).__name__}: {tried} instructions behind {points} points")
