# SPDX-License-Identifier: LGPL-2.1-or-later
"""The drivers behind one and the same library, for the tests that hold for each of them.

A side makes VMMs and managers on one host, and disks and leases that its driver can lock. What a
driver offers it says itself, in its table; `keeps_out` is false where it locks nothing.
"""

import enum
import os

from hftest import sanlock
from hftest.peers import DRIVERS

# Of enum holdfast_vm_flags.
CLIENT = 2


class Cap(enum.IntFlag):
    """enum hf_lock_capability."""
    STATE = 1 << 0
    CONNECTION = 1 << 1
    HOLDER = 1 << 2
    LOST = 1 << 3
    LEASES = 1 << 4
    SHARED = 1 << 5
    DEADLINE = 1 << 6
    ACTION = 1 << 7
    DESCRIPTORS = 1 << 8
    WAIT = 1 << 9
    CLIENTS = 1 << 10


class Side:
    driver = None
    keeps_out = True
    guarantee = None
    capabilities = Cap(0)
    uid = None

    def __init__(self, peer, folder):
        self._peer = peer
        self.folder = folder

    def offered(self):
        """What the module says of itself."""
        module = os.path.join(DRIVERS, self.driver + ".so")
        # Elsewhere: a module of a build with a sanitizer cannot be loaded here.
        return Cap(self._peer({}).must("capabilities", module=module)["r"])

    def env(self):
        return {"HOLDFAST_RUN_DIR": self.folder}

    def params(self):
        return {"driver": self.driver}

    def vm(self, name, *disks, leases=(), flags=0, **how):
        """A VMM to be: a process with a VM object that has these."""
        made = self._peer(self.env(), uid=self.uid)
        made.must("new", name=name, **self.params(), **how)
        for path in disks:
            made.must("disk", what="add", path=path, flags=flags)
        for lease in leases:
            made.must("lease", what="add", **lease)
        return made

    def started(self, name, *disks, **how):
        made = self.vm(name, *disks, **how)
        made.must("start")
        return made

    def manager(self, of, *disks, **how):
        """Another process, for the VM that runs in `of`."""
        return self.vm("vm", *disks, pid=of.pid, **how)

    def client(self, name, *disks):
        """A program that is no VM."""
        made = self._peer(self.env(), uid=self.uid)
        made.must("new", name=name, flags=CLIENT, **self.params())
        for path in disks:
            made.must("disk", what="add", path=path)
        return made

    def disk(self, name):
        path = os.path.join(self.folder, name)
        with open(path, "wb") as out:
            out.write(b"image")
        return path

    def lease(self, key):
        return {"lockspace": None, "key": key, "path": self.folder}


class Nop(Side):
    driver = "nop"
    keeps_out = False
    guarantee = "none"
    # It is built in: nobody but the library sees its table.
    capabilities = Cap.LEASES | Cap.SHARED | Cap.DEADLINE | Cap.WAIT | Cap.CLIENTS


class Lockd(Side):
    driver = "lockd"
    guarantee = "host"

    def __init__(self, peer, folder, daemon):
        super().__init__(peer, folder)
        self.daemon = daemon
        self.capabilities = self.offered()

    def env(self):
        return {"HOLDFAST_RUN_DIR": self.daemon.run_dir}

    def lease(self, key):
        with open(os.path.join(self.folder, key), "wb"):
            pass
        return super().lease(key)


class Sanlock(Side):
    """One host of the cluster; its daemon runs without a watchdog."""

    driver = "sanlock"
    guarantee = "cluster-advisory"

    def __init__(self, peer, folder, host):
        super().__init__(peer, folder)
        self.host = host
        self.capabilities = self.offered()
        self.uid = sanlock.user()
        # All tests have one cluster, and each has names of its own in it.
        self.prefix = os.path.basename(folder)

    def env(self):
        return self.host.env

    def params(self):
        return {"driver": self.driver, "config": self.host.conf}

    def disk(self, name):
        return self.host.cluster.disk(f"{self.prefix}-{name}")

    def lease(self, key):
        lockspace, key, path, offset = self.host.cluster.explicit_lease(f"{self.prefix}-{key}")
        return {"lockspace": lockspace, "key": key, "path": path, "offset": offset}
