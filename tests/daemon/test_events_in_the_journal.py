# SPDX-License-Identifier: LGPL-2.1-or-later
"""The journal gets an event with fields, and an id that does not change.

No journal runs here: a socket of the test stands for it, in a mount namespace where it is found at
the journal's place.
"""

import os
import pathlib
import re
import socket

import pytest

from hftest.command import need
from hftest.daemons import Holdfastd
from hftest.wire import Owner

HEADER = pathlib.Path(__file__).parents[2] / "include" / "holdfast" / "messages.h"
IDS = dict(re.findall(r'^#define HOLDFAST_MESSAGE_(\w+) "([0-9a-f]{32})"$', HEADER.read_text(),
                      re.M))
MANUAL = pathlib.Path(__file__).parents[2] / "docs" / "man" / "holdfast-events.7"


class Journaled(Holdfastd):
    """A daemon whose /run is its own folder."""

    def command(self):
        return [need("unshare"), "-m", "--propagation", "private", "sh", "-c",
                'mount --bind "$0" /run && exec "$@"', self.directory, *super().command()]


@pytest.fixture
def journal(folder):
    os.makedirs(os.path.join(folder, "systemd", "journal"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
        one.bind(os.path.join(folder, "systemd", "journal", "socket"))
        one.settimeout(20)
        yield one


def next_event(journal):
    """The fields of the next message that is about an event."""
    while True:
        fields = dict(line.split("=", 1) for line in
                      journal.recv(65536).decode().splitlines())
        if "HOLDFAST_EVENT" in fields:
            return fields


def start(nursery, folder, level):
    if os.geteuid() != 0:
        pytest.skip("needs root, for a mount namespace")
    daemon = Journaled(nursery, folder, conf=f'log_level = {level}\n'
                                             'log_outputs = "1:journald"\n')
    daemon.start()
    return daemon


def test_each_event_is_found_by_its_fields(nursery, folder, journal):
    daemon = start(nursery, folder, 2)
    disk = os.path.join(folder, "disk.img")
    with open(disk, "wb"):
        pass
    assert next_event(journal)["MESSAGE_ID"] == IDS["STARTED"]
    vm = nursery.vm("web1")
    own = vm.own_connection(daemon)
    assert own.acquire(disk).ok
    fields = next_event(journal)
    assert (fields["MESSAGE"], fields["PRIORITY"]) == (
        f"web1 (pid {vm.pid}) has acquired {disk}", "6")
    assert {name: fields[name] for name in fields if name.startswith("HOLDFAST_")} == {
        "HOLDFAST_MODULE": "daemon.event", "HOLDFAST_EVENT": "acquired", "HOLDFAST_VM": "web1",
        "HOLDFAST_VM_UUID": fields["HOLDFAST_VM_UUID"], "HOLDFAST_PID": str(vm.pid),
        "HOLDFAST_RESOURCE": disk}
    assert fields["MESSAGE_ID"] == IDS["ACQUIRED"]
    rival = daemon.connect_as(Owner("web2", nursery.sleeper().pid))
    assert not rival.acquire(disk).ok
    fields = next_event(journal)
    assert (fields["HOLDFAST_EVENT"], fields["HOLDFAST_VM"]) == ("refused", "web2")
    assert fields["MESSAGE_ID"] == IDS["REFUSED"] and "web1" in fields["MESSAGE"]
    own.close()
    fields = next_event(journal)
    assert (fields["MESSAGE_ID"], fields["PRIORITY"]) == (IDS["KILLED"], "4")
    assert next_event(journal)["MESSAGE_ID"] == IDS["RELEASED"]
    rival.close()


def test_what_the_level_does_not_want_is_not_written(nursery, folder, journal):
    daemon = start(nursery, folder, 3)
    disk = os.path.join(folder, "disk.img")
    with open(disk, "wb"):
        pass
    own = nursery.vm("web1").own_connection(daemon)
    assert own.acquire(disk).ok
    own.close()
    assert next_event(journal)["HOLDFAST_EVENT"] == "killed"


def test_the_ids_are_all_different_and_in_the_manual():
    assert len(set(IDS.values())) == len(IDS) == 9
    manual = MANUAL.read_text()
    for name, number in IDS.items():
        if name == "PR_OUT":
            # Of another program, whose manual tells it.
            assert f"MESSAGE_ID={number} " in (MANUAL.parent / "pr-policy.conf.5").read_text()
            continue
        assert re.search(rf"^\.It Li {name.lower()}\n\.Li {number} ", manual, re.M), name
