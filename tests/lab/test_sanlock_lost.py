# SPDX-License-Identifier: LGPL-2.1-or-later
"""A lockspace is lost: what becomes of the VMs whose leases are in it, and when.

Two worlds at once, of daemons and VMs of an ordinary user, with an I/O timeout of 1 s: 8 s
without the lockspace are its loss, and 40 s later what still has leases is killed. In the first
all VMs do as they are told, storage comes back, and those that were paused go on or do not. In the
second nobody does as told.
"""

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from hftest.command import DRIVERS, HOLDFAST, qemu, running
from hftest.processes import Nursery, is_there, state_of, until
from hftest.sanlock import DISKS, PATH, Cluster, as_user, own

from .conftest import TIME_LINE

DEADLINE = 60
# 8 I/O timeouts, and one more until sanlock looks; the program may need a moment of a busy machine.
LOSS, SLACK = 8, 6
GRACE = 40
# Since the last renewal, that is, up to two I/O timeouts before the loss, in whole seconds.
EARLIER = 3.5
RESUME = (HOLDFAST, "sanlock", "resume")
STALE, NOBODY_THERE = 65, 1
PAUSED = ("goes-on", "stale", "managed")

WRITER = """
import os, signal, sys
for number in sys.argv[2:]:
    signal.signal(int(number), signal.SIG_IGN)
print("up", os.getpid(), flush=True)
while True:
    signal.pause()
"""

# Its first process ends; what it leaves behind has inherited the connection to sanlock.
LEAVER = """
import os, signal, sys
if os.fork():
    signal.pause()
print("up", os.getpid(), flush=True)
signal.pause()
"""


class World:
    """A cluster, VMs on it, and what happens to them, in seconds since its loss."""

    def __init__(self, hosts):
        self.nursery = Nursery()
        self.cluster = Cluster(self.nursery, hosts)
        self.events = []
        self.watched = {}
        self.begin = None
        self.over = threading.Event()
        for host in self.cluster.hosts:
            # sanlock parts what it passes on at blanks.
            host.holdfast_dir = os.path.join(host.directory, "r un")
            os.mkdir(host.holdfast_dir)
            own(host.holdfast_dir)
            place = os.path.join(host.directory, "config", "holdfast")
            os.makedirs(place)
            os.symlink(host.conf, os.path.join(place, "holdfast.conf"))
        with open(self.cluster.lockspace, "rb") as lockspace:
            self.areas = {self.cluster.lockspace: lockspace.read()}

    def env(self, host):
        return {"PATH": PATH, "HOLDFAST_DRIVER_DIR": DRIVERS, "HOME": host.directory,
                "XDG_CONFIG_HOME": os.path.join(host.directory, "config"), "LC_ALL": "C.UTF-8",
                **host.env}

    def run(self, host, name, disk, *options, vmm, **how):
        """`holdfast run`; what it becomes is found by the caller."""
        how = {"stdin": subprocess.DEVNULL, "text": True, "cwd": host.directory, **how}
        return self.nursery.spawn(
            as_user([HOLDFAST, "run", "--driver=sanlock", f"--name={name}", f"--disk={disk}",
                     *options, "--", *vmm]), env=self.env(host), **how)

    def qemu(self, host, name, on_lost, *more):
        disk = self.cluster.disk()
        pidfile = os.path.join(host.holdfast_dir, f"{name}.pid")
        vmm = [*qemu("-pidfile", pidfile), "-drive", f"file={disk},format=raw,if=none,id=d"]
        vmm.remove("-S")
        run = self.run(host, name, disk, f"--on-lost={on_lost}",
                       *[f"--disk={path}" for path in more], vmm=vmm)
        pid = running(self.nursery, pidfile)
        until(lambda: host.holds(pid), f"{name} holds its lease")
        return Vm(self, host, name, pid, disk, run)

    def plain(self, host, name, *words, program=WRITER, on_lost=None):
        disk = self.cluster.disk()
        options = [f"--on-lost={on_lost}"] if on_lost else []
        run = self.run(host, name, disk, *options, stdout=subprocess.PIPE,
                       vmm=[sys.executable, "-I", "-S", "-c", program, name, *map(str, words)])
        line = run.stdout.readline().split()
        assert line[:1] == ["up"], line
        pid = self.nursery.adopt(int(line[1]))
        return Vm(self, host, name, pid, disk, run)

    # What happens

    def watch(self, *vms):
        self.watched = {vm.name: vm for vm in vms}
        last = {}

        def look():
            while not self.over.wait(0.02):
                for name, vm in self.watched.items():
                    now = vm.look()
                    if now != last.get(name):
                        last[name] = now
                        self.events.append((time.monotonic() - self.begin, name, now))

        threading.Thread(target=look, daemon=True).start()

    def lose(self, *vms):
        """The lockspace is cut to nothing; leases' own files stay."""
        with open(self.cluster.lockspace, "rb") as lockspace:
            self.areas[self.cluster.lockspace] = lockspace.read()
        self.begin = time.monotonic()
        self.watch(*vms)
        os.truncate(self.cluster.lockspace, 0)

    def heal(self):
        for path, text in self.areas.items():
            with open(path, "r+b") as out:
                out.write(text)

    def when(self, name, state):
        """Seconds from the loss until the VM was first seen so."""
        def seen():
            return [at for at, who, now in list(self.events) if who == name and now == state]
        return until(seen, f"{name} is {state}", LOSS + GRACE + DEADLINE)[0]

    def tell(self, title):
        print(f"{TIME_LINE}{title}:")
        for at, name, now in self.events:
            print(f"  {at:6.2f} s  {name:<12} {now}")

    def close(self):
        self.over.set()
        self.nursery.close()


class Vm:
    def __init__(self, world, host, name, pid, disk, run):
        self.world, self.host, self.name = world, host, name
        self.pid, self.disk, self.run = pid, disk, run
        self.note, = [os.path.join(host.holdfast_dir, "holdfast", "sanlock", entry)
                      for entry in os.listdir(
                          os.path.join(host.holdfast_dir, "holdfast", "sanlock"))
                      if self.registered(entry)]

    def registered(self, entry):
        if "." in entry:
            return False
        path = os.path.join(self.host.holdfast_dir, "holdfast", "sanlock", entry)
        with open(path, encoding="utf-8") as text:
            return f'name = "{self.name}"\n' in text.read()

    @property
    def monitor(self):
        with open(self.note, encoding="utf-8") as text:
            line, = [line for line in text if line.startswith("monitor")]
        return line.split('"')[1]

    def look(self):
        if not is_there(self.pid):
            return "dead"
        if os.path.exists(self.note + ".state"):
            return "paused"
        return "stopped" if state_of(self.pid) == "T" else "there"

    def ask(self, *commands):
        """By its monitor, which has one client at a time."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(DEADLINE)
            connection.connect(self.monitor)
            stream = connection.makefile("rw")
            stream.readline()
            answers = []
            for command in ("qmp_capabilities", *commands):
                stream.write(json.dumps({"execute": command}) + "\n")
                stream.flush()
                answer = json.loads(stream.readline())
                while "event" in answer:
                    answer = json.loads(stream.readline())
                answers.append(answer["return"])
            return answers[-1]

    def status(self):
        return self.ask("query-status")["status"]

    def resume(self, *words):
        return subprocess.run(as_user([*RESUME, *(words or [self.name])]),
                              env=self.world.env(self.host), stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=DEADLINE, check=False)


@pytest.fixture(scope="module")
def worlds():
    """Both are made, and lose their lockspaces, at once."""
    made, faults = {}, []

    def make(name, fill, hosts):
        try:
            made[name] = World(hosts)
            fill(made[name])
        except (AssertionError, OSError, ValueError) as fault:
            faults.append(fault)

    threads = [threading.Thread(target=make, args=args)
               for args in (("mild", fill_mild, 2), ("wild", fill_wild, 1))]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if faults:
            raise faults[0]
        yield made
    finally:
        for name, world in made.items():
            world.tell(name)
            world.close()


def fill_mild(world):
    alpha = world.cluster[0]
    world.second = world.cluster.disk()
    world.vms = {vm.name: vm for vm in (
        world.qemu(alpha, "off", "kill"), world.qemu(alpha, "goes-on", "pause", world.second),
        world.qemu(alpha, "stale", "pause"), world.qemu(alpha, "managed", "pause"),
        world.plain(alpha, "default"),
        world.plain(alpha, "off-plain", on_lost="kill"))}
    assert all(world.cluster[0].holds(vm.pid) for vm in world.vms.values())
    world.lose(*world.vms.values())


def fill_wild(world):
    alpha = world.cluster[0]
    term = int(signal.SIGTERM)
    leaver = world.plain(alpha, "leaver", program=LEAVER, on_lost="pause")
    mute = world.qemu(alpha, "mute", "pause")
    robbed = world.qemu(alpha, "robbed", "pause")
    # Whoever is the one client of a monitor makes it mute for all others.
    world.occupied = []
    for vm in (mute, robbed):
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(vm.monitor)
        world.occupied.append(connection)
    world.vms = {vm.name: vm for vm in (
        mute, robbed, leaver, world.plain(alpha, "stubborn", term),
        world.plain(alpha, "off-stubborn", term, on_lost="kill"),
        world.plain(alpha, "no-monitor", on_lost="pause"))}
    # The first process of the VM, whose pid sanlock has.
    world.first = int(os.path.basename(leaver.note).split("-")[0])
    os.kill(world.first, signal.SIGKILL)
    until(lambda: not is_there(world.first), "the first process is gone")
    world.lose(*world.vms.values())
    world.killed = kill_helper(world, robbed)


def kill_helper(world, vm):
    """SIGKILL for the program that is to pause that VM, as soon as it runs."""
    word = os.fsencode(vm.note)

    def find():
        for entry in os.listdir("/proc"):
            try:
                with open(f"/proc/{entry}/cmdline", "rb") as text:
                    words = text.read().split(b"\0")
            except (OSError, ValueError):
                continue
            if words[0].endswith(b"holdfast-sanlock-killpath") and word in words:
                return int(entry)
        return 0

    pid = until(find, "it is run", LOSS + SLACK + DEADLINE)
    os.kill(pid, signal.SIGKILL)
    return time.monotonic() - world.begin


@pytest.fixture(scope="module")
def mild(worlds):
    return worlds["mild"]


@pytest.fixture(scope="module")
def wild(worlds):
    return worlds["wild"]


@pytest.fixture(scope="module")
def healed(mild):
    """Storage is back, the first world's hosts join again, and a VM goes on."""
    for name in mild.vms:
        mild.when(name, "paused" if name in PAUSED else "dead")
    # A host leaves a lockspace that it has lost when nobody needs it any more.
    for host in mild.cluster.hosts:
        until(lambda h=host: left(h), f"{host.name} has left", DEADLINE)
    mild.heal()
    mild.cluster[1].join()
    vm, lease = mild.vms["goes-on"], mild.cluster.lease_of(mild.second)[2]
    os.rename(lease, lease + ".away")
    # The other host joins by this.
    mild.failed = vm.resume(), vm.look()
    os.rename(lease + ".away", lease)
    mild.resumed = vm.resume()
    return mild


def left(host):
    return host.asker.joined(DISKS, host.id, host.cluster.lockspace)["r"] == -errno.ENOENT


@pytest.mark.parametrize("name, state", [
    ("off", "dead"), ("off-plain", "dead"), ("default", "dead"), ("goes-on", "paused"),
    ("stale", "paused"), ("managed", "paused")])
def test_each_action_is_carried_out_when_the_lockspace_has_failed_and_not_before(mild, name,
                                                                               state):
    assert LOSS - EARLIER <= mild.when(name, state) <= LOSS + SLACK


def test_a_qemu_that_is_to_end_is_told_to_quit_and_has_not_failed(mild):
    mild.when("off", "dead")
    assert mild.vms["off"].run.wait(DEADLINE) == 0


def test_a_vm_without_an_action_gets_sanlocks_own_signal(mild):
    mild.when("default", "dead")
    assert mild.vms["default"].run.wait(DEADLINE) == 128 + signal.SIGTERM


def test_a_paused_vm_lives_on_without_its_leases(healed):
    vm = healed.vms["stale"]
    assert vm.look() == "paused" and vm.status() == "paused"
    assert healed.cluster[0].holds(vm.pid) == {}


def test_a_paused_vm_goes_on_when_storage_is_back(healed):
    vm, done = healed.vms["goes-on"], healed.resumed
    assert done.returncode == 0, done.stderr
    assert "runs" in done.stdout
    assert vm.status() == "running"
    assert healed.cluster[0].owner(vm.disk) == healed.cluster[0].id
    assert not os.path.exists(vm.note + ".state")
    again = vm.resume()
    assert again.returncode == NOBODY_THERE and "nothing to take back" in again.stderr


def test_a_resume_that_fails_takes_nothing_and_can_be_made_up_for(healed):
    """The lease that was had in vain has another version since, by our own doing."""
    vm, (failed, state) = healed.vms["goes-on"], healed.failed
    assert failed.returncode not in (0, STALE), failed.stderr
    assert "joining" in failed.stderr and "is not resumed" in failed.stderr
    assert state == "paused"
    assert sorted(healed.cluster[0].holds(vm.pid).values()) == [2, 3]


def test_a_paused_vm_whose_disk_was_used_elsewhere_does_not_go_on(healed):
    vm = healed.vms["stale"]
    other = healed.cluster[1].raw(registered=True)
    other.must("acquire", healed.cluster.lease_of(vm.disk))
    while_used = vm.resume()
    other.kill()
    until(lambda: not healed.cluster[1].owner(vm.disk), "it is given back")
    for done in (while_used, vm.resume(str(vm.pid)), vm.resume()):
        assert done.returncode == STALE, done.stderr
        assert "was used elsewhere" in done.stderr and "version 1 then" in done.stderr
    assert vm.status() == "paused" and healed.cluster[0].holds(vm.pid) == {}


def test_whoever_manages_a_paused_vm_cannot_let_it_go_on_where_its_disk_was_used(healed):
    """He knows of no pause, and gives no state: what was noted then is demanded."""
    alpha, beta = healed.cluster.hosts
    vm, stale = healed.vms["managed"], healed.vms["stale"]
    manager = alpha.manager(vm, vm.disk)
    assert manager.resume()["r"] == 0
    assert list(alpha.holds(vm.pid).values()) == [2]
    assert not os.path.exists(vm.note + ".state")
    other = beta.raw(registered=True)
    other.must("acquire", healed.cluster.lease_of(stale.disk))
    other.kill()
    until(lambda: not beta.owner(stale.disk), "it is given back")
    refused = alpha.manager(stale, stale.disk).resume()
    assert refused["r"] == -errno.ESTALE, refused
    assert os.path.exists(stale.note + ".state")


def test_a_vm_whose_monitor_is_mute_is_stopped_and_then_killed(wild):
    assert wild.when("mute", "stopped") <= LOSS + 12 + SLACK
    assert LOSS + GRACE - EARLIER <= wild.when("mute", "dead") <= LOSS + GRACE + SLACK
    assert not os.path.exists(wild.vms["mute"].note + ".state")


def test_a_vm_without_a_monitor_is_stopped_and_then_killed(wild):
    assert wild.when("no-monitor", "stopped") <= LOSS + SLACK
    assert LOSS + GRACE - EARLIER <= wild.when("no-monitor", "dead") <= LOSS + GRACE + SLACK


def test_a_vm_that_minds_no_sigterm_is_killed_by_the_program_and_else_by_sanlock(wild):
    assert wild.when("off-stubborn", "dead") <= LOSS + 3 + SLACK
    assert LOSS + GRACE - EARLIER <= wild.when("stubborn", "dead") <= LOSS + GRACE + SLACK


def test_where_the_program_is_killed_sanlock_kills_the_vm(wild):
    assert wild.killed <= LOSS + SLACK
    assert LOSS + GRACE - EARLIER <= wild.when("robbed", "dead") <= LOSS + GRACE + SLACK


def test_who_has_inherited_the_connection_keeps_the_lease_and_is_killed_by_nobody(wild):
    """Such a host is what a watchdog is for: sanlock has a pid that is gone."""
    for name in wild.vms:
        if name != "leaver":
            wild.when(name, "dead")
    assert wild.vms["leaver"].look() == "there"
    assert wild.cluster[0].holds(wild.first) is not None
