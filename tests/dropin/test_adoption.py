# SPDX-License-Identifier: LGPL-2.1-or-later
"""A host with running domains goes from stock virtlockd to holdfastd and back.

libvirtd is never restarted and told nothing. Somebody who wants the disks tries to lock them all
the time, by turns with both kinds of locks.
"""
import json

import pytest

from hftest.competitor import Competitor

from .conftest import Keeper, borrowed
from .lab import (BUILD, HOLDFAST, HOLDFAST_ENVIRONMENT, STOCK, Disk, SystemLab, lock_on,
                  make_disk)
from .words import names

OURS = BUILD / "src/daemon/holdfastd"
# The other mode has one test here, and the lab (tests/lab/test_switching.py).
direct = pytest.mark.parametrize("mode", ["direct"], indirect=True, scope="session")
# How often the competitor has to have tried before anything is said about what it got.
TRIES = 1000


class Host(SystemLab):
    """A host whose lock daemon changes while domains run."""

    def adopt(self, *words):
        """Runs holdfast adopt, which has to succeed; what it said."""
        done = self.ns.run([HOLDFAST, "adopt", *words], deadline_s=120,
                           env={**HOLDFAST_ENVIRONMENT, "HOLDFAST_DAEMON": str(OURS)})
        assert done.returncode == 0, done.stderr
        return done.stdout

    def program(self):
        """What the lock daemon is just now."""
        return (self.inside(f"/proc/{self.daemon_pid()}") / "exe").readlink().name

    def daemon_pid(self):
        return int(self.inside("/run/virtlockd.pid").read_text())

    def shown(self, vm):
        """What our daemon says of a domain."""
        done = self.holdfast("ps", "--json")
        assert done.returncode == 0, done.stderr
        return [shown for shown in json.loads(done.stdout)["vms"] if shown["name"] == vm.name]


@pytest.fixture(scope="module")
def host_keeper(machine, cluster, cache, tmp_path_factory):
    keeper = Keeper(lambda: Host(tmp_path_factory.mktemp("host"), STOCK, cluster, cache))
    yield keeper
    keeper.close()


@pytest.fixture
def host(request, host_keeper):
    """A host with stock virtlockd, which it has again afterwards."""
    lab = borrowed(request, "host", host_keeper)
    yield lab
    lab.forget_vms()
    lab.adopt("--back")
    assert lab.healthy() and lab.program() == "virtlockd"


@pytest.fixture
def disks(tmp_path):
    return [make_disk(tmp_path / f"disk{n}.raw") for n in range(2)]


def unharmed(*vms):
    """What cannot be said of a domain that was paused or started again meanwhile."""
    return [(vm.pid, vm.lab.virsh("domstate", "--reason", vm.name).strip()) for vm in vms]


def test_domains_run_on_and_nobody_else_gets_their_disks(host, nursery, disks):
    vms = [host.started(disk) for disk in disks]
    before, pid = unharmed(*vms), host.daemon_pid()
    competitor = Competitor(nursery, [str(host.lock_file(disk)) for disk in disks])
    for words, program in (([], "holdfastd"), (["--back"], "virtlockd"), ([], "holdfastd")):
        assert "all its locks (2) are held as before" in host.adopt(*words)
        assert host.program() == program
        assert competitor.tries(TRIES) == {}
        assert unharmed(*vms) == before
        assert host.daemon_pid() == pid
    competitor.stop()
    assert all(len(host.shown(vm)) == 1 for vm in vms)


@direct
def test_a_dry_run_changes_nothing_and_says_that_it_is_safe(host, disks):
    vm = host.started(disks[0])
    before = unharmed(vm)
    said = host.adopt("--dry-run")
    assert str(host.lock_file(disks[0])) in said and "It can be done." in said
    assert host.program() == "virtlockd" and unharmed(vm) == before


@direct
@pytest.mark.parametrize("there_and_back", [False, True], ids=["ours", "stock again"])
def test_what_comes_next_behaves(host, disks, there_and_back):
    first, second = host.started(disks[0]), host.started(disks[1])
    host.adopt()
    if there_and_back:
        host.adopt("--back")
    third = host.vm(disks[0])
    said = third.refused_start()
    assert there_and_back or names(said, first)
    first.suspend()
    assert host.lock(disks[0]) is None
    first.resume()
    assert host.lock(disks[0]) == "exclusive"
    assert (first.state, second.state) == ("running", "running")
    first.destroy()
    host.until_free(disks[0])
    third.start()
    assert host.lock(disks[0]) == "exclusive"
    second.die()
    host.until_free(disks[1])


@direct
def test_a_paused_domain_resumes_under_the_other_daemon(host, disks):
    first, second = host.started(disks[0]), host.vm(disks[0])
    first.suspend()
    host.adopt()
    second.start()
    first.refused_resume()
    host.adopt("--back")
    first.refused_resume()
    second.destroy()
    host.until_free(disks[0])
    first.resume()
    assert host.lock(disks[0]) == "exclusive"


@direct
def test_a_disk_that_two_share_stays_shared(host, disks):
    vms = [host.started(Disk(disks[0], shareable=True)) for _ in range(2)]
    host.adopt()
    assert host.lock(disks[0]) == "shared"
    vms[0].destroy()
    host.vm(disks[0]).refused_start()
    host.adopt("--back")
    assert lock_on(host.lock_file(disks[0])) == "shared"
    vms[1].destroy()
    host.until_free(disks[0])
