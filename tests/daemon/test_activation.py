# SPDX-License-Identifier: LGPL-2.1-or-later
"""Sockets handed over by systemd, readiness, and --timeout."""

import os
import signal
import socket
import time

import pytest
from hftest import wire
from hftest.daemons import read_pid
from hftest.fdstore import launcher
from hftest.processes import until
from hftest.wire import Owner

def listen(path, mode=0o600):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind(path)
    os.chmod(path, mode)
    server.listen(30)
    return server


@pytest.fixture
def activated(holdfastd):
    """Starts a holdfastd with listening sockets: activated(paths, names)."""
    def start(paths, names, **how):
        servers = [listen(path) for path in paths]
        fds = [server.fileno() for server in servers]
        daemon = holdfastd(
            start=False, pass_fds=[server.fileno() for server in servers],
            wrapper=launcher(fds, names), **how)
        daemon.start(wait=False)
        for server in servers:
            server.close()
        return daemon
    return start


def works(path):
    with wire.Connection(path) as client:
        return client.create_lockspace("").ok


def test_sockets_known_by_name_are_served_wherever_they_are(activated, folder):
    lock, admin = os.path.join(folder, "a", "lock"), os.path.join(folder, "a", "admin")
    daemon = activated([admin, lock], ["virtlockd-admin.socket", "virtlockd.socket"])
    assert works(lock)
    with wire.Connection(admin) as client:
        assert client.call(1, wire.u32(0), prog=wire.ADMIN_PROGRAM).outcome == "reply"
        assert client.call(1, prog=wire.LOCK_PROGRAM).verdict == (39, 7)
    assert daemon.alive


def test_sockets_without_names_are_known_by_their_paths(activated, folder):
    run = os.path.join(folder, "d", "libvirt")
    lock, admin = os.path.join(run, "virtlockd-sock"), os.path.join(run, "virtlockd-admin-sock")
    daemon = activated([lock, admin], [])
    assert works(lock)
    assert daemon.alive
    assert read_pid(daemon.pidfile) == daemon.pid, "who listens there is itself"


def test_the_lock_socket_alone_is_enough(activated, folder):
    lock = os.path.join(folder, "a", "lock")
    daemon = activated([lock], ["virtlockd.socket"])
    assert works(lock)
    assert daemon.alive


def test_sockets_of_our_own_are_made_where_only_virtlockds_are_handed_over(activated, folder):
    """As with the units of a stock virtlockd: `holdfast ps` has to find the daemon too."""
    lock = os.path.join(folder, "a", "lock")
    daemon = activated([lock], ["virtlockd.socket"])
    assert works(lock)
    assert works(daemon.own_socket)
    with wire.Connection(daemon.own_socket_ro) as client:
        assert client.ping().ok
    assert read_pid(daemon.pidfile) == daemon.pid, "it is in virtlockd's place"
    assert not os.path.exists(daemon.admin_socket), "which of virtlockd's are served is systemd's"
    daemon.stop()
    assert not os.path.exists(daemon.own_socket)


def test_one_of_our_own_sockets_may_be_handed_over_and_the_other_be_made(activated, folder):
    own = os.path.join(folder, "d", "holdfast", "holdfast-sock")
    daemon = activated([own], [])
    assert works(own)
    with wire.Connection(daemon.own_socket_ro) as client:
        assert client.ping().ok
    assert read_pid(daemon.pidfile) is None, "a stock virtlockd may be started beside it"


def test_a_client_that_came_before_the_daemon_is_served(activated, folder, holdfastd):
    lock = os.path.join(folder, "a", "lock")
    server = listen(lock)
    early = wire.Connection(lock)
    early.send(wire.frame(wire.Proc.CREATE_LOCKSPACE, wire.string("")))
    daemon = holdfastd(
        start=False, pass_fds=[server.fileno()],
        wrapper=launcher([server.fileno()], ["virtlockd.socket"]))
    daemon.start(wait=False)
    server.close()
    assert early.receive().ok
    early.close()


def test_a_socket_that_was_handed_over_is_still_there_after_the_end(activated, folder):
    lock = os.path.join(folder, "a", "lock")
    daemon = activated([lock], ["virtlockd.socket"])
    assert works(lock)
    daemon.stop()
    assert os.path.exists(lock)


def test_no_descriptor_would_survive_an_exec(activated, folder):
    lock = os.path.join(folder, "a", "lock")
    daemon = activated([lock], ["virtlockd.socket"])
    # Open throughout: no descriptor comes or goes while they are read, and the client's is among them.
    with wire.Connection(lock) as client:
        assert client.create_lockspace("").ok
        for fd in os.listdir(f"/proc/{daemon.pid}/fd"):
            with open(f"/proc/{daemon.pid}/fdinfo/{fd}", encoding="ascii") as info:
                flags = int(info.read().split("flags:")[1].split()[0], 8)
            if fd not in ("0", "1", "2"):
                assert flags & os.O_CLOEXEC, f"descriptor {fd} would survive an exec"


def test_a_descriptor_for_somebody_else_is_not_taken(holdfastd, folder):
    lock = os.path.join(folder, "a", "lock")
    server = listen(lock)
    daemon = holdfastd(pass_fds=[server.fileno()],
                       extra_env={"LISTEN_PID": "1", "LISTEN_FDS": "1"})
    assert works(daemon.socket), "made its own sockets"
    server.close()


def test_it_tells_systemd_when_it_is_ready(holdfastd, folder):
    path = os.path.join(folder, "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(path)
        notify.settimeout(10)
        daemon = holdfastd(start=False, extra_env={"NOTIFY_SOCKET": path})
        daemon.start(wait=False)
        words = notify.recv(4096).decode().split("\n")
        while "READY=1" not in words:
            words = notify.recv(4096).decode().split("\n")
        assert daemon.accepts(), "ready means that clients are served"


# ---- --timeout ---------------------------------------------------------------------


def ends_within(daemon, seconds):
    return daemon.wait(seconds) == 0


def outlives(daemon, seconds):
    """Nothing but time shows that a timer does not fire."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not daemon.alive:
            return False
        time.sleep(0.05)
    return True


def test_without_clients_it_ends_when_the_time_is_over(holdfastd):
    daemon = holdfastd(args=["--timeout=1"])
    start = time.monotonic()
    assert ends_within(daemon, 8)
    assert time.monotonic() - start > 0.5


def test_with_a_client_it_stays_and_ends_after_the_client_left(holdfastd):
    daemon = holdfastd(args=["-t", "1"])
    client = daemon.connect()
    assert client.ping().ok
    assert outlives(daemon, 2)
    client.close()
    assert ends_within(daemon, 8)


def test_with_a_lock_held_and_no_connection_it_stays(holdfastd, nursery, disk):
    daemon = holdfastd(args=["-t", "1"])
    owner = nursery.sleeper()
    path = disk()
    with daemon.connect_as(Owner("one", owner.pid)) as client:
        assert client.acquire(path).ok
    assert outlives(daemon, 2.5)
    with daemon.connect_as(Owner("one", owner.pid)) as client:
        assert client.release(path).ok
    assert ends_within(daemon, 8)


def test_it_ends_after_the_last_owner_died(holdfastd, nursery, disk):
    daemon = holdfastd(args=["-t", "1"])
    owner = nursery.sleeper()
    with daemon.connect_as(Owner("one", owner.pid)) as client:
        assert client.acquire(disk()).ok
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    assert ends_within(daemon, 8)


def test_a_daemon_that_ended_by_timeout_left_no_socket(holdfastd):
    daemon = holdfastd(args=["-t", "1"])
    assert ends_within(daemon, 8)
    until(lambda: not os.path.exists(daemon.socket), "the socket is gone")
