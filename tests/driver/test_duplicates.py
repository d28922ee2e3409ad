# SPDX-License-Identifier: LGPL-2.1-or-later
"""The duplicates of its locks that a VM carries, and what becomes of a VM whose daemon is
replaced by another one."""

import os

import pytest
from hftest.files import lock_on_first_byte
from hftest.processes import until

BUSY, CONFIG = 3, 6


def carried(vm, path):
    """The VM's descriptors of a file: whether each goes through exec."""
    found = []
    for fd in os.listdir(f"/proc/{vm.pid}/fd"):
        if os.readlink(f"/proc/{vm.pid}/fd/{fd}") == path:
            with open(f"/proc/{vm.pid}/fdinfo/{fd}", encoding="ascii") as text:
                flags = int(text.read().split("flags:")[1].split()[0], 8)
            found.append(not flags & os.O_CLOEXEC)
    return found


@pytest.fixture
def configured(peer, folder):
    """A VM under a configuration file of its own."""
    def make(daemon, name, text, *disks, driver=None):
        path = os.path.join(folder, f"{name}.conf")
        with open(path, "w", encoding="ascii") as conf:
            conf.write(text)
        made = peer({"HOLDFAST_RUN_DIR": daemon.run_dir})
        made.must("new", name=name, config=path, driver=driver)
        for disk in disks:
            made.must("disk", what="add", path=disk, flags=0)
        return made
    return make


@pytest.mark.parametrize("driver", [None, "lockd"])
def test_a_vm_carries_duplicates_unless_it_is_told_not_to(daemon, configured, image, driver):
    for text, expected in (("", [True]), ("keep_descriptors = 1\n", [True]),
                           ("keep_descriptors = 0\n", [])):
        vm = configured(daemon, "vm", text, image(), driver=driver)
        vm.must("start")
        assert carried(vm, image()) == expected
        vm.process.kill()
        vm.process.wait(10)
        until(lambda: lock_on_first_byte(image()) == "unlocked", "the lock goes with the VM")


def test_a_switch_that_is_none_is_an_error(daemon, peer, folder):
    path = os.path.join(folder, "wrong.conf")
    with open(path, "w", encoding="ascii") as conf:
        conf.write("keep_descriptors = 2\n")
    for driver in (None, "lockd"):
        answer = peer({}).new(name="vm", config=path, driver=driver)
        assert answer["r"] < 0 and answer["code"] == CONFIG and "wrong.conf:1" in answer["text"]
    assert peer({}).new(name="vm", config=path, driver="nop")["r"] >= 0


def test_of_a_failed_start_nothing_is_carried(daemon, vmm, image):
    other = vmm(daemon, "other", image("taken"))
    other.must("start")
    vm = vmm(daemon, "vm", image("free"), image("taken"))
    assert vm.start()["code"] == BUSY
    assert carried(vm, image("free")) == carried(vm, image("taken")) == []
    assert lock_on_first_byte(image("free")) == "unlocked"


def test_a_stock_daemon_is_not_asked_for_any(virtlockd, vmm, image):
    vm = vmm(virtlockd(), "vm", image())
    vm.must("start")
    assert carried(vm, image()) == []


def test_a_pause_frees_what_the_vm_carries(daemon, vmm, manager, image):
    vm = vmm(daemon, "vm", image())
    vm.must("start")
    manager(daemon, "vm", vm, image()).must("pause")
    assert carried(vm, image()) and lock_on_first_byte(image()) == "unlocked"


def test_a_vm_whose_daemon_was_killed_is_paused_resumed_and_ends_as_any(daemon, vmm, manager, image):
    vm = vmm(daemon, "vm", image())
    vm.must("start")
    daemon.kill()
    daemon.start()
    assert vm.process.poll() is None
    manages = manager(daemon, "vm", vm, image())
    manages.must("pause")
    assert lock_on_first_byte(image()) == "unlocked"
    manages.must("resume")
    refused = vmm(daemon, "second", image()).start()
    assert refused["code"] == BUSY and str(vm.pid) in refused["text"]
    # What was locked anew is the daemon's alone; it is taken again as that of any client.
    daemon.kill()
    daemon.start()
    assert lock_on_first_byte(image()) == "write lock"
    vm.process.kill()
    vm.process.wait(10)
    until(lambda: lock_on_first_byte(image()) == "unlocked", "the lock goes with the VM")
