# SPDX-License-Identifier: LGPL-2.1-or-later
"""A copy of the tree, for tests that change it or build it elsewhere."""

import pathlib
import subprocess

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope='session')
def tree(tmp_path_factory):
    """The files under version control (changed or not), as a clone would have them."""
    copy = tmp_path_factory.mktemp('tree')
    listed = subprocess.run(['git', 'ls-files', '-co', '--exclude-standard', '-z'], cwd=TOP,
                            capture_output=True, check=False)
    if listed.returncode != 0:
        pytest.skip('no git here to list the files of the tree')
    subprocess.run(['tar', '-c', '--null', '--ignore-failed-read', '-T', '-', '-f',
                    copy.with_suffix('.tar')], input=listed.stdout, cwd=TOP, check=True)
    subprocess.run(['tar', '-x', '-f', copy.with_suffix('.tar')], cwd=copy, check=True)
    copy.with_suffix('.tar').unlink()
    return copy
