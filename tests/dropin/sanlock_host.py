# SPDX-License-Identifier: LGPL-2.1-or-later
"""A host of a sanlock cluster with stock libvirtd and its own sanlock plugin.

It is the session libvirtd of an ordinary user, since such a user may run sanlock too. The daemon is
in the lab's namespaces with libvirtd: sanlock and its clients have to mean the same by a pid.
The other hosts of the cluster are outside; they share the lease directory and the disks.
"""

import pathlib

from hftest import sanlock

from .lab import STOCK
from .namespace import until
from .session import GID, UID, SessionLab

# Ten seconds with the cluster's times; more where the machine does something else.
JOIN_DEADLINE_S = 150
QEMU_CONF = 'lock_manager = "sanlock"\nstdio_handler = "file"\n'


class LibvirtHost(SessionLab):
    """`host`: the sanlock_lab's Host whose number and place it takes; it is not started itself."""

    def __init__(self, host):
        self.host = host
        # There is no lock daemon: that of libvirt's usual choice lies where it always does.
        super().__init__(STOCK, STOCK.parent)

    def _furnish(self):
        super()._furnish()
        config = self.home / "config/libvirt"
        (config / "qemu.conf").write_text(QEMU_CONF)
        settings = {"auto_disk_leases": 1, "disk_lease_dir": f'"{self.host.cluster.leases}"',
                    "host_id": self.host.id, "io_timeout": self.host.cluster.io_timeout}
        (config / "qemu-sanlock.conf").write_text(
            "".join(f"{key} = {value}\n" for key, value in settings.items()))

    def enter(self, argv):
        words = super().enter(argv)
        words.insert(words.index("env") + 1, f"SANLOCK_RUN_DIR={self.host.run_dir}")
        return words

    def start_libvirtd(self):
        self.start_sanlock()
        super().start_libvirtd()
        # libvirtd comes up also where it could not join.
        until(self.host.joined, f"{self.host.name} has joined: {self.libvirtd_log.read_text()}",
              JOIN_DEADLINE_S)

    def start_sanlock(self):
        daemon = [sanlock.program(), "daemon", "-D", "-w", "0", "-h", "0", "-l", "0", "-U",
                  "nobody", "-G", "nogroup", "-e", self.host.name]
        self.sanlock_pid = self.ns.spawn(
            ["setpriv", f"--reuid={UID}", f"--regid={GID}", "--clear-groups", "env",
             f"SANLOCK_RUN_DIR={self.host.run_dir}", "SANLOCK_PRIVILEGED=0", *daemon],
            pathlib.Path(self.host.logfile))
        until(lambda: self.host.command("status").returncode == 0, "sanlock answers")

    def refused(self, *args):
        """Fails the test unless virsh is told that a lease is taken; returns that message."""
        done = self._virsh(*args)
        assert done.returncode == 1, f"virsh {' '.join(map(str, args))} was not refused"
        assert "Lease is held by another host" in done.stderr, done.stderr
        return done.stderr

    def healthy(self):
        return self.ns.alive(self.libvirtd_pid) and self.ns.alive(self.sanlock_pid)
