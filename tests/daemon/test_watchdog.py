# SPDX-License-Identifier: LGPL-2.1-or-later
"""systemd's watchdog: the supervisor feeds it while the server moves. And what systemd is told
when the process that it takes for the service's main one is killed."""

import os
import signal
import subprocess

import pytest
from hftest.notify import PATIENCE, Notify
from hftest.processes import is_there, until
from hftest.wire import Owner

# A server that has not moved for half of it hangs: on no machine one does that by itself.
WATCHDOG_USEC = "4000000"
# systemd says for which process it is meant, and a daemon believes only that.
WRAPPER = ("sh", "-c", 'WATCHDOG_PID=$$ exec "$@"', "sh")


@pytest.fixture
def notify(nursery, folder):
    return Notify(nursery, folder)


@pytest.fixture
def watched(holdfastd, notify):
    """A daemon with a watchdog, when it has been fed for the first time."""
    daemon = holdfastd(wrapper=WRAPPER, extra_env={"NOTIFY_SOCKET": notify.path,
                                                   "WATCHDOG_USEC": WATCHDOG_USEC})
    notify.await_word("WATCHDOG=1")
    return daemon


def test_the_supervisor_feeds_the_watchdog_again_and_again(watched, notify):
    notify.forget()
    notify.await_word("WATCHDOG=1", watched.pid, times=3)


def test_a_server_that_hangs_is_replaced_and_its_locks_are_kept(watched, notify, nursery, disk):
    owner, path = nursery.sleeper(), disk()
    with watched.connect_as(Owner("one", owner.pid)) as client:
        assert client.acquire(path).ok
    supervisor, server = watched.pid, watched.server_pid
    os.kill(server, signal.SIGSTOP)
    until(lambda: not is_there(server), "the server that hangs is killed", PATIENCE)
    until(lambda: watched.server_pid not in (supervisor, server), "another serves", PATIENCE)
    notify.forget()
    notify.await_word("WATCHDOG=1", supervisor)
    assert "replaced a server that did not move" in watched.log()
    with watched.connect_as(Owner("two", nursery.sleeper().pid)) as client:
        assert not client.acquire(path).ok, "the lock is still held"


def test_nobody_feeds_the_watchdog_while_the_server_hangs(watched, notify):
    server, fed = watched.server_pid, 0
    os.kill(server, signal.SIGSTOP)
    notify.forget()

    def is_gone():
        nonlocal fed
        notify.hear()
        heard = sum("WATCHDOG=1" in words for _, words in notify.said)
        if not is_there(server):
            return True
        fed = heard
        return False
    until(is_gone, "the server that hangs is killed", PATIENCE)
    assert fed <= 1, "no more than what it had counted before, which is seen at the next look"


def test_the_heir_of_a_killed_supervisor_says_so_and_feeds_the_watchdog(watched, notify):
    supervisor, server = watched.pid, watched.server_pid
    notify.forget()
    os.kill(supervisor, signal.SIGKILL)
    notify.await_word(f"MAINPID={server}", server)
    notify.await_word("WATCHDOG=1", server)
    until(lambda: watched.pid == server, "the pid file names the heir", PATIENCE)


def test_one_that_is_started_beside_the_heir_leaves_the_service_to_it(watched, notify, nursery):
    """As systemd does when the main process has died."""
    notify.forget()
    env = os.environ | watched.environment() | {"NOTIFY_SOCKET": notify.path}
    second = nursery.spawn(watched.command(), env=env, stdin=subprocess.DEVNULL)
    assert second.wait(PATIENCE) == 0
    notify.await_word(f"MAINPID={watched.pid}")
    assert any({f"MAINPID={watched.pid}", "READY=1"} <= set(words) for _, words in notify.said)
    assert watched.connect().ping().ok, "its sockets and files are still there"


def test_one_that_systemd_has_not_started_is_told_that_a_daemon_runs(watched, nursery):
    second = nursery.spawn(watched.command(), env=os.environ | watched.environment(),
                           stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert second.wait(PATIENCE) != 0
    assert "running already" in second.stderr.read()
