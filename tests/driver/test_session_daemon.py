# SPDX-License-Identifier: LGPL-2.1-or-later
"""The session's daemon, started by the library when nobody serves."""

import os
import stat

import pytest

from hftest.daemons import holdfastd

NO_DAEMON = 4


@pytest.fixture
def session(peer, folder, nursery):
    """Makes programs of one session; the daemon that they start ends with the test."""
    def make(**env):
        made = peer({"HOLDFAST_RUN_DIR": folder, "HOLDFAST_DAEMON": holdfastd(), **env})
        return made

    yield make
    probe = make()
    found = probe.daemon()
    if found["r"] >= 0:
        nursery.adopt(found["pid"])
    probe.end()


def script(folder, text):
    path = os.path.join(folder, "daemon")
    with open(path, "w", encoding="utf-8") as out:
        out.write("#!/bin/sh\n" + text)
    os.chmod(path, stat.S_IRWXU)
    return path


def test_a_daemon_is_started_once_and_then_found(session, image):
    one = session()
    assert one.must("daemon_start")["r"] == 1
    assert one.must("daemon_start")["r"] == 0
    assert session().must("daemon_start")["r"] == 0
    one.must("new", name="vm", driver="lockd")
    one.must("disk", what="add", path=image())
    one.must("start")


def test_the_daemon_outlives_its_starter_and_holds_none_of_its_descriptors(session):
    starter = session()
    starter.must("daemon_start")
    starter.end()
    pid = session().must("daemon")["pid"]
    with open(f"/proc/{pid}/cmdline", encoding="utf-8") as line:
        assert line.read().split("\0")[1:3] == ["--daemon", "--timeout=120"]
    for fd in os.listdir(f"/proc/{pid}/fd"):
        assert "pipe:" not in os.readlink(f"/proc/{pid}/fd/{fd}")


def test_starters_at_once_start_one_daemon(session):
    starters = [session() for _ in range(6)]
    for starter in starters:
        starter.process.stdin.write(b'["daemon_start", {}]\n')
        starter.process.stdin.flush()
    answers = [starter.answer("daemon_start") for starter in starters]
    assert sorted(answer["r"] for answer in answers) == [0, 0, 0, 0, 0, 1], answers
    assert len({starter.must("daemon")["pid"] for starter in starters}) == 1


def test_a_program_that_ignores_its_children_can_start_one(session):
    starter = session()
    starter.must("ignore_children")
    assert starter.must("daemon_start")["r"] == 1


def test_a_missing_daemon_is_an_error_with_its_path(session, folder):
    refused = session(HOLDFAST_DAEMON=f"{folder}/none").daemon_start()
    assert refused["code"] == NO_DAEMON and f"{folder}/none" in refused["text"]


def test_what_a_failing_daemon_says_is_passed_on(session, folder):
    daemon = script(folder, "echo 'no room at all' >&2\nexit 3\n")
    refused = session(HOLDFAST_DAEMON=daemon).daemon_start()
    assert refused["code"] == NO_DAEMON
    assert "no room at all" in refused["text"] and "exit status 3" in refused["text"]


def test_a_daemon_that_never_gets_ready_is_given_up(session, folder):
    daemon = script(folder, "exec sleep 60\n")
    refused = session(HOLDFAST_DAEMON=daemon).daemon_start()
    assert refused["code"] == NO_DAEMON and "5 seconds" in refused["text"]


def test_root_without_a_run_directory_of_its_own_starts_nothing(peer):
    if os.geteuid() != 0:
        pytest.skip("only root has a system daemon")
    assert peer({"HOLDFAST_DAEMON": "/bin/false"}).must("daemon_start")["r"] == 0
