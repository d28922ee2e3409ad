# SPDX-License-Identifier: LGPL-2.1-or-later
"""Run as the first process of a PID namespace, where the next PID can be chosen.

A process connects and leaves its connection to a child; another process gets its PID and a
lock. Prints what became of that one when the child registers for the PID and hangs up.
"""

import os
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

from hftest import daemons, processes, wire  # noqa: E402


def carrier(daemon, go):
    """Waits for a byte, then speaks on the connection that its dead parent opened."""
    connection = daemon.connect()
    first = os.getpid()
    if os.fork():
        os._exit(0)
    os.read(go, 1)
    answer = connection.register(wire.Owner("carrier", first))
    connection.close()
    os._exit(0 if answer.ok else 1)


def tick():
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK"))


def main(folder):
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    nursery = processes.Nursery()
    daemon = daemons.Holdfastd(nursery, os.path.join(folder, "inside"))
    image = os.path.join(folder, "disk.img")
    os.close(os.open(image, os.O_CREAT | os.O_WRONLY, 0o600))
    go, start = os.pipe()
    first = os.fork()
    if first == 0:
        carrier(daemon, go)
    os.waitpid(first, 0)
    # Start times are in clock ticks; all numbers are never used up within one.
    died = tick()
    processes.until(lambda: tick() > died, "the next tick")
    # The next process would be `first` again only after all numbers were used.
    with open("/proc/sys/kernel/ns_last_pid", "w", encoding="ascii") as last:
        last.write(str(first - 1))
    second = nursery.sleeper()
    assert second.pid == first, f"the PID {first} was not used again, but {second.pid}"
    with daemon.connect_as(wire.Owner("second", second.pid)) as manager:
        assert manager.acquire(image).ok
    os.write(start, b".")
    child, status = os.wait()
    assert child != second.pid and status == 0, (child, status)
    try:
        ended = -second.wait(1.0)
    except processes.subprocess.TimeoutExpired:
        ended = None
    print(f"ended by {ended}" if ended else "lives")
    nursery.close()


main(sys.argv[1])
