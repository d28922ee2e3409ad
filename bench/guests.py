# SPDX-License-Identifier: LGPL-2.1-or-later
"""Measurements that need a machine of their own: SCSI disks, in a guest of the labs.

The guest measures both sides by turns and reports all results at once; an
emulated machine's times mean even less than others, their ratio means the same.
"""

import os
import shutil
import sys
import tempfile

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TESTS = os.path.join(TOP, 'tests')
# The guest is told so, and it is somewhere else.
os.environ['HF_BUILD'] = os.path.join(TOP, os.environ.get('HF_BUILD', 'build'))
sys.path += [TESTS, os.path.join(TESTS, 'lib')]

from hftest import processes  # noqa: E402
from lab import guest  # noqa: E402


def missing():
    """Why there can be no guest here, or None."""
    if os.geteuid() != 0:
        return 'the guest sees what only root may read'
    try:
        guest.find_kernel()
        for program in ('qemu-system-x86_64', 'qemu-pr-helper', 'busybox', 'cpio', 'modprobe'):
            guest.program(program)
    except guest.Broken as fault:
        return str(fault)
    return None


def measure(job, rounds, seconds, pairs=4):
    """{'ours': [result], 'original': [result]} as the job found them."""
    folder = tempfile.mkdtemp(prefix='hf-')
    nursery = processes.Nursery()
    try:
        machine = guest.Machine(folder)
        arguments = {'pairs': rounds * pairs, 'seconds': seconds}
        result = guest.Guest(machine, nursery, os.path.join(folder, job), job, arguments).finish()
        if 'results' not in result.values:
            raise guest.Broken(result.failure)
        return result.values['results']
    finally:
        nursery.close()
        shutil.rmtree(folder, ignore_errors=True)
