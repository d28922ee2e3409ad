# SPDX-License-Identifier: LGPL-2.1-or-later
"""What happens to locks is told to whoever listens, and costs nobody else anything."""

import fcntl
import os
import re
import signal
import socket
import subprocess
import termios

import pytest

from hftest.events import KINDS, Listener, metrics
from hftest.line import clients
from hftest.own_program import GRANTED, METADATA, REFUSED, metadata_of
from hftest.processes import until
from hftest.wire import SHARED, Connection, Owner, uuid_of

# The ring's length, and what one message carries at most.
KEPT, TOLD_AT_ONCE = 2048, 100


@pytest.fixture
def listener(daemon):
    one = Listener(daemon.own_socket_ro)
    yield one
    one.close()


@pytest.fixture
def disk(folder):
    path = os.path.join(folder, "disk.img")
    with open(path, "wb"):
        pass
    return path


@pytest.fixture
def client(daemon, nursery):
    return daemon.connect_as(Owner("web1", nursery.sleeper().pid))


def told(kinds):
    return lambda events: [event.kind for event in events] == kinds


def acquire_and_release(client, path, times=1):
    for _ in range(times):
        assert client.acquire(path).ok and client.release(path).ok


@pytest.mark.parametrize("socket_name", ["own_socket", "own_socket_ro", "socket"])
def test_events_come_in_order_by_each_socket(daemon, client, disk, socket_name):
    listener = Listener(getattr(daemon, socket_name))
    acquire_and_release(client, disk)
    assert client.acquire(disk, flags=SHARED).ok
    events = listener.until(told(["acquired", "released", "acquired"]))
    assert [event.shared for event in events] == [0, 0, 1]
    assert [event.number - events[0].number for event in events] == [0, 1, 2]
    assert {(event.owner, event.name, event.lockspace, event.metadata) for event in events} == {
        ("web1", disk, "", 0)}
    assert events[0].uuid == uuid_of("web1") and events[0].pid > 0
    assert listener.missed == 0


def test_a_refusal_names_who_is_refused_and_by_whom(daemon, nursery, client, disk, listener):
    assert client.acquire(disk).ok
    rival = daemon.connect_as(Owner("web2", nursery.sleeper().pid))
    assert not rival.acquire(disk).ok
    event = listener.until(told(["acquired", "refused"]))[-1]
    assert (event.owner, event.name) == ("web2", disk) and "web1" in event.text


def test_a_vm_that_is_ended_is_told_of_and_then_what_it_gives_back(daemon, nursery, disk, listener):
    vm = nursery.vm("web1")
    own = vm.own_connection(daemon)
    assert own.acquire(disk).ok
    own.close()
    events = listener.until(told(["acquired", "killed", "released"]))
    assert {event.pid for event in events} == {vm.pid} and "closed" in events[1].text


def test_a_vm_that_died_by_itself_was_not_killed(daemon, nursery, disk, listener):
    for i in range(1, 31):
        vm = nursery.vm(f"web{i}")
        assert vm.own_connection(daemon).acquire(disk).ok
        vm.close()
        listener.until(told(["acquired", "released"] * i))


def test_a_set_tells_when_it_waits_and_how_that_ended(daemon, folder, disk, listener):
    other = os.path.join(folder, "a.img")
    with open(other, "wb"):
        pass
    holder, patient, hasty = clients(daemon, 3)
    assert holder.take(disk).granted == GRANTED
    patient.ask(other, disk)
    assert hasty.take(disk, timeout=0.01).granted == REFUSED
    holder.release()
    assert patient.hear().granted == GRANTED
    events = listener.until(lambda events: len(events) == 7)
    assert [(event.kind, event.owner, event.name) for event in events] == [
        ("acquired", "client0", disk), ("waiting", "client1", disk), ("waiting", "client2", disk),
        ("refused", "client2", disk), ("released", "client0", disk),
        ("acquired", "client1", other), ("acquired", "client1", disk)]
    assert "client0" in events[1].text
    with Connection(daemon.own_socket) as connection:
        found = metrics(connection)
    assert found["holdfast_waits_begun"] == found["holdfast_waits_ended"] == 2
    assert found["holdfast_waits_timed_out"] == 1 and found["holdfast_waiters"] == 0
    assert found["holdfast_waiting_seconds"] >= 10000


def test_the_number_of_those_who_wait_is_known_and_who_leaves_waits_no_more(daemon, disk):
    holder, patient = clients(daemon, 2)
    assert holder.take(disk).granted == GRANTED
    patient.ask(disk)
    with Connection(daemon.own_socket) as connection:
        assert metrics(connection)["holdfast_waiters"] == 1
        patient.close()
        until(lambda: metrics(connection)["holdfast_waiters"] == 0, "it has left")
        assert metrics(connection)["holdfast_waits_timed_out"] == 1


def test_metadata_locks_are_told_of_as_such(daemon, disk, listener):
    one, = clients(daemon, 1)
    assert one.take(metadata_of(disk), klass=METADATA).granted == GRANTED
    one.release()
    events = listener.until(told(["acquired", "released"]))
    assert [event.metadata for event in events] == [1, 1]


def test_nothing_is_told_of_a_request_that_fails_otherwise(daemon, client, folder, disk, listener):
    assert not client.acquire(os.path.join(folder, "nothing")).ok
    assert not client.release(disk).ok
    acquire_and_release(client, disk)
    listener.until(told(["acquired", "released"]))


def test_who_knows_a_number_is_told_what_came_behind_it(daemon, client, disk):
    first = Listener(daemon.own_socket_ro)
    acquire_and_release(client, disk)
    number = first.until(told(["acquired", "released"]))[0].number
    first.close()
    acquire_and_release(client, disk)
    second = Listener(daemon.own_socket_ro, after=number)
    events = second.until(told(["released", "acquired", "released"]))
    assert [event.number for event in events] == [number + 1, number + 2, number + 3]
    assert second.missed == 0


def test_a_number_of_another_daemon_begins_at_this_ones_start(daemon, client, disk):
    acquire_and_release(client, disk)
    assert Listener(daemon.own_socket_ro, after=1).events[0].kind == "started"
    after_all = Listener(daemon.own_socket_ro, after=2 ** 63)
    assert after_all.events[0].kind == "started"
    # Nobody listened, so that these were counted alone.
    assert after_all.until(lambda events: acquire_and_release(client, disk) or
                           len(events) >= 3) and after_all.missed == 2


def test_a_listener_that_does_not_read_misses_what_it_is_told(daemon, client, disk):
    slow = Listener(daemon.own_socket_ro)
    slow.connection.transport.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    fast = Listener(daemon.own_socket_ro)
    for i in range(1, 51):
        acquire_and_release(client, disk, 100)
        fast.until(lambda events, enough=200 * i: len(events) == enough)
    assert fast.missed == 0
    slow.until(lambda events: events and events[-1].number == fast.events[-1].number)
    assert slow.missed > 10000 - 2 * KEPT
    assert slow.missed + len(slow.events) == 10000
    numbers = [event.number for event in slow.events]
    assert numbers == sorted(set(numbers))
    with Connection(daemon.own_socket) as connection:
        assert metrics(connection)["holdfast_events_missed"] == slow.missed


def calls_of_server(daemon, folder, work):
    """System calls that the server makes while work runs: of its loop, and all others."""
    log = os.path.join(folder, "calls")
    tracer = subprocess.Popen(["strace", "-c", "-o", log, "-p", str(daemon.server_pid)],
                              stderr=subprocess.PIPE, text=True)
    assert "attached" in tracer.stderr.readline()
    work()
    tracer.send_signal(signal.SIGINT)
    tracer.communicate(timeout=20)
    with open(log, encoding="ascii") as text:
        counts = {name: int(count) for count, name in
                  re.findall(r"^ *[\d.]+ +\S+ +\S+ +(\d+) (?:.* )?(\w+)$", text.read(), re.M)}
    total = counts.pop("total")
    loop = counts.get("epoll_wait", 0) + counts.get("gettid", 0)
    return loop, total - loop


def fill(listener, work):
    """Until no more of it fits its socket."""
    sock, seen = listener.connection.transport.sock, []
    while len(seen) < 10 or len(set(seen[-10:])) > 1:
        work()
        seen.append(fcntl.ioctl(sock, termios.FIONREAD, bytes(4)))


def test_a_listener_that_does_not_read_costs_nothing_but_looks_of_the_loop(daemon, client, disk,
                                                                           folder):
    def work():
        acquire_and_release(client, disk, 500)

    work()
    _, alone = calls_of_server(daemon, folder, work)
    slow = Listener(daemon.own_socket_ro)
    fill(slow, lambda: acquire_and_release(client, disk, 100))
    loop, beside = calls_of_server(daemon, folder, work)
    slow.close()
    assert beside - alone < 1000 * 0.05, (alone, beside)
    # How often a loop looks and sleeps for one request is the scheduler's: twice at most, each
    # with a gettid of its own, and once more for the listener.
    assert loop < 1000 * 6, loop


def test_10000_acquires_beside_listeners_that_never_read(daemon, client, disk):
    slow = [Listener(daemon.own_socket_ro) for _ in range(10)]
    acquire_and_release(client, disk, 5000)
    with Connection(daemon.own_socket) as connection:
        numbers = metrics(connection)
    assert numbers["holdfast_locks_granted"] == numbers["holdfast_locks_released"] == 5000
    assert numbers["holdfast_event_listeners"] == 10
    for listener in slow:
        listener.close()


def test_a_server_that_is_killed_leaves_no_gap(daemon, client, disk, listener):
    starts = 0
    for _ in range(5):
        acquire_and_release(client, disk, 20)
        old = daemon.server_pid
        os.kill(old, signal.SIGKILL)
        starts += 1
        acquire_and_release(client, disk, 20)
        until(lambda: daemon.server_pid != old, "another server")
    last = listener.until(lambda events: len([e for e in events if e.kind == "released"]) >= 200)
    assert listener.missed == 0
    kinds = [event.kind for event in last]
    assert kinds.count("started") == starts
    numbers = sorted({event.number for event in last})
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    with Connection(daemon.own_socket) as connection:
        found = metrics(connection)
    assert found["holdfast_server_starts"] == starts + 1
    assert found["holdfast_locks_granted"] >= 200


def test_a_server_that_is_killed_leaves_no_gap_for_a_listener_that_is_behind(daemon, client, disk):
    slow = Listener(daemon.own_socket_ro)
    acquire_and_release(client, disk, 600)
    os.kill(daemon.server_pid, signal.SIGKILL)
    acquire_and_release(client, disk)
    slow.until(lambda events: len({event.number for event in events}) == 1203)
    assert slow.missed == 0


def test_the_numbers_tell_what_there_is(daemon, nursery, client, disk, listener):
    assert client.acquire(disk).ok
    rival = daemon.connect_as(Owner("web2", nursery.sleeper().pid))
    assert not rival.acquire(disk).ok
    with Connection(daemon.own_socket_ro) as connection:
        found = metrics(connection)
    expected = {"holdfast_locks_granted": 1, "holdfast_locks_refused": 1, "holdfast_locks": 1,
                "holdfast_locks_released": 0, "holdfast_clients": 2, "holdfast_readers": 2,
                "holdfast_event_listeners": 1, "holdfast_server_starts": 1}
    assert {name: found[name] for name in expected} == expected


def test_each_kind_has_a_word(daemon):
    assert sorted(KINDS) == list(range(1, 9))
