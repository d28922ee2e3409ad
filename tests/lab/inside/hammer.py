# SPDX-License-Identifier: LGPL-2.1-or-later
"""A VM that takes one lock and gives it back, over and over; run as a program on a host.

Who has the lock makes a symlink, in memory that all hosts of a guest see under the same path and
that knows nothing of NFS. Only one can make it, and it leads nowhere but tells who did: whoever
finds it there is a second holder.
The last line printed is what it met, as JSON; of one that broke off, why.
"""

import collections
import json
import os
import random
import sys
import time

from hftest import wire
from lab.inside import locks

# A holder has nothing to do; sometimes it stays for a moment, so that others come in between.
STAY_S = 0.004


def maker(token):
    try:
        return os.readlink(token)
    except FileNotFoundError:
        return "somebody"


def hold(token, me, doubles):
    """What only one may do at a time."""
    try:
        os.symlink(me, token)
    except FileExistsError:
        doubles[f"{me} while {maker(token)} had it"] += 1
        return
    if random.random() < 0.5:
        time.sleep(random.random() * STAY_S)
    os.unlink(token)


def words(answer):
    return answer.error.message if answer.error else answer.outcome


def hammer(socket, space, name, token, seconds, me):
    found, odd, doubles = (collections.Counter() for _ in range(3))
    with wire.Connection(wire.Transport(socket), timeout=locks.TIMEOUT) as connection:
        answer = connection.register(wire.Owner(me, os.getpid()))
        assert answer.ok, f"register: {words(answer)}"
        locks.announce(connection, space)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            answer = connection.acquire(name, space, wire.AUTOCREATE)
            if answer.ok:
                found["granted"] += 1
                hold(token, me, doubles)
                answer = connection.release(name, space)
                if not answer.ok:
                    odd[f"release: {words(answer)}"] += 1
            elif answer.code == wire.Code.BUSY:
                found["refused"] += 1
            else:
                odd[f"acquire: {words(answer)}"] += 1
    return {"granted": found["granted"], "refused": found["refused"], "odd": odd,
            "doubles": doubles}


def main():
    socket, space, name, token, seconds, me = sys.argv[1:]
    print(json.dumps(hammer(socket, space, name, token, float(seconds), me)), flush=True)


if __name__ == "__main__":
    main()
