# SPDX-License-Identifier: LGPL-2.1-or-later
"""Comparing two transcripts field by field, with deliberate differences declared.

A difference is declared per case as {where: expectation}. `where` is the label of an event
('acquire') or one field of it ('afterwards.disk'). The expectation is a value, or a function
of the value (of all fields, for a whole event) that tells whether ours is right. Whatever is
not declared has to be equal; whatever is declared has to differ, and as declared.

One difference is everywhere: the words of an error are our own. What clients and people rely
on is compared instead: the class text in front ("resource busy: "), str1 and str2 as the parts
of the message, and that everything virtlockd's words name (a path, a pid) is named by ours. A
busy answer (`busy_by`) names the holder on top of that.
"""

import re

from .conformance import FOREIGN

TEXTS = ("message", "str1", "str2")
ABSENT = "(absent)"


def show(value):
    return value if value is ABSENT else repr(value)


def meets(expectation, value):
    return expectation(value) if callable(expectation) else expectation == value


def name_of(expectation):
    return getattr(expectation, "__doc__", None) if callable(expectation) else repr(expectation)


def detail_of(fields):
    """The words behind the class text; an error about flags has no such parts."""
    return fields["message"] if fields.get("str2") == "flags" else fields.get("str2")


def compare_words(event, stock, ours):
    """The texts of an error: parts that fit together, one class, all that is named."""
    for side, fields in (("virtlockd", stock), ("ours", ours)):
        detail = detail_of(fields)
        if not detail or not str(fields["message"]).endswith(detail):
            yield f"{event.label}: {side}: the message {show(fields['message'])} lacks its detail"
            return
    classes = [fields["message"][:-len(detail_of(fields))] for fields in (stock, ours)]
    if classes[0] != classes[1]:
        yield f"{event.label}.message: class text {classes[1]!r} is not {classes[0]!r}"
    if (stock["str2"] == "flags") != (ours["str2"] == "flags"):
        yield f"{event.label}.str2: virtlockd {show(stock['str2'])}, ours {show(ours['str2'])}"
    elif stock["str2"] != "flags" and stock["str1"] != ours["str1"]:
        yield f"{event.label}.str1: virtlockd {show(stock['str1'])}, ours {show(ours['str1'])}"
    named = re.findall(r"@/[^' :]*|<pid of \w+>|0x[0-9a-f]+", detail_of(stock))
    for what in named:
        # An error text has room for two ordinary paths, not for one of PATH_MAX.
        if len(what) < 500 and what not in detail_of(ours):
            yield f"{event.label}.message: {show(ours['message'])} does not name {what!r}"


def compare_busy(event, ours):
    """A busy answer names who holds it."""
    if event.busy_by == FOREIGN:
        return
    for word in (event.busy_by, f"<pid of {event.busy_by}>"):
        if word not in ours["message"]:
            yield f"{event.label}.message: {show(ours['message'])} does not name {word!r}"


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
    if ours.get("status") == 1 and stock.get("status") == 1:
        yield from compare_words(event, stock, ours)
        skip = TEXTS
        if event.busy_by:
            yield from compare_busy(event, ours)
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
