# SPDX-License-Identifier: LGPL-2.1-or-later
"""Stock virtlockd and holdfastd, each on paths of its own.

Stock virtlockd cannot be told where its sockets are. As root it runs in a mount namespace
with an empty /run, and is reached through /proc/PID/root; as somebody else it is a session
daemon in an XDG_RUNTIME_DIR of ours. holdfastd is simply moved with HOLDFAST_RUN_DIR.

A daemon that dies before it is told to, or does not stop on SIGTERM, fails the test.
"""

import os
import shutil
import signal
import subprocess
import time

from . import wire
from .processes import POLL, STOP_DEADLINE, children, is_there, kill_family, until

REPO = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
BUILD = os.environ.get("HF_BUILD", os.path.join(REPO, "build"))
HOLDFASTD = os.path.join(BUILD, "src", "daemon", "holdfastd")
START_DEADLINE = 10.0


# As ps shows one.
WORKER = "holdfast-worker"


def name_of(pid):
    try:
        with open(f"/proc/{pid}/comm", encoding="ascii", errors="replace") as text:
            return text.read().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def virtlockd():
    """The stock binary; its absence is a failure, since nothing can be compared without it."""
    path = shutil.which("virtlockd", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    assert path, "stock virtlockd is not installed (Debian: libvirt-daemon-system)"
    return path


def read_pid(path):
    """The pid in a file, or None."""
    try:
        with open(path, encoding="ascii") as text:
            return int(text.read() or 0)
    except (FileNotFoundError, ValueError):
        return None


def is_program(pid, path):
    """Whether a process runs that file, or what was there before it was replaced."""
    try:
        program = os.readlink(f"/proc/{pid}/exe").removesuffix(" (deleted)")
    except OSError:
        return False
    return os.path.basename(program) == os.path.basename(path)


def holdfastd():
    assert os.access(HOLDFASTD, os.X_OK), \
        f"{HOLDFASTD} is not built (make build, or set HF_BUILD to the build directory)"
    return HOLDFASTD


class Daemon:
    """A running daemon. Subclasses say how it is started and where its sockets are."""

    name = None

    def __init__(self, nursery, directory, conf="", args=(), uid=None, rlimit_nofile=None,
                 extra_env=None, pass_fds=(), wrapper=(), start=True, leashed=True,
                 exactly=None):
        self.nursery = nursery
        self.directory = directory
        os.makedirs(directory, exist_ok=True)
        if uid is not None:
            os.chown(directory, uid, uid)
        self.uid = uid
        self.conf = os.path.join(directory, "daemon.conf")
        with open(self.conf, "w", encoding="utf-8") as out:
            out.write(conf)
        self.pidfile = os.path.join(directory, "daemon.pid")
        self.logfile = os.path.join(directory, "daemon.log")
        self.args = list(args)
        self.rlimit_nofile = rlimit_nofile
        self.extra_env = extra_env or {}
        self.pass_fds = pass_fds
        self.wrapper = list(wrapper)
        self.leashed = leashed
        self.exactly = exactly
        self.process = None
        self.expected_to_live = True
        if start:
            self.start()

    # What a subclass provides.

    def command(self):
        raise NotImplementedError

    def environment(self):
        raise NotImplementedError

    @property
    def run_dir(self):
        raise NotImplementedError

    # What all daemons can do.

    @property
    def socket(self):
        return f"{self.run_dir}/libvirt/virtlockd-sock"

    @property
    def admin_socket(self):
        return f"{self.run_dir}/libvirt/virtlockd-admin-sock"

    def argv(self):
        """Options of every run: explicit configuration and PID file, in the foreground."""
        if self.exactly is not None:
            return list(self.exactly)
        return ["-f", self.conf, "-p", self.pidfile, *self.args]

    def start(self, wait=True):
        command = self.command()
        if self.rlimit_nofile:
            command = ["prlimit", f"--nofile={self.rlimit_nofile}", "--", *command]
        if self.uid is not None:
            command = ["setpriv", f"--reuid={self.uid}", f"--regid={self.uid}", "--clear-groups",
                       "--", *command]
        with open(self.logfile, "ab") as log:
            self.process = self.nursery.spawn(
                [*self.wrapper, *command], leashed=self.leashed, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, pass_fds=self.pass_fds, cwd=self.directory,
                env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **self.environment(),
                     **self.extra_env})
        self.expected_to_live = True
        self.nursery.at_end(self.kill_rest)
        self.nursery.at_end(self.stop)
        if wait:
            self.await_answering()
        return self

    def await_answering(self):
        end = time.monotonic() + START_DEADLINE
        while not self.accepts():
            assert self.process.poll() is None, \
                f"{self.name} ended with {self.process.returncode} at start:\n{self.log()}"
            assert time.monotonic() < end, f"{self.name} serves no socket:\n{self.log()}"
            time.sleep(POLL)

    def accepts(self):
        """Somebody serves the socket; the place that this look took is free again."""
        try:
            with wire.Connection(self.socket) as probe:
                probe.half_close()
                probe.receive(START_DEADLINE)
            return True
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
            return False

    @property
    def pid(self):
        return self.process.pid

    @property
    def alive(self):
        return self.process.poll() is None

    def connect(self, **how):
        return wire.Connection(wire.Transport(self.socket), **how)

    def connect_as(self, who):
        """A connection already registered for `who`."""
        connection = self.connect()
        answer = connection.register(who)
        assert answer.ok, answer
        return connection

    def log(self):
        with open(self.logfile, encoding="utf-8", errors="replace") as text:
            return text.read()[-8000:]

    @property
    def server_pid(self):
        """The process that serves: of a daemon that has a supervisor, its child."""
        return self.pid

    def signal(self, number):
        """To the process that stands for the daemon, which passes it on."""
        self.process.send_signal(number)

    def kill(self):
        """SIGKILL for all of it at once."""
        self.expected_to_live = False
        self.process.kill()
        self.process.wait(STOP_DEADLINE)

    def kill_rest(self):
        """Whatever of it has outlived its end, and a test that failed."""

    @classmethod
    def outcome(cls, nursery, directory, argv, conf="", timeout=STOP_DEADLINE, **how):
        """Runs the program for what it says and its exit status; it has to end by itself."""
        run = cls(nursery, directory, conf=conf, start=False, **how)
        run.exactly = [word.replace("CONF", run.conf).replace("DIR", directory) for word in argv]
        run.start(wait=False)
        status = run.wait(timeout)
        return status, run.log()

    def wait(self, timeout=STOP_DEADLINE):
        """Exit status of a daemon that is meant to end by itself."""
        self.expected_to_live = False
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"{self.name} still runs after {timeout} s:\n{self.log()}") from None

    def end_of(self, pid):
        """Waits for the process that stood for the daemon. Returns the exit status."""
        assert pid == self.process.pid
        return self.process.wait(STOP_DEADLINE)

    def check_alive(self):
        assert not self.expected_to_live or self.alive, \
            f"{self.name} died ({self.process.returncode}):\n{self.log()}"

    def stop(self):
        """SIGTERM; the daemon has to obey and to call it a success."""
        if self.process is None or not self.expected_to_live:
            return
        self.check_alive()
        self.expected_to_live = False
        pid = self.pid
        self.signal(signal.SIGTERM)
        try:
            code = self.end_of(pid)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} ignores SIGTERM:\n{self.log()}") from None
        assert code == 0, f"{self.name} stopped with {code}:\n{self.log()}"


class StockVirtlockd(Daemon):
    """Debian's virtlockd: system daemon in a namespace when we are root, else a session one."""

    name = "virtlockd"

    def __init__(self, *args, run=None, **how):
        """run: a folder to serve in, instead of a /run that nobody else sees."""
        self.shared_run = run
        super().__init__(*args, **how)

    @property
    def private(self):
        return os.geteuid() == 0 and self.uid is None

    def command(self):
        if not self.private:
            return [virtlockd(), *self.argv()]
        mount = "mount -t tmpfs tmpfs /run"
        if self.shared_run:
            mount = f"mount --bind '{self.shared_run}' /run"
        script = mount + ' && exec "$@"'
        return ["unshare", "-m", "--propagation", "private", "--", "sh", "-c", script, "sh",
                virtlockd(), *self.argv()]

    def environment(self):
        runtime = self.shared_run or self.directory
        return {} if self.private else {"XDG_RUNTIME_DIR": runtime, "HOME": self.directory,
                                        "XDG_CONFIG_HOME": self.directory,
                                        "XDG_CACHE_HOME": self.directory}

    @property
    def run_dir(self):
        if self.private:
            return f"/proc/{self.pid}/root/run"
        return self.shared_run or self.directory

    def virt_admin(self, *words):
        if self.private:
            return run_virt_admin(["nsenter", "-m", "-t", str(self.pid), "--"], "system", words)
        return run_virt_admin([], "session", words, self.directory)


class Holdfastd(Daemon):
    """Our daemon, moved as a whole below a directory of the test."""

    name = "holdfastd"

    def command(self):
        return [holdfastd(), *self.argv()]

    def environment(self):
        return {"HOLDFAST_RUN_DIR": self.run_dir, "HOME": self.directory}

    @property
    def run_dir(self):
        return self.directory

    @property
    def pid(self):
        """The supervisor; after its end the server, which has taken its place."""
        pid = read_pid(f"{self.run_dir}/holdfast/holdfastd.pid")
        return pid if pid and is_there(pid) else self.process.pid

    def kill_rest(self):
        pid = read_pid(f"{self.run_dir}/holdfast/holdfastd.pid")
        started = [child.pid for child in self.nursery.children]
        if pid and is_there(pid) and pid not in started and is_program(pid, self.command()[0]):
            kill_family(pid)

    @property
    def alive(self):
        return is_there(self.pid)

    def end_of(self, pid):
        """Of a server that took its supervisor's place the status cannot be known: 0."""
        if pid == self.process.pid:
            return super().end_of(pid)
        until(lambda: not is_there(pid), "the daemon's end", STOP_DEADLINE)
        return 0

    @property
    def server_pid(self):
        servers = [pid for pid in children(self.pid) if name_of(pid) != WORKER]
        return servers[0] if servers else self.pid

    @property
    def workers(self):
        """Processes that ask a filesystem for it."""
        return [pid for pid in children(self.pid) if name_of(pid) == WORKER]

    def signal(self, number):
        """As above; to be stopped is meant for the one that serves."""
        pausing = number in (signal.SIGSTOP, signal.SIGCONT)
        os.kill(self.server_pid if pausing else self.pid, number)

    def kill(self):
        self.expected_to_live = False
        kill_family(self.pid)
        self.process.wait(STOP_DEADLINE)

    @property
    def own_socket(self):
        return f"{self.run_dir}/holdfast/holdfast-sock"

    @property
    def own_socket_ro(self):
        return f"{self.run_dir}/holdfast/holdfast-sock-ro"

    def virt_admin(self, *words):
        """Stock virt-admin looks below /run, so it gets a /run that is our run directory."""
        if os.geteuid() == 0:
            script = 'mount --bind "$0" /run && exec "$@"'
            return run_virt_admin(["unshare", "-m", "--propagation", "private", "--", "sh", "-c",
                                   script, self.run_dir], "system", words)
        return run_virt_admin([], "session", words, self.run_dir)


def run_virt_admin(prefix, instance, words, runtime_dir=None):
    tool = shutil.which("virt-admin")
    assert tool, "virt-admin is not installed (Debian: libvirt-clients)"
    env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
    if runtime_dir:
        env |= {"XDG_RUNTIME_DIR": runtime_dir, "XDG_CONFIG_HOME": runtime_dir,
                "XDG_CACHE_HOME": runtime_dir, "HOME": runtime_dir}
    return subprocess.run([*prefix, tool, "-c", f"virtlockd:///{instance}", *words], env=env,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20,
                          check=False)
