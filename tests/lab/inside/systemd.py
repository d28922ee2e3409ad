# SPDX-License-Identifier: LGPL-2.1-or-later
"""systemd, where it is the guest's first process (guests.run(..., systemd=True))."""

import os
import subprocess

from .machine import run

# Units of a guest, which the machine outside never has.
FOLDER = "/etc/systemd/system"
# An emulated processor starts no service in less than a second.
DEADLINE = 120


def systemctl(*words):
    """A command of systemctl that has to succeed; what it printed."""
    return run("systemctl", *words, timeout=DEADLINE)


def try_systemctl(*words):
    """The same for one that may fail: what subprocess has of it."""
    return subprocess.run(["systemctl", *words], check=False, capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=DEADLINE)


def show(unit, what):
    """One property of a unit."""
    return systemctl("show", "--value", f"--property={what}", unit).strip()


def unit(name, text):
    """Writes a unit, or a drop-in as NAME.service.d/x.conf, and lets systemd know."""
    path = f"{FOLDER}/{name}"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as out:
        out.write(text)
    systemctl("daemon-reload")


def journal(unit_name):
    """What a unit has said."""
    return run("journalctl", "--no-pager", "-o", "cat", "-u", unit_name)
