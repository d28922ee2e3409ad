# SPDX-License-Identifier: LGPL-2.1-or-later
"""Hosts of a sanlock cluster that die: when their leases can be had, and what is said meanwhile.

Each host is a sanlock daemon, and dies by SIGKILL or stands still by SIGSTOP; its VMs live on, since
there is no watchdog that would reset it. With an I/O timeout of 1 s a lease can be had 68 s after
its host was last seen. All that is judged here happens at the same time, in clusters of their own.
"""

import concurrent.futures
import os
import re
import stat
import time

import pytest

from dropin.sanlock_host import LibvirtHost

from hftest import processes, sanlock
from hftest.processes import until

BUSY = 3
# Seconds: 8i + 60 after the last renewal that was seen, which may be 2i old; and what sanlock
# and a busy machine add to it.
EARLIEST, LATEST = 68 - 3, 68 + 15
GIVE_UP = 120
# Between two tries, and how long one may take: nobody waits for a host that fails.
PAUSE, PROMPT = 0.5, 5.0

pytestmark = pytest.mark.timeout(300)


class Course:
    """What happened in one cluster, by the clock."""

    def __init__(self, name):
        self.name = name
        self.begin = time.monotonic()
        self.events = []
        self.seen = {}

    @property
    def now(self):
        return time.monotonic() - self.begin

    def note(self, what, **values):
        self.events.append(f"  {self.now:6.1f} s  {what}")
        self.seen.update(values)

    def text(self):
        return "\n".join(self.events)


class Try:
    """One start that was tried."""

    def __init__(self, course, vm):
        self.at = course.now
        self.answer = vm.start()
        self.took = course.now - self.at
        self.holder = vm.refusal() if self.answer["r"] < 0 else {}


def try_until_granted(course, vm):
    """All tries; the last one is the one that was granted."""
    tries = []
    while not tries or tries[-1].answer["r"] < 0:
        assert course.now < GIVE_UP, f"never granted: {tries[-1].answer}"
        tries.append(Try(course, vm))
        words = tries[-1].holder.get("state", "granted")
        if len(tries) < 2 or kind(words) != kind(tries[-2].holder["state"]):
            course.note(words)
        time.sleep(PAUSE)
    course.seen.update(tries=tries, granted=tries[-1].at)


def kind(words):
    """The same for all that differ in a number of seconds only."""
    return re.sub(r"\d+ s", "N s", words)


def ended(vm):
    return vm.process.poll() is not None


def killed(nursery):
    """The daemon of a host is killed, and does not come back."""
    cluster = sanlock.Cluster(nursery)
    lost, alive = cluster.hosts
    disk = cluster.disk()
    vm = lost.started("web", disk)
    other = alive.vm("next", disk)
    cluster.wait_until_live()
    course = Course("a host that is killed")
    lost.kill()
    course.note("host 1 is killed")
    try_until_granted(course, other)
    course.note("its VM", vm_lived_on=not ended(vm), owner=alive.owner(disk),
                version=alive.version(disk), guarantee=other.guarantee()["name"])
    return course


def frozen(nursery):
    """The daemon of a host stands still for longer than the others wait."""
    cluster = sanlock.Cluster(nursery)
    lost, alive = cluster.hosts
    disk = cluster.disk()
    vm = lost.started("web", disk)
    other = alive.vm("next", disk)
    cluster.wait_until_live()
    course = Course("a host that stands still")
    lost.freeze()
    course.note("host 1 stands still")
    try_until_granted(course, other)
    course.note("host 1 goes on", vm_lived_on=not ended(vm))
    lost.thaw()
    until(lambda: ended(vm), "its VM is ended", 30)
    course.note("its VM is ended", owner=alive.owner(disk))
    return course


def returned(nursery):
    """The daemon is killed and started again at once, under its old name."""
    cluster = sanlock.Cluster(nursery)
    lost, alive = cluster.hosts
    disks = [cluster.disk(), cluster.disk()]
    vms = [lost.started(f"web{i}", disk) for i, disk in enumerate(disks)]
    course = Course("a host that comes back")
    lost.kill()
    course.note("host 1 is killed")
    lost.start()
    lost.join()
    course.note("host 1 is back", back=course.now)
    again = lost.vm("again", disks[0])
    course.note(f"host 1 starts: {again.must('start')['r']}", here=course.now)
    next_one = alive.vm("next", disks[1])
    try_until_granted(course, next_one)
    course.note("both are held", owners=[alive.owner(disk) for disk in disks],
                vms_lived_on=not any(ended(vm) for vm in vms))
    return course


def mixed(nursery):
    """The lockspace is made by our driver, and joined by real libvirtd's own plugin."""
    cluster = sanlock.Cluster(nursery, join=False, started=1)
    disk = cluster.disk()
    vm = cluster[0].started("web", disk)
    course = Course("a lockspace that libvirt joins")
    made = os.stat(cluster.lockspace)
    course.note("made", size=made.st_size, mode=stat.S_IMODE(made.st_mode))
    lab = LibvirtHost(cluster[1])
    try:
        course.note("libvirtd has joined")
        words = lab.vm(disk).refused_start()
        course.note(words.strip().splitlines()[-1], holds=cluster[0].holds(vm.pid), disk=disk)
    finally:
        lab.close()
    return course


COURSES = {"killed": killed, "frozen": frozen, "returned": returned}
if os.geteuid() == 0:
    COURSES["mixed"] = mixed


@pytest.fixture(scope="module")
def courses():
    """All of them, begun at the same time."""
    nursery = processes.Nursery()
    try:
        # What a thread starts ends with the thread: they are kept until all is over.
        with concurrent.futures.ThreadPoolExecutor(len(COURSES)) as pool:
            running = {name: pool.submit(course, nursery) for name, course in COURSES.items()}
            done = {name: future.result() for name, future in running.items()}
        for course in done.values():
            print(f"time line of {course.name}:\n{course.text()}")
        yield done
    finally:
        nursery.close()


@pytest.mark.parametrize("which", ["killed", "frozen"])
def test_a_lost_hosts_lease_is_had_after_its_time_and_not_before(courses, which):
    assert EARLIEST <= courses[which].seen["granted"] <= LATEST


@pytest.mark.parametrize("which", ["killed", "frozen"])
def test_until_then_each_try_is_refused_at_once(courses, which):
    *refused, _ = courses[which].seen["tries"]
    assert len(refused) > 20
    for one in refused:
        assert one.answer["code"] == BUSY, one.answer
        assert one.took < PROMPT, (one.at, one.took)


@pytest.mark.parametrize("which", ["killed", "frozen"])
def test_a_refusal_says_of_the_lost_host_when_its_leases_can_be_had(courses, which):
    seen = courses[which].seen
    *refused, _ = seen["tries"]
    first, last = refused[0], refused[-1]
    for one in (first, last):
        assert (one.holder["host_id"], one.holder["host"]) == (1, "alpha"), one.holder
    assert "alive" in first.holder["state"]
    said = [(one.at, seconds_in(one.holder["state"])) for one in refused
            if "lost" in one.holder["state"]]
    assert len(said) > 10
    for at, seconds in said:
        assert seconds is not None
        # What is said is the longest it may take.
        assert -5 <= at + seconds - seen["granted"] <= 15, (at, seconds, seen["granted"])


def seconds_in(words):
    """The number in "available in N s"; 0 where it says now."""
    before, found, after = words.partition("available in ")
    if found:
        return int(after.split()[0])
    return 0 if "available now" in words else None


def test_the_vm_of_a_lost_host_lives_on_and_nobody_calls_that_fenced(courses):
    """Without a watchdog two hosts have the disk then: the guarantee says what it is worth."""
    seen = courses["killed"].seen
    assert seen["vm_lived_on"] and seen["owner"] == 2 and seen["version"] == 2
    assert seen["guarantee"] == "cluster-advisory"


def test_a_host_that_stood_still_ends_the_vms_whose_leases_it_has_lost(courses):
    seen = courses["frozen"].seen
    assert seen["vm_lived_on"] and seen["owner"] == 2


def test_a_host_that_comes_back_has_its_leases_free_for_all_at_once(courses):
    seen = courses["returned"].seen
    assert seen["here"] < seen["back"] + 10
    assert seen["granted"] < seen["back"] + 20
    assert seen["owners"] == [1, 2]


def test_a_lockspace_that_our_driver_has_made_is_joined_by_libvirt(courses):
    """Which is refused the disk then; elsewhere it is libvirt that makes the lockspace."""
    if "mixed" not in courses:
        pytest.skip("needs root: libvirtd runs in private namespaces")
    seen = courses["mixed"].seen
    assert (seen["size"], seen["mode"]) == (1 << 20, 0o600)
    assert seen["holds"] == {sanlock.key_of(seen["disk"]): 1}
