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
# Found where a client is told of its progress.
OF_MESSAGES = {'BUG_ANSWER_FORGETS_MESSAGE', 'BUG_END_IN_PLACE', 'BUG_MESSAGE_ENDS_REQUEST'}


def search(scene, *switches):
    if not shutil.which('spin'):
        pytest.skip('spin is not here')
    return subprocess.run([TOP / 'tools' / 'check-model', str(scene), '2', *switches],
                          capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)


@pytest.mark.parametrize('bug', BUGS)
def test_a_wrong_order_is_found(bug):
    run = search(4 if bug in OF_MESSAGES else 2 if bug in OF_STREAMS else 1, f'-D{bug}')
    assert run.returncode == 1 and 'assertion violated' in run.stdout, run.stdout + run.stderr


def test_there_are_wrong_orders_to_be_found():
    assert len(BUGS) >= 22 and OF_STREAMS | OF_MESSAGES < set(BUGS)
