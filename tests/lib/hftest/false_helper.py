# SPDX-License-Identifier: LGPL-2.1-or-later
"""A helper for persistent reservations that says what a test wants it to say."""

import array
import contextlib
import os
import socket
import struct
import threading


def frame(status=0, size=0, sense=b""):
    """The 104 bytes of an answer."""
    return struct.pack(">iI", status, size & 0xFFFFFFFF) + sense.ljust(96, b"\0")


def sense(key, code):
    """Sense in fixed format."""
    return bytes([0x70, 0, key, 0, 0, 0, 0, 10, 0, 0, 0, 0, code >> 8, code & 255, 0, 0, 0, 0])


class FalseHelper:
    """Greets, answers each command by the next of `answers`, and closes behind the last."""

    def __init__(self, folder, answers, greeting=bytes(4)):
        self.path = os.path.join(folder, "false.sock")
        self.answers = list(answers)
        self.greeting = greeting
        self.commands = []
        self.connections = 0
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(self.path)
        self.listener.listen(5)
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            with connection, contextlib.suppress(ConnectionError):
                self.talk(connection)

    def talk(self, connection):
        connection.sendall(self.greeting)
        if len(self.greeting) < 4 or len(connection.recv(4)) < 4:
            return
        while True:
            cdb, cargo, _, _ = connection.recvmsg(16, socket.CMSG_SPACE(8))
            if len(cdb) < 16:
                return
            fds = array.array("i")
            for _, _, data in cargo:
                fds.frombytes(data)
            length = int.from_bytes(cdb[7:9], "big") if cdb[0] == 0x5F else 0
            data = connection.recv(length, socket.MSG_WAITALL) if length else b""
            self.commands.append((cdb, data, [os.readlink(f"/proc/self/fd/{fd}") for fd in fds]))
            for fd in fds:
                os.close(fd)
            if self.answers:
                connection.sendall(self.answers.pop(0))
            if not self.answers:
                return

    def close(self):
        # A plain close would leave the thread in accept.
        self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join(10)
        self.listener.close()
