# SPDX-License-Identifier: LGPL-2.1-or-later
"""A stock libvirtd that changes the owner of an image which we relabel at the same time."""

import os
import pathlib
import shutil
import signal

import pytest

from .lab import HOLDFAST, HOLDFAST_ENVIRONMENT, QEMU_CONF_ROOT, SystemLab, make_disk, settings_dir
from .namespace import until

# All below /run, which is the lab's own; /var/lib would be the machine's.
ENVIRONMENT = {**HOLDFAST_ENVIRONMENT, "HOLDFAST_RUN_DIR": "/run"}
# Of what libvirtd says when it did not get its lock within ten seconds.
NOT_LOCKED = "for metadata change"
CHOWN = "fchownat"


class RelabelLab(SystemLab):
    """libvirtd without a lock manager: contents are not the subject here."""

    def _configure(self):
        super()._configure()
        (self._etc / "qemu.conf").write_text(
            QEMU_CONF_ROOT.replace('lock_manager = "lockd"', 'lock_manager = "nop"'))

    def configure(self, text):
        """holdfast.conf of this host."""
        place = self.inside(settings_dir() / "holdfast")
        place.mkdir(exist_ok=True)
        (place / "holdfast.conf").write_text(text)

    def stopped(self, n):
        """The pid of the Nth process that stopped when it had changed an owner."""
        def found():
            log = self.workdir / "trace"
            lines = log.read_text().splitlines() if log.exists() else []
            pids = [int(line.split()[0]) for line in lines if "stopped by SIGSTOP" in line]
            return len(pids) > n and pids[n]
        return until(found, "a process stops in the middle of relabelling")

    def relabel(self, disk):
        """A `holdfast run` that stops in the middle of relabelling; the pid of that process."""
        self.ns.spawn(["strace", "-f", "-qq", "-o", self.workdir / "trace", "-e", f"trace={CHOWN}",
                       f"--inject={CHOWN}:signal=STOP:when=1", HOLDFAST, "run", "--driver=nop",
                       "--user=nobody", f"--disk={disk}", "--", "sleep", "600"],
                      self.workdir / "run.log", env=ENVIRONMENT)
        return self.stopped(0)

    def end(self, pid):
        """Ends that VM; who waited for it gives the image back, and stops in the middle, too."""
        self.ns.kill(pid, signal.SIGKILL)
        waiter = self.stopped(1)
        self.ns.kill(waiter, signal.SIGCONT)
        until(lambda: not self.ns.alive(waiter), "holdfast run ends")


@pytest.fixture
def host(request, daemon, cache, tmp_path):
    if "virtlockd" in str(daemon):
        pytest.skip("metadata locks are holdfastd's")
    if settings_dir() == pathlib.Path("/etc"):
        pytest.skip("the build under test has its settings in /etc, which is not the lab's own")
    if not shutil.which("strace"):
        pytest.skip("not installed: strace")
    lab = RelabelLab(tmp_path, daemon, cache=cache)
    request.node.labs = {"lab": lab}
    yield lab
    lab.close()


@pytest.fixture
def image(tmp_path):
    path = make_disk(tmp_path / "disk.raw")
    os.chown(path, 5, 6)
    for above in (tmp_path, tmp_path.parent):
        above.chmod(0o755)
    return path


def owner(path):
    found = os.stat(path)
    return found.st_uid, found.st_gid


def test_a_libvirtd_that_relabels_at_the_same_time_is_excluded_where_that_is_set(host, image):
    host.configure("libvirt_metadata_lock = 1\n")
    vm = host.vm(image)
    pid = host.relabel(image)
    before = owner(image)
    refused = host._virsh("start", vm.name)
    assert refused.returncode == 1 and NOT_LOCKED in refused.stderr, refused.stderr
    assert owner(image) == before
    host.end(pid)
    assert owner(image) == (5, 6)
    vm.start()
    assert owner(image) == (0, 0)
    vm.destroy()
    assert owner(image) == (5, 6)


def test_without_the_setting_libvirtd_changes_the_owner_in_the_middle(host, image):
    """So the setting is what excludes it."""
    vm = host.vm(image)
    pid = host.relabel(image)
    vm.start()
    assert owner(image) == (0, 0)
    vm.destroy()
    # Nothing is left to be given back: somebody else has changed the owner.
    host.ns.kill(pid, signal.SIGKILL)
