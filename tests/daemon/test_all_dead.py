# SPDX-License-Identifier: LGPL-2.1-or-later
"""All processes of the daemon are killed at once, with a service manager that keeps the
descriptors of its locks: nobody gets a lock, and the next daemon has them all."""

import os
import signal
import time

import pytest
from hftest.competitor import Competitor
from hftest.fdstore import FdStore
from hftest.files import lock_on_first_byte
from hftest.processes import until
from hftest.wire import AUTOCREATE, SHARED, Owner

BUSY = (87, 51)

# How long nobody of ours lives.
DEAD_SECONDS = 0.15


@pytest.fixture
def store(nursery, folder):
    return FdStore(nursery, folder)


@pytest.fixture
def kept(holdfastd, store):
    """A daemon whose descriptors are kept."""
    return store.start(holdfastd(start=False))


def take(daemon, name, vm, *paths, flags=0, space=""):
    with daemon.connect_as(Owner(name, vm.pid)) as client:
        for path in paths:
            answer = client.acquire(path, space, flags)
            assert answer.ok, answer


def refusal(daemon, nursery, path, flags=0):
    """What somebody else is told who wants the disk."""
    with daemon.connect_as(Owner("other", nursery.sleeper().pid)) as other:
        answer = other.acquire(path, flags=flags)
        assert answer.verdict == BUSY, answer
        return answer.error.message


def die_and_return(daemon, store, competitor):
    """Everything of ours is dead for a while; what the competitor got until all is well again."""
    competitor.count()
    daemon.kill()
    began = time.monotonic()
    tries = 0
    got = {}
    while time.monotonic() - began < DEAD_SECONDS:
        more, got_now = competitor.count()
        tries += more
        got.update(got_now)
    assert tries > 1000, "the competitor was there"
    store.start(daemon)
    _, got_now = competitor.count()
    got.update(got_now)
    return got


def test_no_lock_is_free_while_everything_of_ours_is_dead(kept, store, nursery, disk):
    alone = [disk(f"alone{i}.img") for i in range(20)]
    shared = disk("shared.img")
    one, two = nursery.sleeper(), nursery.sleeper()
    take(kept, "one", one, *alone[:10])
    take(kept, "two", two, *alone[10:])
    take(kept, "one", one, shared, flags=SHARED)
    take(kept, "two", two, shared, flags=SHARED)
    competitor = Competitor(nursery, [*alone, shared])
    for _ in range(3):
        assert die_and_return(kept, store, competitor) == {}
    for path in alone[:10]:
        assert f"one" in refusal(kept, nursery, path)
    for path in alone[10:]:
        assert str(two.pid) in refusal(kept, nursery, path)
    assert lock_on_first_byte(shared) == "read lock"
    assert len(store.names) == 1
    # One lock still, that goes as a whole.
    with kept.connect_as(Owner("one", one.pid)) as client:
        for path in alone[:10]:
            assert client.release(path).ok and lock_on_first_byte(path) == "unlocked"
        assert client.release(shared).ok
    assert lock_on_first_byte(shared) == "read lock"
    two.kill()
    two.wait()
    until(lambda: {lock_on_first_byte(p) for p in [*alone, shared]} == {"unlocked"}, "all is free")
