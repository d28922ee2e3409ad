# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who holds it, as another host tells: a and b have holdfastd, s has stock virtlockd."""

import json
import os
import signal

from hftest import command
from lab.inside import locks, nfs
from lab.inside.report import until

IMAGE = f"{nfs.MOUNT}/disk.img"
BESIDE = f"{nfs.EXPORT}/.holdfast/disk.img.holder"
SPACE = f"{nfs.MOUNT}/space"
NAME = locks.NAMES["file"]
STAND_IN = f"{SPACE}/{NAME}"
RECORD_SIZE = 512
NOBODY = 1
HELD = 75


def size_of(path):
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return None


def told(cli, path):
    """(exit status, holders) of who."""
    answer = cli("who", "--json", path)
    if not answer.stdout:
        return answer.returncode, []
    return answer.returncode, json.loads(answer.stdout)["holders"]


def names(holder, kind, vm):
    return (holder["kind"], holder["name"], holder["host"]) == (kind, vm, "a") and \
        holder["guarantee"] == "cluster-advisory"


def direct(report, clis):
    """A disk that a's `holdfast run` has locked."""
    vm = clis["a"].hold("web1", f"--disk={IMAGE}")
    locked = clis["a"].vms()["web1"]["locks"][0]
    report.check("ps says cluster-advisory of a lock on NFS",
                 locked["guarantee"] == "cluster-advisory" and "vers=4.2" in
                 locked["guarantee_reason"], locked)
    report.check("a record is beside a locked disk", size_of(BESIDE) == RECORD_SIZE)
    answer = clis["b"]("run", "--name=web2", f"--disk={IMAGE}", "--", "true")
    report.check("direct: the refusal at the other host names VM and host",
                 answer.returncode == HELD and "web1" in answer.stderr and
                 "host a" in answer.stderr, answer)
    answer = clis["b"]("check", "--name=web2", f"--disk={IMAGE}", "--", "true")
    report.check("direct: so does check",
                 answer.returncode == HELD and "web1" in answer.stderr and
                 "host a" in answer.stderr and "cluster-advisory" in answer.stdout, answer)
    status, holders = told(clis["b"], IMAGE)
    report.check("direct: so does who", status == 0 and len(holders) == 1 and
                 names(holders[0], "elsewhere", "web1"), (status, holders))
    status, holders = told(clis["a"], IMAGE)
    report.check("at its own host it is a VM of the daemon", status == 0 and
                 [h["kind"] for h in holders] == ["vm"], holders)
    command.end(vm)
    until(lambda: size_of(BESIDE) is None, "the record goes")
    status, holders = told(clis["b"], IMAGE)
    report.check("direct: a release clears the record", status == NOBODY and not holders,
                 (status, holders))


def local(report, host, cli):
    path = f"{host.folder}/local.img"
    with open(path, "wb"):
        pass
    vm = cli.hold("web3", f"--disk={path}")
    locked = cli.vms()["web3"]["locks"][0]
    report.check("ps says host of a lock on tmpfs", locked["guarantee"] == "host" and
                 "tmpfs" in locked["guarantee_reason"], locked)
    report.check("a local lock has no record", not os.path.exists(f"{host.folder}/.holdfast"))
    command.end(vm)


def indirect(report, hosts, served, clis):
    """A stand-in in a lockspace, as libvirt's clients ask for it."""
    a, b = (locks.Holder(hosts[h], served[h], SPACE, NAME) for h in "ab")
    answer = a.acquire()
    report.check("a stand-in is granted", answer.ok, answer)
    report.check("the record is in the stand-in",
                 size_of(f"{nfs.EXPORT}/space/{NAME}") == RECORD_SIZE)
    answer = b.acquire()
    words = answer.error.message if answer.error else ""
    report.check("lockspace: the refusal at the other host names VM and host",
                 locks.refused(answer) and a.vm.owner.name in words and "host a" in words and
                 "on another host, as its record says" in words, answer)
    status, holders = told(clis["b"], STAND_IN)
    report.check("lockspace: so does who", status == 0 and len(holders) == 1 and
                 names(holders[0], "elsewhere", a.vm.owner.name), (status, holders))
    answer = a.release()
    status, holders = told(clis["b"], STAND_IN)
    report.check("lockspace: a release clears the record", answer.ok and
                 size_of(f"{nfs.EXPORT}/space/{NAME}") == 0 and status == NOBODY and not holders,
                 (answer, status, holders))
    for holder in (a, b):
        holder.leave()


def stock(report, hosts, served, clis):
    s, b = (locks.Holder(hosts[h], served[h], SPACE, NAME) for h in "sb")
    answer = s.acquire()
    report.check("virtlockd gets it", answer.ok, answer)
    answer = b.acquire()
    words = answer.error.message if answer.error else ""
    report.check("who holds it through virtlockd is an unknown party",
                 locks.refused(answer) and "unknown party" in words and "virtlockd" in words,
                 answer)
    status, holders = told(clis["b"], STAND_IN)
    report.check("for who, too", status == 0 and [h["kind"] for h in holders] == ["unknown"],
                 (status, holders))
    for holder in (s, b):
        holder.leave()


def kill_all(host, daemon, holder):
    """Daemon and VM of a host at once, so that nobody clears anything."""
    for pid in (daemon.pid, daemon.server_pid):
        os.kill(pid, signal.SIGSTOP)
    holder.leave()
    for pid in (daemon.server_pid, daemon.pid):
        os.kill(pid, signal.SIGKILL)


def stale(report, hosts, served, clis):
    a, b = (locks.Holder(hosts[h], served[h], SPACE, NAME) for h in "ab")
    name = a.vm.owner.name
    answer = a.acquire()
    report.check("a has it before all dies", answer.ok, answer)
    kill_all(hosts["a"], served["a"], a)
    until(lambda: told(clis["b"], STAND_IN)[0] == NOBODY, "nobody holds it")
    status, holders = told(clis["b"], STAND_IN)
    report.check("who tells of the last holder when all of its host's has died, and ends with 1",
                 status == NOBODY and len(holders) == 1 and names(holders[0], "last", name),
                 (status, holders))
    answer = clis["b"]("who", STAND_IN)
    report.check("in words as well", "last holder" in answer.stdout and name in answer.stdout,
                 answer)
    answer = b.acquire()
    report.check("a record without a lock keeps nobody off", answer.ok, answer)
    status, holders = told(clis["b"], STAND_IN)
    report.check("the new holder's record takes its place", status == 0 and
                 holders[0]["name"] == b.vm.owner.name, holders)
    b.leave()


def again(report, hosts, served, clis):
    """The daemon dies as a whole, and is started again while the VM lives."""
    daemon, a = served["a"], locks.Holder(hosts["a"], served["a"], SPACE, NAME)
    path = f"{nfs.EXPORT}/space/{NAME}"
    answer = a.acquire()
    before = read(path)
    daemon.kill()
    daemon.start()
    status, holders = told(clis["b"], STAND_IN)
    report.check("a lock that is taken again has a record of the new daemon",
                 answer.ok and status == 0 and names(holders[0], "elsewhere", a.vm.owner.name)
                 and read(path) != before, (answer, status, holders))
    os.kill(daemon.server_pid, signal.SIGKILL)
    a.leave()
    until(lambda: size_of(path) == 0, "the record goes with the VM")
    status, holders = told(clis["b"], STAND_IN)
    report.check("a server that follows a killed one clears its records",
                 status == NOBODY and not holders, (status, holders))


def read(path):
    with open(path, "rb") as record:
        return record.read()


def run(report):
    _, hosts = nfs.setup("abs")
    with open(f"{nfs.EXPORT}/disk.img", "wb") as image:
        image.truncate(1 << 20)
    served = {"a": hosts["a"].holdfastd(), "b": hosts["b"].holdfastd(),
              "s": hosts["s"].virtlockd()}
    clis = {h: hosts[h].cli(served[h]) for h in "ab"}
    report.event("three daemons answer")
    indirect(report, hosts, served, clis)
    report.event("indirect: done")
    direct(report, clis)
    report.event("direct: done")
    local(report, hosts["a"], clis["a"])
    stock(report, hosts, served, clis)
    report.event("virtlockd: done")
    again(report, hosts, served, clis)
    report.event("recovery: done")
    stale(report, hosts, served, clis)
    for host in hosts.values():
        host.close()
