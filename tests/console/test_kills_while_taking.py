# SPDX-License-Identifier: LGPL-2.1-or-later
"""SIGKILL for any of the guard's processes at any moment of a take, an eviction and a release."""

import os
import random
import signal
import subprocess
import time

import pytest

from hftest.holder import EVICT, USER, Holder
from hftest.processes import children, is_there, send, until

ROUNDS = int(os.environ.get("HF_KILL_ROUNDS", "40"))


def family(holder):
    """All that there is at this moment: the daemon, the guard, its second, its jobs."""
    guards = children(holder.child.pid)
    return [holder.child.pid, *guards, *(p for g in guards for p in children(g))]


def some_moment(dice):
    # Any moment will do: a step of a take lasts microseconds, looking who has it open some
    # milliseconds.
    end = time.monotonic() + dice.random() ** 2 * 0.03
    while time.monotonic() < end:
        pass


@pytest.mark.parametrize("uid", [None, USER] if os.geteuid() == 0 else [None],
                         ids=lambda uid: "root" if uid is None else "user")
def test_one_is_killed_then_the_daemon_and_nothing_stays_behind(nursery, line, lock_dir, uid):
    dice = random.Random(f"kills of {uid}")
    for number in range(ROUNDS):
        pty = line(uid=USER if os.geteuid() == 0 else None)
        holder = Holder(nursery, lock_dir, uid=uid)
        evicted = None
        if uid is None and os.geteuid() == 0 and number % 2:
            evicted = nursery.spawn(["sh", "-c", f"exec cat <{pty.path}"],
                                    stdin=subprocess.DEVNULL)
            until(lambda p=evicted, t=pty: os.readlink(f"/proc/{p.pid}/fd/0") == t.path, "open")
        until(lambda h=holder: len(family(h)) == 3, "a guard and its second")
        holder.tell(f"take 1 {EVICT} {pty.path}")
        some_moment(dice)
        if number % 3 == 0:
            holder.tell("release 1")
            some_moment(dice)
        alive = family(holder)
        # One of them; the others are to notice, and the daemon's end follows soon or late.
        send(dice.choice(alive[1:]), signal.SIGKILL)
        some_moment(dice)
        left = [pid for pid in family(holder) if pid != holder.child.pid]
        holder.kill()
        for pid in {*alive[1:], *left}:
            until(lambda p=pid: not is_there(p), f"{pid} has ended, round {number}")
        if os.geteuid() == 0:
            assert pty.opens_for_a_user(), f"round {number}"
        assert pty.is_free(lock_dir), (number, os.listdir(lock_dir))
        if evicted:
            evicted.kill()
        pty.close()
