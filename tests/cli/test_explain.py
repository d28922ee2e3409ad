# SPDX-License-Identifier: LGPL-2.1-or-later
"""explain: who has a disk, from all that can be known, and the one safe next step."""

import fcntl
import os
import signal

import pytest

from hftest.command import qemu, running, start_plain_qemu
from hftest.competitor import flock
from hftest.processes import until


def explain(cli, path):
    return cli.json("explain", path)


def test_a_free_disk_may_be_had(cli, disk):
    told = explain(cli, disk())
    assert (told["situation"], told["free"], told["holds"]) == ("free", True, [])


def test_a_held_disk_names_vm_process_connection_and_the_next_step(cli, disk):
    path = disk()
    cli.hold("web0", f"--disk={path}")
    told = explain(cli, path)
    assert (told["situation"], told["free"]) == ("held", False)
    hold, = told["holds"]
    assert hold["name"] == "web0" and hold["state"] == "running"
    assert [carrier["pid"] for carrier in hold["carriers"]] == [hold["pid"]]
    assert told["locks"]["daemons"] and "web0" in told["verdict"] and "shut" in told["next"]


def test_a_carried_disk_names_the_process_that_goes_on(cli, disk, folder):
    path, pidfile = disk(), os.path.join(folder, "pid")
    cli("run", "--name=web0", "--", *qemu("-daemonize", "-pidfile", pidfile, "-drive",
                                          f"file={path},format=raw,if=none,id=d"))
    pid = running(cli.nursery, pidfile)
    told = until(lambda: (lambda t: t["situation"] == "carried" and t)(explain(cli, path)),
                 "the first process has ended")
    assert f"pid {pid}" in told["next"]


def test_a_plain_qemu_is_named_with_what_its_own_locks_say(cli, disk, folder):
    path = disk()
    pid = start_plain_qemu(cli.nursery, folder, path)
    told = explain(cli, path)
    assert told["situation"] == "process" and f"pid {pid}" in told["verdict"]
    assert not told["locks"]["daemons"]
    assert {"consistent-read", "write"} <= set(told["locks"]["qemu_uses"])
    assert "write" in told["locks"]["qemu_forbids"]


def test_another_lock_daemon_is_told_from_a_vm(cli, virtlockd, nursery, disk):
    path, stock = disk(), virtlockd()
    connection = stock.connect_as(nursery.vm("stock").owner)
    assert connection.acquire(path).ok
    told = explain(cli, path)
    assert told["situation"] == "lock-daemon" and f"pid {stock.pid}" in told["verdict"]


def test_a_vm_that_is_being_ended_is_waited_for(cli, daemon, nursery, disk):
    path, vm = disk(), nursery.vm("stubborn")
    vm.ignore(signal.SIGTERM)
    connection = vm.own_connection(daemon)
    assert connection.acquire(path).ok
    connection.close()
    told = until(lambda: (lambda t: t["situation"] == "ending" and t)(explain(cli, path)),
                 "its end has begun")
    assert "Wait" in told["next"]


def test_explaining_takes_no_lock_at_any_moment(cli, disk):
    path = disk()
    child = cli.start("explain", path, stdout=-1, prefix=["strace", "-f", "-qq", "-e", "fcntl",
                                                          "-o", os.path.join(cli.folder, "calls")])
    assert child.wait(30) == 0
    with open(os.path.join(cli.folder, "calls"), encoding="ascii", errors="replace") as calls:
        text = calls.read()
    assert "F_OFD_GETLK" in text and "SETLK" not in text
    with open(path, "r+b") as file:
        fcntl.fcntl(file, fcntl.F_SETLK, flock(fcntl.F_WRLCK))
        assert explain(cli, path)["locks"]["daemons"]


def test_nothing_at_all_is_66_and_no_guess(cli):
    answer = cli("explain", "gone.img")
    assert answer.returncode == 66 and answer.stdout == ""


def test_what_is_gone_but_held_is_explained(cli, disk):
    path = disk()
    cli.hold("web0", f"--disk={path}")
    os.unlink(path)
    told = explain(cli, path)
    assert told["situation"] == "held" and told["file"]["problem"]


def test_without_a_daemon_it_says_what_that_leaves_unknown(lonely, disk):
    told = explain(lonely, disk())
    assert told["situation"] == "free" and "without the lock daemon" in told["verdict"]
    assert told["daemon"]["problem"]


@pytest.mark.parametrize("words", [[], ["a", "b"]])
def test_it_explains_one_disk(cli, words):
    assert cli("explain", *words).returncode == 64


def test_the_text_ends_with_the_verdict_and_the_next_step(cli, disk):
    path = disk()
    cli.hold("web0", f"--disk={path}")
    told = explain(cli, path)
    assert cli("explain", path).stdout.splitlines()[-2:] == [told["verdict"], told["next"]]
