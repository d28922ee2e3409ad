# SPDX-License-Identifier: LGPL-2.1-or-later
"""The requests that two helpers are compared by, in groups; pr_steps.py takes them."""

from hftest.pr_steps import A, B, patched, raw, step
from hftest.prhelper import (CLEAR, PREEMPT, PREEMPT_AND_ABORT, READ_FULL_STATUS, READ_KEYS,
                             READ_RESERVATION, REGISTER, REGISTER_AND_IGNORE, REGISTER_AND_MOVE,
                             RELEASE, REPORT_CAPABILITIES, RESERVE, parameters, pr_in, pr_out)

LONGEST = 8192
ONE, TWO, THREE, WRONG = 0x1111, 0x2222, 0x3333, 0xBAD
TYPES = (1, 3, 5, 6, 7, 8)
ROOMS = (0, 1, 3, 4, 5, 7, 8, 9, 12, 15, 16, 23, 24, 25, 255, 256, 4096, LONGEST - 1, LONGEST)
LENGTHS = (0, 1, 8, 16, 23, 25, 28, 48, 255, 4096, LONGEST - 1, LONGEST)
APTPL, ALL_TG_PT, SPEC_I_PT = 1, 4, 8

# Where we answer differently on purpose: {label: the reason}. There is nothing of the kind on
# plain SCSI. What differs elsewhere is not about answers to one of these requests: a multipath
# device is never asked by SG_IO, and a path on which a helper answers is not taken from it.
DELIBERATE = {}


def out(label, action, key=0, other=0, kind=0, scope=0, flags=0, target=A):
    return step(label, pr_out(action, kind, scope=scope), parameters(key, other, flags), target)


def listed(length, key, other=0):
    """A list of any length."""
    return parameters(key, other).ljust(length, b"\0")[:length]


def wire(target=A):
    """How requests may come, and how not. target: what the ordinary ones are about."""
    ask, full = pr_in(REPORT_CAPABILITIES, 8), pr_out(REGISTER)
    here, data = (target,), parameters(0, 0)
    yield raw("nothing is said but the end", end=True)
    for wanted in (0, 1, 2, 0x80000000, 0xFFFFFFFF):
        yield raw(f"features {wanted:#x}", (ask, here), wanted=wanted)
    for at in range(1, 16):
        yield raw(f"command in two pieces, {at} and the rest", (ask[:at], here), (ask[at:], ()))
    for at in (1, 8, 15):
        yield raw(f"descriptor with the second piece, behind {at}", (ask[:at], ()),
                  (ask[at:], here))
        yield raw(f"one with each of two pieces, behind {at}", (ask[:at], here), (ask[at:], here))
    yield raw("each byte by itself", *((ask[at:at + 1], here if at == 7 else ())
                                       for at in range(16)))
    yield raw("two descriptors at once", (ask, (target, target)))
    yield raw("three descriptors at once", (ask, (target, target, target)))
    yield raw("no descriptor", (ask, ()))
    yield raw("no descriptor, the end", (ask, ()), end=True)
    yield raw("a command cut short", (ask[:9], here), end=True)
    yield raw("half closed behind a request", (ask, here), end=True, answers=2)
    yield raw("half closed behind a list", (full, here), (data, ()), end=True, answers=2)
    yield raw("a list cut short", (full, here), (data[:23], ()), end=True)
    yield raw("no list", (full, here), end=True)
    yield raw("a list in pieces", (full, here), (data[:1], ()), (data[1:13], ()), (data[13:], ()))
    yield raw("command and list in one message", (full + data, here))
    yield raw("a descriptor with the list, too", (full, here), (data, here))
    yield raw("a descriptor with the list alone", (full, ()), (data, here))
    yield raw("two requests before the first answer", (ask, here),
              (pr_in(REPORT_CAPABILITIES, 7), here), answers=2)
    yield raw("two requests in one message", (ask + ask, (target, target)), answers=2)
    for opcode in (0x00, 0x03, 0x12, 0x28, 0x2A, 0x5D, 0x60, 0xA0, 0xFF):
        yield raw(f"opcode {opcode:02x}", (patched(ask, at0=opcode), here))
    for length in (LONGEST + 1, 0x2100, 0x8000, 0xFFFF):
        size = {"at7": length >> 8, "at8": length & 0xFF}
        yield raw(f"IN of {length}", (patched(ask, **size), here))
        yield raw(f"OUT of {length}", (patched(full, **size), here), (bytes(length), ()))


def kinds():
    """Descriptors that are no disk."""
    for kind in ("null", "zero, read-only", "file", "folder", "path", "pipe, read", "pipe, write",
                 "socket"):
        for action in (READ_KEYS, READ_FULL_STATUS):
            yield step(f"IN {action} to: {kind}", pr_in(action), target=kind)
        yield step(f"OUT to: {kind}", pr_out(REGISTER), parameters(0, ONE), kind)
        yield step(f"OUT of nothing to: {kind}", pr_out(REGISTER, length=0), target=kind)


def nodes():
    """Other descriptors of the disk."""
    for kind in ("sg", "read-only", "write-only", "path of a"):
        yield step(f"keys by: {kind}", pr_in(READ_KEYS), target=kind)
        yield step(f"capabilities by: {kind}", pr_in(REPORT_CAPABILITIES, 8), target=kind)
        yield out(f"register by: {kind}", REGISTER_AND_IGNORE, 0, ONE, target=kind)
        yield step(f"keys behind it by: {kind}", pr_in(READ_KEYS), target=kind)
        yield step(f"too short by: {kind}", pr_out(REGISTER_AND_IGNORE, length=23), bytes(23), kind)
        yield out(f"unregister by: {kind}", REGISTER_AND_IGNORE, target=kind)


def reading():
    """Every service action of IN, every sort of room, every byte that has no meaning."""
    for action in range(32):
        yield step(f"IN {action}", pr_in(action))
    for action in (READ_KEYS, READ_RESERVATION, REPORT_CAPABILITIES, READ_FULL_STATUS):
        for room in ROOMS:
            yield step(f"IN {action}, room {room}", pr_in(action, room))
    for bits in (0x20, 0x40, 0x80, 0xE0):
        yield step(f"IN with bits {bits:02x} in byte 1", patched(pr_in(READ_KEYS), at1=bits))
    for at in (2, 3, 4, 5, 6, *range(9, 16)):
        yield step(f"IN with byte {at} set",
                   patched(pr_in(REPORT_CAPABILITIES, 8), **{f"at{at}": 0xFF}))


def refused():
    """OUT that no disk takes, by one that has registered; nothing of it changes a thing."""
    yield out("register for what is refused", REGISTER, 0, ONE)
    for length in LENGTHS:
        yield step(f"register, list of {length}", pr_out(REGISTER, length=length),
                   listed(length, ONE, ONE))
        yield step(f"reserve, list of {length}", pr_out(RESERVE, 3, length=length),
                   listed(length, ONE))
    for kind in (0, 2, 4, *range(9, 16)):
        yield out(f"reserve type {kind}", RESERVE, ONE, kind=kind)
    for scope in (1, 2, 3, 8, 15):
        yield out(f"reserve scope {scope}", RESERVE, ONE, kind=3, scope=scope)
    for action in range(8, 32):
        yield out(f"OUT {action}", action, ONE)
    yield out("move with a plain list", REGISTER_AND_MOVE, ONE, TWO)
    for flags in (SPEC_I_PT, SPEC_I_PT | ALL_TG_PT):
        yield out(f"register with flags {flags:02x}", REGISTER, ONE, ONE, flags=flags)
    yield step("initiators that do not fit", pr_out(REGISTER, length=52),
               parameters(ONE, ONE, SPEC_I_PT) + b"\0\0\xff\xff" + bytes(24))
    yield out("preempt of nobody", PREEMPT, ONE, 0, kind=3)
    yield out("preempt of a key that is not there", PREEMPT, ONE, THREE, kind=3)
    yield out("register with a wrong key", REGISTER, WRONG, TWO)
    yield out("reserve with a wrong key", RESERVE, WRONG, kind=3)
    yield out("clear with a wrong key", CLEAR, WRONG)
    for at in (3, 4, 5, 6, *range(9, 16)):
        yield step(f"OUT with byte {at} set", patched(pr_out(REGISTER), **{f"at{at}": 0xFF}),
                   parameters(ONE, ONE))
    yield step("OUT with bits e0 in byte 1", patched(pr_out(REGISTER), at1=0xE0),
               parameters(ONE, ONE))
    yield step("keys behind what was refused", pr_in(READ_KEYS))
    yield out("unregister behind what was refused", REGISTER, ONE, 0)


def stranger():
    """One that has not registered."""
    for name, action in (("reserve", RESERVE), ("release", RELEASE), ("clear", CLEAR),
                         ("preempt", PREEMPT)):
        yield out(f"{name} without a registration", action, ONE, TWO, kind=3)
    yield out("register by the key that it has not", REGISTER, ONE, TWO)
    yield out("unregister what is not registered", REGISTER, 0, 0)
    yield out("register and ignore nothing", REGISTER_AND_IGNORE, 0, 0)


def look(when, target=A):
    for name, action in (("keys", READ_KEYS), ("reservation", READ_RESERVATION),
                         ("all", READ_FULL_STATUS), ("capabilities", REPORT_CAPABILITIES)):
        yield step(f"{when}: {name}", pr_in(action), target=target)


def registering():
    yield out("registering: a", REGISTER, 0, ONE)
    yield out("registering: a, again with the same key", REGISTER, ONE, ONE)
    yield out("registering: a, another key", REGISTER, ONE, THREE)
    yield out("registering: a, with flags", REGISTER, THREE, ONE, flags=APTPL)
    yield from look("registered for good")
    yield out("registering: a, no more for good", REGISTER, ONE, ONE)
    yield out("registering: b, all ports", REGISTER_AND_IGNORE, 0, TWO, flags=ALL_TG_PT, target=B)
    yield from look("b is registered for all ports")
    yield out("registering: b, away with one port", REGISTER, TWO, 0, target=B)
    yield out("registering: b, away", REGISTER, TWO, 0, flags=ALL_TG_PT, target=B)
    yield out("registering: b, one port", REGISTER_AND_IGNORE, 0, TWO, target=B)
    yield from look("two are registered")
    yield from look("two are registered, b asks", B)
    for room in (8, 12, 16, 20, 24, 32, 60, 80):
        yield step(f"keys of two, room {room}", pr_in(READ_KEYS, room))
        yield step(f"all of two, room {room}", pr_in(READ_FULL_STATUS, room))
    yield out("registering: b, away again", REGISTER, TWO, 0, target=B)
    yield out("registering: b, as a", REGISTER, 0, ONE, target=B)
    yield from look("two share a key")
    yield out("registering: b, a key of its own", REGISTER, ONE, TWO, target=B)


def reserving():
    """A and b have registered ONE and TWO."""
    for kind, other in zip(TYPES, TYPES[1:] + TYPES[:1]):
        yield out(f"type {kind}: a reserves", RESERVE, ONE, kind=kind)
        yield out(f"type {kind}: a reserves again", RESERVE, ONE, kind=kind)
        yield out(f"type {kind}: a reserves another", RESERVE, ONE, kind=other)
        yield from look(f"type {kind}")
        yield out(f"type {kind}: b meets a conflict", RESERVE, TWO, kind=kind, target=B)
        yield out(f"type {kind}: b releases", RELEASE, TWO, kind=kind, target=B)
        yield out(f"type {kind}: a releases another", RELEASE, ONE, kind=other)
        yield out(f"type {kind}: a releases", RELEASE, ONE, kind=kind)
        yield step(f"type {kind}: b is told", pr_in(READ_KEYS), target=B)
        yield step(f"type {kind}: b is told once", pr_in(READ_KEYS), target=B)
        yield step(f"type {kind}: a is told nothing", pr_in(READ_RESERVATION))


def preempting():
    yield out("preempting: a reserves", RESERVE, ONE, kind=5)
    yield out("preempting: b takes it", PREEMPT, TWO, ONE, kind=6, target=B)
    yield out("preempting: a is told", RESERVE, ONE, kind=5)
    yield out("preempting: a is nobody now", RESERVE, ONE, kind=5)
    yield from look("preempted", B)
    yield out("preempting: a is back", REGISTER, 0, THREE)
    yield out("preempting: b takes its own", PREEMPT, TWO, TWO, kind=3, target=B)
    yield out("preempting: a behind that", REGISTER, 0, THREE)
    yield from look("b took its own")
    yield out("preempting: the holder leaves", REGISTER, TWO, 0, target=B)
    yield from look("the holder left")
    yield out("preempting: b comes", REGISTER_AND_IGNORE, 0, TWO, target=B)
    yield out("preempting: all hold", RESERVE, TWO, kind=8, target=B)
    yield from look("all hold")
    yield out("preempting: b takes from all", PREEMPT, TWO, 0, kind=1, target=B)
    yield from look("b took from all", B)
    yield out("preempting: a is told again", REGISTER_AND_IGNORE, 0, ONE)
    yield out("preempting: a comes again", REGISTER_AND_IGNORE, 0, ONE)
    yield out("preempting: a clears", CLEAR, ONE)
    yield step("preempting: b is told", pr_in(READ_KEYS), target=B)
    yield from look("cleared", B)


def steps():
    """All, for a disk with two paths whose aborts must not be asked for."""
    for group in (wire, kinds, nodes, reading, stranger, refused, registering, reserving,
                  preempting):
        yield from group()


def without_disk():
    """What needs none: half of it is the helper's own business."""
    yield from wire("null")
    yield from kinds()


def aborting():
    """PREEMPT AND ABORT, which not every target survives; a and b are on one that does."""
    yield out("aborting: by nobody", PREEMPT_AND_ABORT, ONE, TWO, kind=3)
    yield out("aborting: a comes", REGISTER_AND_IGNORE, 0, ONE)
    yield out("aborting: b comes", REGISTER_AND_IGNORE, 0, TWO, target=B)
    yield out("aborting: a reserves", RESERVE, ONE, kind=5)
    yield out("aborting: a takes its own", PREEMPT_AND_ABORT, ONE, ONE, kind=3)
    yield from look("aborted own")
    yield out("aborting: b is back", REGISTER_AND_IGNORE, 0, TWO, target=B)
    yield out("aborting: b is back for sure", REGISTER_AND_IGNORE, 0, TWO, target=B)
    yield out("aborting: b takes it from a", PREEMPT_AND_ABORT, TWO, ONE, kind=6, target=B)
    yield from look("aborted", B)
    yield out("aborting: a is told", REGISTER_AND_IGNORE, 0, ONE)
    yield out("aborting: a comes again", REGISTER_AND_IGNORE, 0, ONE)
    yield out("aborting: a key that is not there", PREEMPT_AND_ABORT, ONE, WRONG, kind=3)
    yield out("aborting: type 0", PREEMPT_AND_ABORT, ONE, TWO)
    yield out("aborting: a clears", CLEAR, ONE)
    yield from look("aborting is over", B)
