# SPDX-License-Identifier: LGPL-2.1-or-later
"""libiscsi's tests for persistent reservations of disks, against those that we keep.

A small iSCSI target stands between (hftest/iscsi_target.py), which hands reservations to the helper
and asks it who may read and write.
"""

import os
import re
import shutil
import subprocess

import pytest

from hftest.iscsi_target import Target
from hftest.prhelper import Client, Helper

SUITE = "iscsi-test-cu"
RUN_DEADLINE = 60
INITIATORS = ("iscsi-test", "iscsi-test-2")  # as the suite names them
PASSED = re.compile(r"Test: (\w+) \.\.\.(?:(?!Test:).)*?passed", re.DOTALL)

OF_TYPES = [what + kind for what in ("Access", "Ownership")
            for kind in ("EA", "WE", "EARO", "WERO", "EAAR", "WEAR")]
SUITES = {"PrinReadKeys": ["Simple", "Truncate"], "PrinServiceactionRange": ["Range"],
          "PrinReportCapabilities": ["Simple"], "ProutRegister": ["Simple"],
          "ProutReserve": ["Simple", *OF_TYPES], "ProutClear": ["Simple"],
          "ProutPreempt": ["RemoveRegistration"]}


@pytest.fixture
def target(folder, nursery):
    disk = os.path.join(folder, "disk")
    with open(disk, "wb"):
        pass
    # Each initiator is a nexus: of a helper whose VM has its name.
    helpers = {vm: Helper(folder, name=vm, nursery=nursery, args=["--vm", vm], config=(
        f'emulate = ["{disk} as one"]\nhost_name = "host"\nnexus = "vm"\n'
        f'emulation_database = "{folder}/pr.sqlite"\n')) for vm in INITIATORS}

    def connect(initiator):
        vm = initiator.rpartition(":")[2]
        client = Client(helpers[vm].socket)
        client.nexus = f":host:{vm}"
        return client

    made = Target(connect)
    made.use(disk)
    yield made
    made.close()


@pytest.mark.parametrize("name", SUITES)
def test_a_disk_with_our_reservations_passes(target, name):
    suite = shutil.which(SUITE)
    if not suite:
        pytest.fail(f"{SUITE} (package libiscsi-bin) is not installed")
    run = subprocess.run([suite, "--dataloss", "--fail", f"--test=SCSI.{name}", target.url],
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                         timeout=RUN_DEADLINE, check=False)
    told = run.stdout.partition(f"Suite: {name}")[2]
    assert PASSED.findall(told) == SUITES[name], run.stdout
    assert run.returncode == 0 and "[SKIPPED]" not in told, run.stdout
