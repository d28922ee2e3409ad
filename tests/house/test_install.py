# SPDX-License-Identifier: LGPL-2.1-or-later
"""./configure, make and make install do what they do everywhere."""

import os
import signal
import subprocess

import pytest

# One after the other: they share a tree that is costly to build.
pytestmark = pytest.mark.xdist_group('install')

# What an installed tree must hold; (folder, file) below the prefix.
PROGRAMS = ('bin/holdfast', 'bin/holdfast-pr-helper', 'sbin/holdfastd')
LENSES = ('share/augeas/lenses/holdfast.aug', 'share/augeas/lenses/holdfastd.aug',
          'share/augeas/lenses/holdfast_pr_policy.aug')
DOCS = ('share/man/man1/holdfast.1', 'share/man/man8/holdfastd.8',
        'share/man/man5/holdfastd.conf.5', 'share/man/man5/holdfast.conf.5', 'share/man/man1/holdfast-pr.1',
        'share/man/man5/pr-policy.conf.5', 'include/holdfast/pr.h')


def run(*command, cwd, status=0, **env):
    done = subprocess.run(command, cwd=cwd, env=os.environ | env, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, check=False)
    assert done.returncode == status, f'{command}: {done.returncode}\n{done.stdout}\n{done.stderr}'
    return done.stdout + done.stderr


@pytest.fixture(scope='module')
def home(tree, tmp_path_factory):
    """A home prefix with the tree installed into it."""
    prefix = tmp_path_factory.mktemp('home') / 'holdfast'
    run('./configure', f'--prefix={prefix}', '-Dtests=disabled', cwd=tree)
    run('make', cwd=tree)
    run('make', 'install', cwd=tree)
    return prefix


def test_a_home_prefix_holds_programs_pages_and_settings(home):
    missing = [f for f in (*PROGRAMS, *DOCS, *LENSES) if not (home / f).exists()]
    assert not missing
    assert (home / 'etc/holdfast/holdfastd.conf').exists()
    assert (home / 'etc/holdfast/holdfast.conf').exists()
    assert (home / 'etc/holdfast/pr-policy.conf').exists()


@pytest.mark.parametrize('program', PROGRAMS)
def test_an_installed_program_runs_without_any_help(home, program):
    environment = {'PATH': '/usr/bin:/bin', 'HOME': str(home)}
    done = subprocess.run([home / program, '--version'], env=environment, capture_output=True,
                          text=True, stdin=subprocess.DEVNULL, check=False)
    assert done.returncode == 0, done.stderr
    assert '0.' in done.stdout


def test_a_home_tree_locks_a_disk_with_a_daemon_of_its_own(home, tmp_path):
    run_dir, disk = tmp_path / 'run', tmp_path / 'disk.img'
    disk.write_bytes(b'guest data')
    program = home / 'bin/holdfast'
    environment = {'PATH': '/usr/bin:/bin', 'HOME': str(tmp_path), 'HOLDFAST_RUN_DIR': str(run_dir)}
    try:
        done = subprocess.run([program, 'run', '--name=web0', f'--disk={disk}', '--', program,
                               'who', disk], env=environment, capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, check=False)
    finally:
        pid = int((run_dir / 'holdfast/holdfastd.pid').read_text())
        daemon = os.readlink(f'/proc/{pid}/exe')
        os.kill(pid, signal.SIGTERM)
    assert done.returncode == 0 and 'web0' in done.stdout, done
    assert daemon == str(home / 'sbin/holdfastd')


def test_the_name_virtlockd_leads_to_the_installed_daemon(home):
    assert (home / 'libexec/holdfast/virtlockd').resolve() == (home / 'sbin/holdfastd').resolve()


def test_a_changed_setting_survives_the_next_install(home, tree):
    conf = home / 'etc/holdfast/holdfastd.conf'
    conf.write_text('log_level = 1\n')
    run('make', 'install', cwd=tree)
    assert conf.read_text() == 'log_level = 1\n'


def test_the_system_prefix_puts_settings_into_etc(home, tree, tmp_path):
    # Optimised as for a package: the compiler then sees, and so warns of, more.
    run('./configure', '--prefix=/usr', '--sysconfdir=/etc', '--localstatedir=/var',
        '-Dtests=disabled', '-Dbuildtype=release', cwd=tree)
    run('make', 'install', f'DESTDIR={tmp_path}', cwd=tree)
    assert (tmp_path / 'etc/holdfast/holdfastd.conf').exists()
    assert (tmp_path / 'usr/sbin/holdfastd').exists()
    assert not (tmp_path / 'usr/etc').exists()
    text = subprocess.run(['readelf', '-d', tmp_path / 'usr/bin/holdfast'], capture_output=True,
                          text=True, check=True).stdout
    assert 'RUNPATH' not in text, 'a program in /usr finds its library without a path of its own'
    assert_system_tree_serves(tmp_path)


# As if installed into the system: root's daemon at its usual paths, a VM of root's under it.
SYSTEM = """
mount -t overlay overlay -o lowerdir="$1/usr:/usr" /usr || exit 77
mount -t tmpfs none /run
/usr/sbin/holdfastd &
daemon=$!
for try in $(seq 200); do
        holdfast ps >/dev/null 2>&1 && break
        sleep 0.05 # between two looks
done
holdfast run --name=web0 --disk="$1/disk.img" -- holdfast who "$1/disk.img"
status=$?
kill $daemon
exit $status
"""


def assert_system_tree_serves(root):
    if os.geteuid() != 0:
        return
    (root / 'disk.img').write_bytes(b'guest data')
    environment = {'PATH': '/usr/sbin:/usr/bin:/sbin:/bin', 'HOME': str(root)}
    done = subprocess.run(['unshare', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc',
                           'sh', '-c', SYSTEM, 'sh', root], env=environment, capture_output=True,
                          text=True, stdin=subprocess.DEVNULL, check=False)
    if done.returncode == 77:
        pytest.skip(f'no overlay on /usr here: {done.stderr}')
    assert done.returncode == 0 and 'web0' in done.stdout, done


def test_configure_takes_the_options_that_every_package_builder_gives(tree, tmp_path):
    said = run('./configure', '--build=x86_64-linux-gnu', '--prefix', '/opt/hf', '--disable-silent-rules',
               '--runstatedir=/run/x', 'CFLAGS=-O1', '-Dtests=disabled', cwd=tree)
    assert '--disable-silent-rules: nothing to choose here' in said
    assert '/run/x/holdfast' in said and '/opt/hf/etc/holdfast' in said


def test_configure_refuses_what_it_does_not_know(tree):
    assert 'unknown argument' in run('./configure', '--prefxi=/usr', cwd=tree, status=1)


def test_configure_leaves_a_folder_alone_that_is_not_its_own(tree, tmp_path):
    (tree / 'build').rename(tmp_path / 'build')
    try:
        (tree / 'build').mkdir()
        (tree / 'build' / 'thesis.tex').write_text('dear')
        assert 'not ours' in run('./configure', cwd=tree, status=1)
        assert (tree / 'build' / 'thesis.tex').read_text() == 'dear'
    finally:
        (tree / 'build' / 'thesis.tex').unlink()
        (tree / 'build').rmdir()
        (tmp_path / 'build').rename(tree / 'build')
