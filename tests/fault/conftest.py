# SPDX-License-Identifier: LGPL-2.1-or-later
"""Fixtures of the fault kit: a daemon that fails where it is told to."""

import os

import pytest
from hftest.fault import FaultyHoldfastd


@pytest.fixture
def faulty(nursery, folder):
    return FaultyHoldfastd(nursery, os.path.join(folder, "d"))
