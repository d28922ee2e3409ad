# SPDX-License-Identifier: LGPL-2.1-or-later
"""holdfast/pr.h as a program uses it: any command, deadlines, a helper that comes and goes."""

import ctypes
import errno
import os
import socket
import threading
import time

import pytest

from hftest.daemons import BUILD
from hftest.false_helper import FalseHelper, frame
from hftest.prhelper import Helper, parameters, pr_in, pr_out
from hftest.processes import until

DIRECT, TIMEOUT, BUSY, NO_DAEMON = 1, 9, 3, 4


class Error(ctypes.Structure):
    _fields_ = [("code", ctypes.c_int), ("sys", ctypes.c_int), ("text", ctypes.c_char * 1024)]


class Result(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("status", ctypes.c_uint),
                ("data_size", ctypes.c_size_t), ("sense", ctypes.c_ubyte * 96)]


class Reservations:
    """The library, with one way to a device at a time."""

    def __init__(self):
        self.library = ctypes.CDLL(os.path.join(BUILD, "src/client/libholdfast.so.0"))
        self.pr = ctypes.c_void_p()
        self.error = Error()

    def open(self, path, flags=0):
        return self.library.holdfast_pr_open(path and path.encode(), flags, ctypes.byref(self.pr),
                                             ctypes.byref(self.error))

    def close(self):
        self.library.holdfast_pr_close(self.pr)
        self.pr = ctypes.c_void_p()

    def wait_at_most(self, milliseconds):
        self.library.holdfast_pr_set_timeout(self.pr, milliseconds)

    def command(self, fd, cdb, data=b"", room=8192):
        """The return value, and the result with its data."""
        buffer = ctypes.create_string_buffer(data, room)
        result = Result(size=ctypes.sizeof(Result))
        r = self.library.holdfast_pr_command(self.pr, fd, cdb, ctypes.c_size_t(len(cdb)), buffer,
                                             ctypes.c_size_t(room), ctypes.byref(result),
                                             ctypes.byref(self.error))
        result.data = buffer.raw[:result.data_size]
        return r, result

    def register(self, fd, key, new_key, flags=0):
        return self.library.holdfast_pr_register(self.pr, fd, ctypes.c_uint64(key),
                                                 ctypes.c_uint64(new_key), flags,
                                                 ctypes.byref(self.error))


@pytest.fixture
def reservations():
    one = Reservations()
    yield one
    one.close()


@pytest.fixture
def disk(folder):
    path = os.path.join(folder, "disk")
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    yield fd
    os.close(fd)


@pytest.fixture
def helper(folder, nursery, disk):
    path = os.readlink(f"/proc/self/fd/{disk}")
    return Helper(folder, nursery=nursery, config=(
        f'emulate = "{path} as one"\nemulation_database = "{folder}/db"\nhost_name = "a"\n'))


def test_any_command_comes_back_with_status_sense_and_data(reservations, helper, disk):
    assert reservations.open(helper.socket) == 0
    r, result = reservations.command(disk, pr_out(0), parameters(0, 0x11))
    assert (r, result.status) == (0, 0)
    r, result = reservations.command(disk, pr_in(0))
    assert (r, result.status, result.data) == (0, 0, bytes([0, 0, 0, 1, 0, 0, 0, 8]) +
                                               (0x11).to_bytes(8, "big"))
    r, result = reservations.command(disk, pr_out(0), parameters(0x22, 0x33))
    assert (r, result.status, bytes(result.sense)) == (0, 0x18, bytes(96))
    r, result = reservations.command(disk, pr_in(0x1F))
    assert (r, result.status, result.data_size) == (0, 2, 0) and any(result.sense)


@pytest.mark.parametrize("cdb, room", [(b"\x12" + bytes(15), 8192), (pr_in(0, 9000), 8192),
                                       (pr_in(0, 100), 99), (pr_out(0)[:9], 8192),
                                       (pr_in(0) + b"\0", 8192), (pr_out(0, length=65535), 8192)])
def test_what_is_no_such_command_is_sent_to_nobody(reservations, folder, disk, cdb, room):
    false = FalseHelper(folder, [])
    assert reservations.open(false.path) == 0
    assert reservations.command(disk, cdb, room=room)[0] == -errno.EINVAL
    reservations.close()
    false.close()
    assert not false.commands


def test_a_descriptor_that_is_none_is_told(reservations, helper):
    assert reservations.open(helper.socket) == 0
    assert reservations.command(999, pr_in(0))[0] == -errno.EBADF


def test_a_helper_that_was_started_again_is_found_again(reservations, helper, disk):
    assert reservations.open(helper.socket) == 0
    assert reservations.register(disk, 0, 0x11) == 0
    helper.kill()
    # The process of our connection may live a moment longer, and then answers or cuts it.
    until(lambda: reservations.command(disk, pr_in(0))[0] in (-errno.ECONNREFUSED, -errno.ENOENT),
          "no helper is there")
    assert reservations.error.code == NO_DAEMON
    helper.start()
    assert reservations.register(disk, 0x11, 0x12) == 0


def test_a_helper_that_does_not_answer_is_given_up_in_time(reservations, folder, disk):
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    path = os.path.join(folder, "mute.sock")
    listener.bind(path)
    listener.listen(5)
    # It greets from the queue and then says nothing more.
    held = []

    def greet():
        connection, _ = listener.accept()
        connection.sendall(bytes(4))
        held.append(connection)
    thread = threading.Thread(target=greet, daemon=True)
    thread.start()
    assert reservations.open(path) == 0
    thread.join(10)
    reservations.wait_at_most(100)
    begin = time.monotonic()
    assert reservations.register(disk, 0, 1) == -errno.ETIMEDOUT
    assert reservations.error.code == TIMEOUT and 0.1 <= time.monotonic() - begin < 5
    held[0].close()
    listener.close()


def test_an_end_behind_the_command_is_not_tried_again(reservations, folder, disk):
    false = FalseHelper(folder, [])
    assert reservations.open(false.path) == 0
    assert reservations.register(disk, 0, 1) == -errno.ECONNRESET
    reservations.close()
    false.close()
    assert len(false.commands) == 1


def test_a_conflict_is_ebusy(reservations, folder, disk):
    false = FalseHelper(folder, [frame(0x18)])
    assert reservations.open(false.path) == 0
    assert reservations.register(disk, 5, 6) == -errno.EBUSY
    assert reservations.error.code == BUSY
    reservations.close()
    false.close()


def test_a_direct_change_needs_a_descriptor_for_writing_as_through_a_helper(reservations, folder):
    path = os.path.join(folder, "file")
    fd = os.open(path, os.O_RDONLY | os.O_CREAT, 0o600)
    assert reservations.open(None, DIRECT) == 0
    r, result = reservations.command(fd, pr_out(0), parameters(0, 1))
    assert (r, result.status, result.sense[2], result.sense[12]) == (0, 2, 5, 0x20)
    r, result = reservations.command(fd, pr_in(0))
    assert (r, result.status, result.sense[2], result.sense[12]) == (0, 2, 0xB, 0)
    os.close(fd)


@pytest.mark.parametrize("path, flags", [("relative.sock", 0), (None, 6)])
def test_what_makes_no_sense_opens_nothing(reservations, path, flags):
    assert reservations.open(path, flags) == -errno.EINVAL
