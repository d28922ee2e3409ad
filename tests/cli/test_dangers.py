# SPDX-License-Identifier: LGPL-2.1-or-later
"""check warns of locks that are worth less than they seem. What takes a shared filesystem to be seen
is shown in tests/lab/test_dangers.py."""

import json
import os
import subprocess

import pytest


@pytest.fixture
def block(nursery, folder):
    """A block device: a loop device on a file, or a reason why there is none."""
    image = os.path.join(folder, "backing.img")
    with open(image, "wb") as file:
        file.truncate(1 << 20)
    made = subprocess.run(["losetup", "--find", "--show", image], capture_output=True, text=True,
                          check=False)
    if made.returncode != 0:
        pytest.skip(f"no loop device here: {made.stderr.strip()}")
    device = made.stdout.strip()
    nursery.at_end(lambda: subprocess.run(["losetup", "--detach", device], check=True))
    return device


def check(cli, *words):
    answer = cli("check", "--json", *words, "--", "true")
    return answer, [warning["key"] for warning in json.loads(answer.stdout)["warnings"]]


def test_a_disk_of_this_host_has_no_warning(cli, disk):
    answer, warned = check(cli, f"--disk={disk()}")
    assert answer.returncode == 0 and warned == [] and "warning" not in answer.stderr


def test_a_direct_lock_on_a_device_node_is_warned_of_and_strict_refuses_it(cli, block):
    answer, warned = check(cli, f"--disk={block}")
    assert answer.returncode == 0 and warned == ["device-node"] and "lvm_lockspace_dir" in answer.stderr
    answer, warned = check(cli, "--strict", f"--disk={block}")
    assert answer.returncode == 78 and warned == ["device-node"]
