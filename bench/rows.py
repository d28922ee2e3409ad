# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is measured: each row of the table, its target, and how it is taken.

A row is a number out of one run of the load generator. Rows that come out of
the same run share a measurement. A ratio is ours divided by the original, taken
within a pair of neighbouring runs; the reported one is the median over the
pairs, so that a slow minute of the machine hits both halves of a pair and a
disturbed pair does not count.
"""

import dataclasses
import json
import os
import subprocess
from typing import Callable, Optional

LIMIT_SECONDS = 120


class MeasureError(Exception):
    pass


@dataclasses.dataclass
class Bench:
    """What all measurements of one run share."""
    load: str                # the load generator
    files: str               # folder of the files to lock
    seconds: float           # of one run of a timed mode
    locks: int               # held in the memory row
    spawns: int              # pairs of commands in one run
    cli: Optional[str]       # the holdfast command
    still: Optional[object]  # a filesystem that can be stopped; None: there cannot be one
    leases: object           # a host with sanlock (leases.py)
    leases_rounds: int       # acquires with the disk in one run
    consoles: object         # a daemon of consoles (console.py)
    one_cpu: set             # for figures of one connection: daemon and client together
    daemon_cpus: set         # for the others: daemon here,
    client_cpus: set         # and client there

    def run(self, arguments, cpus, environment=None, program=None):
        """Runs the load generator, or another one, on these processors; returns what it found."""
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, cpus)
        try:
            done = subprocess.run([program or self.load] + arguments, capture_output=True, text=True,
                                  stdin=subprocess.DEVNULL, timeout=LIMIT_SECONDS,
                                  env=environment, check=False)
        except subprocess.TimeoutExpired:
            raise MeasureError(f'{arguments[0]}: not finished after {LIMIT_SECONDS} s') from None
        finally:
            os.sched_setaffinity(0, before)
        if done.returncode != 0:
            raise MeasureError(f'{arguments[0]}: {done.stderr.strip() or done.returncode}')
        return json.loads(done.stdout)

    def load_daemon(self, daemon, mode, together, extra=()):
        daemon.pin(self.one_cpu if together else self.daemon_cpus)
        return self.run([mode, '--socket', daemon.socket, '--dir', self.files,
                         '--seconds', str(self.seconds), '--daemon', str(daemon.pid),
                         '--state', daemon.run_dir, *extra],
                        self.one_cpu if together else self.client_cpus)


@dataclasses.dataclass(frozen=True)
class Row:
    what: str
    value: Callable                   # of the result: the number that is shown
    unit: str
    target: Optional[float] = None    # None: shown for what it tells, not judged
    relation: str = '<='              # '<=' or '>=' on the ratio, '<' on our number itself
    compared: bool = True             # has the original such a number?

    def met(self, ours, ratio):
        if self.target is None:
            return None
        if self.relation == '<':
            return ours < self.target
        return ratio <= self.target if self.relation == '<=' else ratio >= self.target

    def target_text(self):
        if self.target is None:
            return ''
        if self.relation == '<':
            return f'< {self.target:g} {self.unit}'
        return f'{self.relation} {self.target:g} x'


@dataclasses.dataclass(frozen=True)
class Measurement:
    name: str
    take: Optional[Callable]          # (bench, daemon) -> result; None: the guest does
    rows: tuple
    pairs: int = 4                    # in each round
    fresh: bool = False               # wants a daemon that has done nothing yet
    ours_only: bool = False
    still: bool = False               # needs a filesystem that can be stopped
    sanlock: bool = False             # needs sanlock
    alone: bool = False               # against ours without a supervisor, not the original
    guest: Optional[str] = None       # the job of a guest that takes all results, both sides'
    console: Optional[str] = None     # a job of console.py; the other side is a plain reader


def spawn(bench, daemon, command):
    daemon.pin(bench.one_cpu)
    environment = dict(os.environ, HOLDFAST_RUN_DIR=daemon.run_dir)
    return bench.run(['spawn', '--count', str(bench.spawns), '--', bench.cli, 'run', *command, '--',
                      '/bin/true', ':::', '/bin/true'], bench.one_cpu, environment)


def spawn_with_disk(bench, daemon):
    disk = os.path.join(bench.files, 'disk.raw')
    with open(disk, 'wb') as file:
        file.truncate(1 << 20)
    return spawn(bench, daemon, ['--disk', disk])


def hang(bench, daemon):
    with bench.still.stopped():
        return bench.load_daemon(daemon, 'hang', False, ('--hung', bench.still.file))


def of(key, scale=1.0):
    return lambda result: result[key] * scale


MEASUREMENTS = (
    Measurement('seq', lambda bench, daemon: bench.load_daemon(daemon, 'seq', True), (
        Row('acquire, one connection, median', of('acquire_p50_us'), 'us', 0.7),
        Row('release, one connection, median', of('release_p50_us'), 'us'),
        Row('acquire, one connection, 99 %', of('acquire_p99_us'), 'us'))),
    Measurement('conc', lambda bench, daemon: bench.load_daemon(daemon, 'conc', False), (
        Row('acquires per second, 32 connections', of('acquires_per_s'), '/s', 2.0, '>='),
        Row('acquire, 32 connections, 99 %', of('acquire_p99_us'), 'us'),
        Row('processor share of the load generator', of('client_cpu', 100), '%'))),
    Measurement('connect', lambda bench, daemon: bench.load_daemon(daemon, 'connect', True), (
        Row('connect, register, 2 acquires, restrict', of('start_p50_us'), 'us', 0.6),)),
    Measurement('hold', lambda bench, daemon: bench.load_daemon(
        daemon, 'hold', False, ('--count', str(bench.locks))), (
        Row('memory per held lock', of('bytes_per_lock'), 'B', 1.0),
        Row('memory of the daemon, all locks held', of('total_bytes', 1 / 1048576), 'MiB')),
        pairs=1, fresh=True),
    Measurement('stubborn', lambda bench, daemon: bench.load_daemon(daemon, 'stubborn', False), (
        Row('another client while a VM refuses to die, 99 %', of('during_p99_us', 1e-3), 'ms',
            1.0, '<'),
        Row('the same, worst answer', of('during_max_us', 1e-3), 'ms'),
        Row('the same before, in quiet, 99 %', of('quiet_p99_us', 1e-3), 'ms')),
        pairs=1),
    Measurement('hang', hang, (
        Row('another client while a filesystem hangs, 99 %', of('during_p99_us', 1e-3), 'ms',
            1.0, '<', compared=False),
        Row('the same, worst answer', of('during_max_us', 1e-3), 'ms', compared=False),
        Row('server killed meanwhile: next answer, worst', of('serving_max_us', 1e-3), 'ms',
            100.0, '<', compared=False)),
        pairs=1, fresh=True, ours_only=True, still=True),
    Measurement('handover', lambda bench, daemon: bench.load_daemon(daemon, 'handover', True), (
        Row('hand-over to the next of 50 in line, median', of('handover_p50_us'), 'us', 50.0, '<',
            compared=False),
        Row('the same, 99 %', of('handover_p99_us'), 'us', compared=False),
        Row('hand-over to one that polls every 10 ms, median', of('polled_p50_us'), 'us',
            compared=False),
        Row('the same, 99 %', of('polled_p99_us'), 'us', compared=False),
        Row('in line over polling, medians', of('ratio'), 'x', compared=False)),
        pairs=1, ours_only=True),
    Measurement('recover', lambda bench, daemon: bench.load_daemon(
        daemon, 'recover', False, ('--count', str(bench.locks))), (
        Row('server killed, locks held: next answer, median', of('serving_p50_us', 1e-3), 'ms',
            20.0, '<', compared=False),
        Row('the same, worst answer', of('serving_max_us', 1e-3), 'ms', compared=False)),
        pairs=1, fresh=True, ours_only=True),
    Measurement('price', lambda bench, daemon: bench.load_daemon(daemon, 'seq', True), (
        Row('acquire, with over without a supervisor', of('acquire_p50_us'), 'us'),
        Row('release, with over without a supervisor', of('release_p50_us'), 'us')), alone=True),
    Measurement('run', lambda bench, daemon: spawn(bench, daemon, []), (
        Row('holdfast run -- true over true', of('difference_p50_ms'), 'ms', 3.0, '<',
            compared=False),), pairs=1, ours_only=True),
    Measurement('run-disk', spawn_with_disk, (
        Row('holdfast run --disk D -- true over true', of('difference_p50_ms'), 'ms', 3.0, '<',
            compared=False),), pairs=1, ours_only=True),
    Measurement('lease', lambda bench, daemon: bench.leases.run(bench), (
        Row('lease driver over libsanlock, acquire, median', of('memory_acquire_extra_p50_us'), 'us',
            100.0, '<', compared=False),
        Row('the same, release', of('memory_release_extra_p50_us'), 'us', 100.0, '<',
            compared=False),
        Row('libsanlock itself, acquire without the disk', of('memory_acquire_raw_p50_us'), 'us',
            compared=False),
        Row('lease driver over libsanlock, acquire with the disk', of('disk_acquire_extra_p50_us'),
            'us', compared=False),
        Row('the same, release', of('disk_release_extra_p50_us'), 'us', compared=False),
        Row('libsanlock itself, acquire with the disk', of('disk_acquire_raw_p50_us'), 'us',
            compared=False)), pairs=1, ours_only=True, sanlock=True),
    Measurement('reservations', None, (
        Row('reservation keys read per second, 1 connection', of('keys_1'), '/s', 1.0, '>='),
        Row('the same, 8 connections', of('keys_8'), '/s', 1.0, '>='),
        Row('registrations per second, 1 connection', of('register_1'), '/s', 1.0, '>='),
        Row('the same, 8 connections', of('register_8'), '/s', 1.0, '>=')), pairs=2, guest='pr_bench'),
    Measurement('console', None, (
        Row('console, nobody watches: guest prints, over reader', of('guest_mb_per_s_0'), 'MB/s'),
        Row('the same, 1 watcher', of('guest_mb_per_s_1'), 'MB/s'),
        Row('the same, 5 watchers', of('guest_mb_per_s_5'), 'MB/s'),
        Row('1 watcher reads, over reader', of('read_mb_per_s_1'), 'MB/s'),
        Row('5 watchers read each, over reader', of('read_mb_per_s_5'), 'MB/s'),
        Row('what the slowest of 5 watchers got', of('least_share_5', 100), '%')), pairs=2,
        console='throughput'),
    Measurement('console-idle', None, (
        Row('memory of an idle console, of 100', of('kib_per_console'), 'KiB', compared=False),
        Row('wakeups for 100 idle consoles', of('wakeups_per_s'), '/s', compared=False),
        Row('processor for 100 idle consoles', of('cpu_percent'), '%', compared=False)), pairs=1,
        ours_only=True, console='idle'),
)
