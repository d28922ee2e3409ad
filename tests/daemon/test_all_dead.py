# SPDX-License-Identifier: LGPL-2.1-or-later
"""All processes of the daemon are killed at once, with a service manager that keeps the
descriptors of its locks: nobody gets a lock, and the next daemon has them all."""

import fcntl
import os
import random
import signal
import subprocess
import sys
import threading
import time

import pytest
from hftest import daemons, ways, wire
from hftest.command import Cli
from hftest.competitor import Competitor
from hftest.fdstore import FdStore
from hftest.files import lock_on_first_byte
from hftest.processes import children, until
from hftest.wire import AUTOCREATE, SHARED, Owner

BUSY = (87, 51)
HOLDFAST_PROGRAM = 0x486F6C64
RELEASE_ALL = 6

WAYS = [ways.kill_server, ways.upgrade, ways.kill_supervisor]

# How long nobody of ours lives.
DEAD_SECONDS = 0.15


@pytest.fixture
def store(nursery, folder):
    return FdStore(nursery, folder)


@pytest.fixture
def kept(holdfastd, store):
    """A daemon whose descriptors are kept."""
    return store.start(holdfastd(start=False))


def take(daemon, name, vm, *paths, flags=0, space=""):
    with daemon.connect_as(Owner(name, vm.pid)) as client:
        for path in paths:
            answer = client.acquire(path, space, flags)
            assert answer.ok, answer


def refusal(daemon, nursery, path, flags=0):
    """What somebody else is told who wants the disk."""
    with daemon.connect_as(Owner("other", nursery.sleeper().pid)) as other:
        answer = other.acquire(path, flags=flags)
        assert answer.verdict == BUSY, answer
        return answer.error.message


def die_and_return(daemon, store, competitor):
    """Everything of ours is dead for a while; what the competitor got until all is well again."""
    competitor.count()
    daemon.kill()
    began = time.monotonic()
    tries = 0
    got = {}
    while time.monotonic() - began < DEAD_SECONDS:
        more, got_now = competitor.count()
        tries += more
        got.update(got_now)
    assert tries > 1000, "the competitor was there"
    if store:
        store.start(daemon)
    else:
        daemon.start()
    _, got_now = competitor.count()
    got.update(got_now)
    return got


def test_no_lock_is_free_while_everything_of_ours_is_dead(kept, store, nursery, disk):
    alone = [disk(f"alone{i}.img") for i in range(20)]
    shared = disk("shared.img")
    one, two = nursery.sleeper(), nursery.sleeper()
    take(kept, "one", one, *alone[:10])
    take(kept, "two", two, *alone[10:])
    take(kept, "one", one, shared, flags=SHARED)
    take(kept, "two", two, shared, flags=SHARED)
    competitor = Competitor(nursery, [*alone, shared])
    for _ in range(3):
        assert die_and_return(kept, store, competitor) == {}
    competitor.stop()
    for path in alone[:10]:
        assert "one" in refusal(kept, nursery, path)
    for path in alone[10:]:
        assert str(two.pid) in refusal(kept, nursery, path)
    assert lock_on_first_byte(shared) == "read lock"
    assert len(store.names) == 1
    # One lock still, that goes as a whole.
    with kept.connect_as(Owner("one", one.pid)) as client:
        for path in alone[:10]:
            assert client.release(path).ok and lock_on_first_byte(path) == "unlocked"
        assert client.release(shared).ok
    assert lock_on_first_byte(shared) == "read lock"
    two.kill()
    two.wait()
    until(lambda: {lock_on_first_byte(p) for p in [*alone, shared]} == {"unlocked"}, "all is free")


# ---- VMs that carry duplicates -------------------------------------------------------


@pytest.fixture
def cli(nursery, folder, daemon):
    return Cli(nursery, folder, daemon.run_dir)


def vmm_of(cli, name):
    return cli.vms()[name]["pid"]


def locked_descriptors(pid, path):
    """The descriptors of a process that have the file's first byte locked: the kernel's words."""
    found = []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        if os.readlink(f"/proc/{pid}/fd/{fd}") != path:
            continue
        with open(f"/proc/{pid}/fdinfo/{fd}", encoding="ascii") as text:
            found += [line.split()[4] for line in text if line.startswith("lock:")]
    return found


def test_vms_of_holdfast_run_keep_their_locks_themselves(cli, daemon, nursery, disk):
    paths, shared = [disk(f"disk{i}.img") for i in range(4)], disk("shared.img")
    for name, mine in (("web0", paths[:2]), ("web1", paths[2:])):
        cli.hold(name, *(f"--disk={path}" for path in mine), f"--disk={shared}:shared")
    pids = {name: vmm_of(cli, name) for name in ("web0", "web1")}
    competitor = Competitor(nursery, [*paths, shared])
    for _ in range(3):
        assert die_and_return(daemon, None, competitor) == {}
    competitor.stop()
    for path in paths:
        assert ("web0" if path in paths[:2] else "web1") in refusal(daemon, nursery, path)
    assert {name: vm["pid"] for name, vm in cli.vms().items()} == pids
    # A release frees what the VM carries, too.
    with daemon.connect_as(Owner("web0", pids["web0"])) as client:
        for path in (*paths[:2], shared):
            assert client.release(path).ok
    assert {lock_on_first_byte(path) for path in paths[:2]} == {"unlocked"}
    assert lock_on_first_byte(shared) == "read lock"
    assert locked_descriptors(pids["web0"], paths[0]) == []
    # So does the VM's end.
    os.kill(pids["web1"], signal.SIGKILL)
    until(lambda: {lock_on_first_byte(path) for path in (*paths, shared)} == {"unlocked"},
          "the locks of the dead VM are gone")


@pytest.mark.parametrize("event", WAYS)
def test_what_vms_carry_is_known_to_every_server(cli, daemon, nursery, disk, event):
    path, shared = disk(), disk("shared.img")
    cli.hold("web0", f"--disk={path}", f"--disk={shared}:shared")
    vmm = vmm_of(cli, "web0")
    event(daemon)
    daemon.await_answering()
    nursery.adopt(daemon.pid)
    competitor = Competitor(nursery, [path, shared])
    assert die_and_return(daemon, None, competitor) == {}
    competitor.stop()
    assert "web0" in refusal(daemon, nursery, path)
    with daemon.connect_as(Owner("web0", vmm)) as client:
        assert client.release(path).ok and client.release(shared).ok
    assert lock_on_first_byte(path) == lock_on_first_byte(shared) == "unlocked"


def test_who_shares_a_disk_carries_a_descriptor_that_only_reads(cli, daemon, disk):
    path = disk()
    cli.hold("web0", f"--disk={path}:shared")
    pid = vmm_of(cli, "web0")
    fds = [fd for fd in os.listdir(f"/proc/{pid}/fd") if os.readlink(f"/proc/{pid}/fd/{fd}") == path]
    assert len(fds) == 1
    with open(f"/proc/{pid}/fdinfo/{fds[0]}", encoding="ascii") as text:
        flags = int(text.read().split("flags:")[1].split()[0], 8)
    assert flags & os.O_ACCMODE == os.O_RDONLY and not flags & os.O_CLOEXEC


def test_a_vm_that_may_not_be_asked_for_its_descriptor_keeps_its_lock(nursery, folder, holdfastd,
                                                                      disk):
    """Without the right to trace other processes, as in a sandbox or under Yama."""
    daemon = holdfastd(wrapper=["setpriv", "--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace"])
    cli = Cli(nursery, folder, daemon.run_dir)
    path, shared = disk(), disk("shared.img")
    child = cli.hold("web0", f"--disk={path}", f"--disk={shared}:shared")
    competitor = Competitor(nursery, [path, shared])
    assert die_and_return(daemon, None, competitor) == {}
    competitor.stop()
    log = daemon.log()
    assert "web0" in log and "by a descriptor of its own" in log and path in log
    refusal(daemon, nursery, path)
    assert "web0" in refusal(daemon, nursery, shared)
    child.terminate()
    child.wait(10)
    until(lambda: lock_on_first_byte(path) == lock_on_first_byte(shared) == "unlocked",
          "the locks go with the VM")


def test_a_vm_that_has_left_its_first_process_is_known_again(cli, daemon, nursery, disk):
    """As with -daemonize: the process that lives on has the disk, the lock and the connection."""
    path = disk()
    child = cli.start("run", "--name=web0", f"--disk={path}", "--", "sh", "-c",
                      f"exec 9<>'{path}'; sleep 600 & echo $!", stdout=subprocess.PIPE)
    carrier = nursery.adopt(int(child.stdout.readline()))
    assert child.wait(10) == 0
    competitor = Competitor(nursery, [path])
    assert die_and_return(daemon, None, competitor) == {}
    competitor.stop()
    text = refusal(daemon, nursery, path)
    assert "web0" in text and str(carrier) in text
    os.kill(carrier, signal.SIGKILL)
    until(lambda: lock_on_first_byte(path) == "unlocked", "the lock goes with the carrier")


# ---- clients that carry nothing ------------------------------------------------------


def test_without_a_keeper_the_gap_is_short_and_what_others_took_is_said(daemon, nursery, disk,
                                                                       capsys):
    """Stock clients, no service manager: this is what remains of the gap, as a measure."""
    paths, vm = [disk(f"disk{i}.img") for i in range(50)], nursery.sleeper()
    taken = disk("taken.img")
    take(daemon, "web1", vm, *paths, taken)
    daemon.kill()
    began = time.monotonic()
    with open(taken, "r+b") as image:
        fcntl.lockf(image, fcntl.LOCK_EX | fcntl.LOCK_NB, 1)
        daemon.start(wait=False)
        until(lambda: lock_on_first_byte(paths[-1]) == "write lock", "the locks are held again")
        gap = time.monotonic() - began
        daemon.await_answering()
        log = daemon.log()
        assert "web1" in log and taken in log and str(os.getpid()) in log
        assert not any(path in log for path in paths)
    assert {lock_on_first_byte(path) for path in paths} == {"write lock"}
    with capsys.disabled():
        print(f"\n  gap without a keeper, from the last kill to the last of {len(paths)} locks: "
              f"{gap * 1000:.1f} ms")


# ---- the lot -------------------------------------------------------------------------


def in_flight(path):
    """Whether the file is open somewhere that no process shows: a lease for writing needs to be
    the only opener."""
    fd = os.open(path, os.O_RDWR)
    try:
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(fd)


def test_a_released_disk_is_not_kept_open_and_the_rest_is_not_lost(kept, store, nursery, disk):
    """More than half, then a single one: nothing may keep a volume busy."""
    paths, vm = [disk(f"disk{i}.img") for i in range(40)], nursery.sleeper()
    take(kept, "web1", vm, *paths)
    competitor = Competitor(nursery, paths[30:])
    with kept.connect_as(Owner("web1", vm.pid)) as client:
        for path in paths[:30]:
            assert client.release(path).ok
    until(lambda: not any(in_flight(path) for path in paths[:30]), "the released ones are closed")
    assert len(store.names) == 1
    # Never without one: what replaces a lot is stored before that is removed.
    stored = 0
    for what, _ in store.history:
        stored += 1 if what == "store" else -1
        assert stored >= 1
    assert die_and_return(kept, store, competitor) == {}
    competitor.stop()
    with kept.connect_as(Owner("web1", vm.pid)) as client:
        assert client.release(paths[30]).ok
    until(lambda: not in_flight(paths[30]), "the single one is closed")
    competitor = Competitor(nursery, paths[31:])
    assert die_and_return(kept, store, competitor) == {}
    competitor.stop()
    for path in paths[31:]:
        assert "web1" in refusal(kept, nursery, path)
    assert len(store.names) == 1


@pytest.mark.parametrize("event", WAYS)
def test_a_lot_outlives_one_of_our_processes(kept, store, nursery, disk, event):
    before, after, vm = disk("before.img"), disk("after.img"), nursery.sleeper()
    take(kept, "web1", vm, before)
    event(kept)
    kept.await_answering()
    take(kept, "web1", vm, after)
    nursery.adopt(kept.pid)
    competitor = Competitor(nursery, [before, after])
    assert die_and_return(kept, store, competitor) == {}
    competitor.stop()
    for path in (before, after):
        assert "web1" in refusal(kept, nursery, path)


def test_what_a_vm_held_that_ended_meanwhile_is_free(kept, store, nursery, disk, folder):
    path, shared, vm, other = disk(), disk("shared.img"), nursery.sleeper(), nursery.sleeper()
    space = os.path.join(folder, "space")
    with kept.connect_as(Owner("web1", vm.pid)) as client:
        assert client.create_lockspace(space).ok
        assert client.acquire("a" * 64, space, AUTOCREATE).ok
        assert client.acquire("b" * 64, space, AUTOCREATE | SHARED).ok
    take(kept, "web2", other, "b" * 64, flags=AUTOCREATE | SHARED, space=space)
    take(kept, "web1", vm, path)
    take(kept, "web1", vm, shared, flags=SHARED)
    take(kept, "web2", other, shared, flags=SHARED)
    kept.kill()
    vm.kill()
    vm.wait()
    store.start(kept)
    assert lock_on_first_byte(path) == "unlocked"
    assert lock_on_first_byte(shared) == "read lock"
    assert os.listdir(space) == ["b" * 64]
    other.kill()
    other.wait()
    until(lambda: lock_on_first_byte(shared) == "unlocked" and os.listdir(space) == [],
          "the last sharer's lock is gone")


def test_a_daemon_that_is_killed_again_and_again_while_it_takes_its_locks_back(kept, store, nursery,
                                                                             disk):
    paths, vm = [disk(f"disk{i}.img") for i in range(200)], nursery.sleeper()
    take(kept, "web1", vm, *paths)
    competitor = Competitor(nursery, paths)
    chance = random.Random(7)
    kept.kill()
    for _ in range(int(os.environ.get("HF_KILLS", "12"))):
        store.start(kept, wait=False)
        # Python, which hands the descriptors over, takes the first part of this.
        time.sleep(chance.uniform(0.02, 0.08))
        kept.kill()
    store.start(kept)
    tries, got = competitor.count()
    assert tries > 1000 and got == {}
    competitor.stop()
    assert {lock_on_first_byte(path) for path in paths} == {"write lock"}
    assert "web1" in refusal(kept, nursery, paths[0]), kept.log()
    assert len(store.names) == 1
    with kept.connect_as(Owner("web1", vm.pid)) as client:
        for path in paths:
            assert client.release(path).ok
    assert {lock_on_first_byte(path) for path in paths} == {"unlocked"}


def kill_server(daemon):
    for pid in children(daemon.process.pid):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def serves(daemon):
    """Somebody is answered; a daemon that is about to end accepts as well."""
    try:
        with daemon.connect() as client:
            return client.ping(timeout=1).ok
    except OSError:
        return False


def test_a_server_that_is_killed_while_it_takes_its_locks_back(kept, store, nursery, disk):
    """Alone: its supervisor lives, and does not know where the locks are by then."""
    paths, vm = [disk(f"disk{i}.img") for i in range(200)], nursery.sleeper()
    take(kept, "web1", vm, *paths)
    competitor = Competitor(nursery, paths)
    chance = random.Random(11)
    for _ in range(int(os.environ.get("HF_KILLS", "12"))):
        kept.kill()
        store.start(kept, wait=False)
        time.sleep(chance.uniform(0.02, 0.06))
        kill_server(kept)
        kept.expected_to_live = False
        until(lambda: not kept.alive or serves(kept), "it serves or has ended")
        if not kept.alive:
            store.start(kept)
    kept.expected_to_live = True
    tries, got = competitor.count()
    assert tries > 1000 and got == {}
    competitor.stop()
    with kept.connect_as(Owner("web1", vm.pid)) as client:
        for path in paths:
            assert client.release(path).ok
    assert {lock_on_first_byte(path) for path in paths} == {"unlocked"}


def test_a_server_that_is_killed_while_it_parks_loses_nothing(kept, store, nursery, disk):
    """Kills of the server alone, at random, while locks come and go; then of everything."""
    paths, vm = [disk(f"disk{i}.img") for i in range(60)], nursery.sleeper()
    chance = random.Random(5)
    held = set()
    client = kept.connect_as(Owner("web1", vm.pid))
    stop = threading.Event()

    def assassin():
        while not stop.wait(chance.uniform(0.03, 0.12)):
            kill_server(kept)

    killer = threading.Thread(target=assassin)
    killer.start()
    try:
        end = time.monotonic() + float(os.environ.get("HF_SECONDS", "3"))
        while time.monotonic() < end:
            path = chance.choice(paths)
            if path in held:
                assert client.release(path).ok
                held.remove(path)
            else:
                assert client.acquire(path).ok
                held.add(path)
    finally:
        stop.set()
        killer.join()
        client.close()
    competitor = Competitor(nursery, sorted(held))
    assert die_and_return(kept, store, competitor) == {}
    competitor.stop()
    assert {path for path in paths if lock_on_first_byte(path) == "write lock"} == held
    with kept.connect_as(Owner("web1", vm.pid)) as client:
        for path in held:
            assert client.release(path).ok
    until(lambda: not any(in_flight(path) for path in paths), "nothing is kept open")
    assert len(store.names) == 1


def test_a_service_manager_that_keeps_nothing_is_named_once(nursery, folder, holdfastd, disk):
    store = FdStore(nursery, folder, room=0)
    daemon = store.start(holdfastd(start=False))
    vm = nursery.sleeper()
    store.settle()
    take(daemon, "web1", vm, disk("a.img"), disk("b.img"))
    assert daemon.log().count("FileDescriptorStoreMax=") == 1
    with daemon.connect_as(Owner("web1", vm.pid)) as client:
        assert client.release(disk("a.img")).ok
    assert "web1" in refusal(daemon, nursery, os.path.join(folder, "b.img"))


def test_a_stop_leaves_the_locks_with_the_service_manager_and_nothing_if_there_are_none(
        kept, store, nursery, disk):
    path, vm = disk(), nursery.sleeper()
    take(kept, "web1", vm, path)
    kept.stop()
    assert lock_on_first_byte(path) == "write lock" and vm.poll() is None
    store.start(kept)
    with kept.connect_as(Owner("web1", vm.pid)) as client:
        assert client.release(path).ok
    kept.stop()
    assert store.names == []


# ---- --release-all -------------------------------------------------------------------


def release_all(daemon, cli):
    return subprocess.run([daemons.HOLDFASTD, "--release-all"], env=cli.env, timeout=30,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


def test_release_all_frees_what_a_daemon_holds_and_ends_no_vm(kept, store, nursery, disk, folder):
    cli = Cli(nursery, folder, kept.run_dir)
    own, path = disk("own.img"), disk()
    vm, child = nursery.sleeper(), cli.hold("web0", f"--disk={own}")
    take(kept, "web1", vm, path)
    said = release_all(kept, cli)
    assert (said.returncode, said.stdout) == (0, "2 locks released\n"), said
    assert lock_on_first_byte(path) == lock_on_first_byte(own) == "unlocked"
    assert vm.poll() is None and child.poll() is None
    assert release_all(kept, cli).stdout == "0 locks released\n"


def test_release_all_without_a_daemon_frees_what_vms_carry_and_forgets_the_rest(
        cli, daemon, nursery, disk):
    own, path = disk("own.img"), disk()
    vm, child = nursery.sleeper(), cli.hold("web0", f"--disk={own}")
    take(daemon, "web1", vm, path)
    daemon.kill()
    assert lock_on_first_byte(own) == "write lock"
    said = release_all(daemon, cli)
    assert said.returncode == 0 and said.stdout.startswith("no daemon runs; 2 locks"), said
    assert "1 of them" in said.stdout
    assert lock_on_first_byte(own) == "unlocked"
    daemon.start()
    assert lock_on_first_byte(own) == lock_on_first_byte(path) == "unlocked"
    assert vm.poll() is None and child.poll() is None


def test_who_only_looks_and_who_is_restricted_release_nothing(daemon, nursery, disk):
    path, vm = disk(), nursery.sleeper()
    take(daemon, "web1", vm, path)
    with wire.Connection(daemon.own_socket_ro) as reader:
        assert not reader.call(RELEASE_ALL, wire.u32(0), prog=HOLDFAST_PROGRAM).ok
    with daemon.connect_as(Owner("web1", vm.pid)) as client:
        assert client.restrict().ok
        assert not client.call(RELEASE_ALL, wire.u32(0), prog=HOLDFAST_PROGRAM).ok
    assert lock_on_first_byte(path) == "write lock"


# ---- who is given a duplicate --------------------------------------------------------

# Registers somebody, asks with the flag, says how many descriptors came; lives until it is killed.
ASKS = """
import os, socket, sys, time
sys.path.insert(0, sys.argv[1])
from hftest import wire
path, space, name, flags, pid = *sys.argv[2:5], int(sys.argv[5]), int(sys.argv[6])
client = wire.Connection(path)
assert client.register(wire.Owner("web0", pid or os.getpid())).ok
assert not space or client.create_lockspace(space).ok
client.send(wire.frame(2, wire.string(space) + wire.string(name) + wire.u32(flags | 0x100) +
                       wire.u32(0) + bytes(16) + wire.string(""),
                       prog=0x486F6C64))
data, fds, _, _ = socket.recv_fds(client.transport.sock, 65536, 8)
print(len(fds), flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("own, flags, space, expected",
                         [(True, 0, False, 1), (True, SHARED, False, 1), (True, AUTOCREATE, True, 1),
                          (True, SHARED | AUTOCREATE, True, 0), (False, 0, False, 0)])
def test_a_duplicate_is_for_the_owner_itself_and_never_more_than_its_lock_needs(
        daemon, nursery, disk, folder, own, flags, space, expected):
    name = "a" * 64 if space else disk()
    directory = os.path.join(folder, "space") if space else ""
    owner = 0 if own else nursery.sleeper().pid
    asks = nursery.spawn([sys.executable, "-c", ASKS, os.path.join(daemons.REPO, "tests", "lib"),
                          daemon.socket, directory, name, str(flags), str(owner)],
                         stdout=subprocess.PIPE, text=True)
    assert asks.stdout.readline() == f"{expected}\n"
    locked = os.path.join(directory, name)
    assert lock_on_first_byte(locked) == ("read lock" if flags & SHARED else "write lock")
