# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a VM says of what becomes of it. That it does, real file servers show: tests/lab/test_guard.py."""

import pytest

from hftest import wire
from hftest.daemons import Holdfastd

HOLDFAST_PROGRAM = 0x486F6C64
GUARD = 7
PAUSE = 2


def guard(connection, on_lost=PAUSE, monitor="", flags=0):
    return connection.call(GUARD, wire.u32(on_lost) + wire.string(monitor) + wire.u32(flags),
                           prog=HOLDFAST_PROGRAM)


def test_a_vm_says_what_becomes_of_it_and_may_say_something_else_later(nursery, daemon):
    own = nursery.vm("web1").own_connection(daemon)
    for on_lost in range(4):
        assert guard(own, on_lost, "/run/x.sock").ok
    assert guard(own, 0, "").ok


def test_nobody_else_says_so_for_it(nursery, daemon):
    vm = nursery.vm("web1")
    vm.own_connection(daemon)
    assert not guard(daemon.connect_as(vm.owner)).ok
    assert not guard(daemon.connect()).ok


def test_a_connection_that_gave_up_its_rights_says_nothing_more(nursery, daemon):
    own = nursery.vm("web1").own_connection(daemon)
    assert own.restrict().ok
    assert not guard(own).ok


@pytest.mark.parametrize("on_lost, monitor, flags", [
    (4, "", 0), (2 ** 32 - 1, "", 0), (PAUSE, "relative", 0), (PAUSE, "/" + "x" * 107, 0),
    (PAUSE, "/x", 1)])
def test_what_makes_no_sense_is_refused_and_changes_nothing(nursery, daemon, on_lost, monitor,
                                                            flags):
    own = nursery.vm("web1").own_connection(daemon)
    assert not guard(own, on_lost, monitor, flags).ok
    assert guard(own, PAUSE, "/" + "x" * 106).ok


def test_a_wish_of_the_configuration_is_one_of_three_words(nursery, folder):
    status, said = Holdfastd.outcome(nursery, folder, ["-f", "CONF"], 'on_lost = "panic"\n')
    assert status != 0
    assert "on_lost" in said and "daemon.conf:1" in said
