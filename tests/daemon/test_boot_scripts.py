# SPDX-License-Identifier: LGPL-2.1-or-later
"""The boot scripts of systems without systemd, moved to a folder of the test.

The LSB script is run as it is. OpenRC's has its functions called as openrc-run would, with
stand-ins for what that brings along; start-stop-daemon is the real one.
"""

import os
import shutil
import subprocess

import pytest
from hftest import daemons
from hftest.processes import is_there, kill_family, until

SCRIPTS = os.path.join(daemons.REPO, "data", "boot")
PATIENCE = 60.0
OPENRC = """\
ebegin() { :; }
eend() { return "$1"; }
# OpenRC's has no word for "send a signal only".
start_stop_daemon() { /sbin/start-stop-daemon "$@"; }
alias start-stop-daemon='start_stop_daemon --stop --quiet --oknodo'
. "$1"
case $2 in
start) /sbin/start-stop-daemon --start --quiet --exec "$command" --pidfile "$pidfile" -- $command_args ;;
stop) /sbin/start-stop-daemon --stop --quiet --exec "$command" --pidfile "$pidfile" --retry "$retry" ;;
*) "$2" ;;
esac
"""


class Script:
    """A boot script that finds everything below one folder."""

    def __init__(self, nursery, folder, style, program=None):
        self.folder, self.style = folder, style
        self.pidfile = os.path.join(folder, "holdfast", "holdfastd.pid")
        self.path = os.path.join(folder, "script")
        self.runner = os.path.join(folder, "openrc-run")
        words = {"daemon": "holdfastd", "summary": "Lock daemon", "start": "25", "stop": "75",
                 "program": program or daemons.holdfastd(), "pidfile": self.pidfile, "reload": "USR1",
                 "sysconfdir": folder}
        with open(os.path.join(SCRIPTS, f"{style}.in"), encoding="utf-8") as source:
            text = source.read()
        for name, value in words.items():
            text = text.replace(f"@{name}@", value)
        for path, content in ((self.path, text), (self.runner, OPENRC)):
            with open(path, "w", encoding="utf-8") as out:
                out.write(content)
        nursery.at_end(self.end)

    def __call__(self, word):
        words = {"lsb": ["sh", self.path, word], "openrc": ["sh", self.runner, self.path, word]}
        return subprocess.run(words[self.style], check=False, capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=PATIENCE,
                              env=os.environ | {"HOLDFAST_RUN_DIR": self.folder,
                                                "HOME": self.folder})

    @property
    def pid(self):
        pid = daemons.read_pid(self.pidfile)
        return pid if pid and is_there(pid) and daemons.is_program(pid, "holdfastd") else None

    @property
    def server(self):
        found = daemons.children(self.pid) if self.pid else []
        return next((pid for pid in found if daemons.name_of(pid) != daemons.WORKER), None)

    def end(self):
        if self.pid:
            kill_family(self.pid)


@pytest.fixture(params=["lsb", "openrc"])
def script(request, nursery, folder):
    if request.param == "openrc" and not os.path.exists("/sbin/start-stop-daemon"):
        pytest.skip("there is no start-stop-daemon")
    return Script(nursery, folder, request.param)


@pytest.fixture
def lsb(nursery, folder):
    return Script(nursery, folder, "lsb")


def test_the_daemon_is_started_upgraded_and_stopped(script):
    done = script("start")
    assert done.returncode == 0, done
    first, server = script.pid, script.server
    assert first and server, "it serves when start returns"
    done = script("reload")
    assert done.returncode == 0, done
    until(lambda: script.server not in (None, server), "the upgraded daemon serves", PATIENCE)
    assert script.pid == first, "an upgrade is no restart"
    done = script("stop")
    assert done.returncode == 0, done
    assert not is_there(first), "it has ended when stop returns"


def test_a_daemon_whose_folder_is_a_link_to_another_one_is_known(nursery, folder):
    os.symlink(os.path.dirname(daemons.holdfastd()), os.path.join(folder, "sbin"))
    lsb = Script(nursery, folder, "lsb", os.path.join(folder, "sbin", "holdfastd"))
    assert lsb("start").returncode == 0
    first = lsb.pid
    assert lsb("status").returncode == 0
    assert lsb("stop").returncode == 0 and not is_there(first)


def test_the_status_says_what_is_so(lsb):
    assert lsb("status").returncode == 3
    assert lsb("reload").returncode == 7, "nothing runs that could be reloaded"
    assert lsb("stop").returncode == 0, "what does not run is stopped"
    assert lsb("start").returncode == 0
    first = lsb.pid
    done = lsb("status")
    assert done.returncode == 0 and str(first) in done.stdout
    kill_family(first)
    until(lambda: lsb.pid is None, "the daemon is dead", PATIENCE)
    assert lsb("status").returncode == 1, "dead, with a PID file"


def test_a_daemon_that_runs_is_not_started_again(lsb):
    assert lsb("start").returncode == 0
    first = lsb.pid
    done = lsb("start")
    assert done.returncode == 0 and "already" in done.stdout
    assert lsb.pid == first
    assert lsb("restart").returncode == 0
    assert lsb.pid not in (None, first)


def test_another_process_that_has_the_number_of_a_dead_daemon_is_left_alone(lsb, nursery):
    other = nursery.sleeper()
    os.makedirs(os.path.dirname(lsb.pidfile))
    with open(lsb.pidfile, "w", encoding="ascii") as out:
        out.write(f"{other.pid}\n")
    assert lsb("status").returncode == 1
    assert lsb("stop").returncode == 0
    assert is_there(other.pid)


def test_a_word_that_it_does_not_know_is_answered_with_those_that_it_does(lsb):
    done = lsb("begin")
    assert done.returncode == 2 and "start|stop" in done.stderr


@pytest.mark.parametrize("name", ["holdfastd", "holdfast-consoled", "holdfast-pr-helper"])
@pytest.mark.parametrize("style", ["lsb", "openrc"])
def test_what_is_installed_is_sound_for_a_shell_and_names_its_daemon(name, style):
    path = os.path.join(daemons.BUILD, "data", "boot", f"{name}.{style}")
    with open(path, encoding="utf-8") as text:
        content = text.read()
    assert f"/{name}\n" in content and "@" not in content
    if style == "lsb":
        for word in ("# chkconfig: 2345", "# description: ", "### BEGIN INIT INFO",
                     f"# Provides:          {name}", "### END INIT INFO"):
            assert word in content
    assert subprocess.run(["sh", "-n", path], check=False).returncode == 0
    tool = shutil.which("shellcheck")
    if not tool:
        pytest.skip("shellcheck is not installed")
    done = subprocess.run([tool, path], check=False, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stdout
