# SPDX-License-Identifier: LGPL-2.1-or-later
"""The monitor's client against QEMU itself, and against peers that are none."""

import json
import os
import shutil
import socket
import subprocess
import threading
import time

import pytest

QEMU = shutil.which("qemu-system-x86_64")
TALK = os.environ["HF_TALK_QMP"]
# QEMU is up, or a talk has ended, however slow the machine.
DEADLINE = 60


def talk(goal, path, milliseconds=DEADLINE * 1000):
    return subprocess.run([TALK, goal, path, str(milliseconds)], stdout=subprocess.PIPE, text=True,
                          timeout=DEADLINE + 10, check=True).stdout.strip()


class Monitor:
    """A monitor of the test's own, for the truth and to change it."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        end = time.monotonic() + DEADLINE
        while self.socket.connect_ex(path):
            assert time.monotonic() < end, "QEMU does not listen"
            time.sleep(0.01)
        self.file = self.socket.makefile("rw")
        self.file.readline()
        self.ask("qmp_capabilities")

    def ask(self, command):
        self.file.write(json.dumps({"execute": command}) + "\n")
        self.file.flush()
        while True:
            answer = json.loads(self.file.readline())
            if "return" in answer:
                return answer["return"]

    def status(self):
        return self.ask("query-status")["status"]


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    if not QEMU:
        pytest.skip("no QEMU on this machine")
    folder = tmp_path_factory.mktemp("qemu")
    paths = [str(folder / name) for name in ("ours", "theirs")]
    words = [QEMU, "-accel", "tcg", "-machine", "none", "-nodefaults", "-display", "none"]
    for path in paths:
        words += ["-qmp", f"unix:{path},server=on,wait=off"]
    qemu = subprocess.Popen(words, stdin=subprocess.DEVNULL)
    yield paths[0], Monitor(paths[1])
    qemu.kill()
    qemu.wait()


def test_a_running_qemu_is_stopped_and_continued(machine):
    path, monitor = machine
    assert monitor.status() == "running"
    assert talk("stop", path) == "done commanded"
    assert monitor.status() == "paused"
    assert talk("cont", path) == "done commanded"
    assert monitor.status() == "running"


def test_a_qemu_that_somebody_else_has_stopped_is_told_nothing(machine):
    path, monitor = machine
    monitor.ask("stop")
    assert talk("stop", path) == "already"
    monitor.ask("cont")
    assert talk("cont", path) == "already"


def test_a_monitor_that_somebody_else_uses_costs_no_more_than_the_time_that_there_is(machine):
    path, monitor = machine
    other = socket.socket(socket.AF_UNIX)
    other.connect(path)
    other.recv(1)
    assert talk("stop", path, 300) == "talking"
    assert monitor.status() == "running"
    other.close()


def greet(peer):
    peer.sendall(b'{"QMP": {}}\n')


def say_nothing(peer):
    peer.recv(1)


def flood(peer):
    greet(peer)
    while True:
        peer.sendall(b'{"event": "x", "data": {"y": [1, 2, 3]}}\n' * 1000)


def never_end_a_line(peer):
    while True:
        peer.sendall(b"x" * 65536)


def hang_up(peer):
    greet(peer)


def repeat_the_greeting(peer):
    while True:
        greet(peer)


def speak_gibberish(peer):
    peer.sendall(b"\0\xff\n{}\n[[[[[[[[[[[[[[[[[[\n")
    peer.recv(1)


@pytest.mark.parametrize("peer, end", [
    (say_nothing, "talking"), (flood, "talking"), (never_end_a_line, "talking"),
    (hang_up, "failed"), (repeat_the_greeting, "talking"), (speak_gibberish, "failed")])
def test_a_peer_that_is_no_monitor_costs_no_more_than_the_time_that_there_is(tmp_path, peer, end):
    path = str(tmp_path / "peer")
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen()

    def serve():
        connection, _ = server.accept()
        with connection:
            try:
                peer(connection)
            except OSError:
                pass

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    begin = time.monotonic()
    assert talk("stop", path, 300) == end
    assert time.monotonic() - begin < DEADLINE
    thread.join(DEADLINE)
    server.close()


def test_where_nobody_listens_there_is_no_monitor(tmp_path):
    assert talk("stop", str(tmp_path / "nobody")) == "failed"
    assert talk("stop", "/" + "x" * 200) == "failed"


@pytest.fixture(scope="module")
def lines(tmp_path_factory):
    """A QEMU with three lines, of which two are ptys: the monitor's path, and what it says itself."""
    if not QEMU:
        pytest.skip("no QEMU on this machine")
    folder = tmp_path_factory.mktemp("lines")
    paths = [str(folder / name) for name in ("ours", "theirs")]
    words = [QEMU, "-accel", "tcg", "-nodefaults", "-display", "none", "-S", "-m", "16",
             "-serial", "pty", "-chardev", "pty,id=second", "-serial", "chardev:second",
             "-serial", "null"]
    for path in paths:
        words += ["-qmp", f"unix:{path},server=on,wait=off"]
    qemu = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    yield paths[0], Monitor(paths[1])
    qemu.kill()
    qemu.wait()


def test_the_terminals_of_a_vm_are_found_by_their_names(lines):
    path, monitor = lines
    truth = {one["label"]: one["filename"] for one in monitor.ask("query-chardev")}
    said, *rows = talk("chardevs", path).splitlines()
    assert said == "done commanded"
    found = dict(row.split() for row in rows)
    assert found == {label: name[4:] if name.startswith("pty:") else "none"
                     for label, name in truth.items()}
    assert found["serial0"].startswith("/dev/pts/") and found["second"].startswith("/dev/pts/")


def test_a_break_is_sent_by_name_and_nothing_else_is(lines):
    path, _ = lines
    assert talk("break:serial0", path) == "done commanded"
    assert talk("break:second", path) == "done commanded"
    assert talk("break:no-such-line", path) == "failed commanded"
    for bad in ("", 'x"}', "x" * 200, "serial0\n"):
        assert talk(f"break:{bad}", path) == "failed"
