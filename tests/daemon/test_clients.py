# SPDX-License-Identifier: LGPL-2.1-or-later
"""Connections that stand for themselves: what is locked by one goes when the last who has it
open closes it, nobody is ended for that, and no kill of the daemon's changes it."""

import os
import signal
import socket
import subprocess
import sys

from hftest import own_program, wire
from hftest.command import Cli
from hftest.files import lock_on_first_byte
from hftest.processes import is_there, until
from hftest.ways import kill_server, kill_supervisor, upgrade
from hftest.wire import AUTOCREATE, SHARED, Owner

BUSY = (87, 51)
SETTINGS_WRONG = (55, 7)

CARRIED = 1


def is_free(path):
    return lock_on_first_byte(path) == "unlocked"


def is_locked(path):
    return lock_on_first_byte(path) == "write lock"


def freed(path):
    return until(lambda: is_free(path), f"{path} is free")


def stand(daemon, name="backup", **how):
    connection = daemon.connect()
    answer = own_program.client(connection, name, **how)
    assert answer.ok, answer
    return connection


def stand_as(vm, daemon, name="backup"):
    """The same from another process."""
    connection = vm.connect(daemon.socket)
    answer = own_program.client(connection, name)
    assert answer.ok, answer
    return connection


def take(connection, *paths, flags=0):
    for path in paths:
        answer = connection.acquire(path, flags=flags)
        assert answer.ok, answer


def owner_of(daemon, name):
    with daemon.connect() as looker:
        found = [owner for owner in own_program.owners(looker) if owner.name == name]
    return found[0] if found else None


# ---- the connection ends ----


def test_what_is_held_goes_with_the_connection_and_nobody_is_ended(daemon, nursery, disk):
    path, other = disk("one.img"), disk("two.img")
    vm = nursery.vm("script")
    connection = stand_as(vm, daemon)
    take(connection, path, other)
    assert is_locked(path) and is_locked(other)
    connection.close()
    freed(path)
    freed(other)
    assert vm.alive and vm.ask("open", path=path, flags=os.O_RDWR) >= 0
    until(lambda: not owner_of(daemon, "backup"), "its record is gone")


def test_a_lock_is_free_for_the_next_request_after_the_close(daemon, disk):
    """In the same turn: whoever asks after the daemon saw the end is not refused."""
    path = disk()
    other = stand(daemon, "other")
    for _ in range(50):
        connection = stand(daemon)
        take(connection, path)
        connection.half_close()
        assert connection.is_closed()
        assert other.acquire(path).ok
        assert other.release(path).ok


def test_more_locks_than_go_in_one_turn_go_with_the_connection(daemon, folder, disk):
    paths = [disk(f"{number}.img") for number in range(200)]
    connection = stand(daemon)
    take(connection, *paths)
    connection.close()
    until(lambda: all(is_free(path) for path in paths), "all are free")
    until(lambda: not owner_of(daemon, "backup"), "its record is gone")


def test_a_child_that_has_the_connection_keeps_the_locks(daemon, nursery, disk):
    path = disk()
    vm = nursery.vm("script")
    take(stand_as(vm, daemon), path)
    child = vm.fork_carrier()
    vm.kill()
    until(lambda: owner_of(daemon, "backup").state == CARRIED, "the child carries it")
    assert is_locked(path) and is_there(child)
    os.kill(child, signal.SIGKILL)
    freed(path)


def test_a_child_keeps_the_locks_while_its_parent_lives_on_without_them(daemon, nursery, disk):
    path = disk()
    vm = nursery.vm("script")
    connection = stand_as(vm, daemon)
    take(connection, path)
    child = vm.fork_carrier()
    connection.close()
    other = stand(daemon, "other")
    assert other.acquire(path).verdict == BUSY
    assert is_locked(path) and vm.alive
    os.kill(child, signal.SIGKILL)
    freed(path)
    assert vm.alive


def test_a_holder_that_is_killed_leaves_nothing(daemon, nursery, folder, disk):
    path, space = disk(), os.path.join(folder, "space")
    vm = nursery.vm("script")
    connection = stand_as(vm, daemon)
    assert connection.create_lockspace(space).ok
    take(connection, path)
    assert connection.acquire("made", space, AUTOCREATE).ok
    assert os.path.exists(os.path.join(space, "made"))
    vm.kill()
    freed(path)
    until(lambda: not os.listdir(space), "the stand-in went with its lock")
    until(lambda: not owner_of(daemon, "backup"), "its record is gone")


# ---- whose it is ----


def test_one_process_has_many_and_is_a_vm_as_well(daemon, nursery, disk):
    paths = [disk(f"{number}.img") for number in range(5)]
    vm = nursery.vm("web1")
    own = vm.own_connection(daemon)
    take(own, paths[0])
    clients = [stand_as(vm, daemon, f"client{number}") for number in range(1, 5)]
    for client, path in zip(clients, paths[1:]):
        take(client, path)
        assert client.acquire(paths[0]).verdict == BUSY, "the VM's is not the client's"
        assert client.release(paths[0]).verdict != "ok"
    assert clients[0].acquire(paths[2]).verdict == BUSY, "nor one client's another one's"
    clients[1].close()
    freed(paths[2])
    assert [is_locked(path) for path in paths] == [True, True, False, True, True]
    assert vm.alive
    with daemon.connect() as looker:
        found = own_program.owners(looker)
    assert sorted((owner.name, owner.pid, owner.client) for owner in found) == [
        ("client1", vm.pid, True), ("client3", vm.pid, True), ("client4", vm.pid, True),
        ("web1", vm.pid, False)]
    own.close()
    assert vm.ending() == signal.SIGTERM
    for path in paths:
        freed(path)


def test_locks_are_shared_between_clients_and_vms(daemon, nursery, disk):
    path = disk()
    manager = daemon.connect_as(Owner("web1", nursery.sleeper().pid))
    take(manager, path, flags=SHARED)
    reader = stand(daemon)
    take(reader, path, flags=SHARED)
    assert manager.release(path).ok
    writer = daemon.connect_as(Owner("web2", nursery.sleeper().pid))
    answer = writer.acquire(path)
    assert answer.verdict == BUSY and f"backup (pid {os.getpid()}" in answer.error.message
    reader.close()
    until(lambda: writer.acquire(path).ok, "the writer has it")


def test_lists_say_that_it_is_no_vm(daemon, nursery, folder, disk):
    path = disk()
    connection = stand(daemon)
    take(connection, path)
    with daemon.connect() as looker:
        [owner] = own_program.owners(looker)
        [lock] = own_program.locks(looker)
    assert (owner.name, owner.pid, owner.client, owner.locks) == ("backup", os.getpid(), True, 1)
    assert len(owner.connections) == 1
    assert lock.owner.client and lock.klass == own_program.CONTENT and lock.name == path
    cli = Cli(nursery, folder, daemon.run_dir)
    assert "backup" in cli("ps").stdout
    assert "backup" in cli("who", path).stdout
    assert connection.release(path).ok


def test_without_a_name_it_has_its_programs(daemon, disk):
    connection = stand(daemon, "")
    with open("/proc/self/comm", encoding="ascii") as comm:
        assert owner_of(daemon, comm.read().strip()).client
    connection.close()


def test_a_client_is_told_once_what_it_cannot_be(daemon, nursery):
    registered = daemon.connect_as(Owner("web1", nursery.sleeper().pid))
    answer = own_program.client(registered, "backup")
    assert answer.verdict == SETTINGS_WRONG and "opens another one" in answer.error.message
    connection = stand(daemon)
    answer = connection.register(Owner("web1", os.getpid()))
    assert answer.verdict == SETTINGS_WRONG and "stands for itself" in answer.error.message
    with daemon.connect() as third:
        answer = own_program.client(third, "backup", pid=1)
        assert answer.verdict == (29, 51) and "pid 1 did not open" in answer.error.message
        assert own_program.client(third, "backup", flags=1).verdict == (8, 7)
        assert third.acquire("/dev/null").verdict == SETTINGS_WRONG, "it is nobody"
        assert own_program.client(third, "backup", pid=os.getpid()).ok


def test_who_says_so_twice_stays_what_it_is(daemon, disk):
    path = disk()
    connection = stand(daemon, "one")
    assert own_program.client(connection, "two").ok
    assert owner_of(daemon, "two") and not owner_of(daemon, "one")
    take(connection, path)
    assert own_program.client(connection, "three").ok
    assert is_locked(path) and owner_of(daemon, "two") and not owner_of(daemon, "three")
    assert connection.release(path).ok


OPENER = """
import socket, sys
pair = socket.socket(fileno=int(sys.argv[1]))
lock = socket.socket(socket.AF_UNIX)
lock.connect(sys.argv[2])
socket.send_fds(pair, [b"x"], [lock.fileno()])
"""


class Taken(wire.Transport):
    """A connection that another process has opened."""

    def __init__(self, sock):
        self.sock = sock


def test_a_connection_whose_opener_has_ended_stands_for_nobody(daemon):
    ours, its = socket.socketpair()
    with ours, its:
        subprocess.run([sys.executable, "-c", OPENER, str(its.fileno()), daemon.socket],
                       pass_fds=(its.fileno(),), check=True, timeout=20)
        _, [fd], _, _ = socket.recv_fds(ours, 1, 1)
    with wire.Connection(Taken(socket.socket(fileno=fd))) as connection:
        answer = own_program.client(connection, "backup")
        assert answer.verdict == (55, 51) and "not a running process" in answer.error.message
    assert not owner_of(daemon, "backup")


def test_the_read_only_socket_has_no_clients(daemon):
    with wire.Connection(daemon.own_socket_ro) as reader:
        assert own_program.client(reader).verdict == (29, 7)


# ---- kills ----


def test_a_kill_of_the_server_changes_nothing(daemon, nursery, disk):
    paths = [disk(f"{number}.img") for number in range(3)]
    vm = nursery.vm("script")
    connections = [stand_as(vm, daemon, f"client{number}") for number in range(3)]
    for connection, path in zip(connections, paths):
        take(connection, path)
    kill_server(daemon)
    assert all(is_locked(path) for path in paths)
    assert connections[0].release(paths[0]).ok
    assert is_free(paths[0])
    connections[1].close()
    freed(paths[1])
    assert is_locked(paths[2]) and vm.alive
    assert own_program.client(connections[2], "again").ok
    vm.kill()
    freed(paths[2])


def test_a_client_that_leaves_while_there_is_no_server_is_noticed(daemon, nursery, disk):
    path = disk()
    vm = nursery.vm("script")
    connection = stand_as(vm, daemon)
    take(connection, path)
    old = daemon.server_pid
    os.kill(old, signal.SIGSTOP)
    connection.close()
    os.kill(old, signal.SIGKILL)
    until(lambda: daemon.server_pid not in (old, daemon.pid), "there is another server")
    freed(path)
    assert vm.alive


def test_the_end_of_the_supervisor_and_an_upgrade_change_nothing(daemon, nursery, disk):
    path = disk()
    vm = nursery.vm("script")
    connection = stand_as(vm, daemon)
    take(connection, path)
    upgrade(daemon)
    assert is_locked(path)
    kill_supervisor(daemon)
    assert is_locked(path) and owner_of(daemon, "backup").client
    connection.close()
    freed(path)
    assert vm.alive
    daemon.expected_to_live = False
    daemon.signal(signal.SIGTERM)
    until(lambda: not daemon.alive, "the daemon has ended")


def test_after_the_end_of_all_of_it_the_locks_are_held_again_while_the_process_lives(
        daemon, nursery, disk):
    path, other, gone = disk("one.img"), disk("two.img"), disk("three.img")
    vm, dead = nursery.vm("script"), nursery.vm("dead")
    take(stand_as(vm, daemon, "one"), path)
    take(stand_as(vm, daemon, "two"), other)
    take(stand_as(dead, daemon, "dead"), gone)
    daemon.kill()
    dead.kill()
    assert is_free(path)
    daemon.start()
    assert is_locked(path) and is_locked(other) and is_free(gone)
    assert owner_of(daemon, "one").client and owner_of(daemon, "one").connections == []
    another = stand_as(vm, daemon, "one")
    assert another.acquire(path).verdict == BUSY, "nobody else's"
    take(another, gone)
    assert len({owner_of(daemon, name).locks for name in ("one", "two")}) == 1
    vm.kill()
    for image in (path, other, gone):
        freed(image)


def test_what_was_held_again_stays_so_over_the_next_kills(daemon, nursery, disk):
    path = disk()
    vm = nursery.vm("script")
    take(stand_as(vm, daemon), path)
    daemon.kill()
    daemon.start()
    kill_server(daemon)
    assert is_locked(path)
    daemon.kill()
    daemon.start()
    assert is_locked(path) and vm.alive
    vm.kill()
    freed(path)


def test_nobody_carries_a_dead_client_on(daemon, nursery, disk):
    """Whoever has the file open is not taken for it, as for a VM that has daemonized."""
    path = disk()
    vm = nursery.vm("script")
    take(stand_as(vm, daemon), path)
    vm.open(path)
    child = vm.fork_carrier()
    daemon.kill()
    vm.kill()
    daemon.start()
    freed(path)
    assert is_there(child)


# ---- metadata ----


def note(connection, *paths, **how):
    """The metadata locks of some files; returns what they are given back by."""
    answer = own_program.acquire_set(connection, *map(own_program.metadata_of, paths),
                                     klass=own_program.METADATA, **how)
    assert isinstance(answer, own_program.Set), answer
    return answer.token if answer.granted == own_program.GRANTED else None


def metadata(daemon):
    """Whose they are, by name."""
    with daemon.connect() as looker:
        return {lock.name: lock.owner for lock in own_program.locks(looker)
                if lock.klass == own_program.METADATA}


def test_metadata_of_any_file_is_locked_without_opening_it(daemon, folder, disk):
    path, fifo, link = disk(), os.path.join(folder, "fifo"), os.path.join(folder, "link")
    os.mkfifo(fifo)
    os.symlink("/nowhere", link)
    os.chmod(path, 0)
    connection, other = stand(daemon), stand(daemon, "other")
    everything = (path, fifo, link, folder, "/dev/null", daemon.socket)
    before = len(os.listdir(f"/proc/{daemon.server_pid}/fd"))
    token = note(connection, *everything)
    assert token and len(os.listdir(f"/proc/{daemon.server_pid}/fd")) == before
    assert set(metadata(daemon)) == set(everything) and is_free(path)
    for name in everything:
        assert not note(other, name) and not note(connection, name), "its owner has it already"
    take(other, path)
    assert is_locked(path), "its content is another matter"
    assert own_program.release_set(connection, token).ok
    assert not metadata(daemon) and is_locked(path)
    assert note(other, *everything)


def test_metadata_is_the_files_whatever_its_name(daemon, folder, disk):
    path, twin = disk(), os.path.join(folder, "twin")
    os.link(path, twin)
    connection, other = stand(daemon), stand(daemon, "other")
    assert note(connection, path)
    assert not note(other, twin)
    os.rename(twin, os.path.join(folder, "again"))
    os.unlink(path)
    disk()
    assert note(other, path), "another file by that name is another one"
    assert not connection.release(path).ok, "no name leads to it"
    cli = Cli(None, folder, daemon.run_dir)
    assert "other" in cli("who", path).stdout


def test_metadata_locks_go_with_their_connection_and_survive_all_kills(daemon, nursery, disk):
    one, two = disk("one.img"), disk("two.img")
    vm, dead = nursery.vm("script"), nursery.vm("dead")
    connection, gone = stand_as(vm, daemon, "script"), stand_as(dead, daemon, "dead")
    token = note(connection, one)
    assert note(gone, two)
    kill_server(daemon)
    assert {name: owner.name for name, owner in metadata(daemon).items()} == {
        one: "script", two: "dead"}
    daemon.kill()
    dead.kill()
    daemon.start()
    assert {name: owner.pid for name, owner in metadata(daemon).items()} == {one: vm.pid}
    assert not note(stand(daemon, "other"), one)
    again = stand_as(vm, daemon, "script")
    assert own_program.release_set(again, token).ok, "of the same process"
    assert not metadata(daemon)
    assert note(again, one, two)
    again.close()
    until(lambda: not metadata(daemon), "they went with the connection")
    assert vm.alive


def test_a_metadata_lock_stays_with_the_child_that_has_the_connection(daemon, nursery, disk):
    path = disk()
    vm = nursery.vm("script")
    connection = stand_as(vm, daemon, "script")
    assert note(connection, path)
    child = vm.fork_carrier()
    vm.kill()
    until(lambda: metadata(daemon)[path].state == CARRIED, "the child carries it")
    kill_server(daemon)
    assert path in metadata(daemon)
    os.kill(child, signal.SIGKILL)
    until(lambda: not metadata(daemon), "it went with the last who had the connection")
