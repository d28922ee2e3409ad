# SPDX-License-Identifier: LGPL-2.1-or-later
"""Session libvirt: an ordinary user's libvirtd starts the lock daemon by itself."""
import pytest

from .session import UID, SessionLab
from .words import NAMES_NOBODY, names


@pytest.fixture(scope="module")
def session_lab(daemon, build, mode):
    top = build if daemon.is_relative_to(build) else daemon.parent
    lab = SessionLab(daemon, top, lockspace=mode != "direct")
    yield lab
    lab.close()


@pytest.fixture
def session(request, session_lab):
    session_lab.logs_since()
    request.node.labs = {"session": session_lab}
    yield session_lab
    session_lab.forget_vms()


def test_libvirtd_starts_the_lock_daemon_and_a_domain_runs_under_it(session):
    disk = session.disk("alone.raw")
    vm = session.started(disk)
    assert vm.state == "running"
    assert session.lock(disk) == "exclusive"
    daemons = session.lock_daemons()
    assert daemons
    for _, uid, argv in daemons:
        assert uid == UID
        assert argv[0].endswith("virtlockd") and argv[1:] == ["--timeout=120"]
    vm.destroy()
    session.until_free(disk)


def test_a_second_start_in_the_session_is_refused(session):
    disk = session.disk("twice.raw")
    first, second = session.started(disk), session.vm(disk)
    second.refused_start()
    assert (first.state, second.state) == ("running", "shut off")
    assert session.lock(disk) == "exclusive"


@pytest.mark.stock_breaks(NAMES_NOBODY)
def test_a_refusal_in_the_session_names_the_holder(session):
    disk = session.disk("named.raw")
    holder, second = session.started(disk), session.vm(disk)
    assert names(second.refused_start(), holder)


def test_a_second_vm_finds_the_daemon_that_the_first_one_made_start(session):
    before = None
    for name in ("one.raw", "two.raw"):
        session.started(session.disk(name))
        daemons = session.lock_daemons()
        assert before in (None, daemons)
        before = daemons


def test_a_restart_of_the_session_libvirtd_leaves_daemon_domain_and_lock(session):
    disk = session.disk("restart.raw")
    vm = session.started(disk)
    daemons = session.lock_daemons()
    session.restart_libvirtd()
    assert vm.state == "running"
    assert session.lock_daemons() == daemons
    assert session.lock(disk) == "exclusive"
    session.vm(disk).refused_start()
