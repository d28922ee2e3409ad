# SPDX-License-Identifier: LGPL-2.1-or-later
"""Signals reach the VMM as if `holdfast run` were not there."""

import os
import pty
import signal
import subprocess

import pytest

from hftest.processes import until

# Fetches signals one by one, so that its own output is never interrupted.
TRAP = ("import signal\n"
        "mine = {1, 2, 3, 10, 12, 15, 28}\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, mine)\n"
        "print('up', flush=True)\n"
        "while True: print(signal.Signals(signal.sigwait(mine)).name, flush=True)\n")


@pytest.mark.parametrize("name", ["SIGHUP", "SIGINT", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGTERM",
                                  "SIGWINCH"])
def test_a_signal_sent_to_us_reaches_the_vmm(cli, name):
    child = cli.hold("vm", vmm=["python3", "-c", TRAP])
    child.send_signal(getattr(signal, name))
    line = child.stdout.readline()
    assert line == name + "\n", (child.wait(10), child.stderr.read())
    assert child.poll() is None


def test_a_vmm_ended_by_our_sigterm_gives_143(cli):
    child = cli.hold("vm")
    child.terminate()
    assert child.wait(10) == 128 + signal.SIGTERM


def test_the_keyboard_interrupts_the_vmm_once(cli):
    """^C goes to the whole foreground group; forwarding it too would interrupt twice."""
    master, slave = pty.openpty()
    counter = ("import os, signal\n"
               "signal.pthread_sigmask(signal.SIG_BLOCK, {2, 15})\n"
               "os.write(1, b'up\\n')\n"
               "n = 0\n"
               "while signal.sigwait({2, 15}) == 2:\n"
               "    n += 1\n"
               "    os.write(1, b'interrupted\\n')\n"
               "os._exit(n)\n")
    child = cli.start("run", "--name=vm", "--", "python3", "-c", counter,
                      prefix=["setsid", "--ctty", "--wait"], stdin=slave, stdout=subprocess.PIPE)
    os.close(slave)
    assert child.stdout.readline() == "up\n"
    pid = cli.vms()["vm"]["pid"]
    os.write(master, b"\x03")
    # The kernel queues it for the whole group at once; what our process forwards, it forwards in
    # order, so that a second interrupt would come before SIGTERM.
    assert child.stdout.readline() == "interrupted\n"
    supervisor = parent_of(pid)
    until(lambda: not pending(supervisor, signal.SIGINT), "the interrupt was taken")
    os.kill(supervisor, signal.SIGTERM)
    assert child.wait(10) == 1
    os.close(master)


def parent_of(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as text:
        return int(text.read().rpartition(")")[2].split()[1])


def pending(pid, number):
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as text:
        masks = [int(line.split()[1], 16) for line in text if line.startswith(("SigPnd", "ShdPnd"))]
    return any(mask & 1 << number - 1 for mask in masks)


def test_the_vmm_gets_the_signal_mask_and_dispositions_that_we_got(cli):
    script = "grep -E 'Sig(Blk|Ign)' /proc/self/status"
    plain = subprocess.run(["sh", "-c", script], stdout=subprocess.PIPE, text=True, check=True)
    ours = cli("run", "--", "sh", "-c", script)
    assert ours.stdout == plain.stdout


def test_the_vm_outlives_a_killed_supervisor_and_keeps_its_lock(cli, disk):
    path = disk()
    child = cli.hold("web0", f"--disk={path}")
    pid = cli.vms()["web0"]["pid"]
    cli.nursery.adopt(pid)
    child.kill()
    child.wait(10)
    assert cli("run", f"--disk={path}", "--", "true").returncode == 75
    os.kill(pid, signal.SIGKILL)
    until(lambda: cli("run", f"--disk={path}", "--", "true").returncode == 0, "the lock is free")
