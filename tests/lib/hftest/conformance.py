# SPDX-License-Identifier: LGPL-2.1-or-later
"""Asking two daemons the same things and comparing what they do.

A `Case` is data: files to make, steps to take. Running it in a `World` (one daemon, one
folder, processes that own locks) gives a transcript: a list of `Event`s, each a label and
flat fields. Two worlds have the same relative names, so once folder and pids are replaced
by placeholders the transcripts of two equal daemons are equal.

Every case ends with the same two looks at the world: a fence call on each open connection,
which brings surplus answers to light, and a list of the files with their size, permissions
and the lock on byte 0 as the kernel sees it.

Text arguments: '@' stands for the world's folder. `says` is what stock virtlockd answers;
it is checked as well, so that a case cannot quietly stop testing what it is about.
"""

import fcntl
import os
import re
import signal
import time
from dataclasses import dataclass, field

from . import wire
from .files import describe, lock_on_first_byte
from .processes import until
from .wire import Code, Domain, Proc

# Verdicts of stock virtlockd: (code, domain).
OK = "ok"
BUSY = (Code.BUSY, Domain.LOCKSPACE)
NOT_LOCKED = BUSY
NOT_HOLDER = (Code.INTERNAL, Domain.LOCKSPACE)
SYSTEM = (Code.SYSTEM, Domain.LOCKSPACE)
CANNOT_CREATE = (Code.SYSTEM, Domain.NONE)
NO_DIRECTORY = (Code.INTERNAL, Domain.LOCKSPACE)
NO_LOCKSPACE = (Code.INTERNAL, Domain.RPC)
NOT_REGISTERED = (Code.OPERATION_INVALID, Domain.RPC)
RESTRICTED = (Code.DENIED, Domain.RPC)
BAD_FLAGS = (Code.INVALID_ARG, Domain.RPC)
BAD_CALL = (Code.RPC, Domain.RPC)

FOREIGN = "somebody else"
FENCE_PROC = 0x7E57
FENCE_SERIAL = 0xFE11CE
SILENCE = 0.3


# ---- what a daemon was seen to do --------------------------------------------------


@dataclass
class Event:
    label: str
    fields: dict
    busy_by: str = None


def answer_fields(answer, clean):
    """An answer as flat, comparable fields."""
    fields = {"outcome": answer.outcome}
    if answer.outcome != "reply":
        return fields
    for name in ("prog", "vers", "proc", "type", "serial", "status"):
        fields[name] = getattr(answer, name)
    if not answer.error:
        fields["payload"] = answer.payload.hex()
        return fields
    for name in ("code", "domain", "level", "message", "str1", "str2", "str3", "int1", "int2"):
        value = getattr(answer.error, name)
        fields[name] = clean(value) if isinstance(value, str) else value
    return fields


# ---- steps -------------------------------------------------------------------------


class Step:
    label = None
    says = None
    busy_by = None

    def run(self, world):
        """Returns fields to be compared, or None when there is nothing to see."""
        raise NotImplementedError


@dataclass
class Who:
    """An owner argument. pid and ident override what the name would give."""

    name: object
    pid: int = None
    ident: int = 1
    uuid: bytes = None


@dataclass
class Ask(Step):
    """One call and its answer, with every way to spoil the call."""

    proc: int
    arguments: list
    on: str = "a"
    label: str = None
    says: object = OK
    busy_by: str = None
    header: dict = field(default_factory=dict)
    surplus: bytes = b""
    cut: int = 0
    pieces: tuple = ()

    def payload(self, world):
        data = b"".join(world.xdr(argument) for argument in self.arguments) + self.surplus
        return data[:len(data) - self.cut]

    def frame(self, world):
        header = dict(self.header)
        header.setdefault("serial", world.next_serial())
        return wire.frame(self.proc, self.payload(world), **header)

    def run(self, world):
        connection = world.connection(self.on)
        data = self.frame(world)
        for size in self.pieces:
            connection.send(data[:size])
            data = data[size:]
        if data:
            connection.send(data)
        return answer_fields(connection.receive(), world.clean)


@dataclass
class Trickle(Step):
    """A call sent one byte at a time."""

    ask: Ask
    label: str = None

    def run(self, world):
        data = self.ask.frame(world)
        connection = world.connection(self.ask.on)
        for at in range(len(data)):
            connection.send(data[at:at + 1])
        return answer_fields(connection.receive(), world.clean)


@dataclass
class Together(Step):
    """Several calls in one write; nothing is read yet."""

    asks: list
    on: str = "a"

    def run(self, world):
        world.connection(self.on).send(b"".join(ask.frame(world) for ask in self.asks))


@dataclass
class Raw(Step):
    """Bytes as they are."""

    data: bytes
    on: str = "a"

    def run(self, world):
        world.connection(self.on).send(self.data)


@dataclass
class Read(Step):
    """The next thing that comes: an answer, the end, or silence for a while."""

    on: str = "a"
    label: str = None
    says: object = OK
    timeout: float = None

    def run(self, world):
        return answer_fields(world.connection(self.on).receive(self.timeout), world.clean)


@dataclass
class Ignored(Step):
    """A frame that gets no answer: that of the call behind it comes first."""

    data: object
    on: str = "a"
    label: str = None

    def run(self, world):
        data = self.data.frame(world) if isinstance(self.data, Ask) else self.data
        world.connection(self.on).send(data)
        return world.fence(self.on)


@dataclass
class HalfClose(Step):
    on: str = "a"

    def run(self, world):
        world.connection(self.on).half_close()


@dataclass
class HangUp(Step):
    """Closes the connection without a word."""

    on: str = "a"

    def run(self, world):
        world.connections.pop(self.on).close()


@dataclass
class Leave(Step):
    """Closes the connection and waits until the daemon has done so, too."""

    on: str = "a"

    def run(self, world):
        with world.connections.pop(self.on) as connection:
            connection.half_close()
            assert connection.is_closed(), "the daemon does not let go of a closed connection"


@dataclass
class Foreign(Step):
    """A process that is no client locks bytes of a file."""

    path: str
    kind: str
    mode: int = fcntl.F_WRLCK
    start: int = 0
    length: int = 1

    def run(self, world):
        world.nursery.vm("foreign").lock(world.text(self.path), self.kind, self.mode, self.start,
                                         self.length)


@dataclass
class Look(Step):
    """The files, and the lock on byte 0 of each."""

    label: str = "look"

    def run(self, world):
        return world.look()


@dataclass
class Rename(Step):
    old: str
    new: str

    def run(self, world):
        os.rename(world.text(self.old), world.text(self.new))


@dataclass
class Unlink(Step):
    path: str

    def run(self, world):
        os.unlink(world.text(self.path))


@dataclass
class Unlocked(Step):
    """A file gets unlocked, or goes away, without anybody asking for it."""

    path: str
    label: str = None

    def run(self, world):
        path = world.text(self.path)
        until(lambda: lock_on_first_byte(path) in ("unlocked", "gone"),
              f"{self.path} is unlocked")
        return {"exists": os.path.exists(path)}


@dataclass
class Ends(Step):
    """How a VM process ends after what came before."""

    vm: str
    label: str = None

    def run(self, world):
        return {"signal": world.vm(self.vm).ending()}


@dataclass
class Lives(Step):
    """A VM process is still there once the daemon has dealt with everything."""

    vm: str
    label: str = None

    def run(self, world):
        world.fence("fence")
        return {"alive": world.vm(self.vm).alive}


@dataclass
class Stubborn(Step):
    """A VM process ignores SIGTERM."""

    vm: str

    def run(self, world):
        world.vm(self.vm).ignore(signal.SIGTERM)


@dataclass
class Kill(Step):
    vm: str

    def run(self, world):
        world.vm(self.vm).kill()


@dataclass
class Signal(Step):
    """A signal to the daemon itself; seen is whether it ends. Only for a daemon of the case."""

    number: int
    label: str = None

    def run(self, world):
        world.daemon.expected_to_live = False
        world.daemon.signal(self.number)
        try:
            # One that is about to end may still answer some.
            answered, end = "reply", time.monotonic() + 1
            while answered == "reply" and time.monotonic() < end:
                with world.daemon.connect() as client:
                    answered = client.ping().outcome
        except OSError:
            answered = "refused"
        if answered != "reply":
            world.daemon.wait()
            return {"answers": "no"}
        world.daemon.expected_to_live = True
        return {"answers": "yes"}


# ---- the eight procedures as steps -------------------------------------------------


def register(who="one", flags=0, **how):
    who = Who(who) if isinstance(who, (str, bytes)) else who
    return Ask(Proc.REGISTER, [who, flags], **how)


def restrict(flags=0, **how):
    return Ask(Proc.RESTRICT, [flags], **how)


def new(path, flags=0, **how):
    return Ask(Proc.NEW, [path, flags], **how)


def create_resource(name, space="", flags=0, **how):
    return Ask(Proc.CREATE_RESOURCE, [space, name, flags], **how)


def delete_resource(name, space="", flags=0, **how):
    return Ask(Proc.DELETE_RESOURCE, [space, name, flags], **how)


def acquire(name, space="", flags=0, **how):
    return Ask(Proc.ACQUIRE, [space, name, flags], **how)


def release(name, space="", flags=0, **how):
    return Ask(Proc.RELEASE, [space, name, flags], **how)


def create_lockspace(path, **how):
    return Ask(Proc.CREATE_LOCKSPACE, [path], **how)


@dataclass
class Case:
    id: str
    steps: list
    files: dict = field(default_factory=dict)
    conf: str = None    # configuration of a daemon for this case alone
    needs_root: str = None


# ---- running -----------------------------------------------------------------------


class World:
    """One daemon, one folder, and the processes and connections of one case."""

    def __init__(self, daemon, folder, nursery):
        self.daemon = daemon
        self.folder = folder
        self.nursery = nursery
        self.connections = {}
        self.vms = {}
        self.owners = {}
        self.serial = 0
        os.mkdir(folder)

    def next_serial(self):
        self.serial += 1
        return self.serial

    def text(self, value):
        if isinstance(value, bytes):
            return value.replace(b"@", os.fsencode(self.folder))
        return value.replace("@", self.folder)

    def clean(self, text):
        """A text of the daemon without what differs between worlds."""
        text = text.replace(self.folder, "@")
        for name, pid in self.owners.items():
            text = re.sub(rf"\b{pid}\b", f"<pid of {name}>", text)
        return text

    def vm(self, name):
        if name not in self.vms:
            self.vms[name] = self.nursery.vm(name)
            self.owners[name] = self.vms[name].pid
        return self.vms[name]

    def owner_pid(self, name):
        if name not in self.owners:
            self.owners[name] = self.nursery.sleeper().pid
        return self.owners[name]

    def dead_pid(self):
        """A pid nobody has (the pid counter does not come round within a case)."""
        child = self.nursery.spawn(["true"], leashed=False)
        child.wait()
        self.owners["the dead"] = child.pid
        return child.pid

    def connection(self, name):
        """'a' is a connection of ours, 'vm one' is one that the process of VM 'one' opens."""
        if name not in self.connections:
            if name.startswith("vm "):
                self.connections[name] = self.vm(name[3:]).connect(self.daemon.socket)
            else:
                self.connections[name] = self.daemon.connect()
        return self.connections[name]

    def xdr(self, argument):
        if isinstance(argument, int):
            return wire.u32(argument)
        if isinstance(argument, Who):
            name = argument.name
            pid = argument.pid if argument.pid is not None else self.owner_pid(name)
            pid = self.dead_pid() if pid == "dead" else pid
            uuid = argument.uuid or wire.uuid_of(name)
            return wire.owner(uuid, name, argument.ident, pid)
        return wire.string(self.text(argument))

    def fence(self, name):
        """Fields of whatever comes before the answer to a call that is always refused."""
        connection = self.connection(name)
        connection.send(wire.frame(FENCE_PROC, serial=FENCE_SERIAL))
        fields = {}
        for number in range(100):
            answer = connection.receive()
            if answer.outcome != "reply":
                fields[f"{number} outcome"] = answer.outcome
                break
            if answer.serial == FENCE_SERIAL:
                break
            fields |= {f"{number} {key}": value
                       for key, value in answer_fields(answer, self.clean).items()}
        return fields

    def look(self):
        fields = {}
        for folder, folders, names in os.walk(self.folder):
            for name in folders + names:
                path = os.path.join(folder, name)
                fields[os.path.relpath(path, self.folder)] = describe(path)
        return fields

    def prepare(self, files):
        for name, make in files.items():
            path = os.path.join(self.folder, name)
            make(path, self) if hasattr(make, "wants_world") else make(path)

    def close(self):
        for connection in self.connections.values():
            connection.close()


def run(case, world):
    """The transcript of a case; steps without a label are numbered."""
    world.prepare(case.files)
    transcript = []
    try:
        for number, step in enumerate(case.steps, 1):
            fields = step.run(world)
            if fields is None:
                continue
            label = getattr(step, "label", None) or f"step {number}"
            transcript.append(Event(label, fields, step.busy_by))
        for name in sorted(world.connections):
            if name.startswith("vm ") and not world.vm(name[3:]).alive:
                continue
            if not world.connections[name].ended:
                transcript.append(Event(f"then on {name}", world.fence(name)))
        transcript.append(Event("afterwards", world.look()))
    finally:
        world.close()
    labels = [event.label for event in transcript]
    assert len(set(labels)) == len(labels), f"two steps of '{case.id}' have one label: {labels}"
    return transcript


def check_stock(case, transcript):
    """Stock virtlockd says what the case claims it says."""
    events = {event.label: event for event in transcript}
    for number, step in enumerate(case.steps, 1):
        if step.says is None:
            continue
        fields = events[getattr(step, "label", None) or f"step {number}"].fields
        said = fields["outcome"]
        if said == "reply":
            said = OK if fields["status"] == 0 else (fields["code"], fields["domain"])
        assert said == step.says, f"stock virtlockd, step {number}: {fields}"
