# SPDX-License-Identifier: LGPL-2.1-or-later
"""competitor.py FOLDER: tries to lock FOLDER/lock-* until standard input ends.

Says "tries" after the first round, and in the end how often it has tried and how many locks
it got. What it got it gives back at once.
"""

import errno
import fcntl
import glob
import os
import select
import struct
import sys

BYTE = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 1, 0)
FREE = struct.pack("hhqqi4x", fcntl.F_UNLCK, os.SEEK_SET, 0, 1, 0)
F_OFD_SETLK = 37


def gets(fd, command):
    try:
        fcntl.fcntl(fd, command, BYTE)
    except OSError as error:
        assert error.errno in (errno.EAGAIN, errno.EACCES), error
        return False
    fcntl.fcntl(fd, command, FREE)
    return True


def main():
    fds = [os.open(path, os.O_RDWR) for path in glob.glob(sys.argv[1] + "/lock-*")]
    assert fds
    tries = stolen = 0
    last = False
    while not last:
        last = bool(tries and select.select([0], [], [], 0.0002)[0])
        for fd in fds:
            stolen += sum(gets(fd, command) for command in (F_OFD_SETLK, fcntl.F_SETLK))
        if not tries:
            print("tries", flush=True)
        tries += len(fds)
    print(tries, stolen)


main()
