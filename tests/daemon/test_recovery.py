# SPDX-License-Identifier: LGPL-2.1-or-later
"""The daemon ends, by a signal or a crash, and another one starts: who held a lock and still
lives has it again before anybody can ask, and nobody was ended for it."""

import fcntl
import os
import random
import signal
import struct
import subprocess
import threading

import pytest
from hftest.files import lock_on_first_byte
from hftest.processes import until
from hftest import wire
from hftest.wire import AUTOCREATE, SHARED, Owner, resource

BUSY = (87, 51)
HOLDFAST_PROGRAM = 0x486F6C64
ENDS = pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=lambda n: n.name)


# How often the daemon is killed at random. By hand: HF_KILLS=1000.
KILLS = int(os.environ.get("HF_KILLS", "25"))


def end(daemon, number=signal.SIGKILL):
    if number == signal.SIGTERM:
        daemon.stop()
        return
    daemon.kill()


def state_of(daemon):
    return os.path.join(daemon.run_dir, "holdfast", "holdfastd.state")


def manager(daemon, name, vm):
    """A connection for a VM that is not the VM's own, as libvirtd has it."""
    return daemon.connect_as(Owner(name, vm.pid))


def refused(daemon, nursery, path, flags=0):
    """What somebody else is told who wants the disk."""
    with daemon.connect_as(Owner("other", nursery.sleeper().pid)) as other:
        answer = other.acquire(path, flags=flags)
        assert answer.verdict == BUSY, answer
        return answer.error.message


@ENDS
def test_the_lock_of_a_living_vm_is_taken_again(daemon, nursery, disk, number):
    path, vm = disk(), nursery.vm("web1")
    own = vm.own_connection(daemon)
    assert own.acquire(path).ok
    end(daemon, number)
    assert vm.alive and lock_on_first_byte(path) == "unlocked"
    daemon.start()
    assert lock_on_first_byte(path) == "write lock"
    text = refused(daemon, nursery, path)
    assert "web1" in text and str(vm.pid) in text
    assert vm.alive


def test_a_recovered_lock_is_released_by_who_acts_for_the_vm(daemon, nursery, disk):
    path, vm = disk(), nursery.sleeper()
    with manager(daemon, "web1", vm) as client:
        assert client.acquire(path).ok
    end(daemon)
    daemon.start()
    with manager(daemon, "web1", vm) as client:
        assert client.acquire(path).ok, "asking again changes nothing"
        assert client.release(path).ok
    assert lock_on_first_byte(path) == "unlocked"


def test_a_recovered_lock_goes_when_the_vm_dies(daemon, nursery, disk):
    path, vm = disk(), nursery.sleeper()
    with manager(daemon, "web1", vm) as client:
        assert client.acquire(path).ok
    end(daemon)
    daemon.start()
    vm.kill()
    vm.wait()
    until(lambda: lock_on_first_byte(path) == "unlocked", "the lock of the dead VM is gone")


def test_what_a_vm_held_that_ended_meanwhile_is_free_and_its_stand_in_gone(daemon, nursery, disk,
                                                                         folder):
    path, vm = disk(), nursery.sleeper()
    space = os.path.join(folder, "space")
    with manager(daemon, "web1", vm) as client:
        assert client.create_lockspace(space).ok
        assert client.acquire(path).ok
        assert client.acquire("a" * 64, space, AUTOCREATE).ok
    end(daemon)
    vm.kill()
    vm.wait()
    daemon.start()
    assert lock_on_first_byte(path) == "unlocked"
    assert os.listdir(space) == []


def test_a_file_that_took_the_place_of_a_stand_in_is_nobody_s_to_remove(daemon, nursery, disk,
                                                                       folder):
    vm, path = nursery.sleeper(), os.path.join(folder, "new.img")
    with manager(daemon, "web1", vm) as client:
        assert client.acquire(path, flags=AUTOCREATE).ok
    end(daemon)
    vm.kill()
    vm.wait()
    os.rename(path, path + ".old")
    with open(path, "wb"):
        pass
    daemon.start()
    assert os.path.exists(path)


def test_a_vm_that_lives_on_in_another_process_keeps_its_lock(daemon, nursery, disk):
    path = disk()
    first = nursery.sleeper()
    with manager(daemon, "web1", first) as client:
        assert client.acquire(path).ok
    with open(path, "r+b") as image:
        child = nursery.spawn(["sleep", "600"], pass_fds=[image.fileno()])
    end(daemon)
    first.kill()
    first.wait()
    daemon.start()
    assert str(child.pid) in refused(daemon, nursery, path)
    child.kill()
    child.wait()
    until(lambda: lock_on_first_byte(path) == "unlocked", "the lock goes with the last process")


def test_sharers_and_second_names_are_what_they_were(daemon, nursery, disk, folder):
    shared, alone = disk("shared.img"), disk("alone.img")
    alias = os.path.join(folder, "alias")
    os.link(alone, alias)
    one, two = nursery.sleeper(), nursery.sleeper()
    with manager(daemon, "one", one) as client:
        assert client.acquire(shared, flags=SHARED).ok
        assert client.acquire(alone).ok and client.acquire(alias).ok
    with manager(daemon, "two", two) as client:
        assert client.acquire(shared, flags=SHARED).ok
    end(daemon)
    daemon.start()
    assert lock_on_first_byte(shared) == "read lock"
    with manager(daemon, "one", one) as client:
        assert client.release(alone).ok
        assert lock_on_first_byte(alone) == "write lock", "it has another name still"
        assert client.release(alias).ok
        assert client.release(shared).ok
    assert lock_on_first_byte(alone) == "unlocked"
    assert lock_on_first_byte(shared) == "read lock", "the other one shares it still"


def test_what_another_took_meanwhile_is_reported_and_left_to_it(daemon, nursery, disk):
    path, free, vm = disk(), disk("free.img"), nursery.sleeper()
    with manager(daemon, "web1", vm) as client:
        assert client.acquire(path).ok and client.acquire(free).ok
    end(daemon)
    with open(path, "r+b") as image:
        fcntl.lockf(image, fcntl.LOCK_EX | fcntl.LOCK_NB, 1)
        daemon.start()
        log = daemon.log()
        assert "web1" in log and str(vm.pid) in log and path in log and str(os.getpid()) in log
        assert lock_on_first_byte(free) == "write lock"
    assert vm.poll() is None


def test_a_disk_that_was_replaced_meanwhile_is_not_taken_for_the_old_one(daemon, nursery, disk):
    path, vm = disk(), nursery.sleeper()
    with manager(daemon, "web1", vm) as client:
        assert client.acquire(path).ok
    end(daemon)
    os.rename(path, path + ".old")
    with open(path, "wb"):
        pass
    daemon.start()
    assert lock_on_first_byte(path) == "unlocked"
    assert "web1" in daemon.log() and path in daemon.log()


def test_a_second_end_finds_what_the_first_one_left(daemon, nursery, disk):
    paths, vm = [disk(f"{i}.img") for i in range(20)], nursery.sleeper()
    with manager(daemon, "web1", vm) as client:
        assert all(client.acquire(path).ok for path in paths)
    for _ in range(3):
        end(daemon)
        daemon.start()
    assert {lock_on_first_byte(path) for path in paths} == {"write lock"}


def test_a_damaged_record_costs_its_own_lock_only(daemon, nursery, disk):
    paths, vm = [disk(f"{i}.img") for i in range(3)], nursery.sleeper()
    with manager(daemon, "web1", vm) as client:
        assert all(client.acquire(path).ok for path in paths)
    end(daemon)
    with open(state_of(daemon), "r+b") as state:
        content = state.read()
        at = content.index(os.fsencode(paths[1]) + b"\0")
        state.seek(at + 1)
        state.write(b"X")
    daemon.start()
    assert [lock_on_first_byte(path) for path in paths] == ["write lock", "unlocked", "write lock"]
    assert "1 records of the state were damaged" in daemon.log()


@pytest.mark.parametrize("content", [b"", b"not a state", b"\0" * 4096, None],
                         ids=["empty", "text", "zeros", "other version"])
def test_a_file_that_is_no_state_is_set_aside(daemon, nursery, disk, content):
    path, vm = disk(), nursery.sleeper()
    with manager(daemon, "web1", vm) as client:
        assert client.acquire(path).ok
    end(daemon)
    state = state_of(daemon)
    if content is None:
        with open(state, "r+b") as out:
            out.seek(8)
            out.write(b"\xff")
    else:
        with open(state, "wb") as out:
            out.write(content)
    daemon.start()
    assert lock_on_first_byte(path) == "unlocked"
    assert os.path.exists(state + ".damaged") and state in daemon.log()
    with manager(daemon, "web1", vm) as client:
        assert client.acquire(path).ok, "it serves"


def test_a_state_that_others_may_write_is_not_believed(daemon, nursery, disk):
    path, vm = disk(), nursery.sleeper()
    with manager(daemon, "web1", vm) as client:
        assert client.acquire(path).ok
    end(daemon)
    os.chmod(state_of(daemon), 0o666)
    daemon.start()
    assert lock_on_first_byte(path) == "unlocked"


@ENDS
def test_a_lockspace_needs_no_second_announcement(daemon, nursery, folder, number):
    space = os.path.join(folder, "space")
    with manager(daemon, "web1", nursery.sleeper()) as client:
        assert client.create_lockspace(space).ok
    end(daemon, number)
    daemon.start()
    with manager(daemon, "web2", nursery.sleeper()) as client:
        assert client.acquire("a" * 64, space, AUTOCREATE).ok


def test_a_daemon_that_ends_with_nothing_held_leaves_no_state(daemon, nursery, disk):
    path = disk()
    with manager(daemon, "web1", nursery.sleeper()) as client:
        assert client.acquire(path).ok and client.release(path).ok
    assert os.path.exists(state_of(daemon))
    daemon.stop()
    assert not os.path.exists(state_of(daemon))


def test_where_no_state_can_be_kept_it_says_so_and_serves(holdfastd, nursery, disk, folder):
    run = os.path.join(folder, "d", "holdfast")
    os.makedirs(os.path.join(run, "holdfastd.state.new"))
    daemon = holdfastd()
    assert "cannot keep the state" in daemon.log()
    with manager(daemon, "web1", nursery.sleeper()) as client:
        assert client.acquire(disk()).ok


def test_a_full_run_directory_refuses_locks_and_harms_nobody(holdfastd, nursery, disk):
    if os.geteuid() != 0:
        pytest.skip("needs root: the test mounts a small file system")
    script = 'mkdir -p "$0" && mount -t tmpfs -o size=1m tmpfs "$0" && exec "$@"'
    daemon = holdfastd(start=False)
    daemon.wrapper = ["unshare", "-m", "--propagation", "private", "--", "sh", "-c", script,
                      os.path.join(daemon.run_dir, "holdfast")]
    daemon.start()
    path, vm = disk(), nursery.sleeper()
    answers = []
    with manager(daemon, "web1", vm) as client:
        assert client.acquire(path).ok
        for i in range(12000):
            answers.append(client.acquire(disk(f"{i}.img")))
            if not answers[-1].ok:
                break
        assert not answers[-1].ok and "No space left" in answers[-1].error.message
        assert client.release(path).ok
    assert daemon.alive


def test_who_shares_the_disk_of_an_ended_vm_does_not_inherit_from_it(daemon, nursery, disk):
    shared = disk("shared.img")
    gone, stays = nursery.sleeper(), nursery.vm("stays")
    stays.open(shared)
    with manager(daemon, "gone", gone) as client:
        assert client.acquire(shared, flags=SHARED).ok
    with manager(daemon, "stays", stays) as client:
        assert client.acquire(shared, flags=SHARED).ok
    end(daemon)
    gone.kill()
    gone.wait()
    daemon.start()
    text = refused(daemon, nursery, shared)
    assert "stays" in text and "gone" not in text
    with manager(daemon, "stays", stays) as client:
        assert client.release(shared).ok
    assert lock_on_first_byte(shared) == "unlocked"


def test_another_lock_daemon_is_no_heir_of_an_ended_vm(daemon, nursery, disk):
    path, vm, other = disk(), nursery.sleeper(), nursery.vm("another lock daemon")
    with manager(daemon, "web1", vm) as client:
        assert client.acquire(path, flags=SHARED).ok
    end(daemon)
    other.lock(path, "posix", fcntl.F_RDLCK)
    vm.kill()
    vm.wait()
    daemon.start()
    assert "web1" not in daemon.log()
    other.kill()
    assert lock_on_first_byte(path) == "unlocked"


def acquire_thing(client, name, space, path):
    """As our own driver does it, which says what the name stands for."""
    info = os.stat(path)
    return client.call(2, resource(space, name, AUTOCREATE) + struct.pack(
        ">IQQ", 1, info.st_dev, info.st_ino) + wire.string(""), prog=HOLDFAST_PROGRAM)


@ENDS
def test_what_a_name_was_said_to_stand_for_is_not_forgotten(daemon, nursery, disk, folder, number):
    path, vm = disk(), nursery.sleeper()
    space = os.path.join(folder, "space")
    with manager(daemon, "web1", vm) as client:
        assert client.create_lockspace(space).ok
        assert acquire_thing(client, "volume", space, path).ok
    assert "web1" in refused(daemon, nursery, path)
    end(daemon, number)
    daemon.start()
    assert "web1" in refused(daemon, nursery, path)


def test_what_was_held_before_a_run_that_kept_no_state_is_not_believed_after_it(daemon, nursery,
                                                                               disk):
    path, one, two = disk(), nursery.sleeper(), nursery.sleeper()
    with manager(daemon, "one", one) as client:
        assert client.acquire(path).ok
    end(daemon)
    os.mkdir(state_of(daemon) + ".new")
    daemon.start()
    with manager(daemon, "one", one) as client:
        assert client.release(path).ok
    with manager(daemon, "two", two) as client:
        assert client.acquire(path).ok
    end(daemon)
    os.rmdir(state_of(daemon) + ".new")
    daemon.start()
    with manager(daemon, "two", two) as client:
        assert client.acquire(path).ok


def test_a_limit_of_file_sizes_does_not_end_it(holdfastd, nursery, disk):
    daemon = holdfastd(start=False)
    daemon.wrapper = ["prlimit", "--fsize=1000000", "--"]
    daemon.start()
    assert "cannot keep the state" in daemon.log()
    with manager(daemon, "web1", nursery.sleeper()) as client:
        assert client.acquire(disk()).ok


def test_where_there_is_no_room_for_two_tables_the_locks_are_taken_again(holdfastd, nursery,
                                                                        disk):
    if os.geteuid() != 0:
        pytest.skip("needs root: the test mounts a small file system")
    daemon = holdfastd(start=False)
    script = 'mkdir -p "$0" && mount -t tmpfs -o size=1m tmpfs "$0" && echo && exec sleep 600'
    place = nursery.spawn(
        ["unshare", "-m", "--propagation", "private", "--", "sh", "-c", script,
         os.path.join(daemon.run_dir, "holdfast")], stdout=subprocess.PIPE)
    place.stdout.readline()
    daemon.wrapper = ["nsenter", "-m", "-t", str(place.pid), "--"]
    daemon.start()
    paths, vm = [disk(f"{i}.img") for i in range(700)], nursery.sleeper()
    with manager(daemon, "web1", vm) as client:
        assert all(client.acquire(path).ok for path in paths)
    for _ in range(3):
        end(daemon)
        daemon.start()
        assert {lock_on_first_byte(path) for path in paths} == {"write lock"}, daemon.log()


class Worker:
    """Acquires and releases disks of its own until the daemon is gone; knows what it was told."""

    def __init__(self, name, vm, paths, rng):
        self.name, self.vm, self.rng = name, vm, rng
        self.held = dict.fromkeys(paths, False)  # None: asked, and never answered
        self.fault = None

    def work(self, daemon):
        try:
            client = manager(daemon, self.name, self.vm)
        except (OSError, EOFError, AssertionError):
            return
        try:
            while True:
                path = self.rng.choice(list(self.held))
                had, self.held[path] = self.held[path], None
                answer = client.release(path) if had else client.acquire(path)
                if answer.outcome != "reply":
                    return
                if not answer.ok:
                    self.fault = f"{path}: {answer}"
                    return
                self.held[path] = not had
        except (OSError, EOFError, AssertionError):
            return


def test_a_kill_at_any_time_also_of_a_recovery_loses_no_lock_and_leaves_none(daemon, nursery,
                                                                           disk):
    seed = random.randrange(1 << 32)
    rng = random.Random(seed)
    workers = [Worker(f"vm{i}", nursery.sleeper(), [disk(f"{i}-{j}.img") for j in range(8)],
                      random.Random(rng.random())) for i in range(4)]
    for _ in range(KILLS):
        threads = [threading.Thread(target=worker.work, args=(daemon,)) for worker in workers]
        for thread in threads:
            thread.start()
        threading.Event().wait(rng.uniform(0, 0.05))
        end(daemon)
        for thread in threads:
            thread.join()
        while rng.random() < 0.3:
            daemon.start(wait=False)
            threading.Event().wait(rng.uniform(0, 0.02))
            end(daemon)
        daemon.start()
        for worker in workers:
            assert not worker.fault, f"seed {seed}: {worker.fault}"
            for path, held in worker.held.items():
                seen = lock_on_first_byte(path) == "write lock"
                assert held is None or seen == held, f"seed {seed}: {path} {held} {daemon.log()}"
                worker.held[path] = seen
    assert "damaged" not in daemon.log()
    for worker in workers:
        worker.vm.kill()
        worker.vm.wait()
    for worker in workers:
        for path in worker.held:
            until(lambda path=path: lock_on_first_byte(path) == "unlocked", f"{path} is free")
