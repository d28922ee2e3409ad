# SPDX-License-Identifier: LGPL-2.1-or-later
"""What acts on a VM that is losing its leases, run directly: what it does, and what it believes.

It runs as root where sanlock does, for whoever may talk to sanlock.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from hftest.command import need, qemu, running
from hftest.daemons import BUILD
from hftest.processes import is_there, state_of, until
from hftest.sanlock import NOBODY, as_user, key_of, user

PROGRAM = os.path.join(BUILD, "src", "sanlock", "holdfast-sanlock-killpath")
DEADLINE = 40.0
DONE, TEMPFAIL, NOPERM, USAGE = 0, 75, 77, 64

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has other users to become")

# A VMM that listens at a monitor's place and does as told: it says who talks to it, and no more.
STAND_IN = """
import signal, socket, struct, sys
where, how = sys.argv[1:]
if "stubborn" in how:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if where != "-":
    place = socket.socket(socket.AF_UNIX)
    place.bind(where)
    place.listen()
print("up", flush=True)
while where != "-":
    peer, _ = place.accept()
    cred = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    print(*cred, flush=True)
    if "hangs up" in how:
        peer.close()
    if "greets" in how:
        try:
            peer.sendall(b'{"QMP": {}}\\n')
        except BrokenPipeError:
            pass  # It saw who we are, and left.
    kept = peer
signal.pause()
"""


def start_of(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as text:
        return int(text.read().rsplit(")", 1)[1].split()[19])


class Place:
    """A folder of notes, and the program."""

    def __init__(self, nursery, folder):
        self.nursery = nursery
        self.notes = os.path.join(folder, "notes")
        os.mkdir(self.notes, 0o700)
        os.chmod(folder, 0o755)
        # Stand-ins of another user listen here.
        self.monitors = os.path.join(folder, "monitors")
        os.mkdir(self.monitors)
        os.chmod(self.monitors, 0o777)
        self.nowhere = os.path.join(folder, "nowhere")

    def note(self, pid, action, monitor=None, start=None, name=None, owner=None, run_dir=None):
        start = start_of(pid) if start is None else start
        path = os.path.join(self.notes, name or f"{pid}-{start}")
        with open(path, "w", encoding="ascii") as out:
            out.write(f'pid = {pid}\nstart = {start}\naction = "{action}"\nname = "web1"\n'
                      f'run_dir = "{run_dir or self.nowhere}"\n')
            if monitor:
                out.write(f'monitor = "{monitor}"\n')
        os.chmod(path, 0o600)
        if owner is not None:
            os.chown(path, owner, owner)
            os.chown(self.notes, owner, owner)
        return path

    def start(self, *words, prefix=(), env=None, **how):
        how = {"stdin": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True, **how}
        return self.nursery.spawn([*prefix, PROGRAM, *words], env=env or {}, **how)

    def run(self, *words, **how):
        """Its exit status, and what it said."""
        child = self.start(*words, **how)
        _, said = child.communicate(timeout=DEADLINE)
        return child.returncode, said

    def stand_in(self, monitor=None, how="", uid=None):
        command = [sys.executable, "-I", "-S", "-c", STAND_IN, monitor or "-", how]
        child = self.nursery.spawn(as_user(command) if uid else command,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        assert child.stdout.readline() == "up\n"
        return child

    def monitor(self, name="m"):
        return os.path.join(self.monitors, name)

    def qemu(self, *words):
        """A QEMU with our monitor and one for the test; pid, path of ours, the test's."""
        paths = [self.monitor(name) for name in ("ours", "theirs")]
        pidfile = self.monitor("pid")
        for path in paths:
            words += ("-qmp", f"unix:{path},server=on,wait=off")
        child = self.nursery.spawn(qemu("-pidfile", pidfile, *words), stdin=subprocess.DEVNULL)
        running(self.nursery, pidfile)
        return child, paths[0], Monitor(paths[1])


class Monitor:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(DEADLINE)
        self.socket.connect(path)
        self.file = self.socket.makefile("rw")
        self.file.readline()
        self.ask("qmp_capabilities")

    def ask(self, command, **arguments):
        self.file.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self.file.flush()
        while True:
            answer = json.loads(self.file.readline())
            assert "error" not in answer, answer
            if "return" in answer:
                return answer["return"]

    def status(self):
        return self.ask("query-status")["status"]


@pytest.fixture
def place(nursery, folder):
    return Place(nursery, folder)


# What it does

def test_qemu_is_told_to_quit(place):
    child, monitor, _ = place.qemu()
    status, said = place.run(place.note(child.pid, "poweroff", monitor))
    assert (status, child.wait(DEADLINE)) == (DONE, 0), said
    assert "was told to quit" in said and "SIGTERM" not in said and "web1" in said


def test_a_vmm_without_a_monitor_gets_sigterm(place):
    child = place.stand_in()
    status, said = place.run(place.note(child.pid, "poweroff"))
    assert (status, child.wait(DEADLINE)) == (DONE, -signal.SIGTERM), said


def test_one_that_minds_neither_its_monitor_nor_sigterm_is_killed_in_time(place):
    child = place.stand_in(place.monitor(), "greets stubborn")
    begin = time.monotonic()
    status, said = place.run(place.note(child.pid, "poweroff", place.monitor()))
    assert (status, child.wait(DEADLINE)) == (DONE, -signal.SIGKILL), said
    assert time.monotonic() - begin < 15
    assert "did not answer" in said


def test_a_vmm_without_a_monitor_is_stopped_by_a_signal_and_keeps_its_leases(place):
    child = place.stand_in()
    note = place.note(child.pid, "pause")
    status, said = place.run(note)
    assert status == TEMPFAIL and "keeps its leases" in said
    until(lambda: state_of(child.pid) == "T", "it is stopped")
    assert not os.path.exists(note + ".state")


def test_a_qemu_is_paused_by_its_monitor(place):
    """What it holds cannot be asked where there is no daemon: it stays as it is, paused."""
    child, monitor, truth = place.qemu()
    truth.ask("cont")
    status, said = place.run(place.note(child.pid, "pause", monitor))
    assert status == TEMPFAIL and "told to stop" in said, said
    assert truth.status() == "paused"
    assert state_of(child.pid) != "T"


def test_a_qemu_whose_disk_others_may_still_write_is_stopped_whole(place, folder):
    disk = os.path.join(folder, "disk")
    with open(disk, "wb") as out:
        out.write(os.urandom(1 << 20))
    child, monitor, truth = place.qemu("-blockdev", f"driver=file,filename={disk},node-name=d")
    truth.ask("blockdev-create", **{"job-id": "j", "options": {
        "driver": "file", "filename": os.path.join(folder, "made"), "size": 4096}})
    until(lambda: [job["status"] for job in truth.ask("query-jobs")] == ["concluded"], "a job")
    status, said = place.run(place.note(child.pid, "pause", monitor))
    assert "stopped already" in said and "job" not in said, said
    truth.ask("nbd-server-start", addr={"type": "unix", "data": {"path": place.monitor("nbd")}})
    truth.ask("block-export-add", type="nbd", id="e", **{"node-name": "d", "writable": True})
    status, said = place.run(place.note(child.pid, "pause", monitor))
    assert status == TEMPFAIL and "a job or an export" in said, said
    until(lambda: state_of(child.pid) == "T", "it is stopped")


@pytest.mark.parametrize("hung", [False, True], ids=["no-monitor", "hung-monitor"])
def test_nothing_is_given_back_before_the_guest_has_stopped(place, cluster, hung):
    disk = cluster.disk()
    cluster.make_lease(disk)
    vm = cluster[0].raw(registered=True)
    vm.must("acquire", cluster.lease_of(disk))
    if hung:
        vm.must("listen", place.monitor())
    note = place.note(vm.pid, "pause", place.monitor() if hung else None, owner=user(),
                      run_dir=cluster[0].run_dir)
    child = place.start(note)
    if hung:
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(1)
    else:
        assert child.wait(DEADLINE) == TEMPFAIL
        # Nothing of it runs any more, but it says so itself when it is next on a processor.
        until(lambda: state_of(vm.pid) == "T", "it is stopped")
    assert set(cluster[0].holds(vm.pid)) == {key_of(disk)}
    vm.kill()
    child.communicate(timeout=DEADLINE)


# What it believes

def refused(place, note, child, why):
    status, said = place.run(note)
    assert status == NOPERM and why in said, said
    assert is_there(child.pid) and state_of(child.pid) != "T"


def test_it_acts_on_the_process_that_was_meant_and_on_no_other_that_has_its_pid(place):
    child = place.stand_in()
    note = place.note(child.pid, "poweroff", start=start_of(child.pid) - 1)
    status, said = place.run(note)
    assert status == DONE and "has ended" in said
    assert is_there(child.pid)


def test_a_note_that_others_can_write_is_not_believed(place):
    child = place.stand_in()
    note = place.note(child.pid, "poweroff")
    os.chmod(note, 0o622)
    refused(place, note, child, "others can write it")
    os.chmod(note, 0o600)
    os.chmod(place.notes, 0o777)
    refused(place, note, child, "others can write its directory")


def test_a_note_that_is_a_link_is_not_believed(place):
    child = place.stand_in()
    note = place.note(child.pid, "poweroff", name="real")
    link = os.path.join(place.notes, f"{child.pid}-{start_of(child.pid)}")
    os.symlink(note, link)
    refused(place, link, child, "symbolic link")
    os.unlink(link)
    os.link(note, link)
    refused(place, link, child, "several names")
    os.unlink(link)
    os.mkfifo(link, 0o600)
    refused(place, link, child, "no regular file")


def test_a_note_under_anothers_name_is_not_believed(place):
    child, other = place.stand_in(), place.stand_in()
    note = place.note(child.pid, "poweroff", name=f"{other.pid}-{start_of(other.pid)}")
    refused(place, note, child, "another process")
    assert is_there(other.pid)


@needs_root
def test_a_users_note_of_anothers_process_is_not_believed(place):
    child = place.stand_in()
    refused(place, place.note(child.pid, "poweroff", owner=NOBODY), child, "another's")


@needs_root
def test_of_a_users_note_it_becomes_that_user_first(place):
    """What listens at the monitor's place sees who talks to it."""
    child = place.stand_in(place.monitor(), "hangs up", uid=user())
    assert place.run(place.note(child.pid, "poweroff", place.monitor(), owner=NOBODY))[0] == DONE
    assert child.stdout.readline().split()[1:] == [str(NOBODY)] * 2
    assert child.wait(DEADLINE) == -signal.SIGTERM


@needs_root
def test_of_roots_note_it_stays_root(place):
    child = place.stand_in(place.monitor(), "hangs up", uid=user())
    assert place.run(place.note(child.pid, "poweroff", place.monitor()))[0] == DONE
    assert child.stdout.readline().split()[1:] == ["0", "0"]


def test_a_monitor_that_another_process_listens_at_is_not_talked_to(place):
    child, other = place.stand_in(), place.stand_in(place.monitor(), "greets")
    status, said = place.run(place.note(child.pid, "poweroff", place.monitor()))
    assert status == DONE and "another process" in said
    assert child.wait(DEADLINE) == -signal.SIGTERM
    assert is_there(other.pid)


def test_it_uses_nothing_of_its_environment_and_starts_no_program(place, folder):
    with open(PROGRAM, "rb") as program:
        if b"libasan.so" in program.read():
            pytest.skip("what a sanitizer does would be seen as well")
    trace = os.path.join(folder, "trace")
    child = place.stand_in()
    here = {"SANLOCK_RUN_DIR": "/tmp/theirs", "HOLDFAST_RUN_DIR": "/tmp/theirs",
            "TZ": "/tmp/theirs", "JOURNAL_STREAM": "1:1", "LC_ALL": "/tmp/theirs"}
    status, _ = place.run(place.note(child.pid, "pause"), env=here,
                          prefix=(need("strace"), "-f", "-o", trace))
    assert status == TEMPFAIL
    with open(trace, encoding="utf-8") as text:
        calls = text.read()
    assert calls.count("execve(") == 1 and "clone" not in calls and "fork" not in calls
    assert "theirs" not in calls.split("execve(", 1)[1].split("\n", 1)[1]


def test_closed_standard_files_and_blocked_signals_change_nothing(place):
    child = place.stand_in()
    closing = ("import os, signal, sys; signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65)); "
               "[os.close(fd) for fd in (0, 1, 2)]; os.execve(sys.argv[1], sys.argv[1:], {})")
    status, _ = place.run(place.note(child.pid, "poweroff"),
                          prefix=(sys.executable, "-I", "-S", "-c", closing))
    assert (status, child.wait(DEADLINE)) == (DONE, -signal.SIGTERM)


def test_other_words_than_one_note_do_nothing(place):
    child = place.stand_in()
    note = place.note(child.pid, "poweroff")
    assert place.run()[0] == USAGE
    assert place.run(note, "more")[0] == USAGE
    assert place.run("/etc/passwd")[0] == NOPERM
    assert place.run(os.path.relpath(note))[0] == NOPERM
    assert is_there(child.pid)
