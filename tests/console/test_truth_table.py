# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which programs are kept off a console, by what, and that no cell of it has changed.

R: refused, o: open. As root and as a user. A cell that a newer version of a program changes is
news: the table here, and the one in docs/console.md, are to follow.
"""

import array
import fcntl
import os
import struct

import pytest

from hftest import holder as holder_lib
from hftest.holder import USER, Holder
from hftest.terminal_programs import LOCK_DIR, Arena, need_programs


@pytest.fixture
def terminal(nursery):
    """Makes terminals, as many as a test needs."""
    def make(**how):
        return holder_lib.Terminal(nursery, **how)
    return make


NAMES = ["picocom", "minicom", "cu", "screen", "tio", "socat", "socat flock"]
TIOCEXCL = 0x540C

# What is there            as root         as a user
TABLE = {
    "nothing":            ("o o o o o o o", "o o o o o o o"),
    "LCK..pts_N":         ("o R o o o o o", "o R o o o o o"),
    "LCK..N":             ("o o R o o o o", "o o R o o o o"),
    "LCK.._pts_N":        ("o o o o o o o", "o o o o o o o"),
    "both, binary":       ("o R R o o o o", "o R R o o o o"),
    "both, empty":        ("o R R o o o o", "o R R o o o o"),
    "flock":              ("R o o o R o R", "R o o o R o R"),
    # cu is uucp even when root calls it.
    "TIOCEXCL":           ("o o R o o o o", "R R R R R R R"),
    # All that can be refused: nothing stops a screen or a plain socat of root's, and for a user
    # there is nothing left that could not be.
    "our holder":         ("R R R o R o R", "R R R R R R R"),
}


@pytest.fixture(name="arena")
def an_arena(nursery):
    need_programs()
    arena = Arena(nursery)
    with open("/etc/passwd", encoding="utf-8") as users:
        if not any(line.startswith("uucp:") for line in users):
            pytest.skip("cu needs the user uucp")
    return arena


def put(arena, name, content):
    path = os.path.join(arena.lock_dir, name)
    with open(path, "wb") as file:
        file.write(content)
    os.chmod(path, 0o644)


def set_up(arena, nursery, pty, what):
    """What is to be kept open meanwhile, or None."""
    text = b"%10d\n" % arena.keeper.pid
    both = {"both, binary": struct.pack("=i", arena.keeper.pid), "both, empty": b""}
    if what.startswith("LCK"):
        put(arena, what.replace("N", str(pty.number)), text)
    elif what in both:
        put(arena, f"LCK..pts_{pty.number}", both[what])
        put(arena, f"LCK..{pty.number}", both[what])
    elif what == "flock":
        fd = pty.open()
        fcntl.flock(fd, fcntl.LOCK_EX)
        return fd
    elif what == "TIOCEXCL":
        fd = pty.open()
        fcntl.ioctl(fd, TIOCEXCL, array.array("i", [0]))
        return fd
    elif what == "our holder":
        holder = Holder(nursery, LOCK_DIR, enter=arena.enter)
        holder.hold(1, pty.path)
        return holder
    return None


def tear_down(kept):
    if isinstance(kept, int):
        os.close(kept)
    elif kept:
        kept.release(1)
        kept.kill()


def measure(arena, nursery, line, what, uid):
    cells = []
    for name in NAMES:
        pty = line()
        # Whoever wants to, may: what keeps a program off is only what we look at.
        os.chmod(pty.path, 0o666)
        kept = set_up(arena, nursery, pty, what)
        program = arena.start(name, pty, uid)
        cells.append(program.verdict())
        program.end()
        tear_down(kept)
        arena.clear()
        pty.close()
    return " ".join(cells)


@pytest.mark.parametrize("what", TABLE)
def test_root_is_kept_off_as_the_table_says(arena, nursery, line, what):
    assert measure(arena, nursery, line, what, None) == TABLE[what][0], NAMES


@pytest.mark.parametrize("what", TABLE)
def test_a_user_is_kept_off_as_the_table_says(arena, nursery, line, what):
    assert measure(arena, nursery, line, what, USER) == TABLE[what][1], NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_holder_is_kept_off_by_every_program_that_is_there_first(arena, nursery, line, name):
    """Ours respects all of them, also those that have no lock of any kind, and names them."""
    pty = line()
    os.chmod(pty.path, 0o666)
    program = arena.start(name, pty).gets_it()
    answer = Holder(nursery, LOCK_DIR, enter=arena.enter).take(1, pty.path)
    assert answer.result < 0
    assert name.split()[0] in answer.text and str(program.pid()) in answer.text, answer


def test_the_table_holds_on_every_second_attach(arena, nursery, line):
    """A holder that came, went and came again leaves the same table behind."""
    pty = line()
    os.chmod(pty.path, 0o666)
    holder = Holder(nursery, LOCK_DIR, enter=arena.enter)
    for _ in range(3):
        holder.hold(1, pty.path)
        assert arena.start("socat", pty, USER).verdict() == "R"
        holder.release(1)
        program = arena.start("socat", pty, USER).gets_it()
        program.end()
