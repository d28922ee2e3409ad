# SPDX-License-Identifier: LGPL-2.1-or-later
"""The command on a private daemon, or on none."""

import glob
import os

import pytest

from hftest.command import Cli
from hftest.consoled import CONSOLED, Consoled
from hftest.daemons import is_program, read_pid
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


@pytest.fixture
def consoled(nursery, folder):
    """A holdfast-consoled of this test alone."""
    return Consoled(nursery, os.path.join(folder, "c"))


@pytest.fixture
def console_cli(nursery, folder, consoled):
    """The command with a daemon of consoles that serves; one that it starts itself is as that."""
    program = os.path.join(folder, "start-consoled")
    with open(program, "w", encoding="ascii") as out:
        out.write(f'#!/bin/sh\nexec {CONSOLED} -f {consoled.conf} "$@"\n')
    os.chmod(program, 0o755)
    cli = Cli(nursery, folder, consoled.run_dir)
    cli.env["HOLDFAST_CONSOLED"] = program

    def end_started():
        """Those that the command has started are nobody's children."""
        for pidfile in glob.glob(f"{folder}/*/holdfast/holdfast-consoled.pid"):
            pid = read_pid(pidfile)
            if pid and pid != consoled.process.pid and is_program(pid, CONSOLED):
                nursery.adopt(pid)
    nursery.at_end(end_started)
    return cli
