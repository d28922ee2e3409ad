# SPDX-License-Identifier: LGPL-2.1-or-later
"""A stand-in for the side of systemd that a service talks to."""

import os
import socket
import struct

from .processes import until

# Far more than any daemon takes, on a machine that does something else as well.
PATIENCE = 60.0
CREDENTIALS = "3i"


class Notify:
    """Serves NOTIFY_SOCKET; keeps what is said until somebody asks."""

    def __init__(self, nursery, folder):
        self.path = os.path.join(folder, "notify")
        self.said = []  # (pid, words of one message), the oldest first
        self.server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.server.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.server.bind(self.path)
        self.server.setblocking(False)
        nursery.at_end(self.server.close)

    def hear(self):
        while True:
            try:
                data, control, _, _ = self.server.recvmsg(
                    4096, socket.CMSG_SPACE(struct.calcsize(CREDENTIALS)) + 256)
            except BlockingIOError:
                return
            pid = 0
            for level, kind, value in control:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
                    pid = struct.unpack(CREDENTIALS, value)[0]
                elif (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    for fd, in struct.iter_unpack("i", value):
                        os.close(fd)
            self.said.append((pid, data.decode().split("\n")))

    def forget(self):
        self.hear()
        self.said.clear()

    def await_word(self, word, pid=None, times=1):
        """Waits until it was said so often since forget(), by that process if one is named."""
        def heard():
            self.hear()
            return sum(word in words and pid in (None, sender)
                       for sender, words in self.said) >= times
        until(heard, f"{word} by {pid or 'anybody'}", PATIENCE)
