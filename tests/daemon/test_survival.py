# SPDX-License-Identifier: LGPL-2.1-or-later
"""One process of the daemon is killed, or the daemon is upgraded: no client notices, no lock goes,
each request has its one answer. (All processes killed at once: test_recovery.py.)"""

import fcntl
import os
import random
import re
import shutil
import signal
import struct
import subprocess
import threading

import pytest
from hftest import wire
from hftest.daemons import HOLDFASTD, Holdfastd, read_pid
from hftest.files import lock_on_first_byte
from hftest.processes import children, is_there, kill_family, until
from hftest.ways import kill_server, kill_supervisor, replaced, upgrade
from hftest.wire import SHARED, Owner, Proc

BUSY = (87, 51)


def upgrade_half_killed(daemon):
    """The server is killed while it asks the new program."""
    server = daemon.server_pid
    daemon.signal(signal.SIGUSR1)
    try:
        os.kill(server, signal.SIGKILL)
    except ProcessLookupError:
        pass  # the upgrade was faster
    replaced(daemon, server)


WAYS = [kill_server, kill_supervisor, upgrade, upgrade_half_killed]


@pytest.fixture(params=WAYS, ids=lambda way: way.__name__)
def way(request):
    return request.param


@pytest.fixture
def paused(daemon):
    """Stops the server, so that what is sent meanwhile finds it gone."""
    def pause():
        os.kill(daemon.server_pid, signal.SIGSTOP)
    return pause


def resume_and(way, daemon):
    """The way, with a server that was stopped: SIGKILL needs no leave, all else does."""
    server = daemon.server_pid
    if way is kill_server:
        kill_server(daemon)
    else:
        os.kill(server, signal.SIGCONT)
        way(daemon)


# ---- connections ---------------------------------------------------------------------


def test_idle_connections_of_every_kind_go_on(daemon, nursery, disk, way):
    path, vm = disk(), nursery.vm("web1")
    own, bare = vm.own_connection(daemon), daemon.connect()
    restricted = daemon.connect_as(Owner("web1", vm.pid))
    assert own.acquire(path).ok and restricted.restrict().ok
    way(daemon)
    assert vm.alive and lock_on_first_byte(path) == "write lock"
    assert bare.ping().ok and own.ping().ok
    assert own.release(path).ok, "it is registered still, and has what it had"
    assert not restricted.acquire(path).ok, "what was restricted stays so"
    assert bare.register(Owner("late", vm.pid)).ok and bare.acquire(path).ok


def test_half_a_request_is_half_received(daemon, nursery, disk, way):
    path = disk()
    with daemon.connect_as(Owner("web1", nursery.sleeper().pid)) as client:
        request = wire.frame(Proc.ACQUIRE, wire.resource("", path, 0), serial=77)
        for cut in (2, 4, 28, len(request) - 1):
            client.send(request[:cut])
            way(daemon)
            client.send(request[cut:])
            answer = client.receive()
            assert answer.ok and answer.serial == 77
            assert client.release(path).ok


def test_what_was_sent_to_a_dead_server_is_answered_once_by_the_next(daemon, nursery, disk, paused,
                                                                     way):
    paths = [disk(f"{i}.img") for i in range(20)]
    with daemon.connect_as(Owner("web1", nursery.sleeper().pid)) as client:
        paused()
        for serial, path in enumerate(paths, 1):
            client.send(wire.frame(Proc.ACQUIRE, wire.resource("", path, 0), serial=serial))
            client.send(wire.frame(Proc.RELEASE, wire.resource("", path, 0), serial=100 + serial))
        resume_and(way, daemon)
        for serial in range(1, 21):
            for expected in (serial, 100 + serial):
                answer = client.receive()
                assert answer.ok and answer.serial == expected
        assert client.ping().ok, "and nothing comes behind"
    assert all(lock_on_first_byte(path) == "unlocked" for path in paths)


def test_a_connection_that_was_never_accepted_waits(daemon, paused, way):
    paused()
    with daemon.connect() as client:
        resume_and(way, daemon)
        assert client.ping().ok


def test_a_list_that_was_read_half_is_whole(daemon, nursery, disk, way):
    owner = Owner("web1", nursery.sleeper().pid)
    with daemon.connect_as(owner) as client:
        for i in range(400):
            assert client.acquire(disk(f"{'x' * 150}{i}.img")).ok
    with daemon.connect(timeout=30) as reader:
        # More than a socket takes: the answer is in the daemon's hands while nobody reads.
        for serial in range(1, 9):
            reader.send(wire.frame(4, struct.pack(">II", 0, 0), prog=0x486F6C64, serial=serial))
        until(lambda: os.path.exists(f"/proc/{daemon.server_pid}"), "a server")
        way(daemon)
        answers = [reader.receive() for _ in range(8)]
        assert [a.serial for a in answers] == list(range(1, 9))
        assert len({a.payload for a in answers}) == 1 and answers[0].payload.count(b"xxx.img") == 0
        assert answers[0].payload.count(b".img") >= 400


# ---- owners --------------------------------------------------------------------------


def test_a_vm_that_is_being_ended_is_ended(holdfastd, nursery, disk, way):
    daemon = holdfastd(conf="log_level = 2\n")
    path, vm = disk(), nursery.vm("web1")
    own = vm.own_connection(daemon)
    assert own.acquire(path).ok
    vm.ignore(signal.SIGTERM)
    own.close()
    until(lambda: "ending it" in daemon.log(), "the daemon has seen it")
    way(daemon)
    assert lock_on_first_byte(path) == "write lock", "as long as it lives"
    assert vm.ending() == signal.SIGKILL
    until(lambda: lock_on_first_byte(path) == "unlocked", "the lock of the ended VM")


def test_a_vm_that_dies_while_nobody_looks_leaves_nothing(daemon, nursery, disk, paused, way):
    paths = [disk(f"{i}.img") for i in range(50)]
    vm, other = nursery.vm("web1"), nursery.sleeper()
    own = vm.own_connection(daemon)
    assert all(own.acquire(path).ok for path in paths)
    with daemon.connect_as(Owner("web2", other.pid)) as manager:
        alone = disk("other.img")
        assert manager.acquire(alone).ok
    paused()
    vm.kill()
    vm.child.wait()
    other.kill()
    other.wait()
    resume_and(way, daemon)
    until(lambda: all(lock_on_first_byte(p) == "unlocked" for p in (*paths, alone)), "all is free")


def test_a_vm_that_lives_on_in_another_process_keeps_its_lock(daemon, nursery, disk, way):
    path, vm = disk(), nursery.vm("web1")
    own = vm.own_connection(daemon)
    assert own.acquire(path).ok
    carrier = nursery.adopt(vm.fork_carrier())
    vm.leave()
    way(daemon)
    assert lock_on_first_byte(path) == "write lock"
    os.kill(carrier, signal.SIGKILL)
    until(lambda: lock_on_first_byte(path) == "unlocked", "the lock goes with the last process")


# ---- locks ---------------------------------------------------------------------------


def test_refusals_name_the_holder_as_before(daemon, nursery, disk, way):
    path, shared, owner = disk(), disk("shared.img"), nursery.sleeper()
    alias = path + ".alias"
    os.symlink(path, alias)
    with daemon.connect_as(Owner("web1", owner.pid)) as client:
        assert client.acquire(path).ok and client.acquire(shared, flags=SHARED).ok
    way(daemon)
    with daemon.connect_as(Owner("web2", nursery.sleeper().pid)) as client:
        answer = client.acquire(alias)
        assert answer.verdict == BUSY
        assert "web1" in answer.error.message and str(owner.pid) in answer.error.message
        assert client.acquire(shared).verdict == BUSY
        assert client.acquire(shared, flags=SHARED).ok


def test_nobody_gets_a_lock_meanwhile(daemon, nursery, disk, way):
    paths = [disk(f"{i}.img") for i in range(100)]
    with daemon.connect_as(Owner("web1", nursery.sleeper().pid)) as client:
        assert all(client.acquire(path).ok for path in paths)
    files = [open(path, "r+b") for path in paths]
    before, stolen, tries = daemon.server_pid, 0, 0
    change = threading.Thread(target=way, args=(daemon,))
    change.start()
    while change.is_alive() or tries < 2000:
        for file in files:
            for command in (fcntl.F_OFD_SETLK, fcntl.F_SETLK):
                tries += 1
                try:
                    fcntl.fcntl(file, command, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 1, 0))
                    stolen += 1
                except OSError:
                    pass
    change.join()
    for file in files:
        file.close()
    assert daemon.server_pid != before and stolen == 0


def test_nothing_is_left_open_by_those_that_were_killed(daemon, nursery, disk):
    with daemon.connect_as(Owner("web1", nursery.sleeper().pid)) as client:
        assert client.acquire(disk()).ok

        def count():
            return len(os.listdir(f"/proc/{daemon.server_pid}/fd"))
        kill_server(daemon)
        assert client.ping().ok
        before = count()
        for way in [kill_server] * 10 + WAYS:
            way(daemon)
        assert client.ping().ok
        # A signal that came while one server was killed may make the next one ask once more.
        until(lambda: count() == before, "as many descriptors as before")


def test_a_server_that_crashes_at_one_request_again_and_again_refuses_it(daemon, nursery):
    """Where it crashes nobody knows here, so it is told by the signal that a fault would send."""
    with daemon.connect() as client:
        for number in (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS):
            server = daemon.server_pid
            os.kill(server, number)
            replaced(daemon, server)
            assert client.ping().ok, "an idle connection is not to blame"
    assert daemon.log().count("ended by signal") == 3


def test_any_size_of_state(daemon, nursery, disk, way):
    paths = [disk(f"{'n' * 100}{i}.img") for i in range(3000)]
    clients = [daemon.connect_as(Owner(f"web{i}", nursery.sleeper().pid)) for i in range(20)]
    for i, path in enumerate(paths):
        assert clients[i % 20].acquire(path).ok
    way(daemon)
    assert all(lock_on_first_byte(path) == "write lock" for path in paths[::100])
    for i, path in enumerate(paths):
        assert clients[i % 20].release(path).ok
    assert all(lock_on_first_byte(path) == "unlocked" for path in paths[::100])


# ---- the program -----------------------------------------------------------------------


@pytest.fixture
def installed(nursery, folder):
    """A daemon whose program is a file that can be replaced."""
    program = os.path.join(folder, "bin", "holdfastd")
    os.makedirs(os.path.dirname(program))
    shutil.copy(HOLDFASTD, program)

    class Installed(Holdfastd):
        def command(self):
            return [program, *self.argv()]
    daemon = Installed(nursery, os.path.join(folder, "d"))
    daemon.program = program
    return daemon


def install(daemon, content=None, mode=0o755):
    """Another file at the program's path; None: there is none."""
    os.unlink(daemon.program)
    if content is not None:
        with open(daemon.program, "wb") as out:
            out.write(content)
        os.chmod(daemon.program, mode)


@pytest.mark.parametrize("content, mode", [
    (None, 0), (b"", 0o755), (b"no program", 0o755), (b"#!/bin/sh\nexit 1\n", 0o755),
    (b"#!/bin/sh\nexit 0\n", 0o644), (b"\x7fELF broken", 0o755)],
    ids=["missing", "empty", "text", "says no", "not executable", "broken"])
def test_a_program_that_cannot_take_over_does_not(installed, nursery, disk, content, mode):
    path, server = disk(), installed.server_pid
    client = installed.connect_as(Owner("web1", nursery.sleeper().pid))
    assert client.acquire(path).ok
    install(installed, content, mode)
    installed.signal(signal.SIGUSR1)
    until(lambda: "serving on as before" in installed.log(), "the refusal is said")
    assert installed.program in installed.log()
    assert installed.server_pid == server and client.release(path).ok


def test_a_program_that_lacks_a_library_does_not_take_over(installed):
    with open(HOLDFASTD, "rb") as program:
        content = program.read()
    assert content.count(b"libsystemd.so.0") >= 1
    install(installed, content.replace(b"libsystemd.so.0", b"libsystemx.so.0"))
    server = installed.server_pid
    installed.signal(signal.SIGUSR1)
    until(lambda: "serving on as before" in installed.log(), "the refusal is said")
    assert installed.server_pid == server and installed.accepts()


def test_a_program_that_knows_another_state_does_not_take_over(installed):
    for version, status in (("4711", 1), ("", 1), ("1x", 1)):
        assert os.spawnv(os.P_WAIT, installed.program,
                         ["holdfastd", "-f", installed.conf, "--probe-state", version]) == status


def test_a_replaced_program_takes_over_with_the_new_settings(installed, nursery, disk):
    path = disk()
    client = installed.connect_as(Owner("web1", nursery.sleeper().pid))
    assert client.acquire(path).ok
    with open(installed.program, "rb") as program:
        content = program.read()
    install(installed, content)
    with open(installed.conf, "w", encoding="ascii") as conf:
        conf.write("max_clients = 2000\nlog_level = 2\n")
    upgrade(installed)
    until(lambda: "upgraded" in installed.log(), "the new program says so")
    limits = installed.virt_admin("srv-clients-info", "virtlockd").stdout
    assert re.search(r"nclients_max\s*:\s*2000", limits), limits
    assert not os.readlink(f"/proc/{installed.server_pid}/exe").endswith("(deleted)")
    assert client.release(path).ok


def test_wrong_settings_do_not_stop_a_successor(installed, nursery, disk, way):
    path = disk()
    client = installed.connect_as(Owner("web1", nursery.sleeper().pid))
    assert client.acquire(path).ok
    with open(installed.conf, "w", encoding="ascii") as conf:
        conf.write("max_clients = many\n")
    if way in (upgrade, upgrade_half_killed):
        installed.signal(signal.SIGUSR1)
        until(lambda: "serving on as before" in installed.log(), "an upgrade is refused")
    else:
        way(installed)
    assert client.release(path).ok


def test_the_pid_files_name_who_stands_for_the_daemon(daemon, way):
    way(daemon)
    for path in (daemon.pidfile, os.path.join(daemon.run_dir, "holdfast", "holdfastd.pid")):
        with open(path, encoding="ascii") as text:
            pid = int(text.read())
        assert pid == daemon.pid and is_there(pid) and children(pid) == [daemon.server_pid]
    daemon.stop() if way is not kill_supervisor else os.kill(daemon.pid, signal.SIGTERM)
    until(lambda: not os.path.exists(daemon.pidfile), "it stops as it should")
    daemon.expected_to_live = False


def test_a_damaged_record_costs_its_own_lock_only_and_is_reported(daemon, nursery, disk):
    kept, lost = disk("kept.img"), disk("lost.img")
    with daemon.connect_as(Owner("web1", nursery.sleeper().pid)) as client:
        assert client.acquire(kept).ok and client.acquire(lost).ok
    state = os.path.join(daemon.run_dir, "holdfast", "holdfastd.state")
    with open(state, "r+b") as table:
        content = table.read()
        at = content.index(b"lost.img\0")
        table.seek(at)
        table.write(b"LOST")
    kill_server(daemon)
    until(lambda: "damaged" in daemon.log(), "it is reported")
    assert lock_on_first_byte(kept) == "write lock"
    with daemon.connect_as(Owner("web2", nursery.sleeper().pid)) as client:
        assert client.acquire(kept).verdict == BUSY
        assert client.acquire(lost).ok


def area_of(daemon):
    """Where the server has the memory that outlives it: begin and end."""
    with open(f"/proc/{daemon.server_pid}/maps", encoding="ascii") as maps:
        for line in maps:
            if "holdfast-keeper" in line:
                begin, end = line.split()[0].split("-")
                return int(begin, 16), int(end, 16)
    raise AssertionError("no such memory")


@pytest.mark.parametrize("seed", range(12))
def test_damaged_connections_cost_themselves_only(daemon, nursery, disk, seed):
    path, random_ = disk(), random.Random(seed)
    client = daemon.connect_as(Owner("web1", nursery.sleeper().pid))
    assert client.acquire(path).ok
    others = [daemon.connect_as(Owner("web2", nursery.sleeper().pid)) for _ in range(4)]
    assert all(other.acquire(path).verdict == BUSY for other in others)
    begin, _ = area_of(daemon)
    daemon.signal(signal.SIGSTOP)
    with open(f"/proc/{daemon.server_pid}/mem", "r+b", buffering=0) as memory:
        memory.seek(begin)
        content = memory.read(8 << 20)
        # Their names are in the records.
        places = [match.start() for match in re.finditer(b"web2", content)]
        assert places
        for place in places:
            for _ in range(random_.randrange(1, 30)):
                memory.seek(begin + max(0, place - random_.randrange(0, 700)))
                memory.write(random_.randbytes(random_.choice((1, 4, 8))))
    kill_server(daemon)
    assert lock_on_first_byte(path) == "write lock"
    assert client.ping().ok and client.release(path).ok
    with daemon.connect_as(Owner("web3", nursery.sleeper().pid)) as late:
        assert late.acquire(path).ok and late.release(path).ok
    assert daemon.log().count("ended by signal") == 1, "no server crashed"


# ---- what ends, ends; what is damaged costs itself ----------------------------------


def test_a_server_that_is_killed_on_its_way_out_is_not_followed(holdfastd):
    for turn in range(8):
        daemon = holdfastd(subdir=f"d{turn}")
        clients = [daemon.connect() for _ in range(100)]
        assert clients[-1].ping().ok
        supervisor, server = daemon.pid, daemon.server_pid
        daemon.expected_to_live = False
        # To the server alone: nobody notes that it was asked to stop.
        os.kill(server, signal.SIGTERM)
        assert clients[-1].receive() == wire.CLOSED
        try:
            os.kill(server, signal.SIGKILL)
        except ProcessLookupError:
            pass  # it was faster
        until(lambda: not is_there(supervisor), "the end of the daemon")


def test_a_watch_that_is_damaged_is_made_again(daemon, nursery, disk):
    path, vm = disk(), nursery.sleeper()
    with daemon.connect_as(Owner("web1", vm.pid)) as client, daemon.connect() as other:
        assert client.acquire(path).ok
        damage_pidfd(daemon, vm.pid)
        kill_server(daemon)
        assert other.ping().ok and lock_on_first_byte(path) == "write lock"
    vm.kill()
    vm.wait()
    until(lambda: lock_on_first_byte(path) == "unlocked", "the end of the VM is noticed")


def damage_pidfd(daemon, pid):
    """The number that a record of an owner has for its watch leads nowhere."""
    server = daemon.server_pid
    number = next(int(fd) for fd in os.listdir(f"/proc/{server}/fdinfo")
                  if f"Pid:\t{pid}\n" in open(f"/proc/{server}/fdinfo/{fd}").read())
    with open(f"{daemon.run_dir}/holdfast/holdfastd.state", "r+b") as state:
        data = state.read(64 << 20)
        record = re.search(re.escape(struct.pack("i", pid)) + b".{76}" +
                           re.escape(struct.pack("i", number)), data, re.S)
        assert record, "the layout of an owner has changed"
        state.seek(record.end() - 4)
        state.write(struct.pack("i", 12345))


# ---- in the background --------------------------------------------------------------


@pytest.mark.parametrize("event", ["upgrade", "heir"])
def test_a_configuration_of_a_relative_path_is_found_again(nursery, folder, event):
    """In the background the daemon is in another working directory."""
    log = os.path.join(folder, "log")
    daemon = Holdfastd(nursery, folder, start=False, conf=f'log_outputs = "1:file:{log}"\n'
                                                          "log_level = 1\n")
    daemon.exactly = ["-d", "-f", "daemon.conf", "-p", daemon.pidfile]
    subprocess.run(daemon.command(), env=daemon.environment(), cwd=folder, check=True,
                   stdin=subprocess.DEVNULL, timeout=20)
    pid = read_pid(f"{folder}/holdfast/holdfastd.pid")
    try:
        os.kill(pid, signal.SIGUSR1 if event == "upgrade" else signal.SIGKILL)
        said = "upgraded to" if event == "upgrade" else "replaced the supervisor"
        until(lambda: said in open(log).read(), "the successor logs as configured")
    finally:
        kill_family(read_pid(f"{folder}/holdfast/holdfastd.pid"))
