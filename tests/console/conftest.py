# SPDX-License-Identifier: LGPL-2.1-or-later
"""Fixtures of the tests of consoles: the daemon, and beneath it a guard alone."""

import os

import pytest

from hftest import consoled as lib
from hftest import holder as lone


@pytest.fixture
def consoled(nursery, folder):
    """Starts a holdfast-consoled of this test alone; called with the options of lib.Consoled."""
    def start(subdir="c", **how):
        return lib.Consoled(nursery, os.path.join(folder, subdir), **how)
    return start


@pytest.fixture
def daemon(consoled):
    """One with default settings."""
    return consoled()


@pytest.fixture
def terminal():
    """A pair of terminals: what the guest has, and the path of the other side."""
    with lib.Terminal() as pair:
        yield pair


@pytest.fixture
def lock_dir(folder):
    """As Debian's: everybody makes files, and removes only their own."""
    path = os.path.join(folder, "lock")
    os.mkdir(path)
    os.chmod(path, 0o1777)
    return path


@pytest.fixture
def holder(nursery, lock_dir):
    """Starts a guard with a stand-in for the daemon; called with the options of lone.Holder."""
    def start(**how):
        return lone.Holder(nursery, how.pop("lock_dir", lock_dir), **how)
    return start


@pytest.fixture
def line(nursery):
    """Makes terminals of which nothing is set; called with the options of lone.Terminal."""
    def make(**how):
        return lone.Terminal(nursery, **how)
    return make
