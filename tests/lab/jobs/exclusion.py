# SPDX-License-Identifier: LGPL-2.1-or-later
"""Three hosts on one export: a and b with holdfastd, s with stock virtlockd."""

import itertools

from hftest import command, wire
from lab.inside import locks, nfs

IMAGE = f"{nfs.MOUNT}/disk.img"


# Hosts in the order in which they ask. Names of the last two kinds differ by their form alone.
ALL = [*itertools.permutations("abs", 2)]
SOME = [("a", "b"), ("a", "s"), ("s", "a")]


def scenes():
    """(kind, lockspace, name, pairs)"""
    yield "direct", "", IMAGE, ALL
    for kind, name in locks.NAMES.items():
        yield f"{kind} lockspace", f"{nfs.MOUNT}/{kind}", name, ALL if kind == "file" else SOME


SENTENCES = ("granted to the first", "refused to the second", "the first gives it back",
             "granted to the second as soon as it was given back", "then refused to the first",
             "granted to the first soon after the second's VM has died")
SHARING = ("shared by both", "not for one alone while the other shares it")


def exclude(report, label, first, second):
    """What two VMs on two hosts see of one another; `first` holds first."""
    answer = first.acquire()
    report.check(f"{label}: granted to the first", answer.ok, answer)
    answer = second.acquire()
    report.check(f"{label}: refused to the second", locks.refused(answer), answer)
    answer = first.release()
    report.check(f"{label}: the first gives it back", answer.ok, answer)
    answer = second.acquire()
    if report.check(f"{label}: granted to the second as soon as it was given back", answer.ok,
                    answer):
        answer = first.acquire()
        report.check(f"{label}: then refused to the first", locks.refused(answer), answer)
    second.leave()
    took = locks.soon_granted(first)
    report.check(f"{label}: granted to the first soon after the second's VM has died",
                 took is not None, f"not within {locks.SOON} s")
    first.leave()


def share(report, label, first, second):
    answers = [holder.acquire(wire.SHARED) for holder in (first, second)]
    report.check(f"{label}: shared by both", all(a.ok for a in answers), answers)
    first.release()
    answer = first.acquire()
    report.check(f"{label}: not for one alone while the other shares it", locks.refused(answer),
                 answer)
    second.release()


def run_vms(report, first, second, label):
    """The same with `holdfast run` instead of a client that speaks virtlockd's protocol."""
    holder = first.hold("one", f"--disk={IMAGE}")
    answer = second("run", "--name=two", f"--disk={IMAGE}", "--", "true")
    report.check(f"run: {label} refuses the VM of the other host, and it does not start",
                 answer.returncode != 0 and IMAGE in answer.stderr, answer)
    command.end(holder)
    answer = second("run", "--name=two", f"--disk={IMAGE}", "--", "true")
    report.check(f"run: {label} starts it when the other is gone", answer.returncode == 0, answer)


def run(report):
    _, hosts = nfs.setup("abs")
    report.event("three hosts have mounted")
    with open(f"{nfs.EXPORT}/disk.img", "wb") as image:
        image.truncate(1 << 20)
    served = {"a": hosts["a"].holdfastd(), "b": hosts["b"].holdfastd(),
              "s": hosts["s"].virtlockd()}
    report.event("three daemons answer")
    for kind, space, name, pairs in scenes():
        for pair in pairs:
            holders = [locks.Holder(hosts[h], served[h], space, name) for h in pair]
            label = f"{kind}: {' then '.join(pair)}"
            share(report, label, *holders)
            exclude(report, label, *holders)
        report.event(f"{kind}: done")
    clis = {h: hosts[h].cli(served[h]) for h in "ab"}
    run_vms(report, clis["a"], clis["b"], "b")
    run_vms(report, clis["b"], clis["a"], "a")
    for host in hosts.values():
        host.close()
