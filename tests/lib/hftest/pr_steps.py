# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a persistent reservation helper is asked, request by request, and what it answers.

A step is a label and what is done; recording all of them against one helper gives a transcript,
{label: answer}, and two helpers are alike when their transcripts are. Answers are text: all bytes
that came, or how the connection ended.

The steps change the reservations of a disk and leave none behind. `Targets` says which disk;
without one only what needs no disk is asked. What the disk counts for ever (the generation) is
given as the difference to where the recording began. Steps depend on those before them: the order
is part of the transcript.
"""

import itertools
import os
import socket

from hftest.prhelper import (GOOD, PR_IN, READ_FULL_STATUS, READ_KEYS, READ_RESERVATION, CLEAR,
                             REGISTER_AND_IGNORE, Client, parameters, pr_in, pr_out)

# Descriptors that a step sends by name.
A, B = "a", "b"
# Commands of IN whose data begins with the generation.
COUNTED = (READ_KEYS, READ_RESERVATION, READ_FULL_STATUS)
# More unit attentions than any disk has for one initiator.
ATTENTIONS = 10
# A key that is there for a moment.
PASSING = 0xD00D


def text_of(answer, base=None):
    """An answer as it stands in the transcript. base: the generation of the beginning, for data
    that has one."""
    if answer is None:
        return "closed"
    sense = answer.sense.rstrip(bytes(1)).hex() or "-"
    said = f"status {answer.status:02x} size {answer.size} sense {sense}"
    if base is not None and len(answer.data) >= 4:
        grown = (answer.generation - base) & 0xFFFFFFFF
        return f"{said} generation +{grown} data {answer.data[4:].hex()}"
    return f"{said} data {answer.data.hex()}" if answer.size else said


class Targets:
    """The descriptors that steps send, by name; opened anew for each recording.

    a, b: the paths of two initiators to one disk; sg: a's generic node.
    """

    def __init__(self, a=None, b=None, sg=None):
        self.paths = {name: path for name, path in (("a", a), ("b", b), ("sg", sg)) if path}
        self.open = {}

    def __enter__(self):
        for name, path in self.paths.items():
            self.open[name] = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        if A in self.paths:
            self.open["read-only"] = os.open(self.paths[A], os.O_RDONLY | os.O_NONBLOCK)
            self.open["write-only"] = os.open(self.paths[A], os.O_WRONLY | os.O_NONBLOCK)
            self.open["path of a"] = os.open(self.paths[A], os.O_PATH)
        self.open |= {"null": os.open("/dev/null", os.O_RDWR),
                      "zero, read-only": os.open("/dev/zero", os.O_RDONLY),
                      "folder": os.open("/", os.O_RDONLY | os.O_DIRECTORY),
                      "path": os.open("/dev/null", os.O_PATH),
                      "file": os.memfd_create("hf-file")}
        self.open["pipe, read"], self.open["pipe, write"] = os.pipe()
        self.pair = socket.socketpair()
        self.open["socket"] = os.dup(self.pair[0].fileno())
        return self

    def __exit__(self, *_):
        for descriptor in self.open.values():
            os.close(descriptor)
        for end in self.pair:
            end.close()
        self.open = {}

    def pick(self, names):
        return [self.open[name] for name in names]


class Recorder:
    """Takes the steps against the helper that listens at `path`."""

    def __init__(self, path, targets):
        self.path, self.targets = path, targets
        self.base = 0
        self.line = None

    def connect(self, wanted=0):
        if self.line:
            self.line.close()
        self.line = Client(self.path, wanted)
        return self.line

    def send(self, data, names=()):
        """Into a connection that the helper has closed, too: what it answers is what counts."""
        try:
            self.line.send(data, *self.targets.pick(names))
        except (BrokenPipeError, ConnectionResetError):
            pass

    def ask(self, command, data=b"", target=A):
        """One whole request on the connection that there is, or on a new one."""
        if not self.line:
            self.connect()
        self.send(command, [target])
        if data:
            self.send(data)
        answer = self.line.answer(command[0])
        if answer is None:
            self.line.close()
            self.line = None
        return answer

    def asked(self, command, data=b"", target=A):
        counted = command[0] == PR_IN and command[1] & 0x1F in COUNTED
        return text_of(self.ask(command, data, target), self.base if counted else None)

    def raw(self, *pieces, wanted=0, end=False, answers=1):
        """Pieces, each (bytes, names of descriptors), on a connection of their own; end: nothing
        follows. What came, and how it ended."""
        line = self.connect(wanted)
        for data, names in pieces:
            self.send(data, names)
        if end:
            try:
                line.half_close()
            except OSError:
                pass  # The helper was faster.
        said = [text_of(line.answer(PR_IN)) for _ in range(answers)]
        line.close()
        self.line = None
        return f"offered {line.offered.hex()}; {'; '.join(said)}"

    def settled(self, target):
        """The keys, when there is nothing left to tell this initiator."""
        for _ in range(ATTENTIONS):
            answer = self.ask(pr_in(READ_KEYS), target=target)
            if answer.status == GOOD:
                break
        return answer

    def settle(self):
        """A disk without reservations, with nothing left to tell anybody; and its generation."""
        for target in (A, B):
            self.settled(target)
        self.ask(pr_out(REGISTER_AND_IGNORE), parameters(0, PASSING))
        self.ask(pr_out(CLEAR), parameters(PASSING))
        for target in (B, A):
            answer = self.settled(target)
        self.base = answer.generation


def record(path, targets, steps):
    """The transcript of one helper; what a step raises is its answer, too."""
    transcript = {}
    with targets:
        recorder = Recorder(path, targets)
        if A in targets.paths and B in targets.paths:
            recorder.settle()
        for label, act in steps:
            if label in transcript:
                raise ValueError(f"two steps are called {label}")
            try:
                transcript[label] = act(recorder)
            except (OSError, AssertionError) as fault:
                transcript[label] = f"{type(fault).__name__}: {fault}"
                recorder.line = None
        if recorder.line:
            recorder.line.close()
    return transcript


def differences(first, second):
    """[(label, answer of the first, of the second)]."""
    labels = itertools.chain(first, (label for label in second if label not in first))
    return [(label, first.get(label), second.get(label)) for label in labels
            if first.get(label) != second.get(label)]


def patched(command, **changes):
    """The command with other bytes: at1=0x20."""
    data = bytearray(command)
    for where, value in changes.items():
        data[int(where.removeprefix("at"))] = value
    return bytes(data)


def step(label, command, data=b"", target=A):
    return label, lambda recorder: recorder.asked(command, data, target)


def raw(label, *pieces, **how):
    return label, lambda recorder: recorder.raw(*pieces, **how)
