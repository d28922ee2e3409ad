# SPDX-License-Identifier: LGPL-2.1-or-later
"""Directory lockspaces: new, create-lockspace, and resources inside."""

from hftest.conformance import (BUSY, FOREIGN, NO_DIRECTORY, NO_LOCKSPACE, NOT_LOCKED,
                                NOT_REGISTERED, SYSTEM, Case, Foreign, HangUp, Look, acquire,
                                create_lockspace, create_resource, delete_resource, new, register,
                                release)
from hftest.files import directory, file, symlink
from hftest.wire import AUTOCREATE, SHARED

ONE = register("one", on="a")
TWO = register("two", on="b")
SPACE = {"space": directory()}
INSIDE = {"space": directory(), "space/lease": file(b"")}
BEFORE = [ONE, create_lockspace("@/space")]
HASH = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

MAKING = [
    Case("create-lockspace makes the directory for its owner alone",
         [create_lockspace("@/space"), Look()]),
    Case("create-lockspace makes missing parents", [create_lockspace("@/a/b/c"), Look()]),
    Case("create-lockspace of a directory that exists leaves its permissions",
         [create_lockspace("@/space")], SPACE),
    Case("create-lockspace twice is fine", [create_lockspace("@/space"),
                                            create_lockspace("@/space")]),
    Case("create-lockspace with an empty path does nothing", [create_lockspace("")]),
    Case("create-lockspace where a file is is refused",
         [create_lockspace("@/disk", says=NO_DIRECTORY)], {"disk": file()}),
    Case("create-lockspace below a file is refused",
         [create_lockspace("@/disk/space", says=SYSTEM)], {"disk": file()}),
    Case("create-lockspace through a symbolic link to a directory is served",
         [ONE, create_lockspace("@/link"), acquire("lease", "@/link", flags=AUTOCREATE), Look()],
         {"space": directory(), "link": symlink("space")}),
    Case("create-lockspace on a dangling symbolic link",
         [create_lockspace("@/link", label="create", says=SYSTEM)], {"link": symlink("none")}),
    Case("new makes the directory", [ONE, new("@/space"), Look()]),
    Case("new of a directory that exists announces it",
         [ONE, new("@/space"), acquire("lease", "@/space")], INSIDE),
    Case("new twice is refused", [ONE, new("@/space"), new("@/space", says=NO_LOCKSPACE)]),
    Case("new after create-lockspace is refused",
         [ONE, create_lockspace("@/space"), new("@/space", says=NO_LOCKSPACE)]),
    Case("create-lockspace after new is fine",
         [ONE, new("@/space"), create_lockspace("@/space")]),
    Case("new with an empty path is refused", [ONE, new("", says=NOT_REGISTERED)]),
    Case("new on a directory that cannot be made",
         [ONE, new("@/disk/space", label="new")], {"disk": file()}, conf=""),
    Case("a lockspace outlives the connection that announced it",
         [create_lockspace("@/space", on="b"), HangUp("b"), ONE,
          acquire("lease", "@/space", flags=AUTOCREATE)]),
    Case("a lockspace path is compared as text",
         [*BEFORE, acquire("lease", "@/space/", flags=AUTOCREATE, says=NO_LOCKSPACE)]),
]

INSIDE_A_SPACE = [
    Case("a resource of a lockspace is a file in its directory",
         [*BEFORE, acquire("lease", "@/space"), Look()], INSIDE),
    Case("a missing resource of a lockspace is refused",
         [*BEFORE, acquire("lease", "@/space", says=SYSTEM)]),
    Case("an autocreated resource of a lockspace comes and goes",
         [*BEFORE, acquire(HASH, "@/space", flags=AUTOCREATE), Look(),
          release(HASH, "@/space")]),
    Case("a shared autocreated resource comes and goes",
         [*BEFORE, acquire(HASH, "@/space", flags=AUTOCREATE | SHARED), Look(),
          release(HASH, "@/space")]),
    Case("a locked resource of a lockspace is busy",
         [*BEFORE, TWO, acquire("lease", "@/space"),
          acquire("lease", "@/space", on="b", says=BUSY, busy_by="one")], INSIDE),
    Case("an autocreated busy resource of a lockspace is busy",
         [*BEFORE, TWO, acquire(HASH, "@/space", flags=AUTOCREATE),
          acquire(HASH, "@/space", flags=AUTOCREATE, on="b", says=BUSY, busy_by="one")]),
    Case("an unknown lockspace is refused in acquire",
         [ONE, acquire("lease", "@/space", says=NO_LOCKSPACE)], INSIDE),
    Case("an unknown lockspace is refused in release",
         [ONE, release("lease", "@/space", says=NO_LOCKSPACE)], INSIDE),
    Case("an unknown lockspace is refused in create-resource",
         [ONE, create_resource("lease", "@/space", says=NO_LOCKSPACE)], SPACE),
    Case("an unknown lockspace is refused in delete-resource",
         [ONE, delete_resource("lease", "@/space", says=NO_LOCKSPACE)], INSIDE),
    Case("an unknown relative lockspace is refused",
         [ONE, acquire("lease", "somewhere", says=NO_LOCKSPACE)]),
    Case("create-resource in a lockspace makes a file",
         [*BEFORE, create_resource("lease", "@/space")]),
    Case("create-resource of a locked resource in a lockspace is busy",
         [*BEFORE, acquire("lease", "@/space"),
          create_resource("lease", "@/space", says=BUSY, busy_by="one")], INSIDE),
    Case("delete-resource in a lockspace removes a file",
         [*BEFORE, delete_resource("lease", "@/space")], INSIDE),
    Case("delete-resource of a locked resource in a lockspace is busy",
         [*BEFORE, acquire("lease", "@/space"),
          delete_resource("lease", "@/space", says=BUSY, busy_by="one")], INSIDE),
    Case("releasing what nobody holds in a lockspace is refused",
         [*BEFORE, release("lease", "@/space", says=NOT_LOCKED)], INSIDE),
    Case("a foreign lock on a lease is busy",
         [*BEFORE, Foreign("@/space/lease", "posix"),
          acquire("lease", "@/space", flags=AUTOCREATE, says=BUSY, busy_by=FOREIGN)], INSIDE),
    Case("the same name in two lockspaces is two resources",
         [ONE, TWO, create_lockspace("@/space"), create_lockspace("@/other"),
          acquire(HASH, "@/space", flags=AUTOCREATE),
          acquire(HASH, "@/other", flags=AUTOCREATE, on="b"), Look()]),
    Case("a lease asked for by its path in the default lockspace",
         [*BEFORE, TWO, acquire("lease", "@/space"),
          acquire("@/space/lease", on="b", label="by path"), Look()], INSIDE),
    Case("a lease that has content survives its release",
         [*BEFORE, acquire("lease", "@/space", flags=AUTOCREATE), release("lease", "@/space")],
         {"space": directory(), "space/lease": file(b"content")}),
    Case("a lockspace whose directory was removed refuses",
         [*BEFORE, acquire("lease", "@/space/gone", says=NO_LOCKSPACE)]),
]


def odd_name(what, name, says="ok", files=None, flags=0):
    return Case(f"a resource name in a lockspace that {what}",
                [*BEFORE, acquire(name, "@/space", flags=flags, says=says, label="acquire")],
                {**INSIDE, **(files or {})})


ODD_NAMES = [
    odd_name("goes into a subdirectory", "sub/lease", "ok",
             {"space/sub": directory(), "space/sub/lease": file(b"")}),
    odd_name("leaves the directory", "../disk", "ok", {"disk": file()}),
    odd_name("begins with a slash", "/lease"),
    odd_name("ends with a slash", "lease/", SYSTEM),
    odd_name("is two dots", "..", SYSTEM),
    odd_name("is one dot", ".", SYSTEM),
    odd_name("is empty", "", SYSTEM),
    odd_name("is two dots, autocreate", "..", SYSTEM, flags=AUTOCREATE),
    odd_name("only begins with dots", "..lease", "ok", {"space/..lease": file(b"")}),
    Case("create-resource in a lockspace by a name that leaves the directory",
         [*BEFORE, create_resource("../made", "@/space", label="create")]),
    Case("delete-resource in a lockspace by a name that leaves the directory",
         [*BEFORE, delete_resource("../disk", "@/space", label="delete")], {"disk": file()}),
    Case("release in a lockspace by a name that leaves the directory",
         [*BEFORE, release("../disk", "@/space", says=NOT_LOCKED, label="release")],
         {"disk": file()}),
]

CASES = [*MAKING, *INSIDE_A_SPACE, *ODD_NAMES]
