# SPDX-License-Identifier: LGPL-2.1-or-later
"""Programs that use the built library, and images for them to lock."""

import json
import os
import select
import subprocess
import sys

import pytest

from hftest.daemons import BUILD

LIBRARY = os.path.join(BUILD, "src", "client", "libholdfast.so.0")
DRIVERS = os.path.join(BUILD, "src", "driver")
ANSWER_DEADLINE = 60.0


def sanitizer():
    """Environment in which Python can load the library of a build with AddressSanitizer."""
    with open(LIBRARY, "rb") as library:
        if b"libasan.so" not in library.read():
            return {}
    runtime = subprocess.run(["cc", "-print-file-name=libasan.so"], check=True,
                             capture_output=True, text=True).stdout.strip()
    # Python itself keeps memory until the end; tests/unit/client looks for leaks.
    options = os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"
    # The runtime wraps functions of libtirpc and has to find them when the program starts.
    preload = f"{os.path.realpath(runtime)}:libtirpc.so.3"
    return {"LD_PRELOAD": preload, "ASAN_OPTIONS": options,
            "UBSAN_OPTIONS": os.environ.get("UBSAN_OPTIONS", "halt_on_error=1")}


class Peer:
    """A process with libholdfast in it; its methods are the functions of peer.py."""

    def __init__(self, nursery, env, uid=None, prefix=()):
        command = [sys.executable, "-I", "-S", os.path.join(os.path.dirname(__file__), "peer.py"),
                   LIBRARY]
        if uid is not None:
            command = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--",
                       *command]
        self.process = nursery.spawn(
            [*prefix, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env={"PATH": "/usr/bin:/bin", "HOLDFAST_DRIVER_DIR": DRIVERS, **sanitizer(), **env})

    @property
    def pid(self):
        return self.process.pid

    def begin(self, verb, **arguments):
        """Asks; the answer is waited for later."""
        self.process.stdin.write(json.dumps([verb, arguments]).encode() + b"\n")
        self.process.stdin.flush()

    def ask(self, verb, **arguments):
        self.begin(verb, **arguments)
        return self.answer(verb)

    def has_answered(self, within=0):
        return bool(select.select([self.process.stdout], [], [], within)[0])

    def answer(self, verb):
        ready, _, _ = select.select([self.process.stdout], [], [], ANSWER_DEADLINE)
        assert ready, f"no answer to {verb}"
        line = self.process.stdout.readline()
        assert line, f"the program ended during {verb} ({self.process.wait(10)})"
        return json.loads(line)

    def __getattr__(self, verb):
        if verb.startswith("_"):
            raise AttributeError(verb)
        return lambda **arguments: self.ask(verb, **arguments)

    def must(self, verb, **arguments):
        answer = self.ask(verb, **arguments)
        assert answer["r"] >= 0, answer
        return answer

    def end(self):
        self.process.stdin.close()
        assert self.process.wait(10) == 0


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
