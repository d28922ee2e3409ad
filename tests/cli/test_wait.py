# SPDX-License-Identifier: LGPL-2.1-or-later
"""--wait: in line for what others hold, and what is told meanwhile."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

import pytest

from hftest.command import Cli, need, start_plain_qemu
from hftest.processes import until

UP = ["sh", "-c", "echo up; exec sleep 600"]


def waiters(cli):
    return cli.json("ps")["waiters"]


def in_line(cli, n):
    until(lambda: len({waiter["ticket"] for waiter in waiters(cli)}) == n, f"{n} wait in line")


@pytest.fixture
def waiting(cli):
    """Starts a VM, or a command, that has to wait; returns when it does."""
    def start(*words, command=UP, **how):
        before = len({waiter["ticket"] for waiter in waiters(cli)})
        how = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **how}
        child = cli.start(*words, "--", *command, **how)
        in_line(cli, before + 1)
        return child
    return start


def finish(child):
    child.terminate()
    child.wait(10)


@pytest.mark.parametrize("words", [["run", "--name=web1", "--wait", "--disk=disk.img"],
                                   ["lock", "--name=web1", "-w", "disk.img"]])
def test_it_starts_when_the_holder_has_ended(cli, disk, waiting, words):
    path = disk()
    holder = cli.hold("web0", f"--disk={path}")
    pid = cli.vms()["web0"]["pid"]
    child = waiting(*words)
    finish(holder)
    assert child.stdout.readline() == "up\n"
    assert [held["name"] for held in cli.holders(path)] == ["web1"]
    finish(child)
    said = child.stderr.read()
    assert re.fullmatch(rf"holdfast: waiting for disk.img, held by web0 \(pid {pid}, host [^,]+, "
                        r"since [0-9:]+, holdfast run\); 1st in line\n", said), said


@pytest.mark.parametrize("words", [["run", "--wait=0.2", "--disk=disk.img"],
                                   ["lock", "--wait=0.2", "disk.img"], ["lock", "-w.2", "disk.img"]])
def test_time_that_is_up_is_75_and_names_the_holder(cli, disk, words):
    cli.hold("web0", f"--disk={disk()}")
    answer = cli(*words, "--", "true")
    assert answer.returncode == 75
    first, last = answer.stderr.splitlines()
    assert first.startswith("holdfast: waiting for disk.img, held by web0 (pid ")
    assert last.startswith("holdfast: disk.img is still held by web0 (pid ")
    assert re.search(r"\), after 0\.\d s in line\. Stop it", last)


@pytest.mark.parametrize("words", [["--wait=0"], []])
def test_who_does_not_wait_is_refused_at_once(cli, disk, words):
    cli.hold("web0", f"--disk={disk()}")
    answer = cli("run", *words, "--disk=disk.img", "--", "true")
    assert answer.returncode == 75 and answer.stderr.count("\n") == 1


def test_what_is_free_is_not_waited_for(cli, disk):
    answer = cli("run", "--wait", f"--disk={disk()}", "--", "true")
    assert (answer.returncode, answer.stderr) == (0, "")


def test_nothing_is_held_while_it_waits(cli, disk, waiting):
    busy, free = disk("busy.img"), disk("free.img")
    cli.hold("web0", f"--disk={busy}")
    waiting("run", "--wait", "--name=web1", f"--disk={free}", f"--disk={busy}")
    assert cli("run", f"--disk={free}", "--", "true").returncode == 0


def test_the_line_is_served_in_order_and_told_of_by_who_and_ps(cli, disk, waiting):
    path = disk()
    holder = cli.hold("web0", f"--disk={path}")
    first = waiting("run", "--wait", "--name=first", f"--disk={path}")
    second = waiting("lock", "--wait=500", "--name=second", "--shared", path)
    document = cli.json("who", path)
    assert [held["name"] for held in document["holders"]] == ["web0"]
    told = [(w["name"], w["position"], w["state"], w["mode"], w["until"] is None, w["wants"])
            for w in document["waiters"]]
    assert told == [("first", 1, "waiting (1st in line)", "exclusive", True, path),
                    ("second", 2, "waiting (2nd in line)", "shared", False, path)]
    rows = cli("who", path).stdout.splitlines()
    assert [row.split()[0] for row in rows] == ["HOLDER", "web0", "first", "second"]
    assert "waiting (2nd in line)" in rows[3]
    assert [w["name"] for w in waiters(cli)] == ["first", "second"]
    assert "waiting (1st in line)" in cli("ps").stdout
    assert "Waited for by  first" in cli("explain", path).stdout
    finish(holder)
    assert first.stdout.readline() == "up\n"
    assert cli.holders(path)[0]["name"] == "first"
    finish(first)
    assert second.stdout.readline() == "up\n"
    said = second.stderr
    finish(second)
    lines = said.read().splitlines()
    assert "held by web0" in lines[0] and "2nd in line" in lines[0]
    assert any("held by first" in line for line in lines[1:]) or len(lines) == 1


def test_a_reader_waits_for_a_writer_and_a_writer_for_all_readers(cli, disk, waiting):
    path = disk()
    readers = [cli.hold(name, f"--disk={path}:ro") for name in ("r1", "r2")]
    writer = waiting("lock", "--wait", "--name=writer", path)
    # Behind a writer that waits readers do too, or it would never be served.
    late = waiting("lock", "--wait", "--shared", "--name=late", path)
    finish(readers[0])
    assert writer.poll() is None and cli.holders(path)[0]["name"] == "r2"
    finish(readers[1])
    assert writer.stdout.readline() == "up\n"
    finish(writer)
    assert late.stdout.readline() == "up\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("words", [["lock", "--wait"], ["lock", "--close", "--wait"]])
def test_a_waiter_that_is_ended_leaves_the_line_at_once(cli, disk, waiting, words, number):
    path = disk()
    holder = cli.hold("web0", f"--disk={path}")
    child = waiting(*words, path)
    child.send_signal(number)
    assert child.wait(10) == -number
    in_line(cli, 0)
    finish(holder)
    assert cli("lock", path, "--", "true").returncode == 0


def test_nobody_stands_in_line_for_a_run_that_is_gone(cli, disk, waiting, nursery):
    path = disk()
    holder = cli.hold("web0", f"--disk={path}")
    gone = waiting("run", "--wait", "--name=gone", f"--disk={path}")
    gone.kill()
    in_line(cli, 0)
    # But a VM goes on, also one that has waited.
    child = waiting("run", "--wait", "--name=web1", f"--disk={path}")
    finish(holder)
    assert child.stdout.readline() == "up\n"
    nursery.adopt(cli.vms()["web1"]["pid"])
    child.kill()
    child.wait(10)
    assert cli.holders(path)[0]["name"] == "web1"


def read_terminal(master, condition, timeout=10):
    """What is written to the terminal until the condition is met by all of it."""
    said, end = "", time.monotonic() + timeout
    while not condition(said):
        left = end - time.monotonic()
        assert left > 0 and select.select([master], [], [], left)[0], repr(said)
        said += os.read(master, 65536).decode()
    return said


@pytest.fixture
def terminal():
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
    yield master, slave
    os.close(master)
    os.close(slave)


def test_on_a_terminal_one_line_is_rewritten_and_gone_at_the_end(cli, disk, waiting, terminal):
    path = disk()
    master, slave = terminal
    holder = cli.hold("web0", f"--disk={path}")
    first = waiting("run", "--wait", "--name=first", f"--disk={path}")
    child = waiting("run", "--wait", "--name=web1", f"--disk={path}", stderr=slave)
    said = read_terminal(master, lambda text: "held by web0" in text)
    finish(holder)
    assert first.stdout.readline() == "up\n"
    said += read_terminal(master, lambda text: "held by first" in text)
    finish(first)
    assert child.stdout.readline() == "up\n"
    said += read_terminal(master, lambda text: text.endswith("\r\x1b[K"))
    assert "\n" not in said
    for line in said.split("\r\x1b[K"):
        assert len(line) < 60


def test_the_keyboard_ends_a_run_that_waits(cli, disk, waiting, terminal):
    path = disk()
    master, slave = terminal
    cli.hold("web0", f"--disk={path}")
    child = waiting("run", "--wait", f"--disk={path}", stdin=slave, stderr=slave,
                    prefix=["setsid", "--ctty", "--wait"])
    os.write(master, b"\x03")
    assert child.wait(10) == 128 + signal.SIGINT
    in_line(cli, 0)


def test_a_vm_that_runs_on_after_the_wait_keeps_its_duplicates(cli, disk, waiting):
    """They come with what is asked for behind the set."""
    path = disk()
    holder = cli.hold("web0", f"--disk={path}")
    child = waiting("run", "--wait", "--name=web1", f"--disk={path}")
    finish(holder)
    assert child.stdout.readline() == "up\n"
    pid = cli.vms()["web1"]["pid"]
    links = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
    assert links.count(path) == 1


def test_a_qemu_that_never_asked_is_not_waited_for(cli, disk, folder, nursery):
    path = disk()
    os.truncate(path, 1 << 20)
    pid = start_plain_qemu(nursery, folder, path)
    answer = cli("run", "--wait", f"--disk={path}", "--", "true")
    assert answer.returncode == 75 and f"pid {pid}" in answer.stderr


def test_a_stock_daemon_lets_start_what_is_free_and_says_that_it_cannot_wait(
        nursery, folder, virtlockd, disk):
    path, daemon = disk(), virtlockd()
    stock = Cli(nursery, folder, daemon.run_dir)
    child = stock.start("run", "--wait", f"--disk={path}", "--", *UP, stdout=subprocess.PIPE)
    assert child.stdout.readline() == "up\n"
    answer = stock("run", "--wait=5", f"--disk={path}", "--", "true")
    assert answer.returncode == 78
    assert "cannot be waited for" in answer.stderr and "libvirt's virtlockd" in answer.stderr


def test_who_waits_keeps_the_place_when_the_server_is_killed(cli, disk, waiting, daemon):
    path = disk()
    holder = cli.hold("web0", f"--disk={path}")
    first = waiting("run", "--wait", "--name=first", f"--disk={path}")
    second = waiting("run", "--wait", "--name=second", f"--disk={path}")
    server = daemon.server_pid
    os.kill(server, signal.SIGKILL)
    until(lambda: daemon.server_pid not in (None, server), "there is another server")
    assert [w["name"] for w in waiters(cli)] == ["first", "second"]
    finish(holder)
    assert first.stdout.readline() == "up\n"
    assert second.poll() is None
    finish(first)
    assert second.stdout.readline() == "up\n"


def test_a_disk_that_was_replaced_while_it_waited_is_one_error(cli, disk, waiting):
    path = disk()
    holder = cli.hold("web0", f"--disk={path}")
    child = waiting("run", "--wait", "--name=web1", f"--disk={disk('free.img')}", f"--disk={path}")
    os.rename(disk("new.img"), path)
    finish(holder)
    assert child.wait(10) == 66
    said = child.stderr.read().splitlines()
    assert len(said) == 2 and path in said[1], said
    assert cli("run", f"--disk={path}", f"--disk={disk('free.img')}", "--", "true").returncode == 0


def test_a_disk_that_is_gone_when_its_turn_comes_is_one_error(cli, disk, waiting):
    path = disk()
    holder = cli.hold("web0", f"--disk={path}")
    child = waiting("run", "--wait", "--name=web1", f"--disk={path}")
    os.unlink(path)
    finish(holder)
    assert child.wait(10) == 66
    assert len(child.stderr.read().splitlines()) == 2


def test_a_backing_file_that_came_while_it_waited_is_not_left_unlocked(cli, disk, waiting, folder):
    def create(*words):
        subprocess.run([need("qemu-img"), "create", "-q", "-f", "qcow2", *words], check=True,
                       cwd=folder)
    path = os.path.join(folder, "top.qcow2")
    create(path, "1M")
    holder = cli.hold("web0", f"--disk={path}")
    child = waiting("run", "--wait", "--name=web1", command=["true", "-hda", path])
    create(os.path.join(folder, "base.qcow2"), "1M")
    subprocess.run([need("qemu-img"), "rebase", "-u", "-U", "-b", "base.qcow2", "-F", "qcow2",
                    path], check=True, cwd=folder)
    finish(holder)
    assert child.wait(10) == 75
    assert "the images of web1 have changed while it waited" in child.stderr.read()
    assert cli("run", "--", "true", "-hda", path).returncode == 0


def test_the_disk_of_another_daemon_is_waited_for_too(cli, disk, waiting, nursery, folder, holdfastd):
    path = disk()
    other = Cli(nursery, folder, holdfastd("other").run_dir)
    holder = other.hold("web0", f"--disk={path}")
    child = waiting("run", "--wait", "--name=web1", f"--disk={path}")
    finish(holder)
    assert child.stdout.readline() == "up\n"
    finish(child)
    [said] = child.stderr.read().splitlines()
    assert said.startswith("holdfast: waiting for disk.img") and said.endswith("; 1st in line")
    assert "held by" in said
