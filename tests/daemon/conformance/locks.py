# SPDX-License-Identifier: LGPL-2.1-or-later
"""The lock table of the default lockspace: modes, owners, autocreate, the lock in the kernel."""

import fcntl

from hftest.conformance import (BUSY, CANNOT_CREATE, FOREIGN, NOT_HOLDER, NOT_LOCKED, OK, SYSTEM,
                                Case, Foreign, HangUp, Look, Rename, Unlink, Who, acquire,
                                create_resource, delete_resource, register, release)
from hftest.files import file, hard_link, symlink
from hftest.wire import AUTOCREATE, SHARED

FILES = {"disk": file()}
ONE = register("one", on="a")
TWO = register("two", on="b")
THREE = register("three", on="c")

MODES = [
    Case("an exclusive acquire locks byte 0 for writing",
         [ONE, acquire("@/disk"), Look()], FILES),
    Case("a shared acquire locks byte 0 for reading",
         [ONE, acquire("@/disk", flags=SHARED), Look()], FILES),
    Case("a release unlocks byte 0", [ONE, acquire("@/disk"), release("@/disk")], FILES),
    Case("a shared release unlocks byte 0",
         [ONE, acquire("@/disk", flags=SHARED), release("@/disk")], FILES),
    Case("an exclusive lock refuses an exclusive one of another owner",
         [ONE, TWO, acquire("@/disk"), acquire("@/disk", on="b", says=BUSY, busy_by="one")],
         FILES),
    Case("an exclusive lock refuses a shared one of another owner",
         [ONE, TWO, acquire("@/disk"),
          acquire("@/disk", flags=SHARED, on="b", says=BUSY, busy_by="one")], FILES),
    Case("a shared lock refuses an exclusive one of another owner",
         [ONE, TWO, acquire("@/disk", flags=SHARED),
          acquire("@/disk", on="b", says=BUSY, busy_by="one")], FILES),
    Case("a shared lock refuses an exclusive one of the same owner",
         [ONE, acquire("@/disk", flags=SHARED), acquire("@/disk", says=BUSY, busy_by="one")],
         FILES),
    Case("an exclusive lock refuses a shared one of the same owner",
         [ONE, acquire("@/disk"), acquire("@/disk", flags=SHARED, says=BUSY, busy_by="one")],
         FILES),
    Case("an owner who asks again for what it holds exclusively",
         [ONE, acquire("@/disk"), acquire("@/disk", says=BUSY, label="again"), Look(),
          release("@/disk"), release("@/disk", says=NOT_LOCKED, label="released twice")], FILES),
    Case("an owner who asks again through another connection",
         [ONE, acquire("@/disk"), register("one", on="b"),
          acquire("@/disk", on="b", says=BUSY, label="again")], FILES),
    Case("two owners share a lock and it goes with the last",
         [ONE, TWO, acquire("@/disk", flags=SHARED), acquire("@/disk", flags=SHARED, on="b"),
          release("@/disk"), Look(), release("@/disk", on="b")], FILES),
    Case("three owners share a lock and leave in any order",
         [ONE, TWO, THREE, acquire("@/disk", flags=SHARED),
          acquire("@/disk", flags=SHARED, on="b"), acquire("@/disk", flags=SHARED, on="c"),
          release("@/disk", on="b"), release("@/disk", on="b", says=NOT_HOLDER),
          release("@/disk", on="c"), Look(), release("@/disk"),
          release("@/disk", says=NOT_LOCKED)], FILES),
    Case("an owner who shares a lock twice with itself",
         [ONE, acquire("@/disk", flags=SHARED), acquire("@/disk", flags=SHARED),
          release("@/disk"), Look("after one release"),
          release("@/disk", label="second release"),
          release("@/disk", says=NOT_LOCKED, label="third release")], FILES),
    Case("a freed lock can be had by another owner",
         [ONE, TWO, acquire("@/disk"), release("@/disk"), acquire("@/disk", on="b")], FILES),
    Case("a freed shared lock can be had exclusively",
         [ONE, TWO, acquire("@/disk", flags=SHARED), release("@/disk"),
          acquire("@/disk", on="b"), Look()], FILES),
    Case("two files are two locks",
         [ONE, TWO, acquire("@/disk"), acquire("@/other", on="b"),
          acquire("@/other", says=BUSY, busy_by="two"),
          acquire("@/disk", on="b", says=BUSY, busy_by="one")],
         {"disk": file(), "other": file()}),
    Case("a hundred acquires and releases leave nothing behind",
         [ONE, *[call("@/disk") for _ in range(50) for call in (acquire, release)]], FILES),
    Case("a refused acquire leaves the holder's lock alone",
         [ONE, TWO, acquire("@/disk"), acquire("@/disk", on="b", says=BUSY, busy_by="one"),
          HangUp("b"), Look()], FILES),
    Case("a lock on an empty file works", [ONE, acquire("@/disk")], {"disk": file(b"")}),
]

RELEASING = [
    Case("releasing what nobody holds is refused", [ONE, release("@/disk", says=NOT_LOCKED)],
         FILES),
    Case("releasing a file that does not exist is refused as not locked",
         [ONE, release("@/none", says=NOT_LOCKED)]),
    Case("releasing another owner's lock is refused and names the owner pid",
         [ONE, TWO, acquire("@/disk"), release("@/disk", on="b", says=NOT_HOLDER), Look()], FILES),
    Case("releasing another owner's shared lock is refused",
         [ONE, TWO, acquire("@/disk", flags=SHARED), release("@/disk", on="b", says=NOT_HOLDER)],
         FILES),
    Case("a release after the file is gone works",
         [ONE, acquire("@/disk"), Unlink("@/disk"), release("@/disk")], FILES),
    Case("a release after the file was renamed works",
         [ONE, acquire("@/disk"), Rename("@/disk", "@/moved"), release("@/disk")], FILES),
    Case("any connection may release for the owner",
         [ONE, acquire("@/disk"), register("one", on="b"), release("@/disk", on="b")], FILES),
    Case("a lock outlives the connection that took it",
         [ONE, acquire("@/disk"), HangUp("a"), TWO,
          acquire("@/disk", on="b", says=BUSY, busy_by="one"), register("one", on="c"),
          release("@/disk", on="c"), acquire("@/disk", on="b", label="afterwards free")], FILES),
]

AUTOCREATED = [
    Case("autocreate makes a missing file and unlinks it on release",
         [ONE, acquire("@/lease", flags=AUTOCREATE), Look(), release("@/lease")]),
    Case("autocreate of an empty file that exists unlinks it on release",
         [ONE, acquire("@/lease", flags=AUTOCREATE), Look(), release("@/lease")],
         {"lease": file(b"")}),
    Case("autocreate of a file with content",
         [ONE, acquire("@/disk", flags=AUTOCREATE), release("@/disk")], FILES),
    Case("a shared autocreate is unlinked when the last owner leaves",
         [ONE, TWO, acquire("@/lease", flags=AUTOCREATE | SHARED),
          acquire("@/lease", flags=AUTOCREATE | SHARED, on="b"), release("@/lease"), Look(),
          release("@/lease", on="b")]),
    Case("the first acquirer's flags decide: without autocreate nothing is unlinked",
         [ONE, TWO, acquire("@/lease", flags=SHARED),
          acquire("@/lease", flags=SHARED | AUTOCREATE, on="b"), release("@/lease"),
          release("@/lease", on="b")], {"lease": file(b"")}),
    Case("the first acquirer's flags decide: with autocreate it is unlinked",
         [ONE, TWO, acquire("@/lease", flags=SHARED | AUTOCREATE),
          acquire("@/lease", flags=SHARED, on="b"), release("@/lease"),
          release("@/lease", on="b")]),
    Case("a shared autocreate is not unlinked while a foreign reader has it",
         [ONE, acquire("@/lease", flags=SHARED | AUTOCREATE),
          Foreign("@/lease", "ofd", fcntl.F_RDLCK), release("@/lease")],
         {"lease": file(b"")}),
    Case("autocreate of a locked name is busy",
         [ONE, TWO, acquire("@/lease", flags=AUTOCREATE),
          acquire("@/lease", flags=AUTOCREATE, on="b", says=BUSY, busy_by="one")]),
    Case("autocreate in a missing directory is refused",
         [ONE, acquire("@/none/lease", flags=AUTOCREATE, says=SYSTEM)]),
    Case("releasing an autocreated file that somebody removed works",
         [ONE, acquire("@/lease", flags=AUTOCREATE), Unlink("@/lease"), release("@/lease")]),
    Case("autocreate again after a release makes a new file",
         [ONE, acquire("@/lease", flags=AUTOCREATE), release("@/lease"),
          acquire("@/lease", flags=AUTOCREATE)]),
]

FOREIGN_LOCKS = [
    Case(f"a foreign {kind} {word} lock on byte 0 {verb} {asks} acquire",
         [ONE, Foreign("@/disk", kind, mode),
          acquire("@/disk", flags=flags, says=BUSY if verb == "refuses" else OK,
                  busy_by=FOREIGN if verb == "refuses" else None)], FILES)
    for kind in ("posix", "ofd")
    for word, mode, asks, flags, verb in (
        ("write", fcntl.F_WRLCK, "an exclusive", 0, "refuses"),
        ("write", fcntl.F_WRLCK, "a shared", SHARED, "refuses"),
        ("read", fcntl.F_RDLCK, "an exclusive", 0, "refuses"),
        ("read", fcntl.F_RDLCK, "a shared", SHARED, "allows"))
] + [
    Case("a foreign lock on byte 1 conflicts with nothing",
         [ONE, Foreign("@/disk", "posix", start=1), acquire("@/disk")], FILES),
    Case("foreign locks where QEMU has its own conflict with nothing",
         [ONE, Foreign("@/disk", "ofd", start=100, length=4),
          Foreign("@/disk", "ofd", start=200, length=4), acquire("@/disk")], FILES),
    Case("a foreign lock on the whole file is busy",
         [ONE, Foreign("@/disk", "posix", length=0),
          acquire("@/disk", says=BUSY, busy_by=FOREIGN)], FILES),
    Case("a busy answer because of a foreign lock leaves no entry behind",
         [ONE, Foreign("@/disk", "posix"), acquire("@/disk", says=BUSY, busy_by=FOREIGN),
          release("@/disk", says=NOT_LOCKED)], FILES),
]

RESOURCES = [
    Case("create-resource makes an empty file", [ONE, create_resource("@/made")]),
    Case("create-resource of a file that exists leaves it alone",
         [ONE, create_resource("@/disk")], FILES),
    Case("create-resource of a locked name is busy",
         [ONE, acquire("@/disk"), create_resource("@/disk", says=BUSY, busy_by="one")], FILES),
    Case("create-resource in a missing directory is refused",
         [ONE, create_resource("@/none/made", says=CANNOT_CREATE)]),
    Case("create-resource locks nothing", [ONE, create_resource("@/made"),
                                           release("@/made", says=NOT_LOCKED)]),
    Case("delete-resource removes a file", [ONE, delete_resource("@/disk")], FILES),
    Case("delete-resource of a missing file is fine", [ONE, delete_resource("@/none")]),
    Case("delete-resource of a locked name is busy",
         [ONE, acquire("@/disk"), delete_resource("@/disk", says=BUSY, busy_by="one")], FILES),
    Case("delete-resource of another owner's locked name is busy",
         [ONE, TWO, acquire("@/disk"),
          delete_resource("@/disk", on="b", says=BUSY, busy_by="one")], FILES),
    Case("delete-resource of a directory is refused",
         [ONE, delete_resource("@", says=SYSTEM)], FILES),
    Case("a resource can be made, locked, freed and deleted",
         [ONE, create_resource("@/made"), acquire("@/made"), release("@/made"),
          delete_resource("@/made")]),
]

ALIASES = [
    Case(f"a second owner asks for a locked file through {how}",
         [ONE, TWO, acquire("@/disk"), acquire(name, on="b", label="alias"),
          release(name, on="b", says=said, label="released"), Look()],
         {"disk": file(), **files})
    for how, name, files, said in (
        ("a symbolic link", "@/alias", {"alias": symlink("disk")}, OK),
        ("a hard link", "@/alias", {"alias": hard_link("disk")}, OK),
        ("a dot in its path", "@/./disk", {}, OK))
] + [
    Case("the same owner asks for its locked file by a second name",
         [ONE, acquire("@/disk"), acquire("@/alias"), release("@/disk"),
          Look("first name released"), release("@/alias"), Look("both released")],
         {"disk": file(), "alias": hard_link("disk")}),
    Case("create-resource of a locked file by another name leaves its lock",
         [ONE, acquire("@/disk"), create_resource("@/alias", label="create"), Look()],
         {"disk": file(), "alias": hard_link("disk")}),
    Case("a name that is locked is busy also when another file has taken its place",
         [ONE, TWO, acquire("@/disk"), Rename("@/other", "@/disk"),
          acquire("@/disk", on="b", says=BUSY, busy_by="one")],
         {"disk": file(), "other": file(b"other")}),
]

DEAD_OWNERS = [
    Case("an owner pid that does not exist",
         [register(Who("one", pid="dead")), acquire("@/disk", label="acquire")], FILES),
    Case("an owner pid of zero",
         [register(Who("one", pid=0)), acquire("@/disk", label="acquire")], FILES),
]

CASES = [*MODES, *RELEASING, *AUTOCREATED, *FOREIGN_LOCKS, *RESOURCES, *ALIASES, *DEAD_OWNERS]
