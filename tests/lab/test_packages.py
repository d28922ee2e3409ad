# SPDX-License-Identifier: LGPL-2.1-or-later
"""The packages on a fresh Debian: installed, used, upgraded, removed and purged.

One story, told by the fixture, in which a virtual machine runs from the first `holdfast run` on
until all packages have been removed, and a competitor asks for its disk all the time. Each test
judges a part of it.
"""

import pathlib
import re
import shutil
import tempfile
import types

import pytest

from hftest.competitor import Competitor
from hftest.processes import Nursery, until

from . import packages
from .packages import await_end, begin_build, begin_debootstrap, repack

HELD = 75
TRIES = 20000
DISK = "/srv/disk.img"
VM = ("holdfast", "run", "--name=web0", "--", "qemu-system-x86_64", "-accel", "tcg", "-display",
      "none", "-nodefaults", "-S", "-m", "16", "-drive", f"file={DISK},format=raw")
USER = ("setpriv", "--reuid=1000", "--regid=1000", "--clear-groups", "env", "HOME=/home/user",
        "XDG_RUNTIME_DIR=/home/user")
# Nowhere to look for newer versions.
NO_PLACE = "debian-watch-file-is-missing"
LATER = packages.DEADLINE / 10

pytestmark = [pytest.mark.timeout(2 * packages.DEADLINE)]


def cannot_start(name, tree):
    """A version of the daemon that does not do."""
    if name == "holdfast":
        (tree / "usr/sbin/holdfastd").write_text("#!/bin/sh\nexit 1\n")


class Story:
    """What happened, to be judged."""

    def __init__(self, nursery, folder):
        self.nursery, self.folder = nursery, pathlib.Path(folder)
        self.debs = self.folder / "built"
        self.debs.mkdir()
        making = begin_debootstrap(nursery, self.folder / "root")
        await_end(begin_build(nursery, "deb", self.debs))
        await_end(making)
        rpms = begin_build(nursery, "rpm", self.debs)
        self.built = packages.packages(self.debs)
        self.root = packages.Root(nursery, self.folder / "root")
        self.tell()
        await_end(rpms)

    def tell(self):
        root = self.root
        root.apt("install", "qemu-system-x86")
        root.install_needs(self.built)
        self.before, self.run_before = root.files(), root.run("ls", "-A", "/run")
        self.installed = root.install(root.hand_in(self.built, "first"))
        self.as_user()
        self.first_run()
        self.locked_twice = root.run(*VM, status=None)
        self.upgrade()
        self.refused_upgrade()
        self.removal()
        self.after_the_vm()

    def as_user(self):
        """A session of a user's own, right after the installation."""
        root = self.root
        root.run("install", "-d", "-o", "1000", "-g", "1000", "/home/user")
        root.run(*USER, "truncate", "-s", "1M", "/home/user/disk")
        # It ends by itself, but not as soon.
        self.session = root.run(*USER, "holdfast", "lock", "--name=mine", "/home/user/disk", "--",
                                "holdfast", "who", "/home/user/disk", status=None)
        root.run("sh", "-c", "kill $(cat /home/user/holdfast/holdfastd.pid)")
        until(lambda: "holdfastd" not in self.processes(), "the user's daemon has ended", LATER)
        root.run("rm", "-r", "/home/user")

    def processes(self):
        return self.root.run("sh", "-c", "cat /proc/[0-9]*/comm 2>/dev/null", status=None)

    def daemon(self):
        """Number and file of the daemon, which any change of it would change."""
        pid = self.root.text("/run/holdfast/holdfastd.pid")
        exe = self.root.run("stat", "-Lc", "%d:%i", f"/proc/{pid}/exe", status=None)
        return types.SimpleNamespace(pid=pid, file=exe.strip())

    def file(self):
        return self.root.run("stat", "-Lc", "%d:%i", "/usr/sbin/holdfastd").strip()

    def vm_is_up(self):
        return "web0" in self.root.run("holdfast", "ps", status=None)

    def first_run(self):
        root = self.root
        root.run("truncate", "-s", "10M", DISK)
        root.run("holdfastd", "-d")
        self.vm = root.spawn(*VM)
        until(self.vm_is_up, "the VM has its lock", LATER)
        self.listed = root.run("holdfast", "ps")
        self.competitor = Competitor(self.nursery, [f"{root.folder}{DISK}"])
        self.at_first = self.daemon()

    def upgrade(self):
        later = repack(self.built, self.folder / "later", "+1")
        self.upgrade_said = self.root.install(self.root.hand_in(later, "later"))
        self.upgraded, self.upgraded_file = self.daemon(), self.file()
        self.upgraded_locks = self.root.run("holdfast", "ps", status=None)
        self.upgrade_got = self.competitor.tries(TRIES)

    def refused_upgrade(self):
        bad = repack(self.built, self.folder / "bad", "+2", cannot_start)
        self.bad_said = self.root.install(self.root.hand_in(bad, "bad"))
        self.bad = self.daemon()
        self.bad_locks = self.root.run("holdfast", "ps", status=None)
        good = repack(self.built, self.folder / "good", "+3")
        self.root.install(self.root.hand_in(good, "good"))
        self.good, self.good_file = self.daemon(), self.file()

    def removal(self):
        self.removal_said = self.root.apt("purge", "holdfast*", "libholdfast*")
        self.removed = self.daemon()
        self.vm_after_removal = self.vm.poll()
        self.removal_got = self.competitor.tries(TRIES)

    def after_the_vm(self):
        """The packages once more, and nothing that needs them."""
        root = self.root
        root.run("sh", "-c", "kill $(pidof qemu-system-x86_64)")
        until(lambda: self.vm.poll() is not None, "the VM has ended", LATER)
        self.competitor.stop()
        root.install([f"/debs/first/{package.name}" for package in self.built])
        self.idle = "holdfastd" in self.processes()
        self.purge_said = root.apt("purge", "holdfast*", "libholdfast*")
        self.processes_left = self.processes()
        self.left = root.files() - self.before
        self.gone = self.before - root.files()
        self.run_left = root.run("ls", "-A", "/run")


@pytest.fixture(scope="module")
def story():
    reason = packages.why_not()
    if reason:
        pytest.skip(reason)
    folder, nursery = tempfile.mkdtemp(prefix="hf-", dir="/var/tmp"), Nursery()
    try:
        told = Story(nursery, folder)
        yield told
    finally:
        nursery.close()
        shutil.rmtree(folder, ignore_errors=True)


def test_lintian_has_nothing_to_say_of_the_packages(story):
    changes = next(story.debs.glob("*.changes"))
    said = packages.run("lintian", "--allow-root", "--display-info", "--fail-on=none",
                        str(changes), status=None)
    tags = [line for line in said.splitlines() if line[:2] in ("E:", "W:", "I:")
            and not line.endswith(NO_PLACE)]
    assert not tags


def test_the_rpm_packages_have_the_same_programs_settings_pages_and_units(story):
    parts = re.compile(r"^(/usr)?/(bin|sbin|libexec|lib/systemd|include)/|^/etc/holdfast/"
                       r"|^/usr/share/(man|augeas|holdfast|bash-completion|fish)/")

    def of(pattern):
        found = set().union(*(packages.files_of(p) for p in story.debs.glob(pattern)
                              if "-dbgsym_" not in p.name and ".src." not in p.name))
        return {path.removeprefix("/usr") for path in found if parts.match(path)}
    assert of("*.rpm") == of("*.deb") and len(of("*.deb")) > 40


def test_a_user_has_a_disk_locked_right_after_the_installation(story):
    assert "mine" in story.session


def test_the_first_vm_of_the_system_runs_with_its_disk_locked(story):
    assert "web0" in story.listed and DISK in story.listed


def test_a_second_vm_on_that_disk_is_refused_by_the_name_of_the_first(story):
    assert "web0" in story.locked_twice


def test_an_upgrade_makes_the_daemon_that_runs_the_new_program(story):
    assert story.upgraded.pid == story.at_first.pid
    assert story.upgraded.file == story.upgraded_file != story.at_first.file


def test_an_upgrade_keeps_every_lock_at_every_moment(story):
    assert "web0" in story.upgraded_locks
    assert not story.upgrade_got


def test_a_version_that_cannot_go_on_is_not_become_and_that_is_said(story):
    assert story.bad.file == story.upgraded.file and "web0" in story.bad_locks
    assert "goes on as the program that was installed before" in story.bad_said


def test_the_version_after_that_is_become(story):
    assert story.good.pid == story.at_first.pid and story.good.file == story.good_file


def test_a_daemon_that_a_vm_needs_outlives_its_packages_and_the_vm_is_named(story):
    assert story.removed.pid == story.at_first.pid and story.removed.file == story.good.file
    assert "left running" in story.removal_said and "\n  web0 " in story.removal_said
    assert story.vm_after_removal is None
    assert not story.removal_got


def test_a_daemon_that_nobody_needs_ends_with_its_packages(story):
    assert story.idle
    assert "holdfast" not in story.processes_left


def test_a_purge_leaves_nothing(story):
    assert not story.left
    assert not story.gone
    assert story.run_left == story.run_before
