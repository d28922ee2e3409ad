# SPDX-License-Identifier: LGPL-2.1-or-later
"""Commands, kernel modules and processes of the guest."""

import glob
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


def waiting():
    """What each program that was started is waiting for in the kernel, for whoever asks why a job
    broke off."""
    said = []
    for stack in glob.glob("/proc/[0-9]*/task/[0-9]*/stack"):
        task = stack.removesuffix("/stack")
        try:
            with open(f"{task}/cmdline", "rb") as words, open(stack, encoding="ascii") as calls:
                command = words.read().replace(b"\0", b" ").decode(errors="replace")
                # The kernel's own threads have no command line.
                if command:
                    path = " < ".join(call.split()[1] for call in calls)
                    said.append(f"{task.rpartition('/')[2]} {command}: {path}")
        except OSError:
            pass  # It has ended meanwhile.
    return "\n".join(said)
