# SPDX-License-Identifier: LGPL-2.1-or-later
"""The command `holdfast`, run as a user would, and the QEMUs that it is tried with."""

import json
import os
import shutil
import signal
import subprocess

import pytest

from hftest import daemons
from hftest.processes import until

HOLDFAST = os.path.join(daemons.BUILD, "src", "cli", "holdfast")
DRIVERS = os.path.join(daemons.BUILD, "src", "driver")
DEADLINE = 30


def need(tool):
    """The path of a program that a test cannot do without."""
    path = shutil.which(tool)
    assert path, f"{tool} is not installed"
    return path


def qemu(*words):
    """A command line for a small machine that never runs a guest."""
    return [need("qemu-system-x86_64"), "-accel", "tcg", "-display", "none", "-nodefaults", "-S",
            "-m", "16", *words]


def catches(pid, number):
    """Whether the process has a handler for the signal."""
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as text:
        return any(int(line.split()[1], 16) & 1 << number - 1
                   for line in text if line.startswith("SigCgt"))


def read_pid(pidfile):
    """The pid in the file, as soon as there is one."""
    def read():
        try:
            with open(pidfile, encoding="ascii") as text:
                return text.read().strip()
        except FileNotFoundError:
            return ""
    return int(until(read, f"somebody wrote {pidfile}"))


def running(nursery, pidfile):
    """The pid of a QEMU that is up: it opens images first and handles SIGTERM last."""
    pid = nursery.adopt(read_pid(pidfile))
    until(lambda: catches(pid, signal.SIGTERM), "QEMU is up")
    return pid


def start_plain_qemu(nursery, folder, path, image_format="raw"):
    """A QEMU on the image that never heard of Holdfast; its pid, when it is up."""
    pidfile = os.path.join(folder, "plain.pid")
    nursery.spawn(qemu("-pidfile", pidfile, "-drive",
                       f"file={path},format={image_format},if=virtio"))
    return running(nursery, pidfile)


def descendants(pid):
    """All processes below pid, as they are now."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as text:
            children = [int(child) for child in text.read().split()]
    except FileNotFoundError:
        return []
    return [found for child in children for found in (child, *descendants(child))]


def end(child):
    """Ends a `holdfast run` with its VM, which would outlive it otherwise."""
    if child.poll() is not None:
        return
    for pid in descendants(child.pid):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    try:
        child.wait(DEADLINE)
    except subprocess.TimeoutExpired:
        raise AssertionError(f"{child.args} goes on without its VM") from None


class Cli:
    """Runs holdfast in a world of its own: sockets, configuration and folder are the test's."""

    def __init__(self, nursery, folder, run_dir):
        assert os.access(HOLDFAST, os.X_OK), f"{HOLDFAST} is not built"
        self.nursery = nursery
        self.folder = folder
        self.config = os.path.join(folder, "config")
        os.makedirs(self.config, exist_ok=True)
        self.env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOLDFAST_RUN_DIR": run_dir,
                    "HOLDFAST_DRIVER_DIR": DRIVERS, "HOLDFAST_DAEMON": daemons.HOLDFASTD,
                    "HOME": folder, "XDG_CONFIG_HOME": self.config, "LC_ALL": "C.UTF-8"}

    def __call__(self, *words, env=None, prefix=(), **how):
        """Runs it to its end; the result is subprocess's, with text."""
        how.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.run([*prefix, HOLDFAST, *words], env={**self.env, **(env or {})},
                              cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, timeout=DEADLINE, check=False, **how)

    def start(self, *words, env=None, prefix=(), **how):
        """Starts it, to be watched; ended with the test."""
        how.setdefault("stdin", subprocess.DEVNULL)
        child = self.nursery.spawn([*prefix, HOLDFAST, *words], env={**self.env, **(env or {})},
                                   cwd=self.folder, text=True, **how)
        becomes = "--exec" in words or ("lock" in words[:1] and "--close" not in words)
        if not becomes:
            self.nursery.at_end(lambda: end(child))
        return child

    def json(self, *words):
        answer = self(*words, "--json")
        return json.loads(answer.stdout)

    def vms(self):
        """What ps tells, by name."""
        return {vm["name"]: vm for vm in self.json("ps")["vms"]}

    def holders(self, path):
        return self.json("who", path)["holders"]

    def hold(self, name, *options, vmm=None):
        """A VM that holds what the options say; returns when it does."""
        child = self.start("run", f"--name={name}", *options, "--",
                           *(vmm or ["sh", "-c", "echo up; exec sleep 600"]),
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        line = child.stdout.readline()
        assert line == "up\n", (line, child.communicate(timeout=DEADLINE))
        return child
