# SPDX-License-Identifier: LGPL-2.1-or-later
"""Comparing two transcripts field by field, with deliberate differences declared.

A difference is declared per case as {where: expectation}. `where` is the label of an event
('acquire') or one field of it ('afterwards.disk'). The expectation is a value, or a function
of the value (of all fields, for a whole event) that tells whether ours is right. Whatever is
not declared has to be equal; whatever is declared has to differ, and as declared.

The sentences inside an error are our own, so of message and str2 not the words are compared
but what a reader, or a program that picks them apart, relies on: the class text in front is
the same, message is made of str1 and str2 in the same way, and every particular that
virtlockd mentions (resource, path, pid, number, errno's words) is mentioned by us. Two more
things hold everywhere and not only in one case: a busy answer (`busy_by`) names the holder,
and where virtlockd reports the C function that found a bad flag (str1), we report a place of
our own.
"""

import re

from .conformance import FOREIGN

TEXTS = ("message", "str2")
ABSENT = "(absent)"
LONG = 500  # a text longer than this may be cut short by us: it is for people to read
BAD_FLAGS = (8, 7)

PARTICULARS = re.compile(r"""
    '[^']*'             # what virtlockd puts in quotes
    | @\S*              # a path
    | <[^>]*>           # a pid that has a name here
    | 0x[0-9a-f]+ | -?\d+""", re.VERBOSE)


def show(value):
    return value if value is ABSENT else repr(value)


def meets(expectation, value):
    return expectation(value) if callable(expectation) else expectation == value


def name_of(expectation):
    return getattr(expectation, "__doc__", None) if callable(expectation) else repr(expectation)


def particulars(stock):
    """What virtlockd's message mentions apart from its wording."""
    text = stock["message"]
    if len(text) > LONG:
        text = text[:LONG // 2]
    elif stock["code"] == 38:
        text, _, words = text.rpartition(": ")
        yield words
    for word in PARTICULARS.findall(text):
        yield word.strip("'").rstrip(":")


def compare_texts(event, stock, ours):
    """Faults of the two texts of a refusal."""
    if not ours["message"]:
        yield f"{event.label}.message: a refusal without words"
        return
    for word in particulars(stock):
        if word not in ours["message"]:
            yield f"{event.label}.message: {ours['message']!r} does not mention {word!r}"
    if event.busy_by not in (None, FOREIGN):
        for word in (event.busy_by, f"<pid of {event.busy_by}>"):
            if word not in ours["message"].split("held by", 1)[-1]:
                yield f"{event.label}.message: {ours['message']!r} does not name {word!r}"
    if (stock["code"], stock["domain"]) == BAD_FLAGS:
        if ours["str2"] != stock["str2"] or not ours["str1"]:
            yield f"{event.label}.str2: virtlockd {stock['str2']!r}, ours {ours['str2']!r}"
    elif ours["message"] != (ours["str1"] or "").replace("%s", ours["str2"] or ABSENT):
        yield f"{event.label}.message: {ours['message']!r} is not str1 with str2 in it"


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
    if stock.get("status") == 1 and ours.get("status") == 1:
        skip = TEXTS
        if (stock["code"], stock["domain"]) == BAD_FLAGS:
            skip += ("str1",)
        yield from compare_texts(event, stock, ours)
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
