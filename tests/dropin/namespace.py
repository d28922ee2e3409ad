# SPDX-License-Identifier: LGPL-2.1-or-later
"""Private mount, network and pid namespaces in which a whole host's daemons run.

Mounts: the daemons use their default paths and yet touch nothing of the machine. Network: their
firewall rules, bridges and abstract sockets stay inside. Pids: whatever the daemons fork, however
often it detaches, ends with the first process of the namespace, which ends with us.

Every pid that this module takes or returns is a pid inside. Files are reached from outside below
`root`.
"""
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent

# Longest time that any single step may take. Far above what is ever needed (a start takes below
# a second), far below the patience of whoever waits for a test run that hangs.
DEADLINE_S = 30

# What every program of a lab gets: English messages, and the packaged programs before any others.
ENVIRONMENT = {**os.environ, "LC_ALL": "C", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}


class LabError(Exception):
    """The lab itself is broken. Never an AssertionError: no test may take it for its finding."""


def until(condition, what, deadline_s=DEADLINE_S):
    """Polls until condition() is true and returns that value; fails the test at the deadline."""
    end = time.monotonic() + deadline_s
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"waited {deadline_s} s in vain: {what}"
        time.sleep(0.01)


class Namespace:
    """`tmpfs`: paths that get an empty private tmpfs. `bind`: (source, target) pairs."""

    def __init__(self, tmpfs=(), bind=()):
        self._unshare = subprocess.Popen(
            ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc",
             "--propagation", "private", sys.executable, str(HERE / "namespace_init.py")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        plan = {"tmpfs": list(map(str, tmpfs)), "bind": [list(map(str, b)) for b in bind]}
        try:
            self._unshare.stdin.write(json.dumps(plan) + "\n")
            self._unshare.stdin.flush()
            answer = self._unshare.stdout.readline()
        except OSError as error:
            answer = str(error)
        if answer != "ready\n":
            self.close()
            raise LabError(f"cannot make the lab's namespaces: {answer!r}")
        task = pathlib.Path(f"/proc/{self._unshare.pid}/task/{self._unshare.pid}/children")
        self._init = task.read_text().split()[0]
        self.root = pathlib.Path(f"/proc/{self._init}/root")
        self._enter = ["nsenter", "-t", self._init, "-m", "-n", "-p", "--"]

    def run(self, argv, deadline_s=DEADLINE_S, env=None):
        """Runs a command to its end; returns subprocess.CompletedProcess with text output."""
        try:
            return subprocess.run(self._enter + list(map(str, argv)), stdin=subprocess.DEVNULL,
                                  capture_output=True, text=True, timeout=deadline_s,
                                  env=env or ENVIRONMENT, check=False)
        except subprocess.TimeoutExpired as error:
            raise LabError(f"no end after {deadline_s} s: {' '.join(map(str, argv))}") from error

    def spawn(self, argv, log, env=None):
        """Starts a daemon that appends its output to the file `log`; returns its pid."""
        script = 'log=$1; shift; setsid "$@" </dev/null >>"$log" 2>&1 & echo $!'
        done = self.run(["sh", "-c", script, "sh", str(log)] + list(map(str, argv)), env=env)
        return int(done.stdout)

    def alive(self, pid):
        return (self.root / "proc" / str(pid)).exists()

    def kill(self, pid, number):
        """Sends one signal to one process."""
        done = self.run(["kill", f"-{int(number)}", str(pid)])
        if done.returncode:
            raise LabError(done.stderr)

    def stop(self, pid):
        """Ends a process: asks, and after half of the deadline insists."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if not self.alive(pid):
                return
            self.run(["kill", f"-{int(number)}", str(pid)])
            end = time.monotonic() + DEADLINE_S / 2
            while self.alive(pid) and time.monotonic() < end:
                time.sleep(0.01)
        if self.alive(pid):
            raise LabError(f"process {pid} does not die")

    def listening(self, path):
        """Whether some process of the namespace listens on this Unix socket. Connects to nobody."""
        accepting = "00010000"
        table = (pathlib.Path("/proc") / self._init / "net/unix").read_text()
        return any(row[3] == accepting and row[-1] == str(path)
                   for row in map(str.split, table.splitlines()[1:]))

    def close(self):
        """Ends the namespace and everything in it; waits for that."""
        for stream in (self._unshare.stdin, self._unshare.stdout):
            try:
                stream.close()
            except OSError:
                pass
        try:
            self._unshare.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            self._unshare.kill()
            self._unshare.wait()
