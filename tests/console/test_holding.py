# SPDX-License-Identifier: LGPL-2.1-or-later
"""The guard: what it sets on a terminal, and that it is off again, whoever is killed."""

import errno
import fcntl
import os
import signal
import socket
import subprocess

import pytest

from hftest import holder as holder_lib
from hftest.holder import ADOPT, EVICT, HELD, LIST, LOOK, USER, all_gone
from hftest.processes import is_there, send, until


@pytest.fixture
def terminal(nursery):
    """Makes terminals, as many as a test needs."""
    def make(**how):
        return holder_lib.Terminal(nursery, **how)
    return make

ROOT = os.geteuid() == 0
needs_root = pytest.mark.skipif(not ROOT, reason="another user's terminals need root")


def read(lock_dir, name):
    with open(os.path.join(lock_dir, name), "rb") as content:
        return content.read()


def test_a_held_terminal_has_all_files_flock_and_the_flag(holder, line, lock_dir):
    ours, pty = holder(), line()
    before = pty.settings()
    answer = ours.hold(1, pty.path)
    names = [f"LCK..pts_{pty.number}", f"LCK..{pty.number}", f"LCK.._pts_{pty.number}"]
    assert answer.names == names
    assert sorted(os.listdir(lock_dir)) == sorted(names)
    for name in names:
        assert read(lock_dir, name) == b"%10d\n" % ours.guard()
        assert os.stat(os.path.join(lock_dir, name)).st_mode & 0o777 == 0o644
    assert pty.is_exclusive() and pty.is_locked()
    assert pty.settings() != before
    ours.release(1)
    assert pty.is_free(lock_dir)
    assert pty.settings() == before


def test_two_paths_to_one_terminal_are_one_hold(holder, line, folder):
    ours, pty = holder(), line()
    link = os.path.join(folder, "modem")
    os.symlink(pty.path, link)
    ours.hold(1, pty.path)
    answer = ours.take(2, link)
    assert (answer.result, pty.path in answer.text) == (-errno.EALREADY, True)
    # Also when both are asked for at once.
    ours.release(1)
    ours.tell(f"take 3 0 {pty.path}\ntake 4 0 {link}")
    assert sorted(ours.answer().result for _ in range(2)) == [-errno.EALREADY, 0]


def test_another_holder_is_refused_and_told_of_the_first(holder, line, nursery):
    pty = line()
    first, second = holder(), holder()
    first.hold(1, pty.path)
    answer = second.take(1, pty.path)
    assert answer.result == -errno.EBUSY
    # Several processes have the lock: the daemon's, the guard's, the second's.
    assert answer.intruders == [] or answer.intruders[0].how in ("flock", )
    first.release(1)
    second.hold(1, pty.path)


def test_list_gives_every_hold_and_its_descriptor(holder, line):
    ours = holder()
    ptys = [line() for _ in range(20)]
    for number, pty in enumerate(ptys, 1):
        ours.hold(number, pty.path)
    first = ours.ask("list")
    answers = [first] + [ours.answer() for _ in ptys]
    assert [a.op for a in answers] == [HELD] * 20 + [LIST]
    assert {a.id for a in answers[:-1]} == set(range(1, 21))


@pytest.mark.parametrize("path, number", [
    ("/dev/null", errno.ENOTTY), ("/dev/ptmx", errno.ENOTTY), ("/etc/passwd", errno.ENOTTY),
    ("/dev/pts/999999", errno.ENOENT), ("/nowhere/at/all", errno.ENOENT), ("/dev", errno.ENOTTY)])
def test_what_is_no_terminal_is_refused(holder, path, number):
    answer = holder().take(1, path)
    assert (answer.result, path in answer.text) == (-number, True)


def test_a_terminal_whose_other_side_is_closed_is_refused(holder, line, nursery):
    pty = line()
    keep = pty.open()
    pty.close()
    answer = holder().take(1, pty.path)
    os.close(keep)
    # The kernel takes the name away with the other side.
    assert answer.result == -errno.ENOENT


def test_who_has_it_open_without_any_lock_stands_against_it(holder, line, nursery):
    ours, pty = holder(), line()
    cat = nursery.spawn(["sh", "-c", f"exec sleep 600 <{pty.path}"], stdin=subprocess.DEVNULL)
    until(lambda: os.readlink(f"/proc/{cat.pid}/fd/0") == pty.path, "it has it open")
    answer = ours.take(1, pty.path)
    assert answer.result == -errno.EBUSY
    assert [(i.pid, i.how) for i in answer.intruders] == [(cat.pid, "has it open")]
    assert f"pid {cat.pid}" in answer.text and answer.intruders[0].program in answer.text
    nursery.end(cat)
    ours.hold(1, pty.path)


def test_who_opens_it_afterwards_is_seen_by_a_look(holder, line, nursery):
    ours, pty = holder(), line()
    ours.hold(1, pty.path)
    assert ours.ask("look 1").intruders == []
    if not ROOT:
        pytest.skip("only root opens what is exclusive")
    cat = nursery.spawn(["sh", "-c", f"exec sleep 600 <{pty.path}"], stdin=subprocess.DEVNULL)
    until(lambda: os.readlink(f"/proc/{cat.pid}/fd/0") == pty.path, "it has it open")
    answer = ours.ask("look 1")
    assert (answer.op, [i.pid for i in answer.intruders]) == (LOOK, [cat.pid])


@pytest.mark.parametrize("killed", ["daemon", "guard, daemon", "second, daemon",
                                    "second, guard, daemon", "daemon, guard", "daemon, second",
                                    "guard again daemon", "second guard again daemon"])
@needs_root
def test_whoever_is_killed_first_nothing_stays_behind(holder, line, lock_dir, killed):
    """A user without privilege opens it again at once: the flag is off, on each of them."""
    pty = line(uid=USER)
    ours = holder(uid=USER)
    before = pty.settings()
    ours.hold(1, pty.path)
    assert not pty.opens_for_a_user()
    pids = [ours.guard(), ours.second()]
    for who in killed.replace(",", "").split():
        if who == "daemon":
            ours.kill()
        elif who == "again":
            assert [a.result for a in ours.again()] == [0]
            assert pty.is_exclusive() and pty.is_locked()
            pids += [ours.guard(), ours.second()]
        elif who == "guard" and ours.child.poll() is None:
            ours.kill_guard()
        elif who == "second" and ours.child.poll() is None:
            dead = ours.second()
            os.kill(dead, signal.SIGKILL)
            until(lambda gone=dead: ours.second() != gone, "another second")
            pids.append(ours.second())
        else:
            send(pids[0 if who == "guard" else 1], signal.SIGKILL)
    all_gone(pids)
    assert pty.opens_for_a_user()
    assert pty.is_free(lock_dir) and pty.settings() == before


def test_a_guard_that_was_killed_leaves_all_held_and_the_next_one_has_it(holder, line,
                                                                        lock_dir):
    ours, pty = holder(), line()
    before = pty.settings()
    ours.hold(1, pty.path)
    old, second = ours.guard(), ours.second()
    ours.kill_guard()
    assert pty.is_exclusive() and pty.is_locked()
    assert len(os.listdir(lock_dir)) == 3
    assert [(a.op, a.result, len(a.names)) for a in ours.again()] == [(ADOPT, 0, 3)]
    all_gone([old, second])
    # The one that stood in has not given back what is not its any more.
    assert pty.is_exclusive() and pty.is_locked() and pty.settings() != before
    assert read(lock_dir, f"LCK..{pty.number}") == b"%10d\n" % ours.guard()
    ours.release(1)
    assert pty.is_free(lock_dir) and pty.settings() == before


def test_a_flag_that_a_dead_program_left_is_no_holder(holder, line):
    if not ROOT:
        pytest.skip("only root opens what is exclusive")
    pty = line()
    fd = pty.open()
    fcntl.ioctl(fd, 0x540C)
    os.close(fd)
    assert pty.is_exclusive()
    ours = holder()
    ours.hold(1, pty.path)
    ours.release(1)
    assert not pty.is_exclusive()


@needs_root
def test_a_user_is_told_of_the_flag_that_keeps_it_out(holder, line):
    pty = line(uid=USER)
    fd = pty.open()
    fcntl.ioctl(fd, 0x540C)
    os.close(fd)
    answer = holder(uid=USER).take(1, pty.path)
    assert (answer.result, "TIOCEXCL" in answer.text) == (-errno.EBUSY, True)


@needs_root
def test_a_user_cannot_throw_anybody_out_and_is_told_whom(holder, line, nursery):
    pty = line(uid=USER)
    cat = nursery.spawn(["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--",
                         "sh", "-c", f"exec sleep 600 <{pty.path}"], stdin=subprocess.DEVNULL)
    until(lambda: os.readlink(f"/proc/{cat.pid}/fd/0") == pty.path, "it has it open")
    answer = holder(uid=USER).take(1, pty.path, EVICT)
    assert answer.result == -errno.EBUSY
    assert f"pid {cat.pid}" in answer.text and "root" in answer.text
    assert is_there(cat.pid)


def listener(folder, name="chardev"):
    server = socket.socket(socket.AF_UNIX)
    server.bind(os.path.join(folder, name))
    server.listen(1)
    return server, os.path.join(folder, name)


def test_a_socket_is_connected_to_and_one_that_is_in_use_is_busy(holder, folder):
    server, path = listener(folder)
    client = socket.socket(socket.AF_UNIX)
    client.connect(path)
    peer = server.accept()[0]
    first = holder()
    assert first.take(1, path).result == -errno.EBUSY
    client.close()
    peer.close()
    assert first.take(1, path).result == 0
    accepted = server.accept()[0]
    assert first.take(2, path).result == -errno.EALREADY
    assert holder().take(1, path).result == -errno.EBUSY
    first.release(1)
    until(lambda: accepted.recv(1) == b"", "the end")
    accepted.close()
    assert first.take(1, path).result == 0


def test_a_socket_on_which_nobody_listens_is_refused(holder, folder):
    server, path = listener(folder)
    server.close()
    assert holder().take(1, path).result == -errno.ECONNREFUSED


def test_without_a_directory_of_lock_files_all_else_is_set(holder, line, folder):
    ours, pty = holder(lock_dir=os.path.join(folder, "nowhere")), line()
    assert ours.hold(1, pty.path).names == []
    assert pty.is_exclusive() and pty.is_locked()
    ours.release(1)
    assert not pty.is_exclusive() and not pty.is_locked()


@needs_root
def test_in_a_directory_that_a_user_may_not_write_files_are_only_looked_at(holder, line, lock_dir,
                                                                          nursery):
    os.chmod(lock_dir, 0o755)
    ours, pty = holder(uid=USER), line(uid=USER)
    assert ours.hold(1, pty.path).names == []
    ours.release(1)
    assert os.listdir(lock_dir) == []
    with open(os.path.join(lock_dir, f"LCK..{pty.number}"), "wb") as file:
        file.write(b"%10d\n" % nursery.sleeper().pid)
    answer = ours.take(1, pty.path)
    assert (answer.result, f"LCK..{pty.number}" in answer.text) == (-errno.EBUSY, True)


def test_a_stranger_that_keeps_the_directory_locked_keeps_nobody_from_a_console(holder, line,
                                                                               lock_dir):
    ours, pty = holder(), line()
    fd = os.open(lock_dir, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    assert len(ours.hold(1, pty.path).names) == 3
    ours.release(1)
    assert pty.is_free(lock_dir)
    os.close(fd)
