# SPDX-License-Identifier: LGPL-2.1-or-later
"""A server is killed, and another one takes over, where something else is wrong as well."""

import contextlib
import os
import signal

import pytest
from hftest.files import lock_on_first_byte
from hftest.processes import children, until
from hftest.wire import Owner

YEAR = 366 * 24 * 3600 * 1000000


def kill_server(daemon):
    server = daemon.server_pid
    os.kill(server, signal.SIGKILL)
    until(lambda: children(daemon.pid) and children(daemon.pid) != [server], "another server")


def test_a_full_table_of_descriptors(holdfastd, nursery, disk):
    daemon = holdfastd(rlimit_nofile=64)
    client, held = daemon.connect_as(Owner("web1", nursery.sleeper().pid)), []
    while True:
        path = disk(f"{len(held)}.img")
        if not client.acquire(path).ok:
            break
        held.append(path)
    assert 20 < len(held) < 64
    for _ in range(3):
        kill_server(daemon)
        assert all(lock_on_first_byte(path) == "write lock" for path in held)
        assert client.ping().ok
    server = daemon.server_pid
    daemon.signal(signal.SIGUSR1)
    until(lambda: daemon.server_pid != server or "as before" in daemon.log(), "an upgrade, or not")
    assert all(client.release(path).ok for path in held)
    assert all(lock_on_first_byte(path) == "unlocked" for path in held)


@pytest.mark.skipif(os.geteuid() != 0, reason="a hard limit binds whoever is not root")
@pytest.mark.parametrize("event", [signal.SIGUSR1, signal.SIGKILL], ids=["upgrade", "heir"])
def test_a_successor_that_may_not_have_a_larger_area_does_with_what_there_is(holdfastd, folder,
                                                                             event):
    os.chmod(folder, 0o755)
    limit = 3_000_000_000
    daemon = holdfastd(uid=4321, wrapper=["prlimit", f"--fsize={limit}:{limit}", "--"],
                       conf="max_clients = 100\n")
    with open(daemon.conf, "w", encoding="ascii") as out:
        out.write("max_clients = 20000\n")
    server = daemon.server_pid
    os.kill(daemon.pid, event)
    until(lambda: (children(daemon.pid) or [server])[0] != server and daemon.accepts(),
          "a successor that serves")
    assert "a higher limit of clients needs an upgrade" in daemon.log()


def test_a_vm_that_has_to_be_ended_while_the_table_is_full(holdfastd, nursery, disk):
    daemon, path, vm = holdfastd(rlimit_nofile=64), disk(), nursery.vm("web1")
    vm.ignore(signal.SIGTERM)
    own = vm.own_connection(daemon)
    assert own.acquire(path).ok
    with contextlib.ExitStack() as crowd:
        while len(os.listdir(f"/proc/{daemon.server_pid}/fd")) < 64:
            client = crowd.enter_context(daemon.connect())
            assert client.ping().ok
        own.close()
        assert vm.ending() == signal.SIGKILL
    until(lambda: lock_on_first_byte(path) == "unlocked", "the lock is free")


def test_a_supervisor_that_was_killed_with_a_full_table(holdfastd, nursery, disk):
    daemon = holdfastd(rlimit_nofile=64)
    client, held = daemon.connect_as(Owner("web1", nursery.sleeper().pid)), []
    while client.acquire(disk(f"{len(held)}.img")).ok:
        held.append(disk(f"{len(held)}.img"))
    server = daemon.server_pid
    os.kill(daemon.pid, signal.SIGKILL)
    until(lambda: daemon.pid == server and children(server), "the server in its place")
    assert client.ping().ok and all(lock_on_first_byte(path) == "write lock" for path in held)


def test_a_clock_that_jumps(faulty, nursery, disk):
    path, clients = disk(), []
    vm = nursery.vm("web1")
    own = vm.own_connection(faulty)
    assert own.acquire(path).ok
    for ahead in (YEAR, -YEAR, -30 * YEAR, 0):
        faulty.fault["ahead"] = ahead
        clients.append(faulty.connect_as(Owner("web2", nursery.sleeper().pid)))
        assert not clients[-1].acquire(path).ok
        kill_server(faulty)
        assert own.ping().ok and all(client.ping().ok for client in clients)
        assert lock_on_first_byte(path) == "write lock"
    vm.kill()
    until(lambda: lock_on_first_byte(path) == "unlocked", "the lock of the dead VM is free")


def test_a_supervisor_that_is_stopped_delays_and_loses_nothing(daemon, nursery, disk):
    path = disk()
    client, server = daemon.connect_as(Owner("web1", nursery.sleeper().pid)), daemon.server_pid
    assert client.acquire(path).ok
    os.kill(daemon.pid, signal.SIGSTOP)
    os.kill(server, signal.SIGKILL)
    assert client.ping(timeout=0.2).outcome == "silence"
    assert lock_on_first_byte(path) == "write lock"
    os.kill(daemon.pid, signal.SIGCONT)
    assert client.receive().outcome == "reply", "the ping is answered now"
    assert client.release(path).ok


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: another user\'s limit is set")
def test_without_leave_to_lock_memory_it_serves_and_says_so(nursery, folder, holdfastd, disk):
    daemon = holdfastd(start=False, uid=65534, conf="log_level = 2\n")
    daemon.wrapper = ["prlimit", "--memlock=65536", "--"]
    daemon.start()
    assert "cannot lock the state in memory" in daemon.log()
