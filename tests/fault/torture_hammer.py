# SPDX-License-Identifier: LGPL-2.1-or-later
"""A competitor: tries to lock each disk that is held for certain, POSIX and OFD in turn.

    torture_hammer.py FOLDER SHARED

A grant that lies wholly within a time in which the disk was held is a theft. Ends on SIGTERM, and
prints one line of JSON.
"""

import fcntl
import json
import mmap
import os
import signal
import struct
import sys

WRITE = struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 1, 0)
FREE = struct.pack("hhqqi4x", fcntl.F_UNLCK, 0, 0, 1, 0)


def main():
    folder, shared = sys.argv[1:]
    with open(shared, "r+b") as file:
        certain = mmap.mmap(file.fileno(), 0)
    disks = [open(os.path.join(folder, f"disk{i}.img"), "r+b", buffering=0)
             for i in range(len(certain) // 8)]
    stopping = []
    signal.signal(signal.SIGTERM, lambda *_: stopping.append(True))
    tries = thefts = grants = 0
    words = struct.Struct("=Q")
    while not stopping:
        for i, disk in enumerate(disks):
            before = words.unpack_from(certain, 8 * i)[0]
            if before % 2 == 0:
                continue
            command = fcntl.F_OFD_SETLK if tries % 2 else fcntl.F_SETLK
            tries += 1
            try:
                fcntl.fcntl(disk, command, WRITE)
            except OSError:
                continue
            grants += 1
            thefts += words.unpack_from(certain, 8 * i)[0] == before
            fcntl.fcntl(disk, command, FREE)
    print(json.dumps({"tries": tries, "grants": grants, "thefts": thefts}), flush=True)


if __name__ == "__main__":
    main()
