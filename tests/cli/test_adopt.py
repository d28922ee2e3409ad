# SPDX-License-Identifier: LGPL-2.1-or-later
"""holdfast adopt on a stock virtlockd in a mount namespace of its own."""

import fcntl
import json
import os
import signal
import subprocess

import pytest

from hftest import daemons, files
from hftest.adoption import (CONFIG, DENIED, HELD, MOUNTED, NO_DAEMON, OK, SYSTEM, USAGE, Host,
                             crippled)
from hftest.competitor import Competitor
from hftest.processes import children, state_of, until

@pytest.fixture
def host(nursery, folder, virtlockd):
    if os.geteuid() != 0:
        pytest.skip("needs root, whose virtlockd it is")
    return Host(nursery, folder, virtlockd)


def test_a_dry_run_tells_the_locks_and_the_steps_and_changes_nothing(host, disk):
    path = disk()
    host.vm("web0", path)
    answer = host.adopt("--dry-run")
    assert answer.returncode == OK, answer.stderr
    assert f"virtlockd, process {host.stock.pid}, locks: 1, connections: 1" in answer.stdout
    assert f"exclusive  {path}" in answer.stdout
    assert "SIGUSR1" in answer.stdout and "It can be done." in answer.stdout
    assert host.mounts() == [] and daemons.is_program(host.stock.pid, "virtlockd")


def test_two_at_once_do_not_get_in_each_others_way(host):
    there = os.open(f"/proc/{host.stock.pid}/root/run", os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(there, fcntl.LOCK_EX)
    answer = host.adopt()
    os.close(there)
    assert answer.returncode == HELD and "another 'holdfast adopt' is under way" in answer.stderr
    assert daemons.is_program(host.stock.pid, "virtlockd")


def test_json_has_the_same(host, disk):
    path = disk()
    host.vm("web0", path)
    status, plan = host.plan()
    assert status == OK and plan["schema"] == "holdfast.adopt" and plan["safe"]
    assert plan["daemon"]["pid"] == host.stock.pid and plan["daemon"]["program"] == "virtlockd"
    assert plan["locks"] == [{"path": path, "held": True, "mode": "exclusive"}]
    assert plan["findings"] == [] and len(plan["steps"]) == 5


def test_a_connection_of_an_unknown_program_stops_it_and_that_is_named(host):
    child = host.nursery.vm("monitor")
    child.connect(host.stock.socket)
    answer = host.adopt()
    assert answer.returncode == HELD
    assert f"process {child.pid} (python" in answer.stderr
    assert "nothing was changed" in answer.stderr
    assert host.findings()[0] == {"connection"}

def test_a_second_name_of_a_disk_that_is_locked_twice_stops_it(host, disk, folder):
    path, link = disk(), os.path.join(folder, "link")
    os.symlink(path, link)
    host.vm("web0", path)
    host.vm("web1", link)
    assert host.findings()[0] == {"twice"}


def test_a_lock_that_virtlockd_has_lost_is_noted(host, disk, folder):
    path, link = disk(), os.path.join(folder, "link")
    os.symlink(path, link)
    host.vm("web0", path)
    second, connection = host.vm("web1", link)
    assert connection.release(link).ok
    assert host.findings() == (set(), {"unlocked"})
    assert second.alive


def test_a_file_that_was_replaced_is_noted(host, disk, folder):
    path = disk()
    host.vm("web0", path)
    os.rename(disk("new.img"), path)
    assert host.findings() == (set(), {"replaced"})


def test_arguments_that_holdfastd_does_not_know_stop_it(nursery, folder, virtlockd):
    host = Host(nursery, folder, lambda: virtlockd(args=["--", "surplus"]))
    answer = host.adopt("--dry-run")
    assert answer.returncode == HELD and "does not understand the arguments" in answer.stderr


def test_a_program_that_is_no_holdfastd_stops_it(host):
    answer = host.adopt("--dry-run", env={"HOLDFAST_DAEMON": "/bin/echo"})
    assert answer.returncode == HELD and "/bin/echo is no holdfastd" in answer.stderr
    answer = host.adopt("--dry-run", env={"HOLDFAST_DAEMON": "/no/such/file"})
    assert answer.returncode == HELD and "/no/such/file cannot be run" in answer.stderr


def test_a_full_run_directory_stops_it(host, disk):
    host.vm("web0", disk())
    host.run("mount", "-o", "remount,size=64k", "/run")
    host.run("sh", "-c", "dd if=/dev/zero of=/run/filler bs=1k count=100 2>&1 || true")
    answer = host.adopt()
    assert answer.returncode == HELD and "/run is full" in answer.stderr
    assert host.findings()[0] == {"space"}


def test_a_state_file_that_is_no_file_stops_it(host):
    host.run("ln", "-s", "/dev/null", "/run/virtlockd-restart-exec.json")
    assert host.findings()[0] == {"state-file"}


@pytest.mark.parametrize("change", [["chown", "65534"], ["chmod", "666"]])
def test_a_state_file_of_somebody_elses_stops_it(host, change):
    host.run("touch", "/run/virtlockd-restart-exec.json")
    host.run(*change, "/run/virtlockd-restart-exec.json")
    assert host.findings()[0] == {"state-file"}


def test_a_virtlockd_without_rights_that_holdfastd_needs_stops_it(nursery, folder, virtlockd):
    host = Host(nursery, folder, lambda: virtlockd(
        wrapper=["setpriv", "--bounding-set=-kill", "--inh-caps=-kill", "--"]))
    assert host.findings()[0] == {"capability"}


def test_a_holdfastd_beside_it_stops_it(host, nursery, folder):
    host.run("mkdir", "-p", "/run/holdfast")
    other = host.nursery.spawn(
        ["nsenter", "-m", "-t", str(host.stock.pid), "--", "python3", "-c",
         "import socket\ns = socket.socket(socket.AF_UNIX)\n"
         "s.bind('/run/holdfast/holdfast-sock')\ns.listen()\nprint('up', flush=True)\ninput()\n"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdout.readline() == "up\n"
    assert host.findings()[0] == {"beside"}


def test_where_nobody_serves_it_says_where_to_go_on(nursery, folder, virtlockd):
    host = Host(nursery, folder, virtlockd)
    holder = nursery.spawn(["unshare", "-m", "sh", "-c",
                            "mount -t tmpfs none /run && echo up && exec sleep 600"],
                           stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "up\n"
    for words in ([], ["--back"], ["--dry-run"]):
        answer = host.cli("adopt", *words, prefix=["nsenter", "-m", "-t", str(holder.pid), "--"])
        assert answer.returncode == NO_DAEMON and "holdfast-adopt(8)" in answer.stderr


def test_a_virtlockd_is_no_holdfastd_to_go_back_from(host):
    answer = host.adopt("--back")
    assert answer.returncode == OK
    assert f"virtlockd (process {host.stock.pid}) serves already" in answer.stdout


def test_only_root_may(host):
    answer = host.cli("adopt", prefix=["setpriv", "--reuid=65534", "--clear-groups", "--"])
    assert answer.returncode == DENIED and "only root" in answer.stderr


def test_words_that_do_not_fit_are_refused(host):
    assert host.adopt("now").returncode == USAGE
    assert host.adopt("--json").returncode == USAGE
    assert host.adopt(env={"HOLDFAST_RUN_DIR": "/run/x"}).returncode == CONFIG


# What is not done to its end.

def talker(host):
    """A process of libvirt's, by its program, that talks to virtlockd until it is closed."""
    program = os.path.join(host.folder, "virtqemud")
    with open("/proc/self/exe", "rb") as source, open(program, "wb") as copy:
        copy.write(source.read())
    os.chmod(program, 0o755)
    child = host.nursery.spawn(
        [program, "-I", "-S", "-c", "import socket, sys\ns = socket.socket(socket.AF_UNIX)\n"
         "s.connect(sys.argv[1])\nprint('up', flush=True)\ninput()\n", host.stock.socket],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={"PYTHONHOME": "/usr", "PATH": "/usr/bin:/bin"})
    assert child.stdout.readline() == "up\n"
    return child


def half_way(host):
    """An attempt that waits for libvirt, with its program in virtlockd's place."""
    child = host.cli.start("adopt", prefix=["nsenter", "-m", "-t", str(host.stock.pid), "--"],
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    until(host.mounts, "virtlockd's place is covered", 60)
    return child


def kill(host, child):
    """Ends an attempt; virtlockd, which it may have stopped, goes on all the same."""
    child.kill()
    child.wait()
    until(lambda: state_of(host.stock.pid) in "SR", "virtlockd goes on", 60)


def test_what_a_killed_attempt_leaves_is_harmless_and_is_taken_away(host, disk):
    path = disk()
    host.vm("web0", path)
    talker(host)
    for _ in range(3):
        kill(host, half_way(host))
    assert len(host.mounts()) >= 1 and host.findings() == (set(), {"left-over", "busy"})
    assert files.lock_on_first_byte(path) == "write lock"
    assert host.adopt("--back").returncode == OK
    assert host.mounts() == [] and "libvirt" in host.run("/usr/sbin/virtlockd", "--version")


@pytest.mark.parametrize("killed", [False, True])
def test_what_is_left_when_virtlockd_has_ended_is_taken_away_too(host, nursery, killed):
    holder = nursery.spawn(["nsenter", "-m", "-t", str(host.stock.pid), "--", "sleep", "600"])
    ours = os.readlink(f"/proc/{host.stock.pid}/ns/mnt")
    until(lambda: os.readlink(f"/proc/{holder.pid}/ns/mnt") == ours, "the namespace", 60)
    talker(host)
    child = half_way(host)
    if killed:
        kill(host, child)
    host.stock.expected_to_live = False
    host.stock.process.kill()
    host.stock.process.wait()

    def is_covered():
        with open(f"/proc/{holder.pid}/mountinfo", encoding="utf-8") as text:
            return MOUNTED in text.read()

    if killed:
        assert is_covered()
        answer = host.cli("adopt", prefix=["nsenter", "-m", "-t", str(holder.pid), "--"])
        assert answer.returncode == NO_DAEMON, answer
    else:
        assert child.wait(60) == SYSTEM
    assert not is_covered()


def test_it_does_not_come_in_between_when_libvirt_talks_to_virtlockd(host, disk):
    host.vm("web0", disk())
    talker(host)
    child = half_way(host)
    stopped = []
    until(lambda: stopped.append(state_of(host.stock.pid)) or "T" in stopped, "it looks", 60)
    assert child.poll() is None and daemons.is_program(host.stock.pid, "virtlockd")
    kill(host, child)


def test_a_run_directory_that_is_full_only_after_the_wait_stops_it_too(host, disk):
    path = disk()
    host.vm("web0", path)
    talk = talker(host)
    child = half_way(host)
    host.run("mount", "-o", "remount,size=64k", "/run")
    host.run("sh", "-c", "dd if=/dev/zero of=/run/filler bs=1k count=100 2>&1 || true")
    talk.kill()
    assert child.wait(60) == HELD and "/run is full" in child.stderr.read()
    assert daemons.is_program(host.stock.pid, "virtlockd")
    assert files.lock_on_first_byte(path) == "write lock"


# What is done.

def ours(host):
    """Whether the process is our daemon; its program is where it is installed, not virtlockd's."""
    return os.readlink(f"/proc/{host.stock.pid}/exe") == os.path.realpath(daemons.HOLDFASTD)


def test_the_same_process_is_a_holdfastd_with_the_same_locks(host, disk):
    path, pid = disk(), host.stock.pid
    vm, connection = host.vm("web0", path)
    answer = host.adopt()
    assert answer.returncode == OK and answer.stderr == "", answer
    assert f"Process {pid} was virtlockd and is holdfastd now: all its locks (1)" in answer.stdout
    assert host.stock.pid == pid and ours(host) and host.mounts() == []
    assert "libvirt" in host.run("/usr/sbin/virtlockd", "--version")
    assert connection.release(path).ok and connection.acquire(path).ok and vm.alive
    shown, = json.loads(host.command("ps", "--json").stdout)["vms"]
    assert (shown["name"], shown["pid"]) == ("web0", vm.pid)


def test_done_twice_it_is_as_done_once(host, disk):
    host.vm("web0", disk())
    assert host.adopt().returncode == OK
    answer = host.adopt()
    assert answer.returncode == OK and "serves already: nothing to change" in answer.stdout
    assert ours(host)


def test_an_upgrade_afterwards_is_one_to_a_newer_holdfastd(host, disk):
    path = disk()
    vm, connection = host.vm("web0", path)
    assert host.adopt().returncode == OK
    before = children(host.stock.pid)
    host.stock.signal(signal.SIGUSR1)
    until(lambda: children(host.stock.pid) and children(host.stock.pid) != before,
          "another server serves", 60)
    until(lambda: connection.release(path).ok, "it serves the VM", 60)
    assert ours(host) and vm.alive


def test_a_competitor_never_gets_the_disk_meanwhile(host, disk):
    path = disk()
    host.vm("web0", path)
    competitor = Competitor(host.nursery, [path])
    assert host.adopt().returncode == OK
    assert competitor.tries(1000) == {}
    competitor.stop()


def test_an_attempt_after_one_that_was_killed_succeeds(host, disk):
    host.vm("web0", disk())
    talk = talker(host)
    kill(host, half_way(host))
    host.stock.signal(signal.SIGSTOP)  # As if it had been killed in that instant, with its child.
    talk.kill()
    answer = host.adopt()
    assert answer.returncode == OK, answer.stderr
    assert ours(host) and host.mounts() == []


def test_a_holdfastd_that_cannot_go_on_becomes_virtlockd_again_with_all_it_had(host, disk, folder):
    path = disk()
    vm, connection = host.vm("web0", path)
    competitor = Competitor(host.nursery, [path])
    answer = host.adopt(env=crippled(folder))
    assert answer.returncode == SYSTEM, answer
    assert "could not take over" in answer.stderr
    assert "virtlockd goes on as it was" in answer.stderr
    assert daemons.is_program(host.stock.pid, "virtlockd") and host.mounts() == []
    assert competitor.tries(1000) == {}
    competitor.stop()
    assert connection.release(path).ok and connection.acquire(path).ok and vm.alive


# The way back.

def test_back_it_is_a_virtlockd_with_the_same_locks(host, disk):
    path, pid = disk(), host.stock.pid
    vm, connection = host.vm("web0", path)
    competitor = Competitor(host.nursery, [path])
    assert host.adopt().returncode == OK
    status, plan = host.plan("--back")
    assert status == OK and plan["safe"] and plan["back"] and plan["daemon"]["pid"] == pid
    assert [lock["path"] for lock in plan["locks"]] == [path] and ours(host)
    answer = host.adopt("--back")
    assert answer.returncode == OK, answer.stderr
    assert f"Process {pid} was holdfastd and is virtlockd now: all its locks (1)" in answer.stdout
    assert host.stock.pid == pid and daemons.is_program(pid, "virtlockd")
    assert competitor.tries(1000) == {}
    competitor.stop()
    assert connection.release(path).ok and connection.acquire(path).ok and vm.alive


def test_there_and_back_again_and_again(host, disk):
    path = disk()
    host.vm("web0", path)
    for words in [[], ["--back"]] * 3:
        answer = host.adopt(*words)
        assert answer.returncode == OK, answer.stderr
    assert files.lock_on_first_byte(path) == "write lock"


def test_it_does_not_go_back_from_what_virtlockd_cannot_know(host, disk):
    path = disk()
    assert host.adopt().returncode == OK
    child = host.cli.start("run", "--name=own", f"--disk={path}", "--", "sh", "-c",
                           "echo up; exec sleep 600", stdout=subprocess.PIPE,
                           prefix=["nsenter", "-m", "-t", str(host.stock.pid), "--"])
    assert child.stdout.readline() == "up\n"
    for words in (["--back", "--dry-run"], ["--back"]):
        answer = host.adopt(*words)
        assert answer.returncode == HELD and "own (pid" in answer.stderr, answer
        assert ours(host)


def test_where_there_is_no_virtlockd_it_does_not_go_back(host):
    assert host.adopt().returncode == OK
    host.run("mount", "-t", "tmpfs", "none", "/usr/sbin")
    answer = host.adopt("--back", env={"PATH": "/usr/bin:/bin"})
    assert answer.returncode == HELD and "there is no virtlockd on this host" in answer.stderr
    host.run("umount", "/usr/sbin")
