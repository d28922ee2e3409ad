# SPDX-License-Identifier: LGPL-2.1-or-later
"""Programs that use the built library, and images for them to lock."""

import os

import pytest

from hftest.peers import Peer, sanitizer

@pytest.fixture
def plain_build():
    """For tests whose own programs load the library: they would need a sanitizer's runtime."""
    if sanitizer():
        pytest.skip("the library is built with AddressSanitizer")


@pytest.fixture
def peer(nursery, folder):
    """Makes such a process; env and uid as given."""
    def make(env, uid=None, prefix=()):
        return Peer(nursery, {"HOME": folder, **env}, uid, prefix)
    return make


@pytest.fixture(params=["holdfastd", "virtlockd"])
def either(request):
    """One of the two daemons, running."""
    return request.getfixturevalue(request.param)()


@pytest.fixture
def image(folder):
    """Makes an image file."""
    def make(name="disk"):
        path = os.path.join(folder, name)
        with open(path, "wb") as out:
            out.write(b"image")
        return path
    return make


@pytest.fixture
def vmm(peer):
    """Makes a VMM on a daemon: a process with a VM object that has the given disks."""
    def make(daemon, name, *disks, via=None, flags=0, **how):
        made = peer({"HOLDFAST_RUN_DIR": daemon.run_dir})
        made.must("new", name=name, driver="lockd", via=via, **how)
        for path in disks:
            made.must("disk", what="add", path=path, flags=flags)
        return made
    return make


@pytest.fixture
def manager(peer):
    """Makes another process for a VM that runs in `of`."""
    def make(daemon, name, of, *disks, **how):
        made = peer({"HOLDFAST_RUN_DIR": daemon.run_dir})
        made.must("new", name=name, driver="lockd", pid=of.pid, **how)
        for path in disks:
            made.must("disk", what="add", path=path)
        return made
    return make
