# SPDX-License-Identifier: LGPL-2.1-or-later
"""What `holdfast run` says of --on-lost where the leases are with sanlock; no daemon is needed."""

import os

import pytest

LEASE = "--lease=space:key:/nowhere/lease"
CONFIG = 78


@pytest.fixture
def run(lonely):
    def run(*options):
        return lonely("run", "--driver=sanlock", LEASE, *options, "--", "true",
                      env={"SANLOCK_RUN_DIR": os.path.join(lonely.folder, "no-sanlock")})
    return run


def test_a_vm_cannot_go_on_with_a_warning(run):
    refused = run("--on-lost=warn")
    assert refused.returncode == CONFIG
    assert "choose pause or kill" in refused.stderr


def test_a_vm_without_a_monitor_cannot_be_paused_in_order_and_that_is_said(run):
    assert "cannot be paused in order" in run("--on-lost=pause").stderr
    for options in ((), ("--on-lost=kill",)):
        assert "cannot be paused" not in run(*options).stderr


def test_a_start_that_fails_leaves_no_note(run, lonely):
    failed = run("--on-lost=kill")
    assert failed.returncode != 0 and "sanlock" in failed.stderr
    assert os.listdir(os.path.join(lonely.env["HOLDFAST_RUN_DIR"], "holdfast", "sanlock")) == []
