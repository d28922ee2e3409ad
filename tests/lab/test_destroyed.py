# SPDX-License-Identifier: LGPL-2.1-or-later
"""A host is destroyed (its guest is killed, as if the power failed) while it holds locks on NFS;
another host gets them when the lease has run out, and not before."""

import os
import time

import pytest

from . import guest
from .inside.nfs import LEASE

# The host renews its lease when a third of it is left, at the latest.
LEAST = LEASE / 3 - 1
# The server looks around every few seconds; a try that met the lease takes its time.
MOST = 2 * LEASE


@pytest.fixture(scope="module")
def lab(guests):
    wires = {name: os.path.join(guests.folder, name) for name in "ab"}
    ends = {name: guest.wire(path) for name, path in wires.items()}
    server = guests.start("destroyed", {"role": "server"}, [ends[name][0] for name in "ab"])
    server.wait_for(lambda: all(map(os.path.exists, wires.values())), "its wires", 10)
    a, b = (guests.start("destroyed", {"role": name}, [ends[name][1]]) for name in "ab")
    a.await_event("a holds both")
    b.await_event("b is ready")
    b.tell("try")
    b.await_event("b is refused both")
    killed = time.monotonic()
    a.kill()
    b.tell("a is dead")
    took = {what: b.await_event(f"b has {what}") - killed for what in ("the disk", "the lease")}
    result = b.finish()
    result.values = took
    print(f"time line of destroyed, from the death of a, with a lease of {LEASE} s:")
    for what, seconds in took.items():
        print(f"{seconds:8.2f} s  b has {what}")
    return result


@pytest.mark.parametrize("what", ["the disk", "the lease"])
def test_while_the_host_lives_its_lock_is_refused_elsewhere(lab, what):
    lab.proves(f"b is refused {what}")


@pytest.mark.parametrize("what", ["the disk", "the lease"])
def test_who_says_whose_it_was(lab, what):
    lab.proves(f"who says whose {what} was")


@pytest.mark.parametrize("what", ["the disk", "the lease"])
def test_the_lock_of_a_destroyed_host_is_free_when_its_lease_has_run_out(lab, what):
    assert LEAST < lab.values[what] < MOST, lab.values
