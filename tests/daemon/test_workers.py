# SPDX-License-Identifier: LGPL-2.1-or-later
"""A filesystem that does not answer delays who wants something there, and nobody else: not
for others, not for a server that is killed or upgraded meanwhile, and for no longer than said.

The filesystem is tests/fault/stillfs, which is stopped and continued by signals, in a mount
namespace of the test and its daemon; or an ext4 image under fsfreeze."""

import hashlib
import os
import random
import shutil
import signal
import subprocess
import threading
import time

import pytest
from hftest import wire
from hftest.command import Cli
from hftest.daemons import name_of
from hftest.processes import children, is_there, state_of, until
from hftest.still import Namespace, is_stopped, need_mounts
from hftest.wire import AUTOCREATE, Owner, Proc, frame, resource

BUSY = (87, 51)
HOLDFAST_PROGRAM = 0x486F6C64
RELEASE_ALL = 6
SYSTEM = 38
OTHERS = 200

# How often the server is killed at random. By hand: HF_KILLS=1000.
KILLS = int(os.environ.get("HF_KILLS", "25"))


@pytest.fixture
def inside(still, holdfastd):
    """A daemon that sees the filesystem."""
    return holdfastd(wrapper=still.enter)


class Waiting:
    """A client whose call is not answered yet."""

    def __init__(self, daemon, who, proc, path, flags=0):
        self.client = daemon.connect_as(who)
        self.client.send(frame(proc, resource("", path, flags), serial=7))

    def is_answered(self, timeout=0.0):
        answer = self.client.receive(timeout)
        if answer.outcome == "silence":
            return None
        assert answer.outcome == "reply" and answer.serial == 7, answer
        return answer

    def answer(self):
        answer = self.is_answered(10)
        assert answer, "no answer"
        assert self.is_answered(0) is None, "a second one"
        return answer


def wait_for_lock(daemon, nursery, path, flags=0):
    """A client whose acquire has reached the filesystem."""
    before = len(daemon.workers)
    waiting = Waiting(daemon, Owner("slow", nursery.sleeper().pid), Proc.ACQUIRE, path, flags)
    until(lambda: len(daemon.workers) > before, "a worker is busy")
    return waiting


def others_are_served(daemon, nursery, disk, n=OTHERS):
    path = disk("other.img")
    with daemon.connect_as(Owner("other", nursery.sleeper().pid)) as other:
        for _ in range(n):
            assert other.acquire(path).ok
            assert other.release(path).ok


def descriptors(daemon):
    return len(os.listdir(f"/proc/{daemon.server_pid}/fd"))


def names_of_descriptors(daemon):
    names = {}
    for fd in os.listdir(f"/proc/{daemon.server_pid}/fd"):
        try:
            names[int(fd)] = os.readlink(f"/proc/{daemon.server_pid}/fd/{fd}")
        except FileNotFoundError:
            pass
    return {fd: name for fd, name in sorted(names.items()) if name != "/dev/null"}


def no_descriptor_is_left(daemon, before):
    try:
        until(lambda: descriptors(daemon) == before, "no descriptor is left")
    except AssertionError:
        raise AssertionError(f"{descriptors(daemon)} and not {before} descriptors: "
                             f"{names_of_descriptors(daemon)}\n{daemon.log()}") from None


def descriptors_at_rest(daemon):
    """Of a daemon of which nobody wants anything; it may still be busy with who has left."""
    least = descriptors(daemon)
    for _ in range(20):
        with daemon.connect() as client:
            client.ping()
        least = min(least, descriptors(daemon))
    return least


def is_free(daemon, nursery, path):
    """Somebody else can have it."""
    with daemon.connect_as(Owner("probe", nursery.sleeper().pid)) as probe:
        return probe.acquire(path).ok and probe.release(path).ok


def test_while_one_waits_for_a_filesystem_all_others_are_served(still, inside, nursery, disk):
    path = still.make()
    still.stop()
    waiting = wait_for_lock(inside, nursery, path)
    others_are_served(inside, nursery, disk)
    assert waiting.is_answered() is None
    still.go()
    assert waiting.answer().ok
    with inside.connect_as(Owner("late", nursery.sleeper().pid)) as late:
        answer = late.acquire(path)
        assert answer.verdict == BUSY and "slow" in answer.error.message


def test_who_has_waited_too_long_is_told_for_what(still, holdfastd, nursery, disk):
    daemon = holdfastd(wrapper=still.enter, conf="filesystem_timeout = 1\n")
    path = still.make()
    before = descriptors_at_rest(daemon)
    still.stop()
    waiting = wait_for_lock(daemon, nursery, path)
    answer = waiting.answer()
    assert answer.error.code == SYSTEM
    assert f"fuse.stillfs on {still.point}" in answer.error.message
    assert "has not answered for 1 s" in answer.error.message
    others_are_served(daemon, nursery, disk, 10)
    still.go()
    until(lambda: not daemon.workers, "the worker has ended")
    assert is_free(daemon, nursery, path), "what was locked too late is given back"
    waiting.client.close()
    no_descriptor_is_left(daemon, before)


def test_no_more_wait_than_the_bound(still, inside, nursery):
    path, bound = still.make(), 64
    still.stop()
    first = wait_for_lock(inside, nursery, path)
    owner = Owner("many", nursery.sleeper().pid)
    queue = [Waiting(inside, owner, Proc.ACQUIRE, path) for _ in range(bound)]
    assert all(waiting.is_answered() is None for waiting in queue)
    last = Waiting(inside, owner, Proc.ACQUIRE, path).answer()
    assert f"{bound} requests wait" in last.error.message and still.point in last.error.message
    assert len(inside.workers) == 1
    still.go()
    assert first.answer().ok
    assert all(waiting.answer().verdict == BUSY for waiting in queue)


@pytest.mark.parametrize("flags", [0, AUTOCREATE], ids=["file", "lease"])
def test_who_leaves_while_it_waits_gets_nothing(still, inside, nursery, flags):
    path = still.path("lease") if flags else still.make()
    before = descriptors_at_rest(inside)
    still.stop()
    wait_for_lock(inside, nursery, path, flags).client.close()
    until(lambda: descriptors(inside) == before + 1, "the client is gone, the worker's pidfd stays")
    still.go()
    until(lambda: descriptors(inside) == before and not inside.workers, "nothing is left")
    assert is_free(inside, nursery, path)


def test_a_lock_file_stays_on_a_filesystem_that_other_hosts_may_have(still, inside, nursery, folder):
    there, here = still.path("lease"), os.path.join(folder, "lease")
    with inside.connect_as(Owner("vm", nursery.sleeper().pid)) as client:
        for path in (there, here):
            assert client.acquire(path, flags=AUTOCREATE).ok
            assert client.release(path).ok
    assert os.path.exists(still.outside("lease")) and not os.path.exists(here)
    assert is_free(inside, nursery, there)


def test_who_does_not_wait_without_a_word_and_can_be_interrupted(still, inside, nursery, folder):
    path = still.make()
    cli = Cli(nursery, folder, inside.run_dir)
    still.stop()
    asking = cli.start("who", path, prefix=still.enter, stderr=subprocess.PIPE,
                       stdout=subprocess.PIPE)
    assert asking.stderr.readline() == (f"holdfast: {path}: its filesystem does not answer; "
                                        "waiting up to 30 s\n")
    asking.send_signal(signal.SIGINT)
    assert asking.wait(10) != 0
    assert asking.stdout.read() == "", "its other process is gone too"


def test_who_asks_again_gets_the_lock_that_the_first_try_took_too_late(still, holdfastd, nursery):
    daemon = holdfastd(wrapper=still.enter, conf="filesystem_timeout = 2\n")
    path = still.make()
    still.stop()
    assert "has not answered" in wait_for_lock(daemon, nursery, path).answer().error.message
    again = Waiting(daemon, Owner("slow", nursery.sleeper().pid), Proc.ACQUIRE, path)
    with daemon.connect() as client:
        assert client.ping(), "the request has been looked at"
    still.go()
    assert again.answer().ok


def test_a_symlink_to_what_hangs_hangs_nothing_where_it_lies(still, inside, nursery, folder):
    lease, vm = os.path.join(folder, "lease"), nursery.sleeper()
    os.symlink(still.make(), os.path.join(folder, "link"))
    with inside.connect_as(Owner("vm", vm.pid)) as client:
        assert client.acquire(lease, flags=AUTOCREATE).ok
        still.stop()
        waiting = wait_for_lock(inside, nursery, os.path.join(folder, "link"))
        assert client.release(lease).ok, inside.log()
        assert client.acquire(os.path.join(folder, "new"), flags=AUTOCREATE).ok
    assert waiting.is_answered() is None
    still.go()
    assert waiting.answer().ok


def kill_server(daemon):
    pid = daemon.server_pid
    os.kill(pid, signal.SIGKILL)
    until(lambda: not is_there(pid), "the server is gone")


def upgrade(daemon):
    pid = daemon.server_pid
    daemon.signal(signal.SIGUSR1)
    until(lambda: not is_there(pid), "the server has been replaced")


def kill_supervisor(daemon):
    pid = daemon.pid
    os.kill(pid, signal.SIGKILL)
    until(lambda: not is_there(pid), "the supervisor is gone")
    daemon.expected_to_live = False
    daemon.nursery.adopt(until(lambda: daemon.pid if daemon.pid != pid else None, "an heir"))


CHANGES = pytest.mark.parametrize("change", [kill_server, upgrade, kill_supervisor],
                                  ids=lambda f: f.__name__)


def pends_over(waiting, change, daemon, nursery, disk):
    """What waits for the filesystem waits on, and others are served, however often that is done."""
    for _ in range(3):
        change(daemon)
        others_are_served(daemon, nursery, disk, 10)
        assert waiting.is_answered() is None


@CHANGES
def test_a_pending_lock_survives_the_server(still, inside, nursery, disk, change):
    path = still.make()
    still.stop()
    waiting = wait_for_lock(inside, nursery, path)
    pends_over(waiting, change, inside, nursery, disk)
    still.go()
    assert waiting.answer().ok
    assert waiting.client.release(path, serial=8).ok
    assert is_free(inside, nursery, path)


def test_a_killed_server_leaves_no_second_worker(still, inside, nursery, disk):
    path = still.make()
    before = descriptors_at_rest(inside)
    still.stop()
    waiting = wait_for_lock(inside, nursery, path)
    worker = inside.workers
    kill_server(inside)
    others_are_served(inside, nursery, disk, 1)
    assert inside.workers == worker
    still.go()
    assert waiting.answer().ok
    assert waiting.client.release(path, serial=8).ok
    waiting.client.close()
    no_descriptor_is_left(inside, before)


def test_a_release_is_answered_when_the_lock_is_free(still, inside, nursery, disk):
    path, vm = still.make(), nursery.sleeper()
    before = descriptors_at_rest(inside)
    with inside.connect_as(Owner("slow", vm.pid)) as own:
        assert own.acquire(path).ok
        still.stop()
        waiting = Waiting(inside, Owner("slow", vm.pid), Proc.RELEASE, path)
        until(lambda: inside.workers, "a worker is busy")
        others_are_served(inside, nursery, disk, 20)
        answer = own.acquire(path)
        assert answer.verdict == BUSY and "being given back" in answer.error.message
        assert waiting.is_answered() is None
        still.go()
        assert waiting.answer().ok
        assert own.acquire(path).ok
        assert own.release(path).ok
    waiting.client.close()
    no_descriptor_is_left(inside, before)


@CHANGES
def test_a_pending_release_survives_the_server(still, inside, nursery, disk, change):
    path, vm = still.make(), nursery.sleeper()
    with inside.connect_as(Owner("slow", vm.pid)) as own:
        assert own.acquire(path).ok
    still.stop()
    waiting = Waiting(inside, Owner("slow", vm.pid), Proc.RELEASE, path)
    until(lambda: inside.workers, "a worker is busy")
    pends_over(waiting, change, inside, nursery, disk)
    still.go()
    assert waiting.answer().ok
    assert is_free(inside, nursery, path)


def test_who_leaves_after_a_release_has_released(still, inside, nursery):
    path, vm = still.make(), nursery.sleeper()
    with inside.connect_as(Owner("slow", vm.pid)) as own:
        assert own.acquire(path).ok
    still.stop()
    waiting = Waiting(inside, Owner("slow", vm.pid), Proc.RELEASE, path)
    until(lambda: inside.workers, "a worker is busy")
    waiting.client.close()
    kill_server(inside)
    still.go()
    until(lambda: not inside.workers, "the worker has ended")
    assert is_free(inside, nursery, path)


def test_a_vm_that_has_released_all_is_not_ended_for_leaving(still, inside, nursery):
    path, vm = still.make(), nursery.vm("web1")
    own = vm.own_connection(inside)
    assert own.acquire(path).ok
    still.stop()
    waiting = Waiting(inside, Owner("web1", vm.pid), Proc.RELEASE, path)
    until(lambda: inside.workers, "a worker is busy")
    own.close()
    for _ in range(3):
        with inside.connect() as client:
            assert client.ping()
    assert "ending it" not in inside.log() and is_there(vm.pid)
    still.go()
    assert waiting.answer().ok
    assert is_there(vm.pid)


@pytest.mark.parametrize("change", [None, kill_server], ids=["alone", "kill_server"])
def test_all_is_released_when_that_is_answered(still, inside, nursery, disk, change):
    paths, local = [still.make("a"), still.make("b")], disk("local.img")
    with inside.connect_as(Owner("web1", nursery.sleeper().pid)) as client:
        assert all(client.acquire(path).ok for path in [*paths, local])
        still.stop()
        with wire.Connection(inside.own_socket) as asker:
            asker.send(frame(RELEASE_ALL, wire.u32(0), prog=HOLDFAST_PROGRAM, serial=9))
            until(lambda: inside.workers, "a worker is busy")
            if change:
                change(inside)
            assert asker.receive(0.2).outcome == "silence"
            assert client.acquire(local).ok, "others go on, and what they take now is theirs"
            still.go()
            answer = asker.receive(10)
            assert answer.ok and answer.serial == 9
            assert all(is_free(inside, nursery, path) for path in paths)
            assert not is_free(inside, nursery, local)


def test_the_locks_of_a_vm_that_dies_are_given_back_when_that_is_possible(still, inside, nursery,
                                                                           disk):
    paths = [still.make(f"disk{n}") for n in range(3)]
    local = disk("local.img")
    vm = nursery.vm("web1")
    own = vm.own_connection(inside)
    assert all(own.acquire(path).ok for path in [*paths, local])
    still.stop()
    vm.kill()
    until(lambda: is_free(inside, nursery, local), "the lock elsewhere is free")
    others_are_served(inside, nursery, disk, 10)
    kill_server(inside)
    others_are_served(inside, nursery, disk, 10)
    still.go()
    for path in paths:
        until(lambda p=path: is_free(inside, nursery, p), "the lock is free")


def test_what_a_worker_was_killed_at_is_done_by_another_one(still, inside, nursery):
    path = still.make()
    still.stop()
    waiting = wait_for_lock(inside, nursery, path)
    killed = inside.workers[0]
    os.kill(killed, signal.SIGKILL)
    until(lambda: [worker for worker in inside.workers if worker != killed], "another worker")
    still.go()
    assert waiting.answer().ok


def test_what_workers_are_killed_at_again_and_again_is_an_error(still, inside, nursery):
    path = still.make()
    still.stop()
    waiting, killed = wait_for_lock(inside, nursery, path), []
    while len(killed) < 5:
        killed.append(until(lambda: [w for w in inside.workers if w not in killed],
                            "another worker")[0])
        os.kill(killed[-1], signal.SIGKILL)
    answer = waiting.answer()
    assert not answer.ok and "try again" in answer.error.message
    still.go()
    assert is_free(inside, nursery, path)


def test_a_lockspace_on_a_filesystem_that_hangs_is_waited_for(still, holdfastd, nursery, disk):
    daemon = holdfastd(wrapper=still.enter, conf="filesystem_timeout = 1\n")
    still.stop()
    with daemon.connect_as(Owner("slow", nursery.sleeper().pid)) as client:
        answer = client.create_lockspace(still.path("space"))
        assert not answer.ok and still.point in answer.error.message
    for call in ("create_resource", "delete_resource"):
        with daemon.connect_as(Owner("slow", nursery.sleeper().pid)) as client:
            assert "has not answered" in getattr(client, call)(still.path("x")).error.message
    others_are_served(daemon, nursery, disk, 10)


def test_the_daemon_can_be_stopped_while_a_filesystem_hangs(still, inside, nursery, disk):
    path, local, vm = still.make(), disk("local.img"), nursery.sleeper()
    with inside.connect_as(Owner("slow", vm.pid)) as own:
        assert own.acquire(path).ok and own.acquire(local).ok
        still.stop()
        waiting = [Waiting(inside, Owner("slow", vm.pid), Proc.RELEASE, path),
                   Waiting(inside, Owner("slow", vm.pid), Proc.ACQUIRE, still.path("other"))]
        until(lambda: inside.workers, "a worker is busy")
        begin = time.monotonic()
        inside.stop()
        assert time.monotonic() - begin < 5
        assert all(call.client.is_closed() for call in waiting)
    still.go()
    inside.start()
    with inside.connect_as(Owner("slow", vm.pid)) as own:
        assert own.acquire(local).ok


def name_in(path):
    return hashlib.sha256(path.encode()).hexdigest()


def test_a_hashed_name_of_something_that_hangs_is_waited_for(still, holdfastd, nursery, disk,
                                                             folder):
    daemon = holdfastd(wrapper=still.enter, conf="filesystem_timeout = 1\n")
    path, space = still.make(), os.path.join(folder, "space")
    slow = nursery.spawn([*still.enter, "sh", "-c", "sleep 600", path], stdin=subprocess.DEVNULL)
    until(lambda: name_of(slow.pid) in ("sh", "sleep"), "the VM is there")
    with daemon.connect_as(Owner("slow", slow.pid)) as client:
        assert client.create_lockspace(space).ok
        still.stop()
        answer = client.acquire(name_in(path), space=space, flags=AUTOCREATE)
        assert "has not answered" in answer.error.message
        image = disk("quick.img")
        quick = nursery.vm("quick", argv=[image])
        with daemon.connect_as(quick.owner) as other:
            assert other.acquire(name_in(image), space=space, flags=AUTOCREATE).ok
        still.go()
        assert client.acquire(name_in(path), space=space, flags=AUTOCREATE).ok
    twin = nursery.spawn([*still.enter, "sh", "-c", "sleep 600", still.point + "/./disk"],
                         stdin=subprocess.DEVNULL)
    until(lambda: name_of(twin.pid) in ("sh", "sleep"), "the VM is there")
    with daemon.connect_as(Owner("twin", twin.pid)) as client:
        answer = client.acquire(name_in(still.point + "/./disk"), space=space, flags=AUTOCREATE)
        assert answer.verdict == BUSY and "slow" in answer.error.message


def work_until(done, daemon, owner, resources, refused):
    """Takes and gives back in turn; whatever is not granted is noted."""
    with daemon.connect_as(owner) as client:
        while not done.is_set() and not refused:
            for path, flags in resources:
                answers = client.acquire(path, flags=flags), client.release(path)
                refused += [(path, answer) for answer in answers if not answer.ok]


def test_no_kill_at_any_time_costs_a_request_or_a_descriptor(still, inside, nursery, folder):
    chance, done, refused = random.Random(1), threading.Event(), []
    before = descriptors_at_rest(inside)
    threads = []
    for n in range(3):
        resources = [(still.make(f"disk{n}"), 0), (still.path(f"lease{n}"), AUTOCREATE),
                     (os.path.join(folder, f"lease{n}"), AUTOCREATE)]
        threads.append(threading.Thread(target=work_until, args=(
            done, inside, Owner(f"vm{n}", nursery.sleeper().pid), resources, refused)))
    for thread in threads:
        thread.start()
    for n in range(KILLS):
        time.sleep(chance.uniform(0.01, 0.08))
        server = until(lambda: inside.server_pid if inside.server_pid != inside.pid else 0,
                       "a server")
        if n % 8 == 7:
            still.stop()
        os.kill(server, signal.SIGKILL)
        until(lambda pid=server: not is_there(pid), "the server is gone")
        still.go()
    done.set()
    for thread in threads:
        thread.join()
    assert not refused, [str(answer.error) for _, answer in refused]
    no_descriptor_is_left(inside, before)
    assert "damaged" not in inside.log()


class Image(Namespace):
    """An ext4 of its own, which can be frozen."""

    def __init__(self, nursery, folder):
        super().__init__(nursery, folder)
        image = os.path.join(folder, "ext4.img")
        with open(image, "wb") as out:
            out.truncate(16 << 20)
        subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True, capture_output=True)
        try:
            self.run("mount", "-o", "loop", image, self.point)
        except subprocess.CalledProcessError as error:
            pytest.skip(f"no loop mounts here: {error.stderr.decode()}")
        nursery.at_end(lambda: self.run("umount", "-l", self.point))
        self.frozen = False

    def freeze(self):
        self.run("fsfreeze", "-f", self.point)
        self.frozen = True
        self.nursery.at_end(self.thaw)

    def thaw(self):
        if self.frozen:
            self.run("fsfreeze", "-u", self.point)
        self.frozen = False


@pytest.fixture
def ext4(nursery, folder):
    need_mounts()
    for tool in ("mkfs.ext4", "fsfreeze"):
        if not shutil.which(tool, path="/usr/sbin:/sbin:/usr/bin:/bin"):
            pytest.skip(f"{tool} is not installed")
    return Image(nursery, folder)


def test_a_frozen_disk_delays_only_who_would_write_on_it(ext4, holdfastd, nursery, disk):
    daemon = holdfastd(wrapper=ext4.enter)
    path, lease = ext4.make(), ext4.path("lease")
    before = descriptors_at_rest(daemon)
    with daemon.connect_as(Owner("web1", nursery.sleeper().pid)) as client:
        ext4.freeze()
        waiting = wait_for_lock(daemon, nursery, lease, AUTOCREATE)
        for _ in range(OTHERS):
            assert client.acquire(path).ok and client.release(path).ok
        kill_server(daemon)
        others_are_served(daemon, nursery, disk, 10)
        assert waiting.is_answered() is None
        ext4.thaw()
        assert waiting.answer().ok
        assert waiting.client.release(lease, flags=0, serial=8).ok
    assert not os.path.exists(ext4.outside("lease"))
    waiting.client.close()
    no_descriptor_is_left(daemon, before)


def test_an_overlay_that_copies_an_image_delays_nobody_else(holdfastd, nursery, folder):
    need_mounts()
    own = Namespace(nursery, folder)
    own.run("sh", "-e", "-c", """
            mount -t tmpfs layers "$0"; cd "$0"; mkdir lower upper work both
            head -c 300M /dev/zero > lower/disk
            mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work overlay both
            stat both/disk""", own.point)
    daemon = holdfastd(wrapper=own.enter)
    waiting = Waiting(daemon, Owner("slow", nursery.sleeper().pid), Proc.ACQUIRE,
                      own.path("both/disk"))
    until(lambda: daemon.workers, "a worker is busy")
    assert waiting.answer().ok


def test_a_block_device_is_left_to_a_worker(daemon, nursery, folder):
    need_mounts()
    image = os.path.join(folder, "disk.img")
    with open(image, "wb") as out:
        out.truncate(1 << 20)
    made = subprocess.run(["losetup", "--find", "--show", image], capture_output=True, text=True,
                          check=False)
    if made.returncode:
        pytest.skip(f"no loop devices here: {made.stderr}")
    device = made.stdout.strip()
    nursery.at_end(lambda: subprocess.run(["losetup", "-d", device], check=True))
    before = descriptors_at_rest(daemon)
    with daemon.connect_as(Owner("web1", nursery.sleeper().pid)) as client:
        assert client.acquire(device).ok
        with daemon.connect_as(Owner("web2", nursery.sleeper().pid)) as other:
            assert other.acquire(device).verdict == BUSY
        assert client.release(device).ok
    no_descriptor_is_left(daemon, before)
    assert not children(daemon.server_pid)
