# SPDX-License-Identifier: LGPL-2.1-or-later
"""Clients that know the right answers, a competitor for every lock, and what is done to the daemon.

A disturbance is a function of a Torture that does one thing to the daemon once and returns
when the daemon is whole again. By hand: HF_KILLS=10000 HF_CLIENTS=64 and so on.
"""

import json
import mmap
import os
import random
import signal
import struct
import subprocess
import time

from hftest import daemons
from hftest.processes import children, until

PROGRAMS = os.path.join(daemons.BUILD, "tests", "fault")
RESOURCES_EACH = 4
SECONDS = float(os.environ.get("HF_SECONDS", "2"))
CLIENTS = int(os.environ.get("HF_CLIENTS", "16"))
# Longest time between two kills: short enough to meet recovery, long enough for requests.
PAUSE = 0.012


class Torture:
    """One run: begin(), disturb as you like, result()."""

    def __init__(self, nursery, folder, daemon=None, socket=None, managed=CLIENTS, own=2):
        self.nursery, self.folder, self.daemon = nursery, folder, daemon
        self.socket = socket or daemon.socket
        self.managed, self.own = managed, own
        self.table = os.path.join(folder, "table")
        self.clients = self.hammer = None
        self.random = random.Random(os.environ.get("HF_SEED"))

    def spawn(self, program, *arguments):
        path = os.path.join(PROGRAMS, program)
        assert os.access(path, os.X_OK), f"{path} is not built (-Dtests=enabled)"
        return self.nursery.spawn([path, *map(str, arguments)], stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, text=True)

    def begin(self):
        """Starts everybody; every owner holds its first resource when this returns."""
        files = os.path.join(self.folder, "files")
        os.mkdir(files)
        self.start_clients(files)
        until(lambda: all(self.held(i * RESOURCES_EACH) for i in range(self.managed + self.own)),
              "every owner holds its first resource")
        self.hammer = self.spawn("fault-hammer", files, self.table)
        until(lambda: minds(self.hammer.pid, signal.SIGTERM), "the competitor can be told to end")
        return self

    def start_clients(self, files):
        self.clients = self.spawn("fault-clients", self.socket, files, self.table, self.managed,
                                  self.own, 0)

    def held(self, resource):
        """Whether the resource is held for certain just now."""
        try:
            with open(self.table, "rb") as table, \
                    mmap.mmap(table.fileno(), 0, prot=mmap.PROT_READ) as content:
                return struct.unpack_from("=Q", content, 8 + 8 * resource)[0] % 2 == 1
        except (FileNotFoundError, ValueError):
            return False

    @staticmethod
    def ending(process):
        """What a program says when it is told to end."""
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=60)
        assert process.returncode == 0, f"{process.args}: ended with {process.returncode}"
        return json.loads(said)

    def result(self):
        """Ends the competitor, then the clients; their counts in one dictionary."""
        result = self.ending(self.hammer) if self.hammer else {}
        result |= self.ending(self.clients)
        print(json.dumps(result))
        return result

    def pause(self):
        """A random time, so that the next disturbance meets another moment."""
        time.sleep(self.random.uniform(0, PAUSE))

    def go_on(self, seconds=SECONDS):
        time.sleep(seconds)

    # Who is who. The PID file names the supervisor; its child is the server.

    def supervisor(self):
        return self.daemon.pid

    def server(self):
        """The server's pid; None between two."""
        servers = children(self.supervisor())
        return servers[0] if servers else None


def minds(pid, number):
    """Whether a process has a handler for a signal."""
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as status:
        caught = next(line for line in status if line.startswith("SigCgt:"))
    return int(caught.split()[1], 16) >> (number - 1) & 1


def is_perfect(result):
    """Each request answered once and rightly, nothing lost, stolen or ended."""
    bad = ("wrong", "missing", "closed", "ended", "thefts")
    return result["requests"] == result["answers"] > 0 and not any(result[b] for b in bad)


# ---- disturbances ----


def none(_):
    pass


def reload(run):
    """SIGHUP."""
    os.kill(run.supervisor(), signal.SIGHUP)


def send(pid, number):
    """To a process that may be gone."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def replaced(run, old):
    until(lambda: run.server() not in (None, old), "there is another server")


def kill_server(run):
    """SIGKILL of the server; another one has taken its place afterwards, or is about to."""
    old = until(run.server, "a server")
    send(old, signal.SIGKILL)
    replaced(run, old)


def kill_supervisor(run):
    """SIGKILL of the supervisor; the server has become one and has a server afterwards."""
    with run.daemon.connect(timeout=60) as client:
        # Before a server has served somebody there is no heir.
        assert client.ping().ok
    old = run.supervisor()
    os.kill(old, signal.SIGKILL)
    until(lambda: run.supervisor() != old and run.server(), "the server is the supervisor")


def kill_both(run):
    """SIGKILL of everything of ours at once; nobody takes its place."""
    run.daemon.kill()


def upgrade(run):
    """SIGUSR1: the supervisor execs its program anew; the pid stays, the server is another one."""
    old = until(run.server, "a server")
    send(run.supervisor(), signal.SIGUSR1)
    replaced(run, old)


def everything(run):
    """Signals of all kinds in a row; never SIGKILL for both."""
    send(run.supervisor(), run.random.choice((signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR1)))
    kill_server(run)
    if run.random.random() < 0.3:
        server = until(run.server, "a server")
        send(server, signal.SIGSTOP)
        run.pause()
        send(server, run.random.choice((signal.SIGCONT, signal.SIGKILL)))


def disturb(run, disturbance, times):
    for _ in range(times):
        run.pause()
        disturbance(run)
