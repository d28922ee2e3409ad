# SPDX-License-Identifier: LGPL-2.1-or-later
"""A lock daemon under measurement: started, pinned to processors, ended.

Ours and the original are started alike: same options, same settings, an empty
tmpfs of their own as run folder, bound over /run in a mount namespace of their
own. The original finds its place that way, ours is told it by HOLDFAST_RUN_DIR.
The socket of either is libvirt/virtlockd-sock in its run folder, by a path of
the same kind: what the walk to it costs counts against both or neither.
"""

import os
import signal
import socket
import subprocess
import time

# The parser of the original rejects an empty file, so one setting is given.
SETTINGS = 'max_clients = 1024\n'

START_SECONDS = 10
STOP_SECONDS = 2


class DaemonError(Exception):
    pass


def children_of(root):
    """`root` and every process below it."""
    parents = {}
    for name in os.listdir('/proc'):
        if name.isdigit():
            try:
                with open(f'/proc/{name}/stat') as stat:
                    parents[int(name)] = int(stat.read().rpartition(')')[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                pass
    tree = [root]
    for pid in tree:
        tree += [child for child, parent in parents.items() if parent == pid]
    return tree


def wait_gone(pid, seconds):
    """Reaps `pid`, a child of ours or an orphan handed to us; False if it lives on."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if os.waitpid(pid, os.WNOHANG)[0] == pid:
                return True
        except ChildProcessError:
            if not os.path.exists(f'/proc/{pid}'):
                return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.002)


def mount(*arguments, program='mount'):
    subprocess.run([program, *arguments], check=True)


def answers(path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except (FileNotFoundError, ConnectionRefusedError):
            return False
    return True


class Daemon:
    """One running daemon; `side` names its run folder below `work`."""

    def __init__(self, command, work, side):
        self.program, *self.arguments = command
        self.log = os.path.join(work, side + '.log')
        self.run_dir = os.path.join(work, side)
        self.socket = os.path.join(self.run_dir, 'libvirt/virtlockd-sock')
        settings = os.path.join(work, 'daemon.conf')
        with open(settings, 'w') as file:
            file.write(SETTINGS)
        os.makedirs(self.run_dir, exist_ok=True)
        mount('-t', 'tmpfs', '-o', 'mode=755', 'tmpfs', self.run_dir)
        self.process = None
        try:
            self._start(settings)
            self._wait_for_socket()
        except BaseException:
            self.stop()
            raise

    def _start(self, settings):
        command = ['unshare', '--mount', 'sh', '-c',
                   'mount --bind "$HOLDFAST_RUN_DIR" /run && exec "$0" "$@"', self.program,
                   '-f', settings, '-p', os.path.join(self.run_dir, 'daemon.pid'),
                   *self.arguments]
        with open(self.log, 'ab') as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, env=dict(os.environ,
                                                                 HOLDFAST_RUN_DIR=self.run_dir))
        self.pid = self.process.pid

    def _wait_for_socket(self):
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise DaemonError(f'{self.program} ended with status {self.process.returncode}: '
                                  f'{self.last_words()}')
            if answers(self.socket):
                return
            time.sleep(0.005)
        raise DaemonError(f'{self.program} made no socket in {START_SECONDS} s: {self.last_words()}')

    def last_words(self):
        with open(self.log, errors='replace') as log:
            return ' / '.join(log.read().splitlines()[-5:]) or 'it said nothing'

    def pin(self, cpus):
        for pid in children_of(self.pid):
            for task in os.listdir(f'/proc/{pid}/task'):
                os.sched_setaffinity(int(task), cpus)

    def stop(self):
        """Ends every process of the daemon and takes its run folder away."""
        if self.process and self.process.poll() is None:
            self._end_processes()
        mount('--lazy', self.run_dir, program='umount')

    def _end_processes(self):
        # Ours replaces a half that is killed: it is asked first, and what is left after
        # that is stopped, all of it, before any of it is killed.
        tree = children_of(self.pid)
        self._signal([self.pid], signal.SIGTERM)
        if not wait_gone(self.pid, STOP_SECONDS):
            tree = sorted(set(tree + children_of(self.pid)))
            self._signal(tree, signal.SIGSTOP)
        self._signal(tree, signal.SIGKILL)
        for pid in tree:
            if not wait_gone(pid, STOP_SECONDS):
                raise DaemonError(f'process {pid} of {self.program} does not end')
        self.process.returncode = 0  # wait_gone has reaped it

    @staticmethod
    def _signal(pids, number):
        for pid in pids:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass
