# SPDX-License-Identifier: LGPL-2.1-or-later
"""holdfastd, from its packages, as a service of a real systemd: whatever is done to the service,
VMs run on, locked."""

import os

import pytest

from . import packages
from .guest import TEST_LIMIT

TIMEOUT = 900
pytestmark = pytest.mark.timeout(TEST_LIMIT + TIMEOUT + packages.DEADLINE)


@pytest.fixture(scope="module")
def lab(guests):
    folder = os.path.join(guests.folder, "packages")
    os.mkdir(folder)
    arguments = packages.for_guest(guests.nursery, folder)
    result = guests.run("units", arguments, timeout=TIMEOUT, systemd=True)
    for name, value in result.values.items():
        print(f"{name}: {value}")
    return result


def test_the_drop_in_ends_no_virtlockd_that_runs_and_the_next_one_is_holdfastd(lab):
    lab.proves("a stock virtlockd that runs is not ended by the drop-in")
    lab.proves("a service that has turned its watchdog off is left alone")
    lab.proves("the next start is holdfastd's")
    lab.proves("the PID files name the supervisor")


@pytest.mark.parametrize("what", ["restart", "the supervisor killed", "the server killed",
                                  "all killed", "upgrade", "downgrade", "the server hangs"])
def test_vms_run_on_and_stay_locked(lab, what):
    lab.proves(f"{what}: the VMs run on")
    lab.proves(f"{what}: the VM of libvirt runs for libvirt")
    lab.proves(f"{what}: the disk of holdfast run was never free")
    lab.proves(f"{what}: no disk was ever free")


def test_stopped_and_started_vms_run_on_and_those_of_holdfast_run_stay_locked(lab):
    lab.proves("stopped, it leaves no process of its own")
    lab.proves("stop and start: the VMs run on")
    lab.proves("stop and start: the VM of libvirt runs for libvirt")
    lab.proves("stop and start: the disk of holdfast run was never free")
    if lab.values["preserved"]:
        lab.proves("stop and start: no disk was ever free")


def test_the_heir_of_a_killed_supervisor_is_the_services_main_process(lab):
    lab.proves("the heir is the service's main process")
    lab.proves("and the PID file names it")


def test_an_upgrade_is_no_restart_and_another_version_of_the_state_is_refused(lab):
    lab.proves("an upgrade is no restart")
    lab.proves("a program of another version is refused, and the old one serves on")


def test_a_server_that_hangs_is_replaced_by_its_supervisor(lab):
    lab.proves("a server that hangs is replaced by its supervisor, not by systemd")
    lab.proves("and that is said")


def test_after_all_that_locks_come_and_go_with_their_vms(lab):
    lab.proves("pause and resume give the lock back and take it again")
    lab.proves("the locks go with their VMs")


def test_each_service_is_started_by_its_socket_within_its_sandbox(lab):
    lab.proves("the service is not there before its first client")
    lab.proves("a first client starts it")
    lab.proves("it leaves the place of a stock virtlockd alone")
    lab.proves("and that can be started beside it")
    lab.proves("a VM gets its lock")
    lab.proves("the daemon of consoles answers")
    lab.proves("the helper of reservations is started by its socket")
    lab.proves("and may do in its sandbox what it has to")


def test_the_packages_go_with_all_that_runs_of_them(lab):
    if not lab.values["packaged"]:
        pytest.skip("no packages are made on this machine: the programs came from the build")
    lab.proves("removed, it leaves no daemon")
    lab.proves("and no unit")
