# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who waits in line keeps the place, whatever becomes of the daemon's processes; and strangers,
who are not in its table, are waited for as well."""

import errno
import fcntl
import os
import random
import signal
import struct
import threading
import time

import pytest
from hftest import own_program as own
from hftest.files import lock_on_first_byte
from hftest.line import Client, clients, hand_over, is_granted, nothing_is_held
from hftest.own_program import FOREVER, GRANTED, METADATA, REFUSED, metadata_of, want
from hftest.processes import until
from hftest.ways import kill_server, kill_supervisor, replaced, upgrade

F_OFD_SETLK = 37


def reload(daemon):
    daemon.signal(signal.SIGHUP)


@pytest.fixture(params=[kill_server, kill_supervisor, upgrade, reload], ids=lambda w: w.__name__)
def way(request):
    return request.param


def in_line(looker, n):
    """As many as that wait: a server that begins has served them all before it answers us."""
    found = own.waiters(looker)
    assert len({w.ticket for w in found}) == n, found
    return found


@pytest.mark.parametrize("klass", [own.CONTENT, METADATA], ids=["content", "metadata"])
def test_twenty_keep_their_places(daemon, disk, way, klass):
    path = disk()
    wanted = metadata_of(path) if klass else want(path)
    holder, *waiting = clients(daemon, 21)
    assert holder.take(wanted, klass=klass).granted == GRANTED
    chance = random.Random(5)
    chance.shuffle(waiting)  # so that neither ids nor slots are in that order
    for client in waiting:
        client.ask(wanted, klass=klass, timeout=60)
    with daemon.connect() as looker:
        before = in_line(looker, 20)
    way(daemon)
    with daemon.connect() as looker:
        after = in_line(looker, 20)
    assert [w.ticket for w in after] == [w.ticket for w in before]
    assert [w.owner.name for w in after] == [c.name for c in waiting]
    for one, two in zip(before, after):
        assert abs(one.until - two.until) < 1000000 and abs(one.since - two.since) < 1000000
    late, = clients(daemon, 1, "late")
    late.ask(wanted, klass=klass)
    holder.release()
    assert hand_over([*waiting, late]) == [*waiting, late]
    nothing_is_held(daemon)


def test_places_are_kept_through_many_kills_on_the_way(daemon, disk, way):
    path = disk()
    holder, *waiting = clients(daemon, 9)
    assert holder.take(path).granted == GRANTED
    for client in waiting:
        client.ask(path)
    holder.release()
    for number, client in enumerate(waiting):
        assert is_granted(client.hear()), number
        if number < 4:
            way(daemon)
        assert lock_on_first_byte(path) == "write lock"
        client.release()
    nothing_is_held(daemon)


def test_a_time_that_is_over_while_nobody_serves_is_over(daemon, disk):
    path = disk()
    holder, hasty, patient = clients(daemon, 3)
    assert holder.take(path).granted == GRANTED
    begun = time.monotonic()
    hasty.ask(path, timeout=0.5)
    patient.ask(path, timeout=60)
    os.kill(daemon.server_pid, signal.SIGSTOP)
    time.sleep(max(0, begun + 0.6 - time.monotonic()))  # the time itself is what is tested
    kill_server(daemon)
    outcome = hasty.hear()
    assert outcome.granted == REFUSED and outcome.waited >= 500000
    assert outcome.holder.owner.name == "client0"
    holder.release()
    assert is_granted(patient.hear())


def test_a_release_and_a_kill_at_any_moment_hand_over_once(daemon, disk):
    """Nobody is granted twice, nobody is forgotten, whoever is granted has the lock."""
    path, other = disk("a"), disk("b")
    waiting = clients(daemon, 12)
    first, *rest = waiting
    assert first.take(path, other).granted == GRANTED
    for client in rest:
        client.ask(path, other)
    stop = threading.Event()

    def kill_again_and_again():
        chance = random.Random(3)
        while not stop.wait(chance.random() * 0.05):
            before = daemon.server_pid
            try:
                os.kill(before, signal.SIGKILL)
            except ProcessLookupError:
                continue
            replaced(daemon, before)

    killer = threading.Thread(target=kill_again_and_again)
    killer.start()
    try:
        first.release()
        for client in rest:
            assert is_granted(client.hear(20)), client.name
            assert lock_on_first_byte(path) == lock_on_first_byte(other) == "write lock"
            client.release()
    finally:
        stop.set()
        killer.join()
    nothing_is_held(daemon)


def test_when_all_of_the_daemon_dies_the_holder_keeps_and_who_waited_is_told_by_the_end(
        holdfastd, nursery, disk):
    daemon = holdfastd()
    a, b = disk("a"), disk("b")
    vm = nursery.vm("web1")
    own_connection = vm.own_connection(daemon)
    token = own.acquire_set(own_connection, a, b).token
    waiting, = clients(daemon, 1)
    waiting.ask(b)
    daemon.kill()
    assert waiting.connection.receive().outcome == "closed"
    daemon = holdfastd()
    with daemon.connect_as(vm.owner) as again:
        assert sorted(os.path.basename(lock.name) for lock in own.locks(again)) == ["a", "b"]
        assert own.release_set(again, token).ok, "its number is known still"
        newer, = clients(daemon, 1)
        assert newer.take(a, b).token > token
    vm.kill()


# ---- strangers ----------------------------------------------------------------------------


class Stranger:
    """Somebody who locks the daemon's byte without asking it."""

    def __init__(self, path, kind=fcntl.F_WRLCK):
        self.fd = os.open(path, os.O_RDWR)
        self.lock(kind)

    def lock(self, kind):
        fcntl.fcntl(self.fd, F_OFD_SETLK, struct.pack("hhqqi4x", kind, os.SEEK_SET, 0, 1, 0))

    def leave(self):
        os.close(self.fd)


def test_a_stranger_is_waited_for_in_line(daemon, disk):
    path = disk()
    stranger = Stranger(path)
    waiting = clients(daemon, 4)
    message = waiting[0].ask(path)
    assert f"pid {os.getpid()}" in message.text and not message.holder
    for client in waiting[1:]:
        client.ask(path)
    stranger.leave()
    assert hand_over(waiting) == waiting
    nothing_is_held(daemon)


def test_while_a_stranger_is_waited_for_nothing_is_held(daemon, disk):
    a, b, c = disk("a"), disk("b"), disk("c")
    stranger = Stranger(b)
    waiting, hasty = clients(daemon, 2)
    waiting.ask(a, b, c)
    assert lock_on_first_byte(a) == lock_on_first_byte(c) == "unlocked"
    assert hasty.take(a).granted == GRANTED
    stranger.leave()
    assert waiting.hear(0.3) is None, "what the stranger had is not kept for it meanwhile"
    assert lock_on_first_byte(b) == "unlocked"
    hasty.release()
    assert is_granted(waiting.hear())


def test_a_strangers_lock_goes_to_the_first_who_is_found_to_mean_it(daemon, disk, folder):
    free, taken, link = disk("a"), disk("b"), os.path.join(folder, "link")
    os.symlink(disk("c"), link)
    stranger = Stranger(taken)
    holder, first, second = clients(daemon, 3)
    assert holder.take(free).granted == GRANTED
    first.ask(free, link)
    second.ask(taken)
    os.unlink(link)
    os.symlink(taken, link)
    holder.release()
    with daemon.connect() as looker:
        until(lambda: [w.position for w in own.waiters(looker)] == [1, 1, 2], "it is found out")
    stranger.leave()
    assert is_granted(first.hear()), "the other one's helper is older"
    assert second.hear(0.1) is None
    first.release()
    assert is_granted(second.hear())


def test_who_waited_too_long_for_a_stranger_leaves_it_in_peace(daemon, disk):
    path = disk()
    stranger = Stranger(path)
    one, two = clients(daemon, 2)
    outcome = one.take(path, timeout=0.4)
    assert outcome.granted == REFUSED and f"pid {os.getpid()}" in outcome.text
    two.ask(path)
    two.close()
    stranger.lock(fcntl.F_UNLCK)
    until(lambda: lock_on_first_byte(path) == "unlocked", "nobody has it")
    stranger.leave()


def test_sharers_wait_for_a_stranger_together(daemon, disk):
    path = disk()
    stranger = Stranger(path)
    waiting = clients(daemon, 3)
    for client in waiting:
        client.ask(want(path, flags=own.wire.SHARED))
    stranger.leave()
    for client in waiting:
        assert is_granted(client.hear())


def test_a_stranger_is_waited_for_by_the_next_server(daemon, disk, way):
    path = disk()
    stranger = Stranger(path)
    waiting = clients(daemon, 3)
    for client in waiting:
        client.ask(path)
    way(daemon)
    assert waiting[0].hear(0.2) is None
    stranger.leave()
    assert hand_over(waiting) == waiting
    nothing_is_held(daemon)


def test_what_a_set_has_in_common_with_itself_and_a_stranger_is_waited_for_once(daemon, disk,
                                                                               folder):
    path, alias = disk(), os.path.join(folder, "alias")
    os.link(path, alias)
    stranger = Stranger(path)
    client, = clients(daemon, 1)
    client.ask(path, alias)
    stranger.leave()
    assert is_granted(client.hear())
    client.release()
    nothing_is_held(daemon)
