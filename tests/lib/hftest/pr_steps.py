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

import array
import itertools
import os
import socket
import struct

IN, OUT = 0x5E, 0x5F
KEYS, RESERVATION, CAPABILITIES, FULL = range(4)
REGISTER, RESERVE, RELEASE, CLEAR, PREEMPT, ABORT, IGNORE, MOVE = range(8)
ANSWER_SIZE = 104
LONGEST = 8192
# Far above what any answer takes; one that comes this late is none.
PATIENCE = 30.0
# Descriptors that a step sends by name.
A, B = "a", "b"


def cdb_in(action, room=LONGEST):
    return struct.pack(">BB5xH", IN, action, room).ljust(16, b"\0")


def cdb_out(action, kind=0, scope=0, length=24):
    return struct.pack(">BBB4xH", OUT, action, scope << 4 | kind, length).ljust(16, b"\0")


def parameters(key=0, other=0, flags=0, length=24):
    return struct.pack(">QQ4xB3x", key, other, flags).ljust(length, b"\0")[:length]


def patched(command, **changes):
    """The command with other bytes: at1=0x20."""
    data = bytearray(command)
    for where, value in changes.items():
        data[int(where.removeprefix("at"))] = value
    return bytes(data)


class Line:
    """One connection to a helper, byte by byte."""

    def __init__(self, path, wanted=0):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(path)
        self.offered = self.take(4)
        self.send(struct.pack(">I", wanted))

    def take(self, size):
        """That many bytes, or fewer when the helper closes before."""
        data = b""
        while len(data) < size:
            try:
                piece = self.socket.recv(size - len(data))
            except ConnectionResetError:
                break
            if not piece:
                break
            data += piece
        return data

    def send(self, data, descriptors=()):
        """Into a connection that the helper has closed, too: what it answers is what counts."""
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
        try:
            self.socket.sendmsg([data], rights if descriptors else [])
        except (BrokenPipeError, ConnectionResetError):
            pass

    def end_sending(self):
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # The helper was faster.

    def answer(self):
        """(status, size, sense, data), or None: closed."""
        frame = self.take(ANSWER_SIZE)
        if len(frame) != ANSWER_SIZE:
            return None
        status, size = struct.unpack_from(">ii", frame)
        return status, size, frame[8:], self.take(size) if size > 0 else b""

    def close(self):
        self.socket.close()


def text_of(answer, base=None):
    """An answer as it stands in the transcript. base: the generation of the beginning, for data
    that has one."""
    if answer is None:
        return "closed"
    status, size, sense, data = answer
    said = f"status {status:02x} size {size} sense {sense.rstrip(bytes(1)).hex() or '-'}"
    if base is not None and len(data) >= 4:
        grown = (struct.unpack_from(">I", data)[0] - base) & 0xFFFFFFFF
        return f"{said} generation +{grown} data {data[4:].hex()}"
    return f"{said} data {data.hex()}" if size else said


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
        self.line = Line(self.path, wanted)
        return self.line

    def ask(self, command, data=b"", target=A):
        """One whole request on the connection that there is, or on a new one."""
        line = self.line or self.connect()
        line.send(command, self.targets.pick([target]))
        if data:
            line.send(data)
        answer = line.answer()
        if answer is None:
            line.close()
            self.line = None
        return answer

    def asked(self, command, data=b"", target=A):
        counted = command[0] == IN and command[1] & 0x1F in (KEYS, RESERVATION, FULL)
        return text_of(self.ask(command, data, target), self.base if counted else None)

    def raw(self, *pieces, wanted=0, end=False, answers=1):
        """Pieces, each (bytes, names of descriptors), on a connection of their own; end: nothing
        follows. What came, and how it ended."""
        line = self.connect(wanted)
        for data, names in pieces:
            line.send(data, self.targets.pick(names))
        if end:
            line.end_sending()
        said = [text_of(line.answer()) for _ in range(answers)]
        line.close()
        self.line = None
        return f"offered {line.offered.hex()}; {'; '.join(said)}"

    def settle(self):
        """A disk without reservations, with nothing left to tell anybody; and its generation."""
        for target in (A, B):
            for _ in range(10):
                if self.ask(cdb_in(KEYS), target=target)[0] == 0:
                    break
        self.ask(cdb_out(IGNORE), parameters(0, 0xD00D))
        self.ask(cdb_out(CLEAR), parameters(0xD00D))
        for target in (B, A):
            for _ in range(10):
                answer = self.ask(cdb_in(KEYS), target=target)
                if answer[0] == 0:
                    break
        self.base = struct.unpack_from(">I", answer[3])[0]


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
            except (OSError, TimeoutError) as fault:
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


def step(label, command, data=b"", target=A):
    return label, lambda recorder: recorder.asked(command, data, target)


def raw(label, *pieces, **how):
    return label, lambda recorder: recorder.raw(*pieces, **how)
