# SPDX-License-Identifier: LGPL-2.1-or-later
"""Clients that go away at a bad moment, or ask for more than is theirs, and kills beside that."""

import fcntl
import os
import resource
import signal
import struct
import subprocess
import termios
import time

import pytest

from hftest import console_wire as cw
from hftest import consoled as lib
from hftest.processes import is_there, until


def kill_server(daemon):
    before = daemon.server_pid
    os.kill(before, signal.SIGKILL)
    until(lambda: daemon.server_pid not in (before, daemon.pid), "another server", 10)


def kill_server_at(daemon, nursery, call, nth=1):
    """SIGKILL for the server when it is about to make its nth such call."""
    pid = daemon.server_pid
    tracer = nursery.spawn(
        ["strace", "-qq", "-o", "/dev/null", "-p", str(pid), "-e", f"trace={call}",
         "-e", f"inject={call}:signal=SIGKILL:when={nth}"], stderr=subprocess.DEVNULL)
    until(lambda: "TracerPid:\t0\n" not in open(f"/proc/{pid}/status", encoding="ascii").read(),
          "the tracer", 10)
    return tracer, pid


def test_each_of_two_writers_whose_guests_read_nothing_is_given_up_in_its_time(daemon, terminal):
    with lib.Terminal() as other:
        first, second = (daemon.attach(path=pair.path) for pair in (terminal, other))
        for client in (first, second):
            client.type(b"x" * 100000)
        first.close()
        time.sleep(0.4)
        second.close()
        daemon.until_free()
        until(lambda: os.listdir(daemon.locks) == [], "the lock files' end", 10)


def is_taken(client):
    """Nothing of what it typed waits in its stream."""
    waiting = fcntl.ioctl(client.stream.fileno(), termios.TIOCOUTQ, bytes(4))
    return struct.unpack("i", waiting)[0] == 0


@pytest.mark.parametrize("how", ["attaches", "was there"])
def test_a_new_writer_waits_a_second_for_one_that_left_and_not_the_ten_of_before(daemon, terminal,
                                                                                 how):
    first = daemon.attach(path=terminal.path, flags=cw.KEEP)
    first.type(b"x" * 100000)
    watcher = daemon.attach(path=terminal.path, flags=cw.WATCH)
    first.close()
    until(lambda: daemon.consoles()[0].writer is None, "its end", 5)
    if how == "attaches":
        watcher.close()
        second = daemon.attach(path=terminal.path)
    else:
        second = watcher
        second.act(cw.TAKE)
    with second:
        second.type(b"now me")
        until(lambda: is_taken(second), "its turn", 5)
        terminal.hear_until(b"now me")
        assert len(terminal.heard) < 100000


def test_a_terminal_registered_by_another_path_stays_the_console_that_it_was(daemon, terminal,
                                                                             nursery, folder):
    vm = nursery.spawn(["sleep", "1000"])
    other = os.path.join(folder, "other-name")
    os.symlink(terminal.path, other)
    with daemon.attach(path=other) as client:
        for _ in range(2):
            assert cw.register(daemon.socket, "web1", "serial0", terminal.path, vm.pid)[0] == \
                cw.HELD
        terminal.print(b"still here")
        client.read_until(b"still here")
        entry, = daemon.consoles()
        assert (entry.vm, entry.registered) == ("web1", True)


def test_a_log_directory_that_was_named_is_used_after_a_reload_too(consoled, terminal, folder):
    logs = os.path.join(folder, "a-directory-of-a-rather-long-name-for-the-logs-of-consoles")
    daemon = consoled(conf=f'log_directory = "{logs}"\n')
    with daemon.attach(path=terminal.path) as client:
        terminal.print(b"first\n")
        client.read_until(b"first\n")
        until(lambda: daemon.consoles()[0].log, "the log's name", 10)
        log = daemon.consoles()[0].log
        daemon.signal(signal.SIGHUP)
        until(lambda: "configuration read again" in daemon.log(), "the new settings", 10)
        logger = daemon.logger_pid
        os.kill(logger, signal.SIGKILL)
        until(lambda: daemon.logger_pid not in (None, logger), "another writer of logs", 10)
        terminal.print(b"second\n")
        until(lambda: open(log, "rb").read() == b"first\nsecond\n", "the whole log", 10)
        assert daemon.consoles()[0].log == log


def test_who_asks_for_a_held_console_only_opens_nothing(daemon, terminal, nursery):
    vm = nursery.spawn(["sleep", "1000"])
    with open(terminal.path, "rb", buffering=0) as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        assert cw.register(daemon.socket, "web1", "serial0", terminal.path, vm.pid)[0] == cw.BUSY
    for path in (daemon.socket, daemon.socket_ro):
        with pytest.raises(cw.Refused):
            cw.Client(path, vm="web1", flags=cw.WATCH | cw.ONLY_HELD)
    assert [entry.state for entry in daemon.consoles()] == [cw.BUSY]
    with daemon.attach(vm="web1", flags=cw.WATCH):
        assert [entry.state for entry in daemon.consoles()] == [cw.HELD]


def test_the_read_only_socket_neither_keeps_a_console_nor_throws_anybody_out(daemon, terminal):
    with daemon.attach(path=terminal.path):
        for more in (cw.KEEP, cw.FORCE):
            with pytest.raises(cw.Refused, match="read-only"):
                cw.Client(daemon.socket_ro, path=terminal.path,
                          flags=cw.WATCH | cw.ONLY_HELD | more)
    daemon.until_free()


def test_a_server_killed_while_it_begins_with_a_device_does_not_end_the_console(daemon, terminal,
                                                                                nursery):
    for nth in range(1, 9):
        tracer, server = kill_server_at(daemon, nursery, "epoll_ctl", nth)
        with daemon.attach(path=terminal.path) as client:
            terminal.print(b"<%d>" % nth)
            client.read_until(b"<%d>" % nth)
        daemon.until_free()
        tracer.terminate()
        tracer.wait()
        until(lambda pid=server: daemon.server_pid == pid or not is_there(pid), "its end", 10)


def test_a_busy_console_of_a_dead_vm_goes_also_where_its_server_was_replaced(daemon, terminal,
                                                                             nursery):
    vm = nursery.spawn(["sleep", "1000"])
    with open(terminal.path, "rb", buffering=0) as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        assert cw.register(daemon.socket, "web1", "serial0", terminal.path, vm.pid)[0] == cw.BUSY
        kill_server(daemon)
        vm.kill()
        vm.wait()
        daemon.until_free()


def test_a_kill_while_a_connection_is_closed_leaves_no_client_behind(consoled, nursery):
    daemon = consoled(conf="max_clients = 2\n")
    for _ in range(3):
        tracer, server = kill_server_at(daemon, nursery, "shutdown")
        cw.connect(daemon.socket).close()
        until(lambda pid=server: not is_there(pid), "the server's end", 10)
        tracer.wait()
        until(lambda pid=server: daemon.server_pid not in (pid, daemon.pid), "another server", 10)
    assert daemon.consoles() == []


def test_a_name_that_a_client_gives_itself_cannot_harm_a_terminal_that_shows_it(daemon, terminal):
    with daemon.attach(path=terminal.path, via="a\x1b]0;b\x07", host="c\nd\x9be\tf\u202eg"):
        with pytest.raises(cw.Refused) as refusal:
            daemon.attach(path=terminal.path)
        writer = refusal.value.writer
        for text in (refusal.value.text, writer.via, writer.host):
            assert all(32 <= ord(letter) < 127 for letter in text), ascii(text)


def test_without_splice_into_terminals_no_byte_that_was_typed_is_lost(daemon, terminal, nursery):
    with daemon.attach(path=terminal.path) as client:
        pid = daemon.server_pid
        tracer = nursery.spawn(["strace", "-qq", "-o", "/dev/null", "-p", str(pid), "-e",
                                "trace=splice", "-e", "inject=splice:error=EINVAL:when=2"],
                               stderr=subprocess.DEVNULL)
        until(lambda: "TracerPid:\t0\n" not in open(f"/proc/{pid}/status",
                                                    encoding="ascii").read(), "the tracer", 10)
        text = b"".join(b"%06d," % n for n in range(20000))
        client.type(text[:70])
        terminal.hear_until(text[:70])
        tracer.terminate()
        tracer.wait()
        client.type(text[70:101])
        until(lambda: daemon.consoles()[0].written == 101, "the piece that is no round one", 10)
        client.type(text[101:])
        until(lambda: daemon.consoles()[0].written > 4000, "a terminal that is full", 10)
        terminal.hear_until(text[-7:])
        assert terminal.heard == text


def test_a_full_table_of_descriptors_refuses_a_console_and_forgets_it(daemon, terminal):
    assert daemon.consoles() == []
    pid = daemon.server_pid
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    used = {int(name) for name in os.listdir(f"/proc/{pid}/fd")}
    free = min(set(range(len(used) + 1)) - used)
    # One for the connection, and none for the device.
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (free + 1, limits[1]))
    try:
        with pytest.raises(cw.Refused, match="descriptors|open files"):
            daemon.attach(path=terminal.path)
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
    daemon.until_free()
    daemon.attach(path=terminal.path).close()
    daemon.until_free()
