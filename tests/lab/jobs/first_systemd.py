# SPDX-License-Identifier: LGPL-2.1-or-later
"""A guest whose first process is systemd."""

from lab.inside import systemd
from lab.inside.machine import run as command


def run(report):
    with open("/proc/1/comm", encoding="ascii") as text:
        name = text.read().strip()
    report.check("systemd is the first process", name == "systemd", name)
    systemd.unit("nap.service", "[Service]\nExecStart=/bin/sleep infinity\n")
    systemd.systemctl("start", "nap.service")
    started = systemd.show("nap.service", "ActiveState")
    systemd.systemctl("stop", "nap.service")
    stopped = systemd.show("nap.service", "ActiveState")
    report.check("units can be started and stopped", (started, stopped) == ("active", "inactive"),
                 (started, stopped))
    running = {line.split()[0] for line in command(
        "systemctl", "list-units", "--plain", "--no-legend", "--type=service",
        "--state=running").splitlines()}
    report.check("nothing that the machine outside has enabled is running",
                 running <= {"lab-job.service", "systemd-journald.service"}, running)
    report.value("status", command("systemctl", "list-units", "--plain", "--no-legend", "--all",
                                   "--state=failed"))
