# SPDX-License-Identifier: LGPL-2.1-or-later
"""What packages do with a daemon when they are removed, with their script moved to a folder of the
test and a stand-in for systemctl that notes what it is asked for."""

import os
import shutil
import subprocess

import pytest
from hftest import daemons
from hftest.processes import is_there, kill_family, until

UPKEEP = os.path.join(daemons.REPO, "packaging", "upkeep")
RUN = os.path.join(daemons.REPO, "tools", "run")
PATIENCE = 60.0
SYSTEMCTL = """\
#!/bin/sh
echo "$*" >>"{folder}/asked"
case $* in
"show -P MainPID holdfastd.service") cat "{folder}/main" 2>/dev/null || echo 0 ;;
"show "*) echo 0 ;;
esac
"""
HOLDFAST = f'#!/bin/sh\nexec {RUN} holdfast "$@"\n'


class Host:
    def __init__(self, nursery, folder):
        self.nursery, self.folder = nursery, folder
        self.asked_file = os.path.join(folder, "asked")
        self.env = os.environ | {"HOLDFAST_RUN_DIR": folder, "HOME": folder,
                                 "PATH": f"{folder}/stubs:{os.environ['PATH']}"}
        for name in ("stubs", "bin", "systemd"):
            os.mkdir(os.path.join(folder, name))
        os.symlink("bin", os.path.join(folder, "sbin"))
        shutil.copy(daemons.holdfastd(), os.path.join(folder, "bin"))
        with open(UPKEEP, encoding="utf-8") as source:
            text = source.read()
        for there, here in (("/usr/sbin", "sbin"), ("/run/holdfast", "holdfast"),
                            ("/run/systemd/system", "systemd"), ("/etc/systemd", "etc")):
            assert there in text
            text = text.replace(there, os.path.join(folder, here))
        self.script("upkeep", text)
        self.script("stubs/systemctl", SYSTEMCTL.format(folder=folder))
        self.script("stubs/holdfast", HOLDFAST)
        nursery.at_end(self.end)

    def script(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as out:
            out.write(text)
        os.chmod(path, 0o755)

    def start(self, *words):
        subprocess.run([f"{self.folder}/sbin/holdfastd", "-d", *words], check=True, env=self.env,
                       stdin=subprocess.DEVNULL, timeout=PATIENCE)
        return daemons.read_pid(self.pid_file)

    @property
    def pid_file(self):
        return os.path.join(self.folder, "holdfast", "holdfastd.pid")

    def lock(self, path, name):
        self.nursery.spawn([RUN, "holdfast", "lock", f"--name={name}", path, "--", "sleep", "600"],
                           env=self.env, stdin=subprocess.DEVNULL)
        until(lambda: path in self.ps(), "the disk is locked", PATIENCE)

    def ps(self):
        return subprocess.run([RUN, "holdfast", "ps"], check=False, env=self.env, text=True,
                              capture_output=True, stdin=subprocess.DEVNULL,
                              timeout=PATIENCE).stdout

    def upkeep(self, word):
        return subprocess.run(["sh", f"{self.folder}/upkeep", word, "holdfastd"], check=False,
                              env=self.env, capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=PATIENCE)

    def asked(self):
        with open(self.asked_file, encoding="utf-8") as text:
            return text.read()

    def is_left(self, pid, done):
        assert done.returncode == 0 and "left running" in done.stderr, done
        assert "stop" not in self.asked() and is_there(pid)

    def end(self):
        for name in os.listdir("/proc"):
            try:
                if name.isdigit() and os.readlink(f"/proc/{name}/exe").startswith(self.folder):
                    kill_family(int(name))
            except OSError:
                continue


@pytest.fixture
def host(nursery, folder):
    return Host(nursery, os.path.realpath(folder))


def test_a_daemon_that_a_vm_needs_is_left_and_named_where_sbin_is_a_link(host, disk):
    pid = host.start()
    assert host.upkeep("runs").returncode == 0
    host.lock(disk(), "web0")
    done = host.upkeep("removed")
    host.is_left(pid, done)
    assert "\n  web0 " in done.stderr


def test_a_vm_whose_name_begins_with_a_blank_needs_its_daemon_as_well(host, disk):
    pid = host.start()
    host.lock(disk(), " web0")
    host.is_left(pid, host.upkeep("removed"))


def test_a_daemon_with_a_pid_file_elsewhere_is_found_by_systemd(host, disk):
    pid = host.start()
    host.lock(disk(), "web0")
    os.rename(host.pid_file, os.path.join(host.folder, "main"))
    host.is_left(pid, host.upkeep("removed"))


def test_a_daemon_that_nobody_needs_ends(host):
    pid = host.start()
    done = host.upkeep("removed")
    assert done.returncode == 0 and not done.stderr, done
    assert not is_there(pid)
    assert "stop holdfastd.socket holdfastd-ro.socket holdfastd.service" in host.asked()
    assert host.upkeep("runs").returncode == 1
