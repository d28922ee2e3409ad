# SPDX-License-Identifier: LGPL-2.1-or-later
"""Each allocation of one request of each kind fails once: that request may be refused, nothing
else is touched, and nothing is lost or left."""

import os

import pytest
from hftest.processes import until
from kinds import KINDS, Scene


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def kind(request, faulty, nursery, folder):
    return request.param(Scene(faulty, nursery, folder))


def play(kind, fail_at):
    """Plays it once. Returns whether it was refused."""
    fault = kind.scene.daemon.fault
    kind.before()
    assert kind.scene.rival.ping().ok
    fault.arm(kind.scene.daemon.pid, fail_at=fail_at)
    try:
        kind.act()
    except AssertionError:
        assert kind.may_fail and fault["allocations"] >= fail_at
        return True
    finally:
        fault.disarm()
    kind.after()
    return False


def test_an_allocation_that_fails_costs_its_own_request_at_most(kind):
    server = kind.scene.daemon.server_pid
    play(kind, 0)
    count = kind.scene.daemon.fault["allocations"]
    # Two turns of the loop later all that was closed is closed.
    assert kind.scene.client.ping().ok and kind.scene.client.ping().ok
    open_before = len(os.listdir(f"/proc/{server}/fd"))
    for number in range(1, count + 1):
        if play(kind, number):
            assert kind.scene.client.ping().ok and kind.scene.rival.ping().ok
            kind.scene.give_up()
    assert kind.scene.daemon.server_pid == server
    play(kind, 0)
    until(lambda: len(os.listdir(f"/proc/{server}/fd")) == open_before, "nothing is left open")
