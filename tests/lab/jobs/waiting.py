# SPDX-License-Identifier: LGPL-2.1-or-later
"""Host b waits for locks that host a has: by every version of NFSv4, those of a stock virtlockd,
those of a host that dies."""

import time

from hftest import own_program, wire
from lab.inside import locks, nfs

VERSIONS = ("4.2", "4.1", "4.0")
# Nothing is asked of the server in that time.
QUIET = 5
# NFSv4.0 has no way to wake a host, and the kernel looks again after a while.
LATE = 60
# The lease, and the time after which a host that waits asks once more on its own.
EXPIRED = nfs.LEASE + 60


def stand(daemon, name):
    connection = daemon.connect(timeout=locks.TIMEOUT)
    answer = own_program.client(connection, name)
    assert answer.ok, answer
    return connection


def place_of(version):
    return f"/mnt{version.replace('.', '')}"


def lock_requests(host, place):
    """How many LOCKs the host's kernel has sent for a mount."""
    current, n = None, 0
    for line in host.run("cat", "/proc/self/mountstats").splitlines():
        words = line.split()
        if line.startswith("device "):
            current = words[4]
        elif current == place and words and words[0] == "LOCK:":
            n = int(words[1])
    return n


def begin_to_wait(daemon, want):
    connection = stand(daemon, "b")
    own_program.send_set(connection, want, timeout=own_program.FOREVER, flags=own_program.PROGRESS)
    answer = connection.receive(locks.TIMEOUT)
    assert answer.type == wire.Type.MESSAGE, answer
    return connection, own_program.read_waiting(answer).text


def granted(connection, timeout):
    """When it came, or None."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        answer = connection.receive(max(0, end - time.monotonic()))
        if answer.outcome == "silence":
            return None
        if answer.type == wire.Type.REPLY:
            answer = own_program.read_set(answer)
            granted_it = isinstance(answer, own_program.Set) and answer.granted
            return time.monotonic() if granted_it == own_program.GRANTED else None
    return None


def wait(report, label, b, daemon, place, want, let_go, again, patience):
    """Waits quietly, then until a has let go."""
    first = lock_requests(b, place)
    connection, words = begin_to_wait(daemon, want)
    # It is asked for once more by the helper, which takes its time to start.
    time.sleep(2)
    before = lock_requests(b, place)
    report.check(f"{label}: b has asked for it", before > first, before)
    quiet = connection.receive(QUIET).outcome == "silence"
    report.value(f"{label}: asked", lock_requests(b, place) - before)
    report.check(f"{label}: b waits while a has it", quiet)
    released = let_go()
    got = granted(connection, patience)
    report.check(f"{label}: b gets it", got, words)
    report.value(f"{label}: after", got and round(got - released, 3))
    report.event(f"{label}: after {got and got - released} s; {words}")
    report.check(f"{label}: b is named to other hosts", " b (pid" in again(), again())
    connection.close()


def release_by(connection, name, space=""):
    def let_go():
        answer = connection.release(name, space)
        assert answer.ok, answer
        return time.monotonic()
    return let_go


def refusal_of(connection, name, space=""):
    """What a's daemon says when it is asked for the same again."""
    def again():
        answer = connection.acquire(name, space, wire.AUTOCREATE if space else 0)
        return str(answer.error and answer.error.message)
    return again


def between_daemons(report, hosts, served):
    for version in VERSIONS:
        place = place_of(version)
        for host in hosts.values():
            host.mount(f"vers={version}", place)
        path = f"{place}/disk{version}"
        with open(f"{nfs.EXPORT}/disk{version}", "wb") as image:
            image.truncate(1 << 20)
        holder = stand(served["a"], "a")
        answer = holder.acquire(path)
        report.check(f"{version}: a has it", answer.ok, answer)
        wait(report, version, hosts["b"], served["b"], place, own_program.want(path),
             release_by(holder, path), refusal_of(holder, path), LATE)


def stand_in(report, hosts, served):
    place = place_of("4.2")
    space, name = f"{place}/leases", locks.NAMES["file"]
    holder = stand(served["a"], "a")
    assert holder.create_lockspace(space).ok
    with stand(served["b"], "b") as other:
        assert other.create_lockspace(space).ok
    answer = holder.acquire(name, space, wire.AUTOCREATE)
    report.check("stand-in: a has it", answer.ok, answer)
    wait(report, "stand-in", hosts["b"], served["b"], place,
         own_program.want(name, space, wire.AUTOCREATE), release_by(holder, name, space),
         refusal_of(holder, name, space), LATE)


def behind_virtlockd(report, hosts, served):
    place = place_of("4.2")
    path = f"{place}/stock.img"
    with open(f"{nfs.EXPORT}/stock.img", "wb") as image:
        image.truncate(1 << 20)
    holder = locks.Holder(hosts["a"], hosts["a"].virtlockd(), "", path)
    answer = holder.acquire()
    report.check("virtlockd: a has it", answer.ok, answer)
    wait(report, "virtlockd", hosts["b"], served["b"], place, own_program.want(path),
         release_by(holder.connection, path), refusal_of(stand(served["a"], "a"), path), LATE)


def behind_the_dead(report, hosts, served):
    path = f"{place_of('4.2')}/dead.img"
    with open(f"{nfs.EXPORT}/dead.img", "wb") as image:
        image.truncate(1 << 20)
    holder = stand(served["a"], "a")
    answer = holder.acquire(path)
    report.check("death: a has it", answer.ok, answer)
    connection, words = begin_to_wait(served["b"], own_program.want(path))
    began = time.monotonic()
    hosts["a"].cut()
    got = granted(connection, EXPIRED)
    report.check("death: b gets it", got, words)
    report.value("death: after", got and round(got - began, 1))
    report.event(f"death: after {got and got - began} s")
    hosts["a"].heal()


def run(report):
    _, hosts = nfs.setup("ab")
    served = {name: host.holdfastd() for name, host in hosts.items()}
    report.event("two hosts have mounted, two daemons answer")
    between_daemons(report, hosts, served)
    stand_in(report, hosts, served)
    behind_virtlockd(report, hosts, served)
    behind_the_dead(report, hosts, served)
