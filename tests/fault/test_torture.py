# SPDX-License-Identifier: LGPL-2.1-or-later
"""The daemon is disturbed at random under load: each request has its one right answer, and no
lock is free for a moment. HF_KILLS, HF_UPGRADES and so on say how often; by hand far more."""

import os
import random
import signal
import time

import pytest
from hftest.files import lock_on_first_byte
from hftest.processes import children, is_there, until
from torture import Torture

KILLS = int(os.environ.get("HF_KILLS", "1000"))
UPGRADES = int(os.environ.get("HF_UPGRADES", "100"))
HEIRS = int(os.environ.get("HF_HEIRS", "50"))
# Kills that come so soon after one another hit servers that are taking over.
SOON = 0.004


def pause(longest=0.02):
    time.sleep(random.uniform(0, longest))


def server_of(daemon):
    servers = children(daemon.pid)
    return servers[0] if servers else None


def send(pid, number):
    """To a process that may be gone."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def kill_server(daemon):
    send(until(lambda: server_of(daemon), "a server"), signal.SIGKILL)


def settled(daemon):
    """A server that has served somebody."""
    with daemon.connect(timeout=60) as client:
        assert client.ping().ok
    until(lambda: server_of(daemon) and is_there(server_of(daemon)), "a server below a supervisor")


@pytest.fixture
def load(nursery, daemon, folder):
    return Torture(nursery, daemon, folder)


def judge(load, what):
    load.check(what)
    settled(load.daemon)
    left = [name for name in os.listdir(load.folder) if name.endswith(".img")
            and lock_on_first_byte(os.path.join(load.folder, name)) != "unlocked"]
    assert not left, "locks that nobody owns"


def test_servers_killed_under_load(load):
    with load:
        for _ in range(KILLS):
            kill_server(load.daemon)
            pause(SOON if random.random() < 0.3 else 0.03)
    judge(load, f"{KILLS} servers killed")


def test_upgrades_under_load(load):
    with load:
        for _ in range(UPGRADES):
            before = until(lambda: server_of(load.daemon), "a server")
            load.daemon.signal(signal.SIGUSR1)
            until(lambda: server_of(load.daemon) not in (None, before), "an upgraded server")
            pause()
    judge(load, f"{UPGRADES} upgrades")


def test_supervisors_killed_under_load(load):
    with load:
        for _ in range(HEIRS):
            settled(load.daemon)
            before = load.daemon.pid
            os.kill(before, signal.SIGKILL)
            until(lambda: load.daemon.pid != before and server_of(load.daemon), "an heir")
            pause()
    judge(load, f"{HEIRS} supervisors killed")


def test_everything_at_once_under_load(load):
    """Signals of all kinds, and pauses; never both processes at once."""
    with load:
        for _ in range(HEIRS):
            settled(load.daemon)
            number = random.choice([signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR1])
            load.daemon.signal(number)
            pause(SOON)
            kill_server(load.daemon)
            if random.random() < 0.3:
                server = until(lambda: server_of(load.daemon), "a server")
                send(server, signal.SIGSTOP)
                pause()
                send(server, signal.SIGCONT if random.random() < 0.5 else signal.SIGKILL)
    judge(load, f"{HEIRS} rounds of everything")
