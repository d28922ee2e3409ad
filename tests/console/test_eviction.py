# SPDX-License-Identifier: LGPL-2.1-or-later
"""Programs that have a console are thrown out of it, and do not come back in."""

import errno
import os
import signal
import time

import pytest

from hftest.holder import EVICT, TAKE, USER, Holder, Terminal
from hftest.processes import is_there, until
from hftest.terminal_programs import LOCK_DIR, Arena, need_programs

# All at once: a round is one of these.
ROUNDS = int(os.environ.get("HF_EVICTION_ROUNDS", "20"))
# minicom and tio look once a second whether the line is there again.
COME_BACK = 2.6
AFTER = b"#after#"


@pytest.fixture(name="arena")
def an_arena(nursery):
    need_programs()
    return Arena(nursery)


@pytest.fixture(name="daemon")
def a_daemon(nursery, arena):
    return Holder(nursery, LOCK_DIR, enter=arena.enter, timeout_ms=10000)


def make(nursery):
    pty = Terminal(nursery)
    os.chmod(pty.path, 0o666)
    return pty


def assert_ours(arena, daemon, pty, program):
    owner = b"%10d\n" % daemon.guard()
    for name in (f"LCK..pts_{pty.number}", f"LCK..{pty.number}"):
        with open(os.path.join(arena.lock_dir, name), "rb") as content:
            assert content.read() == owner, (program.name, name)
    assert pty.is_locked() and pty.is_exclusive()


def read_all(pty):
    fd = pty.open()
    try:
        return until(lambda: os.read(fd, 4096), "what was printed")
    finally:
        os.close(fd)


@pytest.mark.parametrize("names", [["minicom"], ["tio again"], ["picocom", "cu", "screen", "socat",
                                                             "socat flock"]], ids=",".join)
def test_it_is_refused_thrown_out_by_force_and_stays_out(arena, daemon, nursery, names):
    held = {}
    for number in range(1, ROUNDS + 1):
        pty = make(nursery)
        held[number] = (pty, arena.start(names[number % len(names)], pty).gets_it())
    for number, (pty, program) in list(held.items())[:len(names)]:
        answer = daemon.take(number, pty.path)
        assert answer.result == -errno.EBUSY and answer.intruders[0].pid == program.pid(), answer
    for number, (pty, _) in held.items():
        daemon.tell(f"take {number} {EVICT} {pty.path}")
    for _ in held:
        answer = daemon.answer(20)
        assert (answer.op, answer.result) == (TAKE, 0), answer
    end = time.monotonic() + COME_BACK
    while time.monotonic() < end:
        for pty, program in held.values():
            program.read(0.001)
    # tio looks whether it may, and goes again, and cu keeps what is dead: what counts is who reads
    # what is printed now.
    for pty, program in held.values():
        os.write(pty.master, AFTER + b"\r\n")
    for pty, program in held.values():
        program.read()
        assert_ours(arena, daemon, pty, program)
        assert AFTER not in program.said
        assert AFTER in read_all(pty)


def test_all_that_share_a_terminal_are_thrown_out_at_once(arena, daemon, nursery):
    pty = make(nursery)
    programs = []
    for name in ("picocom", "socat", "cu", "minicom", "screen"):
        programs.append(arena.start(name, pty))
        until(programs[-1].pid, f"{name} has the line")
    assert daemon.take(1, pty.path, EVICT, timeout=20).result == 0
    os.write(pty.master, AFTER + b"\r\n")
    for program in programs:
        program.read()
        assert AFTER not in program.said
        assert_ours(arena, daemon, pty, program)
    assert AFTER in read_all(pty)


def test_what_the_guest_prints_afterwards_is_all_ours(arena, daemon, nursery):
    pty = make(nursery)
    program = arena.start("socat", pty).gets_it()
    assert daemon.take(1, pty.path, EVICT).result == 0
    until(lambda: not program.pid(), "it is out")
    os.write(pty.master, b"after the take-over\r\n")
    assert b"after the take-over" in read_all(pty)
    assert b"after" not in program.said


def test_one_that_does_not_move_is_refused_by_name(arena, daemon, nursery):
    """Stopped, it keeps its flock, although its descriptor is dead."""
    pty = make(nursery)
    program = arena.start("picocom", pty).gets_it()
    pid = program.pid()
    os.kill(pid, signal.SIGSTOP)
    nursery.at_end(lambda: is_there(pid) and os.kill(pid, signal.SIGCONT))
    answer = daemon.take(1, pty.path, EVICT, timeout=20)
    assert answer.result == -errno.EBUSY and "picocom" in answer.text, answer
    assert not pty.is_exclusive()
    os.kill(pid, signal.SIGCONT)
    until(lambda: program.read(0.001) or not program.pid(), "it notices")
    assert daemon.take(1, pty.path).result == 0


def test_a_lock_file_of_one_that_has_not_the_line_open_stays(arena, daemon, nursery):
    pty = make(nursery)
    path = os.path.join(arena.lock_dir, f"LCK.._pts_{pty.number}")
    with open(path, "wb") as file:
        file.write(b"%10d\n" % arena.keeper.pid)
    answer = daemon.take(1, pty.path, EVICT)
    assert answer.result == -errno.EBUSY and f"LCK.._pts_{pty.number}" in answer.text, answer
    assert os.listdir(arena.lock_dir).count(f"LCK.._pts_{pty.number}") == 1


@pytest.mark.parametrize("name", ["minicom", "picocom"])
def test_a_user_throws_nobody_out_and_learns_whom_to_ask(arena, nursery, name):
    pty = Terminal(nursery, uid=USER)
    os.chmod(pty.path, 0o666)
    os.chmod(arena.lock_dir, 0o1777)
    program = arena.start(name, pty, USER).gets_it()
    daemon = Holder(nursery, LOCK_DIR, enter=[*arena.enter, "setpriv", f"--reuid={USER}",
                                              f"--regid={USER}", "--clear-groups", "--"])
    answer = daemon.take(1, pty.path, EVICT)
    assert answer.result == -errno.EBUSY
    assert name in answer.text and "only root" in answer.text, answer
    assert program.pid(), "it was left alone"
