# SPDX-License-Identifier: LGPL-2.1-or-later
"""Calls of the daemon's own program over a raw connection, as src/rpc/holdfast.x has them."""

import enum
import os
import struct
from dataclasses import dataclass

from . import wire

PROGRAM = 0x486F6C64

CONTENT = 0
METADATA = 1


class Own(enum.IntEnum):
    HELLO = 1
    ACQUIRE = 2
    LIST_OWNERS = 3
    LIST_LOCKS = 4
    WHO = 5
    RELEASE_ALL = 6
    GUARD = 7
    CLIENT = 8


@dataclass
class Owner:
    uuid: bytes
    name: str
    ident: int
    pid: int
    start: int
    state: int
    since: int
    via: str
    locks: int
    connections: list
    paused: bool
    client: bool


@dataclass
class Lock:
    lockspace: str
    name: str
    file: tuple
    thing: tuple
    shared: bool
    guarantee: int
    since: int
    owner: Owner
    lease: int
    klass: int


def call(connection, proc, payload=b"", **how):
    return connection.call(proc, payload, prog=PROGRAM, **how)


def client(connection, name="", pid=0, flags=0, uuid=bytes(16)):
    """From now on the connection stands for itself."""
    return call(connection, Own.CLIENT,
                wire.string(name) + uuid + wire.u32(pid) + wire.u32(flags))


def guard(connection, on_lost, monitor=""):
    return call(connection, Own.GUARD, wire.u32(on_lost) + wire.string(monitor) + bytes(4))


def read_owner(at):
    return Owner(at.take(16), at.string(), at.u32(), at.u32(), at.u64(), at.u32(), at.u64(),
                 at.string(), at.u32(), [at.u64() for _ in range(at.u32())], bool(at.u32()),
                 bool(at.u32()))


def read_thing(at):
    return at.u32(), at.u64(), at.u64()


def read_lock(at):
    return Lock(at.string(), at.string(), read_thing(at), read_thing(at), bool(at.u32()),
                at.u32(), at.u64(), read_owner(at), at.u32(), at.u32())


def _pages(connection, proc, read, payload=None):
    """All entries of a list, page after page."""
    entries, cursor = [], 0
    while True:
        answer = call(connection, proc, payload(cursor) if payload
                      else struct.pack(">II", cursor, 0))
        assert answer.ok, answer
        at = wire.Cursor(answer.payload)
        entries += [read(at) for _ in range(at.u32())]
        cursor = at.u32()
        assert not at.rest()
        if not cursor:
            return entries


def owners(connection):
    return _pages(connection, Own.LIST_OWNERS, read_owner)


def locks(connection):
    return _pages(connection, Own.LIST_LOCKS, read_lock)


# ---- sets ------------------------------------------------------------------------------

ACQUIRE_SET = 9
WAITING = 10
RELEASE_SET = 11
LIST_WAITERS = 12

FOREVER = 0xFFFFFFFFFFFFFFFF
PROGRESS = 1

REFUSED = 0
GRANTED = 1
HAD = 2


def want(name, space="", flags=0, thing=(0, 0, 0), image=""):
    return (wire.string(space) + wire.string(name) + wire.u32(flags) +
            struct.pack(">IQQ", *thing) + wire.string(image))


def metadata_of(path, name=None):
    """A want of METADATA: the file that is behind the path now."""
    st = os.stat(path, follow_symlinks=False)
    return want(path if name is None else name, thing=(1, st.st_dev, st.st_ino))


def set_payload(wants, *, timeout=0, klass=CONTENT, flags=0):
    """timeout: seconds, or FOREVER."""
    usec = timeout if timeout == FOREVER else int(timeout * 1000000)
    wants = [want(w) if isinstance(w, str) else w for w in wants]
    return struct.pack(">IQII", klass, usec, flags, len(wants)) + b"".join(wants)


@dataclass
class Record:
    host: str
    uuid: bytes
    name: str
    pid: int
    via: str
    since: int
    resource: str
    shared: bool


def read_record(at):
    return Record(at.string(), at.take(16), at.string(), at.u32(), at.string(), at.u64(),
                  at.string(), bool(at.u32()))


@dataclass
class Set:
    """What came of acquire-set."""

    granted: int
    guarantee: int
    token: int
    waited: int
    refused: int
    text: str
    holder: Lock
    elsewhere: Record


def read_set(answer):
    """The outcome of acquire-set, or the answer where that is another one."""
    if not answer.ok:
        return answer
    at = wire.Cursor(answer.payload)
    ret = Set(at.u32(), at.u32(), at.u64(), at.u64(), at.u32(), at.string(),
              at.optional(lambda: read_lock(at)), at.optional(lambda: read_record(at)))
    assert not at.rest()
    return ret


@dataclass
class Waiting:
    position: int
    refused: int
    since: int
    text: str
    holder: Lock
    elsewhere: Record


def read_waiting(answer):
    at = wire.Cursor(answer.payload)
    ret = Waiting(at.u32(), at.u32(), at.u64(), at.string(), at.optional(lambda: read_lock(at)),
                  at.optional(lambda: read_record(at)))
    assert not at.rest()
    return ret


def send_set(connection, *wants, serial=1, **how):
    """Only asks; the answer is to be received."""
    connection.send(wire.frame(ACQUIRE_SET, set_payload(wants, **how), prog=PROGRAM,
                               serial=serial))


def acquire_set(connection, *wants, **how):
    deadline = how.pop("deadline", None)
    return read_set(call(connection, ACQUIRE_SET, set_payload(wants, **how), timeout=deadline))


def release_set(connection, token, flags=0):
    return call(connection, RELEASE_SET, struct.pack(">QI", token, flags))


@dataclass
class Waiter:
    ticket: int
    position: int
    klass: int
    lockspace: str
    name: str
    thing: tuple
    shared: bool
    since: int
    until: int
    owner: Owner


def read_waiter(at):
    return Waiter(at.u64(), at.u32(), at.u32(), at.string(), at.string(), read_thing(at),
                  bool(at.u32()), at.u64(), at.u64(), read_owner(at))


def waiters(connection):
    return _pages(connection, LIST_WAITERS, read_waiter)
