# SPDX-License-Identifier: LGPL-2.1-or-later
"""The daemon that can be killed at any of its branches (tests/fault/fault.h)."""

import mmap
import os
import struct

from .daemons import BUILD, Holdfastd

FAULTY = os.path.join(BUILD, "tests", "fault", "holdfastd-fault")
KILLS = 4


class Fault:
    """The words that are shared with the daemon's processes."""

    WORDS = ("armed", "supervisor", "points", "kills", "kill_at", "kill_at_2", "kill_at_3",
             "kill_at_4", "allocations", "fail_at", "steps", "missed", "ahead")

    def __init__(self, path):
        self.path = path
        with open(path, "wb") as out:
            out.write(bytes(8 * len(self.WORDS)))
        with open(path, "r+b") as file:
            self.map = mmap.mmap(file.fileno(), 8 * len(self.WORDS))

    def __getitem__(self, word):
        return struct.unpack_from("=Q", self.map, 8 * self.WORDS.index(word))[0]

    def __setitem__(self, word, value):
        struct.pack_into("=Q", self.map, 8 * self.WORDS.index(word), value % 2**64)

    def arm(self, supervisor, kill_at=(), fail_at=0, steps=0):
        """Counts in all processes but the supervisor."""
        for word in self.WORDS:
            self[word] = 0
        self["supervisor"] = supervisor
        self["fail_at"] = fail_at
        self["steps"] = steps
        for word, value in zip(self.WORDS[4:8], kill_at):
            self[word] = value
        self["armed"] = 1

    def disarm(self):
        self["armed"] = 0


class FaultyHoldfastd(Holdfastd):
    """Our daemon, with .fault to say when it is to fail."""

    def __init__(self, nursery, directory, **how):
        os.makedirs(directory, exist_ok=True)
        self.fault = Fault(os.path.join(directory, "fault"))
        super().__init__(nursery, directory,
                         extra_env={"HOLDFAST_TEST_FAULT": self.fault.path}, **how)

    def command(self):
        assert os.access(FAULTY, os.X_OK), f"{FAULTY} is not built (gcc is needed for it)"
        return [FAULTY, *self.argv()]
