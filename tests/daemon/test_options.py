# SPDX-License-Identifier: LGPL-2.1-or-later
"""Options, configuration, exit statuses: virtlockd's, so that holdfastd can stand in its place.

Where virtlockd does the same, it is asked in the same run.
"""

import os
import re
import signal
import socket
import struct

import pytest
from hftest.daemons import Holdfastd, StockVirtlockd
from hftest.processes import until
from hftest.wire import Owner

SERVES = "serves"


def parts(*rows):
    return [pytest.param(*row[1:], id=row[0]) for row in rows]


# What both programs do alike: arguments, configuration, exit status. CONF is a file with
# the configuration, DIR a folder of the run.
ALIKE = parts(
    ("--help ends well", ["--help"], "", 0),
    ("-h ends well", ["-h"], "", 0),
    ("--version ends well", ["--version"], "", 0),
    ("-V ends well", ["-V"], "", 0),
    ("an unknown long option is refused", ["--bogus"], "", 1),
    ("an unknown short option is refused", ["-z"], "", 1),
    ("an option without its argument is refused", ["-f"], "", 1),
    ("a timeout that is no number is refused", ["-f", "CONF", "-t", "soon"], "", 1),
    ("a negative timeout is refused", ["-f", "CONF", "-t", "-1"], "", 1),
    ("an empty timeout is refused", ["-f", "CONF", "-t", ""], "", 1),
    ("a timeout beyond all numbers is refused", ["-f", "CONF", "-t", "99999999999"], "", 1),
    ("a configuration that is not there is refused", ["-f", "DIR/none.conf"], "", 1),
    ("a configuration that is a directory is refused", ["-f", "DIR"], "", 1),
    ("a value of the wrong kind is refused", ["-f", "CONF"], 'max_clients = "many"\n', 1),
    ("a negative number of clients is refused", ["-f", "CONF"], "max_clients = -1\n", 1),
    ("a missing value is refused", ["-f", "CONF"], "max_clients =\n", 1),
    ("two values are refused", ["-f", "CONF"], "max_clients = 5 5\n", 1),
    ("a line without an equals sign is refused", ["-f", "CONF"], "max_clients 5\n", 1),
    ("an open quote is refused", ["-f", "CONF"], 'log_filters = "1:lock\n', 1),
    ("an unknown log level is refused", ["-f", "CONF"], "log_level = 9\n", 1),
    ("an unknown log output is refused", ["-f", "CONF"], 'log_outputs = "1:nowhere"\n', 1),
    ("a PID file in a missing directory is refused", ["-f", "CONF", "-p", "DIR/none/pid"], "", 1),
)

STARTS = parts(
    ("an empty configuration", [], ""),
    ("comments and empty lines between settings", [], "# first\n\nmax_clients = 5\n\n# last\n"),
    ("all of virtlockd's keys", [],
     'log_level = 3\nlog_filters = "3:rpc 4:event"\nlog_outputs = "3:stderr"\n'
     "max_clients = 1024\nadmin_max_clients = 5\n"),
    ("a log file as output", [], 'log_outputs = "1:file:DIR/own.log"\n'),
    ("spaces around names and values", [], "   max_clients   =   7   \n"),
    ("no line break at the end", [], "max_clients = 7"),
    ("long options", ["--verbose", "--timeout=600"], ""),
    ("long options with their argument apart", ["--timeout", "600"], ""),
    ("a shortened long option", ["--time=600"], ""),
    ("short options run together", ["-vt600"], ""),
    ("a timeout of zero, which is none", ["-t", "0"], ""),
)


@pytest.mark.parametrize("arguments,conf,status", ALIKE)
@pytest.mark.parametrize("program", [StockVirtlockd, Holdfastd], ids=lambda program: program.name)
def test_both_end_with_the_same_status_when(nursery, folder, program, arguments, conf, status):
    seen, log = program.outcome(nursery, os.path.join(folder, "d"), arguments, conf)
    assert seen == status, log
    assert log, "an ending without a word"


@pytest.mark.parametrize("arguments,conf", STARTS)
@pytest.mark.parametrize("program", [StockVirtlockd, Holdfastd], ids=lambda program: program.name)
def test_both_serve_with(nursery, folder, program, arguments, conf):
    directory = os.path.join(folder, "d")
    daemon = program(nursery, directory, conf=conf.replace("DIR", directory), args=arguments)
    with daemon.connect() as client:
        assert client.create_lockspace("").ok
    daemon.stop()


def test_a_fault_in_the_configuration_is_reported_with_file_and_line(nursery, folder):
    status, log = Holdfastd.outcome(nursery, os.path.join(folder, "d"), ["-f", "CONF"],
                                    "# fine\nmax_clients = 5\nmax_clients = = 6\n")
    assert status == 1
    assert "daemon.conf:3" in log


def test_a_fault_in_a_value_is_reported_with_its_key(nursery, folder):
    status, log = Holdfastd.outcome(nursery, os.path.join(folder, "d"), ["-f", "CONF"],
                                    '\nmax_clients = "many"\n')
    assert status == 1
    assert "daemon.conf:2" in log and "max_clients" in log


def test_a_word_that_is_no_option_is_refused(nursery, folder):
    """virtlockd ignores it; nobody who writes one means to have it ignored."""
    status, log = Holdfastd.outcome(nursery, os.path.join(folder, "d"), ["-f", "CONF", "extra"])
    assert status == 1
    assert "extra" in log


def test_the_version_line_is_name_package_number(nursery, folder):
    """Scripts read virtlockd's as: program, package in brackets, version."""
    for option in ("-V", "--version"):
        status, log = Holdfastd.outcome(nursery, os.path.join(folder, option), [option])
        assert status == 0
        assert re.fullmatch(r"holdfastd \(\w+\) \d+\.\d+\.\d+\S*\n", log), log


def test_the_help_names_every_option(nursery, folder):
    status, log = Holdfastd.outcome(nursery, os.path.join(folder, "d"), ["--help"])
    assert status == 0
    for word in ("-h", "-v", "-d", "-t", "-f", "-V", "-p", "--help", "--verbose", "--daemon",
                 "--timeout", "--config", "--version", "--pid-file"):
        assert word in log, f"{word} is missing in:\n{log}"


# ---- in the background -------------------------------------------------------------


def background(nursery, daemon, *arguments):
    """Starts with -d; returns the PID from the PID file once the command has returned."""
    daemon.exactly = ["-d", "-f", daemon.conf, "-p", daemon.pidfile, *arguments]
    # Not tied to the process that starts it: that one ends as soon as the daemon serves.
    daemon.leashed = False
    daemon.start(wait=False)
    status = daemon.wait()
    with open(daemon.pidfile, encoding="ascii") as text:
        pid = int(text.read())
    nursery.adopt(pid)
    assert status == 0, daemon.log()
    return pid


def test_in_the_background_it_serves_when_the_command_returns(nursery, holdfastd):
    daemon = holdfastd(start=False)
    pid = background(nursery, daemon)
    with daemon.connect() as client:
        assert client.create_lockspace("").ok
    assert os.readlink(f"/proc/{pid}/cwd") == "/"
    assert os.getsid(pid) != os.getsid(0), "still in the session of whoever started it"
    os.kill(pid, signal.SIGTERM)
    until(lambda: not daemon.accepts(), "the daemon in the background has ended")


def test_in_the_background_a_bad_configuration_is_the_commands_failure(nursery, folder):
    status, log = Holdfastd.outcome(nursery, os.path.join(folder, "d"),
                                    ["-d", "-f", "CONF", "-p", "DIR/pid"], "max_clients = x\n")
    assert status == 1
    assert "daemon.conf:1" in log
    assert not os.path.exists(os.path.join(folder, "d", "pid")) \
        or not open(os.path.join(folder, "d", "pid"), encoding="ascii").read()


def test_in_the_background_it_keeps_none_of_the_callers_descriptors(nursery, holdfastd):
    daemon = holdfastd(start=False)
    reader, writer = os.pipe()
    daemon.pass_fds = (writer,)
    pid = background(nursery, daemon)
    os.close(writer)
    streams = {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in (0, 1, 2)}
    assert streams == {"/dev/null"}, "whoever reads the command's output would wait for ever"
    os.close(reader)


def test_started_without_standard_descriptors_it_puts_nothing_in_their_place(holdfastd):
    daemon = holdfastd(wrapper=["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"])
    for number in range(3):
        assert os.readlink(f"/proc/{daemon.pid}/fd/{number}") == "/dev/null"


# ---- two daemons -------------------------------------------------------------------


def test_the_pid_file_holds_the_pid_while_it_runs(daemon):
    with open(daemon.pidfile, encoding="ascii") as text:
        assert int(text.read()) == daemon.pid


def test_a_second_daemon_with_the_same_pid_file_ends_with_1(daemon, nursery):
    second = Holdfastd(nursery, daemon.directory, start=False)
    second.pidfile = daemon.pidfile
    second.logfile = os.path.join(daemon.directory, "second.log")
    second.start(wait=False)
    assert second.wait() == 1, second.log()
    assert ".pid" in second.log(), "it does not say what is in its way"
    with daemon.connect() as client:
        assert client.create_lockspace("").ok


def test_a_second_daemon_in_the_same_place_ends_and_leaves_the_first_alone(
        daemon, nursery, disk):
    path = disk()
    client = daemon.connect_as(Owner("one", nursery.sleeper().pid))
    assert client.acquire(path).ok
    second = Holdfastd(nursery, daemon.directory, start=False)
    second.pidfile = os.path.join(daemon.directory, "second.pid")
    second.logfile = os.path.join(daemon.directory, "second.log")
    second.start(wait=False)
    assert second.wait() != 0
    assert client.release(path).ok
    assert daemon.accepts()


def test_a_daemon_starts_over_the_sockets_of_one_that_was_killed(daemon, nursery):
    daemon.expected_to_live = False
    daemon.kill()
    assert os.path.exists(daemon.socket)
    again = Holdfastd(nursery, daemon.directory)
    with again.connect() as client:
        assert client.create_lockspace("").ok


def test_stopping_leaves_no_socket_behind(daemon):
    daemon.stop()
    for path in (daemon.socket, daemon.own_socket, daemon.own_socket_ro, daemon.admin_socket):
        assert not os.path.exists(path)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT],
                         ids=lambda number: number.name)
def test_it_stops_in_order_on(daemon, number):
    daemon.signal(number)
    assert daemon.wait() == 0


def test_a_run_directory_that_cannot_be_made_ends_with_2(nursery, folder):
    with open(os.path.join(folder, "file"), "w", encoding="ascii"):
        pass
    daemon = Holdfastd(nursery, os.path.join(folder, "d"), start=False,
                       extra_env={"HOLDFAST_RUN_DIR": os.path.join(folder, "file", "run")})
    daemon.start(wait=False)
    assert daemon.wait() == 2, daemon.log()


# ---- beside a virtlockd ------------------------------------------------------------


@pytest.fixture
def beside(nursery, holdfastd, virtlockd, folder):
    """A live virtlockd, and a holdfastd started on the same paths."""
    run = os.path.join(folder, "run")
    os.mkdir(run)
    stock = virtlockd(run=run)
    ours = holdfastd(start=False, extra_env={"HOLDFAST_RUN_DIR": run})
    ours.start(wait=False)
    own = os.path.join(run, "holdfast", "holdfast-sock")
    until(lambda: server_of(own) or not ours.alive, "holdfastd serves its own socket")
    return stock, ours, run


def server_of(path):
    """The pid of whoever listens on a socket, as the kernel has it; 0 when nobody does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except (FileNotFoundError, ConnectionRefusedError):
            return 0
        return struct.unpack("iII", probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]


def test_a_live_virtlockd_is_not_displaced(beside, nursery, disk):
    stock, ours, run = beside
    assert ours.alive, ours.log()
    path = disk()
    client = stock.connect_as(Owner("one", nursery.sleeper().pid))
    assert client.acquire(path).ok
    assert server_of(os.path.join(run, "libvirt", "virtlockd-sock")) == stock.pid
    assert stock.accepts()


def test_beside_a_virtlockd_only_our_own_sockets_are_served_and_the_log_says_so(beside):
    stock, ours, run = beside
    assert server_of(os.path.join(run, "holdfast", "holdfast-sock")) == ours.server_pid
    assert "virtlockd-sock" in ours.log()
    assert str(stock.pid) in ours.log()


def test_stopping_beside_a_virtlockd_leaves_its_sockets_alone(beside):
    stock, ours, run = beside
    ours.stop()
    assert stock.accepts()
    assert sorted(os.listdir(os.path.join(run, "libvirt"))) == ["virtlockd-admin-sock",
                                                                 "virtlockd-sock"]
