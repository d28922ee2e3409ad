# SPDX-License-Identifier: LGPL-2.1-or-later
"""The torture finds what it is there to find: thefts; answers wrong, missing or double."""

import os
import signal
import socket
import struct
import sys
import threading

import pytest
from hftest.processes import children, is_there, until
from hftest.wire import (HEADER, HEADER_LEN, KEEPALIVE_PROGRAM, Proc, Type, frame, string, u32)

sys.path.insert(0, os.path.dirname(__file__))

import torture  # noqa: E402

# It takes all that there is of this machine: one at a time.
pytestmark = pytest.mark.xdist_group("torture")


def test_locks_that_are_gone_while_vms_live_are_counted_as_thefts(daemon, nursery, folder):
    run = torture.Torture(nursery, folder, daemon).begin()
    torture.kill_both(run)
    until(lambda: not daemon.alive, "the daemon is gone")
    run.go_on(0.2)
    result = run.result()
    assert result["thefts"] > 0
    assert result["closed"] >= run.managed, "each connection was seen to end"


def test_a_vm_that_somebody_ends_is_counted(daemon, nursery, folder):
    run = torture.Torture(nursery, folder, daemon, managed=1, own=0).begin()
    owner, manager = children(run.clients.pid)
    assert owner != manager
    os.kill(owner, signal.SIGKILL)
    until(lambda: not is_there(owner), "the owner is dead")
    assert run.result()["ended"] == 1


class Fake:
    """A lock server for one client; right in all that this client asks, but for one fault."""

    def __init__(self, path, fault):
        self.fault = fault
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(path)
        self.listener.listen()
        self.count = 0
        self.held, self.spaces = set(), set()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            connection, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with connection, connection.makefile("rb") as stream:
            try:
                while word := stream.read(4):
                    request = word + stream.read(struct.unpack(">I", word)[0] - 4)
                    self.count += 1
                    connection.sendall(self.fault(self.count, self.answer(request)))
            except OSError:
                pass

    def answer(self, request):
        _, prog, vers, proc, _, serial, _ = HEADER.unpack(request[:HEADER_LEN])
        if prog == KEEPALIVE_PROGRAM:
            return frame(2, prog=prog, type=Type.MESSAGE, serial=serial)
        refused = self.refusal(proc, request[HEADER_LEN:])
        return frame(proc, refused, prog=prog, vers=vers, type=Type.REPLY, serial=serial,
                     status=1 if refused else 0)

    def refusal(self, proc, what):
        if proc == Proc.NEW and what in self.spaces:
            return error(1, "it is there already")
        if proc == Proc.RELEASE and what not in self.held:
            return error(87, "it is not locked")
        {Proc.NEW: self.spaces.add, Proc.ACQUIRE: self.held.add,
         Proc.RELEASE: self.held.discard}.get(proc, lambda _: None)(what)
        return b""


def error(code, text):
    return u32(code) + u32(7) + u32(1) + string(text) + u32(2) + 4 * u32(0) + 2 * u32(-1) + u32(0)


# The faults: what is sent for the right answer to the request of that number.


def none(_, answer):
    return answer


def twice(number, answer):
    return answer * (2 if number == AT else 1)


def all_granted(_, answer):
    return HEADER.pack(HEADER_LEN, *HEADER.unpack(answer[:HEADER_LEN])[1:6], 0)


def another_serial(number, answer):
    return answer[:20] + u32(number + 1000) + answer[24:] if number == AT else answer


def no_frame(number, answer):
    return b"\0" * 64 if number == AT else answer


AT = 30


@pytest.mark.parametrize("fault, count, said", [
    (none, None, ""),
    (twice, "wrong", "an answer to something else"),
    (all_granted, "wrong", ""),
    (another_serial, "wrong", "an answer to something else"),
    (no_frame, "wrong", "no frame"),
], ids=lambda value: getattr(value, "__name__", ""))
def test_a_fault_of_the_server_is_counted(nursery, folder, fault, count, said):
    path = os.path.join(folder, "fake")
    fake = Fake(path, fault)
    # One owner asks nothing of others, and comes again only with what it has.
    run = torture.Torture(nursery, folder, socket=path, managed=1, own=0)
    os.mkdir(os.path.join(folder, "files"))
    run.start_clients(os.path.join(folder, "files"))
    # Whoever waits for the right answer to one request soon asks no more.
    enough = AT if fault in (another_serial, no_frame) else AT + 10
    until(lambda: fake.count >= enough, "it was asked enough")
    result = run.result()
    assert said in result["first_wrong"] and bool(result["first_wrong"]) == bool(count), result
    assert not count or result[count] > 0, result


def test_an_answer_that_never_comes_is_counted(nursery, folder):
    path = os.path.join(folder, "fake")
    fake = Fake(path, lambda number, answer: answer if number < AT else b"")
    run = torture.Torture(nursery, folder, socket=path, managed=1, own=0)
    os.mkdir(os.path.join(folder, "files"))
    run.start_clients(os.path.join(folder, "files"))
    until(lambda: fake.count >= AT, "it was asked enough")
    result = run.result()
    assert result["missing"] > 0 and not result["wrong"], result
