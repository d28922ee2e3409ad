# SPDX-License-Identifier: LGPL-2.1-or-later
"""The toy program on the keeper, and somebody who wants its locks."""

import pytest

from hftest.keeper import Competitor, Toy


@pytest.fixture
def toy(nursery, folder):
    """Starts a toy; called with the options of Toy."""
    def start(**how):
        return Toy(nursery, folder, **how)
    return start


@pytest.fixture
def competitor(nursery):
    def start(of):
        return Competitor(nursery, of)
    return start
