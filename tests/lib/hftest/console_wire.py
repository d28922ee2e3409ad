# SPDX-License-Identifier: LGPL-2.1-or-later
"""Consoles over a raw connection, as src/rpc/console.x has them: every byte made here."""

import array
import re
import select
import socket
import struct
import time
from dataclasses import dataclass, field

from . import wire
from .own_program import PROGRAM, Own

LIST, ATTACH, NOTICES, NOTICE, ACT, REGISTER, FORGET = range(16, 23)
WATCH, FORCE, KEEP, ONLY_HELD = 1, 2, 4, 8
HELD, OPENING, BUSY, ENDED = 1, 2, 3, 4
BREAK, SIZE, TAKE, YIELD = 1, 2, 3, 4
DISPLACED, SKIPPED, IS_ENDED, STRANGER, WRITER, BACK = range(1, 7)

DEADLINE = 60


@dataclass
class Person:
    """Who is attached."""

    role: int
    pid: int
    uid: int
    user: str
    via: str
    host: str
    since: int
    last_input: int
    behind: int
    skipped: int


@dataclass
class Stranger:
    pid: int
    uid: int
    comm: str
    how: str


@dataclass
class Entry:
    number: int
    state: int
    text: str
    vm: str
    device: str
    uuid: bytes
    pid: int
    path: str
    registered: bool
    since: int
    head: int
    first: int
    written: int
    log_state: int
    log_text: str
    log: str
    clients: list = field(default_factory=list)
    more_clients: int = 0
    strangers: list = field(default_factory=list)

    @property
    def writer(self):
        return next((client for client in self.clients if client.role == 1), None)


@dataclass
class Notice:
    number: int
    kind: int
    position: int
    count: int
    client: Person
    stranger: Stranger
    text: str


class Refused(AssertionError):
    """An attach or an act was refused, or could not be."""

    def __init__(self, text, writer=None, stranger=None, code=None):
        super().__init__(text)
        self.text, self.writer, self.stranger, self.code = text, writer, stranger, code


def read_person(at):
    return Person(at.u32(), at.u32(), at.u32(), at.string(), at.string(), at.string(), at.u64(),
                  at.u64(), at.u64(), at.u64())


def read_stranger(at):
    return Stranger(at.u32(), at.u32(), at.string(), at.string())


def read_entry(at):
    entry = Entry(at.u64(), at.u32(), at.string(), at.string(), at.string(), at.take(16), at.u32(),
                  at.string(), bool(at.u32()), at.u64(), at.u64(), at.u64(), at.u64(), at.u32(),
                  at.string(), at.string())
    entry.clients = [read_person(at) for _ in range(at.u32())]
    entry.more_clients = at.u32()
    entry.strangers = [read_stranger(at) for _ in range(at.u32())]
    return entry


def read_notice(at):
    return Notice(at.u64(), at.u32(), at.u64(), at.u64(), at.optional(lambda: read_person(at)),
                  at.optional(lambda: read_stranger(at)), at.string())


class Transport(wire.Transport):
    """Bytes, and the descriptors that come with them."""

    def __init__(self, path, **how):
        super().__init__(path, **how)
        self.fds = []

    def receive(self, count, timeout):
        waiter = select.poll()
        waiter.register(self.sock, select.POLLIN)
        if not waiter.poll(max(0, timeout) * 1000):
            return None
        try:
            data, extra, _, _ = self.sock.recvmsg(count, socket.CMSG_SPACE(16))
        except ConnectionResetError:
            return b""
        for level, kind, body in extra:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds = array.array("i")
                fds.frombytes(body[:len(body) - len(body) % fds.itemsize])
                self.fds += fds
        return data


def call(connection, proc, payload=b""):
    """The answer's payload; an error is raised as Refused."""
    answer = connection.call(proc, payload, prog=PROGRAM)
    if not answer.ok:
        error = answer.error
        raise Refused(error.message if error else answer.outcome, code=answer.code)
    return wire.Cursor(answer.payload)


def connect(path, via="test", timeout=DEADLINE):
    connection = wire.Connection(Transport(path, timeout=timeout), timeout=timeout)
    call(connection, Own.HELLO, wire.string(via) + wire.u32(0))
    return connection


def consoles(path, strangers=False):
    """All consoles that a daemon has: [Entry]."""
    with connect(path) as connection:
        entries, cursor = [], 0
        while True:
            at = call(connection, LIST, struct.pack(">II", cursor, int(strangers)))
            entries += [read_entry(at) for _ in range(at.u32())]
            cursor = at.u32()
            assert not at.rest()
            if not cursor:
                return entries


def register(path, vm, device, where, pid, uuid=bytes(16), monitor="", chardev=""):
    """Returns (state, text)."""
    with connect(path) as connection:
        at = call(connection, REGISTER,
                  wire.string(vm) + uuid + wire.u32(pid) + wire.string(device) +
                  wire.string(where) + wire.string(monitor) + wire.string(chardev) + wire.u32(0))
        at.u64()
        return at.u32(), at.string()


class Client:
    """Somebody who is attached."""

    def __init__(self, socket_path, vm="", device="", path="", flags=0, replay=0, via="test",
                 host="", pid=0, uuid=bytes(16)):
        self.socket_path = socket_path
        self.connection = connect(socket_path, via)
        self.seen = b""
        self.notices = []
        self.stream = None
        try:
            self._attach(wire.string(vm) + wire.string(device) + wire.string(path) + uuid +
                         struct.pack(">IIIII", pid, flags, replay, 0, 0) + wire.string(host))
        except BaseException:
            self.connection.close()
            raise

    def _attach(self, payload):
        at = call(self.connection, ATTACH, payload)
        granted = at.u32()
        self.token, self.position, self.live = at.u64(), at.u64(), at.u64()
        self.marks = [(at.u64(), at.u64()) for _ in range(at.u32())]
        self.entry = at.optional(lambda: read_entry(at))
        writer = at.optional(lambda: read_person(at))
        stranger = at.optional(lambda: read_stranger(at))
        text = at.string()
        assert not at.rest()
        if not granted:
            raise Refused(text, writer, stranger)
        self.text = text
        fd, = self.connection.transport.fds
        self.stream = socket.socket(fileno=fd)
        self.stream.setblocking(False)
        self.connection.send(wire.frame(NOTICES, b"", prog=PROGRAM,
                                        serial=self.connection.serial))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self.stream:
            self.stream.close()
        self.connection.close()

    # What the guest prints.

    def read_some(self, timeout=0.1):
        """More of it; b"" for nothing, and None at the end."""
        waiter = select.poll()
        waiter.register(self.stream, select.POLLIN)
        if not waiter.poll(timeout * 1000):
            return b""
        try:
            data = self.stream.recv(1 << 20)
        except BlockingIOError:
            return b""
        except ConnectionResetError:
            return None
        self.seen += data
        return data or None

    def read_until(self, text, timeout=DEADLINE):
        """All that was read by now, as soon as the text is in it."""
        pattern = re.compile(re.escape(text)) if isinstance(text, bytes) else text
        end = time.monotonic() + timeout
        while not pattern.search(self.seen):
            assert time.monotonic() < end, (text, self.seen[-1000:])
            if self.read_some() is None:
                assert pattern.search(self.seen), ("the stream has ended", self.seen[-1000:])
        return self.seen

    def read_to_end(self, timeout=DEADLINE):
        end = time.monotonic() + timeout
        while self.read_some() is not None:
            assert time.monotonic() < end, "the stream does not end"
        return self.seen

    def type(self, text, timeout=DEADLINE):
        data = text.encode() if isinstance(text, str) else text
        end = time.monotonic() + timeout
        while data:
            assert time.monotonic() < end, "nothing is taken any more"
            waiter = select.poll()
            waiter.register(self.stream, select.POLLOUT)
            if waiter.poll(100):
                data = data[self.stream.send(data):]

    def wake(self, timeout=DEADLINE):
        """Types until the guest hears: it may not be up yet, or QEMU not look at the line."""
        end = time.monotonic() + timeout
        n = 0
        while b"heard wake" not in self.seen:
            assert time.monotonic() < end, ("the guest does not hear", self.seen[-1000:])
            self.type("wake %d\r" % n)
            n += 1
            self.read_for(0.2)
        self.type("awake\r")
        self.read_until(b"heard awake\r\n")
        self.seen = b""
        return self

    def read_for(self, seconds):
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if self.read_some(left) is None:
                break
        return self.seen

    # What is said of it.

    def await_notice(self, kind, timeout=DEADLINE):
        """The first notice of that kind that was not asked for yet."""
        end = time.monotonic() + timeout
        while True:
            for notice in self.notices:
                if notice.kind == kind:
                    self.notices.remove(notice)
                    return notice
            left = end - time.monotonic()
            assert left > 0, f"no notice {kind}"
            answer = self.connection.receive(left)
            assert answer.ok and answer.proc == NOTICE, answer
            self.notices.append(read_notice(wire.Cursor(answer.payload)))

    def act(self, act, flags=0, rows=0, columns=0):
        """On a connection of its own, as it has to be. Raises Refused."""
        with connect(self.socket_path) as other:
            at = call(other, ACT, struct.pack(">QIIII", self.token, act, flags, rows, columns))
            granted, writer, text = at.u32(), at.optional(lambda: read_person(at)), at.string()
            if not granted:
                raise Refused(text, writer)
