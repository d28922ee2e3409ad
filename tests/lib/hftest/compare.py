# SPDX-License-Identifier: LGPL-2.1-or-later
"""Comparing two transcripts field by field, with deliberate differences declared.

A difference is declared per case as {where: expectation}. `where` is the label of an event
('acquire') or one field of it ('afterwards.disk'). The expectation is a value, or a function
of the value (of all fields, for a whole event) that tells whether ours is right. Whatever is
not declared has to be equal; whatever is declared has to differ, and as declared.

One difference is so common that the cases mark it themselves: a busy answer (`busy_by`)
begins as virtlockd's does and goes on to name the holder.
"""

from .conformance import FOREIGN

TEXTS = ("message", "str2")
ABSENT = "(absent)"


def show(value):
    return value if value is ABSENT else repr(value)


def meets(expectation, value):
    return expectation(value) if callable(expectation) else expectation == value


def name_of(expectation):
    return getattr(expectation, "__doc__", None) if callable(expectation) else repr(expectation)


def compare_busy(event, stock, ours):
    """The texts of a busy answer: virtlockd's, then who holds it."""
    for text in TEXTS:
        theirs, mine = stock.get(text), ours.get(text)
        if not isinstance(mine, str) or not mine.startswith(theirs):
            yield f"{event.label}.{text}: {show(mine)} does not begin with {show(theirs)}"
            continue
        added = mine[len(theirs):]
        if event.busy_by == FOREIGN:
            continue
        for word in (event.busy_by, f"<pid of {event.busy_by}>"):
            if word not in added:
                yield f"{event.label}.{text}: {show(mine)} does not name {word!r}"


def compare_event(event, stock, ours, declared):
    """Faults of one event, given the fields of both sides."""
    if event.label in declared:
        expectation = declared[event.label]
        if stock == ours:
            yield f"{event.label}: declared difference does not occur: {stock}"
        elif not meets(expectation, ours):
            yield f"{event.label}: {ours} is not {name_of(expectation)}"
        return
    skip = ()
    if event.busy_by and ours.get("status") == 1 and stock.get("status") == 1:
        yield from compare_busy(event, stock, ours)
        skip = TEXTS
    for key in sorted(stock.keys() | ours.keys(), key=str):
        theirs, mine = stock.get(key, ABSENT), ours.get(key, ABSENT)
        where = f"{event.label}.{key}"
        if where in declared:
            if theirs == mine:
                yield f"{where}: declared difference does not occur: {show(theirs)}"
            elif not meets(declared[where], mine):
                yield f"{where}: ours {show(mine)} is not {name_of(declared[where])}"
        elif key not in skip and theirs != mine:
            yield f"{where}: virtlockd {show(theirs)}, ours {show(mine)}"


def differences(stock, ours, declared):
    """All faults between two transcripts as sentences; empty when all is as it should be."""
    faults = []
    theirs = {event.label: event for event in stock}
    mine = {event.label: event for event in ours}
    for label in [*theirs, *(label for label in mine if label not in theirs)]:
        event = theirs.get(label) or mine[label]
        fields = [side[label].fields if label in side else {} for side in (theirs, mine)]
        faults += compare_event(event, *fields, declared)
    known = theirs.keys() | mine.keys()
    for where in declared:
        if where not in known and where.partition(".")[0] not in known:
            faults.append(f"{where}: declared, but there is no such event")
    return faults


# ---- expectations ------------------------------------------------------------------


def refused(code, domain):
    def expected(fields):
        return (fields.get("outcome"), fields.get("status")) == ("reply", 1) \
            and (fields["code"], fields["domain"]) == (code, domain) and bool(fields["message"])
    expected.__doc__ = f"a refusal with code {code}, domain {domain}"
    return expected


def refused_somehow(fields):
    """a refusal by the lock space code"""
    return (fields.get("outcome"), fields.get("status"), fields.get("domain")) == ("reply", 1, 51)


def busy_by(name):
    def expected(fields):
        return (fields.get("status"), fields.get("code"), fields.get("domain")) == (1, 87, 51) \
            and name in fields["message"] and f"<pid of {name}>" in fields["message"]
    expected.__doc__ = f"a busy answer that names {name} and its pid"
    return expected


def granted(fields):
    """a success"""
    return (fields.get("outcome"), fields.get("status")) == ("reply", 0)
