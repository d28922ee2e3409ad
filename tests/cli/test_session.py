# SPDX-License-Identifier: LGPL-2.1-or-later
"""The session daemon: started by the first who needs it, gone when nobody does."""

import os
import subprocess

import pytest

from hftest.command import Cli, read_pid
from hftest import daemons
from hftest.processes import until


@pytest.fixture
def session(nursery, folder):
    """The command where no daemon serves yet; one that is started ends after a second."""
    run_dir = os.path.join(folder, "s")
    pidfile = os.path.join(run_dir, "holdfast", "holdfastd.pid")
    wrapper = os.path.join(folder, "daemon")
    with open(wrapper, "w", encoding="utf-8") as out:
        out.write("#!/bin/sh\n"
                  'for word; do shift; case $word in --timeout=*) word=--timeout=1;; esac\n'
                  'set -- "$@" "$word"; done\n'
                  f'exec {daemons.holdfastd()} "$@"\n')
    os.chmod(wrapper, 0o755)
    cli = Cli(nursery, folder, run_dir)
    cli.env["HOLDFAST_DAEMON"] = wrapper
    cli.daemon_pid = lambda: read_pid(pidfile)
    yield cli
    try:
        with open(pidfile, encoding="ascii") as text:
            pid = int(text.read())
        with open(f"/proc/{pid}/environ", "rb") as text:
            ours = f"HOLDFAST_RUN_DIR={run_dir}".encode() in text.read().split(b"\0")
    except (OSError, ValueError):
        return
    if ours:
        nursery.adopt(pid)


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as text:
            return text.read().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_the_daemon_starts_by_itself_and_ends_when_nothing_is_locked(session, disk):
    path = disk()
    child = session.hold("web0", f"--disk={path}")
    assert session("run", f"--disk={path}", "--", "true").returncode == 75
    pid = session.daemon_pid()
    assert alive(pid)
    child.terminate()
    child.wait(10)
    until(lambda: not alive(pid), "the daemon has ended")


def test_a_daemon_with_a_lock_does_not_end_by_its_timeout(session, disk):
    path = disk()
    child = session.hold("web0", f"--disk={path}", vmm=["sh", "-c", "echo up; sleep 3; exit 9"])
    pid = session.daemon_pid()
    assert child.wait(20) == 9
    assert alive(pid)


def test_many_who_start_at_once_share_one_daemon(session):
    words = ["run", "--", "sh", "-c", "echo up; exec sleep 600"]
    children = [session.start(*words, stdout=subprocess.PIPE) for _ in range(6)]
    assert [child.stdout.readline() for child in children] == ["up\n"] * 6
    assert len(session.json("ps")["vms"]) == 6
    assert alive(session.daemon_pid())


def test_the_daemon_does_not_hold_on_to_our_terminal_or_pipes(session):
    """A pipeline ends when the VMM does, though the daemon goes on."""
    answer = session("run", "--", "echo", "done")
    assert answer.stdout == "done\n" and answer.returncode == 0


def test_a_vmm_gets_the_standard_descriptors_that_we_got(session):
    listing = ["python3", "-c", "import os; fds = [fd for fd in range(3) if os.path.exists("
               "f'/proc/self/fd/{fd}')]; open('open', 'w').write(str(fds))"]
    closed = ["sh", "-c", 'exec "$@" 1<&- 2>&-', "sh"]
    assert session("run", "--", *listing, prefix=closed).returncode == 0
    with open(os.path.join(session.folder, "open"), encoding="ascii") as out:
        assert out.read() == "[0]"


@pytest.mark.parametrize("where", ["a file", "below a file", "/proc"])
def test_where_no_daemon_can_have_its_sockets_is_69(session, disk, folder, where):
    name = {"a file": disk("f"), "below a file": os.path.join(disk("f"), "s"), "/proc": "/proc/holdfast"}[where]
    answer = session("run", "--", "true", env={"HOLDFAST_RUN_DIR": name})
    assert answer.returncode == 69, answer
    assert answer.stderr.startswith("holdfast: ") and name in answer.stderr
