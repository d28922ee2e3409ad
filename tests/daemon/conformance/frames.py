# SPDX-License-Identifier: LGPL-2.1-or-later
"""Framing: lengths, splits, header fields, keepalive, half-close."""

from hftest.conformance import (BAD_CALL, BUSY, NOT_REGISTERED, OK, SILENCE, Ask, Case, HalfClose,
                                HangUp, Ignored, Raw, Read, Together, Trickle, acquire,
                                create_lockspace, register, release, restrict)
from hftest.files import file
from hftest.wire import (ADMIN_PROGRAM, KEEPALIVE_PROGRAM, MAX_BODY, Proc, Type, frame, string,
                         u32)


def keepalive(proc=1, **how):
    how.setdefault("type", Type.MESSAGE)
    return frame(proc, prog=KEEPALIVE_PROGRAM, **how)


def length_word(value):
    return [Raw(u32(value)), Read(says="closed")]


LENGTHS = [
    Case("a length word of zero closes the connection without an answer", length_word(0)),
    Case("a length word that covers only itself closes the connection", length_word(4)),
    Case("a length word of 27 closes the connection",
         [Raw(u32(27) + bytes(23)), Read(says="closed")]),
    Case("a length word of 28 with nothing behind it waits for the rest",
         [Raw(u32(28)), Read(says="silence", timeout=SILENCE), HangUp()]),
    Case("a length word one above the maximum closes the connection", length_word(MAX_BODY + 5)),
    Case("a length word with the sign bit closes the connection", length_word(0x80000000)),
    Case("a length word of all ones closes the connection", length_word(0xFFFFFFFF)),
    Case("a length word of the maximum waits for the rest",
         [Raw(u32(MAX_BODY + 4)), Read(says="silence", timeout=SILENCE), HangUp()]),
    Case("a frame of the largest size is served",
         [register(surplus=bytes(MAX_BODY + 4 - 28 - 16 - 4 - 4 - 4 - 4 - 4))]),
    Case("a length word below the header after a good call closes the connection",
         [register(), Raw(u32(27) + bytes(23)), Read(says="closed")]),
    Case("a bad length behind a good call in the same write still lets the call be answered",
         [Together([register()]), Read(), Raw(u32(5) + bytes(1)), Read(says="closed")]),
    Case("a frame whose length cuts its own payload is read as it says",
         [register(header={"length": 28}, says=BAD_CALL), HangUp()]),
    Case("one client's bad length does not touch another client",
         [register(on="b"), Raw(u32(3)), Read(says="closed"), restrict(on="b")]),
]

SPLITS = [
    Case("a call sent one byte at a time is answered", [Trickle(register())]),
    Case("a call split inside its length word is answered", [register(pieces=(2,))]),
    Case("a call split after its length word is answered", [register(pieces=(4,))]),
    Case("a call split inside its header is answered", [register(pieces=(13, 7))]),
    Case("a call split between header and payload is answered", [register(pieces=(28,))]),
    Case("a call split inside a string is answered", [register(pieces=(28 + 18, 1, 1))]),
    Case("two calls in one write are answered in order",
         [Together([register(), restrict()]), Read(), Read()]),
    Case("fifty calls in one write are answered in order",
         [Together([register("one") for _ in range(50)]), *[Read() for _ in range(50)]]),
    Case("pipelined calls see each other's effects in order",
         [Together([register(), acquire("@/disk"), release("@/disk"), acquire("@/disk"),
                    restrict(), acquire("@/disk", flags=1)]),
          *[Read() for _ in range(5)], Read(says=(29, 7))],
         {"disk": file()}),
    Case("a refused call in a pipeline does not stop the next",
         [Together([acquire("@/disk"), register(), acquire("@/none"), acquire("@/disk")]),
          Read(says=NOT_REGISTERED), Read(), Read(says=(38, 51)), Read()],
         {"disk": file()}),
    Case("one write may end inside the next call",
         [Raw(frame(Proc.RESTRICT, u32(0), serial=5) + frame(Proc.RESTRICT, u32(0), serial=6)[:17]),
          Read(says=NOT_REGISTERED), Raw(frame(Proc.RESTRICT, u32(0), serial=6)[17:]),
          Read(says=NOT_REGISTERED)]),
    Case("a second call waits until the first is answered, also across clients",
         [register("one", on="a"), register("two", on="b"),
          Together([acquire("@/disk"), release("@/disk")]), Read(), Read(),
          acquire("@/disk", on="b")],
         {"disk": file()}),
]


def header(says=BAD_CALL, proc=Proc.RESTRICT, **fields):
    return [register(), Ask(proc, [0], header=fields, says=says)]


def swallowed(**fields):
    return [register(), Ignored(Ask(Proc.RESTRICT, [0], header=fields), label="ignored"),
            restrict()]


HEADERS = [
    Case("an unknown program is refused with that program in the answer",
         header(prog=0x12345678)),
    Case("program zero is refused", header(prog=0)),
    Case("the admin program is unknown on the lock socket", header(prog=ADMIN_PROGRAM, proc=1)),
    Case("the remote program of libvirtd is unknown on the lock socket", header(prog=0x20008086)),
    Case("version 0 is refused", header(vers=0)),
    Case("version 2 is refused", header(vers=2)),
    Case("version 2 of an unknown program is refused", header(vers=2, prog=0x12345678)),
    Case("procedure 0 is refused", header(proc=0)),
    Case("procedure 9 is refused", header(proc=9)),
    Case("procedure -1 is refused", header(proc=-1)),
    Case("the largest procedure number is refused", header(proc=0x7FFFFFFF)),
    Case("the smallest procedure number is refused", header(proc=-0x80000000)),
    Case("an unknown procedure is refused before the connection is registered",
         [Ask(9, [], says=BAD_CALL)]),
    Case("an unknown procedure is refused on a restricted connection as an unknown procedure",
         [register(), restrict(), Ask(9, [], says=BAD_CALL)]),
    Case("a call with status error is refused", header(status=1)),
    Case("a call with status continue is refused", header(status=2)),
    Case("a call with an unknown status is refused", header(status=77)),
    Case("a bad status counts before an unknown procedure", header(status=1, proc=99)),
    Case("serial zero is echoed", [register(header={"serial": 0})]),
    Case("the largest serial is echoed", [register(header={"serial": 0xFFFFFFFF})]),
    Case("the same serial twice is answered twice",
         [register(header={"serial": 7}), register(header={"serial": 7})]),
    Case("serials may go down", [register(header={"serial": 9}), register(header={"serial": 2})]),
    Case("an error echoes the serial", [restrict(header={"serial": 0x80000001},
                                                 says=NOT_REGISTERED)]),
    Case("a reply sent by a client is ignored", swallowed(type=Type.REPLY)),
    Case("a message sent by a client is ignored", swallowed(type=Type.MESSAGE)),
    Case("a stream packet is ignored", swallowed(type=Type.STREAM)),
    Case("a stream hole is ignored", swallowed(type=Type.STREAM_HOLE)),
    Case("a reply with an unknown procedure is ignored", swallowed(type=Type.REPLY, status=1)),
]

KEEPALIVE = [
    Case("a ping is answered with a pong", [Raw(keepalive()), Read()]),
    Case("a ping is answered on a registered connection",
         [register(), Raw(keepalive()), Read(), restrict()]),
    Case("a ping is answered on a restricted connection",
         [register(), restrict(), Raw(keepalive()), Read()]),
    Case("three pings get three pongs", [Raw(keepalive() * 3), Read(), Read(), Read()]),
    Case("a ping split in two is answered",
         [Raw(keepalive()[:11]), Raw(keepalive()[11:]), Read()]),
    Case("a ping and a call in one write are both answered",
         [Raw(keepalive()), Read(), register()]),
    Case("a pong nobody asked for is ignored", [Ignored(keepalive(2), label="ignored")]),
]

CLOSING = [
    Case("a call followed by a half-close is answered or dropped, and then the connection ends",
         [register(), HalfClose(), Read(says="closed")]),
    Case("a half-close before any call ends the connection", [HalfClose(), Read(says="closed")]),
    Case("a half-close inside a frame ends the connection",
         [Raw(frame(Proc.REGISTER, bytes(40))[:33]), HalfClose(), Read(says="closed")]),
    Case("hanging up inside a frame leaves the daemon serving others",
         [Raw(frame(Proc.REGISTER, bytes(40))[:33]), HangUp(), register(on="b")]),
    Case("hanging up with an answer outstanding leaves the daemon serving others",
         [Together([register("one")]), HangUp(), register("two", on="b"),
          acquire("@/disk", on="b")],
         {"disk": file()}),
    Case("a lock taken just before hanging up stays with its owner",
         [register("one"), acquire("@/disk"), HangUp(), register("two", on="b"),
          acquire("@/disk", on="b", says=BUSY, busy_by="one"),
          acquire("@/disk", on="b", flags=1, says=BUSY, busy_by="one", label="shared")],
         {"disk": file()}),
    Case("a payload whose first string claims more bytes than the frame has is refused",
         [Raw(frame(Proc.CREATE_LOCKSPACE, u32(100) + b"abcd")), Read(says=BAD_CALL),
          create_lockspace("", says=OK)]),
    Case("a payload whose string claims four gigabytes is refused",
         [Raw(frame(Proc.CREATE_LOCKSPACE, u32(0xFFFFFFFF) + b"abcd")), Read(says=BAD_CALL)]),
    Case("padding that is not zero is accepted",
         [Raw(frame(Proc.CREATE_LOCKSPACE, string("")[:4])), Read(),
          Raw(frame(Proc.REGISTER, bytes(15) + b"\1" + u32(1) + b"nxyz" + u32(1) + u32(0) +
                    u32(0))), Read()]),
]

CASES = [*LENGTHS, *SPLITS, *HEADERS, *KEEPALIVE, *CLOSING]
