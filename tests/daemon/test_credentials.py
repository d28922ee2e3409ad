# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who may connect: root to root's daemon, a user to their own, nobody else."""

import os
import stat

import pytest
from hftest import wire
from hftest.daemons import StockVirtlockd
from hftest.wire import Owner

NOBODY = 65534

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="changes user, which needs root")


def mode_of(path):
    return stat.S_IMODE(os.stat(path).st_mode)


def is_dropped(connection):
    """Closed without a word, before or after the call was written."""
    connection.send(wire.frame(wire.Proc.CREATE_LOCKSPACE, wire.string("")))
    return connection.receive().outcome == "closed"


@pytest.fixture
def session(holdfastd):
    """A daemon that runs as an ordinary user."""
    return holdfastd(uid=NOBODY)


def test_an_unprivileged_daemon_drops_root(session):
    with session.connect() as root:
        assert is_dropped(root)


def test_an_unprivileged_virtlockd_drops_root_as_well(nursery, folder):
    stock = StockVirtlockd(nursery, os.path.join(folder, "s"), uid=NOBODY)
    with stock.connect() as root:
        assert is_dropped(root)


def test_an_unprivileged_daemon_serves_its_own_user(session, nursery, folder, disk):
    path = disk()
    os.chown(path, NOBODY, NOBODY)
    vm = nursery.vm("one", uid=NOBODY)
    own = vm.own_connection(session)
    assert own.acquire(path).ok
    assert own.release(path).ok


def test_an_unprivileged_daemon_drops_root_on_its_own_socket(session):
    with wire.Connection(session.own_socket) as root:
        assert is_dropped(root)


def test_an_unprivileged_daemon_shares_a_file_it_may_only_read(session, nursery, disk):
    path = disk()
    os.chmod(path, 0o444)
    own = nursery.vm("one", uid=NOBODY).own_connection(session)
    assert own.acquire(path, flags=wire.SHARED).ok
    assert own.acquire(path).verdict == (87, 51)
    assert own.release(path).ok
    assert own.acquire(path).verdict == (38, 51)


def test_a_privileged_daemon_drops_other_users_even_when_the_path_lets_them_in(
        daemon, nursery):
    os.chmod(os.path.dirname(daemon.socket), 0o755)
    os.chmod(daemon.socket, 0o777)
    stranger = nursery.vm("stranger", uid=NOBODY)
    assert is_dropped(stranger.connect(daemon.socket))


def test_a_privileged_daemon_drops_other_users_on_its_own_socket(daemon, nursery):
    os.chmod(os.path.dirname(daemon.own_socket), 0o755)
    os.chmod(daemon.own_socket, 0o777)
    stranger = nursery.vm("stranger", uid=NOBODY)
    assert is_dropped(stranger.connect(daemon.own_socket))


def test_a_stranger_takes_no_place_of_a_client(holdfastd, nursery):
    daemon = holdfastd(conf="max_clients = 2\n")
    os.chmod(os.path.dirname(daemon.socket), 0o755)
    os.chmod(daemon.socket, 0o777)
    stranger = nursery.vm("stranger", uid=NOBODY)
    for _ in range(5):
        assert is_dropped(stranger.connect(daemon.socket))
    inside = [daemon.connect_as(Owner("one", nursery.sleeper().pid)) for _ in range(2)]
    assert all(client.ping().ok for client in inside)


def test_only_the_owner_may_open_the_sockets(daemon):
    for path in (daemon.socket, daemon.own_socket):
        assert mode_of(path) & 0o077 == 0, f"{path} is open to others"


def test_a_daemon_with_an_open_umask_makes_closed_sockets(holdfastd):
    daemon = holdfastd(wrapper=["sh", "-c", 'umask 0 && exec "$@"', "sh"])
    for path in (daemon.socket, daemon.own_socket):
        assert mode_of(path) & 0o077 == 0, f"{path} is open to others"
    for path in (os.path.dirname(daemon.socket), os.path.dirname(daemon.own_socket)):
        assert mode_of(path) & 0o022 == 0, f"others may put files into {path}"
