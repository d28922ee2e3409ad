# SPDX-License-Identifier: LGPL-2.1-or-later
"""A guest without a VM: the other end of a pty, which prints what a test says."""

import fcntl
import struct
import termios

from .consoled import Terminal


def as_bytes(text):
    return text.encode() if isinstance(text, str) else text


class PtyGuest(Terminal):
    """Talks in text or bytes, and knows the size that it was told."""

    def say(self, text):
        self.print(as_bytes(text))

    def await_heard(self, text):
        return self.hear_until(as_bytes(text))

    @property
    def size(self):
        """(rows, columns) as the guest's side sees them."""
        packed = fcntl.ioctl(self.master, termios.TIOCGWINSZ, bytes(8))
        return struct.unpack("HHHH", packed)[:2]
