# SPDX-License-Identifier: LGPL-2.1-or-later
"""Numbers of descriptors are used again: what was closed is nobody's to write to or to close, whatever
the supervisor, of which each server is a copy, still remembers of it."""

import fcntl
import os
import signal
import subprocess
import sys

import pytest
from hftest.competitor import F_OFD_SETLK, flock
from hftest.daemons import Holdfastd, read_pid
from hftest.files import lock_on_first_byte
from hftest.processes import children, is_there, kill_family, until
from hftest.wire import Owner

MAGIC = b"QFI\xfb"


def kill_server(supervisor):
    server = children(supervisor)[0]
    os.kill(server, signal.SIGKILL)
    until(lambda: (children(supervisor) or [server])[0] != server, "another server")


@pytest.fixture
def detached(nursery, folder):
    """A daemon in the background, which is nobody's child, and the pid of its supervisor."""
    daemon = Holdfastd(nursery, os.path.join(folder, "d"), start=False, args=["-d"])
    subprocess.run(daemon.command(), env={"PATH": os.environ["PATH"], **daemon.environment()},
                   stdin=subprocess.DEVNULL, check=True, timeout=20)
    pid = read_pid(f"{daemon.run_dir}/holdfast/holdfastd.pid")
    yield daemon, pid
    if is_there(pid):
        kill_family(pid)


@pytest.fixture
def low(detached, nursery, disk):
    """A disk that is locked by the number of what was closed last: that of the first connection."""
    daemon, _ = detached
    first = daemon.connect()
    assert first.ping().ok
    client = daemon.connect_as(Owner("web1", nursery.sleeper().pid))
    path = disk("low.img", MAGIC + b"guest data")
    assert client.acquire(disk("first.img")).ok, "its owner is watched by a number of its own"
    first.close()
    assert client.ping().ok and client.acquire(path).ok
    return path, client


def test_a_stop_writes_into_no_disk(detached, low):
    os.kill(detached[1], signal.SIGTERM)
    until(lambda: not is_there(detached[1]), "the end of the daemon")
    with open(low[0], "rb") as image:
        assert image.read(4) == MAGIC


def test_a_server_that_follows_writes_into_no_disk_and_loses_no_lock(detached, low):
    path, client = low
    kill_server(detached[1])
    assert client.ping().ok
    with open(path, "rb") as image:
        assert image.read(4) == MAGIC
    assert lock_on_first_byte(path) == "write lock"


def test_a_server_that_follows_writes_into_no_connection(detached):
    with detached[0].connect() as client:
        assert client.ping().ok
        kill_server(detached[1])
        assert client.ping().ok


def is_free(path):
    with open(path, "r+b") as file:
        try:
            fcntl.fcntl(file, F_OFD_SETLK, flock(fcntl.F_WRLCK))
        except BlockingIOError:
            return False
    return True


def test_a_log_that_was_closed_is_closed_once(holdfastd):
    """Started with the journal as its stderr, the daemon has a socket to that from the start."""
    daemon = holdfastd(start=False)
    with open(daemon.logfile, "ab") as log:
        stream = os.fstat(log.fileno())
    daemon.extra_env["JOURNAL_STREAM"] = f"{stream.st_dev}:{stream.st_ino}"
    daemon.start()
    for _ in range(2):
        kill_server(daemon.pid)
        with daemon.connect() as client:
            assert client.ping().ok
        assert not is_free(f"{daemon.run_dir}/holdfast/holdfastd.pid"), "it has that number now"


def test_what_was_left_open_by_who_started_the_daemon_is_not_unlocked(holdfastd, folder):
    path = os.path.join(folder, "starter.lock")
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.fcntl(fd, F_OFD_SETLK, flock(fcntl.F_WRLCK))
        daemon = holdfastd(pass_fds=[fd])
        kill_server(daemon.pid)
        with daemon.connect() as client:
            assert client.ping().ok
        assert lock_on_first_byte(path) == "write lock"
    finally:
        os.close(fd)


# Of the pid file's number in the area: behind the keeper's header, see daemon/area.h.
PID_FD_AT = 64 * 1024 + 12


def test_a_number_that_is_not_the_pid_file_s_is_not_written_to(daemon, nursery, disk):
    """What a server that crashed has written over leads to a disk."""
    path = disk(content=MAGIC + b"guest data")
    with daemon.connect_as(Owner("web1", nursery.sleeper().pid)) as client:
        assert client.acquire(path).ok
        fds = {os.readlink(f"/proc/{daemon.pid}/fd/{fd}"): int(fd)
               for fd in os.listdir(f"/proc/{daemon.pid}/fd")}
        area = fds["/memfd:holdfast-keeper (deleted)"]
        with open(f"/proc/{daemon.pid}/fd/{area}", "r+b") as memory:
            memory.seek(PID_FD_AT)
            was = int.from_bytes(memory.read(4), sys.byteorder)
            assert was == fds[f"{daemon.run_dir}/holdfast/holdfastd.pid"]
            memory.seek(PID_FD_AT)
            memory.write(fds[path].to_bytes(4, sys.byteorder))
        kill_server(daemon.pid)
        assert client.ping().ok
        with open(path, "rb") as image:
            assert image.read() == MAGIC + b"guest data"
        assert lock_on_first_byte(path) == "write lock"
