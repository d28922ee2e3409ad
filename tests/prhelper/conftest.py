# SPDX-License-Identifier: LGPL-2.1-or-later
"""Fixtures of the PR helper's tests: ours and the stock one, each in this test's folder."""

import os
import shutil

import pytest

from hftest import prhelper


@pytest.fixture
def ours(nursery, folder):
    """Starts our helper; called with the options of prhelper.Helper."""
    def start(**how):
        helper = prhelper.Helper(folder, nursery=nursery, **how)
        nursery.at_end(lambda: helper.process.poll() is not None or helper.stop())
        return helper
    return start


@pytest.fixture
def stock(nursery, folder):
    """Starts QEMU's helper."""
    def start(**how):
        if not shutil.which(prhelper.STOCK):
            pytest.skip("qemu-pr-helper is not installed (Debian: qemu-system-common)")
        helper = prhelper.Helper(folder, stock=True, nursery=nursery, **how)
        nursery.at_end(lambda: helper.process.poll() is not None or helper.stop())
        return helper
    return start


@pytest.fixture
def null():
    """A descriptor that every helper answers for: it is no disk."""
    fd = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    yield fd
    os.close(fd)


@pytest.fixture
def root():
    if os.geteuid() != 0:
        pytest.skip("this needs root")
