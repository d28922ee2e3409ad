# SPDX-License-Identifier: LGPL-2.1-or-later
"""Consoles of a stock libvirt's domains, found by name; one program at a time has each."""

import os
import re
import select
import signal
import subprocess
import time
import uuid

import pytest

from hftest.console_guest import boot_sector, lines_of, numbered

from .lab import BUILD, HOLDFAST, HOLDFAST_ENVIRONMENT, QEMU, QEMU_CONF_ROOT, SystemLab
from .namespace import until

# All below /run, which is the lab's own.
ENVIRONMENT = {**HOLDFAST_ENVIRONMENT, "HOLDFAST_RUN_DIR": "/run"}
CONSOLED = BUILD / "src/console/holdfast-consoled"
DEADLINE = 60

PTY = "<serial type='pty'/>"
SOCKET = "<serial type='unix'><source mode='bind' path='/run/line'/></serial>"
CHANNEL = ("<channel type='unix'><source mode='bind' path='/run/agent'/>"
           "<target type='virtio' name='org.example.0'/></channel>")
FILE = "<serial type='file'><source path='/run/out'/></serial>"


class ConsoleLab(SystemLab):
    """libvirtd without a lock manager, and a console daemon."""

    def _configure(self):
        super()._configure()
        (self._etc / "qemu.conf").write_text(
            QEMU_CONF_ROOT.replace('lock_manager = "lockd"', 'lock_manager = "nop"'))

    def start_libvirtd(self):
        self.ns.run(["mkdir", "-p", "/run/lock"])
        super().start_libvirtd()
        self.ns.spawn([CONSOLED], self.workdir / "consoled.log", env=ENVIRONMENT)
        until(lambda: self.ns.listening("/run/holdfast/console-sock"),
              "the console daemon serves")

    def domain(self, name, *devices):
        """A running domain with the guest that talks over its first serial line."""
        self.define(name, f"<domain type='qemu'><name>{name}</name><uuid>{uuid.uuid4()}</uuid>"
                    "<memory unit='MiB'>16</memory>"
                    "<os><type arch='x86_64' machine='pc'>hvm</type></os><devices>"
                    f"<emulator>{QEMU}</emulator>"
                    "<disk type='file' device='disk'><driver name='qemu' type='raw'/>"
                    f"<source file='{boot_sector(str(self.workdir))}'/>"
                    "<target dev='hda' bus='ide'/></disk>"
                    "<controller type='usb' model='none'/><memballoon model='none'/>"
                    f"{''.join(devices)}</devices></domain>")
        self.virsh("start", name)

    def end(self, name):
        self.try_virsh("destroy", name)
        self.try_virsh("undefine", name)

    def console(self, *words):
        """`holdfast console`, run to its end with nothing to read."""
        return self.ns.run([HOLDFAST, "console", *words], env=ENVIRONMENT)

    def terminal(self, *command):
        return Talk(subprocess.Popen([*self.ns._enter, *map(str, command)], env=ENVIRONMENT,
                                     stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                     stderr=subprocess.PIPE))


class Talk:
    """A program through which somebody talks to a guest."""

    def __init__(self, child):
        self.child, self.seen = child, b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.kill()
        self.child.wait()
        for pipe in (self.child.stdin, self.child.stdout, self.child.stderr):
            try:
                pipe.close()
            except BrokenPipeError:
                pass

    def type(self, text):
        os.write(self.child.stdin.fileno(), text)

    def read(self, seconds):
        if select.select([self.child.stdout], [], [], seconds)[0]:
            self.seen += os.read(self.child.stdout.fileno(), 65536)

    def until(self, pattern, typing=b""):
        end = time.monotonic() + DEADLINE
        while not re.search(pattern, self.seen):
            assert self.child.poll() is None, (self.seen, self.child.stderr.read())
            assert time.monotonic() < end, (pattern, self.seen)
            if typing:
                self.type(typing)
            self.read(0.3)
        return self.seen


@pytest.fixture(scope="module")
def host(machine, cache, tmp_path_factory):
    if not CONSOLED.exists():
        pytest.fail(f"{CONSOLED} is not built")
    lab = ConsoleLab(tmp_path_factory.mktemp("consoles"),
                     BUILD / "src/daemon/holdfastd", None, cache)
    yield lab
    lab.close()


@pytest.fixture
def domain(host):
    made = []

    def make(*devices, name="guest1"):
        made.append(name)
        host.domain(name, *devices)
        return name
    yield make
    for name in made:
        host.end(name)


def talk_to(host, *words):
    return host.terminal(HOLDFAST, "console", "--linger=60", *words)


def test_a_domains_console_is_found_by_its_name(host, domain):
    name = domain(PTY)
    with talk_to(host, name) as talk:
        talk.until(rb"heard hello", b"hello\r")
        talk.type(b"p20\r")
        talk.until(re.escape(numbered(20, 20)))
        assert lines_of(talk.seen) == list(range(1, 21))
        listed = host.console("list").stdout
        assert name in listed and "serial0" in listed


def test_by_its_uuid_and_its_device_also_where_that_is_a_socket(host, domain):
    name = domain(SOCKET, PTY, CHANNEL)
    ident = host.virsh("domuuid", name).strip()
    for words in (f"{name}:serial0", ident):
        with talk_to(host, words) as talk:
            talk.until(rb"heard hello", b"hello\r")
    with talk_to(host, f"{name}:org.example.0"):
        until(lambda: "channel0" in host.console("list").stdout, "it is attached")
    answer = host.console(f"{name}:serial9")
    assert answer.returncode == 66
    assert "serial0, serial1, channel0 (org.example.0)" in answer.stderr


def test_what_cannot_be_attached_to_says_why(host, domain):
    name = domain(FILE)
    answer = host.console(name)
    assert answer.returncode not in (0, 1)
    assert '"file"' in answer.stderr
    host.virsh("destroy", name)
    answer = host.console(name)
    assert (answer.returncode, "does not run" in answer.stderr) == (66, True), answer
    answer = host.console("no-such-domain")
    assert (answer.returncode, "no-such-domain" in answer.stderr) == (66, True), answer


def test_where_virsh_is_connected_nobody_else_gets_in_and_is_told_of_libvirtd(host, domain):
    name = domain(PTY)
    with talk_to(host, name) as talk:
        talk.until(rb"heard hello", b"hello\r")
    # By its end it is free for virsh.
    with host.terminal("script", "-qec", f"virsh -c qemu:///system console {name}",
                       "/dev/null") as virsh:
        virsh.until(rb"heard virsh", b"virsh\r")
        answer = host.console(name)
        assert answer.returncode == 75, answer
        assert f"pid {host.libvirtd_pid}" in answer.stderr, answer.stderr
        virsh.type(b"p20\r")
        virsh.until(re.escape(numbered(20, 20)))
        assert lines_of(virsh.seen) == list(range(1, 21))
        virsh.type(b"\x1d")
        virsh.child.wait(DEADLINE)
    with talk_to(host, name) as talk:
        talk.until(rb"heard again", b"again\r")


def test_where_we_are_connected_virsh_does_not_get_in_and_is_told_who_has_it(host, domain):
    name = domain(PTY)
    with talk_to(host, name) as talk:
        talk.until(rb"heard hello", b"hello\r")
        with host.terminal("script", "-qec", f"virsh -c qemu:///system console {name}",
                           "/dev/null") as virsh:
            virsh.until(rb"LCK\.\._pts_")
            virsh.child.wait(DEADLINE)
        talk.type(b"p20\r")
        talk.until(re.escape(numbered(20, 20)))
        assert lines_of(talk.seen) == list(range(1, 21))


def test_a_domain_that_is_killed_and_started_again_has_its_console_at_once(host, domain):
    name = domain(PTY)
    with talk_to(host, name) as talk:
        talk.until(rb"heard hello", b"hello\r")
        pid = int(host.inside(f"/run/libvirt/qemu/{name}.pid").read_text())
        host.ns.kill(pid, signal.SIGKILL)
        until(lambda: talk.child.poll() is not None, "the console has ended")
    until(lambda: host.virsh("domstate", name).strip() == "shut off", "libvirt has noticed")
    host.virsh("start", name)
    with talk_to(host, name) as talk:
        talk.until(rb"heard hello", b"hello\r")
