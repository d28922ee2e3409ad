# SPDX-License-Identifier: LGPL-2.1-or-later
"""A name that means one file to the VM and another one to the daemon, or to nobody else."""

import os

import pytest

TRUE = ["--", "true"]


@pytest.fixture
def elsewhere(folder):
    """Two files, and a prefix under which the first one's name leads to the second one."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount")
    for name in ("here", "there"):
        os.mkdir(os.path.join(folder, name))
        with open(os.path.join(folder, name, "disk.img"), "wb") as out:
            out.truncate(1 << 20)
    mount = f"mount --bind {folder}/there {folder}/here && exec \"$@\""
    return (os.path.join(folder, "here", "disk.img"), os.path.join(folder, "there", "disk.img"),
            ["unshare", "--mount", "sh", "-c", mount, "sh"])


def test_a_file_that_the_daemon_sees_otherwise_is_refused_and_nothing_is_locked(cli, elsewhere):
    name, _, prefix = elsewhere
    answer = cli("run", f"--disk={name}", "--", "echo", "started", prefix=prefix)
    assert answer.returncode == 66 and answer.stdout == ""
    assert name in answer.stderr and "another file" in answer.stderr
    assert cli("run", f"--disk={name}", *TRUE).returncode == 0


def test_readers_of_one_name_do_not_join_when_they_see_two_files(cli, elsewhere):
    name, _, prefix = elsewhere
    cli.hold("reader", f"--disk={name}:ro")
    answer = cli("run", f"--disk={name}:ro", "--", "echo", "started", prefix=prefix)
    assert answer.returncode == 66 and answer.stdout == ""


def test_a_reader_of_a_file_that_replaced_another_keeps_its_writers_out(cli, disk):
    path, new = disk(), disk("new.img")
    cli.hold("old", f"--disk={path}:ro")
    os.rename(new, path)
    cli.hold("new", f"--disk={path}:ro")
    os.rename(path, new)
    answer = cli("run", f"--disk={new}", *TRUE)
    assert answer.returncode == 75 and "new (pid" in answer.stderr


def test_a_file_that_both_see_alike_is_locked_also_from_another_namespace(cli, elsewhere):
    _, name, prefix = elsewhere
    assert cli("run", f"--disk={name}", *TRUE, prefix=prefix).returncode == 0
