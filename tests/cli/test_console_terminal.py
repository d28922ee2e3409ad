# SPDX-License-Identifier: LGPL-2.1-or-later
"""holdfast console at a real terminal: its keys, its size, and that it is as it was before."""

import os
import re
import signal
import termios

import pytest

from hftest import console_wire as wire
from hftest.command import HOLDFAST
from hftest.console_guest import ConsoleGuest
from hftest.processes import children, is_there, state_of, until
from hftest.pty_guest import PtyGuest
from hftest.tmux import Tmux

HELLO = r"\^\] leaves, \^_ \? tells more"


@pytest.fixture
def guest():
    with PtyGuest() as one:
        yield one


def spawn_at_pty(console_cli, *words):
    """The command at a terminal that nobody looks at; its master."""
    master, slave = os.openpty()
    child = console_cli.start("console", *words, stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    return child, master


@pytest.fixture
def tmux(nursery, folder, console_cli):
    return Tmux(nursery, folder, console_cli.env)


@pytest.fixture
def at(tmux):
    """Runs `holdfast console` in the terminal; returns when it is attached."""
    def run(words, times=1):
        tmux.line(f"{HOLDFAST} console {words}")
        tmux.await_text(HELLO, times)
        return until(lambda: children(tmux.shell), "the command runs")[0]
    return run


def has_read(pid):
    """The bytes that a process has read so far."""
    with open(f"/proc/{pid}/io", encoding="ascii") as text:
        return int(text.readline().split()[1])


def leave(tmux, pid):
    tmux.key("C-]")
    until(lambda: not is_there(pid), "it has left")


def test_what_is_typed_reaches_the_guest_and_what_it_prints_is_shown(tmux, at, guest):
    pid = at(guest.path)
    guest.say("login: ")
    tmux.await_text("login: ")
    tmux.type("root")
    tmux.key("Enter")
    guest.await_heard("root\r")
    tmux.key("C-c", "C-z", "C-\\", "C-s", "C-q", "C-d", "Escape")
    guest.await_heard(b"\x03\x1a\x1c\x13\x11\x04\x1b")
    guest.say("one\r\ntwo\r\n")
    tmux.await_text(r"one\ntwo\n")
    leave(tmux, pid)
    assert tmux.status() == 0


def test_the_key_that_leaves_does_and_the_terminal_is_as_before(tmux, at, guest):
    before = tmux.settings()
    pid = at(guest.path)
    leave(tmux, pid)
    assert tmux.status() == 0
    assert tmux.settings() == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT,
                                    signal.SIGUSR1], ids=lambda n: n.name)
def test_a_signal_ends_it_and_the_terminal_is_as_before(tmux, at, guest, number):
    before = tmux.settings()
    pid = at(guest.path)
    os.kill(pid, number)
    until(lambda: not is_there(pid), "it has ended")
    assert tmux.status() == 128 + number
    assert tmux.settings() == before


def test_while_it_is_stopped_the_terminal_is_the_shells(tmux, at, guest):
    before = tmux.settings()
    pid = at(guest.path)
    os.kill(pid, signal.SIGTSTP)
    until(lambda: state_of(pid) == "T", "it is stopped")
    assert tmux.settings() == before
    tmux.line("fg")
    until(lambda: state_of(pid) != "T", "it goes on")
    guest.say("still here")
    tmux.await_text("still here")
    tmux.key("C-c")
    guest.await_heard(b"\x03")
    leave(tmux, pid)
    assert tmux.settings() == before


def test_other_keys_than_the_usual_ones_can_be_chosen(tmux, at, guest):
    tmux.line(f"{HOLDFAST} console --escape=^A --command-key=~ {guest.path}")
    tmux.await_text(r"\^A leaves, ~ \? tells more")
    pid = until(lambda: children(tmux.shell), "the command runs")[0]
    tmux.key("C-]")
    guest.await_heard(b"\x1d")
    tmux.type("~")
    tmux.type("?")
    tmux.await_text("b break")
    tmux.key("C-a")
    until(lambda: not is_there(pid), "it has left")


def test_what_is_pasted_is_the_guests_whatever_is_in_it(tmux, at, guest):
    pid = at(guest.path)
    tmux.type("x\x1dy\x1f.z")
    guest.await_heard(b"x\x1dy\x1f.z")
    assert is_there(pid)
    leave(tmux, pid)


def test_the_size_of_the_terminal_goes_to_the_guest_and_follows(tmux, at, guest):
    pid = at(guest.path)
    until(lambda: guest.size == (30, 100), "the guest knows the size")
    tmux.resize(123, 45)
    until(lambda: guest.size == (45, 123), f"the guest knows the new size: {guest.size}")
    leave(tmux, pid)


def test_a_break_is_a_key_and_only_the_writers(tmux, at, nursery, folder, consoled):
    ours = os.path.join(folder, "ours.qmp")
    guest = ConsoleGuest(nursery, folder, words=("-qmp", f"unix:{ours},server=on,wait=off"))
    assert wire.register(consoled.socket, "web1", "serial0", guest.pty, guest.pid, monitor=ours,
                         chardev="serial0")[0] == wire.HELD
    with wire.Client(consoled.socket, vm="web1") as first:
        first.wake()
    pid = at("web1")
    tmux.line("hello")
    tmux.await_text("heard hello")
    tmux.key("C-_")
    tmux.type("b")
    tmux.await_text("a break was sent")
    tmux.await_text("break 001")
    tmux.key("C-_")
    tmux.type("y")
    tmux.await_text("you are only watching now")
    tmux.key("C-_")
    tmux.type("b")
    tmux.await_text("no break was sent")
    leave(tmux, pid)


def test_a_guest_that_does_not_read_can_be_left(tmux, at, guest):
    before = tmux.settings()
    pid = at(guest.path)
    path = os.path.join(os.path.dirname(tmux.socket), "pasted")
    with open(path, "w", encoding="ascii") as out:
        out.write("0123456789abcde\n" * 65536)
    tmux.must("load-buffer", path)
    tmux.must("paste-buffer", "-r")
    tmux.await_text("the guest does not read: ")
    # The key has to come alone, so not in the middle of what is pasted.
    until(lambda: has_read(pid) > 1 << 20, "all of it was read")
    leave(tmux, pid)
    assert tmux.status() == 0
    assert tmux.settings() == before


def test_who_is_displaced_is_told_by_whom_watches_and_can_take_it_back(tmux, at, guest, consoled):
    before = tmux.settings()
    pid = at(guest.path)
    with wire.Client(consoled.socket, path=guest.path, flags=wire.FORCE,
                     via="a test") as other:
        screen = tmux.await_text("you are watching now")
        assert re.search(rf"\[holdfast: \w+ \(pid {os.getpid()}, .*a test\) has taken the console at "
                         r"\d\d:\d\d", screen), screen
        tmux.type("dropped")
        tmux.await_text("you are only watching; ")
        other.type("theirs")
        guest.await_heard("theirs")
        guest.say("for all")
        tmux.await_text("for all")
        tmux.key("C-_")
        tmux.type("t")
        tmux.await_text("is written by")
        tmux.key("C-_")
        tmux.type("T")
        tmux.await_text("you are writing now")
        other.await_notice(wire.DISPLACED)
        tmux.type("ours again")
        guest.await_heard("ours again")
    assert b"dropped" not in guest.heard
    leave(tmux, pid)
    assert tmux.settings() == before


def test_who_watches_sees_all_and_types_nothing(tmux, at, guest, consoled):
    with wire.Client(consoled.socket, path=guest.path) as writer:
        pid = at(f"--watch {guest.path}")
        guest.say("look at this")
        tmux.await_text("look at this")
        tmux.type("no")
        tmux.await_text(r"you are only watching; \^_ t takes the writing")
        writer.type("yes")
        guest.await_heard("yes")
        tmux.key("C-_")
        tmux.type("s")
        tmux.await_text("you watch")
        tmux.await_text("writer: ")
        leave(tmux, pid)
    assert b"no" not in guest.heard


def test_a_daemon_that_is_killed_is_not_noticed_and_the_terminal_stays(tmux, at, guest, consoled):
    before = tmux.settings()
    pid = at(guest.path)
    os.kill(consoled.server_pid, signal.SIGKILL)
    guest.say("after the kill")
    tmux.await_text("after the kill")
    tmux.type("typed")
    guest.await_heard("typed")
    assert "gone" not in tmux.screen()
    leave(tmux, pid)
    assert tmux.settings() == before


def test_when_all_of_the_daemon_is_gone_it_attaches_again(tmux, at, guest, consoled):
    before = tmux.settings()
    pid = at(guest.path)
    consoled.kill()
    tmux.await_text("the console daemon is gone; attaching again")
    tmux.await_text("attached again")
    guest.say("and on")
    tmux.await_text("and on")
    tmux.type("as before")
    guest.await_heard("as before")
    leave(tmux, pid)
    assert tmux.settings() == before


def test_it_can_be_left_while_the_daemon_is_waited_for(tmux, at, guest, console_cli, consoled):
    tmux.line(f"export HOLDFAST_CONSOLED={os.path.join(console_cli.folder, 'nothing')}")
    before = tmux.settings()
    pid = at(guest.path)
    consoled.kill()
    tmux.await_text("the console daemon is gone; attaching again")
    leave(tmux, pid)
    assert tmux.settings() == before


def test_the_end_of_the_guest_is_told_and_gives_the_terminal_back(tmux, at, guest):
    before = tmux.settings()
    pid = at(guest.path)
    guest.say("last words")
    tmux.await_text("last words")
    guest.close()
    until(lambda: not is_there(pid), "it has ended")
    assert tmux.status() == 0
    assert tmux.settings() == before


def test_a_terminal_that_shows_nothing_more_can_be_left(console_cli, guest, consoled):
    child, master = spawn_at_pty(console_cli, guest.path)
    seen = b""
    while b"tells more" not in seen:
        seen += os.read(master, 4096)
    with wire.Client(consoled.socket, path=guest.path, flags=wire.WATCH) as other:
        # Far more than the terminal takes, which nobody reads.
        for _ in range(16):
            guest.say(b"x" * 65536)
        guest.say("the end")
        other.read_until(b"the end")
    assert child.poll() is None
    os.write(master, b"\x1d")
    assert child.wait(30) == 0
    assert termios.tcgetattr(master)[3] & termios.ICANON
    os.close(master)
