# SPDX-License-Identifier: LGPL-2.1-or-later
"""What every procedure has in common: payload, flags, registration, restriction."""

from hftest.conformance import (BAD_CALL, BAD_FLAGS, NOT_LOCKED, NOT_REGISTERED, OK, RESTRICTED,
                                Ask, Case, Who, acquire, create_lockspace, create_resource,
                                delete_resource, new, register, release, restrict)
from hftest.files import directory, file
from hftest.wire import MAX_STRING, Proc

# Per procedure: a name, a call, what stock answers to it on a registered connection,
# whether it needs registration, and its flags word if it has one.
CALLS = [
    ("register", register, OK, False, True),
    ("restrict", restrict, OK, True, True),
    ("new", lambda **how: new("@/space", **how), OK, True, True),
    ("create-resource", lambda **how: create_resource("@/made", **how), OK, True, True),
    ("delete-resource", lambda **how: delete_resource("@/disk", **how), OK, True, True),
    ("acquire", lambda **how: acquire("@/disk", **how), OK, True, True),
    ("release", lambda **how: release("@/disk", **how), NOT_LOCKED, True, True),
    ("create-lockspace", lambda **how: create_lockspace("@/space", **how), OK, False, False),
]

FILES = {"disk": file()}


def for_each():
    for name, call, says, needs_owner, has_flags in CALLS:
        before = [] if name == "register" else [register()]
        yield Case(f"{name} is answered", [*before, call(says=says)], FILES)
        yield Case(f"{name} without a payload is refused",
                   [*before, call(says=BAD_CALL, cut=10000)], FILES)
        yield Case(f"{name} without its last word is refused",
                   [*before, call(says=BAD_CALL, cut=4)], FILES)
        yield Case(f"{name} without its last byte is refused",
                   [*before, call(says=BAD_CALL, cut=1)], FILES)
        yield Case(f"{name} with surplus bytes is served",
                   [*before, call(says=says, surplus=b"more than was asked for")], FILES)
        yield Case(f"{name} on a restricted connection is denied",
                   [register(), restrict(), call(says=RESTRICTED)], FILES)
        if needs_owner:
            yield Case(f"{name} on an unregistered connection is refused",
                       [call(says=NOT_REGISTERED)], FILES)
        if has_flags:
            yield Case(f"{name} with an unknown flag is refused",
                       [*before, call(flags=0x10, says=BAD_FLAGS)], FILES)
            yield Case(f"{name} with all flags is refused",
                       [*before, call(flags=0xFFFFFFFF, says=BAD_FLAGS)], FILES)
            yield Case(f"{name} restricted and with an unknown flag is refused for the flag",
                       [register(), restrict(), call(flags=0x10, says=BAD_FLAGS)], FILES)
        if has_flags and needs_owner:
            yield Case(f"{name} unregistered and with an unknown flag is refused for the flag",
                       [call(flags=0x80000000, says=BAD_FLAGS)], FILES)


OTHERS = [
    Case("acquire refuses the next free flag bit", [register(), acquire("@/disk", flags=4,
                                                                        says=BAD_FLAGS)], FILES),
    Case("release refuses the flags that acquire knows",
         [register(), release("@/disk", flags=1, says=BAD_FLAGS),
          release("@/disk", flags=2, says=BAD_FLAGS)], FILES),
    Case("create-lockspace is served without a register", [create_lockspace("@/space")]),
    Case("register with owner id 0 is refused as not registered",
         [register(Who("one", ident=0), says=NOT_REGISTERED), restrict(says=NOT_REGISTERED)]),
    Case("register with owner id 0 leaves an earlier owner in place",
         [register("one"), register(Who("two", ident=0), says=NOT_REGISTERED),
          acquire("@/disk")], FILES),
    Case("register with the largest owner id is served",
         [register(Who("one", ident=0xFFFFFFFF)), acquire("@/disk")], FILES),
    Case("register with owner pid 0 is served", [register(Who("one", pid=0))]),
    Case("register with an empty name is served", [register(Who("")), acquire("@/disk")], FILES),
    Case("register with a zero UUID is served",
         [register(Who("one", uuid=bytes(16))), acquire("@/disk")], FILES),
    Case("register with a name of the largest length is served",
         [register(Who("n" * MAX_STRING)), acquire("@/disk")], FILES),
    Case("register with a name one byte longer is refused",
         [register(Who("n" * (MAX_STRING + 1)), says=BAD_CALL), restrict(says=NOT_REGISTERED)]),
    Case("register with a name that is not UTF-8 is served",
         [register(Who(b"\xff\xfe\x80")), acquire("@/disk")], FILES),
    Case("registering again replaces the owner",
         [register("one"), acquire("@/disk"), register("two"),
          release("@/disk", says=(1, 51)), register("one"), release("@/disk")], FILES),
    Case("restrict twice is denied the second time",
         [register(), restrict(), restrict(says=RESTRICTED)]),
    Case("restrict binds only its own connection",
         [register("one"), restrict(), register("two", on="b"), acquire("@/disk", on="b")], FILES),
    Case("acquire with a path one byte too long is refused",
         [register(), acquire("x", space="p" * (MAX_STRING + 1), says=BAD_CALL)]),
    Case("acquire with a path of the largest length names no lockspace",
         [register(), acquire("x", space="p" * MAX_STRING, says=(1, 7))]),
    Case("acquire with a name one byte too long is refused",
         [register(), acquire("n" * (MAX_STRING + 1), says=BAD_CALL)]),
    Case("acquire with a name of the largest length is a name too long for the system",
         [register(), acquire("n" * MAX_STRING, says=(38, 51))]),
    Case("create-lockspace with a path one byte too long is refused",
         [create_lockspace("p" * (MAX_STRING + 1), says=BAD_CALL)]),
    Case("a call with the payload of another procedure is refused when it is too short",
         [register(), Ask(Proc.ACQUIRE, ["", 0], says=BAD_CALL)]),
    Case("a call with the payload of a longer procedure is read as far as needed",
         [register(), Ask(Proc.CREATE_LOCKSPACE, ["@/space", "name", 0])],
         {"space": directory()}),
]

CASES = [*for_each(), *OTHERS]
