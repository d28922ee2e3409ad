# SPDX-License-Identifier: LGPL-2.1-or-later
"""tools/deps on machines of every kind, each played by small stand-ins."""

import pathlib
import subprocess
import time

import pytest

DEPS = pathlib.Path(__file__).resolve().parents[2] / 'tools' / 'deps'

# Plain commands that the script itself uses.
PLAIN = ('sh', 'awk', 'sed', 'cut', 'tr', 'cat')


class Machine:
    """A PATH with stand-ins for the package tools; each call of them is written down."""

    def __init__(self, folder):
        self.path, self.log = folder / 'bin', folder / 'log'
        self.path.mkdir()
        self.log.touch()
        for name in PLAIN:
            (self.path / name).symlink_to(f'/usr/bin/{name}')

    def program(self, name, body=''):
        file = self.path / name
        file.write_text(f'#!/bin/sh\necho "{name} $*" >>{self.log}\n{body}\n')
        file.chmod(0o755)

    def debian(self, there, uid, install='exit 0'):
        """Debian, with the packages that the shell pattern `there` matches."""
        self.program('dpkg-query', f'for p; do case $p in -*) ;; {there}) '
                                   'echo "installed $p" ;; esac; done')
        self.program('apt-get', f'case $* in *install*) {install} ;; esac')
        self.program('id', f'echo {uid}')

    def deps(self, *groups, **env):
        return subprocess.run([DEPS, *groups], env={'PATH': str(self.path), **env}, check=False,
                              capture_output=True, text=True, stdin=subprocess.DEVNULL)

    def calls(self, of):
        return [line for line in self.log.read_text().splitlines() if line.startswith(of)]


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def test_with_all_there_it_says_and_does_nothing(machine):
    machine.debian(there='*', uid=1000)
    run = machine.deps('all')
    assert (run.returncode, run.stdout, run.stderr) == (0, '', '')
    assert not machine.calls('apt-get')


def test_with_all_there_it_takes_less_than_a_tenth_of_a_second(machine):
    machine.debian(there='*', uid=1000)
    took = []
    for _ in range(5):
        begin = time.monotonic()
        assert machine.deps('all').returncode == 0
        took.append(time.monotonic() - begin)
    assert min(took) < 0.1


def test_root_gets_what_is_missing_and_is_told_what_for(machine):
    machine.debian(there='[!m]*', uid=0)
    run = machine.deps('build')
    assert run.returncode == 0
    assert 'meson' in run.stderr and 'the build' in run.stderr
    [call] = machine.calls('apt-get')
    assert call.endswith(' meson')
    assert '--no-install-recommends' in call


def test_the_package_list_is_refreshed_only_after_a_failure(machine):
    machine.debian(there='[!m]*', uid=0,
                   install=f'grep -q update {machine.log} || exit 100')
    (machine.path / 'grep').symlink_to('/usr/bin/grep')
    run = machine.deps('build')
    assert run.returncode == 0
    assert [c.split()[1] for c in machine.calls('apt-get')] == ['install', 'update', 'install']


def test_a_package_that_cannot_be_had_is_an_error(machine):
    machine.debian(there='[!m]*', uid=0, install='exit 100')
    run = machine.deps('build')
    assert run.returncode == 1
    assert 'could not install: meson' in run.stderr


def test_others_go_through_sudo(machine):
    machine.debian(there='[!m]*', uid=1000)
    machine.program('sudo')
    assert machine.deps('build').returncode == 0
    [call] = machine.calls('sudo')
    assert call.startswith('sudo -n ') and call.endswith(' meson')


def test_without_root_and_sudo_it_says_what_root_must_run(machine):
    machine.debian(there='[!m]*', uid=1000)
    run = machine.deps('build')
    assert run.returncode == 1
    assert 'as root run: apt-get install meson' in run.stderr
    assert not machine.calls('apt-get')


def test_fedora_is_served_by_dnf_under_its_own_names(machine):
    machine.program('rpm', 'case $* in *libmd*) exit 1 ;; esac')
    machine.program('dnf')
    machine.program('id', 'echo 0')
    assert machine.deps('build').returncode == 0
    [call] = machine.calls('dnf')
    assert call.endswith(' libmd-devel')


def test_elsewhere_it_lists_what_must_be_there_and_goes_on(machine):
    run = machine.deps('build')
    assert run.returncode == 0
    assert 'neither apt-get nor dnf' in run.stderr and 'meson' in run.stderr


def test_it_can_be_turned_off(machine):
    machine.debian(there='nothing', uid=0)
    run = machine.deps('build', HOLDFAST_DEPS='skip')
    assert (run.returncode, run.stderr) == (0, '')


def test_an_unknown_group_is_refused(machine):
    machine.debian(there='*', uid=0)
    assert machine.deps('biuld').returncode == 1
