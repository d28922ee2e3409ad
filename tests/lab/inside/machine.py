# SPDX-License-Identifier: LGPL-2.1-or-later
"""Commands and kernel modules of the guest."""

import subprocess

DEADLINE = 60


def run(*argv, **how):
    """Runs a command that has to succeed; what it printed."""
    if "input" not in how:
        how.setdefault("stdin", subprocess.DEVNULL)
    done = subprocess.run(argv, check=False, capture_output=True, text=True,
                          timeout=how.pop("timeout", DEADLINE), **how)
    if done.returncode:
        raise OSError(f"{' '.join(argv)}: status {done.returncode}: {done.stderr or done.stdout}")
    return done.stdout


def put(path, text):
    """Writes a file of /proc, /sys or configfs, at one stroke as the kernel wants it."""
    try:
        with open(path, "wb", buffering=0) as out:
            out.write(text.encode())
    except OSError as fault:
        raise OSError(fault.errno, f"{fault.strerror}: {text!r} to {path}") from fault


def load(*modules):
    run("modprobe", "-a", *modules)
