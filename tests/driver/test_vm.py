# SPDX-License-Identifier: LGPL-2.1-or-later
"""The VM lock API with the driver lockd, on holdfastd and on a stock virtlockd."""

import os
import socket
import time

from hftest.processes import until

BUSY, INVALID, NO_DAEMON, UNSUPPORTED, SYSTEM, TIMEOUT = 3, 2, 4, 8, 1, 9
READONLY, SHARED = 1, 2


def is_free(vmm, daemon, path, flags=0):
    """Whether another VM gets that disk; it gives it back at once."""
    other = vmm(daemon, "probe", path, flags=flags)
    started = other.start()
    other.process.kill()
    other.process.wait(10)
    if started["r"] >= 0:
        return True
    assert started["code"] == BUSY, started
    return False


def test_a_started_vm_keeps_others_out_until_its_process_ends(either, vmm, image):
    first = vmm(either, "first", image())
    started = first.must("start")
    assert started["fd"] >= 3 and not started["cloexec"]
    refused = vmm(either, "second", image()).start()
    assert refused["r"] < 0 and refused["code"] == BUSY and image() in refused["text"]
    first.process.kill()
    first.process.wait(10)
    until(lambda: is_free(vmm, either, image()), "the disk is free again")


def test_holdfastd_names_the_holder_in_a_refusal(daemon, vmm, image):
    first = vmm(daemon, "first", image(), via="holdfast run")
    first.must("start")
    second = vmm(daemon, "second", image())
    refused = second.start()
    assert "first" in refused["text"] and str(first.pid) in refused["text"]
    holder = second.refusal()
    assert holder["r"] == 1
    assert holder["name"] == "first" and holder["pid"] == first.pid
    assert holder["via"] == "holdfast run" and holder["resource"] == image()
    assert holder["host"] == os.uname().nodename and holder["since"] > 10 ** 15
    older = second.refusal(of_first_version=True)
    assert older["name"] == "first" and not older["overrun"]
    assert second.guarantee()["name"] == "none" and first.guarantee()["name"] == "host"


def test_a_stock_daemon_refuses_without_a_name(virtlockd, vmm, image):
    stock = virtlockd()
    vmm(stock, "first", image()).must("start")
    second = vmm(stock, "second", image())
    assert second.start()["code"] == BUSY
    holder = second.refusal()
    assert holder["r"] == 1 and holder["name"] == "" and holder["resource"] == image()


def test_another_name_of_the_image_is_refused_by_holdfastd(daemon, vmm, image, folder):
    link, hard = os.path.join(folder, "link"), os.path.join(folder, "hard")
    os.symlink(image(), link)
    os.link(image(), hard)
    vmm(daemon, "first", image()).must("start")
    for path in (link, hard, os.path.join(folder, ".", "disk")):
        assert vmm(daemon, "second", path).start()["code"] == BUSY


def test_a_paused_start_locks_nothing_until_it_is_resumed_from_outside(either, vmm, manager, image):
    vm = vmm(either, "vm", image())
    vm.must("start", paused=True)
    assert is_free(vmm, either, image())
    outside = manager(either, "vm", vm, image())
    outside.must("resume")
    assert not is_free(vmm, either, image())
    outside.end()
    assert not is_free(vmm, either, image())


def test_pause_frees_everything_and_a_taken_disk_refuses_the_resume(either, vmm, manager, image):
    vm = vmm(either, "vm", image("a"), image("b"))
    vm.must("start", paused=True)
    outside = manager(either, "vm", vm, image("a"), image("b"))
    outside.must("resume")
    assert outside.must("pause")["state"] is None
    # Stock libvirt pauses twice; so may we.
    outside.must("pause")
    taker = vmm(either, "taker", image("b"))
    taker.must("start")
    assert outside.resume()["code"] == BUSY
    assert is_free(vmm, either, image("a"))
    taker.process.kill()
    taker.process.wait(10)
    until(lambda: is_free(vmm, either, image("b")), "the taker's disk is free")
    outside.must("resume")
    assert not is_free(vmm, either, image("a")) and not is_free(vmm, either, image("b"))


def test_a_refused_start_keeps_none_of_its_disks_and_its_process(either, vmm, image):
    vmm(either, "first", image("b")).must("start")
    second = vmm(either, "second", image("a"), image("b"))
    assert second.start()["code"] == BUSY
    assert is_free(vmm, either, image("a"))
    assert second.must("open_fds")["r"] > 0


def test_disks_are_plugged_and_unplugged_from_outside(either, vmm, manager, image):
    vm = vmm(either, "vm", image("a"))
    vm.must("start")
    outside = manager(either, "vm", vm, image("a"))
    outside.must("disk", what="attach", path=image("b"))
    assert not is_free(vmm, either, image("b"))
    assert outside.disk(what="attach", path=image("b"))["code"] == INVALID
    outside.must("disk", what="detach", path=image("b"))
    assert is_free(vmm, either, image("b")) and not is_free(vmm, either, image("a"))


def test_attaching_a_busy_disk_adds_nothing(either, vmm, manager, image):
    vmm(either, "first", image("b")).must("start")
    vm = vmm(either, "vm", image("a"))
    vm.must("start")
    outside = manager(either, "vm", vm, image("a"))
    assert outside.disk(what="attach", path=image("b"))["code"] == BUSY
    outside.must("pause")
    outside.must("resume")


def test_another_process_can_detach_what_it_did_not_attach(either, vmm, manager, image):
    vm = vmm(either, "vm", image("a"), image("b"))
    vm.must("start")
    manager(either, "vm", vm).must("disk", what="detach", path=image("b"))
    assert is_free(vmm, either, image("b")) and not is_free(vmm, either, image("a"))


def test_shared_disks_have_readers_and_no_writer(either, vmm, image):
    vmm(either, "one", image(), flags=SHARED).must("start")
    vmm(either, "two", image(), flags=SHARED | READONLY).must("start")
    assert vmm(either, "writer", image()).start()["code"] == BUSY


def test_readonly_alone_sends_nothing(either, vmm, image):
    vmm(either, "writer", image()).must("start")
    vmm(either, "reader", image(), flags=READONLY).must("start")


def test_a_lease_is_a_file_of_its_lockspace(either, vmm, folder):
    space = os.path.join(folder, "leases", "pool")
    os.makedirs(space)
    with open(os.path.join(space, "key"), "wb"):
        pass
    lease = {"what": "add", "lockspace": "pool", "key": "key",
             "path": os.path.join(folder, "leases")}
    first, second = vmm(either, "first"), vmm(either, "second")
    first.must("lease", **lease)
    first.must("start")
    second.must("lease", **lease)
    assert second.start()["code"] == BUSY
    first.process.kill()
    first.process.wait(10)
    until(lambda: second.start()["r"] >= 0, "the lease is free")


def test_leases_that_files_cannot_be_are_refused(daemon, vmm, folder):
    vm = vmm(daemon, "vm")
    vm.must("lease", what="add", lockspace=None, key="key", path=folder, offset=512)
    assert vm.start()["code"] == UNSUPPORTED
    for key in ("../key", "a/b", ".."):
        other = vmm(daemon, "other")
        other.must("lease", what="add", lockspace=None, key=key, path=folder)
        assert other.start()["code"] == INVALID


def test_the_vmm_itself_can_only_start(either, vmm, image):
    vm = vmm(either, "vm", image())
    vm.must("start")
    for verb in ("pause", "resume"):
        assert vm.ask(verb)["code"] == UNSUPPORTED
    assert not is_free(vmm, either, image())


def test_somebody_elses_process_cannot_start_it(daemon, manager, vmm, image):
    vm = vmm(daemon, "vm", image())
    assert manager(daemon, "vm", vm, image()).start()["code"] == INVALID


def test_a_missing_image_is_a_system_error_with_its_number(either, vmm, folder):
    refused = vmm(either, "vm", os.path.join(folder, "none")).start()
    assert refused["code"] == SYSTEM and refused["sys"] == 2 and "none" in refused["text"]


def test_without_a_daemon_the_error_says_where_it_looked(peer, folder, image):
    vm = peer({"HOLDFAST_RUN_DIR": folder})
    vm.must("new", name="vm", driver="lockd")
    vm.must("disk", what="add", path=image())
    refused = vm.start()
    assert refused["code"] == NO_DAEMON
    assert f"{folder}/holdfast/holdfast-sock" in refused["text"]
    assert f"{folder}/libvirt/virtlockd-sock" in refused["text"]


def test_a_daemon_whose_queue_is_full_is_waited_for_no_longer_than_said(peer, folder, image):
    """The kernel lets nobody connect to a stopped daemon once its queue is full."""
    os.makedirs(os.path.join(folder, "holdfast"))
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind(os.path.join(folder, "holdfast", "holdfast-sock"))
        listener.listen(0)
        first.connect(listener.getsockname())
        vm = peer({"HOLDFAST_RUN_DIR": folder})
        vm.must("new", name="web", driver="lockd", timeout_ms=300)
        vm.must("disk", what="add", path=image())
        before = time.monotonic()
        assert vm.start()["code"] == TIMEOUT
        assert time.monotonic() - before < 10


def test_relative_paths_and_unknown_flags_are_refused(daemon, vmm):
    vm = vmm(daemon, "vm")
    assert vm.disk(what="add", path="disk")["code"] == INVALID
    assert vm.disk(what="add", path="/disk", flags=64)["code"] == INVALID


def test_no_descriptor_is_left_by_any_call(either, vmm, manager, image):
    vm = vmm(either, "vm", image("a"))
    vm.must("start", paused=True)
    outside = manager(either, "vm", vm, image("a"))
    outside.must("resume")
    before = outside.must("open_fds")["r"]
    for _ in range(3):
        outside.must("pause")
        outside.must("resume")
        outside.must("inquire")
        outside.disk(what="attach", path="/does/not/exist")
    assert outside.must("open_fds")["r"] == before


def test_a_session_virtlockd_of_an_ordinary_user_serves(virtlockd, peer, image):
    user = 65534 if os.geteuid() == 0 else None
    stock = virtlockd(uid=user)
    path = image()
    if user:
        os.chown(path, user, user)
    env = {"XDG_RUNTIME_DIR": stock.directory, "XDG_CONFIG_HOME": stock.directory}
    env = env if user else {"HOLDFAST_RUN_DIR": stock.run_dir}
    first, second = peer(env, uid=user), peer(env, uid=user)
    for name, vm in (("first", first), ("second", second)):
        vm.must("new", name=name)
        vm.must("disk", what="add", path=path)
    first.must("start")
    assert second.start()["code"] == BUSY
