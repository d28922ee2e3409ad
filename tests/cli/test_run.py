# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who gets a disk and who does not."""

import json
import os
import re
import signal
import subprocess

import pytest

from hftest.command import need, qemu, read_pid, running, start_plain_qemu
from hftest.processes import until

TRUE = ["--", "true"]


@pytest.fixture
def image(folder):
    def make(name, backing=None):
        path = os.path.join(folder, name)
        extra = ["-b", backing, "-F", "qcow2"] if backing else []
        subprocess.run([need("qemu-img"), "create", "-q", "-f", "qcow2", *extra, path,
                        *([] if backing else ["1M"])], check=True)
        return path
    return make


@pytest.mark.parametrize("alias", ["symlink", "hard link", "dot"])
def test_another_name_of_a_held_disk_is_refused(cli, disk, folder, alias):
    path = disk()
    other = {"symlink": "other.img", "hard link": "other.img", "dot": "./././disk.img"}[alias]
    if alias == "symlink":
        os.symlink(path, os.path.join(folder, other))
    elif alias == "hard link":
        os.link(path, os.path.join(folder, other))
    cli.hold("web0", f"--disk={path}")
    answer = cli("run", f"--disk={other}", *TRUE)
    assert answer.returncode == 75
    assert "web0" in answer.stderr


@pytest.mark.parametrize("name", ["/dev/fd/{}", "/proc/self/fd/{}"])
def test_a_descriptor_of_ours_as_a_name_is_the_disk_behind_it(cli, disk, name):
    path = disk()
    with open(path, "r+b") as handed:
        fd = handed.fileno()
        child = cli.start("run", "--name=web0", f"--disk={name.format(fd)}", "--", "sh", "-c",
                          "echo up; exec sleep 600", stdout=subprocess.PIPE, pass_fds=[fd])
        assert child.stdout.readline() == "up\n"
    answer = cli("run", f"--disk={path}", *TRUE)
    assert answer.returncode == 75 and "web0" in answer.stderr


def test_a_disk_is_free_when_its_vm_has_ended(cli, disk):
    path = disk()
    child = cli.hold("web0", f"--disk={path}")
    child.terminate()
    child.wait(10)
    assert cli("run", f"--disk={path}", *TRUE).returncode == 0


def test_readers_share_and_keep_a_writer_out(cli, disk):
    path = disk()
    cli.hold("reader", f"--disk={path}:ro")
    assert cli("run", f"--disk={path}:ro", *TRUE).returncode == 0
    answer = cli("run", f"--disk={path}", *TRUE)
    assert answer.returncode == 75 and "reader" in answer.stderr


def test_a_writer_keeps_readers_out(cli, disk):
    path = disk()
    cli.hold("writer", f"--disk={path}")
    assert cli("run", f"--disk={path}:ro", *TRUE).returncode == 75
    assert cli("run", f"--disk={path}:shared", *TRUE).returncode == 75


def test_sharers_share(cli, disk):
    path = disk()
    cli.hold("one", f"--disk={path}:shared")
    assert cli("run", f"--disk={path}:shared", *TRUE).returncode == 0
    assert cli("run", f"--disk={path}", *TRUE).returncode == 75


def test_a_refused_disk_leaves_the_others_free(cli, disk):
    busy, free = disk("busy.img"), disk("free.img")
    cli.hold("web0", f"--disk={busy}")
    assert cli("run", f"--disk={free}", f"--disk={busy}", *TRUE).returncode == 75
    assert cli("run", f"--disk={free}", *TRUE).returncode == 0


def test_a_lease_belongs_to_one_vm(cli, folder):
    os.makedirs(os.path.join(folder, "leases", "space"))
    for key in ("key", "other"):
        with open(os.path.join(folder, "leases", "space", key), "wb"):
            pass
    lease = f"--lease=space:key:{folder}/leases"
    cli.hold("web0", lease)
    assert cli("run", lease, *TRUE).returncode == 75
    assert cli("run", f"--lease=space:other:{folder}/leases", *TRUE).returncode == 0


def test_of_two_starters_only_one_gets_the_disk(cli, disk):
    path = disk()
    words = ["run", f"--disk={path}", "--", "sh", "-c", "echo up; exec sleep 600"]
    for _ in range(5):
        both = [cli.start(*words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
                for _ in range(2)]
        lines = [child.stdout.readline() for child in both]
        assert sorted(lines) == ["", "up\n"]
        for child, line in zip(both, lines):
            child.terminate()
            assert child.wait(10) == (143 if line else 75)


def test_images_are_found_on_a_qemu_command_line(cli, image):
    base, top = image("base.qcow2"), image("top.qcow2", "base.qcow2")
    cli.hold("vm", vmm=["sh", "-c", "echo up; exec sleep 600", "-drive",
                        f"file={top},format=qcow2,if=virtio", "-cdrom", base])
    locks = {lock["name"]: lock["mode"] for lock in cli.vms()["vm"]["locks"]}
    assert locks == {top: "exclusive", base: "shared"}


def test_a_backing_file_is_shared_by_readers_and_kept_from_writers(cli, image):
    base = image("base.qcow2")
    tops = [image(f"{n}.qcow2", "base.qcow2") for n in "ab"]
    cli.hold("a", vmm=["sh", "-c", "echo up; exec sleep 600", "-hda", tops[0]])
    assert cli("run", "--", "true", "-hda", tops[1]).returncode == 0
    assert cli("run", "--", "true", "-hda", base).returncode == 75
    assert cli("run", "--", "true", "-hda", tops[0]).returncode == 75


def test_no_backing_leaves_backing_files_alone(cli, image):
    base, top = image("base.qcow2"), image("top.qcow2", "base.qcow2")
    cli.hold("a", "--no-backing", vmm=["sh", "-c", "echo up; exec sleep 600", "-hda", top])
    assert [lock["name"] for lock in cli.vms()["a"]["locks"]] == [top]
    assert cli("run", "--", "true", "-hda", base).returncode == 0


def test_no_scan_looks_at_nothing(cli, disk):
    path = disk()
    cli.hold("a", "--no-scan", vmm=["sh", "-c", "echo up; exec sleep 600", "-hda", path])
    assert cli.vms()["a"]["locks"] == []


def test_an_explicit_disk_overrides_what_was_found(cli, disk):
    path = disk()
    cli.hold("a", "--disk=disk.img:ro", vmm=["sh", "-c", "echo up; exec sleep 600", "-hda", path])
    assert [lock["mode"] for lock in cli.vms()["a"]["locks"]] == ["shared"]


def test_one_image_by_two_names_is_locked_once_and_for_writing(cli, disk, folder):
    path = disk()
    os.symlink(path, os.path.join(folder, "alias.img"))
    cli.hold("a", vmm=["sh", "-c", "echo up; exec sleep 600", "-cdrom", "alias.img", "-hda", path])
    assert [lock["mode"] for lock in cli.vms()["a"]["locks"]] == ["exclusive"]


@pytest.mark.parametrize("options, words, name", [
    (["--name=said"], ["-name", "guest=line", "-hda", "disk.img"], "said"),
    ([], ["-name", "guest=line,process=x", "-hda", "disk.img"], "line"),
    ([], ["-hda", "disk.img"], "disk.img"),
    ([], [], "sh"),
])
def test_the_name_is_the_one_said_or_that_of_qemu_the_image_or_the_vmm(cli, disk, options, words, name):
    disk()
    child = cli.start("run", *options, "--", "sh", "-c", "echo up; exec sleep 600", *words,
                      stdout=subprocess.PIPE)
    assert child.stdout.readline() == "up\n"
    assert list(cli.vms()) == [name]


def test_the_uuid_is_the_one_said_or_that_of_qemu_or_a_new_one(cli):
    one, two = "11111111-2222-3333-4444-555555555555", "21111111-2222-3333-4444-555555555555"
    vmm = ["sh", "-c", "echo up; exec sleep 600"]
    cli.hold("a", f"--uuid={one}", vmm=[*vmm, "-uuid", two])
    cli.hold("b", vmm=[*vmm, "-uuid", two])
    cli.hold("c")
    uuids = {name: vm["uuid"] for name, vm in cli.vms().items()}
    assert uuids["a"] == one and uuids["b"] == two
    assert re.fullmatch("[0-9a-f-]{36}", uuids["c"]) and uuids["c"] not in (one, two)


def test_exec_replaces_the_process_and_keeps_the_lock(cli, disk):
    path = disk()
    child = cli.start("run", "--exec", "--name=web0", f"--disk={path}", "--", "sh", "-c",
                      "echo up; exec sleep 600", stdout=subprocess.PIPE)
    assert child.stdout.readline() == "up\n"
    assert cli.vms()["web0"]["pid"] == child.pid
    assert cli("run", f"--disk={path}", *TRUE).returncode == 75


def test_exec_refused_starts_nothing(cli, disk):
    path = disk()
    cli.hold("web0", f"--disk={path}")
    answer = cli("run", "--exec", f"--disk={path}", "--", "echo", "started")
    assert answer.returncode == 75 and answer.stdout == ""


def test_a_real_qemu_holds_its_disk_until_it_ends(cli, image, folder):
    path, pidfile = image("disk.qcow2"), os.path.join(folder, "pid")
    vmm = qemu("-drive", f"file={path},format=qcow2,if=none,id=d", "-name", "web0")
    child = cli.start("run", "--", *vmm, "-pidfile", pidfile)
    pid = running(cli.nursery, pidfile)
    answer = cli("run", "--name=web1", "--", *vmm)
    assert answer.returncode == 75 and f"web0 (pid {pid}" in answer.stderr
    os.kill(pid, signal.SIGTERM)
    assert child.wait(10) == 0
    assert cli("run", f"--disk={path}", *TRUE).returncode == 0


def test_a_qemu_that_daemonizes_keeps_its_lock_until_it_ends(cli, image, folder):
    path, pidfile = image("disk.qcow2"), os.path.join(folder, "pid")
    vmm = qemu("-drive", f"file={path},format=qcow2,if=none,id=d", "-name", "web0")
    assert cli("run", "--", *vmm, "-daemonize", "-pidfile", pidfile).returncode == 0
    pid = running(cli.nursery, pidfile)
    vm = until(lambda: (v := cli.vms()["web0"])["state"] == "carried" and v, "the owner is gone")
    assert pid in [carrier["pid"] for carrier in vm["carriers"]]
    assert "carried by qemu-system" in cli("ps").stdout
    answer = cli("run", f"--disk={path}", *TRUE)
    assert answer.returncode == 75 and "web0" in answer.stderr
    os.kill(pid, signal.SIGKILL)
    until(lambda: cli("run", f"--disk={path}", *TRUE).returncode == 0, "the lock is free")


def test_a_shell_that_leaves_a_child_behind_keeps_its_lock(cli, disk, folder):
    path, pidfile = disk(), os.path.join(folder, "pid")
    answer = cli("run", "--name=web0", f"--disk={path}", "--", "sh", "-c",
                 f"sleep 600 >/dev/null 2>&1 & echo $! >{pidfile}")
    assert answer.returncode == 0
    pid = cli.nursery.adopt(read_pid(pidfile))
    assert cli("run", f"--disk={path}", *TRUE).returncode == 75
    os.kill(pid, signal.SIGKILL)
    until(lambda: cli("run", f"--disk={path}", *TRUE).returncode == 0, "the lock is free")


def test_a_plain_qemu_on_the_disk_is_refused_and_named(cli, image, folder):
    path = image("disk.qcow2")
    pid = start_plain_qemu(cli.nursery, folder, path, "qcow2")
    answer = cli("run", f"--disk={path}", "--", "echo", "started")
    assert answer.returncode == 75 and answer.stdout == ""
    assert f"qemu-system-x86 (pid {pid}" in answer.stderr


def test_stock_virtlockd_on_the_disk_is_refused_and_named(cli, virtlockd, nursery, disk):
    path, stock = disk(), virtlockd()
    connection = stock.connect_as(nursery.vm("stock").owner)
    assert connection.acquire(path).ok
    answer = cli("run", f"--disk={path}", *TRUE)
    assert answer.returncode == 75
    assert f"virtlockd (pid {stock.pid}" in answer.stderr


def test_who_locks_nothing_is_told_so(cli, disk):
    vmm = ["--", "cloud-hypervisor-like", "--disk", f"path={disk()}"]
    os.symlink("/bin/true", os.path.join(cli.folder, vmm[1]))
    path = {"PATH": f"{cli.folder}:/usr/bin:/bin"}
    answer = cli("run", *vmm, env=path)
    assert answer.returncode == 0 and "nothing is locked" in answer.stderr
    assert "nothing is locked" in cli("check", *vmm, env=path).stderr
    for known in (["--no-scan"], ["--driver=nop"], [f"--disk={disk()}"]):
        assert cli("run", *known, *vmm, env=path).stderr == ""


def test_a_current_folder_that_is_gone_is_named_as_the_fault(cli, folder):
    gone = os.path.join(folder, "gone")
    os.mkdir(gone)
    prefix = ["sh", "-c", f'cd {gone} && rmdir {gone} && exec "$@"', "sh"]
    answer = cli("run", "--disk=x.img", *TRUE, prefix=prefix)
    assert answer.returncode == 66 and "current folder" in answer.stderr


def test_json_names_its_schema(cli, disk):
    for words in (["ps"], ["who", disk()], ["check", "--json", "--", "true"]):
        answer = cli(*words[:1], "--json", *[w for w in words[1:] if w != "--json"])
        document = json.loads(answer.stdout)
        assert document["schema"] == f"holdfast.{words[0]}" and document["version"] == 1
