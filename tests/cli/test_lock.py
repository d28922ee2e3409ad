# SPDX-License-Identifier: LGPL-2.1-or-later
"""holdfast lock: any command with disks locked, as flock(1) does it."""

import os
import signal
import subprocess

import pytest

from hftest.command import Cli, qemu, read_pid, running, start_plain_qemu
from hftest.processes import until

UP = ["sh", "-c", "echo up; exec sleep 600"]


@pytest.fixture
def lock(cli):
    """Starts a command with a lock; returns when it runs."""
    def start(*words, command=(), **how):
        child = cli.start("lock", *words, "--", *(command or UP), stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, **how)
        line = child.stdout.readline()
        assert line == "up\n", (line, child.communicate(timeout=10))
        return child
    return start


def tries(cli, *words):
    return cli(*words, "--", "true").returncode


@pytest.mark.parametrize("close", [[], ["--close"]])
def test_it_ends_as_its_command_ends(cli, disk, close):
    path = disk()
    assert cli("lock", *close, path, "--", "true").returncode == 0
    assert cli("lock", *close, path, "--", "sh", "-c", "exit 7").returncode == 7
    assert cli("lock", *close, path, "--", "sh", "-c", "echo out; cat").stdout == "out\n"
    killed = cli("lock", *close, path, "--", "sh", "-c", "kill -TERM $$").returncode
    assert killed == (128 + signal.SIGTERM if close else -signal.SIGTERM)
    assert tries(cli, "lock", path) == 0


def test_what_follows_the_dashes_is_the_commands_alone(cli, disk):
    path = disk()
    said = cli("lock", path, "--close", "--", "sh", "-c", "echo $#", "x", "--", "-w", "--shared")
    assert said.stdout == "3\n"


def test_writers_keep_each_other_and_readers_out_by_any_name(cli, disk, folder, lock):
    path, other = disk(), os.path.join(folder, "other.img")
    os.link(path, other)
    lock(path)
    for words in (["lock", other], ["lock", "--shared", path], ["run", f"--disk={path}:ro"],
                  ["run", f"--disk={other}"]):
        answer = cli(*words, "--", "true")
        assert answer.returncode == 75
        assert "is held by sh (pid " in answer.stderr and "holdfast lock" in answer.stderr


def test_readers_share_with_each_other_and_with_vms_and_keep_writers_out(cli, disk, lock):
    path = disk()
    lock("--shared", path)
    assert tries(cli, "lock", "-s", path) == tries(cli, "run", f"--disk={path}:ro") == 0
    assert tries(cli, "lock", path) == tries(cli, "run", f"--disk={path}") == 75


def test_a_vm_that_writes_keeps_readers_out(cli, disk):
    path = disk()
    cli.hold("web0", f"--disk={path}")
    answer = cli("lock", "--shared", path, "--", "true")
    assert answer.returncode == 75 and "web0" in answer.stderr


def test_several_disks_are_locked_all_or_none(cli, disk, lock):
    free, busy = disk("free.img"), disk("busy.img")
    child = lock(busy)
    assert tries(cli, "lock", free, busy) == 75
    assert tries(cli, "lock", free) == 0
    child.kill()
    child.wait(10)
    until(lambda: not cli.holders(busy), "the lock goes with the command")
    lock(free, busy)
    assert tries(cli, "lock", free) == tries(cli, "lock", busy) == 75


def test_who_and_ps_name_the_command_as_a_client(cli, disk, lock):
    path = disk()
    child = lock("--shared", path)
    [holder] = cli.holders(path)
    assert (holder["kind"], holder["name"], holder["pid"]) == ("client", "sh", child.pid)
    assert (holder["state"], holder["via"], holder["mode"]) == ("client", "holdfast lock", "shared")
    client = cli.vms()["sh"]
    assert client["client"] and client["status"] == "client"
    assert [held["name"] for held in client["locks"]] == [path]
    lock("--shared", "--name=backup", path)
    assert {held["name"] for held in cli.holders(path)} == {"sh", "backup"}


LEAVES = ["sh", "-c", "sleep 600 & echo $! > left; echo up; read line; exit 3"]


@pytest.mark.parametrize("close", [False, True])
def test_what_the_command_leaves_running_keeps_the_lock_unless_it_is_told_not_to(
        cli, disk, folder, nursery, lock, close):
    path = disk()
    child = lock(*(["--close"] if close else []), path, command=LEAVES, stdin=subprocess.PIPE)
    left = nursery.adopt(read_pid(os.path.join(folder, "left")))
    child.stdin.write("\n")
    child.stdin.flush()
    assert child.wait(10) == 3
    if close:
        until(lambda: tries(cli, "lock", path) == 0, "the lock ended with the command")
    else:
        assert tries(cli, "lock", path) == 75
        os.kill(left, signal.SIGKILL)
        until(lambda: tries(cli, "lock", path) == 0, "the lock ended with the last one")


def test_a_command_that_closes_the_connection_gives_back_and_lives(cli, disk, lock):
    path = disk()
    closes = "import os, time; os.closerange(3, 100); print('up', flush=True); time.sleep(600)"
    child = lock(path, command=["python3", "-c", closes])
    until(lambda: tries(cli, "lock", path) == 0, "the lock was given back")
    assert child.poll() is None


def test_beside_a_command_signals_are_passed_on(lock, disk):
    traps = "trap 'echo got; exit 5' USR1; echo up; while :; do sleep 0.01; done"
    child = lock("--close", disk(), command=["sh", "-c", traps])
    child.send_signal(signal.SIGUSR1)
    assert child.stdout.readline() == "got\n"
    assert child.wait(10) == 5


@pytest.mark.parametrize("words, status, said", [
    (["disk.img", "true"], 64, "Put it behind"),
    (["disk.img", "--"], 64, "Put it behind"),
    (["--", "true"], 64, "which disks"),
    (["--wait=soon", "disk.img", "--", "true"], 64, "--wait takes seconds"),
    (["--wait=-1", "disk.img", "--", "true"], 64, "--wait takes seconds"),
    (["--wait=nan", "disk.img", "--", "true"], 64, "--wait takes seconds"),
    (["--sharde", "disk.img", "--", "true"], 64, "unknown option"),
    (["", "--", "true"], 64, "empty"),
    (["missing.img", "--", "true"], 66, "there is no image"),
    ([".", "--", "true"], 66, "neither a file nor a block device"),
    (["loop", "--", "true"], 66, "symbolic links"),
    (["disk.img", "--", "no-such-command"], 127, "no-such-command"),
    (["disk.img", "--", "./disk.img"], 126, "disk.img"),
    (["--driver=none", "disk.img", "--", "true"], 78, "none"),
])
def test_bad_use_is_one_line_and_a_status_of_its_own(cli, disk, folder, words, status, said):
    disk()
    os.symlink("loop", os.path.join(folder, "loop"))
    answer = cli("lock", *words)
    assert answer.returncode == status, answer.stderr
    assert said in answer.stderr and answer.stderr.count("\n") == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody who may not write")
def test_who_may_not_write_a_disk_may_not_keep_others_from_it(cli, disk, holdfastd, nursery, folder):
    path = disk()
    os.chmod(path, 0o644)
    user = Cli(nursery, folder, holdfastd("u", uid=65534).run_dir)
    prefix = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"]
    assert user("lock", path, "--", "true", prefix=prefix).returncode == 77
    assert user("lock", "--shared", path, "--", "true", prefix=prefix).returncode == 0


def test_without_a_daemon_it_is_69(lonely, disk):
    answer = lonely("lock", disk(), "--", "true")
    assert answer.returncode == 69 and answer.stderr.count("\n") == 1


def test_a_stock_daemon_which_knows_vms_only_is_refused(nursery, folder, virtlockd, disk):
    stock = Cli(nursery, folder, virtlockd().run_dir)
    answer = stock("lock", disk(), "--", "true")
    assert answer.returncode == 78
    assert "libvirt's virtlockd, which knows VMs only" in answer.stderr


def test_the_driver_nop_locks_nothing(cli, disk, lock):
    path = disk()
    lock(path)
    assert tries(cli, "lock", "--driver=nop", path) == 0


def test_a_qemu_that_never_asked_is_named(cli, disk, folder, nursery):
    path = disk()
    os.truncate(path, 1 << 20)
    pid = start_plain_qemu(nursery, folder, path)
    for words in (["lock", path], ["lock", "--shared", path]):
        answer = cli(*words, "--", "true")
        assert answer.returncode == 75
        assert f"pid {pid}, by locks of its own" in answer.stderr


def test_a_qemu_that_only_reads_lets_readers_in(cli, disk, folder, nursery):
    path, pidfile = disk(), os.path.join(folder, "reads.pid")
    os.truncate(path, 1 << 20)
    nursery.spawn(qemu("-pidfile", pidfile, "-drive",
                       f"file={path},format=raw,if=virtio,readonly=on"))
    running(nursery, pidfile)
    assert tries(cli, "lock", "--shared", path) == 0
    assert tries(cli, "lock", path) == 75
