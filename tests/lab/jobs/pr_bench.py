# SPDX-License-Identifier: LGPL-2.1-or-later
"""Requests per second of QEMU's helper and of ours, by turns, on one disk: for bench/run."""

import json
import os

from hftest import daemons, processes
from lab.inside import disks, helpers
from lab.inside.machine import run as command

LOAD = os.path.join(daemons.BUILD, "bench", "prload")
MODES = ("keys", "register")
CONNECTIONS = (1, 8)


def take(helper, node, mode, connections, seconds):
    said = command(LOAD, helper.socket, node, mode, str(connections), str(seconds))
    return json.loads(said)["requests_per_s"]


def run(report):
    nursery = processes.Nursery()
    disks.setup()
    disks.stop_udev()
    node, = disks.Disk("c0ffee11-bench").nodes
    sides = {"ours": "ours", "original": "stock"}
    running = {side: helpers.Helper(nursery, which) for side, which in sides.items()}
    results = {"ours": [], "original": []}
    for number in range(report.arguments["pairs"]):
        # Each pair the other way round than the one before.
        for side in sorted(results, reverse=number % 2 == 1):
            results[side].append({f"{mode}_{connections}": take(
                running[side], node, mode, connections, report.arguments["seconds"])
                for mode in MODES for connections in CONNECTIONS})
        report.event(f"pair {number + 1}")
    report.value("results", results)
