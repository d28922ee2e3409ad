# SPDX-License-Identifier: LGPL-2.1-or-later
"""The model of survival can fail: each wrong order in it is found."""

import pathlib
import re
import shutil
import subprocess

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
MODEL = TOP / 'tests' / 'model' / 'survive.pml'
BUGS = sorted(set(re.findall(r'^#ifn?def (BUG_\w+)', MODEL.read_text(), re.M)))
# Found where clients count; all others where they want the lock.
OF_STREAMS = {'BUG_COMMIT_BEFORE_INTENT', 'BUG_INTENT_STAYS', 'BUG_SERVES_BEFORE_ALL_IS_APPLIED'}


def search(scene, *switches):
    if not shutil.which('spin'):
        pytest.skip('spin is not here')
    return subprocess.run([TOP / 'tools' / 'check-model', str(scene), '2', *switches],
                          capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)


@pytest.mark.parametrize('bug', BUGS)
def test_a_wrong_order_is_found(bug):
    run = search(2 if bug in OF_STREAMS else 1, f'-D{bug}')
    assert run.returncode == 1 and 'assertion violated' in run.stdout, run.stdout + run.stderr


def test_there_are_wrong_orders_to_be_found():
    assert len(BUGS) >= 19 and OF_STREAMS < set(BUGS)
