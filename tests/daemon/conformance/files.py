# SPDX-License-Identifier: LGPL-2.1-or-later
"""Resources that cannot be opened or locked, and names of every kind."""

from hftest.conformance import (BUSY, CANNOT_CREATE, SYSTEM, Case, acquire, create_resource,
                                delete_resource, register, release)
from hftest.files import char_device, directory, fifo, file, running_program, symlink, unix_socket
from hftest.wire import AUTOCREATE, SHARED

FILES = {"disk": file()}
ONE = register("one", on="a")
# Its permissions bind root as well, so it stands for a file that may only be read.
READ_ONLY = "/proc/sys/kernel/ostype"


def refused(name, files=None, **how):
    return [ONE, acquire(name, says=SYSTEM, label="acquire", **how),
            release(name, says=BUSY, label="release")], files or {}


OPENING = [
    Case("a missing file is refused with its errno", *refused("@/none")),
    Case("a missing file is refused with its errno, shared", *refused("@/none", flags=SHARED)),
    Case("a file in a missing directory is refused", *refused("@/none/disk")),
    Case("a file below a file is refused", *refused("@/disk/below", FILES)),
    Case("a file below a file is refused, autocreate",
         *refused("@/disk/below", FILES, flags=AUTOCREATE)),
    Case("a directory is refused", *refused("@/dir", {"dir": directory()})),
    Case("a directory is refused, autocreate",
         *refused("@/dir", {"dir": directory()}, flags=AUTOCREATE)),
    Case("a file that may not be written is refused", *refused(READ_ONLY)),
    Case("a dangling symbolic link is refused", *refused("@/link", {"link": symlink("none")})),
    Case("a loop of symbolic links is refused",
         *refused("@/loop", {"loop": symlink("loop")})),
    Case("a name of 256 bytes is refused", *refused("@/" + "n" * 256)),
    Case("a name of 256 bytes is refused, autocreate",
         *refused("@/" + "n" * 256, flags=AUTOCREATE)),
    Case("a path longer than the system allows is refused", *refused("@" + "/." * 2100 + "/disk")),
    Case("a program that runs is refused", *refused("@/program", {"program": running_program()})),
    Case("a unix socket is refused", *refused("@/socket", {"socket": unix_socket()})),
    Case("an empty name is refused", *refused("")),
    Case("create-resource of a directory is refused",
         [ONE, create_resource("@/dir", says=CANNOT_CREATE)], {"dir": directory()}),
    Case("create-resource with an empty name is refused",
         [ONE, create_resource("", says=CANNOT_CREATE)]),
    Case("create-resource with a name of 256 bytes is refused",
         [ONE, create_resource("@/" + "n" * 256, says=CANNOT_CREATE)]),
    Case("delete-resource below a file is refused",
         [ONE, delete_resource("@/disk/below", says=SYSTEM)], FILES),
    Case("delete-resource with an empty name is fine, as nothing is there",
         [ONE, delete_resource("")]),
]

NAMES = [
    Case("a name of 255 bytes is served", [ONE, acquire("@/" + "n" * 255)],
         {"n" * 255: file()}),
    Case("a name with a space and a quote is served", [ONE, acquire("@/a 'disk'")],
         {"a 'disk'": file()}),
    Case("a name that is not UTF-8 is served",
         [ONE, acquire(b"@/\xff\xfe"), acquire(b"@/\xff\xfd", says=SYSTEM)],
         {b"\xff\xfe".decode(errors="surrogateescape"): file()}),
    Case("a name with a line break is served",
         [ONE, acquire("@/a\nb"), acquire("@/c\nd", says=SYSTEM)], {"a\nb": file()}),
    Case("a name with a percent sign is served",
         [ONE, acquire("@/%s%n"), acquire("@/%d%s%n", says=SYSTEM)], {"%s%n": file()}),
    Case("a name with a zero byte ends there",
         [ONE, acquire(b"@/disk\0more"), release("@/disk")], FILES),
]

KINDS = [
    Case("a named pipe as a resource", [ONE, acquire("@/pipe", label="acquire")],
         {"pipe": fifo()}),
    Case("a character device as a resource", [ONE, acquire("@/null", label="acquire")],
         {"null": char_device()}, needs_root="makes a device node"),
    Case("a file that may only be read, shared",
         [ONE, acquire(READ_ONLY, flags=SHARED, says=SYSTEM, label="acquire"),
          release(READ_ONLY, says=BUSY, label="release")]),
]

CASES = [*OPENING, *NAMES, *KINDS]
