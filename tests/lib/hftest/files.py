# SPDX-License-Identifier: LGPL-2.1-or-later
"""Files for tests, and what the kernel says about them.

The makers return functions of a path, so that a table can say what is to be there.
"""

import errno
import fcntl
import os
import shutil
import stat
import struct

from .processes import until

F_OFD_GETLK = 36


def file(content=b"data", mode=0o644):
    def make(path):
        with open(path, "wb") as out:
            out.write(content)
        os.chmod(path, mode)
    return make


def directory(mode=0o755):
    def make(path):
        os.mkdir(path)
        os.chmod(path, mode)
    return make


def symlink(target):
    return lambda path: os.symlink(target, path)


def hard_link(sibling):
    return lambda path: os.link(os.path.join(os.path.dirname(path), sibling), path)


def fifo():
    return os.mkfifo


def char_device():
    return lambda path: os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))


def unix_socket():
    return lambda path: os.mknod(path, stat.S_IFSOCK | 0o600)


def running_program():
    """A program file that is being executed, hence not to be opened for writing."""
    def make(path, world):
        shutil.copy("/bin/sleep", path)
        world.nursery.spawn([path, "600"], leashed=False)
        until(lambda: not_writable(path), f"{path} runs")
    make.wants_world = True
    return make


def not_writable(path):
    try:
        os.close(os.open(path, os.O_WRONLY))
        return False
    except OSError as fault:
        return fault.errno == errno.ETXTBSY


def describe(path):
    """Kind, permissions, size and the lock on byte 0, in words."""
    info = os.lstat(path)
    text = stat.filemode(info.st_mode)
    if not stat.S_ISREG(info.st_mode):
        return text
    return f"{text} {info.st_size} bytes, {lock_on_first_byte(path)}"


def lock_on_first_byte(path):
    """'unlocked', 'read lock' or 'write lock', with the range where it is not byte 0 alone.

    'runs' for a program that is being executed, 'gone' where there is no file.
    """
    try:
        fd = os.open(path, os.O_RDWR)
    except OSError as fault:
        if fault.errno == errno.ETXTBSY:
            return "runs"
        if fault.errno == errno.ENOENT:
            return "gone"
        raise
    try:
        # An OFD query sees every lock, POSIX ones of our own process included.
        query = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 1, 0)
        kind, _, start, length, _ = struct.unpack(
            "hhqqi4x", fcntl.fcntl(fd, F_OFD_GETLK, query))
    finally:
        os.close(fd)
    if kind == fcntl.F_UNLCK:
        return "unlocked"
    where = "" if (start, length) == (0, 1) else f" on {start}+{length}"
    return ("read lock" if kind == fcntl.F_RDLCK else "write lock") + where
