# SPDX-License-Identifier: LGPL-2.1-or-later
"""VMs that ask lock daemons of several hosts for the same thing."""

import hashlib
import itertools
import time

from hftest import wire

# The names that one disk has in the three kinds of lockspaces: as libvirt makes them from its
# path, and as LVM and SCSI disks are called.
NAMES = {
    "file": hashlib.sha256(b"/mnt/disk.img").hexdigest(),
    "lvm": "mQ7gk3-Yb2C-4dJ1-x0sP-ZtR9-u5Wn-hV8eLa",
    "scsi": "36001405a1b2c3d4e5f60718293a4b5c6",
}

# A lock on NFS takes some round trips, and all machines here are slow. More than the daemon waits
# for a filesystem (30 s): of one that is silent it then says so itself.
TIMEOUT = 45.0
# What needs no lease to run out, on a machine that is slow or busy.
SOON = 20.0
PAUSE = 0.05

numbers = itertools.count(1)


def announce(connection, space):
    """The lockspace, which may be known already: virtlockd minds that."""
    answer = connection.create_lockspace(space)
    assert answer.ok or answer.code in (wire.Code.OPERATION_INVALID, wire.Code.BUSY,
                                        wire.Code.INTERNAL), answer


class Holder:
    """A VM of a host, known to the host's daemon by a connection of its own.

    `space` and `name` say what it wants; with a space the file is made where there is none.
    """

    def __init__(self, host, daemon, space, name):
        self.vm = host.vm(f"{host.name}-{next(numbers)}")
        self.space, self.name = space, name
        self.flags = wire.AUTOCREATE if space else 0
        self.connection = self.vm.connect(daemon.socket)
        self.connection.timeout = TIMEOUT
        answer = self.connection.register(self.vm.owner)
        assert answer.ok, answer
        if space:
            announce(self.connection, space)

    def acquire(self, flags=0):
        return self.connection.acquire(self.name, self.space, self.flags | flags)

    def release(self):
        return self.connection.release(self.name, self.space)

    def leave(self):
        """The VM's end, as by SIGKILL."""
        self.vm.kill()


def refused(answer):
    """By a holder elsewhere: virtlockd's own answer to a lock that it cannot get."""
    return answer.code == wire.Code.BUSY


def soon_granted(holder, timeout=SOON):
    """Tries until it is granted; after how many seconds, or None."""
    begin = time.monotonic()
    while time.monotonic() < begin + timeout:
        if holder.acquire().ok:
            return time.monotonic() - begin
        time.sleep(PAUSE)
    return None
