# SPDX-License-Identifier: LGPL-2.1-or-later
"""The console of a real Linux: from its first word to its last, with a shell, watchers, and SysRq."""

import os
import re
import subprocess
import tempfile

import pytest

from hftest import console_wire as wire
from hftest import processes
from hftest.command import Cli
from hftest.consoled import Consoled

from . import guest

LINES = 2000


class ShellMachine(guest.Machine):
    """A kernel, and a shell."""

    modules = ()
    init = os.path.join(guest.HERE, "init-shell")


@pytest.fixture
def world(tmp_path):
    """A folder with a short path, and who owns the test's processes."""
    with tempfile.TemporaryDirectory(prefix="hf-") as folder:
        nursery = processes.Nursery()
        try:
            yield folder, nursery
        finally:
            nursery.close()


def test_the_console_of_a_linux_is_whole_and_the_same_for_all_who_read_it(world):
    folder, nursery = world
    machine = ShellMachine(folder)
    consoled = Consoled(nursery, os.path.join(folder, "c"))
    cli = Cli(nursery, folder, consoled.run_dir)
    words = guest.KERNEL_WORDS.replace("quiet ", "")
    cli.start("run", "--driver=nop", "--name=linux", "--", guest.program("qemu-system-x86_64"),
              "-accel", "tcg", "-cpu", "max", "-m", "256", "-nodefaults", "-display", "none",
              "-no-reboot", "-serial", "pty", "-kernel", machine.kernel, "-initrd",
              machine.initramfs, "-append", words, stdout=subprocess.DEVNULL)
    processes.until(lambda: [one for one in wire.consoles(consoled.socket) if one.vm == "linux"],
                    "the console is held", 30)
    writer = wire.Client(consoled.socket, vm="linux", replay=100000)
    watchers = [wire.Client(consoled.socket, vm="linux", flags=wire.WATCH, replay=100000)
                for _ in range(2)]
    writer.read_until(b"machine# ", 120)
    assert b"Linux version" in writer.seen and b"this machine is up" in writer.seen
    writer.type(f"seq -w 1 {LINES}\n")
    for one in (writer, *watchers):
        one.read_until(b"\n%04d\r\n" % LINES)
        found = [int(number) for number in re.findall(rb"(?<=\n)(\d{4})\r\n", one.seen)]
        assert found == list(range(1, LINES + 1))
    # A break, and a letter behind it, is for the kernel.
    for count in range(1, 4):
        writer.act(wire.BREAK)
        writer.type("h")
        writer.read_until(re.compile(rb"(sysrq: HELP[^\n]*\n.*?){%d}" % count, re.S))
    writer.type("\x15exit\n")
    for one in (writer, *watchers):
        one.await_notice(wire.IS_ENDED, 60)
        one.read_to_end()
        # What is printed in the instant of the VMM's end the kernel may drop with the terminal.
        assert b"exit" in one.seen.split(b"sysrq: HELP")[-1], one.seen[-500:]
        assert one.seen == writer.seen
        one.close()
    assert watchers[0].seen.endswith(writer.seen[-2000:])
