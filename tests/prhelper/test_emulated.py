# SPDX-License-Identifier: LGPL-2.1-or-later
"""Reservations that we keep, through the helper as a VM uses it."""

import os
import sqlite3
import stat
import subprocess
import sys
import time

import pytest

from hftest.prhelper import (CHECK, CLEAR, CONFLICT, GOOD, PREEMPT, PR_OUT, READ_FULL_STATUS,
                             READ_KEYS, READ_RESERVATION, REGISTER, REGISTER_AND_IGNORE, RELEASE,
                             RESERVE, Helper, parameters, pr_in, pr_out)

STORES = {"sqlite": "emulation_database", "files": "emulation_dir"}
EXCLUSIVE, REGISTRANTS = 3, 5
APTPL = 1
AWAY = "B/08/00"

# As long as a guest waits at most for what another has locked, and some for this machine.
PATIENCE = 10


@pytest.fixture(params=sorted(STORES))
def store(request):
    return request.param


class Unit:
    """A file that is a logical unit, and helpers for it that share one store."""

    def __init__(self, folder, nursery, store):
        self.folder, self.nursery, self.store = folder, nursery, store
        self.disk = os.path.join(folder, "disk")
        self.place = os.path.join(folder, "pr")
        with open(self.disk, "wb"):
            pass
        self.fd = os.open(self.disk, os.O_RDWR | os.O_CLOEXEC)

    def host(self, name, more="", socket=None, **how):
        return Helper(self.folder, name=socket or name, nursery=self.nursery, config=(
            f'emulate = ["{self.disk} as one"]\nhost_name = "{name}"\n'
            f'{STORES[self.store]} = "{self.place}"\n{more}\n'), **how)

    def state_file(self):
        return self.place if self.store == "sqlite" else os.path.join(self.place, "one.state")


@pytest.fixture
def unit(folder, nursery, store):
    made = Unit(folder, nursery, store)
    yield made
    os.close(made.fd)


def test_two_hosts_on_one_store_are_two_initiators(unit):
    one, two = unit.host("a").client(), unit.host("b").client()
    assert one.write(unit.fd, REGISTER, 0, 0x11).status == GOOD
    assert two.write(unit.fd, REGISTER, 0, 0x22).status == GOOD
    assert one.write(unit.fd, RESERVE, 0x11, kind=REGISTRANTS).status == GOOD
    assert two.write(unit.fd, RESERVE, 0x22, kind=REGISTRANTS).status == CONFLICT
    assert two.read(unit.fd, READ_KEYS).keys == [0x11, 0x22]
    assert two.read(unit.fd, READ_RESERVATION).reservation == (0x11, REGISTRANTS)
    assert two.write(unit.fd, PREEMPT, 0x22, 0x11, kind=EXCLUSIVE).status == GOOD
    assert one.read(unit.fd, READ_KEYS).why == "6/2A/05"
    assert one.read(unit.fd, READ_KEYS).keys == [0x22]
    assert one.write(unit.fd, RESERVE, 0x11, kind=EXCLUSIVE).status == CONFLICT
    assert one.read(unit.fd, READ_RESERVATION).reservation == (0x22, EXCLUSIVE)


def test_two_connections_of_a_host_are_one_initiator(unit):
    host = unit.host("a")
    with host.client() as one, host.client() as two:
        assert one.write(unit.fd, REGISTER, 0, 0x11).status == GOOD
        assert two.write(unit.fd, REGISTER, 0x11, 0x12).status == GOOD
        assert one.read(unit.fd, READ_KEYS).keys == [0x12]


def test_two_vms_of_a_host_are_two_initiators_on_request(unit):
    one = unit.host("a", 'nexus = "vm"', args=["--vm", "one"]).client()
    two = unit.host("a", 'nexus = "vm"', args=["--vm", "two"], socket="second").client()
    assert one.write(unit.fd, REGISTER, 0, 0x11).status == GOOD
    assert two.write(unit.fd, REGISTER, 0, 0x22).status == GOOD
    assert one.write(unit.fd, RESERVE, 0x11, kind=EXCLUSIVE).status == GOOD
    assert two.write(unit.fd, RESERVE, 0x22, kind=EXCLUSIVE).status == CONFLICT
    shown = one.read(unit.fd, READ_FULL_STATUS).data
    assert b"holdfast:a:one," in shown and b"holdfast:a:two," in shown


def test_the_next_helper_finds_what_the_last_one_kept(unit):
    with unit.host("a").client() as client:
        assert client.write(unit.fd, REGISTER, 0, 0x11).status == GOOD
        assert client.write(unit.fd, RESERVE, 0x11, kind=EXCLUSIVE).status == GOOD
    again = unit.host("b").client()
    assert again.read(unit.fd, READ_RESERVATION).reservation == (0x11, EXCLUSIVE)
    assert again.write(unit.fd, REGISTER, 0, 0x22).status == GOOD
    assert again.write(unit.fd, RELEASE, 0x22, kind=EXCLUSIVE).status == GOOD
    assert again.read(unit.fd, READ_RESERVATION).reservation == (0x11, EXCLUSIVE)


def test_a_link_to_the_file_is_the_same_unit_and_another_file_is_none(unit):
    link, other = unit.disk + ".link", unit.disk + ".other"
    os.link(unit.disk, link)
    with open(other, "wb"):
        pass
    host = unit.host("a")
    assert host.ask(link, pr_out(REGISTER), parameters(0, 0x11)).status == GOOD
    with host.client() as client:
        assert client.read(unit.fd, READ_KEYS).keys == [0x11]
    assert host.ask(other, pr_out(REGISTER), parameters(0, 0x11)).status == CHECK


def test_a_state_that_is_damaged_is_no_good_answer_and_stays_as_it_is(unit):
    with unit.host("a").client() as client:
        assert client.write(unit.fd, REGISTER, 0, 0x11).status == GOOD
    with open(unit.state_file(), "r+b") as file:
        file.write(b"not what it was")
    with open(unit.state_file(), "rb") as file:
        before = file.read()
    client = unit.host("b").client()
    assert client.read(unit.fd, READ_KEYS).why == AWAY
    assert client.write(unit.fd, REGISTER, 0, 0x22).why == AWAY
    with open(unit.state_file(), "rb") as file:
        assert file.read() == before


def lock_of(unit):
    """Holds the store's lock as another process would; ends with its standard input."""
    code = {"sqlite": "c = __import__('sqlite3').connect(sys.argv[1], isolation_level=None)\n"
                      "c.execute('BEGIN EXCLUSIVE')\n",
            "files": "import fcntl, struct\nf = open(sys.argv[1] + '/one.lock', 'r+b')\n"
                     "fcntl.fcntl(f, 37, struct.pack('hhqqi4x', fcntl.F_WRLCK, 0, 0, 1, 0))\n"}
    process = subprocess.Popen(
        [sys.executable, "-c", "import sys\n" + code[unit.store] +
         "print('locked', flush=True)\nsys.stdin.read()", unit.place],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"locked\n"
    return process


def test_who_meets_a_lock_that_stays_is_answered_in_time_and_not_as_good(unit):
    client = unit.host("a").client()
    assert client.write(unit.fd, REGISTER, 0, 0x11).status == GOOD
    holder = lock_of(unit)
    try:
        begun = time.monotonic()
        assert client.write(unit.fd, REGISTER_AND_IGNORE, 0, 0x12).why == AWAY
        assert time.monotonic() - begun < PATIENCE
    finally:
        holder.stdin.close()
        holder.wait(PATIENCE)
    assert client.read(unit.fd, READ_KEYS).keys == [0x11]
    assert client.write(unit.fd, REGISTER_AND_IGNORE, 0, 0x12).status == GOOD


def test_a_store_that_is_away_is_used_again_when_it_is_back(unit):
    client = unit.host("a").client()
    assert client.write(unit.fd, REGISTER, 0, 0x11).status == GOOD
    os.rename(unit.place, unit.place + ".away")
    os.mkdir(unit.place) if unit.store == "sqlite" else open(unit.place, "wb").close()
    assert client.write(unit.fd, REGISTER_AND_IGNORE, 0, 0x12).why == AWAY
    assert client.read(unit.fd, READ_KEYS).why == AWAY
    os.rmdir(unit.place) if unit.store == "sqlite" else os.unlink(unit.place)
    os.rename(unit.place + ".away", unit.place)
    assert client.read(unit.fd, READ_KEYS).keys == [0x11]
    assert client.write(unit.fd, REGISTER_AND_IGNORE, 0, 0x12).status == GOOD


def test_a_store_that_vanished_is_not_begun_anew(unit):
    client = unit.host("a").client()
    assert client.write(unit.fd, REGISTER, 0, 0x11).status == GOOD
    os.rename(unit.place, unit.place + ".away")
    for _ in range(3):
        assert client.read(unit.fd, READ_KEYS).why == AWAY
        assert client.write(unit.fd, REGISTER, 0, 0x22).why == AWAY
    assert not os.path.exists(unit.place)
    os.rename(unit.place + ".away", unit.place)
    assert client.read(unit.fd, READ_KEYS).keys == [0x11]


# Its own mounts, which go with it.
PRIVATE = ["unshare", "-m", "--propagation", "private", "sh", "-ec"]


def run_privately(script):
    """For a helper below a script that mounts something in a namespace of its own."""
    return [*PRIVATE, script + '\nexec "$@"', "sh"]


def test_a_full_disk_is_no_good_answer_and_what_was_kept_stays(unit):
    full = os.path.join(unit.folder, "small")
    os.mkdir(full)
    unit.place = os.path.join(full, "pr")
    # Room for the files of an empty store, and hardly more.
    host = unit.host("a", wrapper=run_privately(
        f"mount -t tmpfs -o size=48k none {full}"))
    client = host.client()
    assert client.write(unit.fd, REGISTER, 0, 0x11).status == GOOD
    inside = f"/proc/{host.pid}/root{full}"
    with open(os.path.join(inside, "ballast"), "wb", buffering=0) as ballast:
        try:
            while ballast.write(b"x" * 4096):
                pass
        except OSError:
            pass
    assert client.write(unit.fd, REGISTER_AND_IGNORE, 0, 0x12).why == AWAY
    os.unlink(os.path.join(inside, "ballast"))
    assert client.read(unit.fd, READ_KEYS).keys == [0x11]
    assert client.write(unit.fd, REGISTER_AND_IGNORE, 0, 0x12).status == GOOD


def test_where_nothing_can_be_written_one_can_only_look(unit):
    with unit.host("a").client() as client:
        assert client.write(unit.fd, REGISTER, 0, 0x11).status == GOOD
    with open(unit.state_file(), "rb") as file:
        before = file.read()
    client = unit.host("b", wrapper=run_privately(
        f"mount --bind {unit.place} {unit.place}\n"
        f"mount -o remount,bind,ro {unit.place}")).client()
    assert client.write(unit.fd, REGISTER, 0, 0x22).why == AWAY
    if unit.store == "sqlite":
        assert client.read(unit.fd, READ_KEYS).keys == [0x11]
    with open(unit.state_file(), "rb") as file:
        assert file.read() == before


def booted_as(unit, boot, name, more=""):
    path = os.path.join(unit.folder, f"boot-{boot}")
    with open(path, "w", encoding="ascii") as file:
        file.write(f"{boot:08x}-0000-4000-8000-000000000000\n")
    return unit.host(name, more, wrapper=run_privately(
        f"mount --bind {path} /proc/sys/kernel/random/boot_id"))


@pytest.mark.parametrize("flags", [0, APTPL])
def test_a_host_that_boots_finds_what_it_registered_with_aptpl_only(unit, flags):
    host = booted_as(unit, 1, "a")
    with host.client() as client:
        assert client.write(unit.fd, REGISTER, 0, 0x11, flags=flags).status == GOOD
        assert client.write(unit.fd, RESERVE, 0x11, kind=EXCLUSIVE).status == GOOD
    assert host.stop() == 0
    client = booted_as(unit, 2, "a").client()
    assert client.read(unit.fd, READ_KEYS).keys == ([0x11] if flags else [])
    assert client.read(unit.fd, READ_RESERVATION).reservation == \
        ((0x11, EXCLUSIVE) if flags else None)


def test_a_boot_takes_nothing_from_another_host(unit):
    first = booted_as(unit, 1, "a")
    with first.client() as one, unit.host("b").client() as two:
        assert one.write(unit.fd, REGISTER, 0, 0x11).status == GOOD
        assert two.write(unit.fd, REGISTER, 0, 0x22).status == GOOD
        assert two.write(unit.fd, RESERVE, 0x22, kind=EXCLUSIVE).status == GOOD
        assert first.stop() == 0
        with booted_as(unit, 2, "a").client() as again:
            assert again.write(unit.fd, CLEAR, 0x12).status == CONFLICT
            assert again.read(unit.fd, READ_KEYS).keys == [0x11, 0x22]
        assert two.read(unit.fd, READ_RESERVATION).reservation == (0x22, EXCLUSIVE)


def test_many_at_once_each_get_what_they_were_answered(unit, nursery):
    hosts = [unit.host(f"h{i}") for i in range(4)]
    clients = [host.client() for host in hosts for _ in range(2)]
    request = pr_out(REGISTER_AND_IGNORE)
    good = 0
    for turn in range(10):
        for i, client in enumerate(clients):
            client.send(request, unit.fd)
            client.send(parameters(0, 0x1000 * (turn + 1) + i))
        answers = [client.answer(PR_OUT) for client in clients]
        good += sum(answer.status == GOOD for answer in answers)
    assert good == 10 * len(clients)
    last = clients[0].read(unit.fd, READ_KEYS)
    assert last.generation == good
    assert len(last.keys) == len(hosts)


def test_the_database_is_one_that_hosts_can_share(folder, nursery):
    unit = Unit(folder, nursery, "sqlite")
    with unit.host("a").client() as client:
        assert client.write(unit.fd, REGISTER, 0, 0x11).status == GOOD
    os.close(unit.fd)
    base = sqlite3.connect(f"file:{unit.place}?mode=ro", uri=True)
    assert base.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    assert base.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert [row[0] for row in base.execute("SELECT name FROM unit")] == ["one"]
    base.close()
    assert not os.path.exists(unit.place + "-wal") and not os.path.exists(unit.place + "-shm")
    assert stat.S_IMODE(os.stat(unit.place).st_mode) & 0o022 == 0


def test_a_name_that_was_a_files_is_not_asked_for_a_devices_command(ours, folder):
    """So who has a disk does not wait for the file server on which others' images are."""
    image, database = os.path.join(folder, "image"), os.path.join(folder, "state.db")
    with open(image, "w", encoding="utf-8"):
        pass
    helper = ours(config=f'emulate = [ "{image} as unit" ]\nhost_name = "here"\n'
                         f'emulation_database = "{database}"\n')
    assert helper.ask(image, pr_in(READ_KEYS)).status == GOOD
    os.unlink(image)
    os.symlink("/dev/null", image)
    assert helper.ask("/dev/null", pr_in(READ_KEYS)).why == "B/00/06"
