# SPDX-License-Identifier: LGPL-2.1-or-later
"""`holdfast events` tells what happens, `holdfast metrics` counts it."""

import json
import os
import re
import signal
import subprocess

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from hftest.command import DEADLINE
from hftest.daemons import Holdfastd
from hftest.processes import until

NO_DAEMON, USAGE, SYSTEM = 69, 64, 71


@pytest.fixture
def disk(folder):
    path = os.path.join(folder, "disk.img")
    with open(path, "wb") as file:
        file.truncate(1 << 20)
    return path


def watch(cli, daemon, *words):
    """The verb, once it listens."""
    before = listeners(cli)
    child = cli.start("events", *words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    until(lambda: listeners(cli) > before, "it listens")
    return child


def listeners(cli):
    return families(cli("metrics").stdout).get("holdfast_event_listeners", 0)


def families(text):
    """The numbers by name, as another reader understands them."""
    assert text.endswith("# EOF\n")
    return {sample.name: sample.value for family in text_string_to_metric_families(text)
            for sample in family.samples}


def finish(child, number=signal.SIGINT):
    child.send_signal(number)
    return child.communicate(timeout=DEADLINE)


def test_each_line_is_an_event(cli, daemon, disk):
    child = watch(cli, daemon)
    assert cli("run", "--name=web1", f"--disk={disk}", "--", "true").returncode == 0
    lines = [child.stdout.readline() for _ in range(2)]
    assert re.fullmatch(r"[-0-9]{10} [:0-9]{8}  acquired  web1 \(pid \d+\)  " + disk + r"\n",
                        lines[0]), lines
    assert "  released  web1 " in lines[1]
    assert finish(child) == ("", "") and child.returncode == 0


def test_with_json_each_line_is_an_object_as_soon_as_it_happens(cli, daemon, disk):
    child = watch(cli, daemon, "--json")
    vm = cli.hold("web1", f"--disk={disk}")
    assert cli("run", "--name=web2", f"--disk={disk}", "--", "true").returncode == 75
    first, second = (json.loads(child.stdout.readline()) for _ in range(2))
    assert (first["event"], first["vm"], first["name"]) == ("acquired", "web1", disk)
    assert (first["class"], first["mode"], first["via"]) == ("content", "exclusive", "holdfast run")
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", first["uuid"])
    assert (second["event"], second["vm"]) == ("refused", "web2") and "web1" in second["text"]
    assert second["number"] == first["number"] + 1 and second["missed"] == 0
    vm.terminate()
    assert json.loads(child.stdout.readline())["event"] == "released"
    finish(child, signal.SIGTERM)
    assert child.returncode == 0


def test_after_a_number_it_goes_on_behind_it(cli, daemon, disk):
    child = watch(cli, daemon, "--json")
    for _ in range(2):
        assert cli("run", "--name=web1", f"--disk={disk}", "--", "true").returncode == 0
    events = [json.loads(child.stdout.readline()) for _ in range(4)]
    finish(child)
    again = watch(cli, daemon, "--json", f"--after={events[1]['number']}")
    assert [json.loads(again.stdout.readline()) for _ in range(2)] == events[2:]
    finish(again)


def test_it_comes_back_when_the_daemon_does(nursery, folder, cli, daemon, disk):
    child = watch(cli, daemon, "--json")
    assert cli("run", "--name=web1", f"--disk={disk}", "--", "true").returncode == 0
    assert [json.loads(child.stdout.readline())["event"] for _ in range(2)] == [
        "acquired", "released"]
    daemon.stop()
    assert "gone" in child.stderr.readline()
    second = Holdfastd(nursery, daemon.directory)
    second.start()
    assert "back" in child.stderr.readline()
    started = json.loads(child.stdout.readline())
    assert (started["event"], started["missed"]) == ("started", 0)
    assert cli("run", "--name=web2", f"--disk={disk}", "--", "true").returncode == 0
    assert json.loads(child.stdout.readline())["vm"] == "web2"
    finish(child)
    assert child.returncode == 0


def test_a_killed_server_is_not_even_noticed(cli, daemon, disk):
    child = watch(cli, daemon, "--json")
    os.kill(daemon.server_pid, signal.SIGKILL)
    assert cli("run", "--name=web1", f"--disk={disk}", "--", "true").returncode == 0
    events = [json.loads(child.stdout.readline()) for _ in range(3)]
    assert [event["event"] for event in events] == ["started", "acquired", "released"]
    assert "signal 9" in events[0]["text"]
    assert [event["number"] - events[0]["number"] for event in events] == [0, 1, 2]
    assert finish(child)[1] == ""


def test_a_pipe_that_nobody_reads_any_more_ends_it_at_once(cli, daemon):
    child = watch(cli, daemon)
    child.stdout.close()
    assert child.wait(DEADLINE) == 0
    assert child.stderr.read() == ""


def test_where_no_daemon_serves_it_says_so(lonely):
    answer = lonely("events")
    assert answer.returncode == NO_DAEMON and "no lock daemon answers" in answer.stderr


@pytest.mark.parametrize("words", [["events", "more"], ["events", "--after=x"],
                                   ["events", "--after=-1"], ["events", "--after="],
                                   ["metrics", "more"]])
def test_what_makes_no_sense_is_refused(cli, words):
    answer = cli(*words)
    assert answer.returncode == USAGE and answer.stderr


def test_metrics_are_what_openmetrics_says_they_are(cli, daemon, disk):
    cli.hold("web1", f"--disk={disk}")
    assert cli("run", "--name=web2", f"--disk={disk}", "--", "true").returncode == 75
    answer = cli("metrics")
    found = families(answer.stdout)
    assert answer.returncode == 0 and not answer.stderr
    assert {name: found[name] for name in ("holdfast_up", "holdfast_locks_granted_total",
                                           "holdfast_locks_refused_total", "holdfast_locks",
                                           "holdfast_waiting_seconds_total")} == {
        "holdfast_up": 1, "holdfast_locks_granted_total": 1, "holdfast_locks_refused_total": 1,
        "holdfast_locks": 1, "holdfast_waiting_seconds_total": 0}
    assert all(name.startswith("holdfast_") for name in found) and len(found) >= 20


def test_a_file_of_metrics_is_replaced_as_a_whole(cli, daemon, folder):
    path = os.path.join(folder, "holdfast.prom")
    os.symlink("/nowhere/at/all", path)
    for _ in range(2):
        answer = cli("metrics", "--output", path)
        assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "")
        with open(path, encoding="ascii") as text:
            assert families(text.read())["holdfast_up"] == 1
        assert not os.path.islink(path) and os.stat(path).st_mode & 0o7777 == 0o644
        assert [name for name in os.listdir(folder) if "prom" in name] == ["holdfast.prom"]


def test_a_file_that_cannot_be_written_leaves_nothing(cli, daemon, folder):
    answer = cli("metrics", "--output", os.path.join(folder, "no", "such", "folder"))
    assert answer.returncode == SYSTEM and "cannot write" in answer.stderr
    os.mkdir(os.path.join(folder, "taken"))
    assert cli("metrics", "--output", os.path.join(folder, "taken")).returncode == SYSTEM
    assert not [name for name in os.listdir(folder) if "tmp" in name]


def test_that_no_daemon_serves_is_a_number_as_well(lonely):
    answer = lonely("metrics")
    assert answer.returncode == 0 and "no lock daemon answers" in answer.stderr
    assert families(answer.stdout) == {"holdfast_up": 0}
