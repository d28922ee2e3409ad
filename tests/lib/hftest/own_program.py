# SPDX-License-Identifier: LGPL-2.1-or-later
"""Calls of the daemon's own program over a raw connection, as src/rpc/holdfast.x has them."""

import enum
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
