# SPDX-License-Identifier: LGPL-2.1-or-later
"""Broken settings: one line with file and line, and nothing is started or half set up."""

import os
import subprocess

import pytest

from hftest import daemons
from hftest.command import Cli

# Text of the file, the line that is to be told, words of the message.
SYNTAX = [
    ("lock_manager", 1, "expected ="),
    ("lock_manager =", 1, "value expected"),
    ("= 1", 1, "key expected"),
    ("\n\n1key = 1", 3, "key expected"),
    ('lock_manager = "lockd', 1, "not closed"),
    ("lock_manager = 'lockd\n'", 1, "not closed"),
    ('# fine\nlock_manager = """lockd\n\n', 2, "not closed"),
    ("monitor = 1 1", 1, "end of the line"),
    ("monitor = 1\nmonitor == 1", 2, "value expected"),
    ("monitor = yes", 1, "value expected"),
    ("monitor = 99999999999999999999", 1, "64 bits"),
    ("monitor = -", 1, "digits"),
    ("lock_manager = [ \"a\"", 1, "not closed"),
    ("lock_manager = [ [ 1 ] ]", 1, "list cannot hold a list"),
    ("monitor = 1\n\0", 2, "NUL"),
    ("[section]\nmonitor = 1", 1, "key expected"),
]
HOLDFAST = [
    ("lock_manager = 1", 1, "lock_manager"),
    ('lock_manager = ["lockd"]', 1, "lock_manager"),
    ("\nkeep_descriptors = 2", 2, "keep_descriptors"),
    ('keep_descriptors = "1"', 1, "keep_descriptors"),
    ('on_lost = "ignore"', 1, '"warn", "pause", "kill"'),
    ("on_lost = 1", 1, "on_lost"),
    ("monitor = 5", 1, "monitor"),
    ("monitor = 1\nmonitor = 1", 2, "set already, in line 1"),
]
LOCKD = [
    ("auto_disk_leases = 7", 1, "auto_disk_leases"),
    ('auto_disk_leases = "1"', 1, "auto_disk_leases"),
    ("require_lease_for_disks = -1", 1, "require_lease_for_disks"),
    ('file_lockspace_dir = "locks"', 1, "absolute"),
    ('file_lockspace_dir = ""', 1, "absolute"),
    ('\n\nlvm_lockspace_dir = ["/x"]', 3, "lvm_lockspace_dir"),
    ("scsi_lockspace_dir = 0", 1, "scsi_lockspace_dir"),
]
DAEMON = [
    ("max_clients = 0", 1, "max_clients"),
    ('max_clients = "many"', 1, "max_clients"),
    ("filesystem_timeout = 100000", 1, "filesystem_timeout"),
    ("log_level = 9", 1, "log_level"),
    ("log_outputs = 3", 1, "log_outputs"),
    ("\nunix_sock_group = 7", 2, "unix_sock_group"),
    ('unix_sock_ro_perms = "rw"', 1, "octal"),
    ('log_level = 1\nlog_filters = "9:x"', 2, "log_filters"),
    ('log_outputs = "3:paper"', 1, "log_outputs"),
]


@pytest.fixture
def user(nursery, folder):
    """The command as an ordinary user has it, where no daemon serves."""
    uid = 65534 if os.geteuid() == 0 else None
    made = Cli(nursery, folder, os.path.join(folder, "run"))
    os.makedirs(made.env["HOLDFAST_RUN_DIR"])
    if uid:
        os.chown(made.env["HOLDFAST_RUN_DIR"], uid, uid)
    made.prefix = (["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--"] if uid
                   else [])
    return made


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as conf:
        conf.write(text)
    return path


def one_line(stderr, path, line, words):
    [said] = stderr.splitlines()
    assert f"{path}:{line}: " in said and words in said, said


def refuses(user, file, text, line, words):
    path = write(os.path.join(user.config, file), text)
    disk = write(os.path.join(user.folder, "disk.img"), "guest data")
    os.chmod(disk, 0o666)
    for verb in ("run", "check"):
        done = user(verb, f"--disk={disk}", "--", "sh", "-c", f"touch {user.folder}/started",
                    prefix=user.prefix)
        assert done.returncode == 78, done
        one_line(done.stderr, path, line, words)
    # Not even a daemon.
    assert os.listdir(user.env["HOLDFAST_RUN_DIR"]) == []
    assert not os.path.exists(f"{user.folder}/started")


@pytest.mark.parametrize("text, line, words", SYNTAX + HOLDFAST + LOCKD)
def test_a_broken_holdfast_conf_starts_nothing(user, text, line, words):
    refuses(user, "holdfast/holdfast.conf", text, line, words)


@pytest.mark.parametrize("text, line, words", SYNTAX + LOCKD)
def test_a_broken_qemu_lockd_conf_starts_nothing(user, text, line, words):
    refuses(user, "libvirt/qemu-lockd.conf", text.replace("monitor", "auto_disk_leases").replace(
        "lock_manager", "file_lockspace_dir"), line, words.replace("monitor", "auto_disk_leases"))


@pytest.mark.parametrize("text, line, words", SYNTAX + DAEMON)
def test_a_broken_holdfastd_conf_starts_no_daemon(user, text, line, words):
    path = write(os.path.join(user.folder, "d.conf"), text)
    done = subprocess.run([*user.prefix, daemons.HOLDFASTD, "-f", path], env=user.env, timeout=30,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 1, done
    one_line(done.stderr, path, line, words)
    assert os.listdir(user.env["HOLDFAST_RUN_DIR"]) == []


@pytest.mark.parametrize("file", ["holdfast/holdfast.conf", "libvirt/qemu-lockd.conf"])
def test_a_file_that_is_a_folder_or_may_not_be_read_starts_nothing(user, file):
    path = os.path.join(user.config, file)
    os.makedirs(path)
    done = user("run", "--", "true", prefix=user.prefix)
    assert done.returncode == 78 and path in done.stderr, done
    os.rmdir(path)
    write(path, "")
    os.chmod(path, 0)
    if user.prefix or os.geteuid() != 0:
        done = user("run", "--", "true", prefix=user.prefix)
        assert done.returncode == 78 and path in done.stderr, done


def test_unknown_keys_of_the_daemons_file_warn_and_it_serves(holdfastd):
    serving = holdfastd(conf="no_such_key = 1\n")
    with open(serving.logfile, encoding="utf-8") as log:
        assert f'{serving.conf}:1: unknown key "no_such_key"' in log.read()
