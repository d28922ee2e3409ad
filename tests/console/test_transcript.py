# SPDX-License-Identifier: LGPL-2.1-or-later
"""Logs of consoles: whole, whoever was killed; and a disk that fails delays nobody."""

import os
import random
import re
import signal
import subprocess
import time

import pytest

from hftest import console_wire as cw
from hftest import consoled as lib
from hftest.processes import is_there, until
from hftest.still import Namespace, Still, need_mounts, need_stillfs

ON, FAILING = 1, 2
MISSING = re.compile(rb"\n?\[holdfast: (\d+) bytes are missing, until [-0-9T:]+Z\]\n")


def numbered(first, n):
    return b"".join(b"line %06d of what this guest has to say\n" % i for i in range(first, first + n))


def attach(daemon, terminal, **how):
    return daemon.attach(vm="web1", device="serial0", path=terminal.path, flags=cw.KEEP, **how)


def log_of(daemon):
    until(lambda: daemon.consoles()[0].log, "the log's path")
    return daemon.consoles()[0].log


def read(path):
    with open(path, "rb") as log:
        return log.read()


def until_logged(path, wanted, timeout=30):
    until(lambda: os.path.exists(path) and len(read(path)) >= len(wanted), "all is in the log",
          timeout)
    assert read(path) == wanted


def test_what_a_guest_prints_is_in_its_log_also_with_nobody_attached(daemon, terminal):
    with attach(daemon, terminal):
        terminal.print(numbered(0, 100))
        path = log_of(daemon)
    terminal.print(numbered(100, 100))
    until_logged(path, numbered(0, 200))
    assert path.endswith("/web1/serial0.log")
    assert os.stat(path).st_mode & 0o777 == 0o600
    entry, = daemon.consoles()
    assert (entry.log_state, entry.log) == (ON, path)


def test_two_consoles_of_one_name_have_two_logs(daemon, terminal):
    with lib.Terminal() as other, attach(daemon, terminal), attach(daemon, other):
        terminal.print(b"one")
        other.print(b"another")
        logs = until(lambda: [c.log for c in daemon.consoles() if c.log][1:] and
                     {c.path: c.log for c in daemon.consoles()}, "both have a log")
        until_logged(logs[terminal.path], b"one")
        until_logged(logs[other.path], b"another")


def test_a_log_is_rotated_by_the_configured_size(consoled, terminal):
    daemon = consoled(conf="log_max_size = 4\nlog_max_backups = 2\n")
    with attach(daemon, terminal) as client:
        path = log_of(daemon)
        text = numbered(0, 400)
        terminal.print(text)
        client.read_until(text[-40:])
        until(lambda: os.path.exists(path) and read(path).endswith(text[-40:]), "it is logged")
    logs = [read(f"{path}{end}") for end in (".2", ".1", "")]
    assert not os.path.exists(path + ".3")
    assert all(0 < len(log) <= 4096 for log in logs)
    assert text.endswith(b"".join(logs))


def test_a_daemon_that_starts_anew_goes_on_in_the_same_log(consoled, terminal):
    daemon = consoled()
    with attach(daemon, terminal):
        path = log_of(daemon)
        terminal.print(numbered(0, 10))
        until_logged(path, numbered(0, 10))
    daemon.stop()
    daemon.start()
    with attach(daemon, terminal):
        terminal.print(numbered(10, 10))
        until_logged(path, numbered(0, 20))


def kill(pid):
    if pid:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def server_of(daemon):
    """Looked at once: between two servers the daemon is its supervisor alone."""
    def found():
        pid = daemon.server_pid
        return pid if pid != daemon.pid else None

    return until(found, "a server")


VICTIMS = {
    "the writer of logs": lambda daemon: [daemon.logger_pid],
    "the server": lambda daemon: [server_of(daemon)],
    "both": lambda daemon: [server_of(daemon), daemon.logger_pid],
}


@pytest.mark.parametrize("who", VICTIMS)
def test_every_byte_is_in_the_log_once_whoever_is_killed(daemon, terminal, who):
    dice = random.Random(who)
    with attach(daemon, terminal):
        path = log_of(daemon)
        for i in range(12):
            terminal.print(numbered(200 * i, 200))
            time.sleep(dice.uniform(0, 0.01))  # any moment will do
            for pid in VICTIMS[who](daemon):
                kill(pid)
            if i % 4 == 3:
                until_logged(path, numbered(0, 200 * (i + 1)))


def tracer_of(daemon, nursery, *how):
    """strace of the server, when it has begun."""
    pid = server_of(daemon)
    tracer = nursery.spawn(["strace", "-qq", "-o", "/dev/null", "-p", str(pid), *how],
                           stderr=subprocess.DEVNULL)
    until(lambda: "TracerPid:\t0\n" not in open(f"/proc/{pid}/status", encoding="ascii").read(),
          "the tracer")
    return tracer, pid


def test_a_writer_of_logs_killed_before_it_has_said_a_word_is_replaced(daemon, terminal, nursery):
    with attach(daemon, terminal):
        path = log_of(daemon)
        # What a writer does first.
        tracer, _ = tracer_of(daemon, nursery, "-f", "-e", "trace=close_range", "-e",
                              "inject=close_range:signal=SIGKILL")
        kill(daemon.logger_pid)
        until(lambda: daemon.log().count("the writer of logs") > 2, "the death of a young one")
        tracer.terminate()
        tracer.wait()
        terminal.print(numbered(0, 10))
        until_logged(path, numbered(0, 10))


@pytest.mark.parametrize("call", ["close", "recvfrom", "epoll_ctl"])
def test_a_server_killed_while_it_replaces_the_writer_of_logs_leaves_no_byte_out(daemon, terminal,
                                                                                 nursery, call):
    with attach(daemon, terminal):
        path = log_of(daemon)
        for nth in range(1, 7):
            logger = until(lambda: daemon.logger_pid, "a writer of logs")
            tracer, server = tracer_of(daemon, nursery, "-e", f"trace={call}", "-e",
                                       f"inject={call}:signal=SIGKILL:when={nth}")
            kill(logger)
            until(lambda: not is_there(server) or daemon.logger_pid not in (None, logger),
                  "the server's end, or another writer")
            tracer.terminate()
            tracer.wait()
            terminal.print(b"line %d\n" % nth)
            until(lambda: read(path).endswith(b"line %d\n" % nth), f"line {nth} is logged")


@pytest.fixture
def small_disk(nursery, folder):
    need_mounts()
    space = Namespace(nursery, folder)
    space.run("mount", "-t", "tmpfs", "-o", "size=48k", "tmpfs", space.point)
    return space


def on_disk(consoled, space, scrollback):
    return consoled(conf=f'log_directory = "{space.point}"\nscrollback = {scrollback}\n',
                    wrapper=space.enter)


def fill(daemon, terminal, text):
    """Prints it while the disk is full, which delays nobody."""
    with attach(daemon, terminal) as client:
        for at in range(0, len(text), 20000):
            terminal.print(text[at:at + 20000])
            client.read_until(text[:at + 20000][-40:])
    until(lambda: daemon.consoles()[0].log_state == FAILING, "the list says so")
    entry, = daemon.consoles()
    assert os.strerror(28) in entry.log_text, entry.log_text


def test_a_full_disk_costs_nothing_that_is_kept_in_memory(consoled, terminal, small_disk):
    daemon = on_disk(consoled, small_disk, 256)
    text = numbered(0, 4000)
    fill(daemon, terminal, text)
    small_disk.run("mount", "-o", "remount,size=4m", small_disk.point)
    until_logged(small_disk.outside("web1/serial0.log"), text)
    until(lambda: daemon.consoles()[0].log_state == ON, "the list says so")


def test_what_a_full_disk_has_cost_is_one_line_in_the_log(consoled, terminal, small_disk):
    daemon = on_disk(consoled, small_disk, 64)
    text = numbered(0, 4000)
    fill(daemon, terminal, text)
    small_disk.run("mount", "-o", "remount,size=4m", small_disk.point)
    path = small_disk.outside("web1/serial0.log")
    until(lambda: read(path).endswith(text[-40:]), "the last line is logged")
    log = read(path)
    lost, = MISSING.finditer(log)
    before, after = log[:lost.start()], log[lost.end():]
    assert text.startswith(before) and text.endswith(after) and len(after) >= 60000
    assert len(before) + int(lost[1]) + len(after) == len(text)
    terminal.print(b"and on\n")
    until(lambda: read(path) == log + b"and on\n", "it goes on")


def test_a_disk_that_does_not_answer_delays_neither_guest_nor_client(consoled, terminal, nursery,
                                                                     folder):
    need_stillfs()
    still = Still(nursery, folder)
    daemon = on_disk(consoled, still, 64)
    still.stop()
    text = numbered(0, 4000)
    begin = time.monotonic()
    with attach(daemon, terminal) as client:
        for at in range(0, len(text), 20000):
            terminal.print(text[at:at + 20000])
            client.read_until(text[:at + 20000][-40:])
        assert client.seen == text
        client.type(b"typed\r")
        terminal.hear_until(b"typed\r")
        assert time.monotonic() - begin < 5
        until(lambda: daemon.consoles()[0].log_state == FAILING, "the list says so")
        still.go()
    daemon.stop()


def test_the_command_prints_the_log_of_a_daemon_that_is_gone(daemon, terminal):
    with attach(daemon, terminal):
        path = log_of(daemon)
        terminal.print(numbered(0, 50))
        until_logged(path, numbered(0, 50))
    daemon.stop()
    done = subprocess.run([os.path.join(lib.BUILD, "src", "cli", "holdfast"), "console", "--log",
                           "--replay=3", "--timestamps", "web1"],
                          env={"HOLDFAST_RUN_DIR": daemon.run_dir, "HOME": "/", "PATH": "/bin"},
                          capture_output=True, timeout=20, check=True)
    lines = done.stdout.splitlines()
    assert [line[24:] for line in lines] == numbered(47, 3).splitlines()
    assert all(re.match(rb"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} line", line) for line in lines)
