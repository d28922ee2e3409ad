# SPDX-License-Identifier: LGPL-2.1-or-later
"""Settings that a program edits by Augeas are settings that Holdfast reads."""

import os
import pathlib
import re
import shutil
import subprocess

import pytest

from hftest.daemons import REPO

LENSES = os.path.join(REPO, "data", "augeas")

OURS = {
    "lock_manager": "nop", "keep_descriptors": "0", "on_lost": "kill", "monitor": "0",
    "libvirt_metadata_lock": "1",
    "auto_disk_leases": "0", "require_lease_for_disks": "1", "file_lockspace_dir": "/x",
    "lvm_lockspace_dir": "/y", "scsi_lockspace_dir": "/z", "disk_lease_dir": "/w",
    "host_id": "3", "io_timeout": "5", "user": "root", "group": "root",
}
DAEMONS = {
    "max_clients": "7", "admin_max_clients": "7", "filesystem_timeout": "9", "log_level": "1",
    "log_filters": "1:daemon", "log_outputs": "1:stderr", "unix_sock_group": "root",
    "unix_sock_ro_perms": "0770", "on_lost": "warn", "holder_records": "0",
}


def keys_of(lens):
    with open(os.path.join(LENSES, lens), encoding="ascii") as text:
        return set(re.findall(r'\bsetting "(\w+)"', text.read()))


@pytest.fixture
def root(folder):
    """A root with the files as they are installed."""
    if not shutil.which("augtool"):
        pytest.skip("augtool is not here (Debian: augeas-tools)")
    for source, place in ((f"{REPO}/data/holdfast.conf", "etc/holdfast"),
                          (f"{REPO}/data/holdfastd.conf", "etc/holdfast"),
                          ("/etc/libvirt/qemu-lockd.conf", "etc/libvirt")):
        os.makedirs(os.path.join(folder, "root", place), exist_ok=True)
        shutil.copyfile(source, os.path.join(folder, "root", place, os.path.basename(source)))
    return pathlib.Path(folder, "root")


def augtool(root, file, key, value):
    """Sets one key as one would on the command line; the file's text afterwards."""
    done = subprocess.run(["augtool", "-r", root, "-I", LENSES, "-s", "set",
                           f"/files/etc/{file}/{key}", value], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0 and "Saved 1 file" in done.stdout, done
    return (root / "etc" / file).read_text()


def test_the_tables_of_this_test_have_every_key_of_the_lenses():
    assert keys_of("holdfast.aug") == set(OURS) and keys_of("holdfastd.aug") == set(DAEMONS)


@pytest.mark.parametrize("key", OURS)
def test_each_key_of_holdfast_conf_can_be_set(root, peer, key):
    path = root / "etc/holdfast/holdfast.conf"
    before = path.read_text()
    after = augtool(root, "holdfast/holdfast.conf", key, OURS[key])
    assert after.startswith(before) and re.search(rf'^{key} = "?{OURS[key]}"?$', after, re.M)
    vm = peer({})
    answer = vm.must("new", name="vm", config=str(path))
    assert vm.warnings()["said"] == []
    assert answer["driver"] == ("nop" if key == "lock_manager" else "lockd")
    assert vm.wants_monitor()["r"] == (key != "monitor")


def test_a_directory_that_was_set_is_the_one_that_locks_are_in(root, peer, daemon, image, folder):
    augtool(root, "holdfast/holdfast.conf", "file_lockspace_dir", f"{folder}/locks")
    vm = peer({"HOLDFAST_RUN_DIR": daemon.run_dir})
    vm.must("new", name="vm", config=str(root / "etc/holdfast/holdfast.conf"))
    vm.must("disk", what="add", path=image())
    vm.must("start")
    assert len(os.listdir(f"{folder}/locks")) == 1


@pytest.mark.parametrize("key", DAEMONS)
def test_each_key_of_holdfastd_conf_can_be_set_and_the_daemon_serves(root, holdfastd, key):
    text = augtool(root, "holdfast/holdfastd.conf", key, DAEMONS[key])
    assert re.search(rf'^{key} = "?{DAEMONS[key]}"?$', text, re.M)
    serving = holdfastd(conf=text)
    with open(f"{REPO}/src/daemon/config.c", encoding="utf-8") as table:
        known = f'"{key}"' in table.read()
    with open(serving.logfile, encoding="utf-8", errors="replace") as log:
        assert ("unknown key" in log.read()) != known


@pytest.mark.parametrize("key", ["auto_disk_leases", "require_lease_for_disks",
                                 "file_lockspace_dir", "lvm_lockspace_dir", "scsi_lockspace_dir"])
def test_what_libvirts_own_lens_writes_is_read(root, peer, folder, key):
    if not os.path.exists("/usr/share/augeas/lenses/libvirt_lockd.aug"):
        pytest.skip("libvirt's lens is not here (Debian: libvirt-daemon)")
    text = augtool(root, "libvirt/qemu-lockd.conf", key, OURS[key])
    uid = 65534 if os.geteuid() == 0 else None
    os.makedirs(f"{folder}/config/libvirt")
    path = pathlib.Path(folder, "config/libvirt/qemu-lockd.conf")
    path.write_text(text)
    vm = peer({"XDG_CONFIG_HOME": f"{folder}/config", "XDG_RUNTIME_DIR": folder}, uid=uid)
    vm.must("new", name="vm")
    assert vm.warnings()["said"] == []
    # It is this file that is read: of a broken one the line is told.
    path.write_text(text.replace(f"{key} =", f"{key} = = #") + f"{key} = = 1\n")
    refused = peer({"XDG_CONFIG_HOME": f"{folder}/config", "XDG_RUNTIME_DIR": folder},
                   uid=uid).new(name="vm")
    assert "qemu-lockd.conf:" in refused["text"]
