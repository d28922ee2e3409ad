# SPDX-License-Identifier: LGPL-2.1-or-later
"""Several hosts that share storage, on this machine: a sanlock daemon for each.

A Cluster is a folder with a lease directory, on a filesystem that can do direct I/O, and hosts.
A Host is a sanlock daemon with a run directory of its own. All of it runs as an ordinary user
without a watchdog; so do the processes that are to be killed by it (`user()`). What is not the
hosts' own is the disks' lockspace, with an I/O timeout of one second: to join takes 3 s then, 8 s
without the lockspace are its loss, and a lost host's leases can be had 68 s after it was last seen.

A Raw is a client of one host with nothing of Holdfast in it.
"""

import hashlib
import json
import os
import pwd
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile

from .command import Cli
from .daemons import BUILD
from .peers import DRIVERS, Peer
from .processes import STOP_DEADLINE, until

DISKS = "__LIBVIRT__DISKS__"
NOT_BUILT = "the driver sanlock is not built (-Dsanlock)"
NAMES = ("alpha", "beta", "gamma", "delta")
NOBODY = 65534
LIVE = 3  # SANLK_HOST_LIVE
START_DEADLINE = 20.0
# sanlock's own calls, and the longest of them: a join while the disk is busy.
ANSWER_DEADLINE = 60.0
# What a regular file of leases is long (sanlock_align).
AREA = 1 << 20
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


def program():
    """The sanlock daemon; its absence is a failure, since nothing is proved without it."""
    path = shutil.which("sanlock", path=PATH)
    assert path, "sanlock is not installed (Debian: sanlock)"
    return path


_clusters = []


def timeouts():
    """How often any daemon of this run gave up on a lease because the disk took too long.

    With an I/O timeout of one second a busy disk is enough. A test that has failed may be run once
    more where this number has grown meanwhile, and only there.
    """
    return sum(cluster.timeouts() for cluster in _clusters)


def driver_is_built():
    """Whether the build has the driver; it need not, and tests of it are skipped then."""
    return os.path.exists(os.path.join(DRIVERS, "sanlock.so"))


def user():
    """The uid under which a cluster runs, to give to whoever becomes another user; or None."""
    return NOBODY if os.geteuid() == 0 else None


def as_user(argv):
    uid = user()
    if uid is None:
        return list(argv)
    return ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--", *argv]


def own(path):
    """Gives a file of ours to the user of the cluster."""
    if user() is not None:
        os.chown(path, NOBODY, NOBODY)
    return path


def storage():
    """A new folder where direct I/O works; HF_SANLOCK_STORAGE says below which one."""
    folder = tempfile.mkdtemp(prefix="hf-", dir=os.environ.get("HF_SANLOCK_STORAGE", "/var/tmp"))
    os.chmod(folder, 0o755)
    probe = os.path.join(folder, "probe")
    try:
        os.close(os.open(probe, os.O_CREAT | os.O_RDWR | os.O_DIRECT))
    except OSError as fault:
        shutil.rmtree(folder)
        raise AssertionError(f"{folder}: no direct I/O ({fault}); HF_SANLOCK_STORAGE names another "
                             "folder") from fault
    os.unlink(probe)
    return folder


def key_of(path):
    """What the lease of a disk is called."""
    return hashlib.md5(os.fsencode(path), usedforsecurity=False).hexdigest()


class Raw:
    """A process that calls libsanlock_client; its methods are the functions of that program."""

    def __init__(self, nursery, env, uid=None):
        helper = os.path.join(os.path.dirname(__file__), "sanlock_client.py")
        command = [sys.executable, "-I", "-S", helper]
        if uid is not None:
            # Another user may not be able to read this tree: the program goes along as text.
            with open(helper, encoding="utf-8") as text:
                command = as_user([sys.executable, "-I", "-S", "-c", text.read()])
        self.process = nursery.spawn(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                     env={"PATH": PATH, **env})

    @property
    def pid(self):
        return self.process.pid

    def begin(self, verb, *words, **arguments):
        """Asks; the answer is waited for later."""
        self.process.stdin.write(json.dumps([verb, words, arguments]).encode() + b"\n")
        self.process.stdin.flush()

    def answer(self, verb, within=ANSWER_DEADLINE):
        ready, _, _ = select.select([self.process.stdout], [], [], within)
        assert ready, f"no answer to {verb}"
        line = self.process.stdout.readline()
        assert line, f"the client ended during {verb} ({self.process.wait(STOP_DEADLINE)})"
        return json.loads(line)

    def ask(self, verb, *words, **arguments):
        self.begin(verb, *words, **arguments)
        return self.answer(verb)

    def must(self, verb, *words, **arguments):
        answer = self.ask(verb, *words, **arguments)
        assert answer["r"] >= 0, (verb, words, answer)
        return answer

    def __getattr__(self, verb):
        if verb.startswith("_"):
            raise AttributeError(verb)
        return lambda *words, **arguments: self.ask(verb, *words, **arguments)

    def kill(self):
        self.process.kill()
        self.process.wait(STOP_DEADLINE)


class Host:
    """One simulated host: its sanlock daemon, and where programs of ours are to run on it."""

    def __init__(self, cluster, number, host_id=None):
        self.cluster = cluster
        self.nursery = cluster.nursery
        self.id = number + 1 if host_id is None else host_id
        self.name = NAMES[number]
        self.directory = os.path.join(cluster.runs, self.name)
        self.run_dir = os.path.join(self.directory, "sanlock")
        self.holdfast_dir = os.path.join(self.directory, "run")
        for path in (self.directory, self.run_dir, self.holdfast_dir):
            os.mkdir(path)
            own(path)
        self.logfile = os.path.join(self.directory, "sanlock.log")
        self.conf = os.path.join(self.directory, "holdfast.conf")
        self.configure()
        self.process = None
        self._asker = None

    def configure(self, **settings):
        """Writes the host's holdfast.conf; what is given as None is left out."""
        values = {"auto_disk_leases": 1, "disk_lease_dir": self.cluster.leases,
                  "host_id": self.id, "io_timeout": self.cluster.io_timeout, **settings}
        with open(self.conf, "w", encoding="utf-8") as out:
            for key, value in values.items():
                if value is not None:
                    out.write(f'{key} = "{value}"\n' if isinstance(value, str)
                              else f"{key} = {value}\n")

    @property
    def env(self):
        """For programs of ours on this host."""
        return {"SANLOCK_RUN_DIR": self.run_dir, "HOLDFAST_RUN_DIR": self.holdfast_dir,
                "HOLDFAST_LIBEXEC_DIR": os.path.join(BUILD, "src", "sanlock")}

    # The daemon

    def start(self, wait=True):
        uid = user()
        names = pwd.getpwuid(os.geteuid() if uid is None else uid)
        group = "nogroup" if uid is not None else _group_name()
        with open(self.logfile, "ab") as log:
            # In the folder of the log: a core file or the like stays with it.
            self.process = self.nursery.spawn(
                as_user([program(), "daemon", "-D", "-w", "0", "-h", "0", "-l", "0", "-U",
                         names.pw_name, "-G", group, "-e", self.name]),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.directory,
                env={"PATH": PATH, "SANLOCK_RUN_DIR": self.run_dir, "SANLOCK_PRIVILEGED": "0"})
        if wait:
            self.await_answering()
        return self

    def await_answering(self):
        def answers():
            assert self.process.poll() is None, f"sanlock of {self.name} ended:\n{self.log()}"
            return self.command("status").returncode == 0
        until(answers, f"sanlock of {self.name} answers", START_DEADLINE)

    @property
    def pid(self):
        return self.process.pid

    def signal(self, number):
        os.kill(self.pid, number)

    def kill(self):
        """The host is dead to the others: its daemon renews nothing any more."""
        self._forget_asker()
        if self.process is not None:
            self.process.kill()
            self.process.wait(STOP_DEADLINE)

    def freeze(self):
        self.signal(signal.SIGSTOP)

    def thaw(self):
        self.signal(signal.SIGCONT)

    def restart(self, join=True):
        """The daemon is killed and started: it knows nobody any more."""
        self.kill()
        self.start()
        if join:
            self.join()

    def log(self):
        if not os.path.exists(self.logfile):
            return ""
        with open(self.logfile, encoding="utf-8", errors="replace") as text:
            return text.read()

    def timeouts(self):
        """How often the daemon gave up on a lease because the disk took too long."""
        return len(re.findall(r"-202\b|aio timeout|timeout_io|i/o timeout", self.log()))

    def command(self, *words):
        """Runs `sanlock client WORDS`."""
        return subprocess.run([program(), "client", *words], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=ANSWER_DEADLINE, check=False,
                              env={"PATH": PATH, "SANLOCK_RUN_DIR": self.run_dir})

    def status(self):
        done = self.command("status", "-D")
        assert done.returncode == 0, done.stderr
        return done.stdout

    # The disks' lockspace

    @property
    def asker(self):
        """A client that holds nothing, for what is asked in passing."""
        if self._asker is None or self._asker.process.poll() is not None:
            self._asker = Raw(self.nursery, {"SANLOCK_RUN_DIR": self.run_dir}, user())
        return self._asker

    def _forget_asker(self):
        if self._asker is not None:
            self._asker.kill()
            self._asker = None

    def begin_join(self):
        self.asker.begin("join", DISKS, self.id, self.cluster.lockspace, self.cluster.io_timeout)

    def end_join(self):
        answer = self.asker.answer("join")
        assert answer["r"] >= 0, f"{self.name} cannot join ({answer['r']}):\n{self.log()[-4000:]}"
        # Until the first look at the others' leases is over nothing is known of them.
        until(lambda: self.asker.hosts(DISKS)["r"] >= 0, f"{self.name} knows the hosts")

    def join(self):
        self.begin_join()
        self.end_join()

    def leave(self):
        self.asker.must("leave", DISKS, self.id, self.cluster.lockspace)

    def joined(self):
        return self.asker.joined(DISKS, self.id, self.cluster.lockspace)["r"] == 0

    # Clients

    def raw(self, registered=False):
        """A client with nothing of ours in it, of the cluster's user."""
        client = Raw(self.cluster.guests, {"SANLOCK_RUN_DIR": self.run_dir}, user())
        if registered:
            client.must("register")
        return client

    def vm(self, name, *disks, flags=0, **how):
        """A process with a VM object of libholdfast, that has these disks: a VMM to be."""
        made = Peer(self.cluster.guests, {"HOME": self.directory, **self.env}, user())
        made.must("new", name=name, driver="sanlock", config=self.conf, **how)
        for path in disks:
            made.must("disk", what="add", path=path, flags=flags)
        return made

    def started(self, name, *disks, **how):
        made = self.vm(name, *disks, **how)
        made.must("start")
        return made

    def manager(self, of, *disks, name="vm", **how):
        """Another process, that acts for the VM which runs in `of`."""
        return self.vm(name, *disks, pid=of.pid, **how)

    def holds(self, pid):
        """What a process holds: {key: version, or "SH"}; None when it is not registered."""
        answer = self.asker.inquire(pid)
        if answer["r"] == -3:
            return None
        assert answer["r"] >= 0, answer
        items = [item.rsplit(":", 4) for item in (answer["state"] or "").split()]
        return {item[1]: item[4] if item[4] == "SH" else int(item[4]) for item in items}

    def owner(self, disk):
        """The number of the host that has a disk's lease, or 0."""
        answer = self.asker.owners(self.cluster.lease_of(disk))
        assert answer["r"] >= 0, answer
        return answer["owners"][0]["host_id"] if answer["owners"] else 0

    def version(self, disk):
        return self.asker.must("read_resource", self.cluster.lease_of(disk))["version"]


def starts(host, disk):
    """Waits until a VM of that host gets the disk; the VM."""
    vm = host.vm("next", disk)
    until(lambda: vm.start()["r"] >= 0, f"{disk} can be had on {host.name}", START_DEADLINE)
    return vm


def _group_name():
    import grp
    return grp.getgrgid(os.getegid()).gr_name


class Cluster:
    """Hosts on one lease directory. With join=False there is no lockspace yet.

    Of the hosts only the first `started` have a daemon; the others are places for one.
    """

    def __init__(self, nursery, hosts=2, io_timeout=1, join=True, started=None):
        self.nursery = nursery
        # Who owns VMMs and raw clients: of a cluster that serves many tests, the test.
        self.guests = nursery
        self.io_timeout = io_timeout
        self._disks = 0
        # Sockets and what sanlock is to pass on must have short paths.
        self.runs = tempfile.mkdtemp(prefix="hf-")
        self.folder = storage()
        self._last_timeouts = None
        _clusters.append(self)
        nursery.at_end(self._end)
        os.chmod(self.runs, 0o755)
        self.leases = os.path.join(self.folder, "leases")
        os.mkdir(self.leases)
        own(self.leases)
        own(self.folder)
        self.lockspace = os.path.join(self.leases, DISKS)
        self.hosts = [Host(self, number) for number in range(hosts)]
        for host in self.hosts[:started]:
            host.start(wait=False)
        for host in self.hosts[:started]:
            host.await_answering()
        if join:
            self.make_lockspace()
            self.join()

    def make_lockspace(self):
        self.make_area(self.lockspace)
        self.hosts[0].asker.must("write_lockspace", DISKS, self.lockspace, self.io_timeout)

    def make_area(self, path):
        """An empty place for a lockspace or a lease."""
        with open(path, "wb") as out:
            out.write(bytes(AREA))
        os.chmod(path, 0o600)
        return own(path)

    def join(self):
        """All at once: it takes each the same three seconds."""
        for host in self.hosts:
            host.begin_join()
        for host in self.hosts:
            host.end_join()

    def wait_until_live(self):
        """Until each host has seen each other one renew its lease: some seconds after a join."""
        def live(host):
            known = host.asker.hosts(DISKS)
            return known["r"] >= 0 and all(h["state"] == LIVE for h in known["hosts"])
        for host in self.hosts:
            until(lambda h=host: live(h), f"{host.name} knows that all are alive", 30)

    def __getitem__(self, number):
        return self.hosts[number]

    def lease_of(self, disk):
        """As a Raw takes it."""
        key = key_of(disk)
        return [DISKS, key, os.path.join(self.leases, key), 0]

    def make_lease(self, disk, host=None):
        """Formats a disk's lease, as libvirt's plugin does; returns it."""
        lease = self.lease_of(disk)
        self.make_area(lease[2])
        (host or self.hosts[0]).asker.must("write_resource", lease)
        return lease

    def explicit_lease(self, key):
        """A lease in the disks' lockspace that belongs to no disk; as a Raw takes it."""
        lease = [DISKS, key, self.make_area(os.path.join(self.folder, key)), 0]
        self.hosts[0].asker.must("write_resource", lease)
        return lease

    def disk(self, name=None):
        """A new image file on the shared storage, or that of a name."""
        self._disks += name is None
        name = name or f"disk{self._disks}"
        path = os.path.join(self.folder, name)
        with open(path, "wb") as out:
            out.write(b"guest data".ljust(4096, b"\0"))
        return own(path)

    def timeouts(self):
        if self._last_timeouts is not None:
            return self._last_timeouts
        return sum(host.timeouts() for host in self.hosts)

    def _end(self):
        """No daemon is left; a frozen one is no exception."""
        for host in self.hosts:
            host.kill()
        self._last_timeouts = self.timeouts()
        for folder in (self.runs, self.folder):
            shutil.rmtree(folder, ignore_errors=True)


class Command(Cli):
    """The command on one of the hosts, as the user of the cluster."""

    def __init__(self, host):
        super().__init__(host.nursery, host.directory, host.holdfast_dir)
        self.host = host
        self.env.update(host.env)
        settings = os.path.join(self.config, "holdfast")
        os.makedirs(settings, exist_ok=True)
        with open(host.conf, encoding="utf-8") as conf, \
                open(os.path.join(settings, "holdfast.conf"), "w", encoding="utf-8") as out:
            out.write(conf.read() + 'lock_manager = "sanlock"\n')

    def __call__(self, *words, **how):
        return super().__call__(*words, prefix=as_user([]), **how)

    def hold(self, name, *options, vmm=None):
        child = self.start("run", f"--name={name}", *options, "--",
                           *(vmm or ["sh", "-c", "echo up; exec sleep 600"]),
                           prefix=as_user([]), stdout=-1, stderr=-1)
        line = child.stdout.readline()
        assert line == "up\n", (line, child.communicate(timeout=30))
        return child
