# SPDX-License-Identifier: LGPL-2.1-or-later
"""Events and numbers, as the wire has them."""

import time
from collections import namedtuple

from hftest import wire
from hftest.wire import Connection, Type

HOLDFAST_PROGRAM = 0x486F6C64
EVENTS, EVENT, METRICS = 13, 14, 15
KINDS = {1: "acquired", 2: "waiting", 3: "refused", 4: "released", 5: "killed", 6: "lost",
         7: "doubted", 8: "started"}

Event = namedtuple("Event", "number time kind metadata shared lockspace name uuid owner pid via "
                            "text")


def parse_list(payload):
    """(missed, events) of one message."""
    at = wire.Cursor(payload)
    missed = at.u64()
    events = []
    for _ in range(at.u32()):
        events.append(Event(at.u64(), at.u64(), KINDS[at.u32()], at.u32(), at.u32(), at.string(),
                            at.string(), at.take(16), at.string(), at.u32(), at.string(),
                            at.string()))
    assert not at.rest()
    return missed, events


class Listener:
    """A connection that is told of events."""

    def __init__(self, path, after=0):
        self.connection = Connection(path)
        self.missed = 0
        self.events = []
        self.connection.send(wire.frame(EVENTS, wire.u64(after) + wire.u32(0),
                                        prog=HOLDFAST_PROGRAM, serial=7))
        self.take()

    def take(self, timeout=10):
        """One message, as it came; False when none did."""
        answer = self.connection.receive(timeout)
        if answer.outcome != "reply":
            return False
        assert (answer.type, answer.proc, answer.serial, answer.prog) == (
            Type.MESSAGE, EVENT, 7, HOLDFAST_PROGRAM), answer
        missed, events = parse_list(answer.payload)
        self.missed += missed
        self.events += events
        return True

    def until(self, condition, timeout=20):
        """Listens until condition(events) is true."""
        end = time.monotonic() + timeout
        while not condition(self.events):
            assert self.take(end - time.monotonic()), self.events[-5:]
        return self.events

    def close(self):
        self.connection.close()


def metrics(connection):
    """The daemon's numbers by name."""
    answer = connection.call(METRICS, prog=HOLDFAST_PROGRAM)
    assert answer.ok, answer
    at = wire.Cursor(answer.payload)
    found = {}
    for _ in range(at.u32()):
        name, _, value, _ = at.string(), at.u32(), at.u64(), at.string()
        found[name] = value
    return found
