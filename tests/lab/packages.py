# SPDX-License-Identifier: LGPL-2.1-or-later
"""The packages, and a fresh Debian to install them in.

`begin_build()` makes the packages of this tree. `Root` is a Debian as debootstrap makes it, in a
folder: what runs in it sees its files, a /run, a /proc and processes of its own, and no systemd.
Nothing of the machine around is changed, and all that runs in it ends with it. `repack()` makes
another version of packages within seconds.
"""

import os
import pathlib
import re
import shutil
import subprocess
import urllib.error
import urllib.request

from hftest.processes import children, until

TOP = pathlib.Path(__file__).resolve().parents[2]
# For what is built, downloaded or installed, on a machine that does something else as well.
DEADLINE = 900
# The packages of the lock daemon.
DAEMON = ("holdfast", "libholdfast0")
INSIDE = {"DEBIAN_FRONTEND": "noninteractive", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
          "HOME": "/root", "LC_ALL": "C.UTF-8"}
ROOM = """
mount --make-rprivate / &&
mount -t proc none "$1/proc" &&
mount -t tmpfs none "$1/run" &&
mount --rbind /dev "$1/dev" &&
mkdir "$1/run/lock" &&
exec chroot "$1" sh -c 'echo up; sleep infinity & wait'
"""
# What keeps a list of what was done to a system; no package's own.
BOOKS = re.compile(r"^/(var/(lib/(dpkg|apt|systemd/deb-systemd-helper-masked)|cache"
                   r"|log/(apt|dpkg|alternatives))|etc/ld\.so\.cache|debs|tmp|root|srv|proc|run|dev|sys)\b")


def why_not_built(tools=("dpkg-buildpackage", "dh")):
    """What is missing here to make packages; None if nothing is."""
    for tool in tools:
        if not shutil.which(tool):
            return f"{tool} is not installed"
    return None


def why_not():
    """What is missing here to make packages and a Debian for them; None if nothing is."""
    if os.geteuid() != 0:
        return "only root can make a Debian in a folder"
    missing = why_not_built(("dpkg-buildpackage", "dh", "debootstrap", "lintian", "rpmbuild"))
    if missing:
        return missing
    if not archive():
        return f"apt is told of no archive with {suite()}"
    try:
        with urllib.request.urlopen(f"{archive()}/dists/{suite()}/Release", timeout=60):
            return None
    except (urllib.error.URLError, TimeoutError) as fault:
        return f"{archive()} does not answer: {fault}"


def archive():
    """Where this machine has its own packages from."""
    known = run("apt-get", "indextargets", "--format", "$(CODENAME) $(COMPONENT) $(REPO_URI)",
                "Created-By: Packages")
    found = re.search(rf"^{suite()} main (\S+?)/?$", known, re.M)
    return found and found.group(1)


def suite():
    text = pathlib.Path("/etc/os-release").read_text(encoding="utf-8")
    return re.search(r"^VERSION_CODENAME=(\w+)", text, re.M).group(1)


def run(*command, status=0, **how):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=DEADLINE, check=False, **how)
    assert status is None or done.returncode == status, \
        f"{command}: {done.returncode}\n{done.stdout[-4000:]}"
    return done.stdout


def begin(nursery, log, *command):
    """Starts what takes long; await_end() waits for it."""
    with open(log, "w", encoding="utf-8") as out:
        child = nursery.spawn(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    child.log = log
    return child


def await_end(child):
    status = child.wait(DEADLINE)
    said = pathlib.Path(child.log).read_text(encoding="utf-8", errors="replace")
    assert status == 0, f"{child.args}: {status}\n{said[-4000:]}"


def begin_build(nursery, kind, out):
    return begin(nursery, f"{out}.{kind}.log", str(TOP / "tools/package"), kind, str(out))


def begin_debootstrap(nursery, folder):
    return begin(nursery, f"{folder}.log", "debootstrap", "--variant=minbase", suite(), str(folder),
                 archive())


def packages(folder):
    """The packages in a folder, without those for debuggers."""
    return sorted(p for p in pathlib.Path(folder).glob("*.deb") if "-dbgsym_" not in p.name)


def files_of(package):
    """The files in a package of either kind, but what each kind has of its own."""
    if package.suffix == ".rpm":
        modes = run("rpm", "-qp", "--qf", "[%{FILEMODES:perms} %{FILENAMES}\\n]", str(package))
        found = [line.split()[1] for line in modes.splitlines() if line[0] in "-l"]
    else:
        found = [line.split()[5].lstrip(".") for line in
                 run("dpkg-deb", "-c", str(package)).splitlines()]
    return {path.removesuffix(".gz") for path in found if not path.endswith("/")}


def field(package, name):
    return run("dpkg-deb", "--field", str(package), name).strip()


def repack(built, out, suffix, change=None):
    """The packages with a higher version, and changed by change(name, folder)."""
    out.mkdir()
    version = field(built[0], "Version")
    for package in built:
        name, tree = field(package, "Package"), out / "tree"
        run("dpkg-deb", "-R", str(package), str(tree))
        control = tree / "DEBIAN/control"
        control.write_text(control.read_text().replace(version, version + suffix))
        if change:
            change(name, tree)
        run("dpkg-deb", "-Znone", "-b", str(tree), str(out / f"{name}.deb"))
        shutil.rmtree(tree)
    return packages(out)


# A program that knows another version of the state, and says so when it is asked.
OTHER_VERSION = """
#include <string.h>
int main(int argc, char **argv)
{
        while (argc-- > 1)
                if (strstr(argv[argc], "--probe-state"))
                        return 1;
        return 70;
}
"""


def for_guest(nursery, folder):
    """What inside/installed.py installs: {"other": a daemon that knows another version of the
    state}, and packages where such can be made."""
    folder = pathlib.Path(folder)
    other = folder / "holdfastd"
    subprocess.run(["cc", "-x", "c", "-o", str(other), "-"], input=OTHER_VERSION, text=True,
                   check=True, timeout=DEADLINE)
    if why_not_built():
        return {"other": str(other)}

    def other_version(name, tree):
        if name == "holdfast":
            shutil.copy(other, tree / "usr/sbin/holdfastd")
    first = folder / "first"
    first.mkdir()
    await_end(begin_build(nursery, "deb", first))
    built = packages(first)
    # An emulated machine takes minutes for the scripts of all of them.
    daemon = [package for package in built if field(package, "Package") in DAEMON]
    made = {"first": built, "later": repack(daemon, folder / "later", "+1"),
            "other": repack(daemon, folder / "other", "+2", other_version),
            "repaired": repack(daemon, folder / "repaired", "+3")}
    return {"other": str(other),
            "packages": {which: [str(path) for path in found] for which, found in made.items()}}


class Root:
    """A Debian in a folder, entered."""

    def __init__(self, nursery, folder):
        self.nursery, self.folder = nursery, pathlib.Path(folder)
        self.room = nursery.spawn(["unshare", "--mount", "--pid", "--fork", "--kill-child",
                                   "sh", "-c", ROOM, "sh", str(folder)],
                                  stdout=subprocess.PIPE, text=True)
        assert self.room.stdout.readline() == "up\n", "the room in the folder was made"
        self.first = until(lambda: children(self.room.pid), "its first process is there")[0]

    def command(self, *words):
        return ["nsenter", "-t", str(self.first), "-m", "-p", "-r", "-w", *words]

    def run(self, *words, status=0):
        """What a command in it says, on both outputs."""
        return run(*self.command(*words), status=status, env=INSIDE)

    def spawn(self, *words):
        return self.nursery.spawn(self.command(*words), stdin=subprocess.DEVNULL, env=INSIDE)

    def apt(self, *words, status=0):
        return self.run("apt-get", "-y", "-q", "--no-install-recommends", *words, status=status)

    def hand_in(self, found, name):
        """Copies packages to where it finds them; their names there."""
        there = self.folder / "debs" / name
        there.mkdir(parents=True)
        for package in found:
            shutil.copy(package, there)
        return [f"/debs/{name}/{package.name}" for package in found]

    def install(self, names):
        return self.run("dpkg", "-i", *names)

    def install_needs(self, found):
        """What the packages depend on, without themselves."""
        own = {field(package, "Package") for package in found}
        needs = {need.strip() for package in found for need in field(package, "Depends").split(",")}
        self.apt("satisfy", *sorted(n for n in needs if n.split(" ")[0].split(":")[0] not in own))

    def files(self):
        """All files, but those in which the package manager keeps its books."""
        found = self.run("find", "/", "-xdev", "-printf", "%p\\n").splitlines()
        return {path for path in found if not BOOKS.match(path)}

    def text(self, path):
        """What is in a file of one line; nothing where there is none."""
        try:
            return (pathlib.Path(f"/proc/{self.first}/root") / path.lstrip("/")).read_text().strip()
        except FileNotFoundError:
            return ""
