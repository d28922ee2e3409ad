# SPDX-License-Identifier: LGPL-2.1-or-later
"""How `holdfast run` ends: as its VMM, or with a status of our own for each kind of fault."""

import os

import pytest


@pytest.mark.parametrize("status", [0, 1, 42, 255])
def test_the_status_of_the_vmm_is_passed_through(cli, status):
    assert cli("run", "--", "sh", "-c", f"exit {status}").returncode == status


@pytest.mark.parametrize("number", [9, 11, 15])
def test_a_signal_that_ends_the_vmm_becomes_128_and_its_number(cli, number):
    assert cli("run", "--", "sh", "-c", f"kill -{number} $$").returncode == 128 + number


def test_a_vmm_that_does_not_exist_is_127(cli):
    answer = cli("run", "--", "no-such-vmm")
    assert answer.returncode == 127
    assert answer.stderr.startswith("holdfast: cannot run no-such-vmm")


def test_a_vmm_that_cannot_be_run_is_126(cli, disk):
    answer = cli("run", "--", disk("not-a-program"))
    assert answer.returncode == 126


def test_what_exec_itself_refuses_is_126(cli, folder):
    script = os.path.join(folder, "vmm")
    with open(script, "w", encoding="utf-8") as out:
        out.write("#!/no/such/interpreter\n")
    os.chmod(script, 0o755)
    assert cli("run", "--", script).returncode in (126, 127)


@pytest.mark.parametrize("words", [
    ["run"], ["run", "--"], ["run", "--no-such-option", "--", "true"], ["run", "--uuid=x", "--", "true"],
    ["run", "--disk=", "--", "true"], ["run", "--lease=x", "--", "true"], ["run", "--name=", "--", "true"],
    ["no-such-verb"], [], ["who"], ["ps", "extra"], ["check"],
    ["run", "--", "qemu-system-x86_64", "-blockdev", "{"],
])
def test_a_wrong_command_line_is_64_and_says_why(cli, words):
    answer = cli(*words)
    assert answer.returncode == 64, answer
    assert answer.stderr.startswith("holdfast: ")


def test_a_missing_image_is_66_and_named(cli, folder):
    answer = cli("run", "--", "qemu-system-x86_64", "-hda", "gone.img")
    assert answer.returncode == 66
    assert "gone.img" in answer.stderr and "-hda" in answer.stderr


def test_a_folder_as_image_is_66(cli, folder):
    assert cli("run", f"--disk={folder}", "--", "true").returncode == 66


def test_no_daemon_and_none_to_start_is_69(lonely, disk):
    answer = lonely("run", f"--disk={disk()}", "--", "sh", "-c", "echo started")
    assert answer.returncode == 69, answer
    assert answer.stdout == ""


def test_held_by_another_is_75_and_names_it(cli, disk):
    path = disk()
    cli.hold("web0", f"--disk={path}")
    answer = cli("run", "--name=web1", f"--disk={path}", "--", "sh", "-c", "echo started")
    assert answer.returncode == 75
    assert answer.stdout == ""
    pid = cli.vms()["web0"]["pid"]
    assert answer.stderr.startswith("holdfast: disk.img is held by web0 (")
    assert f"pid {pid}, host {os.uname().nodename}, since " in answer.stderr
    assert "holdfast run)" in answer.stderr
    assert "holdfast who disk.img" in answer.stderr


def as_nobody():
    """In front of a command: the right that root has to everything given up."""
    if os.geteuid() != 0:
        return []
    return ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"]


def test_an_image_that_may_not_be_written_is_77(cli, disk):
    path = disk()
    os.chmod(path, 0o444)
    answer = cli("run", f"--disk={path}", "--", "true", prefix=as_nobody())
    assert answer.returncode == 77, answer
    assert path in answer.stderr


def test_a_daemon_that_may_not_be_asked_is_77(cli):
    if os.geteuid() != 0:
        pytest.skip("needs a daemon of another user")
    assert cli("run", "--", "true", prefix=as_nobody()).returncode == 77


@pytest.mark.parametrize("driver", ["no-such-driver", "../lockd"])
def test_a_driver_that_cannot_be_loaded_is_78(cli, driver):
    answer = cli("run", f"--driver={driver}", "--", "true")
    assert answer.returncode == 78, answer
    assert answer.stderr.startswith("holdfast: ")


def test_a_broken_configuration_file_is_78(cli):
    os.makedirs(os.path.join(cli.config, "holdfast"))
    path = os.path.join(cli.config, "holdfast", "holdfast.conf")
    with open(path, "w", encoding="utf-8") as out:
        out.write("lock_manager = \n")
    answer = cli("run", "--", "true", prefix=as_nobody())
    assert answer.returncode == 78, answer
    assert path in answer.stderr


def test_a_setting_that_would_be_ignored_is_78(cli):
    os.makedirs(os.path.join(cli.config, "holdfast"), exist_ok=True)
    path = os.path.join(cli.config, "holdfast", "holdfast.conf")
    with open(path, "w", encoding="ascii") as conf:
        conf.write('lock_manager = "lockd"\nlock_manager = "nop"\n')
    answer = cli("run", "--", "true", prefix=as_nobody())
    assert answer.returncode == 78, answer
    assert f"{path}:2: " in answer.stderr


def test_driver_nop_needs_no_daemon(lonely, disk):
    assert lonely("run", "--driver=nop", f"--disk={disk()}", "--", "sh", "-c", "exit 5").returncode == 5


def test_a_vmm_that_is_not_there_locks_nothing(cli, disk):
    path = disk()
    assert cli("run", f"--disk={path}", "--", "no-such-vmm").returncode == 127
    assert cli("run", f"--disk={path}", "--", "true").returncode == 0
