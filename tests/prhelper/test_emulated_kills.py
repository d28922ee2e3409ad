# SPDX-License-Identifier: LGPL-2.1-or-later
"""A process that is killed at each of its system calls: nothing that it answered is lost, nothing
is half there, and the others go on.

strace says which calls there are, and then kills at each of them, one run a call. Calls that only
look leave everything as the next one finds it, so that one will do.
"""

import os
import re
import shutil
import subprocess

import pytest

from hftest.daemons import BUILD
from hftest.prhelper import GOOD, READ_KEYS, REGISTER_AND_IGNORE, Helper

STEPS = os.path.join(BUILD, "tests/prhelper/emulated-steps")
STORES = {"sqlite": "emulation_database", "files": "emulation_dir"}
RUN_DEADLINE = 30

CALL = re.compile(r"^(\w+)\(")
LOOKING = {"access", "brk", "exit_group", "fstat", "getpid", "geteuid", "getcwd", "lseek", "mmap",
           "munmap", "newfstatat", "pread64", "read", "readlink", "sysinfo"}


@pytest.fixture(params=sorted(STORES))
def store(request):
    return request.param


@pytest.fixture
def strace():
    path = shutil.which("strace")
    if not path:
        pytest.fail("strace is not installed: nothing can be shown here without it")
    return path


def steps(place, store, key, wrapper=()):
    """Registers the key. Returns the exit status, the keys that were answered, and errors."""
    run = subprocess.run([*wrapper, STEPS, store, place, "one", "victim", str(key), "1"],
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                         timeout=RUN_DEADLINE, check=False)
    return run.returncode, [int(line) for line in run.stdout.split()], run.stderr


def calls_of(strace, folder, place, store):
    """(name, how many of that name came before) of each call from the first on the store."""
    log = os.path.join(folder, "calls")
    assert steps(place, store, 1)[0] == 0
    status, _, errors = steps(place, store, 2, wrapper=(strace, "-o", log))
    assert status == 0, errors
    seen, calls, begun = {}, [], False
    with open(log, encoding="ascii", errors="replace") as lines:
        for line in lines:
            call = CALL.match(line)
            if not call:
                continue
            name = call[1]
            seen[name] = seen.get(name, 0) + 1
            begun = begun or place in line
            if begun and name not in LOOKING:
                calls.append((name, seen[name]))
    return calls


def test_whoever_is_killed_anywhere_loses_no_answer_and_stops_nobody(folder, nursery, strace, store):
    place = os.path.join(folder, "pr")
    disk = os.path.join(folder, "disk")
    with open(disk, "wb"):
        pass
    helper = Helper(folder, nursery=nursery, config=f'emulate = ["{disk} as one"]\n'
                    f'host_name = "other"\n{STORES[store]} = "{place}"\n')
    calls = calls_of(strace, folder, place, store)
    assert sum(name in ("fsync", "fdatasync") for name, _ in calls) >= 2
    device = os.open(disk, os.O_RDWR)
    key, killed = 2, 0
    with helper.client() as other:
        for name, count in calls:
            status, answered, errors = steps(place, store, key + 1, wrapper=(
                strace, "-o", "/dev/null", f"--inject={name}:signal=KILL:when={count}"))
            assert status in (0, -9, 137), errors
            killed += status != 0
            # Another on this unit is served at once, and sees a state that there was.
            there = other.read(device, READ_KEYS)
            assert there.status == GOOD, (name, count, there)
            found = [k for k in there.keys if k != 1 << 40]
            last = answered[-1] if answered else key
            assert found in ([last], [last + 1]), (name, count, answered, there)
            key = found[0]
            assert other.write(device, REGISTER_AND_IGNORE, 0, 1 << 40).status == GOOD
    os.close(device)
    assert killed >= len(calls) * 3 // 4, f"{killed} of {len(calls)} were killed"


def test_what_was_made_is_on_disk_with_its_name_before_the_answer(folder, strace, store):
    log = os.path.join(folder, "syncs")
    status, answered, errors = steps(os.path.join(folder, "pr"), store, 1, wrapper=(
        strace, "-y", "-e", "trace=fsync,fdatasync", "-o", log))
    assert (status, answered) == (0, [1]), errors
    with open(log, encoding="ascii", errors="replace") as lines:
        assert any(f"<{folder}>" in line for line in lines)
