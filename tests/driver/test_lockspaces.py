# SPDX-License-Identifier: LGPL-2.1-or-later
"""Lockspace directories: where the lock of a disk is then, and what the settings do."""

import hashlib
import os

import pytest
from hftest.files import lock_on_first_byte
from hftest.processes import until

SYSTEM, BUSY, CONFIG, UNSUPPORTED = 1, 3, 6, 8
READONLY, SHARED = 1, 2
LOCKS_IMAGES = 1


def name_of(path):
    return hashlib.sha256(path.encode()).hexdigest()


@pytest.fixture
def space(folder):
    return os.path.join(folder, "space")


@pytest.fixture
def vm_with(peer, folder):
    """Makes a VM object under settings of its own, with disks."""
    def make(daemon, text, name="vm", disks=(), flags=0, pid=0, vm_flags=0, **how):
        path = os.path.join(folder, f"{name}.conf")
        with open(path, "w", encoding="utf-8") as conf:
            conf.write(text)
        made = peer({"HOLDFAST_RUN_DIR": daemon.run_dir})
        made.must("new", name=name, config=path, pid=pid, flags=vm_flags, **how)
        for disk in disks:
            made.must("disk", what="add", path=disk, flags=flags)
        return made
    return make


def in_space(space):
    return f'file_lockspace_dir = "{space}"\n'


def test_the_lock_is_on_a_file_that_has_the_hash_of_the_path_and_goes_with_it(either, vm_with, image,
                                                                              space):
    first = vm_with(either, in_space(space), disks=[image()])
    first.must("start")
    stand_in = os.path.join(space, name_of(image()))
    assert os.listdir(space) == [name_of(image())]
    assert lock_on_first_byte(stand_in) == "write lock"
    assert lock_on_first_byte(image()) == "unlocked"
    refused = vm_with(either, in_space(space), "second", [image()]).start()
    assert refused["code"] == BUSY and image() in refused["text"]
    first.process.kill()
    first.process.wait(10)
    until(lambda: not os.listdir(space), "the file goes with the lock")
    vm_with(either, in_space(space), "third", [image()]).must("start")


def test_what_is_taken_in_a_directory_is_given_back_there(either, vm_with, image, space):
    vm = vm_with(either, in_space(space), disks=[image("a")])
    vm.must("start", paused=True)
    outside = vm_with(either, in_space(space), disks=[image("a")], pid=vm.pid)
    outside.must("resume")
    outside.must("disk", what="attach", path=image("b"))
    assert sorted(os.listdir(space)) == sorted(map(name_of, (image("a"), image("b"))))
    outside.must("disk", what="detach", path=image("b"))
    assert os.listdir(space) == [name_of(image("a"))]
    outside.must("pause")
    assert os.listdir(space) == []


def test_sharers_share_the_file_of_a_directory(either, vm_with, image, space):
    vms = [vm_with(either, in_space(space), name, [image()], flags=SHARED) for name in "ab"]
    for vm in vms:
        vm.must("start")
    assert lock_on_first_byte(os.path.join(space, name_of(image()))) == "read lock"
    assert vm_with(either, in_space(space), "alone", [image()]).start()["code"] == BUSY


def test_the_daemon_knows_the_disk_behind_the_hash(daemon, vm_with, peer, image, space, folder):
    vm_with(daemon, in_space(space), "web0", [image()]).must("start")
    link = os.path.join(folder, "link")
    os.symlink(image(), link)
    asks = peer({"HOLDFAST_RUN_DIR": daemon.run_dir})
    for path in (image(), link):
        [lock] = asks.must("who", path=path)["locks"]
        assert lock["lockspace"] == space and lock["name"] == name_of(image())
        assert lock["thing"]["ino"] == os.stat(image()).st_ino
        assert lock["vm"]["name"] == "web0"
    second = vm_with(daemon, in_space(space), "web1", [link])
    refused = second.start()
    assert refused["code"] == BUSY and "web0" in refused["text"] and link in refused["text"]
    assert second.refusal()["resource"] == link and second.refusal()["name"] == "web0"
    # The other kind of lock on the same disk, in both orders.
    assert vm_with(daemon, "", "direct", [image()]).start()["code"] == BUSY


def test_a_disk_that_is_locked_itself_is_not_locked_in_a_directory(daemon, vm_with, image, space):
    vm_with(daemon, "", "direct", [image()]).must("start")
    assert vm_with(daemon, in_space(space), "other", [image()]).start()["code"] == BUSY
    assert os.listdir(space) == []


def test_a_missing_directory_is_made_and_what_is_none_is_said_with_its_setting(either, vm_with,
                                                                              image, folder):
    deep = os.path.join(folder, "a", "b")
    vm_with(either, in_space(deep), "deep", [image()]).must("start")
    assert os.path.isdir(deep)
    for wrong in (image("file"), os.path.join(image("file"), "below")):
        vm = vm_with(either, in_space(wrong), "wrong", [image("other")])
        for verb in ("start", "inquire"):
            answer = vm.ask(verb)
            assert answer["code"] == UNSUPPORTED, answer
            assert wrong in answer["text"] and "file_lockspace_dir" in answer["text"]
        assert lock_on_first_byte(image("other")) == "unlocked"


@pytest.mark.parametrize("text", [
    'file_lockspace_dir = "relative"\n', 'lvm_lockspace_dir = ""\n', 'scsi_lockspace_dir = 1\n',
    'auto_disk_leases = 2\n', 'require_lease_for_disks = "yes"\n', 'auto_disk_leases = \n',
])
def test_a_setting_without_sense_makes_no_vm(peer, folder, text):
    path = os.path.join(folder, "wrong.conf")
    with open(path, "w", encoding="ascii") as conf:
        conf.write("\n" + text)
    answer = peer({}).new(name="vm", config=path)
    assert answer["r"] < 0 and answer["code"] == CONFIG, answer
    assert answer["text"].startswith(f"{path}:2: "), answer


def test_an_unknown_key_is_told_once_and_nothing_else_happens(daemon, vm_with, image, space):
    vm = vm_with(daemon, "on_lots = 1\n" + in_space(space) + "monitor = 1\n", disks=[image()])
    vm.must("start")
    [said] = vm.warnings()["said"]
    assert said.endswith('vm.conf:1: unknown key "on_lots"')
    assert os.listdir(space) == [name_of(image())]


@pytest.mark.parametrize("text, wanted", [("", 1), ("monitor = 0\n", 0), ("monitor = 1\n", 1)])
def test_whether_a_vmm_is_given_a_monitor_is_a_setting(daemon, vm_with, text, wanted):
    vm = vm_with(daemon, text, monitor="/run/qmp")
    assert vm.wants_monitor()["r"] == wanted
    vm.must("set_monitor", path="/run/other")
    vm.must("set_monitor", path=None)
    assert vm.set_monitor(path="relative")["r"] < 0


# ---- leases in the place of disks ----------------------------------------------------------

NO_AUTO = "auto_disk_leases = 0\n"


@pytest.fixture
def lease(folder):
    os.makedirs(os.path.join(folder, "leases", "pool"))
    with open(os.path.join(folder, "leases", "pool", "key"), "wb"):
        pass
    return {"lockspace": "pool", "key": "key", "path": os.path.join(folder, "leases")}


def test_without_locks_for_disks_a_vm_needs_a_lease(either, vm_with, image, lease):
    without = vm_with(either, NO_AUTO, disks=[image()])
    for verb in ("start", "inquire"):
        refused = without.ask(verb)
        assert refused["code"] == UNSUPPORTED, refused
        assert all(word in refused["text"] for word in (image(), "lease", "auto_disk_leases = 1"))
    with_one = vm_with(either, NO_AUTO, "leased", [image()])
    with_one.must("lease", what="add", **lease)
    with_one.must("start")
    assert lock_on_first_byte(image()) == "unlocked"
    second = vm_with(either, NO_AUTO, "second", [image()])
    second.must("lease", what="add", **lease)
    assert second.start()["code"] == BUSY


def test_a_vm_with_a_lease_may_get_another_disk(either, vm_with, image, lease):
    vm = vm_with(either, NO_AUTO, disks=[image("a")])
    vm.must("lease", what="add", **lease)
    vm.must("start")
    outside = vm_with(either, NO_AUTO, pid=vm.pid)
    assert outside.disk(what="attach", path=image("b"))["code"] == UNSUPPORTED
    outside.must("lease", what="add", **lease)
    outside.must("disk", what="attach", path=image("b"))
    outside.must("disk", what="detach", path=image("b"))


@pytest.mark.parametrize("text, flags", [(NO_AUTO + "require_lease_for_disks = 0\n", 0),
                                         (NO_AUTO, SHARED), (NO_AUTO, READONLY)])
def test_what_needs_no_lease_starts_without_one_and_without_a_lock(either, vm_with, image, text,
                                                                   flags):
    vm_with(either, text, disks=[image()], flags=flags).must("start")
    assert lock_on_first_byte(image()) == "unlocked"


def test_a_start_that_locks_nothing_yet_needs_no_lease(either, vm_with, image):
    vm_with(either, NO_AUTO, disks=[image()]).must("start", paused=True)


def test_leases_are_required_of_nobody_whose_disks_are_locked(either, vm_with, image):
    vm_with(either, "require_lease_for_disks = 1\n", disks=[image()]).must("start")
    assert lock_on_first_byte(image()) == "write lock"


# ---- libvirt's own file --------------------------------------------------------------------

@pytest.fixture
def user_vm(peer, folder, holdfastd):
    """Makes VMs of an ordinary user, whose settings are below the folder."""
    uid = 65534 if os.geteuid() == 0 else None
    os.makedirs(os.path.join(folder, "user", "holdfast"))
    os.makedirs(os.path.join(folder, "user", "libvirt"))
    serving = holdfastd(uid=uid)

    def make(ours, libvirts, name, *disks):
        for path, text in (("holdfast/holdfast.conf", ours), ("libvirt/qemu-lockd.conf", libvirts)):
            with open(os.path.join(folder, "user", path), "w", encoding="utf-8") as conf:
                conf.write(text)
        made = peer({"HOLDFAST_RUN_DIR": serving.run_dir,
                     "XDG_CONFIG_HOME": os.path.join(folder, "user")}, uid=uid)
        answer = made.new(name=name)
        for disk in disks if answer["r"] >= 0 else ():
            if uid:
                os.chown(disk, uid, uid)
            made.must("disk", what="add", path=disk)
        return made, answer
    make.directory = serving.directory
    return make


def shipped():
    """The file as libvirt installs it."""
    with open("/etc/libvirt/qemu-lockd.conf", encoding="utf-8") as text:
        return text.read()


def test_libvirts_file_is_read_as_it_is_and_ours_wins_key_by_key(user_vm, image):
    ours = os.path.join(user_vm.directory, "ours")
    theirs = os.path.join(user_vm.directory, "theirs")
    libvirts = shipped() + f'file_lockspace_dir = "{theirs}"\nauto_disk_leases = 1;\n'
    vm, _ = user_vm("", libvirts, "one", image("a"))
    vm.must("start")
    assert os.listdir(theirs) == [name_of(image("a"))]
    vm, _ = user_vm(in_space(ours), libvirts, "two", image("b"))
    vm.must("start")
    assert os.listdir(ours) == [name_of(image("b"))]
    vm, _ = user_vm(NO_AUTO, libvirts, "three", image("c"))
    assert vm.start()["code"] == UNSUPPORTED
    vm, _ = user_vm("require_lease_for_disks = 0\n", libvirts + NO_AUTO, "four", image("e"))
    vm.must("start")
    assert vm.warnings()["said"] and "auto_disk_leases" in vm.warnings()["said"][0]


def test_what_is_wrong_in_libvirts_file_is_said_with_its_line(user_vm):
    vm, answer = user_vm("", "\n\nfile_lockspace_dir = 5\n", "vm")
    assert answer["code"] == CONFIG and "libvirt/qemu-lockd.conf:3: " in answer["text"]
    vm, answer = user_vm("", "file_lockspace = 5\n", "vm")
    assert answer["r"] >= 0
    assert vm.warnings()["said"][0].endswith('qemu-lockd.conf:1: unknown key "file_lockspace"')


# ---- VM monitors that lock whole images ----------------------------------------------------

def monitor_vm(vm_with, daemon, text, name, *disks, mode=0):
    made = vm_with(daemon, text, name, vm_flags=LOCKS_IMAGES)
    for disk in disks:
        made.must("disk", what="add", path=disk, flags=mode)
    return made


def test_the_image_of_such_a_monitor_is_free_of_locks_and_still_its_own(daemon, vm_with, image):
    vm = monitor_vm(vm_with, daemon, "", "ch", image())
    vm.must("start")
    directory = os.path.join(daemon.run_dir, "holdfast", "lookaside")
    assert lock_on_first_byte(image()) == "unlocked"
    assert os.listdir(directory) == [name_of(image())]
    [said] = vm.warnings()["said"]
    assert directory in said
    refused = vm_with(daemon, "", "direct", [image()]).start()
    assert refused["code"] == BUSY and "ch" in refused["text"]
    assert vm.guarantee()["name"] == "host"


def test_a_disk_that_is_held_directly_is_refused_to_such_a_monitor(daemon, vm_with, image):
    vm_with(daemon, "", "direct", [image()]).must("start")
    refused = monitor_vm(vm_with, daemon, "", "ch", image()).start()
    assert refused["code"] == BUSY and "direct" in refused["text"]


def test_a_stock_daemon_keeps_such_locks_too(virtlockd, vm_with, image):
    stock = virtlockd()
    first = monitor_vm(vm_with, stock, "", "ch", image())
    first.must("start")
    assert lock_on_first_byte(image()) == "unlocked"
    assert monitor_vm(vm_with, stock, "", "ch2", image()).start()["code"] == BUSY


def test_the_directory_of_the_settings_is_used_and_nothing_said(daemon, vm_with, image, space):
    vm = monitor_vm(vm_with, daemon, in_space(space), "ch", image())
    vm.must("start")
    assert os.listdir(space) == [name_of(image())] and vm.warnings()["said"] == []


def test_a_reader_among_such_monitors_has_a_read_lock_on_the_image(daemon, vm_with, image):
    monitor_vm(vm_with, daemon, "", "ch", image(), mode=READONLY | SHARED).must("start")
    assert lock_on_first_byte(image()) == "read lock"
    vm_with(daemon, "", "reader", [image()], flags=SHARED).must("start")
    assert vm_with(daemon, "", "writer", [image()]).start()["code"] == BUSY
