# SPDX-License-Identifier: LGPL-2.1-or-later
"""virt-admin sees holdfastd as it sees virtlockd, and can change nothing.

Both daemons run side by side as one ordinary user (stock virtlockd as root has no other
place for its sockets than /run), with the same limits and logging and a client each. The
real virt-admin is asked, and a raw client compares what does not show in its output.
"""

import os
import re
import resource
import shutil
import struct

import pytest

from hftest import daemons, wire
from hftest.wire import Cursor, string, u32

# "nobody": the one ordinary user that every machine has.
USER = 65534 if os.geteuid() == 0 else None

CONF = """max_clients = 77
admin_max_clients = 11
log_outputs = "3:stderr"
log_filters = "3:remote 4:event"
"""

# More clients, each of 36 bytes in a list, than an answer of 256 KiB holds.
TOO_MANY = 256 * 1024 // 36 + 100


class SessionHoldfastd(daemons.Holdfastd):
    """holdfastd as that user, who may not be able to look into the build directory."""

    def command(self):
        program = os.path.join(self.directory, "holdfastd")
        if not os.path.exists(program):
            shutil.copy(daemons.holdfastd(), program)
        return [program, *self.argv()]


class Side:
    """A daemon, and a VM that is its client."""

    def __init__(self, daemon, nursery):
        self.daemon = daemon
        self.nursery = nursery
        self.vm = nursery.vm("guest", uid=USER)
        self.lock = self.vm.own_connection(daemon)

    def virt_admin(self, *words):
        user = [] if USER is None else ["setpriv", f"--reuid={USER}", f"--regid={USER}",
                                        "--clear-groups", "--"]
        return daemons.run_virt_admin(user, "session", words, self.daemon.run_dir)

    def raw(self):
        """A raw connection to the admin socket, of the user that may connect."""
        return AdminConnection(self.nursery.vm("admin", uid=USER), self.daemon.admin_socket)

    def client_id(self):
        with self.raw() as admin:
            return admin.clients("virtlockd")[-1].ident


class Client:
    def __init__(self, at):
        self.server = at.string()
        self.ident = at.u64()
        self.connected = at.u64()
        self.transport = at.u32()


class AdminConnection:
    OPEN, CLOSE, VERSION, SERVERS, SERVER, THREADS, SET_THREADS, CLIENTS, CLIENT, INFO, \
        END_CLIENT, LIMITS, SET_LIMITS, OUTPUTS, FILTERS, SET_OUTPUTS, SET_FILTERS, TLS, \
        TIMEOUT = range(1, 20)
    READING = (OPEN, VERSION, SERVERS, SERVER, THREADS, CLIENTS, CLIENT, INFO, LIMITS, OUTPUTS,
               FILTERS)
    WRITING = (SET_THREADS, END_CLIENT, SET_LIMITS, SET_OUTPUTS, SET_FILTERS, TLS, TIMEOUT)

    def __init__(self, vm, path):
        self.vm = vm
        self.connection = vm.connect(path)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.vm.close()

    def call(self, proc, payload=b"", **how):
        return self.connection.call(proc, payload, prog=wire.ADMIN_PROGRAM, **how)

    def ask(self, proc, payload=b""):
        answer = self.call(proc, payload)
        assert answer.ok, answer
        return Cursor(answer.payload)

    def clients(self, server):
        at = self.ask(self.CLIENTS, string(server) + u32(1) + u32(0))
        clients = [Client(at) for _ in range(at.u32())]
        assert at.u32() == len(clients) and not at.rest()
        return clients

    def params(self, proc, payload):
        """Names, types and values of an answer that is a list of named values."""
        at = self.ask(proc, payload)
        params = [self.param(at) for _ in range(at.u32())]
        assert not at.rest()
        return params

    @staticmethod
    def param(at):
        field, kind = at.string(), at.u32()
        readers = {1: at.i32, 2: at.u32, 3: at.u64, 4: at.u64, 6: at.i32, 7: at.string}
        return field, kind, readers[kind]()


def u64(value):
    return struct.pack(">Q", value)


def info_of(ident, server="virtlockd"):
    return string(server) + u64(ident) + u64(0) + u32(0) + u32(0)


@pytest.fixture
def ours(nursery, folder):
    return Side(SessionHoldfastd(nursery, os.path.join(folder, "h"), conf=CONF, uid=USER), nursery)


@pytest.fixture
def stock(nursery, folder):
    return Side(daemons.StockVirtlockd(nursery, os.path.join(folder, "s"), conf=CONF, uid=USER),
                nursery)


def shown(side, command):
    """Exit status, output and error of virt-admin without what differs from run to run."""
    words = [str(side.client_id()) if word == "ID" else word for word in command.split()]
    result = side.virt_admin(*words)
    text = re.sub(r"\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[+-]\d{4}", "TIME", result.stdout)
    text = re.sub(rf"\b{side.vm.pid}\b", "PID", text)
    rows = [re.sub(r"^( *|id *: )\d+( |$)", r"\1N\2", row) for row in text.splitlines()]
    if command == "srv-list":
        rows.sort()  # virtlockd has no order
    # The blanks that virt-admin pads with depend on the length of what was replaced. A filter
    # is a pattern that virtlockd shows with the stars around it.
    rows = [re.sub("  +|--+", " ", row).replace("*", "").strip() for row in rows]
    return result.returncode, rows, result.stderr.strip()


@pytest.mark.parametrize("command", [
    "srv-list", "client-list virtlockd", "client-list admin", "client-list nobody",
    "srv-clients-info virtlockd", "srv-clients-info admin", "srv-clients-info nobody",
    "client-info virtlockd ID", "client-info virtlockd 4711", "client-info nobody ID",
    "srv-threadpool-info virtlockd", "srv-threadpool-info admin",
    "daemon-log-outputs", "daemon-log-filters", "version --daemon", "uri"])
def test_virt_admin_shows_the_same_as_of_virtlockd(stock, ours, command):
    assert shown(ours, command) == shown(stock, command)


def test_who_only_looks_takes_no_place_of_a_client(holdfastd):
    daemon = holdfastd(conf="max_clients = 5\n")
    with daemon.connect(), wire.Connection(wire.Transport(daemon.own_socket_ro)):
        shown_now = daemon.virt_admin("srv-clients-info", "virtlockd").stdout
        assert re.search(r"nclients_max *: 5\n", shown_now), shown_now
        assert re.search(r"nclients *: 1\n", shown_now), shown_now


def test_virt_admin_shows_who_the_client_is(ours):
    result = ours.virt_admin("client-info", "virtlockd", str(ours.client_id()))
    assert result.returncode == 0, result
    assert re.search(rf"unix_process_id *: {ours.vm.pid}\n", result.stdout), result.stdout
    assert re.search(rf"unix_user_id *: {USER or os.geteuid()}\n", result.stdout), result.stdout


@pytest.mark.parametrize("words", [
    "client-disconnect virtlockd ID", "srv-clients-set virtlockd --max-clients 5",
    "srv-threadpool-set virtlockd --max-workers 3", "daemon-log-outputs --outputs 1:stderr",
    "daemon-log-filters --filters 1:remote", "daemon-timeout --timeout 5", "server-update-tls virtlockd"])
def test_what_would_change_the_daemon_is_refused_with_a_reason(ours, words):
    result = ours.virt_admin(*[str(ours.client_id()) if word == "ID" else word
                               for word in words.split()])
    assert result.returncode == 1, result
    assert "operation forbidden: " in result.stderr and "read-only here" in result.stderr, result
    assert ours.lock.register(ours.vm.owner).ok
    assert "3:stderr" in ours.virt_admin("daemon-log-outputs").stdout


def answers(admin, lock_client):
    """Every reading call with good and with bad arguments: what stands in the answers."""
    result = {}
    for server in ("virtlockd", "admin", "nobody"):
        for proc, payload in ((admin.SERVER, u32(0)), (admin.THREADS, u32(0)),
                              (admin.LIMITS, u32(0)), (admin.CLIENTS, u32(0) + u32(0)),
                              (admin.CLIENT, u64(4711) + u32(0)),
                              (admin.INFO, u64(4711) + u64(0) + u32(0) + u32(0))):
            answer = admin.call(proc, string(server) + payload)
            result[server, proc] = answer.payload if answer.ok else (answer.verdict,
                                                                     answer.error.str1)
    for proc, arguments in ((admin.OPEN, b""), (admin.SERVERS, u32(1)), (admin.OUTPUTS, b""),
                            (admin.THREADS, string("admin")), (admin.LIMITS, string("admin")),
                            (admin.CLIENTS, string("admin") + u32(1)),
                            (admin.CLIENT, string("virtlockd") + u64(lock_client)),
                            (admin.INFO, info_of(lock_client)[:-4])):
        result["flags", proc] = admin.call(proc, arguments + u32(4)).verdict
    result["open"] = admin.call(admin.OPEN, u32(0)).payload
    result["version"] = admin.call(admin.VERSION).payload
    result["servers counted"] = admin.call(admin.SERVERS, u32(0) + u32(0)).payload
    result["outputs"] = admin.call(admin.OUTPUTS, u32(0)).payload
    for proc in (0, 20, -1):
        result["procedure", proc] = admin.call(proc).verdict
    result["program"] = admin.connection.call(3).verdict
    result["program version"] = admin.call(3, vers=2).verdict
    return result


def test_answers_have_the_bytes_of_virtlockds(stock, ours):
    seen = []
    for side in (stock, ours):
        with side.raw() as admin:
            seen.append(answers(admin, side.client_id()))
    assert seen[1] == seen[0]


def test_a_client_is_described_field_by_field_as_by_virtlockd(stock, ours):
    seen = []
    for side in (stock, ours):
        ident = side.client_id()
        with side.raw() as admin:
            client = admin.clients("virtlockd")[-1]
            at = admin.ask(admin.CLIENT, string("virtlockd") + u64(ident) + u32(0))
            single = Client(at)
            assert not at.rest() and vars(single) == vars(client)
            assert abs(client.connected - os.stat(side.daemon.pidfile).st_mtime) < 60
            info = admin.params(admin.INFO, info_of(ident))
            assert ("unix_process_id", 1, side.vm.pid) in info
            seen.append((client.server, client.transport, [p for p in info if p[2] != side.vm.pid]))
    assert seen[1] == seen[0]


def test_a_client_of_the_read_only_socket_is_shown_as_read_only(ours):
    ours.vm.connect(ours.daemon.own_socket_ro)
    with ours.raw() as admin:
        clients = admin.clients("virtlockd")
        assert [c.ident for c in clients] == sorted(c.ident for c in clients)
        shown_as = [dict(p[::2] for p in admin.params(admin.INFO, info_of(c.ident)))["readonly"]
                    for c in clients[-2:]]
    assert shown_as == [0, 1]


def test_the_close_call_is_answered_and_then_the_connection_ends(ours):
    with ours.raw() as admin:
        assert admin.call(admin.CLOSE).ok
        assert admin.connection.is_closed()


def test_bad_arguments_get_an_error_and_the_connection_lives(ours):
    endless = u32(0xFFFFFFFF)
    with ours.raw() as admin:
        for proc in (*admin.READING, *admin.WRITING):
            for payload in (b"", b"\0", endless, endless * 20, string("virtlockd")[:-1]):
                answer = admin.call(proc, payload)
                assert answer.outcome == "reply", (proc, payload, answer)
                assert answer.ok == (proc == admin.VERSION), (proc, payload, answer)
        assert admin.clients("virtlockd")


def test_locks_cannot_be_asked_for_on_the_admin_socket_nor_the_reverse(ours):
    with ours.raw() as admin:
        assert admin.connection.register(ours.vm.owner).verdict == (39, 7)
    assert ours.lock.call(3, prog=wire.ADMIN_PROGRAM).verdict == (39, 7)


def test_a_list_of_clients_that_is_too_long_is_an_error_and_nothing_else_suffers(
        nursery, folder):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < TOO_MANY + 200:
        pytest.skip(f"{TOO_MANY} connections need more descriptors than the limit of {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    crowd = []
    try:
        daemon = daemons.Holdfastd(nursery, os.path.join(folder, "h"),
                                   conf=f"max_clients = {TOO_MANY + 50}\n")
        for number in range(TOO_MANY):
            crowd.append(daemon.connect())
            # Once one is answered, all before it are clients. Not later than the backlog is full.
            if number % 100 == 0 or number == TOO_MANY - 1:
                assert crowd[-1].call(0).outcome == "reply"
        vm = nursery.vm("admin")
        with AdminConnection(vm, daemon.admin_socket) as admin:
            answer = admin.call(admin.CLIENTS, string("virtlockd") + u32(1) + u32(0))
            assert answer.verdict == (39, 7) and "too large" in answer.error.message, answer
            count = admin.ask(admin.CLIENTS, string("virtlockd") + u32(0) + u32(0))
            assert (count.u32(), count.u32()) == (0, TOO_MANY)
        assert crowd[0].register(wire.Owner("guest", os.getpid())).ok
    finally:
        # In groups, so that the daemon keeps up: it is stopped right after this.
        while len(crowd) > 1:
            for connection in crowd[-100:]:
                if connection is not crowd[0]:
                    connection.close()
            del crowd[max(1, len(crowd) - 100):]
            crowd[0].call(0)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
