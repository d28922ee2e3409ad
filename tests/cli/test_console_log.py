# SPDX-License-Identifier: LGPL-2.1-or-later
"""holdfast console --log: what was printed, with neither a VM nor a daemon."""

import os
import pty
import subprocess

import pytest

from hftest.command import Cli

# As console/transcript-times.h has it.
FIRST = 1_700_000_000_000_000


class Logs:
    def __init__(self, cli):
        self.cli = cli
        self.top = os.path.join(cli.env["HOLDFAST_RUN_DIR"], "holdfast", "consoles")

    def make(self, name, content, times=None):
        path = os.path.join(self.top, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as out:
            out.write(content)
        if times is not None:
            with open(path + ".times", "w", encoding="ascii") as out:
                out.write(times)


@pytest.fixture
def logs(nursery, folder):
    """Of a daemon that is not there and cannot be started."""
    cli = Cli(nursery, folder, os.path.join(folder, "run"))
    cli.env["HOLDFAST_CONSOLED"] = os.path.join(folder, "no-such-daemon")
    return Logs(cli)


def show(logs, *words, status=0):
    done = logs.cli("console", "--log", *words, env={"TZ": "UTC"})
    assert done.returncode == status, (done.stdout, done.stderr)
    return done.stdout if status == 0 else done.stderr


def test_all_of_a_log_is_printed_with_its_backups_the_oldest_first(logs):
    logs.make("web1/serial0.log.2", b"one\n")
    logs.make("web1/serial0.log.1", b"two\nthr")
    logs.make("web1/serial0.log", b"ee\nfour\n")
    assert show(logs, "web1") == "one\ntwo\nthree\nfour\n"
    assert show(logs, "web1:serial0") == "one\ntwo\nthree\nfour\n"


@pytest.mark.parametrize("lines, begin", [(0, 5), (1, 4), (2, 3), (3, 2), (4, 1), (5, 0), (99, 0)])
def test_the_last_lines_are_counted_over_all_files(logs, lines, begin):
    logs.make("web1/serial0.log.2", b"one\n")
    logs.make("web1/serial0.log.1", b"two\nthr")
    logs.make("web1/serial0.log", b"ee\nfour\nfive")
    text = ["one\n", "two\n", "three\n", "four\n", "five"]
    assert show(logs, "--replay", str(lines), "web1") == "".join(text[begin:])


def test_lines_have_their_times_and_nonsense_among_these_is_no_error(logs):
    logs.make("web1/serial0.log.1", b"old\n")
    logs.make("web1/serial0.log", b"one\ntwo\nthree\n",
              f"origin 0 0 77\nwhat?\n0 {FIRST}\n4 {FIRST + 1_500_000}\n-1 3\n8 12")
    assert show(logs, "--timestamps", "web1").splitlines() == [
        " " * 24 + "old",
        "2023-11-14 22:13:20.000 one",
        "2023-11-14 22:13:21.500 two",
        "2023-11-14 22:13:21.500 three",
    ]
    assert show(logs, "--timestamps", "-n1", "web1") == "2023-11-14 22:13:21.500 three\n"


def test_a_line_that_goes_over_two_files_has_one_time(logs):
    logs.make("web1/serial0.log.1", b"one li", f"0 {FIRST}\n")
    logs.make("web1/serial0.log", b"ne\nnext\n", f"0 {FIRST}\n3 {FIRST + 1000000}\n")
    assert show(logs, "--timestamps", "web1") == (
        "2023-11-14 22:13:20.000 one line\n2023-11-14 22:13:21.000 next\n")


HOSTILE = b"\x1b]0;title\x07\x1b[31mred\x1b[0m\x1b[6n\x1b]52;c;ZXZpbA==\x1b\\ \xc2\x9b6n\xe2\x82\xac\n"


def test_plain_leaves_nothing_that_a_terminal_obeys(logs):
    logs.make("web1/serial0.log", HOSTILE)
    assert show(logs, "--plain", "web1") == "red \u20ac\n"


def test_into_a_pipe_goes_what_is_in_the_log(logs):
    logs.make("web1/serial0.log", HOSTILE)
    assert show(logs, "web1").encode() == HOSTILE


def test_on_a_terminal_only_colours_pass(logs):
    logs.make("web1/serial0.log", HOSTILE)
    master, slave = pty.openpty()
    process = logs.cli.start("console", "--log", "web1", stdout=slave, env={"LC_ALL": "C.UTF-8"})
    assert process.wait(20) == 0
    os.close(slave)
    assert os.read(master, 4096) == b"\x1b[31mred\x1b[0m \xe2\x82\xac\r\n"
    os.close(master)


def test_the_first_serial_line_is_meant_where_none_is_named(logs):
    logs.make("web1/channel0.log", b"channel\n")
    logs.make("web1/serial1.log", b"second\n")
    logs.make("web1/serial0.log", b"first\n")
    assert show(logs, "web1") == "first\n"
    assert show(logs, "web1:channel0") == "channel\n"


def test_a_path_has_a_log_too(logs):
    logs.make("by-path/%2Fdev%2Fpts%2F3.log", b"by path\n")
    assert show(logs, "/dev/pts/3") == "by path\n"


def test_names_lead_nowhere_else(logs):
    logs.make("../../../secret.log", b"secret\n")
    assert "there is no log" in show(logs, "../..:secret", status=66)
    assert "there is no log" in show(logs, "..:secret", status=66)


def test_what_is_not_there_is_said(logs):
    assert show(logs, "web1", status=66) == (
        f"holdfast: there is no log of web1 in {logs.top}\n")
    logs.make("web1/serial0.log", b"x")
    assert "there is no log of web1:serial7" in show(logs, "web1:serial7", status=66)


def test_what_is_no_file_is_refused(logs):
    logs.make("web1/other.log", b"")
    os.mkfifo(os.path.join(logs.top, "web1", "serial0.log"))
    os.symlink("/etc/passwd", os.path.join(logs.top, "web1", "serial1.log"))
    show(logs, "web1:serial0", status=71)
    show(logs, "web1:serial1", status=71)


def test_a_reader_that_leaves_is_no_error(logs):
    logs.make("web1/serial0.log", b"line\n" * 100000)
    process = logs.cli.start("console", "--log", "web1", stdout=subprocess.PIPE)
    process.stdout.read(5)
    process.stdout.close()
    assert process.wait(20) == 0


def test_log_and_attaching_exclude_each_other(logs):
    assert "--log attaches nobody" in show(logs, "--watch", "web1", status=64)


def test_logs_are_where_the_daemons_configuration_says(logs, folder):
    # Root's is the machine's, which is none of ours.
    uid = 65534 if os.geteuid() == 0 else None
    config = os.path.join(folder, "config", "holdfast")
    os.makedirs(config)
    logs.top = os.path.join(folder, "elsewhere")
    logs.make("web1/serial0.log", b"there\n")
    with open(os.path.join(config, "console.conf"), "w", encoding="ascii") as out:
        out.write(f'log_directory = "{logs.top}"\n')
    done = logs.cli("console", "--log", "web1", user=uid)
    assert (done.returncode, done.stdout) == (0, "there\n"), done.stderr


def test_a_log_that_may_not_be_read_is_refused(logs):
    if os.geteuid() != 0:
        pytest.skip("root makes what others may not read")
    logs.make("web1/serial0.log", b"secret\n")
    os.chmod(os.path.join(logs.top, "web1"), 0o700)
    done = logs.cli("console", "--log", "web1", user=65534)
    assert (done.returncode, done.stdout) == (77, ""), done.stderr
