# SPDX-License-Identifier: LGPL-2.1-or-later
"""The daemon as a whole: limits and signals. Each case has daemons of its own."""

import signal

from hftest.conformance import Case, HangUp, Leave, Read, Signal, Together, new, register
from hftest.files import file

CASES = [
    Case("the connection after the last one allowed",
         [register("one", on="a"), register("two", on="b"), Together([register("three")], on="c"),
          Read(on="c", timeout=0.5, says="silence", label="one too many"), HangUp("c"),
          register("one", on="b")],
         conf="max_clients = 2\n"),
    Case("a place that became free is given to the next",
         [register("one", on="a"), register("two", on="b"), Leave("a"), register("one", on="c")],
         conf="max_clients = 2\n"),
    Case("a daemon that is told to hang up",
         [register(), Signal(signal.SIGHUP, label="hang up")], {"disk": file()}, conf=""),
    Case("a VM that leaves after a lockspace could not be made",
         [register("one", on="a"), new("@/disk/space", label="new"), register("two", on="vm two"),
          HangUp("vm two"), Signal(0, label="the daemon")], {"disk": file()}, conf=""),
    Case("a daemon that gets SIGPIPE serves on",
         [register(), Signal(signal.SIGPIPE, label="pipe")], conf=""),
]
