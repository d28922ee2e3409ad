# SPDX-License-Identifier: LGPL-2.1-or-later
"""The programs, installed in this guest alone: from the packages, or as the build would do it."""

import json
import os
import shutil

from hftest import daemons

from .machine import run
from .systemd import systemctl

# dpkg reads all that it knows of the machine outside, file by file.
DEADLINE = 300


def install():
    """Copies all that has been built; returns where each file is, by its name
    and by its name with the folder's."""
    with open(os.path.join(daemons.BUILD, "meson-info", "intro-installed.json"),
              encoding="utf-8") as text:
        plan = json.load(text)
    names = {}
    for source, path in plan.items():
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if os.path.lexists(path):
            os.unlink(path)
        if os.path.isabs(source):
            shutil.copy(source, path)
        else:
            # A link beside what it leads to: the plan has its own name alone.
            target = next(os.path.basename(other) for other in plan
                          if os.path.basename(other).startswith(source) and other != source)
            os.symlink(target, path)
        # A program is before the completion of its name.
        names.setdefault(os.path.basename(path), path)
        names["/".join(path.split("/")[-2:])] = path
    return names


class Built:
    """From the build: for machines that make no packages."""

    def __init__(self, other):
        self.names, self.other = install(), other

    def upgrade(self, unit):
        self.repair()
        systemctl("reload", unit)

    def become_other_version(self, unit):
        self._replace(self.other)
        systemctl("reload", unit)

    def repair(self):
        self._replace(os.path.join(daemons.BUILD, "src", "daemon", "holdfastd"))

    def remove(self):
        """Nothing keeps books of it."""

    def _replace(self, program):
        """Another program at the path of the daemon, as a package manager would put it there."""
        path = self.names["holdfastd"]
        shutil.copy(program, f"{path}.new")
        os.chmod(f"{path}.new", 0o755)
        os.rename(f"{path}.new", path)


class Packaged:
    """From Debian packages: {"first", "later", "other", "repaired": [path, ...]}, each of a higher
    version than the one before, and all but the first those of the lock daemon alone."""

    def __init__(self, packages):
        self.packages = packages
        # A machine that is only a room for tests starts no services; this one is a host.
        if os.path.exists("/usr/sbin/policy-rc.d"):
            os.unlink("/usr/sbin/policy-rc.d")
        self._dpkg("first")
        self.own = [os.path.basename(path).partition("_")[0] for path in packages["first"]]
        self.names = {}
        for path in run("dpkg", "-L", *self.own, timeout=DEADLINE).splitlines():
            if os.path.isfile(path):
                self.names.setdefault(os.path.basename(path), path)
                self.names["/".join(path.split("/")[-2:])] = path

    def upgrade(self, _unit):
        """Its scripts do the rest."""
        self._dpkg("later")

    def become_other_version(self, _unit):
        self._dpkg("other")

    def repair(self):
        self._dpkg("repaired")

    def remove(self):
        run("dpkg", "--no-triggers", "--purge", *self.own, timeout=DEADLINE)

    def _dpkg(self, which):
        # The index of all man pages is not made anew for ours, in an emulated machine; and of what
        # is upgraded alone others want the version of before.
        run("dpkg", "--no-triggers", "--force-depends", "--force-unsafe-io", "-i",
            *self.packages[which], timeout=DEADLINE)


def get(arguments):
    """As the test that has started the guest says."""
    if "packages" in arguments:
        return Packaged(arguments["packages"])
    return Built(arguments["other"])
