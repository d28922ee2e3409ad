# SPDX-License-Identifier: LGPL-2.1-or-later
"""The guest that the other tests use, over a plain pty: what it promises is true of it alone."""

import time

from hftest.console_guest import ConsoleGuest, heard_in, lines_of, numbered


def test_a_guest_is_up_soon_and_types_numbered_lines_in_order(nursery, folder):
    guest = ConsoleGuest(nursery, folder)
    with guest.terminal() as terminal:
        terminal.type("p200\r")
        assert terminal.read_until(numbered(200)) == numbered(200)


def test_what_is_typed_while_it_prints_is_answered_between_whole_lines(nursery, folder):
    guest = ConsoleGuest(nursery, folder)
    with guest.terminal() as terminal:
        terminal.type("p300\r")
        for word in range(20):
            terminal.type(f"word {word}\r")
        seen = terminal.read_until(numbered(300, 300))
        terminal.read_until(b"heard word 19\r\n")
    assert lines_of(seen) == list(range(1, 301))
    assert heard_in(terminal.seen) == [b"word %d" % word for word in range(20)]


def test_a_break_is_counted_by_the_guest(nursery, folder):
    guest = ConsoleGuest(nursery, folder)
    with guest.terminal() as terminal:
        for number in (1, 2, 3):
            guest.monitor.ask("chardev-send-break", id="serial0")
            terminal.read_until(b"break %03d\r\n" % number)


def test_it_can_print_slowly_and_end_by_itself(nursery, folder):
    guest = ConsoleGuest(nursery, folder)
    with guest.terminal() as terminal:
        begin = time.monotonic()
        terminal.type("t10\r")
        terminal.read_until(numbered(10))
        assert time.monotonic() - begin > 0.4
        terminal.type("x\r")
        guest.child.wait(30)


def test_it_also_talks_over_a_unix_socket(nursery, folder):
    path = f"{folder}/line"
    guest = ConsoleGuest(nursery, folder, serial=("-serial", f"unix:{path},server=on,wait=off"))
    with guest.terminal(path) as terminal:
        terminal.type("p3\r")
        terminal.read_until(numbered(3))
    assert "serial0" in guest.chardevs()
