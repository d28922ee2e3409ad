# SPDX-License-Identifier: LGPL-2.1-or-later
"""Where holdfastd deliberately answers differently from virtlockd, and why.

The table is checked in both directions: what is listed has to differ, and in this way; what
is not listed has to be equal. What holds everywhere is in hftest.compare: our own sentences,
and the holder in every busy answer.
"""

from hftest.compare import busy_by, granted, refused, refused_somehow

REENTRANT = "asking again for what one has changes nothing: a VM half of whose disks were " \
            "resumed can be resumed, instead of blocking itself for ever"
ONE_HOLD = "what an owner holds is a set of names, so one release undoes two acquires"
ALIAS = "a resource is the file, not its name; virtlockd grants it twice and then loses the lock"
NAMES = "a resource name in a directory lockspace is a file name, not a way out of it"
CONTENT = "a lease file is empty; a file with content is somebody's data and is never removed"
NO_OWNER = "a lock for a process that does not exist would never be freed"
NO_SPACE = "virtlockd calls it a success, has a hole in its table, and falls into it (SIGSEGV) " \
           "when the next VM leaves"
KIND = "only regular files and block devices carry locks that mean something"


def locked(word):
    return lambda text: isinstance(text, str) and text.endswith(word)


def alias(of, other=None):
    """The second name is refused, so its release has nothing to free and the lock stays."""
    return {"alias": busy_by("one"), "released": refused(87, 51),
            **{f"{look}.{name}": locked("write lock")
               for look in ("look", "afterwards") for name in filter(None, (of, other))}}


def bad_name(label="acquire", **more):
    return ({label: refused(8, 51), **more}, NAMES)


IN_A_SPACE = "a resource name in a lockspace that "
SECOND = "a second owner asks for a locked file through "

DIFFERENCES = {
    # Asking again.
    "an owner who asks again for what it holds exclusively":
        ({"again": granted}, REENTRANT),
    "an owner who asks again through another connection":
        ({"again": granted}, REENTRANT),
    "an owner who shares a lock twice with itself":
        ({"second release": refused(87, 51),
          "after one release.disk": locked("unlocked")}, ONE_HOLD),

    # The file counts.
    SECOND + "a symbolic link": (alias("disk"), ALIAS),
    SECOND + "a hard link": (alias("disk", "alias"), ALIAS),
    SECOND + "a dot in its path": (alias("disk"), ALIAS),
    "the same owner asks for its locked file by a second name":
        ({f"first name released.{name}": locked("write lock") for name in ("disk", "alias")},
         ALIAS),
    "create-resource of a locked file by another name leaves its lock":
        ({"create": busy_by("one"),
          **{f"{look}.{name}": locked("write lock")
             for look in ("look", "afterwards") for name in ("disk", "alias")}}, ALIAS),
    "a lease asked for by its path in the default lockspace":
        ({"by path": busy_by("one")}, ALIAS),

    # What may be a resource.
    IN_A_SPACE + "goes into a subdirectory":
        bad_name(**{"afterwards.space/sub/lease": locked("unlocked")}),
    IN_A_SPACE + "leaves the directory": bad_name(**{"afterwards.disk": locked("unlocked")}),
    IN_A_SPACE + "begins with a slash": bad_name(**{"afterwards.space/lease": locked("unlocked")}),
    IN_A_SPACE + "ends with a slash": bad_name(),
    IN_A_SPACE + "is two dots": bad_name(),
    IN_A_SPACE + "is one dot": bad_name(),
    IN_A_SPACE + "is empty": bad_name(),
    IN_A_SPACE + "is two dots, autocreate": bad_name(),
    "create-resource in a lockspace by a name that leaves the directory":
        bad_name("create", **{"afterwards.made": "(absent)"}),
    "delete-resource in a lockspace by a name that leaves the directory":
        bad_name("delete", **{"afterwards.disk": locked("unlocked")}),
    "a named pipe as a resource": ({"acquire": refused_somehow}, KIND),
    "a character device as a resource": ({"acquire": refused_somehow}, KIND),
    "a file that may only be read, shared":
        ({"acquire": granted, "release": granted},
         "a reader needs no right to write; virtlockd opens for writing in any case"),
    "an owner pid that does not exist":
        ({"acquire": refused(55, 51), "afterwards.disk": locked("unlocked")}, NO_OWNER),
    "an owner pid of zero":
        ({"acquire": refused(55, 51), "afterwards.disk": locked("unlocked")}, NO_OWNER),

    # What is not removed, and what cannot be made.
    "autocreate of a file with content":
        ({"afterwards.disk": locked("unlocked")}, CONTENT),
    "a lease that has content survives its release":
        ({"afterwards.space/lease": locked("unlocked")}, CONTENT),
    "new on a directory that cannot be made":
        ({"new": refused_somehow}, NO_SPACE),
    "a VM that leaves after a lockspace could not be made":
        ({"new": refused_somehow, "the daemon.answers": "yes", "then on a": {}}, NO_SPACE),

    # The daemon as a whole.
    "the connection after the last one allowed":
        ({"one too many": refused(39, 7)},
         "an answer that can be acted on instead of a start that hangs"),
    "a daemon that is told to hang up":
        ({"hang up.answers": "yes", "then on a": {}},
         "SIGHUP means 'read the configuration again' everywhere; virtlockd dies of it"),
}
