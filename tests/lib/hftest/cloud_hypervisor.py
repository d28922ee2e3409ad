# SPDX-License-Identifier: LGPL-2.1-or-later
"""A program that takes the locks that cloud-hypervisor takes, which is not to be had everywhere.

On each image, from the first byte to the last, an OFD lock; for reading where it is read-only.
"""

import os
import sys

PROGRAM = f"""#!{sys.executable}
import fcntl, os, struct, sys, time
for word in sys.argv[1:]:
    parts = dict(part.split("=", 1) for part in word.split(",") if "=" in part)
    if "path" not in parts:
        continue
    readonly = parts.get("readonly") == "on"
    fd = os.open(parts["path"], os.O_RDONLY if readonly else os.O_RDWR)
    kind = fcntl.F_RDLCK if readonly else fcntl.F_WRLCK
    lock = struct.pack("hhqqi4x", kind, os.SEEK_SET, 0, os.fstat(fd).st_size, 0)
    try:
        fcntl.fcntl(fd, 37, lock)
    except BlockingIOError:
        sys.exit("cannot lock " + parts["path"])
print("up", flush=True)
time.sleep(600)
"""


def make(folder):
    """The program's path, in this folder. Its name is what it is known by."""
    path = os.path.join(folder, "cloud-hypervisor")
    with open(path, "w", encoding="utf-8") as out:
        out.write(PROGRAM)
    os.chmod(path, 0o755)
    return path
