# SPDX-License-Identifier: LGPL-2.1-or-later
"""The whole daemon keeps others off a console, and whoever is killed nobody is kept off for ever."""

import os
import signal
import threading
import time

import pytest

from hftest import console_wire as cw
from hftest.holder import USER, comm
from hftest.processes import children, state_of, until
from hftest.still import Still, need_stillfs
from hftest.terminal_programs import Arena, need_programs

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="another user's daemon needs root")


@needs_root
def test_the_daemon_keeps_off_what_the_table_says(consoled, nursery, line):
    need_programs()
    arena = Arena(nursery)
    daemon = consoled(conf=f'lock_files = "{arena.lock_dir}"\n')
    for uid, open_to in ((None, ("screen", "socat")), (USER, ())):
        for name in ("picocom", "minicom", "cu", "screen", "tio", "socat", "socat flock"):
            pty = line()
            os.chmod(pty.path, 0o666)
            with daemon.attach(path=pty.path):
                program = arena.start(name, pty, uid)
                if name in open_to:
                    # What cannot be kept off is named to who asks.
                    pid = until(program.pid, f"{name} has it open")
                    entry, = [e for e in until(lambda: seen(daemon), "strangers")
                              if e.path == pty.path]
                    assert [s.pid for s in entry.strangers] == [pid]
                else:
                    assert program.verdict() == "R", (name, uid)
                program.end()
            daemon.until_free()


def seen(daemon):
    entries = daemon.consoles(strangers=True)
    return entries if any(entry.strangers for entry in entries) else None


KILLS = ["server", "supervisor", "guard", "second", "guard server", "server guard", "supervisor guard",
         "guard second", "server supervisor", "guard server supervisor",
         "second server supervisor", "supervisor server guard"]


def pids_of(daemon):
    guard = until(lambda: daemon.guard_pid, "a guard")
    second = until(lambda: [p for p in children(guard) if comm(p) == "console-second"],
                   "a second")[0]
    return {"server": daemon.server_pid, "supervisor": daemon.pid, "guard": guard, "second": second}


@needs_root
@pytest.mark.parametrize("killed", KILLS)
def test_a_user_attaches_again_at_once_whoever_was_killed(consoled, line, killed):
    """In a user's session nothing could take the flag off again, were it left behind."""
    pty = line(uid=USER)
    daemon = consoled(uid=USER)
    before = pty.settings()
    client = daemon.attach(path=pty.path, flags=cw.KEEP)
    assert not pty.opens_for_a_user()
    pids = pids_of(daemon)
    daemon.expected_to_live = False
    whole = {"server", "supervisor"} <= set(killed.split())
    if whole:
        # Neither is to have the time to take the other's place.
        for who in ("supervisor", "server"):
            os.kill(pids[who], signal.SIGSTOP)
            until(lambda pid=pids[who]: state_of(pid) == "T", "it has stopped")
    for who in killed.split():
        os.kill(pids[who], signal.SIGKILL)
    if whole:
        until(pty.opens_for_a_user, "it is free")
        until(lambda: pty.is_free(daemon.locks), "nothing is left of it")
        assert pty.settings() == before
    else:
        assert is_kept_at_last(daemon, pty)
        client.close()
        with daemon.attach(path=pty.path) as again:
            os.write(pty.master, b"still there")
            again.read_until(b"still there")


def is_kept_at_last(daemon, pty):
    """By all means, in the name of a guard that lives."""
    end = time.monotonic() + 10
    while True:
        files = {name: content(daemon, name) for name in os.listdir(daemon.locks)
                 if name.startswith("LCK")}
        names = {comm(int(text)) for text in files.values() if text}
        state = (len(files), pty.is_exclusive(), pty.is_locked(), names)
        if state == (3, True, True, {"console-guard"}):
            return True
        assert time.monotonic() < end, (state, files)


def content(daemon, name):
    try:
        with open(os.path.join(daemon.locks, name), "rb") as file:
            return file.read()
    except FileNotFoundError:
        return b""


def test_a_path_on_a_hung_file_system_delays_nobody(consoled, nursery, folder, line):
    need_stillfs()
    still = Still(nursery, folder)
    daemon = consoled()
    still.make("tty")
    still.stop()
    results = []

    def attach():
        begin = time.monotonic()
        try:
            daemon.attach(path=still.outside("tty")).close()
        except AssertionError as refusal:
            results.append((str(refusal), time.monotonic() - begin))

    hung = [threading.Thread(target=attach) for _ in range(3)]
    for thread in hung:
        thread.start()
    slowest = 0
    while any(thread.is_alive() for thread in hung):
        pty = line()
        begin = time.monotonic()
        with daemon.attach(path=pty.path) as client:
            os.write(pty.master, b"quick")
            client.read_until(b"quick")
        daemon.consoles()
        slowest = max(slowest, time.monotonic() - begin)
        pty.close()
    still.go()
    assert len(results) == 3
    assert all("does not answer" in text or "takes too long" in text for text, _ in results), results
    assert slowest < 3, "others waited for it"
