# SPDX-License-Identifier: LGPL-2.1-or-later
"""Processes with libholdfast in them: VMMs, and whoever manages VMs."""

import json
import os
import select
import subprocess
import sys

from .daemons import BUILD, REPO

LIBRARY = os.path.join(BUILD, "src", "client", "libholdfast.so.0")
DRIVERS = os.path.join(BUILD, "src", "driver")
PROGRAM = os.path.join(REPO, "tests", "driver", "peer.py")
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
        command = [sys.executable, "-I", "-S", PROGRAM, LIBRARY]
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


def end(vm):
    """Kills a peer that is a VM."""
    vm.process.kill()
    vm.process.wait(10)
