# SPDX-License-Identifier: LGPL-2.1-or-later
"""Persistent reservation helpers in a guest: QEMU's own, and ours."""

import os

from hftest import prhelper

# For everybody: a VMM that is to use it has no rights of its own.
OPEN = 0o666


class Helper(prhelper.Helper):
    """One that is started as libvirt does it, by -k PATH and nothing else; "stock" or "ours"."""

    def __init__(self, nursery, side, folder="/run", name=None):
        super().__init__(folder, stock=side == "stock", nursery=nursery, name=name, start=False)
        self.args = ["-k", self.socket]
        self.start()

    def await_answering(self):
        super().await_answering()
        os.chmod(self.socket, OPEN)
