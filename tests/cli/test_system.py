# SPDX-License-Identifier: LGPL-2.1-or-later
"""An ordinary user on a host whose system daemon holds disks: what that user is told."""

import grp
import json
import os
import subprocess

import pytest

from hftest import daemons
from hftest.command import Cli, HOLDFAST
from hftest.processes import until

NOBODY = 65534
# Any group but the user's own will do for those that the administrator lets look.
LOOKERS = 100
TRUE = ["--", "true"]


class Host:
    """A /run of its own with the system's daemon in it, and a VM of root's on a disk."""

    def __init__(self, nursery, folder, settings):
        self.nursery, self.folder = nursery, folder
        holder = nursery.spawn(["unshare", "--mount", "sh", "-c",
                                "mount -t tmpfs none /run && echo up && exec sleep 600"],
                               stdout=subprocess.PIPE, text=True)
        assert holder.stdout.readline() == "up\n"
        self.inside = ["nsenter", "--mount", f"--target={holder.pid}", "--"]
        self.root = Cli(nursery, folder, "")
        del self.root.env["HOLDFAST_RUN_DIR"]
        conf = os.path.join(folder, "holdfastd.conf")
        with open(conf, "w", encoding="ascii") as out:
            out.write(settings)
        nursery.spawn([*self.inside, daemons.HOLDFASTD, "-f", conf], env=self.root.env,
                      stderr=subprocess.DEVNULL)
        until(lambda: self.root("ps", prefix=self.inside).returncode == 0, "the daemon serves")

    def hold(self, name, *options):
        child = self.root.start("run", f"--name={name}", *options, "--", "sh", "-c",
                                "echo up; exec sleep 600", prefix=self.inside,
                                stdout=subprocess.PIPE)
        assert child.stdout.readline() == "up\n"

    def user(self, *words, group=NOBODY):
        """Runs the command as an ordinary user without a daemon."""
        become = ["setpriv", f"--reuid={NOBODY}", f"--regid={group}", "--clear-groups", "--"]
        home = os.path.join(self.folder, "home")
        os.makedirs(home, exist_ok=True)
        os.chown(home, NOBODY, NOBODY)
        return self.root(*words, prefix=[*self.inside, *become], env={"HOME": home})


@pytest.fixture
def host(nursery, folder):
    if os.geteuid() != 0:
        pytest.skip("needs root, whose daemon it is")
    return lambda settings="": Host(nursery, folder, settings)


OPEN = f'unix_sock_group = "{grp.getgrgid(LOOKERS).gr_name}"\nunix_sock_ro_perms = "0770"\n'


def test_a_lock_whose_holder_cannot_be_seen_is_not_nobodys(host, disk):
    path, system = disk(), host()
    system.hold("web0", f"--disk={path}")
    answer = system.user("who", path)
    assert answer.returncode == 0 and "nobody" not in answer.stdout
    holder, = json.loads(system.user("who", "--json", path).stdout)["holders"]
    assert holder["kind"] == "unknown" and holder["name"] is None


def test_who_has_a_disk_that_may_not_be_opened_is_not_answered_with_nobody(host, disk):
    path, system = disk(), host()
    os.chmod(path, 0o600)
    system.hold("web0", f"--disk={path}")
    answer = system.user("who", path)
    assert answer.returncode == 77 and answer.stdout == "" and path in answer.stderr


def test_whom_the_administrator_lets_look_is_told_of_the_systems_vms(host, disk):
    path, system = disk(), host(OPEN)
    system.hold("web0", f"--disk={path}")
    answer = system.user("ps", group=LOOKERS)
    assert answer.returncode == 0 and "web0" in answer.stdout
    answer = system.user("who", path, group=LOOKERS)
    assert answer.returncode == 0 and "web0" in answer.stdout and not answer.stderr
    assert "web0" not in system.user("ps").stdout


def test_a_refusal_names_the_systems_vm_to_whom_may_look(host, disk):
    path, system = disk(), host(OPEN)
    os.chmod(path, 0o666)
    system.hold("web0", f"--disk={path}")
    for verb in ("check", "run"):
        answer = system.user(verb, f"--disk={path}", *TRUE, group=LOOKERS)
        assert answer.returncode == 75 and "web0 (pid" in answer.stderr, answer


def test_a_users_own_vms_are_listed_beside_the_systems(host, disk):
    path, system = disk(), host(OPEN)
    system.hold("web0", f"--disk={path}")
    inner = f"{HOLDFAST} ps --json"
    answer = system.user("run", "--name=mine", "--", "sh", "-c", inner, group=LOOKERS)
    assert {vm["name"] for vm in json.loads(answer.stdout)["vms"]} == {"mine", "web0"}
    session = os.path.join(system.folder, "home", ".cache", "holdfast", "holdfastd.pid")
    with open(session, encoding="ascii") as pid:
        system.nursery.adopt(int(pid.read()))


def test_a_daemon_that_does_not_answer_is_not_nobody(cli, disk, daemon):
    path = disk()
    daemon.signal(19)
    try:
        answer = cli("who", path)
    finally:
        daemon.signal(18)
    assert answer.returncode == 69 and answer.stdout == ""


def test_a_path_that_is_not_there_does_not_silence_the_others(cli, disk):
    path = disk()
    cli.hold("web0", f"--disk={path}")
    for paths in (["gone.img", path], [path, "gone.img"]):
        answer = cli("who", *paths)
        assert answer.returncode == 66 and "web0" in answer.stdout and "gone.img" in answer.stderr
