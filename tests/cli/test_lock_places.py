# SPDX-License-Identifier: LGPL-2.1-or-later
"""Where locks are by the settings, and under cloud-hypervisor, as a user of the command meets it."""

import hashlib
import json
import os
import struct

import pytest

from hftest import cloud_hypervisor as stand_in
from hftest.command import Cli, end
from hftest.files import lock_on_first_byte
from hftest.processes import until

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


def test_lock_and_run_meet_at_the_place_of_the_settings(user):
    user.configure('file_lockspace_dir = "SPACE"\n')
    path = user.disk("disk.img")
    child = user.start("lock", path, *UP, prefix=user.prefix, stdout=-1)
    assert child.stdout.readline() == "up\n"
    assert os.listdir(user.space) == [hashlib.sha256(path.encode()).hexdigest()]
    answer = ask(user, "run", f"--disk={path}", "--", "true")
    assert answer.returncode == 75 and "holdfast lock" in answer.stderr


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


def test_a_relative_path_has_the_name_of_the_absolute_one_on_each_host(user, nursery,
                                                                       holdfastd):
    """Two daemons that share nothing but the directory are as two hosts."""
    path = user.disk("disk.img")
    os.mkdir(os.path.join(user.folder, "sub"))
    user.configure('file_lockspace_dir = "SPACE"\n')
    uid = 65534 if os.geteuid() == 0 else None
    other = Cli(nursery, user.folder, holdfastd("e", uid=uid).run_dir)
    other.prefix = user.prefix
    for written in (path, "./disk.img", "sub/../disk.img", "sub/.././/disk.img",
                    f"../{os.path.basename(user.folder)}/disk.img"):
        child = user.start("run", "--name=web0", f"--disk={written}", *UP, prefix=user.prefix,
                           stdout=-1)
        assert child.stdout.readline() == "up\n"
        for asked in (path, "disk.img", ".///disk.img", "sub/./../disk.img"):
            assert ask(other, "run", f"--disk={asked}", "--", "true").returncode == 75, asked
            assert ask(other, "who", asked).returncode == 0, asked
        end(child)
        until(lambda: not ask(user, "ps", "--json").stdout.count('"pid"'), "nobody is left")


def test_a_lock_on_the_disk_itself_by_other_settings_refuses_one_in_a_directory(user, nursery,
                                                                               holdfastd):
    path = user.disk("disk.img")
    user.configure('file_lockspace_dir = "SPACE"\n')
    uid = 65534 if os.geteuid() == 0 else None
    other = Cli(nursery, os.path.join(user.folder, "other"), holdfastd("e", uid=uid).run_dir)
    other.prefix = user.prefix
    direct = other.start("run", "--name=web0", f"--disk={path}", *UP, prefix=user.prefix, stdout=-1)
    assert direct.stdout.readline() == "up\n"
    refused = ask(user, "run", f"--disk={path}", "--", "echo", "started")
    assert refused.returncode == 75 and "started" not in refused.stdout, refused
    assert "another lock daemon" in refused.stderr
    end(direct)
    until(lambda: ask(user, "run", f"--disk={path}", "--", "true").returncode == 0, "both went")
    until(lambda: not ask(user, "ps", "--json").stdout.count('"pid"'), "nobody is left")
    direct = other.start("run", f"--disk={path}:ro", *UP, prefix=user.prefix, stdout=-1)
    assert direct.stdout.readline() == "up\n"
    assert ask(user, "run", f"--disk={path}:ro", "--", "true").returncode == 0


def test_nobody_is_not_said_where_the_lock_cannot_be_found(user):
    path = user.disk("disk.img")
    user.configure('file_lockspace_dir = "relative"\n')
    told = ask(user, "who", path)
    assert told.returncode == 78 and "nobody" not in told.stdout, told
    told = json.loads(ask(user, "explain", "--json", path).stdout)
    assert (told["situation"], told["free"]) == ("unclear", False)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes a directory that is not ours")
def test_nobody_is_not_said_where_the_lock_may_not_be_looked_at(user):
    path, space = user.disk("disk.img"), os.path.join(user.folder, "closed")
    os.mkdir(space, 0o700)
    user.configure(f'file_lockspace_dir = "{space}"\n')
    told = ask(user, "who", path)
    assert told.returncode == 77 and "nobody" not in told.stdout, told
    told = json.loads(ask(user, "explain", "--json", path).stdout)
    assert (told["situation"], told["free"]) == ("hidden", False)


def test_another_hosts_other_path_to_a_disk_is_warned_of(user):
    """By the word that it left beside the disk; the two hashes would exclude nobody."""
    path = user.disk("disk.img")
    user.configure('file_lockspace_dir = "SPACE"\n')
    os.makedirs(user.space, mode=0o777, exist_ok=True)
    folder = os.path.join(os.path.dirname(path), ".holdfast")
    os.mkdir(folder)
    for other, keys in ((path, []), ("/elsewhere/disk.img", ["other-path"])):
        block = struct.pack("<8sHHiQQQQ16s16s16s16sQ64s24s80s112s96s", b"hfholder", 1, 0, 7, 1, 1, 1, 1,
                            b"M" * 16, b"B" * 16, b"", b"", os.stat(user.space).st_ino, b"far",
                            b"holdfast run", b"web9", other.encode(), user.space.encode())
        with open(os.path.join(folder, "disk.img.holder"), "wb") as out:
            out.write(block + hashlib.sha256(block).digest()[:16])
        os.chmod(out.name, 0o644)
        told = ask(user, "check", "--json", f"--disk={path}", "--", "true")
        assert [warning["key"] for warning in json.loads(told.stdout)["warnings"]] == keys, told
        assert told.stderr.count("host far locks this disk by another path, /elsewhere/disk.img") \
            == len(keys)


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


@pytest.mark.parametrize("words", [
    ["nice", "qemu-system-x86_64", "-name", "cloud-hypervisor", "-drive", "file=DISK,format=raw"],
    ["nice", "qemu-system-x86_64", "-kernel", "/cloud-hypervisor", "-drive", "file=DISK,format=raw"],
    ["systemd-run", "--unit", "cloud-hypervisor", "qemu-system-x86_64", "-hda", "DISK"],
    ["sh", "-name", "cloud-hypervisor", "-drive", "file=DISK,format=raw"],
])
def test_what_is_only_called_cloud_hypervisor_has_its_disks_locked_themselves(cli, disk, words):
    path = disk()
    cli.hold("web0", f"--disk={path}")
    checked = cli("check", "--", *[word.replace("DISK", path) for word in words])
    assert checked.returncode in (75, 127) and "disk.img is held by web0" in checked.stderr, checked
    assert "lookaside" not in checked.stderr
