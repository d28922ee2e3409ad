# SPDX-License-Identifier: LGPL-2.1-or-later
"""Consoles of real guests: nothing that a guest prints or is told is lost or doubled."""

import os
import re
import signal
import subprocess
import threading
import time

import pytest

from hftest import console_wire as wire
from hftest.console_guest import ConsoleGuest, Terminal, boot_sector, heard_in, lines_of, numbered
from hftest.consoled import Consoled
from hftest.holder import USER, as_user
from hftest.processes import is_there, kill_family, until
from hftest.terminal_programs import LOCK_DIR, Arena

# For tortures; the usual run takes the first number.
TAKE_OVERS = int(os.environ.get("HF_TAKE_OVERS", "100"))


@pytest.fixture
def consoled(nursery, folder):
    return Consoled(nursery, os.path.join(folder, "c"))


@pytest.fixture
def guest(nursery, folder):
    return ConsoleGuest(nursery, folder)


@pytest.fixture
def attach(consoled, guest):
    """Attaches to the guest's terminal; detached with the test."""
    clients = []

    def start(flags=0, **how):
        how.setdefault("path", guest.pty)
        client = wire.Client(consoled.socket, flags=flags, **how)
        clients.append(client)
        return client
    yield start
    for client in clients:
        client.close()


def held(consoled, path):
    """The console at the path, as the daemon has it; None when it has none."""
    return next((one for one in wire.consoles(consoled.socket) if one.path == path), None)


def drop_privileges():
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)


def opens_unprivileged(path):
    """Whether the terminal can be opened by somebody without privilege, to whom it is given."""
    os.chown(path, 65534, -1)
    words = ["python3", "-c", "import os, sys; os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY)", path]
    return subprocess.run(words, preexec_fn=drop_privileges, stderr=subprocess.PIPE, text=True,
                          timeout=30, check=False)


def gather(clients, done):
    """Reads for all clients at once, as people at their terminals do, each until done(client)."""
    def read(client):
        while not done(client):
            if client.read_some() is None:
                return
    threads = [threading.Thread(target=read, args=[client]) for client in clients]
    for thread in threads:
        thread.start()
    return threads


def join(threads):
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "a client does not get all"


def test_each_of_five_watchers_and_the_writer_reads_200_lines_whole_and_in_order(attach):
    writer = attach().wake()
    watchers = [attach(wire.WATCH) for _ in range(5)]
    last = numbered(200, 200)
    threads = gather([writer, *watchers],
                     lambda one: last in one.seen and b"heard word 39\r\n" in one.seen)
    writer.type("p200\r")
    for number in range(40):
        writer.type(f"word {number}\r")
    join(threads)
    for one in (writer, *watchers):
        assert lines_of(one.seen) == list(range(1, 201))
        assert heard_in(one.seen) == [b"word %d" % number for number in range(40)]
    assert len({one.seen for one in watchers}) == 1


def test_what_a_guest_prints_in_an_absence_of_five_seconds_is_replayed(attach, consoled, guest):
    first = attach(wire.KEEP).wake()
    first.type("t90\r")
    first.read_until(numbered(3))
    first.close()
    head = len(first.seen) + held(consoled, guest.pty).head

    def all_printed():
        console = held(consoled, guest.pty)
        assert console.clients == []
        return console.head >= head + len(numbered(80))
    begin = time.monotonic()
    until(all_printed, "80 lines, one a tick", 60)
    assert time.monotonic() - begin > 3
    back = attach(replay=1000)
    assert back.live - back.position > len(numbered(80))
    back.read_until(numbered(90, 90))
    assert back.seen.endswith(numbered(90))
    assert back.marks and back.marks[-1][1] - back.marks[0][1] > 3e6


def test_forced_take_overs_in_a_row_lose_no_byte(attach):
    first = attach().wake()
    watcher = attach(wire.WATCH)
    clients, takers, last = [first], TAKE_OVERS, numbered(2000, 2000)
    first.type("p2000\r")
    for number in range(takers):
        clients[-1].type(f"before {number}\r")
        clients.append(attach(wire.FORCE))
        notice = clients[-2].await_notice(wire.DISPLACED)
        assert (notice.count, notice.client.pid) == (0, os.getpid()), notice
        clients[-1].type(f"after {number}\r")
        if len(clients) > 4:
            clients.pop(0).close()
    clients[-1].type("the end\r")
    join(gather([watcher], lambda one: b"heard the end\r\n" in one.seen and last in one.seen))
    head = watcher.position + len(watcher.seen)
    for one in clients:
        # From its first byte to the last, whatever was taken from it meanwhile.
        join(gather([one], lambda one: one.position + len(one.seen) >= head))
        assert watcher.seen.endswith(one.seen[-len(watcher.seen):])
    assert lines_of(watcher.seen) == list(range(1, 2001))
    said = [b"%s %d" % (word, number) for number in range(takers) for word in (b"before", b"after")]
    assert heard_in(watcher.seen) == [*said, b"the end"]
    # A displaced writer is a watcher: what it types goes nowhere.
    clients[-2].type("nothing\r")
    clients[-1].type("over\r")
    assert heard_in(watcher.read_until(b"heard over\r\n"))[-2:] == [b"the end", b"over"]


def test_a_client_that_is_killed_frees_its_place_at_once(attach, consoled, guest, nursery):
    words = ["python3", "-c",
             "import sys, time; sys.path.insert(0, sys.argv[1]); "
             "from hftest import console_wire as w; "
             "c = w.Client(sys.argv[2], path=sys.argv[3]); print('up', flush=True); "
             "time.sleep(600)",
             os.path.join(os.path.dirname(__file__), "..", "lib"), consoled.socket, guest.pty]
    for _ in range(3):
        child = nursery.spawn(words, stdout=subprocess.PIPE, text=True)
        assert child.stdout.readline() == "up\n"
        with pytest.raises(wire.Refused) as refused:
            attach()
        assert refused.value.writer.pid == child.pid
        assert f"pid {child.pid}" in refused.value.text
        child.kill()
        child.wait()
        until(lambda: not (held(consoled, guest.pty) or wire.Entry).clients
              if held(consoled, guest.pty) else True, "its place is free", 10)
    attach().wake()


def test_all_of_the_daemon_killed_leaves_nothing_in_the_way(attach, consoled, guest):
    for turn in range(2):
        client = attach(wire.FORCE if turn else 0).wake()
        kill_family(consoled.pid)
        consoled.expected_to_live = False
        client.close()
        # The guard gives it back within a moment, to people without privilege too.
        until(lambda: opens_unprivileged(guest.pty).returncode == 0, "the terminal is free", 5)
        assert os.listdir(consoled.locks) == []
        with guest.terminal() as plain:
            plain.type("p1\r")
            plain.read_until(numbered(turn + 1, turn + 1))
        consoled.start()
    attach().wake()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has other users to become")
def test_somebody_without_privilege_has_the_same(nursery, folder):
    own = os.path.join(folder, "own")
    os.mkdir(own)
    boot_sector(own)
    for path in (own, boot_sector(own)):
        os.chown(path, USER, USER)
    guest = ConsoleGuest(nursery, own, start=lambda argv: nursery.spawn(
        [*as_user(USER), *argv], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL))
    consoled = Consoled(nursery, os.path.join(own, "c"), uid=USER)
    for turn in range(2):
        with wire.Client(consoled.socket, path=guest.pty, flags=wire.KEEP) as client:
            client.wake()
            client.type("p20\r")
            assert lines_of(client.read_until(numbered(20 * turn + 20, 20 * turn + 20)))[-1] == \
                20 * turn + 20
            assert "busy" in opens_unprivileged(guest.pty).stderr
            kill_family(consoled.pid)
            consoled.expected_to_live = False
        until(lambda: opens_unprivileged(guest.pty).returncode == 0, "the terminal is free", 5)
        consoled.start()


@pytest.mark.parametrize("who", ["server", "supervisor"])
def test_a_killed_part_of_the_daemon_costs_clients_nothing(attach, consoled, guest, who):
    writer = attach().wake()
    watcher = attach(wire.WATCH)
    writer.type("t30\r")
    for number in range(5):
        writer.read_until(b"line %06d" % (number * 5 + 3))
        os.kill(consoled.server_pid if who == "server" else consoled.pid, signal.SIGKILL)
        writer.type(f"word {number}\r")
    for one in (writer, watcher):
        one.read_until(numbered(30, 30))
        one.read_until(b"heard word 4\r\n")
        assert lines_of(one.seen) == list(range(1, 31))
        assert heard_in(one.seen) == [b"word %d" % number for number in range(5)]


def test_a_guests_end_is_told_when_all_that_it_printed_has_been_read(attach, consoled, guest):
    writer = attach().wake()
    watcher = attach(wire.WATCH)
    writer.type("p50\r")
    writer.read_until(numbered(50))
    guest.kill()
    for one in (writer, watcher):
        one.await_notice(wire.IS_ENDED)
        one.read_to_end()
        assert lines_of(one.seen) == list(range(1, 51))
    path = writer.entry.path
    writer.close()
    watcher.close()
    until(lambda: held(consoled, path) is None, "the console is gone", 10)


def test_a_guest_that_comes_up_on_the_same_terminal_is_a_new_console(attach, nursery, folder,
                                                                     consoled, guest):
    attach(wire.KEEP).wake()
    guest.kill()
    until(lambda: not is_there(guest.pid), "its end")
    again = ConsoleGuest(nursery, folder, "web2")
    with wire.Client(consoled.socket, path=again.pty) as client:
        client.wake()
        client.type("p3\r")
        assert lines_of(client.read_until(numbered(3))) == [1, 2, 3]


def test_a_line_that_is_a_unix_socket_is_served_the_same(nursery, folder, consoled):
    path = f"{folder}/line"
    guest = ConsoleGuest(nursery, folder, serial=("-serial", f"unix:{path},server=on,wait=off"))
    with wire.Client(consoled.socket, path=path) as writer, \
            wire.Client(consoled.socket, path=path, flags=wire.WATCH) as watcher:
        writer.wake()
        writer.type("p200\r")
        for one in (writer, watcher):
            one.read_until(numbered(200, 200))
            assert lines_of(one.seen) == list(range(1, 201))
    guest.kill()


# ---- other programs ---------------------------------------------------------------------

class Line:
    """A guest's terminal, for programs that try to get it; what arrives there is the guest's."""

    def __init__(self, path):
        self.path = path
        self.master = os.open("/dev/null", os.O_WRONLY)


def test_who_can_be_kept_off_a_real_guests_console_is(nursery, folder, guest):
    arena = Arena(nursery)
    consoled = Consoled(nursery, os.path.join(folder, "c"), wrapper=arena.enter,
                        conf=f'lock_files = "{LOCK_DIR}"\n')
    number = os.path.basename(guest.pty)
    line = Line(guest.pty)
    os.chmod(guest.pty, 0o666)
    with wire.Client(consoled.socket, path=guest.pty) as writer:
        writer.wake()
        assert set(arena.files()) >= {f"LCK..pts_{number}", f"LCK..{number}"}
        # screen and plain socat of root's can not.
        for name, uid in [("picocom", None), ("minicom", None), ("cu", None), ("tio", None),
                          ("socat flock", None), ("screen", USER), ("socat", USER)]:
            program = arena.start(name, line, uid)
            assert program.verdict() == "R", name
            program.end()
        writer.type("p200\r")
        assert lines_of(writer.read_until(numbered(200, 200))) == list(range(1, 201))
    os.close(line.master)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has other users to become")
def test_nobody_without_privilege_opens_a_terminal_that_is_held(attach, guest):
    client = attach()
    answer = opens_unprivileged(guest.pty)
    assert "Device or resource busy" in answer.stderr
    client.close()
    until(lambda: opens_unprivileged(guest.pty).returncode == 0, "it is free again", 10)


@pytest.mark.skipif(os.geteuid() != 0, reason="others are kept out of a root's terminal anyway")
def test_a_program_that_opens_it_all_the_same_is_told_of_and_listed(attach, guest, consoled):
    client = attach().wake()
    with Terminal(guest.pty):
        console, = [one for one in wire.consoles(consoled.socket, strangers=True)
                    if one.path == guest.pty]
        assert [stranger.pid for stranger in console.strangers] == [os.getpid()]
        assert client.await_notice(wire.STRANGER).stranger.pid == os.getpid()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root throws programs out")
def test_a_program_that_has_the_terminal_already_is_named_and_thrown_out_by_force(attach, guest):
    with guest.terminal() as terminal:
        with pytest.raises(wire.Refused) as refused:
            attach()
        assert refused.value.stranger.pid == os.getpid()
        assert f"pid {os.getpid()}" in refused.value.text
        client = attach(wire.FORCE).wake()
        client.type("p20\r")
        assert lines_of(client.read_until(numbered(20))) == list(range(1, 21))
        terminal.read_for(0.1)
        assert lines_of(terminal.seen) == []
