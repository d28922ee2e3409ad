#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The first process of a lab's namespaces: makes the private mounts, then only reaps.

One line of JSON arrives on standard input: {"tmpfs": [target...], "bind": [[source, target]...]}.
"ready" is printed when the mounts are in place. The end of standard input, which comes also when
the test run is killed, ends this process, and with it the kernel ends every process of the lab.
"""
import json
import os
import signal
import subprocess
import sys


def reap(_signal, _frame):
    """Collects orphans at once: a zombie would still look alive to whoever probes its pid."""
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return


def main():
    plan = json.loads(sys.stdin.readline())
    for target in plan["tmpfs"]:
        os.makedirs(target, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "lab", target], check=True)
    for source, target in plan["bind"]:
        os.makedirs(target, exist_ok=True)
        subprocess.run(["mount", "--bind", source, target], check=True)
    signal.signal(signal.SIGCHLD, reap)
    print("ready", flush=True)
    sys.stdin.read()


main()
