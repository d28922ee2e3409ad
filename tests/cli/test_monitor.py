# SPDX-License-Identifier: LGPL-2.1-or-later
"""The monitor that `run` gives QEMU, and what it says of lost locks."""

import json
import os
import signal
import socket

import pytest

from hftest.command import end, need, qemu, read_pid, running
from hftest.processes import is_there, until


@pytest.fixture
def image(folder):
    path = os.path.join(folder, "disk.img")
    with open(path, "wb") as out:
        out.truncate(1 << 20)
    return path


@pytest.fixture
def start(cli, folder, image):
    """Starts a QEMU on the image; gives the child and QEMU's pid."""
    def start(*options, words=()):
        pidfile = os.path.join(folder, "vm.pid")
        vmm = qemu("-drive", f"file={image},format=raw,if=none,id=d", "-pidfile", pidfile, *words)
        child = cli.start("run", *options, "--", *vmm)
        return child, running(cli.nursery, pidfile)
    return start


@pytest.fixture
def monitors(daemon):
    path = os.path.join(daemon.run_dir, "holdfast", "monitors")
    return lambda: sorted(os.listdir(path)) if os.path.isdir(path) else []


def ask(path, *commands):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        stream = connection.makefile("rw")
        assert "QMP" in json.loads(stream.readline())
        answers = []
        for command in ("qmp_capabilities", *commands):
            stream.write(json.dumps({"execute": command}) + "\n")
            stream.flush()
            answers.append(json.loads(stream.readline())["return"])
        return answers[1:]


def test_qemu_gets_a_monitor_beside_its_own_and_nothing_stays_of_it(start, monitors, daemon):
    child, pid = start(words=["-monitor", "null"])
    name, = [name for name in monitors() if name.endswith(".qmp")]
    folder = os.path.join(daemon.run_dir, "holdfast", "monitors")
    assert os.stat(folder).st_mode & 0o777 == 0o700
    (status, devices) = ask(os.path.join(folder, name), "query-status", "query-chardev")
    assert status["status"] == "prelaunch"
    assert {"holdfast", "compat_monitor0"} <= {device["label"] for device in devices}
    os.kill(pid, signal.SIGTERM)
    assert child.wait(30) == 0
    assert monitors() == []


def test_a_killed_qemu_leaves_nothing_either(start, monitors):
    child, pid = start()
    assert monitors()
    os.kill(pid, signal.SIGKILL)
    assert child.wait(30) == 128 + signal.SIGKILL
    assert monitors() == []


def test_its_default_monitor_stays_where_it_is(cli, folder, image, monitors, daemon):
    pidfile = os.path.join(folder, "vm.pid")
    cli.start("run", "--", need("qemu-system-x86_64"), "-accel", "tcg", "-machine", "none",
              "-nographic", "-drive", f"file={image},format=raw,if=none,id=d",
              "-pidfile", pidfile, stdout=open(os.devnull, "wb"))
    running(cli.nursery, pidfile)
    path = os.path.join(daemon.run_dir, "holdfast", "monitors",
                        [name for name in monitors() if name.endswith(".qmp")][0])
    (devices,) = ask(path, "query-chardev")
    assert "compat_monitor0" in {device["label"] for device in devices}


def test_none_where_it_is_not_wanted(start, monitors):
    start("--no-monitor")
    assert monitors() == []


def test_none_for_a_vmm_that_is_not_qemu(cli, image, monitors):
    cli.hold("web1", f"--disk={image}")
    assert monitors() == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has other users to become")
def test_none_for_a_qemu_that_may_not_read_what_is_ours(cli, folder, monitors):
    """It would not start: the file behind -readconfig is closed to it."""
    theirs = os.path.join(folder, "theirs")
    os.mkdir(theirs)
    image, pidfile = os.path.join(theirs, "disk.img"), os.path.join(theirs, "vm.pid")
    with open(image, "wb") as out:
        out.truncate(1 << 20)
    for path in (theirs, image):
        os.chown(path, 65534, 65534)
    cli.start("run", "--", "nice", need("setpriv"), "--reuid=65534", "--regid=65534",
              "--clear-groups", *qemu("-drive", f"file={image},format=raw,if=none,id=d",
                                      "-pidfile", pidfile))
    running(cli.nursery, pidfile)
    assert monitors() == []


def test_one_for_a_qemu_behind_what_changes_nothing_for_it(cli, folder, image, monitors):
    pidfile = os.path.join(folder, "vm.pid")
    cli.start("run", "--", "env", "A=b", "nice", "-n", "5",
              *qemu("-drive", f"file={image},format=raw,if=none,id=d", "-pidfile", pidfile))
    running(cli.nursery, pidfile)
    assert monitors()


def test_a_vm_that_left_its_first_process_keeps_it(cli, folder, image, monitors):
    pidfile = os.path.join(folder, "vm.pid")
    answer = cli("run", "--", *qemu("-drive", f"file={image},format=raw,if=none,id=d",
                                   "-pidfile", pidfile, "-daemonize"))
    assert answer.returncode == 0, answer.stderr
    pid = cli.nursery.adopt(read_pid(pidfile))
    assert [name for name in monitors() if name.endswith(".qmp")]
    # Others that begin and end leave it alone while somebody listens there.
    cli("run", "--name=other", "--", "true")
    assert [name for name in monitors() if name.endswith(".qmp")]
    os.kill(pid, signal.SIGKILL)
    until(lambda: not is_there(pid), "QEMU's end")


def is_bound(name):
    with open("/proc/net/unix", encoding="utf-8", errors="replace") as table:
        return any(line.rstrip().endswith(name) for line in table)


def test_what_a_killed_run_left_is_removed_by_the_next_one(start, cli, folder, monitors):
    child, pid = start()
    child.kill()
    child.wait(30)
    left = monitors()
    assert left
    os.kill(pid, signal.SIGKILL)
    # Its last thread closes what the first one has left open.
    until(lambda: not is_there(pid) and not any(map(is_bound, left)), "QEMU's end")
    other = os.path.join(folder, "other.img")
    with open(other, "wb") as out:
        out.truncate(1 << 20)
    second = os.path.join(folder, "second.pid")
    again = cli.start("run", "--", *qemu("-drive", f"file={other},format=raw,if=none,id=d",
                                         "-pidfile", second))
    running(cli.nursery, second)
    assert not set(left) & set(monitors())
    end(again)


def test_what_is_to_become_of_a_vm_is_one_of_three_words(cli, image):
    for word in ("warn", "pause", "kill"):
        answer = cli("run", f"--on-lost={word}", f"--disk={image}", "--", "true")
        assert answer.returncode == 0, answer.stderr
    answer = cli("run", "--on-lost=panic", f"--disk={image}", "--", "true")
    assert answer.returncode == 64
    assert '"warn", "pause" or "kill"' in answer.stderr


def test_a_local_lock_has_no_lease_and_ps_says_so(cli, image):
    cli.hold("web1", f"--disk={image}")
    vm = cli.vms()["web1"]
    assert [lock["lease"] for lock in vm["locks"]] == ["none"]
    assert (vm["status"], vm["paused"]) == ("running", False)
