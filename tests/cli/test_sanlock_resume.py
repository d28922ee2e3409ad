# SPDX-License-Identifier: LGPL-2.1-or-later
"""holdfast sanlock resume, where others do the same at the same time or the daemon is silent."""

import glob
import os
import select
import signal
import sys

import pytest

from hftest import sanlock
from hftest.processes import Nursery
from hftest.sanlock import Command

OK, NO_DAEMON, HELD = 0, 69, 75
DEADLINE = 30

# A VMM whose monitor takes its time: it answers "cont" when a line comes in.
VMM = """
import json, os, socket, sys
place = socket.socket(socket.AF_UNIX)
place.bind(sys.argv[1])
place.listen()
print("up", flush=True)
status = "paused"
while True:
    peer, _ = place.accept()
    text = peer.makefile("rw")
    def say(what):
        text.write(json.dumps(what) + "\\n")
        text.flush()
    say({"QMP": {}})
    try:
        for line in text:
            asked = json.loads(line)
            if asked["execute"] == "cont":
                print("asked to go on", flush=True)
                sys.stdin.readline()
                status = "running"
            said = {"status": status} if asked["execute"] == "query-status" else {}
            say({"return": said, "id": asked.get("id")})
    except OSError:
        pass
"""


@pytest.fixture(scope="module")
def host():
    nursery = Nursery()
    try:
        yield sanlock.Cluster(nursery, hosts=1)[0]
    finally:
        nursery.close()


class Paused:
    """A VM as the program that sanlock runs leaves it behind: paused, its leases given back."""

    def __init__(self, host, name, disks):
        self.host = host
        self.command = Command(host)
        self.monitor = os.path.join(host.holdfast_dir, f"{name}.qmp")
        options = [f"--disk={disk}" for disk in disks]
        self.run = self.command.start(
            "run", f"--name={name}", *options, "--",
            sys.executable, "-I", "-S", "-u", "-c", VMM, self.monitor,
            prefix=sanlock.as_user([]), stdin=-1, stdout=-1, stderr=-1)
        self.await_line("up")
        [self.pid] = [pid for pid in self.pids() if host.holds(pid)]
        [self.note] = glob.glob(os.path.join(host.holdfast_dir, "**", "sanlock",
                                             f"{self.pid}-*"), recursive=True)
        with open(self.note, "a", encoding="ascii") as note:
            note.write(f'monitor = "{self.monitor}"\n')
        manager = host.vm(name, *disks, pid=self.pid)
        self.state = self.note + ".state"
        self.write_state(manager.must("pause")["state"])
        assert host.holds(self.pid) == {}

    def write_state(self, text):
        with open(self.state, "w", encoding="ascii") as out:
            out.write(text)
        os.chmod(self.state, 0o600)
        sanlock.own(self.state)

    def read_state(self):
        with open(self.state, encoding="ascii") as text:
            return text.read()

    def go_on(self):
        self.run.stdin.write("go\n")
        self.run.stdin.flush()

    def end(self):
        os.kill(self.pid, signal.SIGKILL)
        self.run.wait(DEADLINE)

    def pids(self):
        """Of `holdfast run`, which is the VMM or has it as a child."""
        with open(f"/proc/{self.run.pid}/task/{self.run.pid}/children", encoding="ascii") as text:
            return [self.run.pid, *map(int, text.read().split())]

    def await_line(self, wanted):
        ready, _, _ = select.select([self.run.stdout], [], [], DEADLINE)
        line = self.run.stdout.readline() if ready else ""
        assert line == wanted + "\n", (line, self.run.poll())

    def begin_resume(self):
        return self.command.start("sanlock", "resume", str(self.pid), prefix=sanlock.as_user([]),
                                  stdin=-3, stdout=-1, stderr=-1)


def test_who_resumes_a_vm_that_another_is_resuming_takes_nothing_from_it(host):
    disks = [host.cluster.disk() for _ in range(2)]
    vm = Paused(host, "web", disks)
    first = vm.begin_resume()
    vm.await_line("asked to go on")
    held = host.holds(vm.pid)
    assert len(held) == 2
    second = vm.begin_resume()
    said = second.communicate(timeout=DEADLINE)[1]
    assert second.returncode == HELD, said
    assert host.holds(vm.pid) == held
    vm.go_on()
    assert first.wait(DEADLINE) == OK, first.stderr.read()
    assert host.holds(vm.pid) == held and not os.path.exists(vm.state)
    vm.end()


def test_what_others_have_taken_for_the_vm_stays_its_own(host):
    """A manager resumes it at the same time."""
    disks = [host.cluster.disk() for _ in range(2)]
    vm = Paused(host, "managed", disks)
    kept = vm.read_state()
    host.vm("managed", *disks, pid=vm.pid).must("resume", state=kept)
    held = host.holds(vm.pid)
    vm.write_state(kept)
    again = vm.begin_resume()
    said = again.communicate(timeout=DEADLINE)[1]
    assert again.returncode == HELD and "somebody else" in said, said
    assert host.holds(vm.pid) == held and len(held) == 2
    vm.end()


def test_versions_that_were_noted_go_when_a_manager_resumes_the_vm_by_others(host):
    disk = host.cluster.disk()
    vm = Paused(host, "known", [disk])
    manager = host.vm("known", disk, pid=vm.pid)
    manager.must("resume", state=vm.read_state())
    assert not os.path.exists(vm.state)
    again = host.vm("known", disk, pid=vm.pid)
    again.must("pause")
    host.vm("known", disk, pid=vm.pid).must("resume")
    assert len(host.holds(vm.pid)) == 1
    vm.end()


def test_a_vm_whose_leases_were_noted_and_not_given_back_has_them_already(host):
    disks = [host.cluster.disk() for _ in range(2)]
    vm = Paused(host, "half", disks)
    manager = host.vm("half", *disks, pid=vm.pid)
    manager.must("resume", state="")
    held = host.holds(vm.pid)
    vm.write_state(manager.must("inquire")["state"])
    going = vm.begin_resume()
    vm.await_line("asked to go on")
    vm.go_on()
    assert going.wait(DEADLINE) == OK, going.stderr.read()
    assert host.holds(vm.pid) == held and not os.path.exists(vm.state)
    vm.end()


def test_nobody_waits_for_a_daemon_that_is_silent(host):
    """It is stopped for less time than its lockspace can do without it."""
    vm = Paused(host, "waits", [host.cluster.disk()])
    host.freeze()
    try:
        verbs = [vm.begin_resume(), *[
            vm.command.start("sanlock", verb, prefix=sanlock.as_user([]), stdin=-3, stdout=-1,
                             stderr=-1) for verb in ("cleanup", "join", "status")]]
        said = [verb.communicate(timeout=DEADLINE)[1] for verb in verbs]
    finally:
        host.thaw()
    assert [verb.returncode for verb in verbs] == [NO_DAEMON] * 4, said
    assert all("did not answer in time" in text for text in said), said
    assert host.holds(vm.pid) == {} and os.path.exists(vm.state)
    vm.end()
