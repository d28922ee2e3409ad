# SPDX-License-Identifier: LGPL-2.1-or-later
"""The host of an ordinary user: a session libvirtd that starts the lock daemon when it needs it."""
import os
import pathlib
import shutil
import tempfile

from .lab import (DAEMON_CONF, LIBVIRTD, LIBVIRTD_CONF, PRIVATE, QEMU_CONF, QEMU_WITHOUT_LOCKS, Lab,
                  lockspace_file, make_disk)
from .namespace import Namespace

# "nobody": the one ordinary user that every machine has.
UID = GID = 65534

# Where the user finds the tree in which the lock daemon was built, whatever directories that only
# root may enter lie above it.
BUILD = pathlib.Path("/run/lab-build")


class SessionLab(Lab):
    """`daemon`: the lock daemon's program below `top`, the directory that the user gets to see.

    All files of the user are below `home`, also disks: elsewhere an ordinary user has no access
    to what a test makes.
    """

    uri = "qemu:///session"

    def __init__(self, daemon, top, lockspace=False):
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="holdfast-session-"))
        self.lockspace = self.home / "lockspace" if lockspace else None
        self.run_dir = self.home / "run"
        self.pid_dir = self.run_dir / "libvirt/qemu/run"
        self.socket = self.run_dir / "libvirt/virtlockd-sock"
        self.emulator = self.home / QEMU_WITHOUT_LOCKS.name
        self.daemon = BUILD / daemon.relative_to(top)
        try:
            self._furnish()
            super().__init__(self.home, Namespace(PRIVATE, [(top, BUILD)]))
            self.start_libvirtd()
        except BaseException:
            self.close()
            raise

    def _furnish(self):
        config = self.home / "config/libvirt"
        config.mkdir(parents=True)
        (config / "qemu.conf").write_text(QEMU_CONF)
        (config / "libvirtd.conf").write_text(LIBVIRTD_CONF)
        (config / "virtlockd.conf").write_text(DAEMON_CONF)
        (config / "qemu-lockd.conf").write_text(
            f'file_lockspace_dir = "{self.lockspace}"\n' if self.lockspace else "")
        (self.home / "sbin").mkdir()
        (self.home / "sbin/virtlockd").symlink_to(self.daemon)
        self.run_dir.mkdir(mode=0o700)
        shutil.copy(QEMU_WITHOUT_LOCKS, self.emulator)
        for path in (self.home, *self.home.rglob("*")):
            os.chown(path, UID, GID, follow_symlinks=False)

    def enter(self, argv):
        environment = {"HOME": self.home, "XDG_RUNTIME_DIR": self.run_dir,
                       "XDG_CONFIG_HOME": self.home / "config",
                       "XDG_CACHE_HOME": self.home / "cache", "XDG_DATA_HOME": self.home / "data",
                       "VIRTLOCKD_PATH": self.home / "sbin"}
        return ["setpriv", f"--reuid={UID}", f"--regid={GID}", "--clear-groups", "env",
                *(f"{name}={value}" for name, value in environment.items()), *argv]

    def start_libvirtd(self):
        self.libvirtd_pid = self.ns.spawn(self.enter([LIBVIRTD]), self.libvirtd_log)
        self.await_libvirtd()

    def disk(self, name):
        """A fresh disk that belongs to the user."""
        path = make_disk(self.home / name)
        os.chown(path, UID, GID)
        return path

    def lock_file(self, path):
        return lockspace_file(self.lockspace, path) if self.lockspace else super().lock_file(path)

    def lock_daemons(self):
        """[(pid, uid, argv)] of every process that runs the lock daemon's program."""
        found = []
        for process in self.inside("/proc").glob("[0-9]*"):
            try:
                if pathlib.Path(os.readlink(process / "exe")).name != self.daemon.name:
                    continue
                argv = os.fsdecode((process / "cmdline").read_bytes()).rstrip("\0").split("\0")
                found.append((int(process.name), process.stat().st_uid, argv))
            except OSError:
                continue  # it has ended meanwhile
        return found

    def qemu_logs(self):
        return sorted((self.home / "cache/libvirt/qemu/log").glob("*.log"))

    def close(self):
        try:
            if hasattr(self, "ns"):
                super().close()
        finally:
            shutil.rmtree(self.home, ignore_errors=True)
