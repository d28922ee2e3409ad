# SPDX-License-Identifier: LGPL-2.1-or-later
"""Hosts that are cut off from the file server while their VMs hold locks.

Host a has a QEMU with a monitor and a plain process as VMs, which are to be paused; host k one that
is to be killed, w one that is to be warned of only, u one without a wish; on host x the daemon's
server is killed in the middle. Argument: "taken", host b takes the locks while they are cut off, or
"healed", nobody does; then the server is stopped for some seconds as well.
"""

import json
import os
import signal
import socket
import subprocess
import time

from hftest import command, wire
from hftest.processes import is_there, state_of
from lab.inside import locks, nfs
from lab.inside.report import until

# Appends the time until it is stopped; a line a tenth of a second.
WRITER = """
import os, sys, time
out = os.open(sys.argv[1], os.O_RDWR | os.O_APPEND)
print("up", flush=True)
while True:
    os.write(out, b"%.3f\\n" % time.monotonic())
    time.sleep(0.1)
"""
LOG_FILE = nfs.SHARED + "/log-{}"
LOG = f'log_level = 1\nlog_outputs = "1:file:{LOG_FILE}"\n'
POLL = 0.02
# From the cut on; the daemon has a margin of a fifth of the lease.
ACTED_WITHIN = nfs.LEASE
PATIENCE = 60
OUTAGE = 5


class VmOf:
    """A VM under `holdfast run`; its process is a child of that."""

    def __init__(self, host, cli, name, action, words):
        self.host, self.cli, self.name = host, cli, name
        self.image = f"{nfs.MOUNT}/{name}.img"
        wish = [f"--on-lost={action}"] if action else []
        self.run = cli.start("run", f"--name={name}", *wish, *words(self),
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.pid = until(self.find, f"the process of {name}: {self.run.poll()}", PATIENCE)
        self.owner = wire.Owner(name, self.pid)

    def find(self):
        found = command.descendants(self.run.pid)
        if self.run.poll() is not None:
            raise OSError(self.run.stderr.read())
        return found and found[0]

    def shown(self):
        return self.cli.vms().get(self.name, {})

    def stopped(self):
        """It does nothing more, though the kernel may still try to write what it was told."""
        return state_of(self.pid) == "T" or (state_of(self.pid) == "D" and self.is_to_stop())

    def is_to_stop(self):
        with open(f"/proc/{self.pid}/status", encoding="ascii", errors="replace") as text:
            pending = [line.split()[1] for line in text if line.startswith(("SigPnd", "ShdPnd"))]
        return any(int(word, 16) & 1 << signal.SIGSTOP - 1 for word in pending)

    def runs(self):
        return is_there(self.pid) and not self.stopped()

    def runs_again(self):
        return self.runs()


class Writer(VmOf):
    def __init__(self, host, cli, name, action):
        super().__init__(host, cli, name, action, lambda vm: (
            f"--disk={vm.image}", "--", "/usr/bin/python3", "-I", "-S", "-c", WRITER, vm.image))
        assert self.run.stdout.readline() == "up\n", self.run.stderr.read()


class Idler(VmOf):
    """Has nothing to write. What has something on its way when the server falls silent ends
    only when that answers, however it is killed."""

    def __init__(self, host, cli, name, action):
        super().__init__(host, cli, name, action, lambda vm: (
            f"--disk={vm.image}", "--", "sleep", "600"))


class Qemu(VmOf):
    """Has a second monitor, by which it is asked how it is."""

    def __init__(self, host, cli, name, action, folder):
        self.path = f"{folder}/{name}.qmp"
        super().__init__(host, cli, name, action, lambda vm: (
            "--", "qemu-system-x86_64", "-accel", "tcg", "-M", "none", "-display", "none",
            "-drive", f"file={vm.image},format=raw,if=none,id=d",
            "-qmp", f"unix:{self.path},server=on,wait=off"))
        until(lambda: os.path.exists(self.path), "QEMU is up", PATIENCE)
        self.socket = socket.socket(socket.AF_UNIX)
        until(self.connected, "QEMU listens", PATIENCE)
        self.file = self.socket.makefile("rw")
        self.file.readline()
        self.ask("qmp_capabilities")
        self.last = self.status()

    def connected(self):
        return self.socket.connect_ex(self.path) == 0

    def ask(self, what):
        self.file.write(json.dumps({"execute": what}) + "\n")
        self.file.flush()
        while True:
            answer = json.loads(self.file.readline())
            if "return" in answer:
                return answer["return"]

    def status(self):
        return self.ask("query-status")["status"]

    def stopped(self):
        return super().stopped() or self.status() == "paused"

    def runs_again(self):
        return not super().stopped() and self.status() == "running"


class Mute(Qemu):
    """Somebody else talks to the monitor that it has for the daemon, which gets no answer."""

    def __init__(self, host, cli, name, action, folder):
        super().__init__(host, cli, name, action, folder)
        monitors = f"{cli.env['HOLDFAST_RUN_DIR']}/holdfast/monitors"
        ours, = [entry for entry in os.listdir(monitors)
                 if entry.startswith(f"{self.run.pid}-") and entry.endswith(".qmp")]
        self.other = socket.socket(socket.AF_UNIX)
        self.other.connect(f"{monitors}/{ours}")
        assert self.other.recv(1)

    def stopped(self):
        return VmOf.stopped(self)


def time_of(report, what, condition, timeout=PATIENCE):
    """When it came to be so, on the report's clock; None: never."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        if condition():
            report.event(what)
            return report.clock()
        time.sleep(POLL)
    report.event(f"NEVER: {what}")
    return None


def renewed_ago():
    """What the server says of each client: seconds since it was last heard of."""
    ago = {}
    folder = "/proc/fs/nfsd/clients"
    for name in os.listdir(folder):
        with open(f"{folder}/{name}/info", encoding="utf-8") as text:
            lines = dict(line.split(": ", 1) for line in text.read().splitlines() if ": " in line)
        ago[lines.get("name", name).strip('"')] = lines.get("seconds from last renew")
    return ago


class World:
    def __init__(self, report, names):
        self.report = report
        self.server, self.hosts = nfs.setup(names)
        self.daemons = {name: host.holdfastd(conf=LOG.format(name))
                        for name, host in self.hosts.items()}
        self.clis = {name: host.cli(self.daemons[name]) for name, host in self.hosts.items()}
        self.vms = {}

    def image(self, name):
        with open(f"{nfs.EXPORT}/{name}.img", "wb") as image:
            image.truncate(1 << 20)

    def writer(self, host, name, action):
        self.image(name)
        self.vms[name] = Writer(self.hosts[host], self.clis[host], name, action)

    def idler(self, host, name, action):
        self.image(name)
        self.vms[name] = Idler(self.hosts[host], self.clis[host], name, action)

    def qemu(self, host, name, action, kind=Qemu):
        self.image(name)
        self.vms[name] = kind(self.hosts[host], self.clis[host], name, action, nfs.SHARED)

    def rival(self, name):
        return locks.Holder(self.hosts["b"], self.daemons["b"], "", self.vms[name].image)

    def cut(self, names):
        self.report.event(f"the server last heard of its clients: {renewed_ago()} s ago")
        for name in names:
            self.hosts[name].cut()
        self.report.event(f"cut off: {names}")
        return self.report.clock()

    def heal(self, names):
        for name in names:
            self.hosts[name].heal()
        self.report.event(f"healed: {names}")

    def log(self, name):
        with open(LOG_FILE.format(name), encoding="utf-8") as text:
            return text.read()

    def print_logs(self):
        """Into the job's output, for whoever wants to know why."""
        for name in self.hosts:
            print(f"---- {name}\n{self.log(name)}", flush=True)


def leases(vm):
    return {lock["lease"] for lock in vm.shown().get("locks", [])}


def watched(report, world):
    for name, vm in world.vms.items():
        shown = vm.shown()
        report.check("the lease of each lock is watched", leases(vm) == {"sound"}, (name, shown))


def act(report, world, begin, names):
    """Waits for what has to become of each VM; when it did."""
    when = {}
    while len(when) < len(names) and report.clock() < begin + ACTED_WITHIN + 5:
        for name in [name for name in names if name not in when]:
            vm = world.vms[name]
            if vm.stopped() if name != "killed" else not is_there(vm.pid):
                when[name] = report.clock()
                report.event(f"{name} is {word_of(name)}")
        time.sleep(POLL)
    for name in names:
        report.check(f"the VM {name} is {word_of(name)} before its lease has ended",
                     name in when and when[name] - begin < ACTED_WITHIN, when.get(name))
    return when


def word_of(name):
    return "dead" if name == "killed" else "paused"


def take(report, world, begin, names):
    """Host b tries for each; when it was granted."""
    rivals = {name: world.rival(name) for name in names}
    when = {}
    while len(when) < len(rivals) and report.clock() < begin + PATIENCE:
        for name in [name for name in rivals if name not in when]:
            if rivals[name].acquire().ok:
                when[name] = report.clock()
                report.event(f"b has the lock of {name}")
        time.sleep(POLL)
    report.check("the other host gets the locks in the end", len(when) == len(rivals), when)
    return when


def taken(report, world):
    world.qemu("a", "qemu", "pause")
    world.writer("a", "writer", None)
    world.idler("k", "killed", "kill")
    world.writer("w", "warned", "warn")
    until(lambda: all(leases(vm) for vm in world.vms.values()), "all are known", PATIENCE)
    watched(report, world)
    report.check("QEMU runs before", world.vms["qemu"].last == "running", world.vms["qemu"].last)
    begin = world.cut("akw")
    acted = act(report, world, begin, ["killed", "writer", "qemu"])
    got = take(report, world, begin, ["writer", "qemu", "killed", "warned"])
    for name in ("killed", "writer", "qemu"):
        report.check(f"the VM {name} is dealt with before the other host has its lock",
                     name in acted and name in got and acted[name] < got[name],
                     (acted.get(name), got.get(name)))
    report.value("acted", {name: at - begin for name, at in acted.items()})
    report.value("granted", {name: at - begin for name, at in got.items()})
    report.check("a VM that is to be warned of runs on", world.vms["warned"].runs())
    report.check("that it is in danger is reported", "runs on" in world.log("w"))
    world.heal("akw")
    for name in ("qemu", "writer", "warned"):
        vm = world.vms[name]
        lost = time_of(report, f"{name} is seen to have lost its lock",
                       lambda v=vm: leases(v) == {"lost"})
        report.check("a lost lock is shown as lost", lost, vm.shown())
        report.event(f"ps says of {name}: {vm.shown().get('status')}")
    for name in ("qemu", "writer"):
        vm = world.vms[name]
        report.check("a VM that lost its lock stays paused", vm.stopped(), vm.shown())
        report.check("and is shown so", vm.shown().get("status") == "paused: lease lost",
                     vm.shown())
        # Whoever manages the VM asks on its behalf.
        with world.daemons["a"].connect_as(vm.owner) as manager:
            manager.timeout = locks.TIMEOUT
            answer = manager.acquire(vm.image)
            report.check("the same VM's acquire of it is refused",
                         locks.refused(answer) and "lost" in answer.error.message, answer)
            answer = manager.release(vm.image)
            report.check("a lost lock can be released", answer.ok, answer)
            answer = manager.acquire(vm.image)
            report.check("then the other host's lock stands against it", locks.refused(answer),
                         answer)
        time.sleep(1)
        report.check("a VM that has released its lost lock stays paused", vm.stopped())
    report.check("the image of a lost lock is still there",
                 os.path.exists(f"{nfs.EXPORT}/writer.img"))
    report.check("the loss is reported", "has lost its lock" in world.log("a"))


def kill_server(report, daemon):
    pid = daemon.server_pid
    os.kill(pid, signal.SIGKILL)
    report.event(f"the daemon's server is killed (SIGKILL, pid {pid})")


def healed(report, world):
    world.qemu("a", "qemu", "pause")
    world.writer("a", "writer", "pause")
    world.qemu("a", "mute", "pause", Mute)
    world.writer("x", "served", "pause")
    watched(report, world)
    names = ["served", "writer", "qemu", "mute"]
    begin = world.cut("ax")
    time.sleep(4)
    kill_server(report, world.daemons["x"])
    act(report, world, begin, names)
    kill_server(report, world.daemons["x"])
    for name in names:
        shown = world.vms[name].shown()
        report.check("a paused VM is shown so", shown.get("status") == "paused: lease in danger",
                     shown)
    # The lease has ended by then.
    time.sleep(max(0, begin + nfs.LEASE + 4 - report.clock()))
    world.heal("ax")
    for name in names:
        vm = world.vms[name]
        report.check("a VM that kept its lock continues after healing",
                     time_of(report, f"{name} continues", vm.runs_again), vm.shown())
        report.check("its lock is sound again",
                     time_of(report, f"{name} is shown as sound",
                             lambda v=vm: leases(v) == {"sound"}), vm.shown())
        report.check("and was kept: the other host is refused",
                     locks.refused(world.rival(name).acquire()))
    size = os.path.getsize(f"{nfs.EXPORT}/writer.img")
    report.check("and it writes again", time_of(
        report, "writer writes", lambda: os.path.getsize(f"{nfs.EXPORT}/writer.img") > size))
    outage(report, world, names)


def outage(report, world, names):
    report.event("the server goes")
    world.server.stop()
    time.sleep(OUTAGE)
    world.server.start()
    report.event("the server is back")
    time.sleep(nfs.LEASE + 5)
    for name in names:
        vm = world.vms[name]
        report.check("a VM runs on after the restart of its server",
                     time_of(report, f"{name} runs", vm.runs_again), vm.shown())
        report.check("with its lock",
                     time_of(report, f"{name} has its lock", lambda v=vm: leases(v) == {"sound"}),
                     vm.shown())
        report.check("which is refused elsewhere after the restart",
                     locks.refused(world.rival(name).acquire()))


def run(report):
    way, hosts = {"taken": (taken, "abkw"), "healed": (healed, "abx")}[report.arguments["way"]]
    world = World(report, hosts)
    # The guest's end is that of all in it: what hangs here is meant to.
    try:
        way(report, world)
    finally:
        world.print_logs()
