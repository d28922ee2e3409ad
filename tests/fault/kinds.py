# SPDX-License-Identifier: LGPL-2.1-or-later
"""One request, or event, of each kind: what comes before, what is done, what must be so then.

Each kind is a class with three methods: before(), act(), during which the daemon may be killed any
number of times, and after(). A scene makes what they need, with names that are used once.
"""

import fcntl
import os
import select
import struct

from hftest import own_program, wire
from hftest.events import Listener
from hftest.files import lock_on_first_byte
from hftest.processes import until
from hftest.wire import AUTOCREATE, SHARED, Owner, Proc

from base_kind import Kind
from set_kinds import SET_KINDS

BUSY = (87, 51)


class Scene:
    """Disks, VMs and connections for one kind of request, again and again."""

    def __init__(self, daemon, nursery, folder):
        self.daemon, self.nursery, self.folder = daemon, nursery, folder
        self.count = 0
        self.left = []  # what a request that failed leaves open
        self.owner, self.other = nursery.sleeper(), nursery.sleeper()
        self.client = daemon.connect_as(Owner("web1", self.owner.pid))
        self.rival = daemon.connect_as(Owner("web2", self.other.pid))
        self.disk, self.alias = (os.path.join(folder, name) for name in ("disk.img", "alias.img"))
        with open(self.disk, "wb"):
            pass
        os.link(self.disk, self.alias)
        self.space = os.path.join(folder, "space")
        assert self.client.create_lockspace(self.space).ok

    def fresh(self):
        """A path where nothing is."""
        self.count += 1
        return os.path.join(self.folder, f"n{self.count}")

    def give_up(self):
        """Whatever a request that failed has left, all that is held can be released."""
        while self.left:
            self.left.pop().close()
        for client in (self.client, self.rival):
            for name in (self.disk, self.alias):
                client.release(name)
            for name in os.listdir(self.space):
                client.release(name, self.space)
        assert os.listdir(self.space) == []

    def stand(self):
        """A connection that stands for itself."""
        connection = self.daemon.connect()
        self.left.append(connection)
        answer = own_program.client(connection, "backup")
        assert answer.ok, answer
        return connection

    def stranger(self):
        """Somebody has the lock of the disk who is in nobody's table."""
        file = open(self.disk, "r+b")
        self.left.append(file)
        fcntl.fcntl(file, fcntl.F_OFD_SETLK,
                    struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 1, 0))
        return file

    def is_free(self):
        return lock_on_first_byte(self.disk) == "unlocked"


class Acquire(Kind):
    flags, kernel = 0, "write lock"

    def act(self):
        assert self.client.acquire(self.disk, flags=self.flags).ok

    def after(self):
        assert lock_on_first_byte(self.disk) == self.kernel
        assert self.client.release(self.disk).ok and self.scene.is_free()


class AcquireShared(Acquire):
    flags, kernel = SHARED, "read lock"


class AcquireAgain(Acquire):
    def before(self):
        assert self.client.acquire(self.disk).ok


class AcquireByAnotherName(Kind):
    def before(self):
        assert self.client.acquire(self.disk).ok

    def act(self):
        assert self.client.acquire(self.scene.alias).ok

    def after(self):
        assert self.client.release(self.disk).ok
        assert not self.scene.is_free(), "the second name holds it"
        assert self.client.release(self.scene.alias).ok and self.scene.is_free()


class AcquireOfAnothers(Kind):
    def before(self):
        assert self.scene.rival.acquire(self.disk).ok

    def act(self):
        answer = self.client.acquire(self.disk)
        assert answer.verdict == BUSY and "web2" in answer.error.message, answer

    def after(self):
        assert self.scene.rival.release(self.disk).ok and self.scene.is_free()


class AcquireOfAStrangers(Kind):
    def before(self):
        self.stranger = self.scene.stranger()

    def act(self):
        answer = self.client.acquire(self.disk)
        assert answer.verdict == BUSY, answer

    def after(self):
        self.stranger.close()
        assert self.client.acquire(self.disk).ok and self.client.release(self.disk).ok


class AcquireAutocreate(Kind):
    def before(self):
        self.name = f"{self.scene.count:064x}"
        self.scene.count += 1

    def act(self):
        assert self.client.acquire(self.name, self.scene.space, AUTOCREATE).ok

    def after(self):
        assert os.listdir(self.scene.space) == [self.name]
        assert self.client.release(self.name, self.scene.space).ok
        assert os.listdir(self.scene.space) == []


class ReleaseAutocreate(AcquireAutocreate):
    def before(self):
        super().before()
        assert self.client.acquire(self.name, self.scene.space, AUTOCREATE).ok

    def act(self):
        assert self.client.release(self.name, self.scene.space).ok

    def after(self):
        assert os.listdir(self.scene.space) == []


class Release(Kind):
    def before(self):
        assert self.client.acquire(self.disk).ok

    def act(self):
        assert self.client.release(self.disk).ok

    def after(self):
        assert self.scene.is_free()
        assert self.scene.rival.acquire(self.disk).ok and self.scene.rival.release(self.disk).ok


class ReleaseOneName(Kind):
    def before(self):
        assert self.client.acquire(self.disk).ok and self.client.acquire(self.scene.alias).ok

    def act(self):
        assert self.client.release(self.scene.alias).ok

    def after(self):
        assert not self.scene.is_free()
        assert self.client.release(self.disk).ok and self.scene.is_free()


class ReleaseOfNothing(Kind):
    def act(self):
        assert "is not locked" in self.client.release(self.disk).error.message


class Register(Kind):
    def before(self):
        self.late = self.scene.daemon.connect()

    def act(self):
        assert self.late.register(Owner("web3", self.scene.owner.pid)).ok

    def after(self):
        assert self.late.acquire(self.disk).ok and self.late.release(self.disk).ok
        self.late.close()


class Restrict(Kind):
    def before(self):
        self.late = self.scene.daemon.connect_as(Owner("web3", self.scene.owner.pid))

    def act(self):
        assert self.late.restrict().ok

    def after(self):
        assert not self.late.acquire(self.disk).ok
        self.late.close()


class NewLockspace(Kind):
    def before(self):
        self.path = self.scene.fresh()

    def act(self):
        assert self.client.new(self.path).ok

    def after(self):
        assert "already" in self.client.new(self.path).error.message
        os.rmdir(self.path)


class CreateResource(Kind):
    def before(self):
        self.path = self.scene.fresh()

    def act(self):
        assert self.client.create_resource(self.path).ok

    def after(self):
        os.unlink(self.path)


class DeleteResource(Kind):
    def before(self):
        self.path = self.scene.fresh()
        with open(self.path, "wb"):
            pass

    def act(self):
        assert self.client.delete_resource(self.path).ok

    def after(self):
        assert not os.path.exists(self.path)


class Ping(Kind):
    def act(self):
        assert self.client.ping().ok


class Connect(Kind):
    def act(self):
        self.late = self.scene.daemon.connect()
        assert self.late.ping().ok

    def after(self):
        self.late.close()


class Disconnect(Kind):
    may_fail = False

    def before(self):
        self.late = self.scene.daemon.connect_as(Owner("web1", self.scene.owner.pid))
        assert self.late.acquire(self.disk).ok

    def act(self):
        self.late.close()
        assert self.client.ping().ok

    def after(self):
        assert not self.scene.is_free(), "it was not the owner's own"
        assert self.client.release(self.disk).ok and self.scene.is_free()


class ListLocks(Kind):
    def before(self):
        assert self.client.acquire(self.disk).ok

    def act(self):
        answer = self.client.call(4, struct.pack(">II", 0, 0), prog=0x486F6C64)
        assert answer.ok and answer.payload.count(os.path.basename(self.disk).encode()) == 1

    def after(self):
        assert self.client.release(self.disk).ok


class VmDies(Kind):
    may_fail = False

    def before(self):
        self.vm = self.scene.nursery.sleeper()
        self.manager = self.scene.daemon.connect_as(Owner("web4", self.vm.pid))
        assert self.manager.acquire(self.disk).ok

    def act(self):
        self.vm.kill()
        self.vm.wait()
        until(self.scene.is_free, "the lock of the dead VM is free")

    def after(self):
        self.manager.close()


class VmCutsItsConnection(Kind):
    may_fail = False

    def before(self):
        self.vm = self.scene.nursery.vm("web5")
        self.own = self.vm.own_connection(self.scene.daemon)
        assert self.own.acquire(self.disk).ok

    def act(self):
        self.own.close()
        assert self.vm.ending() == 15
        until(self.scene.is_free, "the lock of the ended VM is free")


class SayWhatBecomes(Kind):
    """Each time by a VM that then has a lock: what it said shows when it is counted on."""

    def before(self):
        self.vm = self.scene.nursery.vm("web6")
        self.own = self.vm.own_connection(self.scene.daemon)
        assert self.own.acquire(self.disk).ok

    def act(self):
        answer = self.own.call(7, struct.pack(">I", 2) + wire.string("/run/monitor") + bytes(4),
                               prog=0x486F6C64)
        assert answer.ok, answer

    def after(self):
        assert self.own.release(self.disk).ok and self.scene.is_free()
        self.vm.leave()


class HalfARequest(Kind):
    def act(self):
        request = wire.frame(Proc.ACQUIRE, wire.resource("", self.disk, 0), serial=9)
        self.client.send(request[:30])
        assert self.scene.rival.ping().ok
        self.client.send(request[30:] + wire.frame(Proc.RELEASE, wire.resource("", self.disk, 0),
                                                   serial=10))
        answers = [self.client.receive() for _ in range(2)]
        assert [answer.serial for answer in answers] == [9, 10]
        assert all(answer.ok for answer in answers)

    def after(self):
        assert self.scene.is_free()


class ClientLeaves(Kind):
    """A connection that stands for itself, from its begin to its end."""

    most = 150

    def act(self):
        self.late = self.scene.stand()
        assert self.late.acquire(self.disk).ok
        self.late.close()
        until(self.scene.is_free, "the lock of the client is free")

    def after(self):
        assert self.scene.is_free()
        self.scene.left.clear()


class WaitForAStranger(Kind):
    # Its waiting for the helper is points too, by the thousand.
    most = 60

    def before(self):
        self.stranger = self.scene.stranger()
        self.late = self.scene.stand()

    def wait(self):
        own_program.send_set(self.late, self.disk, timeout=own_program.FOREVER)
        refusal = select.poll()
        refusal.register(self.late.transport.sock, select.POLLIN)
        until(lambda: self.scene.daemon.workers or refusal.poll(0), "a helper waits")
        assert self.scene.daemon.workers, self.late.receive()

    def act(self):
        self.wait()
        self.stranger.close()
        answer = own_program.read_set(self.late.receive())
        assert isinstance(answer, own_program.Set) and answer.granted, answer

    def after(self):
        assert lock_on_first_byte(self.disk) == "write lock"
        self.late.close()
        until(self.scene.is_free, "it is free")
        until(lambda: not self.scene.daemon.workers, "no helper is left")
        self.scene.left.clear()


class WaitNoMoreForAStranger(WaitForAStranger):
    """The stranger lets go at the moment at which nobody wants it any more."""

    def act(self):
        self.wait()
        self.late.close()
        self.stranger.close()
        until(lambda: not self.scene.daemon.workers, "no helper is left")

    def after(self):
        until(self.scene.is_free, "it is free")
        self.scene.left.clear()


class ToldOfEvents(Kind):
    """Whoever listens is told of everything, perhaps twice."""

    most = 300

    def before(self):
        self.listener = Listener(self.scene.daemon.own_socket_ro)

    def act(self):
        try:
            assert self.client.acquire(self.disk).ok and self.client.release(self.disk).ok
            self.listener.until(lambda events: any(event.kind == "released" for event in events))
        except AssertionError:
            self.listener.close()
            raise

    def after(self):
        numbers = {event.number for event in self.listener.events}
        assert self.listener.missed == 0
        assert len(numbers) == max(numbers) - min(numbers) + 1, self.listener.events
        told = [event.kind for event in self.listener.events if event.kind != "started"]
        assert told[0] == "acquired" and set(told) == {"acquired", "released"}, told
        self.listener.close()


KINDS = [Acquire, AcquireShared, AcquireAgain, AcquireByAnotherName, AcquireOfAnothers,
         AcquireOfAStrangers, AcquireAutocreate, Release, ReleaseAutocreate, ReleaseOneName,
         ReleaseOfNothing, Register, Restrict, NewLockspace, CreateResource, DeleteResource, Ping,
         Connect, Disconnect, ListLocks, VmDies, VmCutsItsConnection, SayWhatBecomes,
         HalfARequest, ClientLeaves, WaitForAStranger, WaitNoMoreForAStranger,
         ToldOfEvents, *SET_KINDS]
