# SPDX-License-Identifier: LGPL-2.1-or-later
"""Fixtures of the labs: the machine of all guests, and guests that end with their module."""

import os
import shutil
import tempfile

import pytest

from hftest import processes

from . import guest

# How a time line begins that a fixture prints.
TIME_LINE = "time line of "


def pytest_collection_modifyitems(items):
    """The first test of a file waits for the guest that all of them judge."""
    for item in items:
        if not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(guest.TEST_LIMIT))


@pytest.fixture(scope="session")
def machine():
    folder = tempfile.mkdtemp(prefix="hf-")
    yield guest.Machine(folder)
    shutil.rmtree(folder, ignore_errors=True)


class Guests:
    """Starts guests; what is left of them ends with the module."""

    def __init__(self, machine):
        self.machine = machine
        # A socket's path may have 107 bytes: not in pytest's own folder.
        self.folder = tempfile.mkdtemp(prefix="hf-")
        self.nursery = processes.Nursery()
        self.count = 0

    def start(self, job, arguments=None, nets=(), words="", systemd=False):
        """A guest with a job that goes on while the test does something else."""
        self.count += 1
        folder = os.path.join(self.folder, f"{self.count}-{job}")
        return guest.Guest(self.machine, self.nursery, folder, job, arguments, nets, words,
                           systemd)

    def run(self, job, arguments=None, timeout=guest.JOB_DEADLINE, words="",
            systemd=False):
        """A guest with a job, to its end. Prints the time line and gives the Result."""
        result = self.start(job, arguments, words=words, systemd=systemd).finish(timeout)
        print(f"{TIME_LINE}{job}:\n{result.timeline()}")
        return result

    def close(self):
        self.nursery.close()
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture(scope="module")
def guests(machine):
    owner = Guests(machine)
    yield owner
    owner.close()


def pytest_terminal_summary(terminalreporter):
    """The time lines, which a passed test would keep to itself."""
    for report in (r for group in terminalreporter.stats.values() for r in group):
        if getattr(report, "when", None) == "setup" and TIME_LINE in report.capstdout:
            terminalreporter.write(report.capstdout)
