# SPDX-License-Identifier: LGPL-2.1-or-later
"""Two hosts hammer one lookaside file, which comes and goes meanwhile: a has holdfastd, and the
other holdfastd (b) or stock virtlockd (s).

Arguments: seconds, for each pair; pairs.
"""

import json
import subprocess
import sys

from lab.inside import locks, nfs

# virtlockd itself says now and then that it failed, when the file goes while it looks.
OURS = "ab"
VMS_OF_A_HOST = 2
# What a hammer may take beyond its time: a start on a slow machine, an answer that waits.
SLACK = 60


def start(host, daemon, space, seconds, number):
    return host.spawn(
        [sys.executable, "-B", "-m", "lab.inside.hammer", daemon.socket, space,
         locks.NAMES["file"], f"{nfs.SHARED}/token", str(seconds), f"{host.name}{number}"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def race(report, pair, hosts, served, seconds):
    label = f"{pair[0]} and {pair[1]}"
    space = f"{nfs.MOUNT}/race-{pair}"
    hammers = [(h, f"{h}{n}", start(hosts[h], served[h], space, seconds, n))
               for h in pair for n in range(VMS_OF_A_HOST)]
    granted, doubles = 0, {}
    for host, name, hammer in hammers:
        said, why = hammer.communicate(timeout=seconds + SLACK)
        if hammer.returncode:
            raise RuntimeError(f"{label}: {name} broke off: {why}")
        found = json.loads(said.splitlines()[-1])
        report.event(f"{label}: {name}: {found}")
        report.check(f"{label}: each VM has had it", found["granted"], name)
        if host in OURS:
            report.check(f"{label}: an acquire is granted, or refused for another holder",
                         not found["odd"], found["odd"])
        granted += found["granted"]
        doubles |= found["doubles"]
    report.event(f"{label}: granted {granted} times in {seconds} s")
    report.check(f"{label}: never two holders", not doubles, doubles)


def run(report):
    _, hosts = nfs.setup("abs")
    served = {"a": hosts["a"].holdfastd(), "b": hosts["b"].holdfastd(),
              "s": hosts["s"].virtlockd()}
    report.event("three hosts have mounted, three daemons answer")
    for pair in report.arguments["pairs"]:
        race(report, pair, hosts, served, report.arguments["seconds"])
    for host in hosts.values():
        host.close()
