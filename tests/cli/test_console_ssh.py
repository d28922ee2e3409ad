# SPDX-License-Identifier: LGPL-2.1-or-later
"""holdfast console over a real ssh, in a real terminal."""

import getpass
import os
import shutil
import socket
import subprocess

import pytest

from hftest.command import HOLDFAST, need
from hftest.processes import children, is_there, until
from hftest.pty_guest import PtyGuest
from hftest.tmux import Tmux


class Sshd:
    """A server of this test alone, on a port that nobody has, for the user who runs it."""

    def __init__(self, nursery, folder, env):
        self.folder = os.path.join(folder, "ssh")
        os.mkdir(self.folder, 0o700)
        for name in ("host", "user"):
            subprocess.run([need("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f",
                            f"{self.folder}/{name}"], check=True, stdin=subprocess.DEVNULL)
        shutil.copy(f"{self.folder}/user.pub", f"{self.folder}/authorized_keys")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.write("config", f"""
            ListenAddress 127.0.0.1:{self.port}
            HostKey {self.folder}/host
            AuthorizedKeysFile {self.folder}/authorized_keys
            PidFile none
            UsePAM no
            StrictModes no
            PasswordAuthentication no
            PermitRootLogin yes
            SetEnv {' '.join(f'{key}={value}' for key, value in env.items() if key != 'HOME')}
            """)
        # sshd wants the folder of its unprivileged half, and its own absolute path.
        self.process = nursery.spawn(
            ["unshare", "-m", "sh", "-c", "mount -t tmpfs none /run && mkdir /run/sshd && "
             "exec \"$@\"", "sh",
             need("sshd"), "-D", "-e", "-f", f"{self.folder}/config"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self.log())
        until(self.answers, "sshd answers")

    def log(self):
        return open(f"{self.folder}/log", "ab")  # pylint: disable=consider-using-with

    def write(self, name, text):
        with open(f"{self.folder}/{name}", "w", encoding="ascii") as out:
            out.write("\n".join(line.strip() for line in text.splitlines()))

    def answers(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def command(self, *words):
        """What a user types."""
        return " ".join([need("ssh"), "-tt", "-p", str(self.port), "-i", f"{self.folder}/user",
                         "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
                         "-o", "LogLevel=ERROR", "-F", "none", f"{getpass.getuser()}@127.0.0.1",
                         *words])


@pytest.fixture
def sshd(nursery, folder, console_cli):
    if os.geteuid() != 0:
        pytest.skip("needs root: sshd makes a session")
    return Sshd(nursery, folder, console_cli.env)


def test_over_ssh_it_works_as_here_and_others_see_where_it_comes_from(nursery, folder, sshd,
                                                                      console_cli):
    tmux = Tmux(nursery, folder, console_cli.env)
    before = tmux.settings()
    with PtyGuest() as guest:
        tmux.line(sshd.command(HOLDFAST, "console", guest.path))
        tmux.await_text(r"\^\] leaves")
        guest.say("far away")
        tmux.await_text("far away")
        tmux.type("typed")
        tmux.key("C-c")
        guest.await_heard(b"typed\x03")
        until(lambda: guest.size == (30, 100), "the guest knows the size")
        tmux.resize(90, 25)
        until(lambda: guest.size == (25, 90), "the guest knows the new size")
        refused = console_cli("console", guest.path)
        assert refused.returncode == 75 and "from 127.0.0.1" in refused.stderr
        [client] = console_cli.json("console", "list")["consoles"][0]["clients"]
        assert client["from"] == "127.0.0.1"
        tmux.key("C-]")
        until(lambda: not is_there(client["pid"]), "it has left")
        until(lambda: not children(tmux.shell), "ssh has ended")
        tmux.resize(100, 30)
    assert tmux.status() == 0
    # tmux takes its time to give a window its size.
    until(lambda: tmux.settings() == before, "the terminal is as it was")


def test_a_connection_that_breaks_leaves_the_console_free(nursery, folder, sshd, console_cli):
    with PtyGuest() as guest:
        tmux = Tmux(nursery, folder, console_cli.env)
        tmux.line(sshd.command(HOLDFAST, "console", guest.path))
        tmux.await_text(r"\^\] leaves")
        tmux.close()
        until(lambda: not console_cli.json("console", "list")["consoles"], "nobody is attached")
        done = console_cli("console", "--linger=0", guest.path, stdin=None, input="next")
        assert (done.returncode, done.stderr) == (0, "")
        guest.await_heard("next")
