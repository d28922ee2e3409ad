# SPDX-License-Identifier: LGPL-2.1-or-later
"""holdfast console in scripts: pipes, refusals, the list, and what is no console."""

import os
import re
import select
import signal
import socket
import subprocess
import time

import pytest

from hftest import console_wire as wire
from hftest.command import Cli
from hftest.consoled import Consoled
from hftest.processes import until
from hftest.pty_guest import PtyGuest

# One who may nothing.
NOBODY = 65534


@pytest.fixture
def guest():
    with PtyGuest() as one:
        yield one


def reads(child, text, timeout=30):
    """What a child prints, up to the text."""
    seen, end = b"", time.monotonic() + timeout
    while text not in seen:
        assert time.monotonic() < end, (text, seen)
        if select.select([child.stdout], [], [], 0.1)[0]:
            more = os.read(child.stdout.fileno(), 65536)
            assert more, (text, seen)
            seen += more
    return seen


def watch(console_cli, guest, *words, **how):
    how.setdefault("stdout", subprocess.PIPE)
    child = console_cli.start("console", "--watch", *words, guest.path, stderr=subprocess.PIPE,
                              **how)
    until(lambda: is_attached(console_cli), "it is attached")
    return child


def is_attached(console_cli):
    return any(c["clients"] for c in console_cli.json("console", "list")["consoles"])


def test_a_pipe_gives_the_guest_all_and_ends_with_its_input(console_cli, guest):
    text = "".join(f"line {number}\n" for number in range(5000))
    with open(os.path.join(console_cli.folder, "input"), "w+", encoding="ascii") as out:
        out.write(text)
        out.seek(0)
        child = console_cli.start("console", "--linger=0", guest.path, stdin=out,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    guest.await_heard(text)
    until(lambda: child.poll() is not None, "it has ended")
    assert (child.returncode, child.communicate()) == (0, ("", ""))
    assert guest.heard.decode() == text


def test_keys_mean_nothing_in_a_pipe(console_cli, guest):
    done = console_cli("console", "--linger=0", guest.path, stdin=None, input="\x1d\x1f.\x1d")
    guest.await_heard("\x1d\x1f.\x1d")
    assert (done.returncode, done.stderr) == (0, "")


def test_after_its_input_a_pipe_listens_for_the_answer(console_cli, guest):
    child = console_cli.start("console", "--linger=2", guest.path, stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    child.stdin.write("uname\n")
    child.stdin.close()
    guest.await_heard("uname\n")
    guest.say("Guest\r\n")
    assert reads(child, b"Guest\r\n") == b"Guest\r\n"
    assert child.wait(30) == 0


def test_who_only_watches_does_not_read_its_input_and_ends_with_its_reader(console_cli, guest):
    child = watch(console_cli, guest)
    guest.say("one")
    reads(child, b"one")
    assert child.poll() is None
    child.stdout.close()
    guest.say("two")
    assert child.wait(30) == 0


def test_a_signal_that_was_ignored_before_stays_ignored(console_cli, guest):
    child = console_cli.start("console", "--watch", guest.path, prefix=["nohup"],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    until(lambda: is_attached(console_cli), "it is attached")
    child.send_signal(signal.SIGHUP)
    guest.say("still here")
    reads(child, b"still here")
    child.send_signal(signal.SIGINT)
    assert child.wait(30) == 128 + signal.SIGINT


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_does_not_want_to_wait_for_a_daemon_that_hangs_need_not(console_cli, guest, consoled,
                                                                    number):
    for pid in (consoled.pid, consoled.server_pid):
        os.kill(pid, signal.SIGSTOP)
    try:
        child = console_cli.start("console", guest.path, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE)
        until(lambda: has_socket(child.pid), "it has connected")
        child.send_signal(number)
        assert child.wait(5) in (-number, 128 + number)
    finally:
        for pid in (consoled.server_pid, consoled.pid):
            os.kill(pid, signal.SIGCONT)


def target(path):
    """Where a link leads that may go at any moment."""
    try:
        return os.readlink(path)
    except FileNotFoundError:
        return ""


def has_socket(pid):
    fds = f"/proc/{pid}/fd"
    return any(target(f"{fds}/{fd}").startswith("socket:") for fd in os.listdir(fds))


def test_a_reader_that_stops_delays_nobody_and_learns_what_it_missed(console_cli, guest, consoled):
    child = watch(console_cli, guest)
    with wire.Client(consoled.socket, path=guest.path, flags=wire.WATCH) as other:
        line = b"0123456789abcdef" * 63 + b"\r\n"
        for _ in range(1024):
            guest.say(line)
        guest.say("the end")
        other.read_until(b"the end")
    seen = reads(child, b"the end")
    child.terminate()
    _, said = child.communicate(timeout=30)
    missing = sum(map(int, re.findall(r"(\d+) bytes are missing", said)))
    assert len(seen) + missing == 1024 * len(line) + 7, (len(seen), said)


def test_times_stand_in_front_of_lines(console_cli, guest):
    child = watch(console_cli, guest, "--timestamps")
    before = time.strftime("%Y-%m-%d %H:%M:%S")
    guest.say("fir")
    time_of = reads(child, b"fir").decode()
    guest.say("st\r\nsecond\r\n")
    seen = time_of + reads(child, b"second\r\n").decode()
    stamp = r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)\.\d{3} "
    found = re.fullmatch(f"{stamp}first\r\n{stamp}second\r\n", seen)
    assert found and before <= found[1] <= found[2] <= time.strftime("%Y-%m-%d %H:%M:%S")


def test_lines_that_were_printed_before_are_shown_with_their_times(console_cli, guest, consoled):
    with wire.Client(consoled.socket, path=guest.path) as writer:
        guest.say("".join(f"line {number}\r\n" for number in range(100)))
        writer.read_until(b"line 99\r\n")
        printed = time.strftime("%Y-%m-%d %H:%M:%S")
        until(lambda: time.strftime("%Y-%m-%d %H:%M:%S") > printed, "a second has passed")
        child = watch(console_cli, guest, "--replay=3", "--timestamps")
        seen = reads(child, b"line 99\r\n").decode().splitlines()
        assert [line.split(" ", 2)[2] for line in seen] == ["line 97", "line 98", "line 99"]
        assert all(line[:19] <= printed for line in seen), (seen, printed)


def test_a_second_writer_is_told_who_the_first_one_is(console_cli, guest, consoled):
    with wire.Client(consoled.socket, path=guest.path, via="minicom2", host="10.0.0.5"):
        done = console_cli("console", guest.path)
    assert done.returncode == 75
    assert re.fullmatch(
        rf"holdfast: the console of {guest.path} is written by \w+ \(pid {os.getpid()}, from "
        rf'10.0.0.5, since \d\d:\d\d, minicom2\)\. Watch it with "holdfast console --watch '
        rf'{guest.path}", or take it with --force\.\n', done.stderr), done.stderr


def test_another_program_that_has_the_device_is_named(console_cli, guest, nursery):
    other = nursery.spawn(["flock", guest.path, "sh", "-c", "echo locked; exec sleep 600"],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    assert other.stdout.readline() == b"locked\n"
    done = console_cli("console", guest.path)
    assert done.returncode == 75
    assert done.stderr.count("\n") == 1 and guest.path in done.stderr, done.stderr
    assert re.search(r"(flock|sleep|sh).*pid \d+.*As root, --force takes it from there",
                     done.stderr), done.stderr
    nursery.end(other)


def test_a_pipe_that_is_displaced_ends_and_says_by_whom(console_cli, guest, consoled):
    child = console_cli.start("console", guest.path, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE)
    until(lambda: is_attached(console_cli), "it is attached")
    with wire.Client(consoled.socket, path=guest.path, flags=wire.FORCE, via="a test"):
        assert child.wait(30) == 75
    assert re.fullmatch(r"\[holdfast: \w+ \(pid \d+, a test\) has taken the console\]\n",
                        child.communicate()[1])


def test_the_list_shows_consoles_and_who_is_attached(console_cli, guest, consoled):
    wire.register(consoled.socket, "web1", "serial0", guest.path, os.getpid(),
                  uuid=bytes(range(16)))
    with wire.Client(consoled.socket, vm="web1", via="one", host="10.0.0.5"), \
            wire.Client(consoled.socket, vm="web1", flags=wire.WATCH, via="two"):
        [entry] = console_cli.json("console", "list")["consoles"]
        table = console_cli("console", "list").stdout.splitlines()
    assert (entry["vm"], entry["device"], entry["path"], entry["state"], entry["pid"]) == \
        ("web1", "serial0", guest.path, "held", os.getpid())
    assert entry["uuid"] == "00010203-0405-0607-0809-0a0b0c0d0e0f"
    assert entry["registered"] is True
    clients = {one["via"]: one for one in entry["clients"]}
    assert (clients["one"]["role"], clients["one"]["from"]) == ("writer", "10.0.0.5")
    assert clients["two"]["role"] == "watcher"
    assert entry["watchers"] == 1
    assert table[0].split() == ["CONSOLE", "PID", "STATE", "WRITER", "WATCHERS", "SINCE", "LOG"]
    assert table[1].split()[:3] == ["web1:serial0", str(os.getpid()), "held"]


def test_the_list_is_empty_where_nothing_is_held(console_cli, consoled):
    assert console_cli.json("console", "list")["consoles"] == []


def test_a_console_of_a_path_stays_while_it_is_kept_and_goes_when_released(console_cli, guest):
    def listed():
        return [one["path"] for one in console_cli.json("console", "list")["consoles"]]

    assert console_cli("console", "--linger=0", "--keep", guest.path).returncode == 0
    assert listed() == [guest.path]
    assert console_cli("console", "--release", guest.path).returncode == 0
    until(lambda: listed() == [], "it is held no more")
    assert console_cli("console", "--linger=0", guest.path).returncode == 0
    until(lambda: listed() == [], "it went with its client")
    done = console_cli("console", "--release", guest.path)
    assert done.returncode == 66 and done.stderr.count("\n") == 1


def test_a_registered_console_is_found_by_its_name(console_cli, guest, consoled):
    wire.register(consoled.socket, "web1", "serial0", guest.path, os.getpid())
    for name in ("web1", "web1:", "web1:serial0"):
        guest.heard = b""
        done = console_cli("console", "--linger=0", name, stdin=None, input=f"{name}\n")
        assert (done.returncode, done.stderr) == (0, "")
        guest.await_heard(f"{name}\n")


def test_a_vm_and_a_device_that_are_not_known_are_named(console_cli, guest, consoled):
    wire.register(consoled.socket, "web1", "serial0", guest.path, os.getpid())
    for name in ("nobody", "web1:serial7"):
        done = console_cli("console", name)
        assert done.returncode == 66
        assert done.stderr.count("\n") == 1 and name.split(":")[-1] in done.stderr


@pytest.mark.parametrize("kind", ["missing", "file", "folder", "null", "vanished"])
def test_what_is_no_terminal_is_refused_in_one_line(console_cli, folder, kind):
    guest = PtyGuest()
    guest.close()
    path = {"missing": f"{folder}/nothing", "file": f"{folder}/file", "folder": folder,
            "null": "/dev/null", "vanished": guest.path}[kind]
    if kind == "file":
        with open(path, "w", encoding="ascii"):
            pass
    done = console_cli("console", path)
    assert done.returncode == 66, done.stderr
    assert done.stderr.startswith("holdfast: ") and done.stderr.count("\n") == 1
    assert path in done.stderr


def test_a_terminal_of_another_user_is_refused(console_cli, guest, consoled):
    if os.geteuid() != 0:
        pytest.skip("needs root: another user's terminal")
    os.chmod(guest.path, 0o600)
    run_dir = os.path.join(console_cli.folder, "u")
    os.mkdir(run_dir)
    os.chown(run_dir, NOBODY, NOBODY)
    done = console_cli("console", guest.path, env={"HOLDFAST_RUN_DIR": run_dir},
                       prefix=["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}",
                               "--clear-groups"])
    assert done.returncode == 77, done.stderr
    assert guest.path in done.stderr and done.stderr.count("\n") == 1


def test_who_may_only_watch_is_told_so(nursery, folder, guest):
    if os.geteuid() != 0:
        pytest.skip("needs root: another user")
    consoled = Consoled(nursery, os.path.join(folder, "ro"), conf='unix_sock_ro_perms = "0777"\n')
    console_cli = Cli(nursery, folder, consoled.run_dir)
    nobody = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    os.chmod(os.path.dirname(consoled.socket), 0o755)
    done = console_cli("console", guest.path, prefix=nobody)
    assert done.returncode == 77 and "lets this user only watch" in done.stderr, done
    done = console_cli("console", "--watch", guest.path, prefix=nobody)
    assert done.returncode == 77 and "no registered console" in done.stderr, done
    wire.register(consoled.socket, "web1", "serial0", guest.path, os.getpid())
    with wire.Client(consoled.socket, vm="web1"):
        child = console_cli.start("console", "--watch", "web1", prefix=nobody,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        until(lambda: len(consoled.consoles()[0].clients) == 2, "it is attached")
        guest.say("look")
        reads(child, b"look")
        [entry] = console_cli.json("console", "list")["consoles"]
        assert {one["uid"]: one["role"] for one in entry["clients"]} == \
            {0: "writer", NOBODY: "watcher"}


def test_without_a_daemon_that_can_be_started_it_says_so(console_cli, folder, guest):
    alone = {"HOLDFAST_RUN_DIR": f"{folder}/alone", "HOLDFAST_CONSOLED": f"{folder}/no-such-daemon"}
    done = console_cli("console", guest.path, env=alone)
    assert done.returncode == 69
    assert done.stderr == (f"holdfast: cannot start the console daemon {folder}/no-such-daemon: "
                           "No such file or directory\n")
    done = console_cli("console", "list", env=alone)
    assert done.returncode == 69 and "no console daemon answers" in done.stderr


def test_a_sessions_daemon_is_started_when_it_is_needed(console_cli, folder, guest):
    run_dir = f"{folder}/session"
    done = console_cli("console", "--linger=0", guest.path, env={"HOLDFAST_RUN_DIR": run_dir},
                       stdin=None, input="hello")
    assert (done.returncode, done.stderr) == (0, "")
    guest.await_heard("hello")


def test_a_daemon_that_speaks_nonsense_is_an_error_and_no_more(console_cli, folder, guest):
    run_dir = f"{folder}/false"
    os.makedirs(f"{run_dir}/holdfast")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{run_dir}/holdfast/console-sock")
        listener.listen(1)
        child = console_cli.start("console", guest.path, env={"HOLDFAST_RUN_DIR": run_dir},
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        peer, _ = listener.accept()
        peer.send(b"\xff" * 100)
        said = child.communicate(timeout=30)[1]
        peer.close()
    assert child.returncode == 69 and "console daemon at" in said


@pytest.mark.parametrize("words", [
    (), ("a", "b"), (":serial0",), ("--watch", "--force", "web1"), ("--release", "--keep", "web1"),
    ("--escape=ab", "web1"), ("--escape=^_", "web1"), ("--replay=-1", "web1"),
    ("--linger=x", "web1"), ("list", "web1"), ("--no-such-option", "web1")])
def test_a_command_line_that_makes_no_sense_is_refused_in_one_line(console_cli, words):
    done = console_cli("console", *words)
    assert done.returncode == 64
    assert done.stderr.startswith("holdfast: ") and done.stderr.count("\n") == 1
