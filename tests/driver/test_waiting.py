# SPDX-License-Identifier: LGPL-2.1-or-later
"""Programs that wait in line for a VM's disks, and clients, through the library."""

import errno
import os

import pytest

from hftest.processes import until

SYSTEM, INVALID, BUSY, UNSUPPORTED = 1, 2, 3, 8
CLIENT = 2


def tickets(peer):
    return {w["ticket"] for w in peer.waiters()["waiters"]}


def in_line(peer, n):
    until(lambda: len(tickets(peer)) == n, f"{n} wait in line")


@pytest.fixture
def client(peer):
    """A program that is no VM, with the given disks."""
    def make(daemon, name, *disks, flags=0, **how):
        made = peer({"HOLDFAST_RUN_DIR": daemon.run_dir})
        made.must("new", name=name, driver="lockd", flags=CLIENT, **how)
        for path in disks:
            made.must("disk", what="add", path=path, flags=flags)
        return made
    return make


def test_a_start_waits_and_tells_for_whom(daemon, vmm, client, image):
    holder = vmm(daemon, "web0", image("b"))
    holder.must("start")
    vm = vmm(daemon, "web1", image("a"), image("b"), wait_ms=-1)
    vm.begin("start")
    in_line(holder, 1)
    [_, entry] = sorted(holder.waiters()["waiters"], key=lambda w: w["name"])
    assert (entry["name"], entry["vm"]["name"], entry["vm"]["pid"]) == (image("b"), "web1", vm.pid)
    assert entry["until"] == 2 ** 64 - 1 and not entry["metadata"]
    holder.process.kill()
    assert vm.answer("start")["r"] == 0
    [told] = vm.waits()["said"]
    assert (told["position"], told["resource"]) == (1, image("b"))
    assert (told["holder"]["name"], told["holder"]["pid"]) == ("web0", holder.pid)
    assert told["since"] > 0 and "web0" in told["text"]
    assert {found["name"] for found in vm.locks()["locks"]} == {image("a"), image("b")}
    assert vm.guarantee()["name"] == "host"


def test_a_wait_that_runs_out_is_busy_and_names_the_holder(daemon, vmm, image):
    holder = vmm(daemon, "web0", image())
    holder.must("start")
    vm = vmm(daemon, "web1", image(), wait_ms=200)
    answer = vm.start()
    assert (answer["r"], answer["code"]) == (-errno.EBUSY, BUSY)
    assert "web0" in answer["text"] and "waited 0.2 s for it" in answer["text"]
    assert vm.refusal()["name"] == "web0" and vm.refusal()["resource"] == image()
    assert not tickets(vm) and vm.pid


def test_the_time_of_waiting_is_none_of_the_calls_own(daemon, vmm, image):
    holder = vmm(daemon, "web0", image())
    holder.must("start")
    vm = vmm(daemon, "web1", image(), wait_ms=-1, timeout_ms=400)
    vm.begin("start")
    in_line(holder, 1)
    assert not vm.has_answered(0.5)
    holder.process.kill()
    assert vm.answer("start")["r"] == 0


def test_a_resume_waits_and_the_vm_that_waits_goes_on(daemon, vmm, manager, image):
    vm = vmm(daemon, "web0", image())
    vm.must("start")
    manager(daemon, "web0", vm, image()).must("pause")
    other = vmm(daemon, "other", image())
    other.must("start")
    resumes = manager(daemon, "web0", vm, image(), wait_ms=-1)
    resumes.begin("resume")
    in_line(other, 1)
    other.process.kill()
    assert resumes.answer("resume")["r"] == 0
    [found] = vm.locks()["locks"]
    assert found["vm"]["pid"] == vm.pid


def test_who_has_locks_may_not_wait_for_more(daemon, vmm, manager, image):
    vm, other = vmm(daemon, "web0", image("a")), vmm(daemon, "other", image("b"))
    vm.must("start")
    other.must("start")
    plugs = manager(daemon, "web0", vm, wait_ms=-1)
    answer = plugs.disk(what="attach", path=image("b"))
    assert answer["r"] == -errno.EDEADLK, answer
    # What is free it gets.
    plugs.must("disk", what="attach", path=image("c"))
    assert {found["name"] for found in vm.locks()["locks"]} >= {image("a"), image("c")}


def test_a_stock_daemon_cannot_let_anybody_wait(virtlockd, vmm, image):
    daemon = virtlockd()
    vmm(daemon, "web0", image(), wait_ms=-1).must("start")
    answer = vmm(daemon, "web1", image(), wait_ms=-1).start()
    assert (answer["r"], answer["code"]) == (-errno.EOPNOTSUPP, UNSUPPORTED)
    assert image() in answer["text"] and "libvirt's virtlockd" in answer["text"]


def test_a_client_gives_back_by_closing_and_nobody_is_killed(daemon, vmm, client, image):
    one = client(daemon, "backup", image())
    fd = one.must("start")["fd"]
    [found] = one.locks()["locks"]
    assert (found["vm"]["name"], found["vm"]["pid"], found["vm"]["client"]) == (
        "backup", one.pid, 1)
    one.close(fd=fd)
    until(lambda: not one.locks()["locks"], "the lock was given back")
    # And again, with nothing left over of the first time.
    before = one.open_fds()["r"]
    one.close(fd=one.must("start")["fd"])
    assert one.open_fds()["r"] == before
    until(lambda: not one.locks()["locks"], "the lock was given back again")
    vmm(daemon, "vm", image()).must("start")


def test_clients_of_one_process_stand_against_each_other(daemon, client, image):
    one = client(daemon, "backup", image())
    one.must("start")
    assert one.start()["r"] == -errno.EBUSY


def test_a_client_has_a_start_alone(daemon, client, image):
    one = client(daemon, "backup", image())
    for answer in (one.pause(), one.resume(), one.disk(what="attach", path=image("b")),
                   one.disk(what="detach", path=image())):
        assert (answer["r"], answer["code"]) == (-errno.EOPNOTSUPP, UNSUPPORTED)
        assert "is no VM" in answer["text"]


def test_a_stock_daemon_serves_no_client(virtlockd, client, image):
    answer = client(virtlockd(), "backup", image()).start()
    assert (answer["r"], answer["code"]) == (-errno.EOPNOTSUPP, UNSUPPORTED)


def test_a_client_without_locks_needs_no_more_than_the_driver_nop(peer):
    one = peer({})
    one.must("new", name="backup", driver="nop", flags=CLIENT, wait_ms=-1)
    one.must("disk", what="add", path="/nowhere")
    assert one.must("start")["fd"] == -1


def test_params_of_an_older_program_do_not_wait(daemon, vmm, peer, image):
    """Who knows nothing of waiting has a shorter struct; what lies behind it is not looked at."""
    vmm(daemon, "web0", image()).must("start")
    old = peer({"HOLDFAST_RUN_DIR": daemon.run_dir})
    old.must("new", name="old", driver="lockd", wait_ms=-1, size=old.size_of_params()["without_wait"])
    old.must("disk", what="add", path=image())
    assert old.start()["r"] == -errno.EBUSY


@pytest.mark.parametrize("kill", ["server", "all"])
def test_who_waits_gets_it_whatever_becomes_of_the_daemon(daemon, vmm, image, kill):
    holder = vmm(daemon, "web0", image())
    holder.must("start")
    vm = vmm(daemon, "web1", image(), wait_ms=-1)
    vm.begin("start")
    in_line(holder, 1)
    if kill == "server":
        os.kill(daemon.server_pid, 9)
        until(lambda: holder.waiters()["r"] >= 0 and len(tickets(holder)) == 1, "it is back")
        holder.process.kill()
        assert vm.answer("start")["r"] == 0
    else:
        daemon.kill()
        answer = vm.answer("start")
        assert answer["r"] == -errno.ECONNRESET and "closed the connection" in answer["text"]
