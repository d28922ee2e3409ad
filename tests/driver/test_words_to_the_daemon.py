# SPDX-License-Identifier: LGPL-2.1-or-later
"""What our driver says to holdfastd of a disk that is locked by a name that stands for it.

The other side is played here: it grants everything and writes down what it was asked.
"""

import hashlib
import os
import socket
import threading

import pytest
from hftest import wire

HOLDFAST_PROGRAM = 0x486F6C64
HELLO, ACQUIRE = 1, 2


def read_exactly(connection, count):
    data = b""
    while len(data) < count:
        piece = connection.recv(count - len(data))
        if not piece:
            return b""
        data += piece
    return data


def acquire_of(body):
    cursor = wire.Cursor(body)
    asked = {key: cursor.string() for key in ("lockspace", "name")}
    asked["flags"] = cursor.u32()
    asked["thing"] = (cursor.u32(), cursor.u64(), cursor.u64())
    asked["image"] = cursor.string()
    return asked


def serve(listener, asked):
    """One connection after another, until the listener is closed."""
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            while header := read_exactly(connection, wire.HEADER_LEN):
                length, prog, _, proc, _, serial, _ = wire.HEADER.unpack(header)
                body = read_exactly(connection, length - wire.HEADER_LEN)
                answer = b""
                if (prog, proc) == (HOLDFAST_PROGRAM, HELLO):
                    answer = wire.string("0") + wire.string("here") + wire.u32(1)
                elif (prog, proc) == (HOLDFAST_PROGRAM, ACQUIRE):
                    asked.append(acquire_of(body))
                    # Granted, with a guarantee, without text, holder or anything behind that.
                    answer = wire.u32(1) * 2 + wire.u32(0) * 3
                else:
                    asked.append((wire.Proc(proc).name, body))
                connection.sendall(wire.frame(proc, answer, prog=prog, type=wire.Type.REPLY,
                                              serial=serial))


@pytest.fixture
def asked(folder):
    """What a daemon in the folder is asked, in order."""
    os.makedirs(os.path.join(folder, "holdfast"))
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(os.path.join(folder, "holdfast", "holdfast-sock"))
    listener.listen()
    words = []
    server = threading.Thread(target=serve, args=(listener, words))
    server.start()
    yield words
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    server.join(10)
    assert not server.is_alive()


def started(peer, folder, text, *disks):
    path = os.path.join(folder, "vm.conf")
    with open(path, "w", encoding="utf-8") as conf:
        conf.write(text)
    vm = peer({"HOLDFAST_RUN_DIR": folder})
    vm.must("new", name="vm", config=path)
    for disk in disks:
        vm.must("disk", what="add", path=disk)
    vm.must("start")
    vm.process.kill()
    vm.process.wait(10)


def test_a_disk_behind_a_hash_comes_with_its_thing_and_its_path(asked, peer, folder, image):
    started(peer, folder, 'file_lockspace_dir = "/locks"\n', image("a"), image("b"))
    # The directory is made known once, before the first lock.
    assert [words[0] for words in asked if isinstance(words, tuple)] == [
        "REGISTER", "CREATE_LOCKSPACE", "RESTRICT"]
    for path, words in zip((image("a"), image("b")), [w for w in asked if isinstance(w, dict)]):
        there = os.stat(path)
        assert words["lockspace"] == "/locks" and words["image"] == path
        assert words["name"] == hashlib.sha256(path.encode()).hexdigest()
        assert words["flags"] & wire.AUTOCREATE
        assert words["thing"] == (1, there.st_dev, there.st_ino)


def test_a_disk_that_is_locked_itself_needs_no_other_path(asked, peer, folder, image):
    started(peer, folder, "", image())
    [words] = [w for w in asked if isinstance(w, dict)]
    assert (words["lockspace"], words["name"], words["image"]) == ("", image(), "")
    assert not words["flags"] & wire.AUTOCREATE
    assert words["thing"][0] == 1
