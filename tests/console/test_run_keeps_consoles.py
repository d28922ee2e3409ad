# SPDX-License-Identifier: LGPL-2.1-or-later
"""`holdfast run` with a real QEMU: its terminals are found, and belong to the console daemon."""

import concurrent.futures
import glob
import os
import re
import signal
import socket
import subprocess
import sys

import pytest

from hftest import console_wire as wire
from hftest.command import Cli, end, need
from hftest.console_guest import ConsoleGuest, numbered
from hftest.consoled import Consoled
from hftest.processes import children, is_there, kill_family, until
from hftest.still import need_mounts


@pytest.fixture
def consoled(nursery, folder):
    return Consoled(nursery, os.path.join(folder, "c"))


@pytest.fixture
def cli(nursery, folder, consoled):
    """The command where consoles are kept."""
    return Cli(nursery, folder, consoled.run_dir)


@pytest.fixture
def run(cli, nursery, folder):
    """Starts a guest by `holdfast run`; called with its name, lines and the verb's options."""
    def start(name="web1", *options, **how):
        return ConsoleGuest(
            nursery, folder, name,
            start=lambda argv: cli.start("run", "--driver=nop", f"--name={name}", *options, "--",
                                         *argv, stdout=subprocess.DEVNULL,
                                         stderr=open(f"{folder}/{name}.err", "ab")), **how)
    return start


def said(folder, name="web1"):
    with open(f"{folder}/{name}.err", encoding="utf-8") as text:
        return text.read()


def held(consoled, *devices, vm="web1"):
    """The VM's consoles, when exactly these are held."""
    def look():
        found = {one.device: one for one in wire.consoles(consoled.socket)
                 if one.vm == vm and one.state == wire.HELD}
        return found if sorted(found) == sorted(devices) else None
    return until(look, f"{devices} of {vm} are held", 30)


def test_a_console_is_held_from_the_start_by_what_qemu_calls_it(run, consoled):
    guest = run()
    console = held(consoled, "serial0")["serial0"]
    assert console.path == guest.pty
    assert console.pid == guest.pid
    assert console.registered
    assert console.clients == []
    with wire.Client(consoled.socket, vm="web1") as client:
        client.wake()
        client.type("p20\r")
        client.read_until(numbered(20))


def is_up(guest):
    """It has said that it is ready, and waits for its interrupts."""
    said = guest.monitor.ask("human-monitor-command", **{"command-line": "info registers"})
    where = re.search(r"\bEIP=0000([0-9a-f]{4})", said)
    return "HLT=1" in said and where and 0x7c00 <= int(where.group(1), 16) < 0x7e00


def test_what_a_guest_prints_before_the_daemon_has_time_for_it_is_not_lost(run, consoled):
    family = [consoled.pid, *children(consoled.pid)]
    for pid in family:
        os.kill(pid, signal.SIGSTOP)
    try:
        guest = run()
        until(lambda: is_up(guest), "the guest is up", 60)
    finally:
        for pid in family:
            os.kill(pid, signal.SIGCONT)
    held(consoled, "serial0")
    with wire.Client(consoled.socket, vm="web1", replay=100) as client:
        client.read_until(b"ready\r\n")


def test_each_terminal_is_found_and_monitors_are_not_taken(run, consoled):
    run(serial=("-serial", "pty", "-chardev", "pty,id=second", "-serial", "chardev:second",
                "-monitor", "pty", "-chardev", "pty,id=mine", "-mon", "mine,mode=control"))
    held(consoled, "serial0", "second")


def test_a_break_reaches_the_guest(run, consoled):
    run()
    held(consoled, "serial0")
    with wire.Client(consoled.socket, vm="web1") as client:
        client.wake()
        for number in (1, 2):
            client.act(wire.BREAK)
            client.read_until(b"break %03d" % number)


def test_breaks_that_are_asked_for_at_once_are_all_sent(run, consoled):
    run()
    held(consoled, "serial0")
    with wire.Client(consoled.socket, vm="web1") as client:
        client.wake()
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            for asked in [pool.submit(client.act, wire.BREAK) for _ in range(4)]:
                asked.result()
        client.read_until(b"break 00")


def test_a_break_that_the_monitor_does_not_send_is_an_error(run, consoled, folder):
    run()
    held(consoled, "serial0")
    path, = glob.glob(os.path.join(folder, "**", "monitors", "*.qmp"), recursive=True)
    with wire.Client(consoled.socket, vm="web1") as client:
        with socket.socket(socket.AF_UNIX) as somebody:
            somebody.connect(path)
            assert b"QMP" in somebody.recv(4096)
            with pytest.raises(wire.Refused, match="has sent no break"):
                client.act(wire.BREAK)
        client.wake()
        client.act(wire.BREAK)
        # The first one may have been sent, late: that it was is not known.
        client.read_until(b"break 00")


def test_without_a_monitor_they_are_found_by_descriptors(run, consoled, folder):
    guest = run("web1", "--no-monitor")
    assert held(consoled, "serial0")["serial0"].path == guest.pty
    with wire.Client(consoled.socket, vm="web1") as client:
        client.wake()
        client.type("p2\r")
        client.read_until(numbered(2))
        with pytest.raises(wire.Refused):
            client.act(wire.BREAK)
    assert said(folder) == ""


# In a devpts of its own, where this many terminals are open already, executes what is behind.
OPEN_SOME = """
import os, sys
for end in (end for _ in range(int(sys.argv[1])) for end in os.openpty()):
    os.set_inheritable(end, True)
os.execv(sys.argv[2], sys.argv[2:])
"""


def test_a_terminal_of_another_devpts_is_not_taken_for_ours_of_that_number(run, consoled, folder,
                                                                           monkeypatch):
    need_mounts()
    qemu, wrapper = need("qemu-system-x86_64"), os.path.join(folder, "qemu-system-x86_64")
    # Its terminal gets the number of one that is somebody's here.
    ends = os.openpty()
    number = int(os.path.basename(os.ttyname(ends[1])))
    with open(wrapper, "w", encoding="ascii") as script:
        script.write(f"""#!/bin/sh
exec unshare -m sh -c 'mount -t devpts -o ptmxmode=666 devpts /dev/pts &&
    mount --bind /dev/pts/ptmx /dev/ptmx && exec "$@"' sh {sys.executable} -c '{OPEN_SOME}' \
    {number} {qemu} "$@"
""")
    os.chmod(wrapper, 0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    run()
    until(lambda: "here that is another terminal" in said(folder), "a warning", 20)
    assert wire.consoles(consoled.socket) == []
    for end_of_pair in ends:
        os.close(end_of_pair)


def test_they_are_left_alone_where_that_is_asked_for(run, consoled):
    guest = run("web1", "--no-console")
    with guest.terminal() as terminal:
        terminal.type("p2\r")
        terminal.read_until(numbered(2))
    assert wire.consoles(consoled.socket) == []


def test_a_vm_that_leaves_its_first_process_has_its_consoles(cli, run, consoled, folder, nursery):
    def start(argv):
        answer = cli("run", "--driver=nop", "--name=web1", "--", *argv, "-daemonize")
        assert answer.returncode == 0, answer.stderr
        return subprocess.Popen(["true"])
    guest = ConsoleGuest(nursery, folder, "web1", start=start)
    assert held(consoled, "serial0")["serial0"].pid == guest.pid


def test_with_exec_the_vmm_is_who_was_started(cli, consoled, folder, nursery):
    guest = ConsoleGuest(nursery, folder, "web1", start=lambda argv: cli.start(
        "run", "--driver=nop", "--name=web1", "--exec", "--", *argv, stdout=subprocess.DEVNULL))
    assert guest.child.pid == guest.pid
    assert held(consoled, "serial0")["serial0"].pid == guest.pid
    with open(f"/proc/{guest.pid}/task/{guest.pid}/children", encoding="ascii") as children:
        assert children.read() == ""


def test_where_nobody_keeps_consoles_it_is_one_warning_and_the_vm_runs(nursery, folder):
    lonely = Cli(nursery, folder, f"{folder}/nowhere")
    lonely.env["HOLDFAST_CONSOLED"] = f"{folder}/no-such-daemon"
    with open(f"{folder}/web1.err", "ab") as errors:
        guest = ConsoleGuest(nursery, folder, "web1", start=lambda argv: lonely.start(
            "run", "--driver=nop", "--name=web1", "--", *argv, "-serial", "pty",
            stdout=subprocess.DEVNULL, stderr=errors))
    until(lambda: "is not kept" in said(folder), "a warning", 20)
    with guest.terminal() as terminal:
        terminal.type("p2\r")
        terminal.read_until(numbered(2))
    assert said(folder).count("\n") == 1, said(folder)


def test_a_vm_that_ends_while_it_is_followed_is_no_fault(cli, folder):
    answer = cli("run", "--driver=nop", "--", need("qemu-system-x86_64"), "-serial", "pty",
                 "-no-such-option")
    assert answer.returncode == 1
    assert "holdfast" not in answer.stderr


def test_a_vm_of_the_same_name_takes_the_place_of_the_one_before(run, consoled):
    guest = run()
    held(consoled, "serial0")
    end(guest.child)
    until(lambda: not is_there(guest.pid), "the VM's end")
    again = run()
    until(lambda: held(consoled, "serial0")["serial0"].pid == again.pid, "the second VM is held")
    with wire.Client(consoled.socket, vm="web1") as client:
        client.wake()
        client.type("p2\r")
        client.read_until(numbered(2))


def test_a_daemon_that_starts_anew_finds_the_consoles_of_living_vms_again(run, consoled):
    guest, gone = run(), run("web2")
    held(consoled, "serial0")
    held(consoled, "serial0", vm="web2")
    kill_family(consoled.pid)
    consoled.expected_to_live = False
    end(gone.child)
    consoled.start()
    console = held(consoled, "serial0")["serial0"]
    assert (console.path, console.pid, console.registered) == (guest.pty, guest.pid, True)
    assert [one.vm for one in wire.consoles(consoled.socket)] == ["web1"]
    with wire.Client(consoled.socket, vm="web1") as client:
        client.wake()
        client.act(wire.BREAK)
        client.read_until(b"break 001")


def test_of_a_killed_vm_no_console_stays(cli, run, consoled):
    guest = run()
    held(consoled, "serial0")
    guest.kill()
    until(lambda: wire.consoles(consoled.socket) == [], "its console is gone", 20)
    answer = cli("console", "web1")
    assert answer.returncode == 66, answer
    assert "web1" in answer.stderr
