# SPDX-License-Identifier: LGPL-2.1-or-later
"""What happens to a VM and to its locks when connections close."""

from hftest.conformance import (BUSY, NOT_REGISTERED, Case, Ends, HalfClose, HangUp, Kill, Lives,
                                Look, Stubborn, Unlocked, acquire, create_lockspace, register,
                                release, restrict)
from hftest.files import directory, file
from hftest.wire import AUTOCREATE, SHARED

FILES = {"disk": file()}
VM = "vm one"
ITSELF = register("one", on=VM)
FOR_IT = register("one", on="a")
TWO = register("two", on="b")

CASES = [
    Case("a VM whose own connection closes with a lock held is terminated and the lock freed",
         [ITSELF, acquire("@/disk", on=VM), HangUp(VM), Ends("one"), TWO, Unlocked("@/disk"),
          acquire("@/disk", on="b")], FILES),
    Case("a VM is terminated also for a lock that another connection took for it",
         [ITSELF, restrict(on=VM), FOR_IT, acquire("@/disk"), HangUp(VM), Ends("one"), TWO,
          Unlocked("@/disk"), acquire("@/disk", on="b")], FILES),
    Case("a VM is terminated also for a shared lock, and other holders keep it",
         [TWO, acquire("@/disk", flags=SHARED, on="b"), ITSELF,
          acquire("@/disk", flags=SHARED, on=VM), HangUp(VM), Ends("one"), Look()],
         FILES),
    Case("a VM is terminated when it half-closes its connection",
         [ITSELF, acquire("@/disk", on=VM), HalfClose(VM), Ends("one"), TWO, Unlocked("@/disk"),
          acquire("@/disk", on="b")], FILES),
    Case("a VM that ignores SIGTERM is killed",
         [ITSELF, acquire("@/disk", on=VM), Stubborn("one"), HangUp(VM), Ends("one")], FILES),
    Case("a VM whose own connection closes without locks lives on",
         [ITSELF, HangUp(VM), Lives("one")], FILES),
    Case("a VM that released everything before its connection closes lives on",
         [ITSELF, acquire("@/disk", on=VM), release("@/disk", on=VM), HangUp(VM), Lives("one")],
         FILES),
    Case("a VM whose process ends frees its locks",
         [ITSELF, acquire("@/disk", on=VM), Kill("one"), Unlocked("@/disk")], FILES),
    Case("a VM whose process ends frees what other connections took for it",
         [ITSELF, restrict(on=VM), FOR_IT, acquire("@/disk"), Kill("one"), TWO, Unlocked("@/disk"),
          acquire("@/disk", on="b"), Look()], FILES),
    Case("a VM whose process ends unlinks its autocreated leases",
         [ITSELF, create_lockspace("@/space", on=VM),
          acquire("lease", "@/space", AUTOCREATE, on=VM),
          acquire("other", "@/space", AUTOCREATE, on=VM), Kill("one"),
          Unlocked("@/space/lease"), Unlocked("@/space/other")],
         {"space": directory()}),
    Case("a VM's process ending touches no lock of others",
         [ITSELF, acquire("@/disk", on=VM), TWO, acquire("@/other", on="b"), Kill("one"),
          Unlocked("@/disk")], {"disk": file(), "other": file()}),
    Case("a VM that registers as somebody else has no own connection",
         [register("two", on=VM), acquire("@/disk", on=VM), HangUp(VM), Lives("one"), Look()],
         FILES),
    Case("a VM that registers again with a lock held lives on and keeps it",
         [ITSELF, acquire("@/disk", on=VM), ITSELF, Lives("one"), TWO,
          acquire("@/disk", on="b", says=BUSY), release("@/disk", on=VM)], FILES),
    Case("a VM that registers again is still terminated when its connection closes",
         [ITSELF, acquire("@/disk", on=VM), ITSELF, HangUp(VM), Ends("one"), Unlocked("@/disk")],
         FILES),
    Case("a VM that registers as somebody else with a lock held lives on and keeps it",
         [ITSELF, acquire("@/disk", on=VM), register("two", on=VM), Lives("one"), TWO,
          acquire("@/disk", on="b", says=BUSY)], FILES),
    Case("a connection that never registered closes without effect",
         [ITSELF, acquire("@/disk", on=VM), acquire("@/disk", on="b", says=NOT_REGISTERED),
          HangUp("b"), Lives("one"), Look()], FILES),
    Case("another connection for the VM closes without effect",
         [ITSELF, FOR_IT, acquire("@/disk"), HangUp("a"), Lives("one"), Look()], FILES),
    Case("a VM holds its lock while its connection is open",
         [ITSELF, restrict(on=VM), FOR_IT, acquire("@/disk"), HangUp("a"), TWO,
          acquire("@/disk", on="b", says=BUSY, busy_by="one"), Lives("one")], FILES),
    Case("a VM that re-registers as itself is still itself",
         [ITSELF, register("one", on=VM), acquire("@/disk", on=VM), Kill("one"),
          Unlocked("@/disk")], FILES),
]
