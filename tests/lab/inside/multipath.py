# SPDX-License-Identifier: LGPL-2.1-or-later
"""Disks by several paths, put together by multipathd, in a guest that disks.setup() has made."""

import os
import stat
import subprocess

from .machine import load, put, run
from .report import until

MULTIPATHD = "/sbin/multipathd"
SETTINGS = """
defaults {
        find_multipaths yes
        user_friendly_names no
        reservation_key file
        polling_interval 1
        max_polling_interval 1
}
"""


def start(nursery):
    """multipathd with settings of its own; the process."""
    load("dm_multipath", "dm_round_robin", "dm_service_time", "scsi_dh_alua")
    os.makedirs("/etc/multipath", exist_ok=True)
    os.makedirs("/run/multipath", exist_ok=True)
    with open("/etc/multipath.conf", "w", encoding="ascii") as out:
        out.write(SETTINGS)
    return start_daemon(nursery)


def start_daemon(nursery):
    """It answers when this returns."""
    daemon = nursery.spawn([MULTIPATHD, "-d"], stdin=subprocess.DEVNULL,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(lambda: ask("show", "daemon").startswith("pid"), "multipathd answers")
    return daemon


def ask(*words):
    """What multipathd says to a command."""
    done = subprocess.run([MULTIPATHD, *words], check=False, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True)
    return done.stdout


def map_of(disk):
    """/dev/mapper/... of all its paths."""
    path = f"/dev/mapper/{disk.scsi_id()}"
    names = [os.path.basename(node) for node in disk.nodes]
    until(lambda: os.path.exists(path) and stat.S_ISBLK(os.stat(path).st_mode), path)
    until(lambda: states(disk) == {name: "active" for name in names}, f"all paths of {path}")
    return path


def states(disk):
    """{sda: active or failed}, as device-mapper has them."""
    said = ask("show", "paths", "raw", "format", "%d %t").split("\n")
    names = {os.path.basename(node) for node in disk.nodes}
    return {words[0]: words[1] for words in (line.split() for line in said)
            if len(words) == 2 and words[0] in names}


def lose(disk, node):
    """The path does not answer any more; when multipathd has noticed."""
    name = os.path.basename(node)
    put(f"/sys/block/{name}/device/state", "offline\n")
    until(lambda: states(disk)[name] == "failed", f"{name} has failed", 30)


def regain(disk, node):
    """It is back, and multipathd uses it."""
    name = os.path.basename(node)
    put(f"/sys/block/{name}/device/state", "running\n")
    until(lambda: states(disk)[name] == "active", f"{name} is back", 30)


def persist(path, *words):
    """(status, what it said) of multipath-tools' own command for reservations."""
    done = subprocess.run(["mpathpersist", *words, path], check=False, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def hand_made(name, table):
    """A mapped device with a table of one's own, one line a target."""
    run("dmsetup", "create", name, input=table)
    return f"/dev/mapper/{name}"
