# SPDX-License-Identifier: LGPL-2.1-or-later
"""The lock daemon is killed or stopped below running domains, and started again."""
import pytest

from .words import names

LOSES = "virtlockd ends every domain when it is stopped, and knows no lock after a crash"


@pytest.fixture(params=["KILL", "TERM"])
def ended(request, lab):
    """Ends the daemon in one of two ways and starts another one."""
    def end():
        lab.restart_daemon(request.param)
    return end


@pytest.mark.stock_breaks(LOSES)
def test_a_domain_runs_on_and_keeps_its_disk(lab, disk, ended):
    vm, second = lab.started(disk), lab.vm(disk)
    ended()
    assert vm.state == "running"
    assert lab.lock(disk) == "exclusive"
    assert names(second.refused_start(), vm)
    assert vm.state == "running"


@pytest.mark.stock_breaks(LOSES)
def test_suspend_resume_and_destroy_work_afterwards_and_leave_nothing(lab, disk, ended):
    vm = lab.started(disk)
    ended()
    vm.suspend()
    assert lab.lock(disk) is None
    vm.resume()
    assert lab.lock(disk) == "exclusive"
    ended()
    vm.destroy()
    lab.until_free(disk)
    lab.started(disk)


@pytest.mark.stock_breaks(LOSES)
def test_a_domain_that_died_meanwhile_leaves_its_disk_free(lab, disk):
    vm = lab.started(disk)
    lab.restart_daemon("KILL", meanwhile=vm.die)
    lab.until_free(disk)
    lab.started(disk)
