# SPDX-License-Identifier: LGPL-2.1-or-later
"""Names that come from lvs and scsi_id, with stand-ins for both.

A disk in /dev/shm has a path that begins with /dev, so both are asked about it. Real volumes
and SCSI disks are in the labs.
"""

import hashlib
import os
import subprocess
import time

import pytest
from hftest.daemons import BUILD
from hftest.processes import until

NAME_OF = os.path.join(BUILD, "tests", "unit", "storage", "name-of")
CONFIG, UNSUPPORTED, TIMEOUT = 6, 8, 9
ID = "aBcDeF-0123-4567-89gh-ijKL-MNop-qrSTuv"
SERIAL = "0QEMU_QEMU_HARDDISK_drive-0"


def script(path, text):
    with open(path, "w", encoding="utf-8") as out:
        out.write("#!/bin/sh\n" + text)
    os.chmod(path, 0o755)
    return path


@pytest.fixture
def device():
    """A disk whose path begins with /dev."""
    path = f"/dev/shm/hf-{os.getpid()}-disk"
    with open(path, "wb") as out:
        out.write(b"disk")
    yield path
    os.unlink(path)


@pytest.fixture
def lvs(folder):
    """Puts an lvs in front of all others; returns the environment that finds it."""
    def make(text):
        os.makedirs(os.path.join(folder, "bin"), exist_ok=True)
        script(os.path.join(folder, "bin", "lvs"), text)
        return {"PATH": f"{folder}/bin:/usr/bin:/bin"}
    return make


@pytest.fixture
def name_of(folder):
    """Asks for a name; scsi_id is another one where its text is given."""
    def ask(path, env, *options, scsi_id=None):
        command = [NAME_OF, "--file", "/f", *options, path]
        if scsi_id is not None:
            if os.geteuid() != 0:
                pytest.skip("needs root: scsi_id has one place")
            stand_in = script(os.path.join(folder, "scsi_id"), scsi_id)
            command = ["unshare", "-m", "sh", "-c",
                       f"mount --bind {stand_in} /lib/udev/scsi_id && exec \"$@\"", "sh", *command]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60,
                              check=False)
        return done.stdout.rstrip("\n").split("\t") if done.returncode == 0 else done.stderr
    return ask


def hashed(path):
    return ["/f", hashlib.sha256(path.encode()).hexdigest(), "sha256"]


def test_lvs_is_asked_as_libvirt_asks_it_and_its_first_line_counts(lvs, name_of, device, folder):
    env = lvs(f'printf "%s\\n" "$@" > {folder}/asked; printf "\\n  {ID} \\nother\\n"')
    assert name_of(device, env, "--lvm", "/l") == ["/l", ID + " ", "lvm (lvs)"]
    with open(f"{folder}/asked", encoding="ascii") as asked:
        assert asked.read().split("\n")[:-1] == [
            "--noheadings", "--unbuffered", "--nosuffix", "--options", "uuid", device]


@pytest.mark.parametrize("text", ["exit 5", f"echo {ID}; exit 5", "echo '   '", "exit 0"])
def test_where_lvs_knows_no_volume_the_next_rule_counts(lvs, name_of, device, text):
    assert name_of(device, lvs(text), "--lvm", "/l") == hashed(device)


def test_a_path_outside_of_dev_is_asked_of_nobody(lvs, name_of, folder):
    env = lvs(f"touch {folder}/asked; echo {ID}")
    for path in ("/srv/disk", "/de", "/mnt/dev/vg/lv"):
        assert name_of(path, env, "--lvm", "/l") == hashed(path)
    assert not os.path.exists(f"{folder}/asked")
    # The test is one of the text.
    assert name_of("/devices/disk", env, "--lvm", "/l")[0] == "/l"


def test_an_lvs_that_cannot_be_run_or_is_killed_is_an_error(lvs, name_of, device, folder):
    env = lvs("kill -9 $$")
    assert "ended by signal 9" in name_of(device, env, "--lvm", "/l")
    with open(os.path.join(folder, "bin", "lvs"), "w", encoding="ascii") as out:
        out.write("#!/no/such/interpreter\n")
    assert f"cannot run {folder}/bin/lvs" in name_of(device, env, "--lvm", "/l")


def test_scsi_id_is_asked_as_libvirt_asks_it(lvs, name_of, device, folder):
    asked = os.path.join(folder, "asked")
    text = f'printf "%s\\n" "$@" > {asked}; printf " {SERIAL}\\nother\\n"'
    assert name_of(device, lvs("exit 5"), "--lvm", "/l", "--scsi", "/s", scsi_id=text) == [
        "/s", " " + SERIAL, "scsi (scsi_id)"]
    with open(asked, encoding="ascii") as said:
        assert said.read().split("\n")[:-1] == ["--replace-whitespace", "--whitelisted",
                                               "--device", device]


def test_a_volume_is_named_before_scsi_and_scsi_before_the_hash(lvs, name_of, device):
    options = ("--lvm", "/l", "--scsi", "/s")
    assert name_of(device, lvs(f"echo {ID}"), *options, scsi_id="echo x")[0] == "/l"
    assert name_of(device, lvs("exit 5"), *options, scsi_id="exit 1") == hashed(device)
    assert name_of(device, lvs("exit 5"), *options, scsi_id="echo x")[0] == "/s"


def test_real_scsi_id_has_no_name_for_what_is_no_scsi_disk(name_of, device):
    if not os.access("/lib/udev/scsi_id", os.X_OK):
        pytest.skip("no scsi_id here")
    assert name_of(device, {"PATH": "/usr/bin:/bin"}, "--scsi", "/s") == hashed(device)


# ---- the same in a VM's process ------------------------------------------------------------

@pytest.fixture
def vm_on(peer, folder, device):
    """A VM object with the device, under an lvm_lockspace_dir."""
    path = os.path.join(folder, "lvm.conf")
    with open(path, "w", encoding="utf-8") as conf:
        conf.write(f'lvm_lockspace_dir = "{folder}/lvm"\nfile_lockspace_dir = "{folder}/file"\n')

    def make(daemon, env, name, pid=0, timeout_ms=0):
        made = peer({"HOLDFAST_RUN_DIR": daemon.run_dir, **env})
        made.must("new", name=name, config=path, pid=pid, timeout_ms=timeout_ms)
        made.must("disk", what="add", path=device)
        return made
    return make


def test_a_volume_is_locked_and_given_back_by_its_id(either, lvs, vm_on, folder):
    env = lvs(f"echo '  {ID}'")
    vm = vm_on(either, env, "vm")
    vm.must("start")
    assert os.listdir(f"{folder}/lvm") == [ID]
    assert vm_on(either, env, "second").start()["r"] < 0
    vm.process.kill()
    vm.process.wait(10)
    until(lambda: not os.listdir(f"{folder}/lvm"), "the file goes with the lock")
    paused = vm_on(either, env, "third")
    paused.must("start", paused=True)
    manager = vm_on(either, env, "third", pid=paused.pid)
    manager.must("resume")
    assert os.listdir(f"{folder}/lvm") == [ID]
    manager.must("pause")
    assert os.listdir(f"{folder}/lvm") == []


def test_a_hung_lvs_fails_the_start_in_time_with_its_name(either, lvs, vm_on, device, folder):
    env = lvs(f"echo $$ > {folder}/pid; exec sleep 600")
    vm = vm_on(either, env, "vm", timeout_ms=700)
    before = time.monotonic()
    refused = vm.start()
    assert refused["code"] == TIMEOUT and time.monotonic() - before < 10
    assert f"{folder}/bin/lvs" in refused["text"] and device in refused["text"]
    with open(f"{folder}/pid", encoding="ascii") as text:
        pid = int(text.read())
    until(lambda: not os.path.exists(f"/proc/{pid}"), "lvs is gone")
    with open(f"/proc/{vm.pid}/task/{vm.pid}/children", encoding="ascii") as children:
        assert children.read() == ""
    assert not os.path.exists(f"{folder}/file")


def test_an_lvs_that_cannot_be_run_fails_the_start(either, lvs, vm_on, folder):
    env = lvs("")
    with open(os.path.join(folder, "bin", "lvs"), "w", encoding="ascii") as out:
        out.write("#!/no/such/interpreter\n")
    refused = vm_on(either, env, "vm").start()
    assert refused["code"] == UNSUPPORTED and "cannot run" in refused["text"]
    assert not os.path.exists(f"{folder}/file")


def test_what_the_kernel_knows_of_a_volume_needs_no_lvs(name_of, lvs, folder):
    """A /dev and a /sys of our own: the path leads to a device that is a volume there."""
    if os.geteuid() != 0:
        pytest.skip("needs root: makes a device and mounts")
    # The number of a device that every kernel has, and nobody opens here.
    number = os.stat("/dev/null").st_rdev
    dm = f"{folder}/sys/dev/block/{os.major(number)}:{os.minor(number)}/dm"
    os.makedirs(dm)
    os.makedirs(f"{folder}/dev/v-g")
    for name, text in (("name", "v--g-disk"), ("uuid", f"LVM-{'a' * 32}{ID.replace('-', '')}")):
        with open(f"{dm}/{name}", "w", encoding="ascii") as out:
            out.write(text + "\n")
    env = lvs("echo asked; exit 0")
    made = subprocess.run(
        ["unshare", "-m", "sh", "-c",
         'mount -t tmpfs -o mode=755 x /dev && mkdir /dev/v-g /dev/mapper && '
         f'mknod /dev/v-g/disk b {os.major(number)} {os.minor(number)} && '
         'ln /dev/v-g/disk /dev/mapper/v--g-disk && ln /dev/v-g/disk /dev/dm-0 && '
         f'mknod /dev/null c 1 3 && mount --bind {folder}/sys /sys && exec "$@"', "sh",
         NAME_OF, "--lvm", "/l", "/dev/v-g/disk", "/dev/mapper/v--g-disk", "/dev/dm-0"],
        env=env, capture_output=True, text=True, timeout=60, check=False)
    assert made.returncode == 0, made.stderr
    assert made.stdout.splitlines() == [f"/l\t{ID}\tlvm (kernel)"] * 2 + ["/l\tasked\tlvm (lvs)"]
