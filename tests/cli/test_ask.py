# SPDX-License-Identifier: LGPL-2.1-or-later
"""ps, who and check: what is told, and that nothing is changed by asking."""

import hashlib
import json
import os
import struct
import subprocess

import pytest

from hftest.command import HOLDFAST, qemu, running, start_plain_qemu

VMM = ["sh", "-c", "echo up; exec sleep 600"]


def test_ps_tells_vm_pid_state_means_and_locks(cli, disk):
    path = disk()
    cli.hold("web0", f"--disk={path}")
    vm = cli.vms()["web0"]
    assert vm["state"] == "running" and vm["via"] == "holdfast run"
    assert vm["locks"] == [{"name": path, "lockspace": None, "mode": "exclusive",
                            "guarantee": "host", "by_name_only": False, "lease": "none",
                            "metadata": False,
                            "guarantee_reason": vm["locks"][0]["guarantee_reason"],
                            "since": vm["locks"][0]["since"]}]
    assert vm["locks"][0]["guarantee_reason"]
    lines = cli("ps").stdout.splitlines()
    assert lines[0].split() == ["NAME", "PID", "STATE", "SINCE", "VIA", "LOCKS"]
    assert lines[1].split()[:3] == ["web0", str(vm["pid"]), "running"]
    assert lines[2].split() == ["exclusive", "host", path]


def test_ps_tells_the_means_of_a_vm_without_locks(cli):
    cli.hold("web0")
    vm = cli.vms()["web0"]
    assert (vm["via"], vm["locks"]) == ("holdfast run", [])


def test_ps_without_a_daemon_is_69(lonely):
    answer = lonely("ps")
    assert answer.returncode == 69 and answer.stderr.startswith("holdfast: ")


def test_a_name_cannot_command_the_terminal(cli):
    cli.hold("evil\x1b[2J")
    assert "\x1b" not in cli("ps").stdout
    assert list(cli.vms()) == ["evil\x1b[2J"]


@pytest.mark.parametrize("name", [b"evil\x9b2J", b"evil\xc2\x9b2J", b"evil\x7f"])
def test_no_byte_of_a_name_commands_an_eight_bit_terminal(cli, disk, name):
    path = disk()
    child = cli.start("run", "--name", name, f"--disk={path}", "--", *VMM, stdout=subprocess.PIPE)
    assert child.stdout.readline() == "up\n"
    for words in (["ps"], ["who", path], ["run", f"--disk={path}", "--", "true"]):
        answer = subprocess.run([HOLDFAST, *words], env=cli.env, capture_output=True, check=False)
        said = answer.stdout + answer.stderr
        assert b"evil" in said and not any(byte == 0x7f or 0x80 <= byte < 0xa0 for byte in said
                                           .replace("\ufffd".encode(), b""))


def test_a_name_that_is_not_text_makes_valid_json(cli):
    child = cli.start("run", "--name", b"caf\xe9", "--", *VMM, stdout=subprocess.PIPE)
    assert child.stdout.readline() == "up\n"
    assert list(cli.vms()) == ["caf\ufffd"]


def test_who_names_the_holder_by_any_name_of_the_disk(cli, disk, folder):
    path = disk()
    os.symlink(path, os.path.join(folder, "alias.img"))
    cli.hold("web0", f"--disk={path}")
    for name in (path, "disk.img", "alias.img", "./disk.img"):
        answer = cli("who", name)
        assert answer.returncode == 0 and "web0" in answer.stdout
    assert [(h["kind"], h["name"], h["mode"]) for h in cli.holders(path)] == [("vm", "web0", "exclusive")]


def test_who_of_a_free_disk_is_1(cli, disk):
    answer = cli("who", disk())
    assert answer.returncode == 1 and answer.stdout == "nobody\n"


def record(vm, host):
    """A holder's record, put together by src/storage/record.h."""
    block = b"hfholder" + struct.pack("<HHIQQQQ", 1, 0, 4711, 3, 1700000000000000,
                                      1690000000000000, 99)
    block += bytes(16) * 4 + struct.pack("<Q", 7)
    for text, size in ((host, 64), (b"libvirt", 24), (vm, 80), (b"disk.img", 112), (b"", 96)):
        block += text.ljust(size, b"\0")
    return block + hashlib.sha256(block).digest()[:16]


def put_record(path, *what):
    """Where the record of a locked disk is."""
    os.mkdir(os.path.join(os.path.dirname(path), ".holdfast"))
    with open(os.path.join(os.path.dirname(path), ".holdfast",
                           os.path.basename(path) + ".holder"), "wb") as out:
        out.write(record(*what))


def test_a_record_that_was_left_behind_tells_of_the_last_holder(cli, disk):
    path = disk()
    put_record(path, b"web1", b"alpha")
    answer = cli("who", path)
    assert answer.returncode == 1 and "web1" in answer.stdout and "last holder" in answer.stdout
    holder, = cli.holders(path)
    assert (holder["kind"], holder["name"], holder["host"], holder["pid"]) == \
        ("last", "web1", "alpha", 4711)
    assert cli("run", f"--disk={path}", "--", "true").returncode == 0


def test_a_record_is_no_more_than_a_hint(cli, disk):
    path = disk()
    put_record(path, b"web\x1b[2J", b"alpha")
    cli.hold("web0", f"--disk={path}")
    assert [(h["kind"], h["name"]) for h in cli.holders(path)] == [("vm", "web0")]
    answer = cli("run", f"--disk={path}", "--", "true")
    assert answer.returncode == 75 and "web0" in answer.stderr and "alpha" not in answer.stderr


def test_a_damaged_record_tells_nothing(cli, disk):
    path = disk()
    put_record(path, b"web1", b"alpha")
    with open(os.path.join(os.path.dirname(path), ".holdfast", "disk.img.holder"), "r+b") as out:
        out.seek(200)
        out.write(b"x")
    assert cli("who", path).stdout == "nobody\n"


def test_check_tells_what_the_lock_of_each_image_would_be_worth(cli, disk):
    path = disk()
    answer = cli("check", "--json", f"--disk={path}", "--", "true")
    image, = json.loads(answer.stdout)["images"]
    assert image["guarantee"] == "host" and image["guarantee_reason"]
    assert "GUARANTEE" in cli("check", f"--disk={path}", "--", "true").stdout


def test_who_of_nothing_is_66(cli):
    assert cli("who", "gone.img").returncode == 66


def test_who_finds_a_plain_qemu_also_without_a_daemon(lonely, disk, folder):
    path = disk()
    pid = start_plain_qemu(lonely.nursery, folder, path)
    answer = lonely("who", path)
    assert answer.returncode == 0 and str(pid) in answer.stdout
    assert "holdfast: " in answer.stderr
    holder, = lonely.holders(path)
    assert (holder["kind"], holder["pid"], holder["mode"]) == ("process", pid, "writing")


def test_who_finds_stock_virtlockd(cli, virtlockd, nursery, disk):
    path, stock = disk(), virtlockd()
    connection = stock.connect_as(nursery.vm("stock").owner)
    assert connection.acquire(path).ok
    holder, = cli.holders(path)
    assert holder["pid"] == stock.pid and holder["lock_daemon"]


def test_who_does_not_report_the_vm_itself_as_a_stranger(cli, disk, folder):
    path, pidfile = disk(), os.path.join(folder, "pid")
    cli.start("run", "--name=web0", "--", *qemu("-pidfile", pidfile, "-drive",
                                                f"file={path},format=raw,if=none,id=d"))
    running(cli.nursery, pidfile)
    assert [holder["kind"] for holder in cli.holders(path)] == ["vm"]


def check_and_run(cli, *words):
    """check's status and text; run must end with the same."""
    before = cli.vms()
    answer = cli("check", *words)
    assert cli.vms() == before
    assert cli("run", *words).returncode == answer.returncode
    return answer


def test_check_of_a_vm_that_would_start_is_0(cli, disk):
    answer = check_and_run(cli, "--name=web0", f"--disk={disk()}", "--", "true")
    assert answer.returncode == 0
    assert "web0 would start here." in answer.stdout and "free" in answer.stdout


def test_check_names_the_holder(cli, disk):
    path = disk()
    cli.hold("web0", f"--disk={path}")
    answer = check_and_run(cli, f"--disk={path}", "--", "true")
    assert answer.returncode == 75 and "web0 (pid " in answer.stderr
    assert "would not start here" in answer.stdout


def test_check_lets_readers_share(cli, disk):
    path = disk()
    cli.hold("web0", f"--disk={path}:ro")
    assert check_and_run(cli, f"--disk={path}:ro", "--", "true").returncode == 0
    assert check_and_run(cli, f"--disk={path}", "--", "true").returncode == 75


def test_check_finds_a_plain_qemu(cli, disk, folder):
    path = disk()
    pid = start_plain_qemu(cli.nursery, folder, path)
    answer = check_and_run(cli, f"--disk={path}", "--", "true")
    assert answer.returncode == 75 and f"pid {pid}" in answer.stderr


@pytest.mark.parametrize("words, status", [
    (["--", "no-such-vmm"], 127),
    (["--disk=gone.img", "--", "true"], 66),
    (["--driver=no-such-driver", "--", "true"], 78),
])
def test_check_foresees_what_run_would_give(cli, words, status):
    assert check_and_run(cli, *words).returncode == status


@pytest.mark.parametrize("lease, status", [
    ("space:gone:{folder}", 66),
    ("elsewhere:key:{folder}", 66),
    ("space:key:{folder}:512", 78),
    ("space:key:{folder}", 0),
])
def test_check_foresees_what_becomes_of_a_lease(cli, folder, lease, status):
    os.makedirs(os.path.join(folder, "space"))
    with open(os.path.join(folder, "space", "key"), "wb"):
        pass
    answer = check_and_run(cli, "--lease=" + lease.format(folder=folder), "--", "true")
    assert answer.returncode == status


def test_check_names_the_holder_of_a_lease(cli, folder):
    os.makedirs(os.path.join(folder, "space"))
    with open(os.path.join(folder, "space", "key"), "wb"):
        pass
    cli.hold("web0", f"--lease=space:key:{folder}")
    answer = check_and_run(cli, f"--lease=space:key:{folder}", "--", "true")
    assert answer.returncode == 75 and "web0 (pid " in answer.stderr


def test_check_tells_every_reason_and_ends_with_the_first(cli, disk):
    path = disk()
    cli.hold("web0", f"--disk={path}")
    answer = cli("check", "--disk=gone.img", f"--disk={path}", "--", "no-such-vmm")
    assert answer.returncode == 127
    for word in ("no-such-vmm", "gone.img", "web0"):
        assert word in answer.stderr


def test_check_starts_no_daemon(lonely, disk):
    answer = lonely("check", f"--disk={disk()}", "--", "true")
    assert not os.path.exists(lonely.env["HOLDFAST_RUN_DIR"])
    assert answer.returncode in (0, 69)


@pytest.mark.parametrize("verb", [[], ["run"], ["check"], ["ps"], ["who"], ["explain"]])
def test_every_verb_has_help_version_and_its_options(cli, verb):
    for option in ("--help", "--version", "--dump-options"):
        answer = cli(*verb, option)
        assert answer.returncode == 0 and answer.stdout and not answer.stderr
    assert "--help" in cli(*verb, "--dump-options").stdout


def test_help_lists_the_verbs(cli):
    text = cli("--help").stdout
    assert all(verb in text for verb in ("run", "check", "ps", "who", "explain"))


def test_an_answer_that_cannot_be_written_is_a_failure(cli):
    with open("/dev/full", "w", encoding="ascii") as full:
        answer = subprocess.run([HOLDFAST, "ps", "--json"], env=cli.env, stdout=full,
                                stderr=subprocess.PIPE, text=True, check=False)
    assert answer.returncode == 71 and "cannot write" in answer.stderr
