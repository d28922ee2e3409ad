# SPDX-License-Identifier: LGPL-2.1-or-later
"""Fixtures every suite may use: a folder, a nursery of processes, the two daemons."""

import os
import shutil
import sys
import tempfile

import pytest
from _pytest.runner import runtestprotocol

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))

from hftest import daemons, processes, sanlock  # noqa: E402
from hftest.handover import Handover  # noqa: E402


def pytest_addoption(parser):
    parser.addoption("--only-stock", action="store_true",
                     help="conformance: prove the request list against stock virtlockd alone")


def pytest_collection_modifyitems(items):
    """What is about the driver sanlock alone can show nothing where it is not built."""
    if sanlock.driver_is_built():
        return
    for item in items:
        if item.path.name.startswith("test_sanlock"):
            item.add_marker(pytest.mark.skip(reason=sanlock.NOT_BUILT))


def make_folder():
    # Not tmp_path: a socket's path may have 107 bytes, and other users must get through.
    folder = tempfile.mkdtemp(prefix="hf-")
    os.chmod(folder, 0o755)
    return folder


@pytest.fixture
def folder():
    """A private folder with a short path, gone afterwards."""
    path = make_folder()
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def nursery(folder):
    """Owns this test's processes; ends after the test, before its folder."""
    owner = processes.Nursery()
    yield owner
    owner.close()


@pytest.fixture(scope="session")
def session_folder():
    path = make_folder()
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def session_nursery(session_folder):
    owner = processes.Nursery()
    yield owner
    owner.close()


@pytest.fixture
def holdfastd(nursery, folder):
    """Starts a holdfastd of this test alone; called with the options of daemons.Daemon."""
    def start(subdir="d", **how):
        return daemons.Holdfastd(nursery, os.path.join(folder, subdir), **how)
    return start


@pytest.fixture
def virtlockd(nursery, folder):
    """Starts a stock virtlockd of this test alone."""
    def start(subdir="s", **how):
        return daemons.StockVirtlockd(nursery, os.path.join(folder, subdir), **how)
    return start


@pytest.fixture
def handover(nursery, folder):
    """A stock virtlockd of this test alone that will hand itself over to our daemon."""
    def start(subdir="h", **how):
        return Handover(nursery, os.path.join(folder, subdir), **how)
    return start


@pytest.fixture
def daemon(holdfastd):
    """A holdfastd of this test alone with default configuration."""
    return holdfastd()


@pytest.fixture
def disk(folder):
    """Makes image files: disk('name') gives the path of a small, non-empty file."""
    def make(name="disk.img", content=b"guest data"):
        path = os.path.join(folder, name)
        with open(path, "wb") as out:
            out.write(content)
        return path
    return make


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item, nextitem):
    """A test of hosts with sanlock is run once more if their logs show that the disk was too slow."""
    if not {"cluster", "new_cluster", "session_nursery"} & set(getattr(item, "fixturenames", ())):
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    before = sanlock.timeouts()
    reports = runtestprotocol(item, nextitem=nextitem, log=False)
    if any(report.failed for report in reports) and sanlock.timeouts() > before:
        item._initrequest()
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def need_sanlock_driver():
    if not sanlock.driver_is_built():
        pytest.skip(sanlock.NOT_BUILT)


@pytest.fixture(scope="session")
def session_cluster(session_nursery):
    need_sanlock_driver()
    return sanlock.Cluster(session_nursery, 3)


@pytest.fixture
def cluster(session_cluster, nursery):
    """Three hosts with sanlock, for all tests that leave the hosts as they are."""
    session_cluster.guests = nursery
    return session_cluster


@pytest.fixture
def new_cluster(nursery):
    """Makes hosts of this test alone; called with the options of sanlock.Cluster."""
    def make(**how):
        need_sanlock_driver()
        return sanlock.Cluster(nursery, **how)
    return make
