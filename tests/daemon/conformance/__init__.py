# SPDX-License-Identifier: LGPL-2.1-or-later
"""The requests, in the order in which they are sent to both daemons."""

from . import calls, files, frames, daemonwide, locks, lockspaces, owners

CASES = [*frames.CASES, *calls.CASES, *locks.CASES, *files.CASES, *lockspaces.CASES,
         *owners.CASES, *daemonwide.CASES]

assert len({case.id for case in CASES}) == len(CASES), "two cases have one name"
