# SPDX-License-Identifier: LGPL-2.1-or-later
"""A raw client of the virtlockd wire.

It exists to send what a well-behaved client never would, so it shares no code with
the product: every byte is made and taken apart here. Nothing in this module waits
without a deadline, and nothing raises because of what the daemon answered: an answer,
a closed connection and silence are all just results.
"""

import enum
import os
import select
import socket
import struct
import time
from dataclasses import dataclass, field

LOCK_PROGRAM = 0x0EA7BEEF
ADMIN_PROGRAM = 0x06900690
KEEPALIVE_PROGRAM = 0x6B656570

HEADER = struct.Struct(">IIIiIII")
HEADER_LEN = 28
MAX_BODY = 33554432
MAX_LENGTH_WORD = MAX_BODY + 4
MAX_STRING = 65536

SHARED = 1
AUTOCREATE = 2

ANSWER_DEADLINE = 10.0


class Proc(enum.IntEnum):
    REGISTER = 1
    RESTRICT = 2
    NEW = 3
    CREATE_RESOURCE = 4
    DELETE_RESOURCE = 5
    ACQUIRE = 6
    RELEASE = 7
    CREATE_LOCKSPACE = 8


class Type(enum.IntEnum):
    CALL = 0
    REPLY = 1
    MESSAGE = 2
    STREAM = 3
    CALL_WITH_FDS = 4
    REPLY_WITH_FDS = 5
    STREAM_HOLE = 6


class Code(enum.IntEnum):
    INTERNAL = 1
    INVALID_ARG = 8
    DENIED = 29
    SYSTEM = 38
    RPC = 39
    OPERATION_INVALID = 55
    BUSY = 87


class Domain(enum.IntEnum):
    NONE = 0
    RPC = 7
    LOCKSPACE = 51


# ---- XDR ---------------------------------------------------------------------------


def u32(value):
    return struct.pack(">I", value & 0xFFFFFFFF)


def u64(value):
    return struct.pack(">Q", value)


def pad(data):
    return data + bytes(-len(data) % 4)


def string(text):
    """An XDR string; bytes go out as they are, text as the filesystem would spell it."""
    data = text if isinstance(text, bytes) else os.fsencode(text)
    return u32(len(data)) + pad(data)


def owner(uuid, name, ident, pid):
    assert len(uuid) == 16
    return uuid + string(name) + u32(ident) + u32(pid)


def frame(proc, payload=b"", *, prog=LOCK_PROGRAM, vers=1, type=Type.CALL, serial=0, status=0,
          length=None):
    """One frame. `length` overrides the length word, to lie about it."""
    total = HEADER_LEN + len(payload) if length is None else length
    return HEADER.pack(total & 0xFFFFFFFF, prog, vers, proc, type, serial, status) + payload


class Cursor:
    """Takes an answer apart; running off its end is the daemon's fault and raises ValueError."""

    def __init__(self, data):
        self.data = data
        self.at = 0

    def take(self, count):
        if self.at + count > len(self.data):
            raise ValueError(f"answer ends after {len(self.data)} bytes, {count} more expected")
        piece = self.data[self.at:self.at + count]
        self.at += count
        return piece

    def i32(self):
        return struct.unpack(">i", self.take(4))[0]

    def u32(self):
        return struct.unpack(">I", self.take(4))[0]

    def u64(self):
        return struct.unpack(">Q", self.take(8))[0]

    def string(self):
        size = self.u32()
        text = self.take(size)
        if any(self.take(-size % 4)):
            raise ValueError("padding is not zero")
        return os.fsdecode(text)

    def optional(self, read):
        present = self.u32()
        if present not in (0, 1):
            raise ValueError(f"optional marked {present}")
        return read() if present else None

    def rest(self):
        return self.take(len(self.data) - self.at)


@dataclass
class Error:
    code: int
    domain: int
    message: str
    level: int
    object: object
    str1: str
    str2: str
    str3: str
    int1: int
    int2: int
    network: object


def parse_error(payload):
    at = Cursor(payload)
    error = Error(at.i32(), at.i32(), at.optional(at.string), at.i32(), None, None, None, None,
                  0, 0, None)
    if at.u32():
        raise ValueError("an error names a domain object")
    error.str1 = at.optional(at.string)
    error.str2 = at.optional(at.string)
    error.str3 = at.optional(at.string)
    error.int1, error.int2 = at.i32(), at.i32()
    if at.u32():
        raise ValueError("an error names a network object")
    if at.rest():
        raise ValueError("bytes after the error structure")
    return error


@dataclass
class Answer:
    """What came back: outcome is 'reply', 'closed' or 'silence'."""

    outcome: str
    prog: int = None
    vers: int = None
    proc: int = None
    type: int = None
    serial: int = None
    status: int = None
    payload: bytes = field(default=None, repr=False)
    error: Error = None

    @property
    def ok(self):
        return self.outcome == "reply" and self.status == 0

    @property
    def code(self):
        return self.error.code if self.error else None

    @property
    def verdict(self):
        """(code, domain) of a refusal, 'ok', 'closed' or 'silence': for short assertions."""
        if self.outcome != "reply":
            return self.outcome
        return (self.error.code, self.error.domain) if self.error else "ok"


CLOSED = Answer("closed")
SILENCE = Answer("silence")


def parse_answer(data):
    length, prog, vers, proc, kind, serial, status = HEADER.unpack_from(data)
    assert length == len(data)
    payload = data[HEADER_LEN:]
    error = parse_error(payload) if status == 1 else None
    return Answer("reply", prog, vers, proc, kind, serial, status, payload, error)


# ---- connection --------------------------------------------------------------------


class Transport:
    """Bytes over a unix socket of this process."""

    def __init__(self, path, timeout=ANSWER_DEADLINE):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            # A full queue is waited for in the kernel; with a timeout of Python's it is an error.
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO,
                                 struct.pack("@ll", int(timeout), 0))
            self.sock.connect(path)
            self.sock.settimeout(timeout)
        except OSError:
            self.sock.close()
            raise

    def send(self, data):
        """False when the other end no longer listens."""
        try:
            self.sock.sendall(data)
            return True
        except (BrokenPipeError, ConnectionResetError):
            return False

    def receive(self, count, timeout):
        """Up to count bytes; b'' at the end, None when nothing came in time."""
        # Not select(): it cannot name a descriptor above 1023.
        waiter = select.poll()
        waiter.register(self.sock, select.POLLIN)
        if not waiter.poll(max(0, timeout) * 1000):
            return None
        try:
            return self.sock.recv(count)
        except ConnectionResetError:
            return b""

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)

    def close(self):
        self.sock.close()


class Connection:
    """A lock connection. Calls are numbered from 0 as the stock plugin does."""

    def __init__(self, transport, timeout=ANSWER_DEADLINE):
        self.transport = Transport(transport) if isinstance(transport, str) else transport
        self.timeout = timeout
        self.serial = 0
        self.pending = b""
        self.ended = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.transport.close()

    def half_close(self):
        self.transport.half_close()

    def send(self, data):
        return self.transport.send(data)

    def _fill(self, size, end):
        """Buffers at least size bytes; 'closed' or 'silence' when they do not come."""
        while len(self.pending) < size:
            if self.ended:
                return "closed"
            left = end - time.monotonic()
            piece = self.transport.receive(65536, left)
            if piece is None:
                return "silence"
            if not piece:
                self.ended = True
            self.pending += piece
        return None

    def receive(self, timeout=None):
        """The next answer, or CLOSED, or SILENCE when the deadline passed first."""
        end = time.monotonic() + (self.timeout if timeout is None else timeout)
        missing = self._fill(4, end)
        if not missing:
            length = struct.unpack(">I", self.pending[:4])[0]
            if not HEADER_LEN <= length <= MAX_LENGTH_WORD:
                raise ValueError(f"answer with length word {length}")
            missing = self._fill(length, end)
        if missing == "closed" and self.pending:
            raise ValueError(f"connection closed inside an answer: {self.pending!r}")
        if missing:
            return Answer(missing)
        data, self.pending = self.pending[:length], self.pending[length:]
        return parse_answer(data)

    def call(self, proc, payload=b"", **how):
        """Sends one call and waits for its answer; a wrong serial raises."""
        timeout = how.pop("timeout", None)
        serial = how.setdefault("serial", self.serial)
        self.serial = serial + 1
        self.send(frame(proc, payload, **how))
        answer = self.receive(timeout)
        if answer.outcome == "reply" and answer.serial != serial:
            raise ValueError(f"answer to {answer.serial}, question was {serial}")
        return answer

    # The eight procedures.

    def register(self, who, flags=0, **how):
        return self.call(Proc.REGISTER, who.xdr() + u32(flags), **how)

    def restrict(self, flags=0, **how):
        return self.call(Proc.RESTRICT, u32(flags), **how)

    def new(self, path, flags=0, **how):
        return self.call(Proc.NEW, string(path) + u32(flags), **how)

    def create_resource(self, name, space="", flags=0, **how):
        return self.call(Proc.CREATE_RESOURCE, resource(space, name, flags), **how)

    def delete_resource(self, name, space="", flags=0, **how):
        return self.call(Proc.DELETE_RESOURCE, resource(space, name, flags), **how)

    def acquire(self, name, space="", flags=0, **how):
        return self.call(Proc.ACQUIRE, resource(space, name, flags), **how)

    def release(self, name, space="", flags=0, **how):
        return self.call(Proc.RELEASE, resource(space, name, flags), **how)

    def create_lockspace(self, path, **how):
        return self.call(Proc.CREATE_LOCKSPACE, string(path), **how)

    def ping(self, timeout=None):
        self.send(frame(1, prog=KEEPALIVE_PROGRAM, type=Type.MESSAGE))
        return self.receive(timeout)

    def is_closed(self, timeout=None):
        """True when the daemon closes the connection without another word."""
        return self.receive(timeout).outcome == "closed"


def resource(space, name, flags):
    return string(space) + string(name) + u32(flags)


@dataclass
class Owner:
    """Who a lock belongs to, as the wire says it."""

    name: str
    pid: int
    ident: int = 1
    uuid: bytes = None

    def xdr(self):
        uuid = self.uuid or uuid_of(self.name)
        return owner(uuid, self.name, self.ident, self.pid)


def uuid_of(name):
    """A fixed, valid UUID per name, so that two daemons are told the same."""
    text = name if isinstance(name, bytes) else os.fsencode(name)
    digest = (text * 16 + bytes(range(1, 17)))[:16]
    return digest[:6] + bytes([0x40 | digest[6] & 0x0F, digest[7], 0x80 | digest[8] & 0x3F]) \
        + digest[9:]
