# SPDX-License-Identifier: LGPL-2.1-or-later
"""Fixtures: one lab per mode for the whole run, clean between tests."""
import os
import shutil

import pytest

from .lab import BUILD, LIBVIRTD, QEMU, STOCK, SystemLab, make_disk

MODES = ["direct", "file_lockspace_dir"]


def pytest_addoption(parser):
    parser.addoption("--daemon", choices=["ours", "stock"], default="ours",
                     help="lock daemon behind libvirt: holdfastd below $HF_BUILD, or virtlockd")


def pytest_configure(config):
    config.addinivalue_line(
        "markers", "stock_breaks(what): a promise that virtlockd does not keep, and what it does "
        "instead. With --daemon=stock the test must fail.")


def which_daemon(config):
    # Without the default an option of a conftest that was found late would be unknown.
    return config.getoption("--daemon", default="ours")


def pytest_collection_modifyitems(config, items):
    if which_daemon(config) != "stock":
        return
    for item in items:
        for mark in item.iter_markers("stock_breaks"):
            item.add_marker(pytest.mark.xfail(reason=mark.args[0], strict=True,
                                              raises=AssertionError))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    outcome = yield
    report = outcome.get_result()
    labs = getattr(item, "labs", {})
    for name, lab in labs.items():
        logs = lab.logs_since()
        if report.failed:
            report.sections += [(f"{name}: {title}", text) for title, text in logs]


@pytest.fixture(scope="session")
def machine():
    """Skips where no lab can be."""
    if os.geteuid() != 0:
        pytest.skip("needs root: libvirtd runs in private namespaces")
    missing = [str(path) for path in (LIBVIRTD, STOCK, QEMU) if not path.exists()]
    tools = ("virsh", "unshare", "nsenter", "setpriv")
    missing += [tool for tool in tools if not shutil.which(tool)]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


@pytest.fixture(scope="session")
def build():
    return BUILD


@pytest.fixture(scope="session")
def daemon(request, machine, build):
    """The lock daemon under test."""
    if which_daemon(request.config) == "stock":
        return STOCK
    path = build / "src/daemon/holdfastd"
    assert path.exists(), f"{path} is not built (set HF_BUILD, or use --daemon=stock)"
    return path


@pytest.fixture(scope="session", params=MODES)
def mode(request):
    """Where locks are taken: on the images themselves, or on files of a lockspace directory."""
    return request.param


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def cluster(mode, tmp_path_factory):
    """The lockspace directory that the labs of one mode share, or None."""
    return None if mode == "direct" else tmp_path_factory.mktemp("lockspace")


class Keeper:
    """Makes a lab when it is first needed, and a new one after a test has broken the old one."""

    def __init__(self, make):
        self._make, self._lab = make, None

    def get(self):
        if self._lab and not self._lab.healthy():
            self.close()
        self._lab = self._lab or self._make()
        return self._lab

    def close(self):
        lab, self._lab = self._lab, None
        if lab:
            lab.close()


@pytest.fixture(scope="session")
def lab_keeper(daemon, cluster, cache, tmp_path_factory):
    keeper = Keeper(lambda: SystemLab(tmp_path_factory.mktemp("lab"), daemon, cluster, cache))
    yield keeper
    keeper.close()


@pytest.fixture(scope="session")
def neighbour_keeper(machine, cluster, cache, tmp_path_factory):
    keeper = Keeper(lambda: SystemLab(tmp_path_factory.mktemp("neighbour"), STOCK, cluster, cache))
    yield keeper
    keeper.close()


def borrowed(request, name, keeper):
    lab = keeper.get()
    lab.logs_since()
    request.node.labs = {**getattr(request.node, "labs", {}), name: lab}
    return lab


@pytest.fixture
def lab(request, lab_keeper):
    """The host with the lock daemon under test. Its domains end with the test."""
    lab = borrowed(request, "lab", lab_keeper)
    yield lab
    lab.forget_vms()
    assert lab.healthy(), "a daemon of the lab did not survive the test"


@pytest.fixture
def neighbour(request, neighbour_keeper):
    """Another host, with stock virtlockd, that sees the same files."""
    lab = borrowed(request, "neighbour", neighbour_keeper)
    yield lab
    lab.forget_vms()
    assert lab.healthy(), "a daemon of the neighbour did not survive the test"


@pytest.fixture
def disk(tmp_path):
    return make_disk(tmp_path / "disk.raw")


@pytest.fixture
def disk2(tmp_path):
    return make_disk(tmp_path / "disk2.raw")
