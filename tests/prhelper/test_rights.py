# SPDX-License-Identifier: LGPL-2.1-or-later
"""What each of the helper's processes may do, as the kernel tells it."""

import os
import re

import pytest

from hftest import prhelper
from hftest.processes import until

SYS_RAWIO, SYS_ADMIN = 1 << 17, 1 << 21


def status(pid):
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as text:
        found = dict(re.findall(r"^(\w+):\t(.*)$", text.read(), re.M))
    rights = {name: int(found[name], 16)
              for name in ("CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb")}
    return rights | {"new": found["NoNewPrivs"], "filter": found["Seccomp"],
                     "uid": found["Uid"].split(), "gid": found["Gid"].split(),
                     "groups": found["Groups"].split()}


def assert_confined(found):
    assert found["CapBnd"] == found["CapInh"] == found["CapAmb"] == 0, found
    assert found["new"] == "1" and found["filter"] == "2" and found["groups"] == [], found


def only_child(helper):
    until(lambda: len(helper.children) == 1, "one connection is left")
    return helper.children[0]


@pytest.mark.parametrize("backends, kept", [
    ('[ "sgio", "emulated" ]', SYS_RAWIO),
    ('[ "sgio", "mpath", "nvme", "emulated" ]', SYS_RAWIO | SYS_ADMIN),
])
def test_the_main_process_keeps_what_its_children_need_and_uses_none_of_it(
        ours, root, backends, kept):
    helper = ours(config=f"backends = {backends}\n")
    found = status(helper.pid)
    assert (found["CapPrm"], found["CapEff"]) == (kept, 0)
    assert_confined(found)


def test_a_connection_has_the_right_to_send_commands_and_no_other(ours, root, null):
    helper = ours()
    with helper.client() as client:
        client.read(null, 0)
        found = status(only_child(helper))
    assert found["CapPrm"] == found["CapEff"] == SYS_RAWIO
    assert_confined(found)


def test_the_emulated_backend_has_no_right_at_all(ours, root, folder):
    disk = os.path.join(folder, "disk")
    with open(disk, "w", encoding="utf-8") as out:
        out.write("data")
    helper = ours(config=f'emulate = [ "{disk} as disk" ]\nhost_name = "here"\n'
                         f'emulation_database = "{folder}/state.db"\n')
    fd = os.open(disk, os.O_RDWR)
    with helper.client() as client:
        connection = only_child(helper)
        assert client.write(fd, prhelper.REGISTER, 0, 1).status == prhelper.GOOD
        assert client.read(fd, prhelper.READ_KEYS).keys == [1]
        (backend,) = [pid for pid in helper.children if pid != connection]
        found = status(backend)
    os.close(fd)
    assert found["CapPrm"] == found["CapEff"] == 0
    assert_confined(found)


@pytest.mark.parametrize("words, uid, gid", [
    (["-u", "nobody"], "65534", "65534"),
    (["-u", "nobody", "-g", "daemon"], "65534", "1"),
    (["-u", "4711", "-g", "4712"], "4711", "4712"),
    (["-g", "daemon"], "0", "1"),
])
def test_user_and_group_are_taken_on_by_all_processes_with_their_rights(
        ours, root, null, words, uid, gid):
    helper = ours(args=words)
    with helper.client() as client:
        assert client.read(null, 0).why == "B/00/06"
        for pid in (helper.pid, only_child(helper)):
            found = status(pid)
            assert found["uid"] == [uid] * 4 and found["gid"] == [gid] * 4
            assert_confined(found)
        assert found["CapEff"] == SYS_RAWIO


def test_without_any_right_it_starts_and_serves_what_needs_none(ours, root, folder, null):
    """The kernel says what is missing, as it does to QEMU's helper."""
    os.chown(folder, 65534, 65534)
    disk = os.path.join(folder, "disk")
    with open(disk, "w", encoding="utf-8") as out:
        out.write("data")
    helper = ours(config=f'emulate = [ "{disk} as disk" ]\nhost_name = "here"\n'
                         f'emulation_dir = "{folder}/state"\nsocket_mode = "0666"\n',
                  wrapper=["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"])
    fd = os.open(disk, os.O_RDWR)
    with helper.client() as client:
        assert client.read(null, 0).why == "B/00/06"
        assert client.write(fd, prhelper.REGISTER, 0, 5).status == prhelper.GOOD
        assert status(helper.pid)["CapPrm"] == 0
    os.close(fd)


def test_few_libraries_are_loaded(ours):
    helper = ours()
    with open(f"/proc/{helper.pid}/maps", encoding="ascii", errors="replace") as text:
        loaded = set(re.findall(r"/(lib[\w-]+)[^/\s]*\.so", text.read()))
    # Ours, and what libsystemd and the sanitizers bring along.
    known = {"libsystemd", "libcap-ng", "libseccomp", "libsqlite3", "libmd", "libc", "libm"}
    carried = {"libcap", "libgcrypt", "libgpg-error", "liblz4", "liblzma", "libzstd", "libasan",
               "libubsan", "libgcc_s", "libstdc"}
    assert loaded and loaded - known - carried == set()
