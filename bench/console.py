# SPDX-License-Identifier: LGPL-2.1-or-later
"""Consoles: what lies between a guest that prints and those who read.

The comparison is a program that does nothing but read the guest's terminal. Ours reads it as
well, and keeps what comes, writes it into a log, and hands it to all who watch. Both are measured
in turn with a guest that prints as fast as it may.
"""

import json
import os
import subprocess
import sys
import tempfile
import time

import rows
from daemon import children_of as processes_of

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(TOP, 'tests', 'lib'))

LIMIT_SECONDS = 120
WATCHERS = (0, 1, 5)
IDLE = 100


class Consoles:
    """Makes what is wanted, below `work`."""

    def __init__(self, program, load, work, quick):
        self.program, self.load, self.work = program, load, work
        self.bytes = (1 if quick else 8) << 20
        self.seconds = 1 if quick else 5

    def missing(self):
        """Why there can be no measurement, or None."""
        for path in (self.program, self.load):
            if not os.access(path, os.X_OK):
                return f'{path} is not there'
        return None

    def measure(self, job, rounds, pairs):
        """{'ours': [result], 'original': [result]}"""
        from hftest import consoled, processes
        results = {'ours': [], 'original': []}
        consoled.CONSOLED = self.program
        for number in range(rounds):
            nursery = processes.Nursery()
            folder = tempfile.mkdtemp(dir=self.work)
            try:
                daemon = consoled.Consoled(nursery, folder)
                if job == 'idle':
                    results['ours'].append(self.idle(daemon))
                    continue
                for pair in range(pairs):
                    turn = [('ours', lambda: self.ours(daemon)), ('original', self.plain)]
                    for side, take in turn if (number + pair) % 2 == 0 else reversed(turn):
                        results[side].append(take())
            finally:
                nursery.close()
        return results

    def run(self, guest, readers):
        done = subprocess.run([self.load, str(guest), str(self.bytes), *map(str, readers)],
                              pass_fds=[guest, *readers], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False)
        if done.returncode != 0:
            raise rows.MeasureError(f'consoleload: {done.stderr.strip() or done.returncode}')
        return json.loads(done.stdout)

    def plain(self):
        from hftest.consoled import Terminal
        with Terminal() as pair:
            os.set_blocking(pair.master, True)
            slave = os.open(pair.path, os.O_RDONLY | os.O_NOCTTY)
            try:
                one = self.run(pair.master, [slave])
            finally:
                os.close(slave)
        return {f'{key}_{n}': value for n in WATCHERS for key, value in one.items()}

    def ours(self, daemon):
        result = {}
        for n in WATCHERS:
            for key, value in self.through(daemon, n).items():
                result[f'{key}_{n}'] = value
        return result

    def through(self, daemon, watchers):
        from hftest import console_wire as cw
        from hftest.consoled import Terminal
        with Terminal() as pair:
            os.set_blocking(pair.master, True)
            clients = [daemon.attach(vm='bench', device='serial0', path=pair.path,
                                     flags=cw.WATCH | cw.KEEP) for _ in range(watchers or 1)]
            try:
                if not watchers:
                    clients.pop().close()
                return self.run(pair.master, [client.stream.fileno() for client in clients])
            finally:
                for client in clients:
                    client.close()
                pair.close()
                daemon.until_free()

    def idle(self, daemon):
        from hftest import console_wire as cw
        from hftest.consoled import Terminal
        before = memory(daemon)
        terminals = [Terminal() for _ in range(IDLE)]
        try:
            for i, pair in enumerate(terminals):
                with daemon.attach(vm=f'idle{i}', device='serial0', path=pair.path, flags=cw.KEEP):
                    pair.print(b'login: ')
            time.sleep(1)  # they come to rest
            woken, ran = activity(daemon)
            begin = time.monotonic()
            time.sleep(self.seconds)
            took = time.monotonic() - begin
            woken_then, ran_then = activity(daemon)
            return {'kib_per_console': (memory(daemon) - before) / IDLE,
                    'wakeups_per_s': (woken_then - woken) / took,
                    'cpu_percent': (ran_then - ran) / 1e7 / took}
        finally:
            for pair in terminals:
                pair.close()


def tree(daemon):
    return processes_of(daemon.pid)


def memory(daemon):
    """KiB of all its processes, what they share counted once."""
    total = 0
    for pid in tree(daemon):
        with open(f'/proc/{pid}/smaps_rollup', encoding='ascii') as file:
            total += sum(int(line.split()[1]) for line in file if line.startswith('Pss:'))
    return total


def activity(daemon):
    """How often its processes have woken up, and for how many nanoseconds they ran."""
    woken = ran = 0
    for pid in tree(daemon):
        with open(f'/proc/{pid}/status', encoding='ascii', errors='replace') as file:
            woken += sum(int(line.split()[1]) for line in file
                         if line.startswith('voluntary_ctxt_switches'))
        with open(f'/proc/{pid}/schedstat', encoding='ascii') as file:
            ran += int(file.read().split()[0])
    return woken, ran
