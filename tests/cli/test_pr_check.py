# SPDX-License-Identifier: LGPL-2.1-or-later
"""check tells of multipath settings with which a guest's reservations will fail."""

import json
import os
import stat

import pytest

from hftest.command import qemu

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: a mount namespace")

OBJECT = ["-object", "pr-manager-helper,id=helper,path=/run/qemu-pr-helper.sock"]
# Own /sys/dev/block for this process alone: no machine has a multipath map by itself.
PRIVATE = 'mount --bind "$1" /sys/dev/block && shift && exec "$@"'


@pytest.fixture
def device(folder):
    """A block device that sysfs calls a multipath map; (path, folder for /sys/dev/block)."""
    path = os.path.join(folder, "mpatha")
    try:
        os.mknod(path, stat.S_IFBLK | 0o600, os.makedev(7, 0))
        os.close(os.open(path, os.O_RDONLY))
    except OSError as error:
        pytest.skip(f"no loop device can be opened here: {error}")
    sysfs = os.path.join(folder, "block")
    os.makedirs(os.path.join(sysfs, "7:0", "dm"))
    with open(os.path.join(sysfs, "7:0", "dm", "uuid"), "w", encoding="ascii") as uuid:
        uuid.write("mpath-3600a\n")
    return path, sysfs


@pytest.fixture
def warnings(cli, folder, device):
    """The keys of what check warns of, with this line in multipath's defaults."""
    path, sysfs = device

    def of(line, *words):
        program = os.path.join(folder, "multipath")
        with open(program, "w", encoding="ascii") as script:
            script.write(f"#!/bin/sh\n[ $* = -t ] && printf 'defaults {{\\n\\t{line}\\n}}\\n'\n")
        os.chmod(program, 0o755)
        done = cli("check", "--json", "--", *qemu(*words, "-drive", f"file={path},format=raw"),
                   prefix=("unshare", "-m", "sh", "-c", PRIVATE, "sh", sysfs),
                   env={"PATH": f"{folder}:{cli.env['PATH']}"})
        assert done.returncode == 0, done
        return [warning["key"] for warning in json.loads(done.stdout)["warnings"]
                if "reservation" in warning["key"]], done.stderr
    return of


def test_no_key_is_told_before_the_guest_finds_out(warnings):
    keys, said = warnings("verbosity 2", *OBJECT)
    assert keys == ["no-reservation-key"]
    assert "set 'reservation_key file' in the defaults of multipath.conf" in said


def test_a_fixed_key_is_told_with_its_value(warnings):
    keys, said = warnings("reservation_key 0xabc", *OBJECT)
    assert keys == ["fixed-reservation-key"] and "'reservation_key 0xabc'" in said


def test_keys_in_a_file_are_fine(warnings):
    assert warnings('reservation_key "file"', *OBJECT)[0] == []


def test_a_vm_without_a_helper_is_not_bothered(warnings):
    assert warnings("verbosity 2")[0] == []
