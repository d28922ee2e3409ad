# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a job finds out, on its way out of the guest."""

import json
import os
import time

FOLDER = "/run/lab"
POLL = 0.02


class Report:
    """Checks are judged outside, by their sentences; events make the time line."""

    def __init__(self):
        self.begin = time.monotonic()
        self.checks, self.values, self.events, self.failure = [], {}, [], None
        with open(f"{FOLDER}/arguments", encoding="utf-8") as text:
            self.arguments = json.load(text)

    def clock(self):
        return time.monotonic() - self.begin

    def event(self, text):
        """Goes out at once, so that whoever waits outside sees it."""
        self.events.append((round(self.clock(), 3), text))
        with open(f"{FOLDER}/events", "a", encoding="utf-8") as out:
            out.write(f"{self.clock():.3f} {text}\n")

    def check(self, sentence, ok, detail=""):
        """Whether it was so this time. The detail is shown when it was not."""
        self.checks.append((sentence, bool(ok), str(detail)))
        if not ok:
            self.event(f"NOT SO: {sentence}: {detail}")
        return bool(ok)

    def value(self, name, value):
        """Anything JSON can carry, for tests that judge outside."""
        self.values[name] = value

    def told(self, word, timeout=120.0):
        """Waits until Guest.tell(word) outside."""
        until(lambda: os.path.exists(f"{FOLDER}/told-{word}"), f"told {word}", timeout)

    def write(self):
        with open(f"{FOLDER}/result", "w", encoding="utf-8") as out:
            json.dump({"checks": self.checks, "values": self.values, "events": self.events,
                       "failure": self.failure}, out)


def until(condition, what, timeout=20.0):
    """Polls until it is true and returns its value."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise TimeoutError(f"not within {timeout} s: {what}")
        time.sleep(POLL)
