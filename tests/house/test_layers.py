# SPDX-License-Identifier: LGPL-2.1-or-later
"""The include ladder's check sees what it is there to see."""

import pathlib
import subprocess

import pytest

CHECK = pathlib.Path(__file__).resolve().parents[2] / 'tools' / 'check-layers'

SOUND = {
    'src/base/error.h': '#include <stdarg.h>\n',
    'src/rpc/message.h': '#include "base/error.h"\n',
    'src/rpc/message.c': '#include "rpc/message.h"\n#include "lock-xdr.h"\n',
    'src/storage/identity.h': '#include "base/error.h"\n',
    'src/driver/lockd/lockd.c': '#include <holdfast/lock-driver.h>\n#include "rpc/message.h"\n',
    'src/client/vm.c': '#include "rpc/message.h"\n#include <holdfast/holdfast.h>\n',
    'src/client/client.h': '#include "base/error.h"\n',
    'src/daemon/server.c': '#include "rpc/message.h"\n#include "storage/identity.h"\n',
    'src/cli/run.c': '#include "storage/identity.h"\n#include "client/client.h"\n',
    'include/holdfast/lock-driver.h': '#include <stddef.h>\n',
}


def check(top, files):
    for name, text in files.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(text)
    return subprocess.run([CHECK, top], capture_output=True, text=True, check=False)


def test_a_sound_tree_passes(tmp_path):
    run = check(tmp_path, SOUND)
    assert run.returncode == 0, run.stdout


@pytest.mark.parametrize('file, line, why', [
    ('src/base/error.c', '#include "rpc/message.h"', 'base may not include rpc'),
    ('src/rpc/lock.c', '#include "storage/identity.h"', 'rpc may not include storage'),
    ('src/daemon/who.c', '#include "client/client.h"', 'daemon may not include client'),
    ('src/driver/lockd/way.c', '#include "client/client.h"', 'driver/lockd may not include client'),
    ('src/cli/ps.c', '#include "rpc/message.h"', 'cli may not include rpc'),
    ('src/cli/who.c', '# include  "rpc/message.h"', 'cli may not include rpc'),
    ('src/daemon/abi.c', '#include <holdfast/lock-driver.h>',
     'daemon may not include <holdfast/lock-driver.h>'),
    ('src/client/odd.c', '#include "../rpc/message.h"', 'name the room, not the way to it'),
    ('src/attic/old.c', '#include "base/error.h"', '"attic" is no room'),
    ('include/holdfast/pr.h', '#include "base/error.h"',
     'an installed header includes only installed ones'),
])
def test_a_breach_is_named_with_file_and_line(tmp_path, file, line, why):
    run = check(tmp_path, SOUND | {file: f'{line}\n'})
    assert run.returncode == 1
    assert f'{file}:1: ' in run.stdout and why in run.stdout


def test_headers_in_a_circle_are_a_breach(tmp_path):
    run = check(tmp_path, SOUND | {
        'src/vm/disk.h': '#include "vm/lease.h"\n',
        'src/vm/lease.h': '#include "disk.h"\n',
    })
    assert run.returncode == 1
    assert 'vm/disk.h -> vm/lease.h -> vm/disk.h' in run.stdout


def test_a_tree_without_sources_does_not_pass(tmp_path):
    run = check(tmp_path, {})
    assert run.returncode == 1
