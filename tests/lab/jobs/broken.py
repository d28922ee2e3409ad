# SPDX-License-Identifier: LGPL-2.1-or-later
"""A job that finds one thing right and one wrong, waits to be told, and breaks off."""


def run(report):
    report.check("this is so", True)
    report.check("this was so each time", True)
    report.check("this was so each time", False, "not the second time")
    report.event("half way")
    report.told("go on")
    raise LookupError("what it needs is missing")
