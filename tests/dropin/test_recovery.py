# SPDX-License-Identifier: LGPL-2.1-or-later
"""The lock daemon is killed, stopped or replaced below running domains."""
from signal import SIGKILL, SIGTERM, SIGUSR1

import pytest

from .words import names

LOSES = "virtlockd ends every domain when it is stopped, and knows no lock after a crash"

# Of a daemon that has a supervisor and a server.
WAYS = {
    "server killed": lambda lab: lab.replace_daemon(SIGKILL, 1),
    "supervisor killed": lambda lab: lab.replace_daemon(SIGKILL, 0),
    "upgraded": lambda lab: lab.replace_daemon(SIGUSR1, 0),
    "all killed": lambda lab: lab.restart_daemon(SIGKILL),
    "stopped": lambda lab: lab.restart_daemon(SIGTERM),
}


@pytest.fixture(params=WAYS)
def ended(request, lab):
    """Ends the daemon in one of its ways; another one serves afterwards."""
    if len(lab.daemon_processes()) == 1 and request.param not in ("all killed", "stopped"):
        pytest.skip("virtlockd is one process")
    return lambda: WAYS[request.param](lab)


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
    lab.restart_daemon(SIGKILL, meanwhile=vm.die)
    lab.until_free(disk)
    lab.started(disk)
