# SPDX-License-Identifier: LGPL-2.1-or-later
"""tools/test counts right, and is green only when tests ran and passed."""

import pathlib
import shutil
import subprocess

import pytest

RUNNER = pathlib.Path(__file__).resolve().parents[2] / 'tools' / 'test'

PASSING = 'def test_a():\n    pass\n'
FAILING = 'def test_b():\n    assert False\n'
SKIPPED = 'import pytest\n@pytest.mark.skip(reason="no moon")\ndef test_c():\n    pass\n'

# A program of unit tests as cmocka reports it; "$@" are outcomes.
UNITS = '''#!/bin/sh
status=0
for outcome; do
        echo "[ RUN      ] unit_$outcome"
        case $outcome in
        ok) echo "[       OK ] unit_ok" ;;
        bad) echo "[  FAILED  ] unit_bad"; status=1 ;;
        crash) kill -SEGV $$ ;;
        esac
done
exit $status
'''


@pytest.fixture
def run(tmp_path):
    """Makes a tree with some tests, runs the runner in it: (exit status, output lines)."""
    (tmp_path / 'tools').mkdir()
    shutil.copy(RUNNER, tmp_path / 'tools' / 'test')
    (tmp_path / 'units').write_text(UNITS)
    (tmp_path / 'units').chmod(0o755)

    def do(tests, units=(), arguments=()):
        build = "project('holdfast')\n"
        if units:
            build += f"test('some', find_program('./units'), args: {list(units)}, suite: 'unit')\n"
        (tmp_path / 'meson.build').write_text(build)
        for name, text in tests.items():
            file = tmp_path / 'tests' / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        subprocess.run(['meson', 'setup', 'build'], cwd=tmp_path, check=True,
                       stdout=subprocess.DEVNULL)
        done = subprocess.run([tmp_path / 'tools' / 'test', *arguments], cwd=tmp_path, check=False,
                              capture_output=True, text=True)
        return done.returncode, done.stdout.splitlines()

    return do


def test_the_last_line_is_the_total_of_all_parts(run):
    status, said = run({'one/test_x.py': PASSING + SKIPPED, 'dropin/test_y.py': PASSING},
                       units=['ok'])
    assert status == 0
    assert said[-1] == '3 passed, 0 failed, 1 skipped'


def test_a_skipped_test_is_listed_with_its_reason(run):
    _, said = run({'one/test_x.py': PASSING + SKIPPED})
    assert [line for line in said if line.startswith('skipped ') and 'no moon' in line]


@pytest.mark.parametrize('tests, units, total', [
    ({'one/test_x.py': PASSING + FAILING}, [], '1 passed, 1 failed, 0 skipped'),
    ({'dropin/test_x.py': PASSING + FAILING}, [], '1 passed, 1 failed, 0 skipped'),
    ({'one/test_x.py': PASSING}, ['ok', 'bad'], '2 passed, 1 failed, 0 skipped'),
    ({'one/test_x.py': PASSING}, ['ok', 'crash'], '2 passed, 1 failed, 0 skipped'),
    ({'one/test_x.py': PASSING + 'import nothing_of_this_name\n'}, ['ok'],
     '1 passed, 1 failed, 0 skipped'),
])
def test_a_failure_anywhere_is_a_failure(run, tests, units, total):
    status, said = run(tests, units)
    assert status == 1
    assert said[-1] == total
    assert [line for line in said if line.startswith('FAILED ')]


def test_no_test_at_all_is_a_failure(run):
    status, said = run({})
    assert status == 1
    assert 'tools/test: no test ran' in said


def test_only_skipped_tests_are_a_failure(run):
    status, _ = run({'one/test_x.py': SKIPPED})
    assert status == 1


def test_a_part_that_breaks_off_is_a_failure(run):
    status, said = run({'one/test_x.py': PASSING, 'one/conftest.py': 'raise SystemExit(3)\n'},
                       units=['ok'])
    assert status == 1
    assert 'broke off' in '\n'.join(said)


def test_an_argument_chooses_the_tests(run):
    status, said = run({'one/test_x.py': PASSING, 'one/test_y.py': FAILING},
                       arguments=['tests/one/test_x.py'])
    assert (status, said[-1]) == (0, '1 passed, 0 failed, 0 skipped')


def test_a_tree_without_lab_tests_says_so(run):
    status, said = run({'one/test_x.py': FAILING}, arguments=['--lab'])
    assert status == 0
    assert said == ['tests/lab: there are no lab tests in this tree; nothing to run']
