# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs one job: lab/jobs/NAME.py, whose run(report) does everything.

A job that breaks off still hands out what it has found by then; the sentences that it never
came to fail outside, with the reason.
"""

import importlib
import sys
import traceback

from lab.inside.machine import waiting
from lab.inside.report import Report


def main():
    report = Report()
    report.event("the job begins")
    try:
        importlib.import_module(f"lab.jobs.{sys.argv[1]}").run(report)
    except Exception:  # Whatever it is, it is for the reader outside.
        report.failure = f"{traceback.format_exc()}{waiting()}"
        print(report.failure)
    report.event("the job ends")
    report.write()


main()
