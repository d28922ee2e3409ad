# SPDX-License-Identifier: LGPL-2.1-or-later
"""What several tests of the daemon need."""

import pytest

from hftest.still import Still, need_stillfs


@pytest.fixture
def still(nursery, folder):
    """A filesystem that can be stopped."""
    need_stillfs()
    return Still(nursery, folder)
