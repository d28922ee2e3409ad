# SPDX-License-Identifier: LGPL-2.1-or-later
"""SIGHUP: the configuration is read again, as a whole or not at all."""

import os
import signal

import pytest
from hftest import wire
from hftest.processes import until

GET_LOG_FILTERS = 15
GET_LOG_OUTPUTS = 14
GET_CLIENT_LIMITS = 12


def ask(daemon, proc, payload):
    with wire.Connection(daemon.admin_socket) as admin:
        answer = admin.call(proc, payload, prog=wire.ADMIN_PROGRAM)
    assert answer.ok
    return wire.Cursor(answer.payload)


def outputs(daemon):
    return ask(daemon, GET_LOG_OUTPUTS, wire.u32(0)).string()


def filters(daemon):
    at = ask(daemon, GET_LOG_FILTERS, wire.u32(0))
    return at.optional(at.string)


def limit(daemon):
    at = ask(daemon, GET_CLIENT_LIMITS, wire.string("virtlockd") + wire.u32(0))
    assert at.u32() >= 1 and at.string() == "nclients_max"
    at.u32()    # the type of the value
    return at.u32()


def reload(daemon, conf, pid=None):
    with open(daemon.conf, "w", encoding="utf-8") as out:
        out.write(conf)
    os.kill(pid or daemon.pid, signal.SIGHUP)


def test_what_is_new_in_the_configuration_counts(daemon):
    reload(daemon, 'max_clients = 50\nlog_filters = "1:some"\n')
    until(lambda: filters(daemon) == "1:some", "the new filter")
    assert limit(daemon) == 50


@pytest.mark.parametrize("bad", ['log_outputs = "1:file:/no/such/folder/log"',
                                 'log_filters = "9:odd"', "admin_max_clients = 0",
                                 'unix_sock_ro_perms = "often"'])
def test_a_mistake_changes_nothing(holdfastd, bad):
    daemon = holdfastd(conf='log_filters = "1:old"\n')
    reload(daemon, f'max_clients = 50\nlog_level = 4\n{bad}\n'
           + ('log_filters = "1:new"\n' if "log_filters" not in bad else ""))
    until(lambda: "keeping" in daemon.log(), "the mistake is reported")
    assert (filters(daemon), limit(daemon)) == ("1:old", 1024)
    # A level of 4 would hide this warning.
    reload(daemon, "max_clients = 1025\n")
    until(lambda: "needs an upgrade" in daemon.log(), "warnings are logged as before")


def test_a_limit_that_was_lowered_can_be_raised_to_what_it_was(holdfastd):
    daemon = holdfastd(conf="max_clients = 50\n")
    for number in (10, 50, 20):
        reload(daemon, f"max_clients = {number}\n")
        until(lambda: limit(daemon) == number, f"a limit of {number}")
    reload(daemon, "max_clients = 51\n")
    until(lambda: "needs an upgrade" in daemon.log(), "more than at the start is refused")
    assert limit(daemon) == 20


def test_in_the_background_it_goes_on_logging_to_the_system(nursery, holdfastd):
    daemon = holdfastd(start=False)
    daemon.exactly = ["-d", "-f", daemon.conf, "-p", daemon.pidfile]
    daemon.leashed = False
    daemon.start(wait=False)
    assert daemon.wait() == 0, daemon.log()
    with open(daemon.pidfile, encoding="ascii") as text:
        pid = nursery.adopt(int(text.read()))
    before = outputs(daemon)
    assert "stderr" not in before
    reload(daemon, 'log_filters = "1:some"\n', pid)
    until(lambda: filters(daemon) == "1:some", "the new filter")
    assert outputs(daemon) == before
