# SPDX-License-Identifier: LGPL-2.1-or-later
"""holdfastd answers as stock virtlockd does, but for a short list of differences.

The same requests go to both daemons in one run, each in a folder of its own with the same
names inside, and the answers are compared field by field: header, error structure, texts,
whether the connection lives, how VM processes end, which files exist afterwards and what
the kernel says is locked. The requests are in the package `conformance`.
"""

import itertools
import os
import shutil

import pytest

from conformance import CASES
from conformance.differences import DIFFERENCES
from hftest import compare, conformance, daemons, processes

numbers = itertools.count()


@pytest.fixture(scope="module")
def stock(session_folder, session_nursery):
    return daemons.StockVirtlockd(session_nursery, os.path.join(session_folder, "s"))


@pytest.fixture(scope="module")
def ours(session_folder, session_nursery, request):
    if request.config.getoption("--only-stock"):
        return None
    return daemons.Holdfastd(session_nursery, os.path.join(session_folder, "h"))


@pytest.fixture
def world(session_folder):
    """Makes worlds; what lives in one ends with the test."""
    nursery = processes.Nursery()
    number = next(numbers)
    made = []

    def make(shared, case):
        daemon = shared
        # One letter per daemon: folders of equal length give names of equal length.
        letter = shared.name[0]
        folder = os.path.join(session_folder, f"{letter}{number:04}")
        if case.conf is not None:
            daemon = type(shared)(nursery, folder + "d", conf=case.conf)
        made.append((daemon, folder))
        return conformance.World(daemon, folder, nursery)

    yield make
    nursery.close()
    for daemon, folder in made:
        daemon.check_alive()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_same_answers(case, stock, ours, world):
    if case.needs_root and os.geteuid() != 0:
        pytest.skip(f"{case.needs_root}, which needs root")
    theirs = conformance.run(case, world(stock, case))
    conformance.check_stock(case, theirs)
    if ours is None:
        return
    mine = conformance.run(case, world(ours, case))
    declared, reason = DIFFERENCES.get(case.id, ({}, None))
    faults = compare.differences(theirs, mine, declared)
    assert not faults, "\n".join(faults + ([f"(declared because {reason})"] if reason else []))


def test_every_declared_difference_belongs_to_a_request():
    assert not DIFFERENCES.keys() - {case.id for case in CASES}


def test_there_are_enough_requests():
    assert len(CASES) >= 130
