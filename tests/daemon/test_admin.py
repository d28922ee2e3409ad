# SPDX-License-Identifier: LGPL-2.1-or-later
"""Stock virt-admin reads from holdfastd what it reads from virtlockd."""

import re

import pytest
from hftest.wire import Owner

SERVERS = ["admin", "virtlockd"]


@pytest.fixture
def both(holdfastd, virtlockd):
    """The two daemons with the same clients connected."""
    daemons = [virtlockd(), holdfastd()]
    clients = [[daemon.connect() for _ in range(3)] for daemon in daemons]
    for group in clients:
        for client in group:
            # virtlockd knows who a client is only once it has made a call.
            assert client.create_lockspace("").ok
    yield daemons
    for group in clients:
        for client in group:
            client.close()


def ask(daemon, *words):
    answer = daemon.virt_admin(*words)
    assert answer.returncode == 0, f"{daemon.name}, {words}: {answer.stderr}"
    return answer.stdout


def table(text):
    """Rows of a virt-admin table, without its head."""
    return [line.split() for line in text.splitlines()[2:] if line.strip()]


def pairs(text):
    return dict(re.findall(r"^(\S+)\s*:[ ]*(.*?)\s*$", text, re.MULTILINE))


def test_the_same_servers_are_listed(both):
    for daemon in both:
        text = ask(daemon, "srv-list")
        assert text.split()[:2] == ["Id", "Name"]
        # In virtlockd the order changes from run to run.
        assert sorted(row[1] for row in table(text)) == SERVERS


@pytest.mark.parametrize("server", SERVERS)
def test_client_limits_are_reported_alike(both, server):
    stock, ours = (pairs(ask(daemon, "srv-clients-info", server)) for daemon in both)
    assert stock.keys() == ours.keys()
    assert stock == ours


def test_the_configured_limit_is_reported(holdfastd):
    daemon = holdfastd(conf="max_clients = 77\nadmin_max_clients = 6\n")
    assert pairs(ask(daemon, "srv-clients-info", "virtlockd"))["nclients_max"] == "77"
    assert pairs(ask(daemon, "srv-clients-info", "admin"))["nclients_max"] == "6"


def test_the_same_number_of_clients_is_listed_in_the_same_columns(both):
    stock, ours = (ask(daemon, "client-list", "virtlockd") for daemon in both)
    assert stock.splitlines()[0].split() == ours.splitlines()[0].split()
    assert len(table(stock)) == len(table(ours)) == 3
    assert {row[1] for row in table(ours)} == {"unix"}


def test_a_client_that_leaves_is_no_longer_listed(daemon):
    staying, leaving = daemon.connect(), daemon.connect()
    assert staying.ping().ok and leaving.ping().ok
    before = {row[0] for row in table(ask(daemon, "client-list", "virtlockd"))}
    leaving.close()
    after = {row[0] for row in table(ask(daemon, "client-list", "virtlockd"))}
    assert len(before) == 2 and len(after) == 1 and after < before


def test_numbers_of_clients_are_not_used_again(daemon):
    first = daemon.connect()
    assert first.ping().ok
    old = table(ask(daemon, "client-list", "virtlockd"))[0][0]
    first.close()
    second = daemon.connect()
    assert second.ping().ok
    assert table(ask(daemon, "client-list", "virtlockd"))[0][0] != old


def test_a_client_is_described_alike(both):
    described = []
    for daemon in both:
        number = table(ask(daemon, "client-list", "virtlockd"))[0][0]
        facts = pairs(ask(daemon, "client-info", "virtlockd", number))
        assert facts.pop("id") == number
        assert facts.pop("connection_time")
        described.append(facts)
    stock, ours = described
    assert stock == ours, "transport, user, group, process of the same client"


def test_a_vm_is_listed_with_its_own_pid(daemon, nursery):
    vm = nursery.vm("one")
    vm.own_connection(daemon)
    number = table(ask(daemon, "client-list", "virtlockd"))[0][0]
    assert pairs(ask(daemon, "client-info", "virtlockd", number))["unix_process_id"] == str(vm.pid)


def test_the_admin_client_sees_itself(daemon):
    assert len(table(ask(daemon, "client-list", "admin"))) == 1


@pytest.mark.parametrize("words", [("client-list", "none"), ("srv-clients-info", "none"),
                                   ("client-info", "virtlockd", "999"),
                                   ("client-info", "none", "1")], ids=" ".join)
def test_what_is_not_there_is_refused_alike(both, words):
    stock, ours = (daemon.virt_admin(*words) for daemon in both)
    assert stock.returncode == ours.returncode == 1
    assert ours.stderr
    assert "no support" not in ours.stderr.lower()


def test_asking_disturbs_no_lock(daemon, nursery, disk):
    path = disk()
    client = daemon.connect_as(Owner("one", nursery.sleeper().pid))
    assert client.acquire(path).ok
    for words in (["srv-list"], ["client-list", "virtlockd"], ["srv-clients-info", "virtlockd"]):
        ask(daemon, *words)
    assert client.release(path).ok


def test_what_would_change_the_daemon_is_refused_or_done_but_never_fatal(daemon):
    for words in (["srv-threadpool-info", "virtlockd"], ["daemon-log-outputs"],
                  ["srv-clients-set", "virtlockd", "--max-clients", "2000"],
                  ["client-disconnect", "virtlockd", "999"],
                  ["daemon-log-filters", "--filters", ""],
                  ["server-update-tls", "virtlockd"]):
        answer = daemon.virt_admin(*words)
        assert answer.returncode in (0, 1), words
    assert daemon.alive
