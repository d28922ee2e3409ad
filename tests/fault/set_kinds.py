# SPDX-License-Identifier: LGPL-2.1-or-later
"""The kinds of requests about sets, and what happens while somebody waits for one."""

import contextlib
import os

from hftest import own_program as own
from hftest.files import lock_on_first_byte
from hftest.line import Client
from hftest.own_program import FOREVER, GRANTED, METADATA, REFUSED, metadata_of
from hftest.processes import until

from base_kind import Kind


class SetKind(Kind):
    """With a second disk, and connections of its own that are closed whatever happens."""

    most = 200

    def before(self):
        self.second = os.path.join(self.scene.folder, "second.img")
        with open(self.second, "ab"):
            pass
        self.crowd = contextlib.ExitStack()
        # From here on its owner is watched, by a descriptor.
        assert self.client.acquire(self.second).ok and self.client.release(self.second).ok

    def waiting(self, name):
        connection = self.crowd.enter_context(self.scene.daemon.connect())
        return Client(connection, name)

    def free(self):
        return lock_on_first_byte(self.disk) == lock_on_first_byte(self.second) == "unlocked"

    def take(self, connection, *paths, **how):
        outcome = own.acquire_set(connection, *paths, **how)
        assert getattr(outcome, "granted", None) == GRANTED, outcome
        return outcome.token

    @staticmethod
    def is_granted(client):
        outcome = client.hear()
        assert getattr(outcome, "granted", None) == GRANTED, outcome

    def act(self):
        try:
            self.act_in_crowd()
        except AssertionError:
            self.crowd.close()
            for client in (self.client, self.scene.rival):
                client.release(self.second)
            until(self.nobody_waits, "nobody waits any more")
            raise

    def nobody_waits(self):
        with self.scene.daemon.connect() as looker:
            return not own.waiters(looker) and not any(
                lock.owner.client for lock in own.locks(looker))

    def after(self):
        self.crowd.close()
        until(self.free, "all is free")
        until(self.nobody_waits, "nobody waits any more")


class AcquireSet(SetKind):
    def act_in_crowd(self):
        self.token = self.take(self.client, self.disk, self.second, self.scene.alias, self.disk)

    def after(self):
        assert lock_on_first_byte(self.disk) == lock_on_first_byte(self.second) == "write lock"
        assert own.release_set(self.client, self.token).ok
        super().after()


class AcquireSetOfWhichOneIsHeld(SetKind):
    def before(self):
        super().before()
        assert self.scene.rival.acquire(self.second).ok

    def act_in_crowd(self):
        outcome = own.acquire_set(self.client, self.disk, self.second)
        assert getattr(outcome, "granted", None) == REFUSED, outcome
        assert outcome.holder.owner.name == "web2"

    def after(self):
        assert self.scene.is_free()
        assert self.scene.rival.release(self.second).ok
        super().after()


class ReleaseSet(SetKind):
    def before(self):
        super().before()
        self.token = self.take(self.client, self.disk, self.second, self.scene.alias)

    def act_in_crowd(self):
        assert own.release_set(self.client, self.token).ok

    def after(self):
        assert self.free()
        super().after()


class TwoInLine(SetKind):
    """Both get their turn, in their order, when the holder has given back."""

    def before(self):
        super().before()
        assert self.scene.rival.acquire(self.disk).ok
        self.first = self.waiting("first")
        self.next = self.waiting("next")

    def act_in_crowd(self):
        self.first.ask(self.second, self.disk, timeout=FOREVER)
        self.next.ask(self.disk, timeout=60)
        assert self.scene.rival.release(self.disk).ok
        self.is_granted(self.first)
        assert self.next.hear(0) is None
        self.first.release()
        self.is_granted(self.next)

    def after(self):
        assert lock_on_first_byte(self.disk) == "write lock"
        super().after()


class WhoWaitsVanishes(SetKind):
    def before(self):
        super().before()
        assert self.scene.rival.acquire(self.disk).ok
        self.first, self.next = self.waiting("first"), self.waiting("next")
        self.first.ask(self.second, self.disk)
        self.next.ask(self.second)

    def act_in_crowd(self):
        self.first.close()
        self.is_granted(self.next)

    def after(self):
        assert lock_on_first_byte(self.second) == "write lock"
        assert self.scene.rival.release(self.disk).ok
        super().after()


class WaitTooLong(SetKind):
    def before(self):
        super().before()
        assert self.scene.rival.acquire(self.second).ok

    def act_in_crowd(self):
        outcome = own.acquire_set(self.client, self.disk, self.second, timeout=0.005)
        assert getattr(outcome, "granted", None) == REFUSED, outcome
        assert outcome.waited >= 5000

    def after(self):
        assert self.scene.is_free()
        assert self.scene.rival.release(self.second).ok
        super().after()


class MetadataOfTwo(SetKind):
    def act_in_crowd(self):
        one = self.waiting("relabels")
        outcome = one.take(metadata_of(self.disk), metadata_of(self.second),
                           metadata_of(self.scene.alias), klass=METADATA, timeout=60)
        assert getattr(outcome, "granted", None) == GRANTED, outcome
        one.release()


SET_KINDS = [AcquireSet, AcquireSetOfWhichOneIsHeld, ReleaseSet, TwoInLine, WhoWaitsVanishes,
             WaitTooLong, MetadataOfTwo]
