# SPDX-License-Identifier: LGPL-2.1-or-later
"""`make run`, the demonstration, shows what it says and cleans up."""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]

# It needs a few seconds; on a machine under load, several times that.
LIMIT_S = 120

# Where it keeps everything, as `who` tells while its first guest runs.
FOLDER = re.compile(r'/\S*/holdfast-demo\.\w+')


@pytest.fixture
def demo(tmp_path):
    for tool in ('qemu-system-x86_64', 'qemu-img', 'setpriv'):
        if not shutil.which(tool):
            pytest.skip(f'{tool} is not here')
    child = subprocess.Popen([TOP / 'tools' / 'demo'], env=os.environ | {'TMPDIR': str(tmp_path)},
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True)
    yield child
    if child.poll() is None:
        child.terminate()
    child.wait(LIMIT_S)
    child.stdout.close()


def processes_in(folder):
    """Processes whose sockets or images are in the folder."""
    found = []
    for process in pathlib.Path('/proc').glob('[0-9]*'):
        try:
            words = (process / 'environ').read_bytes() + (process / 'cmdline').read_bytes()
        except OSError:
            continue
        if folder.encode() in words:
            found.append(process.name)
    return found


def assert_nothing_is_left(said):
    [folder] = set(FOLDER.findall(said))
    assert not os.path.exists(folder)
    # The kernel may still be at the end of a process that was waited for.
    deadline = time.monotonic() + 10
    while processes_in(folder):
        assert time.monotonic() < deadline, processes_in(folder)
        time.sleep(0.05)


def test_the_demonstration_keeps_every_promise_and_leaves_nothing_behind(demo):
    said, _ = demo.communicate(timeout=LIMIT_S)
    assert demo.returncode == 0, said
    assert said.count('(exit status 75)') >= 3 and 'Nothing is left running.' in said
    assert re.search(r'held by web0 \(pid \d+', said)
    assert_nothing_is_left(said)


def test_an_interrupted_demonstration_leaves_nothing_behind(demo):
    said = ''
    while not FOLDER.search(said):
        line = demo.stdout.readline()
        assert line, said
        said += line
    demo.send_signal(signal.SIGTERM)
    rest, _ = demo.communicate(timeout=LIMIT_S)
    assert demo.returncode == 143, said + rest
    assert_nothing_is_left(said + rest)
