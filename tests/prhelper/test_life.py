# SPDX-License-Identifier: LGPL-2.1-or-later
"""Start, end, and what one connection means for another."""

import ctypes
import os
import select
import signal
import socket
import stat
import subprocess
import sys
import time

import pytest

from hftest import prhelper
from hftest.processes import is_there, until

EMULATED = """
emulate = [ "{disk} as disk" ]
emulation_dir = "{folder}/state"
host_name = "here"
"""


def emulated(folder, more=""):
    disk = os.path.join(folder, "disk")
    with open(disk, "w", encoding="utf-8") as out:
        out.write("data")
    os.makedirs(os.path.join(folder, "state"), exist_ok=True)
    return EMULATED.format(disk=disk, folder=folder) + more, disk


def outcome(folder, *args, env=None, **how):
    """Runs our program for its end: (status, what it said)."""
    run = subprocess.run([prhelper.OURS, *args], capture_output=True, text=True, timeout=15,
                         check=False, env={"PATH": "/usr/bin:/bin", "HOLDFAST_RUN_DIR": folder,
                                           **(env or {})}, **how)
    return run.returncode, run.stdout + run.stderr


def one_line(text):
    assert text.count("\n") == 1 and text.startswith("holdfast-pr-helper: "), text
    return text


# ---- the socket -----------------------------------------------------------------------------


def test_the_socket_is_given_by_k_alone_and_gone_after_the_end(ours, null):
    helper = ours()
    assert stat.S_ISSOCK(os.stat(helper.socket).st_mode)
    assert helper.stop() == 0
    assert not os.path.exists(helper.socket)
    assert helper.log() == ""


def test_without_k_the_socket_is_below_the_run_directory(ours, folder, null):
    helper = ours(own_socket=False, start=False)
    helper.socket = os.path.join(folder, "qemu-pr-helper.sock")
    helper.start()
    with helper.client() as client:
        assert client.read(null, 0).why == "B/00/06"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_each_signal_that_ends_it_is_a_success(ours, number):
    helper = ours()
    with helper.client() as idle:
        assert helper.stop(number) == 0
        assert idle.is_closed()
    assert not os.path.exists(helper.socket)


def test_a_relative_path_is_refused_in_one_line(folder):
    status, said = outcome(folder, "-k", "relative.sock")
    assert status == 1 and "absolute" in one_line(said)


def test_a_name_of_a_vm_that_would_be_cut_is_refused(folder):
    status, said = outcome(folder, "--vm", "n" * 256)
    assert status == 1 and "255 bytes" in one_line(said)


def test_a_path_that_somebody_serves_is_refused_and_left_to_him(ours, folder, null):
    helper = ours()
    status, said = outcome(folder, "-k", helper.socket, "--config", helper.conf)
    assert status == 1 and f"process {helper.pid} serves" in one_line(said)
    with helper.client() as client:
        assert client.read(null, 0).why == "B/00/06"


def test_the_socket_of_a_helper_that_was_killed_is_taken_over(ours):
    helper = ours()
    helper.kill()
    assert os.path.exists(helper.socket)
    helper.start()
    helper.client().close()


def test_the_mode_of_the_socket_is_by_the_umask_or_as_set(ours, folder):
    old = os.umask(0o027)
    try:
        helper = ours()
    finally:
        os.umask(old)
    assert stat.S_IMODE(os.stat(helper.socket).st_mode) == 0o750
    set_one = ours(name="set", config='socket_mode = "0660"\n')
    assert stat.S_IMODE(os.stat(set_one.socket).st_mode) == 0o660


@pytest.mark.parametrize("words, error", [
    (("--nonsense",), "--nonsense"),
    (("file",), 'unexpected argument "file"'),
    (("-u", "no-such-user"), 'invalid user "no-such-user"'),
    (("-g", "no-such-group"), 'invalid group "no-such-group"'),
    (("--config", "/nowhere/at/all"), "/nowhere/at/all"),
])
def test_what_cannot_be_is_said_in_one_line_and_leaves_no_socket(folder, words, error):
    path = os.path.join(folder, "x.sock")
    status, said = outcome(folder, "-k", path, *words)
    assert status == 1 and error in one_line(said)
    assert not os.path.exists(path)


def test_the_end_of_a_helper_leaves_the_socket_of_the_next_one(ours):
    first = ours()
    os.unlink(first.socket)
    second = ours()
    assert second.socket == first.socket
    assert first.stop() == 0
    with second.client() as client:
        assert client.offered == bytes(4)


# ---- background, PID file, socket activation ------------------------------------------------


def test_d_returns_when_the_socket_is_there_and_writes_the_pid(folder, nursery, null):
    path, pidfile = os.path.join(folder, "d.sock"), os.path.join(folder, "d.pid")
    config = os.path.join(folder, "d.conf")
    with open(config, "w", encoding="utf-8"):
        pass
    status, said = outcome(folder, "-d", "-k", path, "-f", pidfile, "--config", config)
    assert (status, said) == (0, "")
    with open(pidfile, encoding="ascii") as text:
        pid = nursery.adopt(int(text.read()))
    with prhelper.Client(path) as client:
        assert client.read(null, 0).why == "B/00/06"
        assert os.readlink(f"/proc/{pid}/exe") == os.path.realpath(prhelper.OURS)
        again, why = outcome(folder, "-d", "-k", path + "2", "-f", pidfile, "--config", config)
        assert again == 1 and pidfile in one_line(why)
    os.kill(pid, signal.SIGTERM)
    until(lambda: not is_there(pid), "the daemon's end")
    assert not os.path.exists(path) and not os.path.exists(pidfile)


def served_by(path):
    """The processes that were started with this path, without asking them."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="replace") as text:
                if path in text.read().split("\0"):
                    found.append(int(pid))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def test_the_pid_is_the_daemons_also_where_its_user_cannot_look_at_the_file(
        folder, nursery, root):
    private = os.path.join(folder, "private")
    os.mkdir(private, 0o700)
    path, pidfile = os.path.join(private, "d.sock"), os.path.join(private, "d.pid")
    config = os.path.join(folder, "d.conf")
    with open(config, "w", encoding="utf-8"):
        pass
    status, said = outcome(folder, "-d", "-u", "nobody", "-k", path, "-f", pidfile,
                           "--config", config)
    assert (status, said) == (0, "")
    (pid,) = served_by(path)
    nursery.adopt(pid)
    with open(pidfile, encoding="ascii") as text:
        assert int(text.read()) == pid
    os.kill(pid, signal.SIGTERM)
    until(lambda: not is_there(pid), "the daemon's end")


ACTIVATE = """
import os, socket, sys
n, path = int(sys.argv[1]), sys.argv[2]
for i in range(n):
    s = socket.socket(socket.AF_UNIX)
    s.bind(path + (str(i) if i else ""))
    s.listen()
    os.dup2(s.fileno(), 10 + i)
for i in range(n):
    os.dup2(10 + i, 3 + i)
os.environ["LISTEN_FDS"], os.environ["LISTEN_PID"] = str(n), str(os.getpid())
os.execv(sys.argv[3], sys.argv[3:])
"""


def test_a_socket_that_systemd_made_is_served_and_left_there(ours, folder, null):
    path = os.path.join(folder, "s.sock")
    helper = ours(own_socket=False, start=False,
                  wrapper=[sys.executable, "-c", ACTIVATE, "1", path])
    helper.socket = path
    helper.start()
    with helper.client() as client:
        assert client.read(null, 0).why == "B/00/06"
    assert helper.stop() == 0
    assert os.path.exists(path)


@pytest.mark.parametrize("count, words, error", [
    (1, ("-k", "/x/y.sock"), "--socket cannot be used"),
    (2, (), "2 sockets were passed"),
])
def test_activation_with_k_or_with_two_sockets_is_fatal(folder, count, words, error):
    path, config = os.path.join(folder, "s.sock"), os.path.join(folder, "conf")
    with open(config, "w", encoding="utf-8"):
        pass
    run = subprocess.run([sys.executable, "-c", ACTIVATE, str(count), path, prhelper.OURS, *words,
                          "--config", config],
                         capture_output=True, text=True, timeout=15, check=False)
    assert run.returncode == 1 and error in one_line(run.stderr)


# ---- one bad thing stays one thing ----------------------------------------------------------


def process_of(helper, client, null):
    """The pid of the process of a connection that is made now."""
    client.read(null, 0)
    until(lambda: len(helper.children) == 1, "one connection is left")
    return helper.children[0]


def test_a_connection_that_crashes_is_said_and_nobody_else_notices(ours, null):
    helper = ours()
    with helper.client() as one:
        pid = process_of(helper, one, null)
        with helper.client() as other:
            os.kill(pid, signal.SIGABRT)
            assert one.is_closed()
            assert other.read(null, 0).why == "B/00/06"
            until(lambda: "ended by signal 6" in helper.log(), "the crash is said")


def test_a_stuck_connection_delays_nobody_else(ours, null):
    helper = ours()
    with helper.client() as stuck:
        pid = process_of(helper, stuck, null)
        os.kill(pid, signal.SIGSTOP)
        stuck.send(prhelper.pr_in(0), null)
        for _ in range(20):
            with helper.client() as other:
                assert other.read(null, 0).why == "B/00/06"
        os.kill(pid, signal.SIGCONT)
        assert stuck.answer(prhelper.PR_IN).why == "B/00/06"


def backend_of(helper, connection):
    """The process of the emulated backend, which is the last that came."""
    until(lambda: len(helper.children) == 2, "connection and backend")
    return next(pid for pid in helper.children if pid != connection)


def in_flight(helper, client, disk):
    """Sends a command whose backend is stopped; returns the backend's pid and the descriptor."""
    fd = os.open(disk, os.O_RDWR)
    until(lambda: len(helper.children) == 1, "one connection is left")
    (connection,) = helper.children
    client.read(fd, prhelper.READ_KEYS)
    backend = backend_of(helper, connection)
    os.kill(backend, signal.SIGSTOP)
    client.send(prhelper.pr_out(prhelper.REGISTER), fd)
    client.send(prhelper.parameters(0, 0x77))
    return backend, fd


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_command_in_flight_is_answered_when_the_helper_ends(ours, folder, number):
    """And then the connection ends, also when the main process was killed: nothing stays behind."""
    config, disk = emulated(folder)
    helper = ours(config=config)
    with helper.client() as client:
        backend, fd = in_flight(helper, client, disk)
        left = helper.children
        os.kill(helper.pid, number)
        if number == signal.SIGTERM:
            until(lambda: not os.path.exists(helper.socket), "it listens no more")
        os.kill(backend, signal.SIGCONT)
        assert client.answer(prhelper.PR_OUT).status == prhelper.GOOD
        assert client.is_closed()
        assert helper.wait() == (0 if number == signal.SIGTERM else -9)
        until(lambda: not any(map(is_there, left)), "nothing is left behind")
        os.close(fd)
    helper.start()
    answer = helper.ask(disk, prhelper.pr_in(prhelper.READ_KEYS))
    assert answer.keys == [0x77]


def test_a_command_that_never_ends_does_not_keep_the_helper_from_its_end(ours, folder, nursery):
    config, disk = emulated(folder)
    helper = ours(config=config)
    with helper.client() as client:
        backend, fd = in_flight(helper, client, disk)
        for pid in helper.children:
            nursery.adopt(pid)
        assert helper.stop() == 0
        assert "did not end within 5 s" in helper.log()
        os.kill(backend, signal.SIGCONT)
        assert client.answer(prhelper.PR_OUT).status == prhelper.GOOD
        os.close(fd)


def test_a_backend_that_dies_is_an_aborted_command_and_the_next_gets_a_new_one(ours, folder):
    config, disk = emulated(folder)
    helper = ours(config=config)
    with helper.client() as client:
        backend, fd = in_flight(helper, client, disk)
        os.kill(backend, signal.SIGKILL)
        assert client.answer(prhelper.PR_OUT).why == "B/08/00"
        assert client.write(fd, prhelper.REGISTER, 0, 0x78).status == prhelper.GOOD
        assert client.read(fd, prhelper.READ_KEYS).keys == [0x78]
        os.close(fd)


def test_a_command_whose_backend_cannot_be_had_is_aborted_and_not_unknown(ours, folder):
    """What is told for a shortage must not be what a device says that has no reservations."""
    config, disk = emulated(folder)
    helper = ours(config=config)
    until(lambda: not helper.children, "who asked whether we serve is gone")
    fd = os.open(disk, os.O_RDWR)
    with helper.client() as client:
        (connection,) = helper.children
        # Refused without a backend; from then on it waits for the next request.
        with open(disk, "rb") as unwritable:
            assert client.write(unwritable.fileno(), prhelper.REGISTER, 0, 0x77).why == "5/20/00"
        os.kill(connection, signal.SIGSTOP)
        client.send(prhelper.pr_in(prhelper.READ_KEYS), fd)
        helper.kill()
        os.kill(connection, signal.SIGCONT)
        assert client.answer(prhelper.PR_IN).why == "B/08/00"
        until(lambda: not is_there(connection), "nothing is left behind")
    os.close(fd)


def test_children_that_it_was_started_with_are_no_backends_of_its(ours):
    """A helper that is the first process of a container gets every orphan of it, too."""
    helper = ours(wrapper=["sh", "-c", 'sleep 0.5 & exec "$@"', "sh"])
    until(lambda: not helper.children, "the other child's end")
    start = time.monotonic()
    assert helper.stop() == 0
    assert time.monotonic() - start < 4


def test_a_peer_that_trickles_its_request_holds_up_the_end_for_a_second_alone(ours, null):
    helper = ours(config="request_timeout = 0\n")
    with helper.client() as slow:
        slow.send(prhelper.pr_in(0)[:1], null)
        until(lambda: len(helper.children) == 1, "one connection is left")
        (connection,) = helper.children
        helper.kill()
        end = time.monotonic() + 4
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            for byte in prhelper.pr_out(0)[1:]:
                slow.send(bytes([byte]))
                select.select([], [], [], 0.4)
        assert time.monotonic() < end
        until(lambda: not is_there(connection), "nothing is left behind")


# ---- limits ---------------------------------------------------------------------------------


def test_a_request_that_does_not_arrive_in_time_ends_its_connection_and_an_idle_one_lives(
        ours, null):
    helper = ours(config="request_timeout = 1\n")
    with helper.client() as idle, helper.client() as slow, helper.client() as listless:
        slow.send(prhelper.pr_in(0)[:5], null)
        listless.send(prhelper.pr_out(0), null)
        assert slow.is_closed()
        assert listless.is_closed()
        assert idle.read(null, 0).why == "B/00/06"


def test_more_connections_than_there_may_be_are_closed_and_make_room_when_they_go(ours, null):
    helper = ours(config="max_clients = 2\n")
    until(lambda: not helper.children, "who asked whether we serve is gone")
    first, second = helper.client(), helper.client()
    with helper.client(greet=False) as third:
        assert third.is_closed()
    assert first.read(null, 0).why == "B/00/06"
    assert "max_clients (2)" in helper.log()
    first.close()
    until(lambda: len(helper.children) == 1, "the first one's process is gone")
    with helper.client() as fourth:
        assert fourth.read(null, 0).why == "B/00/06"
    second.close()


def start_as(pid):
    """Starts a process with that number, which is free."""
    number = ctypes.c_int(pid)
    # struct clone_args: exit_signal is the fifth, set_tid and its size the ninth and tenth.
    how = (ctypes.c_uint64 * 11)(0, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, ctypes.addressof(number), 1)
    libc = ctypes.CDLL(None, use_errno=True)
    got = libc.syscall(ctypes.c_long(435), how, ctypes.c_size_t(ctypes.sizeof(how)))
    if got == 0:
        os.execv("/usr/bin/sleep", ["sleep", "60"])
    if got < 0:
        pytest.skip(f"clone3 with a number: {os.strerror(ctypes.get_errno())}")
    assert got == pid
    return pid


def test_who_has_the_number_of_a_peer_that_ended_is_not_taken_for_it(ours, root, null):
    if [int(n) for n in os.uname().release.split(".")[:2]] < [6, 5]:
        pytest.skip("the kernel does not know whether a peer has ended (Linux 6.5)")
    helper = ours(config='log_outputs = "1:stderr"\n')
    helper.process.send_signal(signal.SIGSTOP)
    parent, child = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        link = socket.socket(socket.AF_UNIX)
        link.connect(helper.socket)
        socket.send_fds(child, [b"x"], [link.fileno()])
        os._exit(0)
    _, fds, _, _ = socket.recv_fds(parent, 1, 1)
    os.waitpid(pid, 0)
    other = start_as(pid)
    try:
        helper.process.send_signal(signal.SIGCONT)
        with helper.client() as client:
            client.socket.close()
            client.socket = socket.socket(fileno=fds[0])
            client.socket.settimeout(10)
            client.greet()
            assert client.write(null, prhelper.REGISTER, 0, 1).why == "B/00/06"
    finally:
        os.kill(other, signal.SIGKILL)
        os.waitpid(other, 0)
    until(lambda: "register on" in helper.log(), "the audit")
    assert "sleep" not in helper.log()
    assert f"(pid {pid}, uid 0)" in helper.log()


def connect_as(uid, path):
    """Whether that user is greeted, while this connection is open; and the socket."""
    parent, child = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        os.setresuid(uid, uid, uid)
        link = socket.socket(socket.AF_UNIX)
        link.connect(path)
        socket.send_fds(child, [b"x"], [link.fileno()])
        os._exit(0)
    _, fds, _, _ = socket.recv_fds(parent, 1, 1)
    os.waitpid(pid, 0)
    link = socket.socket(fileno=fds[0])
    link.settimeout(10)
    return bool(link.recv(4)), link


def test_one_user_cannot_take_all_connections(ours, root, folder):
    helper = ours(config='max_user_clients = 1\nsocket_mode = "0666"\n')
    greeted, first = connect_as(65534, helper.socket)
    assert greeted
    greeted, refused = connect_as(65534, helper.socket)
    assert not greeted
    greeted, other = connect_as(65533, helper.socket)
    assert greeted
    with helper.client() as one, helper.client() as two:
        assert one.offered == two.offered == bytes(4)
    for link in (first, refused, other):
        link.close()


def test_a_peer_that_reads_no_answers_holds_up_itself_alone(ours, null):
    helper = ours()
    with helper.client() as deaf, helper.client() as other:
        deaf.socket.settimeout(0.2)
        with pytest.raises(TimeoutError):
            for _ in range(20000):
                deaf.send(prhelper.pr_in(0), null)
        assert other.read(null, 0).why == "B/00/06"


def test_without_descriptors_a_connection_waits_and_is_served_later(ours, null):
    helper = ours(wrapper=["prlimit", "--nofile=12", "--"])
    until(lambda: not helper.children, "who asked whether we serve is gone")
    open_ones = [helper.client(greet=False) for _ in range(12)]
    until(lambda: "have to wait" in helper.log(), "the shortage is said")
    last = open_ones.pop()
    for one in open_ones:
        one.close()
    last.greet()
    assert last.read(null, 0).why == "B/00/06"
    assert helper.log().count("have to wait") <= 12
    last.close()
