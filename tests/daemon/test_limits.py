# SPDX-License-Identifier: LGPL-2.1-or-later
"""One bad client stays one bad client."""

import fcntl
import os
import random
import signal
import time

import pytest
from hftest import wire
from hftest.files import lock_on_first_byte
from hftest.processes import until
from hftest.wire import Owner, Proc, Type

LIMIT = 8
PROMPT = 1.0


@pytest.fixture
def small(holdfastd):
    return holdfastd(conf=f"max_clients = {LIMIT}\n")


@pytest.fixture
def holder(daemon, nursery, disk):
    """A client with a lock, there before the trouble begins."""
    path = disk()
    client = daemon.connect_as(Owner("holder", nursery.sleeper().pid))
    assert client.acquire(path).ok
    return client, path


def still_well(holder):
    """Worst answer time of the client; its lock is where it was."""
    client, path = holder
    worst = 0
    for _ in range(20):
        start = time.monotonic()
        assert client.release(path).ok
        assert client.acquire(path).ok
        worst = max(worst, time.monotonic() - start)
    assert lock_on_first_byte(path) == "write lock"
    assert worst < PROMPT, f"another client waited {worst:.3f} s"


def reads_of(daemon):
    """How often the daemon has read from /proc: what a search costs, and no clock."""
    with open(f"/proc/{daemon.server_pid}/io", encoding="ascii") as counters:
        return int(counters.read().split("syscr: ")[1].split()[0])


# ---- the client limit --------------------------------------------------------------


def test_the_connection_over_the_limit_is_told_so_and_closed(small):
    inside = [small.connect() for _ in range(LIMIT)]
    assert all(client.ping().ok for client in inside)
    with small.connect() as late:
        answer = late.call(Proc.RESTRICT, wire.u32(0), serial=5)
        assert answer.verdict == (39, 7)
        assert (answer.proc, answer.serial) == (Proc.RESTRICT, 5)
        assert late.is_closed()
    assert all(client.ping().ok for client in inside)


def test_a_connection_over_the_limit_that_says_nothing_is_not_left_to_hang(small):
    inside = [small.connect() for _ in range(LIMIT)]
    late = [small.connect() for _ in range(50)]
    # The queue is served in order: once the last is refused, all before it are.
    with small.connect() as last:
        assert last.create_lockspace("").verdict == (39, 7)
    assert all(client.ping().ok for client in inside)
    inside.pop().close()

    def gets_in():
        with small.connect() as client:
            return client.create_lockspace("").ok
    until(gets_in, "a newcomer gets the place that became free, the silent ones notwithstanding")
    for client in late:
        client.close()


def test_a_place_that_becomes_free_is_given_to_the_next(small):
    inside = [small.connect() for _ in range(LIMIT)]
    assert all(client.ping().ok for client in inside)
    for client in inside:
        client.close()

    def served():
        with small.connect() as client:
            return client.create_lockspace("").ok
    until(served, "the places are free again")


def test_clients_that_only_look_take_nobodys_place(small):
    looking = [wire.Connection(small.own_socket_ro) for _ in range(LIMIT)]
    assert all(client.ping().ok for client in looking)
    inside = [small.connect() for _ in range(LIMIT)]
    assert all(client.ping().ok for client in inside)
    with wire.Connection(small.own_socket_ro) as late:
        assert late.ping().ok
    with small.connect() as late:
        assert late.create_lockspace("").verdict == (39, 7)


def test_a_crowd_that_only_looks_has_a_limit(small):
    looking = [wire.Connection(small.own_socket_ro) for _ in range(256)]
    assert all(client.ping().ok for client in looking)
    with wire.Connection(small.own_socket_ro) as late:
        assert late.call(Proc.RESTRICT, wire.u32(0)).verdict == (39, 7)
    looking.pop().close()

    def gets_in():
        with wire.Connection(small.own_socket_ro) as client:
            return client.ping().ok
    until(gets_in, "a place that becomes free is given to the next")
    with small.connect() as client:
        assert client.create_lockspace("").ok


def test_the_default_limit_is_1024_connections(holdfastd):
    daemon = holdfastd(rlimit_nofile=20000)
    inside = [daemon.connect() for _ in range(1024)]
    assert inside[-1].ping().ok
    with daemon.connect() as late:
        assert late.create_lockspace("").verdict == (39, 7)
    for client in inside:
        client.close()


# ---- garbage -----------------------------------------------------------------------


def test_clients_that_send_garbage_disturb_nobody(daemon, holder):
    dice = random.Random(1)
    for _ in range(200):
        with daemon.connect() as client:
            client.send(dice.randbytes(dice.randrange(1, 400)))
    still_well(holder)


def test_garbage_behind_a_good_header_disturbs_nobody(daemon, holder):
    dice = random.Random(2)
    for _ in range(200):
        with daemon.connect() as client:
            for _ in range(5):
                client.send(wire.frame(dice.randrange(-1, 10), dice.randbytes(dice.randrange(200)),
                                       type=dice.choice(list(Type)), status=dice.randrange(3)))
    still_well(holder)


def test_calls_with_flipped_bits_disturb_nobody(daemon, holder, nursery, disk):
    dice = random.Random(3)
    owner = Owner("flipper", nursery.sleeper().pid)
    calls = [wire.frame(Proc.REGISTER, owner.xdr() + wire.u32(0)),
             wire.frame(Proc.ACQUIRE, wire.resource("", disk("flipped.img"), 0)),
             wire.frame(Proc.RELEASE, wire.resource("", disk("flipped.img"), 0))]
    for _ in range(200):
        data = bytearray(b"".join(calls))
        for _ in range(dice.randrange(1, 6)):
            data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
        with daemon.connect() as client:
            client.send(bytes(data))
    still_well(holder)


def test_clients_that_stall_inside_a_frame_disturb_nobody(daemon, holder):
    call = wire.frame(Proc.CREATE_LOCKSPACE, wire.string("/nowhere/in/particular"))
    stalled = [daemon.connect() for _ in range(200)]
    for number, client in enumerate(stalled):
        client.send(call[:1 + number % (len(call) - 1)])
    still_well(holder)
    for client in stalled:
        client.close()
    still_well(holder)


def test_a_stalled_frame_that_goes_on_is_served(daemon):
    call = wire.frame(Proc.CREATE_LOCKSPACE, wire.string(""))
    with daemon.connect() as slow, daemon.connect() as quick:
        slow.send(call[:30])
        assert quick.create_lockspace("").ok
        slow.send(call[30:])
        assert slow.receive().ok


def test_half_sent_frames_of_the_largest_size_cost_others_nothing(daemon, holder):
    stalled = [daemon.connect() for _ in range(20)]
    for client in stalled:
        client.send(wire.u32(wire.MAX_LENGTH_WORD) + bytes(1000))
    still_well(holder)
    for client in stalled:
        client.close()


def test_a_client_that_never_reads_its_answers_disturbs_nobody(daemon, holder):
    with daemon.connect() as deaf:
        deaf.transport.sock.settimeout(0.3)
        pings = wire.frame(Proc.RESTRICT, wire.u32(0)) * 1000
        try:
            for _ in range(100):
                deaf.send(pings)
        except TimeoutError:
            pass    # the daemon stopped reading, as it should
        still_well(holder)


def test_connections_that_come_and_go_disturb_nobody(daemon, holder):
    for _ in range(2000):
        daemon.connect().close()
    still_well(holder)


def test_for_who_left_while_its_refusal_was_prepared_nothing_more_is_done(daemon, nursery, disk):
    path = disk()
    nursery.vm("foreign").lock(path, "posix", fcntl.F_WRLCK)
    owner = Owner("asking", nursery.sleeper().pid)
    crowd = [daemon.connect_as(owner) for _ in range(150)]

    def reads_while(action):
        """All ask and, before the daemon has seen it, do something; then one more asks."""
        before = reads_of(daemon)
        daemon.signal(signal.SIGSTOP)
        for client in crowd:
            client.send(wire.frame(Proc.ACQUIRE, wire.resource("", path, 0)))
        action()
        daemon.signal(signal.SIGCONT)
        assert last.acquire(path).verdict == (87, 51)
        return reads_of(daemon) - before

    def leave():
        for client in crowd:
            client.close()
    with daemon.connect_as(owner) as last:
        for_all = reads_while(lambda: None)
        assert all(client.receive().verdict == (87, 51) for client in crowd)
        assert for_all > len(crowd)
        assert reads_while(leave) < for_all / 3


def test_a_vm_with_an_endless_command_line_disturbs_nobody(daemon, holder, nursery, folder):
    # Every byte of it may begin a path that is as long as the rest.
    vm = nursery.vm("odd", argv=["=/" * 60000] * 8)
    space = os.path.join(folder, "space")
    with daemon.connect_as(vm.owner) as manager:
        assert manager.create_lockspace(space).ok
        manager.send(wire.frame(Proc.ACQUIRE, wire.resource(space, "a" * 64, wire.AUTOCREATE)))
        still_well(holder)
        assert manager.receive().ok


def test_a_vm_that_cannot_be_searched_quickly_is_not_searched_for_every_other(
        daemon, holder, nursery, folder):
    client, path = holder
    vm = nursery.vm("odd", argv=["=/" * 60000] * 8)
    with daemon.connect_as(vm.owner) as manager:
        space = os.path.join(folder, "space")
        assert manager.create_lockspace(space).ok
        one_search = 0
        for letter in "abcd":
            before = reads_of(daemon)
            assert manager.acquire(letter * 64, space, wire.AUTOCREATE).ok
            one_search = max(one_search, reads_of(daemon) - before)
    before = reads_of(daemon)
    for _ in range(100):
        assert client.release(path).ok
        assert client.acquire(path).ok
    assert reads_of(daemon) - before < 40 * one_search, "there are four searches in each round"
