# SPDX-License-Identifier: LGPL-2.1-or-later
"""Lockspace directories and cloud-hypervisor, as a user of the command meets them."""

import hashlib
import json
import os

import pytest

from hftest import cloud_hypervisor as stand_in
from hftest.command import Cli
from hftest.files import lock_on_first_byte

UP = ["--", "sh", "-c", "echo up; exec sleep 600"]


@pytest.fixture
def user(nursery, folder, holdfastd):
    """The command as an ordinary user has it, with settings and a daemon of their own."""
    uid = 65534 if os.geteuid() == 0 else None
    made = Cli(nursery, folder, holdfastd(uid=uid).run_dir)
    os.makedirs(os.path.join(made.config, "holdfast"))
    os.makedirs(os.path.join(made.config, "libvirt"))
    prefix = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--"] if uid else []
    space = os.path.join(made.env["HOLDFAST_RUN_DIR"], "space")

    def disk(name):
        path = os.path.join(folder, name)
        with open(path, "wb") as out:
            out.write(b"guest data")
        if uid:
            os.chown(path, uid, uid)
        return path

    def configure(text, file="holdfast/holdfast.conf"):
        with open(os.path.join(made.config, file), "w", encoding="utf-8") as conf:
            conf.write(text.replace("SPACE", space))
    made.prefix, made.space, made.disk, made.configure = prefix, space, disk, configure
    return made


def hold(user, name, path):
    child = user.start("run", f"--name={name}", f"--disk={path}", *UP, prefix=user.prefix, stdout=-1)
    assert child.stdout.readline() == "up\n"


def ask(user, *words):
    return user(*words, prefix=user.prefix)


@pytest.mark.parametrize("file", ["holdfast/holdfast.conf", "libvirt/qemu-lockd.conf"])
def test_a_disk_behind_a_hash_is_refused_told_and_checked_by_its_path(user, file):
    path = user.disk("disk.img")
    user.configure('file_lockspace_dir = "SPACE"\n', file)
    hold(user, "web0", path)
    assert os.listdir(user.space) == [hashlib.sha256(path.encode()).hexdigest()]
    refused = ask(user, "run", f"--disk={path}", "--", "true")
    assert refused.returncode == 75, refused
    assert refused.stderr.startswith("holdfast: disk.img is held by web0 (")
    checked = ask(user, "check", f"--disk={path}", "--", "true")
    assert checked.returncode == 75 and "disk.img is held by web0" in checked.stderr
    told = ask(user, "who", path)
    assert told.returncode == 0 and "web0" in told.stdout
    assert user.space in ask(user, "ps", "--json").stdout


def test_an_unknown_key_is_a_warning_and_no_more(user):
    user.configure("on_lots = 1\n")
    user.configure("auto = 1\n", "libvirt/qemu-lockd.conf")
    for verb in ("run", "check"):
        done = ask(user, verb, "--disk=" + user.disk("a"), "--", "true")
        assert done.returncode == 0, done
        assert done.stderr.splitlines() == [
            f'holdfast: warning: {user.config}/{file}:1: unknown key "{key}"'
            for file, key in (("holdfast/holdfast.conf", "on_lots"),
                              ("libvirt/qemu-lockd.conf", "auto"))]


def test_a_directory_that_is_none_is_78_for_run_and_check(user):
    user.configure(f'file_lockspace_dir = "{user.disk("file")}"\n')
    for verb in ("run", "check"):
        done = ask(user, verb, "--disk=" + user.disk("a"), "--", "echo", "started")
        assert done.returncode == 78 and "started" not in done.stdout, done
        assert "file_lockspace_dir" in done.stderr and len(done.stderr.splitlines()) == 1


def test_a_vm_that_needs_a_lease_is_78_and_told_what_to_do(user):
    user.configure("auto_disk_leases = 0\n")
    for verb in ("run", "check"):
        done = ask(user, verb, "--disk=" + user.disk("a"), "--", "echo", "started")
        assert done.returncode == 78, done
        assert "lease" in done.stderr and "require_lease_for_disks" in done.stderr


# ---- cloud-hypervisor ----------------------------------------------------------------------

@pytest.fixture
def cloud_hypervisor(folder):
    return stand_in.make(folder)


def test_cloud_hypervisor_starts_with_its_disk_locked_and_it_is_said_where(cli, disk,
                                                                          cloud_hypervisor):
    path = disk()
    vmm = [cloud_hypervisor, "--cpus", "boot=1", "--disk", f"path={path}"]
    child = cli.start("run", "--name=ch0", "--", *vmm, stdout=-1, stderr=-1)
    assert child.stdout.readline() == "up\n"
    directory = os.path.join(cli.env["HOLDFAST_RUN_DIR"], "holdfast", "lookaside")
    said = child.stderr.readline()
    assert said.startswith("holdfast: warning: ") and directory in said
    assert len(os.listdir(directory)) == 1
    for words in (["--disk=" + path, "--", "true"], ["--", *vmm],
                  ["--", "qemu-system-x86_64", "-drive", f"file={path},format=raw"]):
        refused = cli("run", *words)
        assert refused.returncode == 75 and "ch0" in refused.stderr, refused
    assert cli("who", path).returncode == 0
    [lock] = cli.vms()["ch0"]["locks"]
    assert lock["lockspace"] == directory and lock["guarantee"] == "host"
    [checked] = json.loads(cli("check", "--json", "--", *vmm).stdout)["images"]
    assert checked["guarantee"] == "host" and "lock daemon" in checked["guarantee_reason"]
    assert not lock["by_name_only"]


def test_a_lock_on_the_image_itself_would_keep_cloud_hypervisor_from_starting(cli, disk,
                                                                             cloud_hypervisor):
    """What all of this is for: by another name nobody knows what it is."""
    path = disk()
    other = os.path.join(os.path.dirname(cloud_hypervisor), "another-vmm")
    os.rename(cloud_hypervisor, other)
    refused = cli("run", f"--disk={path}", "--", other, "--disk", f"path={path}")
    assert refused.returncode == 1 and "cannot lock" in refused.stderr


def test_a_disk_that_another_vm_has_is_refused_to_cloud_hypervisor(cli, disk, cloud_hypervisor):
    path = disk()
    cli.hold("web0", f"--disk={path}")
    refused = cli("run", "--", cloud_hypervisor, "--disk", f"path={path}")
    assert refused.returncode == 75 and "web0" in refused.stderr


def test_readers_under_cloud_hypervisor_share_with_other_readers(cli, disk, cloud_hypervisor):
    path = disk()
    child = cli.start("run", "--name=ch0", "--", cloud_hypervisor, "--disk",
                      f"path={path},readonly=on", stdout=-1)
    assert child.stdout.readline() == "up\n"
    assert lock_on_first_byte(path).startswith("read lock")
    assert cli("run", f"--disk={path}:ro", "--", "true").returncode == 0
    assert cli("run", f"--disk={path}", "--", "true").returncode == 75
