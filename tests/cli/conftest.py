# SPDX-License-Identifier: LGPL-2.1-or-later
"""The command on a private daemon, or on none."""

import os

import pytest

from hftest.command import Cli
from hftest.labels import Place


@pytest.fixture
def cli(nursery, folder, daemon):
    """The command with a daemon that serves already."""
    return Cli(nursery, folder, daemon.run_dir)


@pytest.fixture
def lonely(nursery, folder):
    """The command where no daemon serves and none can be started."""
    alone = Cli(nursery, folder, os.path.join(folder, "nowhere"))
    alone.env["HOLDFAST_DAEMON"] = os.path.join(folder, "no-such-daemon")
    return alone


@pytest.fixture(params=["attribute", "table"])
def place(request, cli, nursery, folder):
    """A folder for images that are given to users, by where that is remembered."""
    if os.geteuid() != 0:
        pytest.skip("needs root: images are given to other users")
    return Place(cli, nursery, folder, request.param)
