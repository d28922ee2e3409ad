# SPDX-License-Identifier: LGPL-2.1-or-later
"""Ten thousand locks and a thousand connections at once."""

import fcntl
import os
import resource
import signal
import tempfile

import pytest
from hftest import wire
from hftest.files import lock_on_first_byte
from hftest.line import clients, is_granted
from hftest.own_program import GRANTED, want
from hftest.wire import AUTOCREATE, Owner, Proc

LOCKS = 10000
CONNECTIONS = 1000
DESCRIPTORS = 20000
BATCH = 250


@pytest.fixture
def images():
    """images(count): paths of that many files; in memory, as making them is not what is tested."""
    where = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="hf-", dir=where) as folder:
        def make(count):
            paths = [os.path.join(folder, f"{number:05}.img") for number in range(count)]
            for path in paths:
                os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
            return paths
        yield make


@pytest.fixture
def roomy(holdfastd):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < DESCRIPTORS:
        pytest.skip(f"needs {DESCRIPTORS} descriptors, the hard limit is {hard}")
    return holdfastd(rlimit_nofile=DESCRIPTORS)


def all_ok(client, proc, paths):
    """Calls in batches, so that the suite does not wait for ten thousand round trips."""
    for at in range(0, len(paths), BATCH):
        batch = paths[at:at + BATCH]
        client.send(b"".join(wire.frame(proc, wire.resource("", path, 0), serial=at + number)
                             for number, path in enumerate(batch)))
        for number, path in enumerate(batch):
            answer = client.receive()
            assert answer.ok and answer.serial == at + number, (path, answer)


def are(state, paths):
    # Asked file by file: /proc/locks leaves entries out while others lock and unlock.
    return all(lock_on_first_byte(path) == state for path in paths)


def test_ten_thousand_locks_and_a_thousand_connections_are_held(roomy, nursery, images):
    images = images(LOCKS)
    owners = [Owner(f"vm{number}", nursery.sleeper().pid, ident=number + 1) for number in range(4)]
    client = roomy.connect_as(owners[0])
    all_ok(client, Proc.ACQUIRE, images)
    connections = [roomy.connect_as(owners[number % 4]) for number in range(CONNECTIONS - 1)]
    assert are("write lock", images)
    for connection in connections:
        connection.send(wire.frame(1, prog=wire.KEEPALIVE_PROGRAM, type=wire.Type.MESSAGE))
    assert all(connection.receive().ok for connection in connections)
    rival = connections[0]
    rival.register(owners[1])
    assert all(rival.acquire(path).verdict == (87, 51) for path in images[::500])
    all_ok(client, Proc.RELEASE, images)
    assert are("unlocked", images)
    assert rival.acquire(images[-1]).ok
    for connection in connections:
        connection.close()


def test_a_vm_with_a_thousand_locks_ends_in_one_go(roomy, nursery, images):
    images = images(1000)
    vm = nursery.vm("big")
    vm.own_connection(roomy)
    manager = roomy.connect_as(vm.owner)
    all_ok(manager, Proc.ACQUIRE, images)
    rival = roomy.connect_as(Owner("rival", nursery.sleeper().pid))
    vm.kill()
    for path in images[::50]:
        answer = rival.acquire(path)
        while not answer.ok:
            assert answer.verdict == (87, 51)
            answer = rival.acquire(path)


def answers_while(client, condition):
    """How often the client is answered while the condition holds."""
    count = 0
    while condition():
        assert client.ping().ok
        count += 1
    return count


def answers_while_it_ends(daemon, nursery, images, name):
    """How often another client is answered while a VM's locks go."""
    vm = nursery.vm(name)
    vm.own_connection(daemon)
    all_ok(daemon.connect_as(vm.owner), Proc.ACQUIRE, images)
    other = daemon.connect()
    assert other.ping().ok
    vm.kill()
    # The lock that was taken first is the last to go.
    return answers_while(other, lambda: lock_on_first_byte(images[0]) != "unlocked")


def test_others_are_served_while_a_vm_with_thousands_of_locks_ends(roomy, nursery, images):
    images = images(5000)
    # On a busy machine it is this process that may not get its turn; in one go means never.
    assert any(answers_while_it_ends(roomy, nursery, images, f"big{attempt}") > 10
               for attempt in range(5)), "all the locks went in one go, everybody else waited"


def test_others_are_served_while_the_holders_of_foreign_locks_are_searched(
        roomy, nursery, images):
    images = images(300)
    foreigner = nursery.vm("foreigner")
    owner = Owner("one", nursery.sleeper().pid)
    refused = [roomy.connect_as(owner) for _ in images]
    for path in images:
        foreigner.lock(path, "posix", fcntl.F_WRLCK)
    other = roomy.connect()
    assert other.ping().ok
    for client, path in zip(refused, images):
        client.send(wire.frame(Proc.ACQUIRE, wire.resource("", path, 0)))
    answers = answers_while(other, lambda: refused[-1].receive(0).outcome == "silence")
    assert answers > 10, "all processes were searched in one go, everybody else waited"
    for client in refused[:-1]:
        answer = client.receive()
        assert answer.verdict == (87, 51) and str(foreigner.pid) in answer.error.message


def test_those_who_only_look_are_served_beside_the_others_not_before_them(
        roomy, nursery, images):
    images = images(8000)
    all_ok(roomy.connect_as(Owner("one", nursery.sleeper().pid)), Proc.ACQUIRE, images)
    # "who" looks at every lock; 15 of them fit what a connection is served in one go.
    who = wire.frame(5, wire.string("/nowhere") + bytes(28), prog=0x486F6C64)
    looking = [wire.Connection(roomy.own_socket_ro) for _ in range(20)]
    client = roomy.connect()
    assert client.ping().ok and all(c.ping().ok for c in looking)
    roomy.signal(signal.SIGSTOP)
    for connection in looking:
        connection.send(who * 15)
    client.send(wire.frame(1, prog=wire.KEEPALIVE_PROGRAM, type=wire.Type.MESSAGE))
    roomy.signal(signal.SIGCONT)
    assert client.receive().ok
    roomy.signal(signal.SIGSTOP)
    answered = 0
    for connection in looking:
        while connection.receive(0).outcome == "reply":
            answered += 1
    roomy.signal(signal.SIGCONT)
    assert answered < 150, f"{answered} of 300 lists were made before others had their turn"


def test_when_descriptors_run_out_only_new_locks_are_refused(holdfastd, nursery, images):
    images = images(300)
    daemon = holdfastd(rlimit_nofile=200)
    client = daemon.connect_as(Owner("greedy", nursery.sleeper().pid))
    got = []
    for path in images[:-1]:
        answer = client.acquire(path)
        if not answer.ok:
            assert answer.verdict == (38, 51), answer
            break
        got.append(path)
    assert 50 < len(got) < 300
    assert client.ping().ok
    assert are("write lock", got)
    assert client.release(got[0]).ok
    assert client.acquire(images[-1]).ok


def test_a_vm_that_cannot_be_watched_for_want_of_descriptors_is_not_registered(
        holdfastd, nursery, images):
    *images, own_image = images(300)
    daemon = holdfastd(rlimit_nofile=200)
    client = daemon.connect_as(Owner("greedy", nursery.sleeper().pid))
    vm = nursery.vm("late")
    own = vm.connect(daemon.socket)
    assert own.ping().ok
    got = [path for path in images if client.acquire(path).ok]
    answer = own.register(vm.owner)
    assert answer.verdict == (38, 51), answer
    assert own.acquire(own_image).verdict == (55, 7)
    assert client.release(got[0]).ok and client.release(got[1]).ok
    assert own.register(vm.owner).ok
    assert own.acquire(own_image).ok
    own.close()
    assert vm.ending() == signal.SIGTERM, "the connection is known as the VM's own"


def test_more_than_a_filesystem_has_in_its_queue_wait_for_it(daemon, folder):
    space = os.path.join(folder, "space")
    holder, *waiting = clients(daemon, 101)
    assert holder.connection.create_lockspace(space).ok
    many = [want(f"{number}", space, AUTOCREATE) for number in range(len(waiting))]
    assert holder.take(*many).granted == GRANTED
    for client, wanted in zip(waiting, many):
        client.ask(wanted)
    holder.release()
    assert all([is_granted(client.hear()) for client in waiting])
