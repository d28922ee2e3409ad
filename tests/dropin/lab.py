# SPDX-License-Identifier: LGPL-2.1-or-later
"""Stock libvirtd with its own lockd.so, in front of the lock daemon under test.

A lab is one host: private namespaces, one lock daemon on virtlockd's default socket, one libvirtd
on its default paths, and domains without an operating system on disks of 1 MiB. It touches
nothing of the machine. Which lock daemon it is, is the only thing that changes: stock virtlockd,
which shows that the lab proves what it says, or holdfastd.

SystemLab is the host as root runs it. SessionLab (session.py) is the libvirtd of an ordinary user,
which starts the lock daemon by itself.
"""
import fcntl
import hashlib
import json
import os
import pathlib
import shutil
import signal
import struct
import uuid
from xml.sax.saxutils import escape

from .namespace import ENVIRONMENT, HERE, LabError, Namespace, until

BUILD = pathlib.Path(os.environ.get("HF_BUILD", HERE.parents[1] / "build")).resolve()
QEMU = pathlib.Path("/usr/bin/qemu-system-x86_64")
QEMU_WITHOUT_LOCKS = HERE / "qemu-without-locks"
LIBVIRTD = pathlib.Path("/usr/sbin/libvirtd")
STOCK = pathlib.Path("/usr/sbin/virtlockd")

# Characters of one log that a failure shows: a QEMU command line and some lines around it.
LOG_TAIL = 6000



def settings_dir():
    """Where the build under test has its settings: the folder that is /etc once it is installed."""
    options = BUILD / "meson-info/intro-buildoptions.json"
    if not options.exists():
        return pathlib.Path("/etc")
    chosen = {option["name"]: option["value"] for option in json.loads(options.read_text())}
    return pathlib.Path(chosen["prefix"]) / chosen["sysconfdir"]


# Each host may have its own of these; all other files are shared with the machine.
PRIVATE = ["/run", "/var/lib/libvirt", "/var/log/libvirt"]

QEMU_CONF = """\
lock_manager = "lockd"
stdio_handler = "file"
"""
# Root's libvirtd would else change to other users, cgroups and namespaces, none of which is our
# subject and not all of which exist on every machine.
QEMU_CONF_ROOT = QEMU_CONF + """\
security_driver = "none"
user = "root"
group = "root"
cgroup_controllers = []
namespaces = []
"""
LIBVIRTD_CONF = 'auth_unix_rw = "none"\nauth_unix_ro = "none"\nlog_outputs = "3:stderr"\n'
DAEMON_CONF = 'log_outputs = "3:stderr"\n'


HOLDFAST = BUILD / "src/cli/holdfast"
HOLDFAST_ENVIRONMENT = {**ENVIRONMENT, "HOLDFAST_DRIVER_DIR": str(BUILD / "src/driver")}


def make_disk(path, size=1 << 20):
    with open(path, "wb") as file:
        file.truncate(size)
    return pathlib.Path(path)


def lock_on(path):
    """What is locked at byte 0 of a file: None, "shared" or "exclusive". Takes no lock itself."""
    f_ofd_getlk = 36
    flock = "hhqqi4x"
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        asked = struct.pack(flock, fcntl.F_WRLCK, os.SEEK_SET, 0, 1, 0)
        found = struct.unpack(flock, fcntl.fcntl(fd, f_ofd_getlk, asked))[0]
    finally:
        os.close(fd)
    return {fcntl.F_UNLCK: None, fcntl.F_RDLCK: "shared", fcntl.F_WRLCK: "exclusive"}[found]


def lockspace_file(lockspace, path):
    """The file in a directory lockspace that stands for the disk `path`."""
    return pathlib.Path(lockspace) / hashlib.sha256(os.fsencode(str(path))).hexdigest()


class Disk:
    """A disk as one domain sees it. `path` is text: pathlib would tidy a `./` away."""

    def __init__(self, path, readonly=False, shareable=False):
        self.path = str(path)
        self.flags = "<readonly/>" * readonly + "<shareable/>" * shareable

    def xml(self, target):
        return (f"<disk type='file' device='disk'><driver name='qemu' type='raw'/>"
                f"<source file='{escape(self.path)}'/><target dev='{target}' bus='scsi'/>"
                f"{self.flags}</disk>")


class Vm:
    """One domain. Every method that changes it returns only when virsh says that it is done."""

    def __init__(self, lab, name, disks, emulator):
        self.lab, self.name, self.uuid = lab, name, str(uuid.uuid4())
        self._disks = {}
        body = "".join(self._plug(disk).xml(self._target(disk)) for disk in disks)
        lab.define(name, f"<domain type='qemu'><name>{name}</name><uuid>{self.uuid}</uuid>"
                   "<memory unit='MiB'>16</memory>"
                   "<os><type arch='x86_64' machine='pc'>hvm</type></os><devices>"
                   f"<emulator>{emulator}</emulator>"
                   "<controller type='scsi' model='virtio-scsi'/>"
                   "<controller type='usb' model='none'/><memballoon model='none'/>"
                   f"{body}</devices></domain>")

    def _plug(self, disk):
        self._disks[f"sd{chr(ord('a') + len(self._disks))}"] = disk
        return disk

    def _target(self, disk):
        return next(target for target, there in self._disks.items() if there is disk)

    def start(self):
        self.lab.virsh("start", self.name)

    def try_start(self):
        """Whether it was allowed to start."""
        return self.lab.try_virsh("start", self.name)

    def suspend(self):
        self.lab.virsh("suspend", self.name)

    def resume(self):
        self.lab.virsh("resume", self.name)

    def destroy(self):
        self.lab.virsh("destroy", self.name)

    def attach(self, disk):
        self._plug(disk)
        self.lab.virsh("attach-device", self.name, self._device_file(disk), "--live")

    def detach(self, disk):
        self.lab.virsh("detach-disk", self.name, self._target(disk), "--live")
        until(lambda: disk.path not in self.plugged(), f"{disk.path} leaves {self.name}")

    def refused_start(self):
        return self.lab.refused("start", self.name)

    def refused_resume(self):
        return self.lab.refused("resume", self.name)

    def refused_attach(self, disk):
        self._plug(disk)
        return self.lab.refused("attach-device", self.name, self._device_file(disk), "--live")

    def _device_file(self, disk):
        file = self.lab.workdir / f"{self.name}-{self._target(disk)}.xml"
        file.write_text(disk.xml(self._target(disk)))
        return file

    @property
    def state(self):
        """"running", "paused" or "shut off", as virsh says."""
        return self.lab.virsh("domstate", self.name).strip()

    @property
    def pid_file(self):
        return self.lab.inside(self.lab.pid_dir) / f"{self.name}.pid"

    @property
    def pid(self):
        """The QEMU process, as seen inside the lab."""
        return int(self.pid_file.read_text())

    def plugged(self):
        """The sources of the disks that the running domain has."""
        rows = self.lab.virsh("domblklist", self.name).splitlines()  # no heading: virsh -q
        return [row.split(maxsplit=1)[1].strip() for row in rows if row.strip()]

    def die(self):
        """SIGKILL to QEMU; returns when libvirt has noticed."""
        self.lab.ns.kill(self.pid, signal.SIGKILL)
        until(lambda: self.state == "shut off", f"libvirt notices the death of {self.name}")


class Lab:
    """What both kinds of host have in common. A subclass starts the daemons."""

    uri = None       # what virsh connects to
    pid_dir = None   # where libvirtd keeps the pid files of its QEMUs
    socket = None    # where lockd.so looks for the lock daemon
    emulator = QEMU_WITHOUT_LOCKS

    def __init__(self, workdir, ns):
        self.workdir = pathlib.Path(workdir)
        self.ns = ns
        self.libvirtd_log = self.workdir / "libvirtd.log"
        self.daemon_log = self.workdir / "lock-daemon.log"
        self.libvirtd_pid = None
        self._vms = []
        self._count = 0
        self._seen = {}

    def inside(self, path):
        """Where we, who are outside, find a path of the lab."""
        return self.ns.root / str(path).lstrip("/")

    # Commands

    def enter(self, argv):
        """The command line that runs argv as the user of this lab."""
        return argv

    def _virsh(self, *args):
        return self.ns.run(self.enter(["virsh", "-q", "-c", self.uri, *args]))

    def virsh(self, *args):
        """Fails the test if virsh fails; returns what it prints."""
        done = self._virsh(*args)
        assert done.returncode == 0, f"virsh {' '.join(map(str, args))}: {done.stderr}"
        return done.stdout

    def try_virsh(self, *args):
        return self._virsh(*args).returncode == 0

    def refused(self, *args):
        """Fails the test unless virsh is told that the resource is busy; returns that message."""
        done = self._virsh(*args)
        assert done.returncode == 1, f"virsh {' '.join(map(str, args))} was not refused"
        assert "resource busy" in done.stderr, done.stderr
        return done.stderr

    # Domains

    def vm(self, *disks, emulator=None):
        """A new domain, defined but not started; goes away in forget_vms()."""
        self._count += 1
        disks = [disk if isinstance(disk, Disk) else Disk(disk) for disk in disks]
        vm = Vm(self, f"vm{self._count}", disks, emulator or self.emulator)
        self._vms.append(vm)
        return vm

    def started(self, *disks, **options):
        vm = self.vm(*disks, **options)
        vm.start()
        return vm

    def define(self, name, xml):
        file = self.workdir / f"{name}.xml"
        file.write_text(xml)
        self.virsh("define", file)

    def forget_vms(self):
        """Ends and undefines every domain."""
        # SIGKILL first: libvirt looks only every 200 ms whether a QEMU that it has asked is gone.
        running = [str(vm.pid) for vm in self._vms if vm.pid_file.exists()]
        if running:
            self.ns.run(["kill", "-KILL", *running])
        if self._vms:
            self._virsh("; ".join(f"destroy {vm.name}; undefine {vm.name}" for vm in self._vms))
        self._vms.clear()

    # Locks

    def lock_file(self, path):
        """The file on which a lock for the disk `path` is taken in this lab."""
        return pathlib.Path(path)

    def lock(self, path):
        return lock_on(self.lock_file(path))

    def until_free(self, path):
        """The daemon hears of a VM's end by itself, so a moment after virsh does."""
        until(lambda: self.lock(path) is None, f"the lock on {path} goes")

    # Daemons

    def start_libvirtd(self):
        raise NotImplementedError

    def stop_libvirtd(self):
        self.ns.stop(self.libvirtd_pid)

    def restart_libvirtd(self):
        self.stop_libvirtd()
        self.start_libvirtd()

    def await_libvirtd(self):
        def answers():
            if not self.ns.alive(self.libvirtd_pid):
                raise LabError("libvirtd has ended: " + self.libvirtd_log.read_text()[-4000:])
            return self._virsh("list").returncode == 0
        until(answers, "libvirtd answers")

    def healthy(self):
        return self.ns.alive(self.libvirtd_pid) and self.ns.listening(self.socket)

    def logs_since(self):
        """What the daemons have logged since the last call: [(title, text)]."""
        out = []
        for log in (self.libvirtd_log, self.daemon_log, *self.qemu_logs()):
            if log.exists():
                text = log.read_text(errors="replace")
                out.append((log.name, text[self._seen.get(log, 0):]))
                self._seen[log] = len(text)
        return [(title, text[-LOG_TAIL:]) for title, text in out if text]

    def qemu_logs(self):
        return []

    def close(self):
        try:
            self.forget_vms()
            self.stop_libvirtd()
        finally:
            self.ns.close()


class SystemLab(Lab):
    """A host as root runs it.

    `daemon`: the lock daemon's program. `lockspace`: None for the mode in which images themselves
    are locked, else the directory for `file_lockspace_dir`; two labs that are given the same one
    are two hosts of one cluster. `cache`: directory for what libvirtd finds out about QEMU, which
    takes a second per QEMU and lab if they do not share it.
    """

    uri = "qemu:///system"
    pid_dir = "/run/libvirt/qemu"
    socket = "/run/libvirt/virtlockd-sock"

    def __init__(self, workdir, daemon, lockspace=None, cache=None):
        self._etc = pathlib.Path(workdir) / "etc"
        self.daemon, self.lockspace = daemon, lockspace
        self._configure()
        cache = pathlib.Path(cache or pathlib.Path(workdir) / "cache")
        cache.mkdir(exist_ok=True)
        settings = settings_dir()
        ours = [] if settings == pathlib.Path("/etc") else [settings]
        super().__init__(workdir, Namespace(
            PRIVATE + ours, [(self._etc, "/etc/libvirt"), (cache, "/var/cache/libvirt"),
                             *((self._etc, place / "libvirt") for place in ours)]))
        try:
            self.start_daemon()
            self.start_libvirtd()
        except BaseException:
            self.ns.close()
            raise

    def _configure(self):
        shutil.copytree("/etc/libvirt", self._etc, ignore=shutil.ignore_patterns("autostart"))
        (self._etc / "qemu.conf").write_text(QEMU_CONF_ROOT)
        (self._etc / "libvirtd.conf").write_text(LIBVIRTD_CONF)
        (self._etc / "virtlockd.conf").write_text(DAEMON_CONF)
        (self._etc / "qemu-lockd.conf").write_text(
            f'file_lockspace_dir = "{self.lockspace}"\n' if self.lockspace else "")

    def start_daemon(self):
        """In the foreground, as a service manager would; serves when this returns."""
        pid = self.ns.spawn(
            [self.daemon, "-f", "/etc/libvirt/virtlockd.conf", "-p", "/run/virtlockd.pid"],
            self.daemon_log)

        def serves():
            if not self.ns.alive(pid):
                raise LabError("the lock daemon has ended: " + self.daemon_log.read_text()[-4000:])
            return self.ns.listening(self.socket)
        until(serves, f"{self.daemon} serves {self.socket}")

    def daemon_processes(self):
        """The pids of the lock daemon: the one that its pid file names, and that one's children."""
        first = self.inside("/run/virtlockd.pid").read_text().strip() or "0"
        task = self.inside(f"/proc/{first}/task/{first}/children")
        return [int(pid) for pid in (first, *(task.read_text().split() if task.exists() else ()))]

    def replace_daemon(self, number, index):
        """A signal for the supervisor (index 0) or the server (1); returns when both are there."""
        before = self.daemon_processes()
        self.ns.kill(before[index], number)

        def replaced():
            now = self.daemon_processes()
            return len(now) > 1 and now[1:] != before[1:] and self.ns.alive(now[0])
        until(replaced, "another server serves")

    def restart_daemon(self, number, meanwhile=None):
        """Ends the lock daemon by a signal, and starts another one."""
        pids = self.daemon_processes()
        if number == signal.SIGKILL:
            for pid in pids:
                self.ns.kill(pid, signal.SIGSTOP)
            for pid in pids:
                self.ns.kill(pid, signal.SIGKILL)
        else:
            self.ns.kill(pids[0], number)
        until(lambda: not any(self.ns.alive(pid) for pid in pids), "the lock daemon has ended")
        if meanwhile:
            meanwhile()
        self.start_daemon()

    def start_libvirtd(self):
        self.libvirtd_pid = self.ns.spawn(
            [LIBVIRTD, "-f", "/etc/libvirt/libvirtd.conf", "-p", "/run/libvirtd.pid"],
            self.libvirtd_log)
        self.await_libvirtd()

    def lock_file(self, path):
        return lockspace_file(self.lockspace, path) if self.lockspace else super().lock_file(path)

    def known_by_name_only(self, vm):
        """Of each lock that the daemon shows for a VM: whether it knows no more than its name."""
        done = self.ns.run([BUILD / "src/cli/holdfast", "ps", "--json"])
        assert done.returncode == 0, done.stderr
        shown, = (shown for shown in json.loads(done.stdout)["vms"] if shown["name"] == vm.name)
        return {lock["name"]: lock["by_name_only"] for lock in shown["locks"]}

    def holdfast(self, *words):
        """Runs the command to its end, as root of this host."""
        return self.ns.run([HOLDFAST, *words], env=HOLDFAST_ENVIRONMENT)

    def holdfast_run(self, name, disk):
        """A VM of `holdfast run` on the disk; its pid, when it has it."""
        pid = self.ns.spawn([HOLDFAST, "run", f"--name={name}", f"--disk={disk}", "--", "sleep",
                             "600"], self.workdir / f"{name}.log", env=HOLDFAST_ENVIRONMENT)
        until(lambda: self.lock(disk), f"{name} has {disk}")
        return pid

    def qemu_logs(self):
        return sorted(self.inside("/var/log/libvirt/qemu").glob("*.log"))

    def close(self):
        try:
            self.forget_vms()
            self.stop_libvirtd()
            self.ns.stop(self.daemon_processes()[0])
        finally:
            self.ns.close()
