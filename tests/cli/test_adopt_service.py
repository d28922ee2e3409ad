# SPDX-License-Identifier: LGPL-2.1-or-later
"""What holdfast adopt has systemd start next. A stand-in for systemctl writes down its words; with
a real systemd it is tests/lab/test_switching.py."""

import os
import shutil
import subprocess

import pytest

from hftest import daemons
from hftest.adoption import HELD, OK, SYSTEM, Host, crippled
from hftest.command import Cli

SHIPPED = os.path.join(daemons.BUILD, "data", "units", "virtlockd.service.d.conf")
SYSTEMCTL = """\
#!/bin/sh
echo "$*" >>{log}
[ "$1" != is-enabled ] || exit {enabled}
"""


class Service:
    """A host that believes to run under systemd; its units are a folder of the test."""

    def __init__(self, cli, folder, enabled=False):
        self.log = os.path.join(folder, "systemctl.log")
        self.units = os.path.join(folder, "units")
        self.dropin = os.path.join(self.units, "virtlockd.service.d", "holdfast.conf")
        data, tools = os.path.join(folder, "data"), os.path.join(folder, "tools")
        shipped = os.path.join(data, "systemd", "virtlockd.service.d")
        for path in (self.units, tools, shipped):
            os.makedirs(path)
        shutil.copy(SHIPPED, os.path.join(shipped, "holdfast.conf"))
        program = os.path.join(tools, "systemctl")
        with open(program, "w", encoding="ascii") as out:
            out.write(SYSTEMCTL.format(log=self.log, enabled=int(not enabled)))
        os.chmod(program, 0o755)
        cli.env["HOLDFAST_DATA_DIR"] = data
        cli.env["PATH"] = f"{tools}:{cli.env['PATH']}"

    def enter(self, run):
        run("mkdir", "-p", "/run/systemd/system")
        run("mount", "--bind", self.units, "/etc/systemd/system")

    def words(self):
        """What systemctl was told since the last time."""
        if not os.path.exists(self.log):
            return []
        with open(self.log, encoding="ascii") as text:
            words = text.read().splitlines()
        os.unlink(self.log)
        return words

    def is_ours(self):
        """Whether the drop-in is there, as it was shipped."""
        if not os.path.exists(self.dropin):
            return False
        with open(self.dropin, encoding="utf-8") as one, open(SHIPPED, encoding="utf-8") as other:
            assert one.read() == other.read()
        return True


@pytest.fixture
def host(nursery, folder, virtlockd):
    if os.geteuid() != 0:
        pytest.skip("needs root, whose virtlockd it is")
    return Host(nursery, folder, virtlockd)


@pytest.fixture
def service(host, folder):
    made = Service(host.cli, folder)
    made.enter(host.run)
    return made


def test_the_next_start_is_holdfastds_and_after_the_way_back_virtlockds(host, service, disk):
    host.vm("web0", disk())
    assert host.adopt("--dry-run").returncode == OK
    assert not service.is_ours() and service.words() == []
    assert host.adopt().returncode == OK
    assert service.is_ours() and service.words() == ["daemon-reload"]
    assert host.adopt("--back", "--dry-run").returncode == OK
    assert service.is_ours() and service.words() == []
    assert host.adopt("--back").returncode == OK
    assert os.listdir(service.units) == []
    assert service.words() == ["daemon-reload", "is-enabled --quiet holdfastd.socket"]


def test_a_failure_takes_the_drop_in_away_again(host, service, disk, folder):
    host.vm("web0", disk())
    assert host.adopt(env=crippled(folder)).returncode == SYSTEM
    assert os.listdir(service.units) == []
    assert service.words()[:2] == ["daemon-reload", "daemon-reload"]


def test_a_refusal_leaves_the_service_alone(host, service):
    child = host.nursery.vm("monitor")
    child.connect(host.stock.socket)
    assert host.adopt().returncode == HELD
    assert os.listdir(service.units) == [] and service.words() == []


def test_another_drop_in_of_the_administrators_stays(host, service, disk):
    host.vm("web0", disk())
    other = os.path.join(os.path.dirname(service.dropin), "limits.conf")
    os.makedirs(os.path.dirname(other))
    with open(other, "w", encoding="ascii") as out:
        out.write("[Service]\nLimitNOFILE=4096\n")
    for words in ([], ["--back"]):
        assert host.adopt(*words).returncode == OK
    assert os.listdir(os.path.dirname(other)) == ["limits.conf"]


def test_without_what_is_shipped_it_does_not_begin(host, service):
    answer = host.adopt(env={"HOLDFAST_DATA_DIR": "/no/such/folder"})
    assert answer.returncode == HELD and "is Holdfast installed?" in answer.stderr
    assert os.listdir(service.units) == [] and service.words() == []


def test_where_nobody_serves_only_the_next_start_is_set(nursery, folder):
    if os.geteuid() != 0:
        pytest.skip("needs root, whose service it is")
    holder = nursery.spawn(["unshare", "-m", "--propagation", "private", "sh", "-c",
                            "mount -t tmpfs none /run && echo up && exec sleep 600"],
                           stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "up\n"
    enter = ["nsenter", "-m", "-t", str(holder.pid), "--"]
    cli = Cli(nursery, folder, "")
    del cli.env["HOLDFAST_RUN_DIR"]
    service = Service(cli, folder, enabled=True)
    service.enter(lambda *argv: subprocess.run([*enter, *argv], check=True, timeout=30))
    for words, ours, told in (
            (["--dry-run"], False, []),
            ([], True, ["daemon-reload"]),
            ([], True, []),
            (["--back"], False, ["daemon-reload", "is-enabled --quiet holdfastd.socket",
                                 "start holdfastd.socket holdfastd-ro.socket"])):
        answer = cli("adopt", *words, prefix=enter)
        assert answer.returncode == OK and "No lock daemon runs." in answer.stdout, answer
        assert service.is_ours() == ours and service.words() == told
