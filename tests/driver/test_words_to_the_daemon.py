# SPDX-License-Identifier: LGPL-2.1-or-later
"""What our driver says to holdfastd: of a disk that is locked by a name that stands for it, and
when it is to wait.

The other side is played here: it grants everything and writes down what it was asked.
"""

import errno
import hashlib
import os
import socket
import struct
import threading

import pytest
from hftest import wire

HOLDFAST_PROGRAM = 0x486F6C64
HELLO, ACQUIRE, CLIENT, ACQUIRE_SET, WAITING, RELEASE_SET = 1, 2, 8, 9, 10, 11
REFUSED, GRANTED, HAD = 0, 1, 2
FOREVER = 2 ** 64 - 1
TOKEN = 77


def read_exactly(connection, count):
    data = b""
    while len(data) < count:
        piece = connection.recv(count - len(data))
        if not piece:
            return b""
        data += piece
    return data


def acquire_of(cursor):
    asked = {key: cursor.string() for key in ("lockspace", "name")}
    asked["flags"] = cursor.u32()
    asked["thing"] = (cursor.u32(), cursor.u64(), cursor.u64())
    asked["image"] = cursor.string()
    return asked


def set_of(body):
    cursor = wire.Cursor(body)
    asked = {"class": cursor.u32(), "timeout": cursor.u64(), "flags": cursor.u32()}
    asked["wants"] = [acquire_of(cursor) for _ in range(cursor.u32())]
    assert not cursor.rest()
    return asked


def nobody():
    """No holder, here or elsewhere."""
    return wire.u32(0) * 2


def told(position, refused):
    return wire.u32(position) + wire.u32(refused) + struct.pack(">Q", 5) + wire.string("busy") \
        + nobody()


def set_answer(granted, refused=0, waited=0):
    return wire.u32(granted) + wire.u32(1) + struct.pack(">QQ", TOKEN, waited) \
        + wire.u32(refused) + wire.string("it is taken" if granted == REFUSED else "") + nobody()


class Words(list):
    """What the daemon was asked, and how it answers to sets, and to each acquire behind one."""

    set_granted, waits, granted = GRANTED, (), [GRANTED]

    def own(self, connection, proc, serial, body):
        """The answer to a call of the daemon's own program; None: an error."""
        if proc == HELLO:
            return wire.string("0") + wire.string("here") + wire.u32(1)
        if proc == ACQUIRE:
            self.append(acquire_of(wire.Cursor(body)))
            granted = self.granted.pop(0) if len(self.granted) > 1 else self.granted[0]
            # With a guarantee, without text, holder or anything behind that.
            return wire.u32(granted) + wire.u32(1) + wire.u32(0) * 3
        if proc == ACQUIRE_SET and self.set_granted is not None:
            self.append(("ACQUIRE_SET", set_of(body)))
            for position, refused in self.waits:
                connection.sendall(wire.frame(WAITING, told(position, refused), serial=serial,
                                              prog=HOLDFAST_PROGRAM, type=wire.Type.MESSAGE))
            return set_answer(self.set_granted, refused=1, waited=1500000)
        if proc == RELEASE_SET:
            self.append(("RELEASE_SET", wire.Cursor(body).u64()))
            return b""
        if proc == CLIENT:
            self.append(("CLIENT", wire.Cursor(body).string()))
            return b""
        return None


def no_such_call():
    return struct.pack(">ii", wire.Code.RPC, wire.Domain.RPC) + wire.u32(1) \
        + wire.string("unknown procedure") + struct.pack(">i", 2) + wire.u32(0) * 4 \
        + struct.pack(">ii", -1, -1) + wire.u32(0)


def serve(listener, asked):
    """One connection after another, until the listener is closed."""
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            while header := read_exactly(connection, wire.HEADER_LEN):
                length, prog, _, proc, _, serial, _ = wire.HEADER.unpack(header)
                body = read_exactly(connection, length - wire.HEADER_LEN)
                answer = b""
                if prog == HOLDFAST_PROGRAM:
                    answer = asked.own(connection, proc, serial, body)
                else:
                    asked.append((wire.Proc(proc).name, body))
                connection.sendall(wire.frame(
                    proc, no_such_call() if answer is None else answer, prog=prog,
                    type=wire.Type.REPLY, serial=serial, status=int(answer is None)))


@pytest.fixture
def asked(folder):
    """What a daemon in the folder is asked, in order."""
    os.makedirs(os.path.join(folder, "holdfast"))
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(os.path.join(folder, "holdfast", "holdfast-sock"))
    listener.listen()
    words = Words()
    server = threading.Thread(target=serve, args=(listener, words))
    server.start()
    yield words
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    server.join(10)
    assert not server.is_alive()


def started(peer, folder, text, *disks):
    path = os.path.join(folder, "vm.conf")
    with open(path, "w", encoding="utf-8") as conf:
        conf.write(text)
    vm = peer({"HOLDFAST_RUN_DIR": folder})
    vm.must("new", name="vm", config=path)
    for disk in disks:
        vm.must("disk", what="add", path=disk)
    vm.must("start")
    vm.process.kill()
    vm.process.wait(10)


def test_a_disk_behind_a_hash_comes_with_its_thing_and_its_path(asked, peer, folder, image):
    started(peer, folder, 'file_lockspace_dir = "/locks"\n', image("a"), image("b"))
    # The directory is made known once, before the first lock.
    assert [words[0] for words in asked if isinstance(words, tuple)] == [
        "REGISTER", "CREATE_LOCKSPACE", "RESTRICT"]
    for path, words in zip((image("a"), image("b")), [w for w in asked if isinstance(w, dict)]):
        there = os.stat(path)
        assert words["lockspace"] == "/locks" and words["image"] == path
        assert words["name"] == hashlib.sha256(path.encode()).hexdigest()
        assert words["flags"] & wire.AUTOCREATE
        assert words["thing"] == (1, there.st_dev, there.st_ino)


def test_a_disk_that_is_locked_itself_needs_no_other_path(asked, peer, folder, image):
    started(peer, folder, "", image())
    [words] = [w for w in asked if isinstance(w, dict)]
    assert (words["lockspace"], words["name"], words["image"]) == ("", image(), "")
    assert not words["flags"] & wire.AUTOCREATE
    assert words["thing"][0] == 1


def waiting_vm(peer, folder, *disks, wait_ms=-1, **how):
    vm = peer({"HOLDFAST_RUN_DIR": folder})
    vm.must("new", name="vm", driver="lockd", wait_ms=wait_ms, **how)
    for disk in disks:
        vm.must("disk", what="add", path=disk)
    return vm


def names(asked):
    return [words[0] if isinstance(words, tuple) else "ACQUIRE" for words in asked]


def test_who_is_to_wait_asks_for_all_at_once_and_then_for_each(asked, peer, folder, image):
    asked.granted = [HAD]
    vm = waiting_vm(peer, folder, image("a"), image("b"))
    vm.must("start")
    assert names(asked) == ["REGISTER", "ACQUIRE_SET", "ACQUIRE", "ACQUIRE", "RESTRICT"]
    wanted = asked[1][1]
    assert (wanted["class"], wanted["timeout"], wanted["flags"]) == (0, FOREVER, 1)
    # The descriptor comes with the second answer.
    assert [{**w, "flags": w["flags"] | 0x100} for w in wanted["wants"]] == asked[2:4]


def test_who_is_not_to_wait_asks_for_no_set(asked, peer, folder, image):
    waiting_vm(peer, folder, image(), wait_ms=0).must("start")
    assert names(asked) == ["REGISTER", "ACQUIRE", "RESTRICT"]


def test_the_time_to_wait_goes_out_in_microseconds(asked, peer, folder, image):
    waiting_vm(peer, folder, image(), wait_ms=60000).must("start")
    assert 50_000_000 < asked[1][1]["timeout"] <= 60_000_000


def test_what_is_waited_for_is_told_by_the_name_that_it_was_added_by(asked, peer, folder, image):
    asked.waits = [(2, 1), (1, 0), (1, 99)]
    vm = waiting_vm(peer, folder, image("a"), image("b"))
    vm.must("start")
    said = [(w["position"], w["resource"], w["text"], w["since"], w["holder"]["resource"])
            for w in vm.waits()["said"]]
    assert said == [(2, image("b"), "busy", 5, image("b")), (1, image("a"), "busy", 5, image("a"))]


def test_a_wait_that_runs_out_says_for_what_and_how_long(asked, peer, folder, image):
    asked.set_granted = REFUSED
    vm = waiting_vm(peer, folder, image("a"), image("b"))
    answer = vm.start()
    assert (answer["r"], answer["code"]) == (-errno.EBUSY, 3)
    assert answer["text"] == f"cannot lock disk {image('b')}: it is taken (waited 1.5 s for it)"
    assert vm.refusal()["resource"] == image("b")
    assert names(asked) == ["REGISTER", "ACQUIRE_SET"]


def test_what_fails_behind_a_set_gives_the_set_back(asked, peer, folder, image):
    asked.granted = [HAD, REFUSED]
    vm = waiting_vm(peer, folder, image("a"), image("b"))
    assert vm.start()["r"] == -errno.EBUSY
    assert names(asked) == ["REGISTER", "ACQUIRE_SET", "ACQUIRE", "ACQUIRE", "RELEASE_SET"]
    assert asked[-1][1] == TOKEN


def test_a_set_that_the_vm_had_before_is_not_given_back(asked, peer, folder, image):
    asked.set_granted, asked.granted = HAD, [HAD, REFUSED]
    vm = waiting_vm(peer, folder, image("a"), image("b"))
    assert vm.start()["r"] == -errno.EBUSY
    assert "RELEASE_SET" not in names(asked)


def test_a_daemon_that_lets_nobody_wait_is_asked_without(asked, peer, folder, image):
    asked.set_granted = None
    vm = waiting_vm(peer, folder, image())
    vm.must("start")
    assert names(asked) == ["REGISTER", "ACQUIRE", "RESTRICT"]
    # One is served after the other here.
    vm.process.kill()
    vm.process.wait(10)
    asked.granted = [REFUSED]
    answer = waiting_vm(peer, folder, image()).start()
    assert (answer["r"], answer["code"]) == (-errno.EOPNOTSUPP, 8)
    assert "is of a version without that" in answer["text"]


def test_a_client_says_so_and_neither_guards_nor_gets_duplicates(asked, peer, folder, image):
    vm = waiting_vm(peer, folder, image(), wait_ms=0, flags=2)
    vm.must("start")
    assert names(asked) == ["CLIENT", "ACQUIRE", "RESTRICT"]
    assert asked[0][1] == "vm" and not asked[1]["flags"] & 0x100
