# SPDX-License-Identifier: LGPL-2.1-or-later
"""A resource is the thing, not its name: also where only a hash of the name arrives."""

import hashlib
import os
import shutil
import subprocess

import pytest
from hftest.files import lock_on_first_byte
from hftest.line import clients, is_granted
from hftest.processes import until
from hftest.wire import AUTOCREATE, SHARED, Owner

BUSY = (87, 51)


def name_in_lockspace(path):
    """As the stock plugin names a file in file_lockspace_dir."""
    return hashlib.sha256(os.fsencode(path)).hexdigest()


def symbolic_link(path, folder):
    alias = os.path.join(folder, "symbolic.img")
    os.symlink(path, alias)
    return alias


def relative_symbolic_link(path, folder):
    os.mkdir(os.path.join(folder, "deep"))
    alias = os.path.join(folder, "deep", "relative.img")
    os.symlink(os.path.join("..", os.path.basename(path)), alias)
    return alias


def linked_directory(path, folder):
    os.symlink(os.path.dirname(path), os.path.join(folder, "other-way"))
    return os.path.join(folder, "other-way", os.path.basename(path))


def hard_link(path, folder):
    alias = os.path.join(folder, "hard.img")
    os.link(path, alias)
    return alias


def dot(path, folder):
    return os.path.join(folder, ".", os.path.basename(path))


def detour(path, folder):
    os.mkdir(os.path.join(folder, "detour"))
    return os.path.join(folder, "detour", "..", os.path.basename(path))


def two_slashes(path, folder):
    return folder + "//" + os.path.basename(path)


ALIASES = [symbolic_link, relative_symbolic_link, linked_directory, hard_link, dot, detour,
           two_slashes]
every_alias = pytest.mark.parametrize("make_alias", ALIASES, ids=lambda make: make.__name__)


@every_alias
def test_an_alias_of_a_locked_file_is_busy_and_names_the_holder(
        daemon, nursery, disk, folder, make_alias):
    path = disk()
    alias = make_alias(path, folder)
    one, two = nursery.vm("one"), nursery.vm("two")
    first, second = one.own_connection(daemon), two.own_connection(daemon)
    assert first.acquire(path).ok
    answer = second.acquire(alias)
    assert answer.verdict == BUSY
    assert "one" in answer.error.message and str(one.pid) in answer.error.message
    assert first.release(path).ok
    assert second.acquire(alias).ok
    assert first.acquire(path).verdict == BUSY


@every_alias
def test_a_refused_alias_does_not_take_the_first_lock_away(
        daemon, nursery, disk, folder, make_alias):
    path = disk()
    alias = make_alias(path, folder)
    first = daemon.connect_as(Owner("one", nursery.sleeper().pid))
    second = nursery.vm("two")
    own = second.own_connection(daemon)
    assert first.acquire(path).ok
    assert own.acquire(alias).verdict == BUSY
    own.close()
    assert lock_on_first_byte(path) == "write lock"
    assert second.alive, "a VM that got nothing holds nothing"


@every_alias
def test_create_resource_by_an_alias_leaves_the_lock(daemon, nursery, disk, folder, make_alias):
    path = disk()
    alias = make_alias(path, folder)
    client = daemon.connect_as(Owner("one", nursery.sleeper().pid))
    assert client.acquire(path).ok
    client.create_resource(alias)
    assert lock_on_first_byte(path) == "write lock"


def test_a_bind_mounted_file_is_the_same_file(holdfastd, nursery, disk, folder):
    if os.geteuid() != 0:
        pytest.skip("a bind mount needs root")
    path = disk()
    alias = disk("mounted-here.img", b"")
    daemon = holdfastd(wrapper=["unshare", "-m", "--propagation", "private", "--", "sh", "-c",
                                f'mount --bind "{path}" "{alias}" && exec "$@"', "sh"])
    first = daemon.connect_as(Owner("one", nursery.sleeper().pid))
    second = daemon.connect_as(Owner("two", nursery.sleeper().pid))
    assert first.acquire(path).ok
    assert second.acquire(alias).verdict == BUSY


@pytest.fixture
def block_device(folder):
    """A loop device of our own, under two names."""
    if os.geteuid() != 0 or not shutil.which("losetup"):
        pytest.skip("a loop device needs root and losetup")
    backing = os.path.join(folder, "backing")
    with open(backing, "wb") as out:
        out.truncate(1 << 20)
    made = subprocess.run(["losetup", "--show", "-f", backing], capture_output=True, text=True,
                          check=False)
    if made.returncode != 0:
        pytest.skip(f"no loop device here: {made.stderr.strip()}")
    device = made.stdout.strip()
    alias = os.path.join(folder, "device")
    os.mknod(alias, 0o600 | 0o060000, os.stat(device).st_rdev)
    yield device, alias
    subprocess.run(["losetup", "-d", device], check=True)


def test_two_nodes_of_one_block_device_are_one_resource(daemon, nursery, block_device):
    device, alias = block_device
    first = daemon.connect_as(Owner("one", nursery.sleeper().pid))
    second = daemon.connect_as(Owner("two", nursery.sleeper().pid))
    assert first.acquire(device).ok
    assert second.acquire(alias).verdict == BUSY
    assert first.release(device).ok
    assert second.acquire(alias).ok


# ---- a file is replaced while it is locked -------------------------------------------


@pytest.mark.parametrize("flags", [0, SHARED])
def test_asking_again_for_a_replaced_file_locks_the_new_one(daemon, nursery, disk, folder, flags):
    path = disk()
    one = daemon.connect_as(Owner("one", nursery.sleeper().pid))
    two = daemon.connect_as(Owner("two", nursery.sleeper().pid))
    old = hard_link(path, folder)
    assert one.acquire(path, flags=flags).ok
    os.unlink(path)
    new = symbolic_link(disk(), folder)
    assert two.acquire(path).verdict == BUSY, "the name is taken, whatever is behind it"
    assert one.acquire(path, flags=flags).ok
    assert two.acquire(new).verdict == BUSY
    assert two.acquire(old).verdict == BUSY
    assert one.release(path).ok
    assert one.release(path).verdict == BUSY
    assert two.acquire(new).ok
    assert two.acquire(old).ok


def test_who_joins_a_shared_name_shares_the_file_that_is_there_now(daemon, nursery, disk, folder):
    path = disk()
    one = daemon.connect_as(Owner("one", nursery.sleeper().pid))
    two = daemon.connect_as(Owner("two", nursery.sleeper().pid))
    three = daemon.connect_as(Owner("three", nursery.sleeper().pid))
    assert one.acquire(path, flags=SHARED).ok
    os.unlink(path)
    alias = hard_link(disk(), folder)
    assert two.acquire(path, flags=SHARED).ok
    assert three.acquire(alias).verdict == BUSY
    assert two.release(path).ok
    assert three.acquire(alias).ok
    assert lock_on_first_byte(path) == "write lock"


# ---- a directory lockspace: only the hash of the name arrives -----------------------


@pytest.fixture
def space(daemon, folder):
    path = os.path.join(folder, "space")
    with daemon.connect() as client:
        assert client.create_lockspace(path).ok
    return path


def start(nursery, daemon, name, image, by):
    """A VM that has `image` on its command line, or open, before anybody locks it."""
    argv = [f"-drive=file={image},format=raw"] if by == "command line" else []
    if by == "argument of its own":
        argv = ["-hda", image]
    if by == "JSON":
        argv = ["-blockdev", '{"driver":"file","filename":"%s"}' % image]
    vm = nursery.vm(name, argv=argv)
    vm.own_connection(daemon)
    if by == "descriptor":
        vm.open(image)
    return vm


def lock_by_hash(daemon, vm, image, space):
    with daemon.connect_as(vm.owner) as manager:
        return manager.acquire(name_in_lockspace(image), space, AUTOCREATE)


def release_by_hash(daemon, vm, image, space):
    with daemon.connect_as(vm.owner) as manager:
        return manager.release(name_in_lockspace(image), space)


HASHED = [(symbolic_link, "command line"), (symbolic_link, "argument of its own"),
          (symbolic_link, "JSON"), (hard_link, "descriptor"), (hard_link, "command line"),
          (dot, "command line"), (linked_directory, "command line")]


@pytest.mark.parametrize("make_alias,by", HASHED,
                         ids=lambda value: getattr(value, "__name__", value))
def test_an_alias_is_busy_when_only_its_hash_arrives(daemon, nursery, disk, folder, space,
                                                     make_alias, by):
    path = disk()
    alias = make_alias(path, folder)
    one = start(nursery, daemon, "one", path, "descriptor")
    two = start(nursery, daemon, "two", alias, by)
    assert lock_by_hash(daemon, one, path, space).ok
    answer = lock_by_hash(daemon, two, alias, space)
    assert answer.verdict == BUSY
    assert "one" in answer.error.message and str(one.pid) in answer.error.message
    assert os.listdir(space) == [name_in_lockspace(path)], "a refusal leaves no lease behind"
    assert release_by_hash(daemon, one, path, space).ok
    assert lock_by_hash(daemon, two, alias, space).ok


def test_the_first_holder_is_found_by_its_command_line(daemon, nursery, disk, folder, space):
    path = disk()
    alias = symbolic_link(path, folder)
    one = start(nursery, daemon, "one", alias, "command line")
    two = start(nursery, daemon, "two", path, "descriptor")
    assert lock_by_hash(daemon, one, alias, space).ok
    assert lock_by_hash(daemon, two, path, space).verdict == BUSY


def test_a_file_locked_by_path_is_busy_by_hash_and_the_other_way_round(
        daemon, nursery, disk, space):
    path = disk()
    one = start(nursery, daemon, "one", path, "descriptor")
    two = start(nursery, daemon, "two", path, "descriptor")
    with daemon.connect_as(one.owner) as manager:
        assert manager.acquire(path).ok
    assert lock_by_hash(daemon, two, path, space).verdict == BUSY
    with daemon.connect_as(one.owner) as manager:
        assert manager.release(path).ok
    assert lock_by_hash(daemon, two, path, space).ok
    with daemon.connect_as(one.owner) as manager:
        assert manager.acquire(path).verdict == BUSY


def test_one_vm_with_a_disk_under_two_hashed_names_is_not_its_own_enemy(
        daemon, nursery, disk, folder, space):
    path = disk()
    alias = hard_link(path, folder)
    one = start(nursery, daemon, "one", path, "descriptor")
    one.open(alias)
    two = start(nursery, daemon, "two", path, "descriptor")
    assert lock_by_hash(daemon, one, path, space).ok
    assert lock_by_hash(daemon, one, alias, space).ok
    assert release_by_hash(daemon, one, path, space).ok
    assert lock_by_hash(daemon, two, path, space).verdict == BUSY
    assert release_by_hash(daemon, one, alias, space).ok
    assert lock_by_hash(daemon, two, path, space).ok


def test_a_replaced_image_shared_by_its_hash_is_locked_as_well(
        daemon, nursery, disk, folder, space):
    path = disk()
    one = start(nursery, daemon, "one", path, "descriptor")
    with daemon.connect_as(one.owner) as manager:
        assert manager.acquire(name_in_lockspace(path), space, AUTOCREATE | SHARED).ok
    os.unlink(path)
    alias = hard_link(disk(), folder)
    two = start(nursery, daemon, "two", path, "descriptor")
    three = start(nursery, daemon, "three", alias, "descriptor")
    with daemon.connect_as(two.owner) as manager:
        assert manager.acquire(name_in_lockspace(path), space, AUTOCREATE | SHARED).ok
    assert lock_by_hash(daemon, three, alias, space).verdict == BUSY
    for vm in (one, two):
        assert release_by_hash(daemon, vm, path, space).ok
    assert lock_by_hash(daemon, three, alias, space).ok
    assert os.listdir(space) == [name_in_lockspace(alias)]


def test_a_disk_that_was_hot_plugged_is_known_soon_after_its_vm_opens_it(
        daemon, nursery, disk, folder, space):
    path, unrelated = disk(), disk("unrelated.img")
    alias = symbolic_link(path, folder)
    one, three = nursery.vm("one"), nursery.vm("three")
    one.own_connection(daemon)
    three.own_connection(daemon)
    two = start(nursery, daemon, "two", alias, "command line")
    assert lock_by_hash(daemon, one, path, space).ok
    # Whoever else asks in between must not put the search off.
    assert lock_by_hash(daemon, three, unrelated, space).ok
    one.open(path)

    def refused():
        answer = lock_by_hash(daemon, two, alias, space)
        if answer.ok:
            assert release_by_hash(daemon, two, alias, space).ok
        return answer.verdict == BUSY
    until(refused, "the alias is refused", timeout=0.3)


def test_where_the_owner_has_nothing_open_the_name_alone_counts(daemon, nursery, disk, space):
    path = disk()
    one, two = nursery.vm("one"), nursery.vm("two")
    one.own_connection(daemon)
    two.own_connection(daemon)
    assert lock_by_hash(daemon, one, path, space).ok
    assert lock_by_hash(daemon, two, path, space).verdict == BUSY
    assert lock_by_hash(daemon, two, path + "-other", space).ok


def test_the_lease_of_a_hash_goes_with_its_vm(daemon, nursery, disk, space):
    path = disk()
    one = start(nursery, daemon, "one", path, "descriptor")
    assert lock_by_hash(daemon, one, path, space).ok
    assert os.listdir(space) == [name_in_lockspace(path)]
    one.kill()
    until(lambda: not os.listdir(space), "the lease is unlinked")
    two = start(nursery, daemon, "two", path, "descriptor")
    assert lock_by_hash(daemon, two, path, space).ok


def test_who_waits_for_a_name_is_woken_when_only_the_name_is_given_back(daemon, nursery, disk,
                                                                        folder):
    name, other = disk(), os.path.join(folder, "other.img")
    os.link(name, other)
    vm = nursery.vm("web1").own_connection(daemon)
    assert vm.acquire(name).ok and vm.acquire(other).ok
    os.rename(disk("new.img"), name)
    waiter, = clients(daemon, 1)
    waiter.ask(name)
    assert vm.release(name).ok
    assert is_granted(waiter.hear()), "it is another file now"
    assert lock_on_first_byte(name) == lock_on_first_byte(other) == "write lock"
