# SPDX-License-Identifier: LGPL-2.1-or-later
"""Waiting for a lock that a stranger has, another program: a helper sleeps in the kernel until it
is free. One is enough for all who wait, and it leaves nothing behind."""

import fcntl
import os
import signal
import time

import pytest
from hftest import own_program, wire
from hftest.files import lock_on_first_byte
from hftest.own_program import FOREVER, GRANTED, REFUSED, acquire_set, read_set, send_set
from hftest.processes import is_there, until
from hftest.wire import AUTOCREATE, SHARED, Owner

# From the release to the answer. It takes a millisecond; the machine is shared with other tests,
# and a poll that has waited for some time looks once a second.
PROMPT = 0.5


def stand(daemon, name="backup"):
    connection = daemon.connect()
    answer = own_program.client(connection, name)
    assert answer.ok, answer
    return connection


def wait_for(daemon, *wants, name="backup", timeout=FOREVER, **how):
    """A connection on which the set is asked for and waited for."""
    connection = stand(daemon, name)
    before = len(waiting(daemon))
    send_set(connection, *wants, timeout=timeout, **how)
    until(lambda: len(waiting(daemon)) == before + len(wants), "it waits")
    return connection


def waiting(daemon):
    with daemon.connect() as looker:
        return own_program.waiters(looker)


def granted(connection, timeout=10.0):
    answer = read_set(connection.receive(timeout))
    assert isinstance(answer, own_program.Set), answer
    assert answer.granted == GRANTED, answer.text
    return answer


def one_helper(daemon):
    return until(lambda: len(daemon.workers) == 1 and daemon.workers, "one helper waits")[0]


def no_helper(daemon):
    until(lambda: not daemon.workers, "no helper is left")


@pytest.fixture
def stranger(nursery):
    """A process with the lock, and how it lets go of it."""
    def start(path, kind="ofd", mode=fcntl.F_WRLCK):
        vm = nursery.vm("stranger")
        fd = vm.lock(path, kind, mode)
        return vm, lambda: vm.close_file(fd)
    return start


@pytest.mark.parametrize("kind", ["posix", "ofd"])
def test_a_waiter_is_woken_when_another_program_lets_go(daemon, disk, stranger, kind):
    path = disk()
    _, let_go = stranger(path, kind)
    connection = wait_for(daemon, path)
    one_helper(daemon)
    # As long as a poll would have needed to be slow.
    assert connection.receive(0.7).outcome == "silence"
    began = time.monotonic()
    let_go()
    granted(connection)
    assert time.monotonic() - began < PROMPT
    assert lock_on_first_byte(path) == "write lock"
    no_helper(daemon)
    connection.close()
    until(lambda: lock_on_first_byte(path) == "unlocked", "it is free")


def test_twenty_waiters_have_one_helper_and_their_order(daemon, disk, stranger):
    path = disk()
    _, let_go = stranger(path)
    waiters = [wait_for(daemon, path, name=f"w{number}") for number in range(20)]
    helper = one_helper(daemon)
    assert waiters[0].receive(0.3).outcome == "silence"
    assert daemon.workers == [helper]
    let_go()
    for number, waiter in enumerate(waiters):
        granted(waiter)
        if number + 1 < len(waiters):
            assert waiters[number + 1].receive(0.01).outcome == "silence"
        waiter.close()
    no_helper(daemon)


def test_the_first_of_the_waiters_leaves_and_the_next_one_gets_it(daemon, disk, stranger):
    path = disk()
    _, let_go = stranger(path)
    first, second = (wait_for(daemon, path, name=name) for name in ("first", "second"))
    one_helper(daemon)
    first.close()
    until(lambda: len(waiting(daemon)) == 1, "it has left the queue")
    one_helper(daemon)
    let_go()
    granted(second)


def test_who_waits_no_more_leaves_no_helper_and_no_lock(daemon, disk, stranger):
    path = disk()
    _, let_go = stranger(path)
    connection = wait_for(daemon, path)
    helper = one_helper(daemon)
    connection.close()
    no_helper(daemon)
    assert not is_there(helper)
    let_go()
    assert lock_on_first_byte(path) == "unlocked"


def test_a_waiter_whose_time_is_over_is_told_who_has_it(daemon, disk, stranger):
    path = disk()
    vm, _ = stranger(path)
    connection = stand(daemon)
    answer = acquire_set(connection, path, timeout=0.4)
    assert answer.granted == REFUSED and f"pid {vm.pid}" in answer.text, answer
    assert answer.waited >= 400000
    no_helper(daemon)
    assert not waiting(daemon)


def test_sharers_wait_for_who_has_it_alone(daemon, disk, stranger):
    path = disk()
    _, let_go = stranger(path)
    readers = [wait_for(daemon, own_program.want(path, flags=SHARED), name=name)
               for name in ("one", "two")]
    let_go()
    for reader in readers:
        granted(reader)
    assert lock_on_first_byte(path) == "read lock"


def test_a_whole_set_waits_for_one_of_its_members_and_holds_nothing(daemon, disk, stranger):
    free, taken = disk("a.img"), disk("b.img")
    _, let_go = stranger(taken)
    connection = wait_for(daemon, free, taken)
    one_helper(daemon)
    assert lock_on_first_byte(free) == "unlocked"
    let_go()
    granted(connection)
    assert {lock_on_first_byte(path) for path in (free, taken)} == {"write lock"}


def test_a_stock_virtlockd_is_waited_for(daemon, virtlockd, nursery, disk):
    path = disk()
    stock = virtlockd()
    manager = stock.connect_as(Owner("old", nursery.sleeper().pid))
    assert manager.acquire(path).ok
    connection = wait_for(daemon, path)
    one_helper(daemon)
    assert connection.receive(0.7).outcome == "silence"
    began = time.monotonic()
    assert manager.release(path).ok
    granted(connection)
    assert time.monotonic() - began < PROMPT
    assert manager.acquire(path).code == wire.Code.BUSY, "and it is excluded then"
    no_helper(daemon)


def test_a_stand_in_that_a_stock_virtlockd_removes_is_made_anew(daemon, virtlockd, nursery,
                                                                folder):
    space = os.path.join(folder, "space")
    os.mkdir(space)
    file = os.path.join(space, "web1")
    stock = virtlockd()
    manager = stock.connect_as(Owner("old", nursery.sleeper().pid))
    assert manager.create_lockspace(space).ok
    connection = stand(daemon)
    assert connection.create_lockspace(space).ok
    for _ in range(10):
        assert manager.acquire("web1", space, AUTOCREATE).ok
        send_set(connection, own_program.want("web1", space, AUTOCREATE), timeout=FOREVER)
        until(lambda: waiting(daemon), "it waits")
        one_helper(daemon)
        assert manager.release("web1", space).ok
        token = granted(connection).token
        assert lock_on_first_byte(file) == "write lock"
        assert own_program.release_set(connection, token).ok
        until(lambda: not os.path.exists(file), "it went with the lock")
    no_helper(daemon)


def replace_server(daemon):
    old = daemon.server_pid
    os.kill(old, signal.SIGKILL)
    until(lambda: daemon.server_pid not in (old, daemon.pid), "there is another server")


def test_the_helper_of_a_killed_server_goes_on_for_the_next_one(daemon, disk, stranger):
    path = disk()
    _, let_go = stranger(path)
    first, second = (wait_for(daemon, path, name=name) for name in ("first", "second"))
    helper = one_helper(daemon)
    for _ in range(3):
        replace_server(daemon)
        until(lambda: len(waiting(daemon)) == 2, "both wait")
        assert daemon.workers == [helper]
    let_go()
    granted(first)
    assert second.receive(0.1).outcome == "silence"
    first.close()
    granted(second)
    no_helper(daemon)


def test_a_waiter_that_leaves_while_there_is_no_server_leaves_no_helper(daemon, disk, stranger):
    path = disk()
    _, let_go = stranger(path)
    connection = wait_for(daemon, path)
    helper = one_helper(daemon)
    old = daemon.server_pid
    os.kill(old, signal.SIGSTOP)
    connection.close()
    os.kill(old, signal.SIGKILL)
    until(lambda: not is_there(helper), "the helper has ended")
    let_go()
    assert lock_on_first_byte(path) == "unlocked"


def test_what_a_killed_servers_helper_had_is_not_lost(daemon, disk, stranger):
    """The lock is had between two servers."""
    path = disk()
    for _ in range(5):
        _, let_go = stranger(path)
        connection = wait_for(daemon, path)
        one_helper(daemon)
        old = daemon.server_pid
        os.kill(old, signal.SIGSTOP)
        let_go()
        until(lambda: lock_on_first_byte(path) == "write lock", "the helper has it")
        os.kill(old, signal.SIGKILL)
        granted(connection)
        connection.close()
        until(lambda: lock_on_first_byte(path) == "unlocked", "it is free")
        no_helper(daemon)


def test_without_a_supervisor_the_wait_goes_on(daemon, disk, stranger):
    path = disk()
    _, let_go = stranger(path)
    connection = wait_for(daemon, path)
    one_helper(daemon)
    daemon.expected_to_live = False
    old = daemon.process.pid
    os.kill(old, signal.SIGKILL)
    until(lambda: daemon.pid != old and daemon.server_pid != daemon.pid, "the server took its place")
    until(lambda: waiting(daemon), "it waits")
    one_helper(daemon)
    let_go()
    granted(connection)
    daemon.signal(signal.SIGTERM)
    until(lambda: not daemon.alive, "the daemon has ended")


def test_when_all_of_it_is_killed_no_helper_stays(daemon, disk, stranger):
    path = disk()
    _, let_go = stranger(path)
    connection = wait_for(daemon, path)
    helper = one_helper(daemon)
    server, supervisor = daemon.server_pid, daemon.pid
    daemon.expected_to_live = False
    os.kill(server, signal.SIGSTOP)
    os.kill(supervisor, signal.SIGKILL)
    until(lambda: not is_there(helper), "the helper has ended")
    os.kill(server, signal.SIGKILL)
    assert connection.receive().outcome == "closed"
    let_go()
    assert lock_on_first_byte(path) == "unlocked"


def test_an_upgrade_keeps_the_helper(daemon, disk, stranger):
    path = disk()
    _, let_go = stranger(path)
    connection = wait_for(daemon, path)
    helper = one_helper(daemon)
    old = daemon.server_pid
    daemon.signal(signal.SIGUSR1)
    until(lambda: daemon.server_pid not in (old, daemon.pid), "there is another server")
    until(lambda: waiting(daemon), "it waits")
    assert daemon.workers == [helper]
    let_go()
    granted(connection)


def test_a_helper_holds_up_nobody_else_on_its_filesystem(daemon, disk, stranger):
    path, other = disk("taken.img"), disk("other.img")
    _, let_go = stranger(path)
    connection = wait_for(daemon, path)
    one_helper(daemon)
    others = stand(daemon, "other")
    space = os.path.join(os.path.dirname(path), "space")
    began = time.monotonic()
    assert others.create_lockspace(space).ok, "by a worker"
    for number in range(10):
        assert others.acquire(f"lease{number}", space, AUTOCREATE).ok
    assert others.acquire(other).ok
    assert time.monotonic() - began < 5
    let_go()
    granted(connection)


def test_the_end_of_the_daemon_is_the_end_of_its_helpers(daemon, disk, stranger):
    path = disk()
    _, let_go = stranger(path)
    connection = wait_for(daemon, path)
    helper = one_helper(daemon)
    daemon.stop()
    until(lambda: not is_there(helper), "the helper has ended")
    assert connection.receive().outcome == "closed"
    let_go()
    assert lock_on_first_byte(path) == "unlocked"
