# SPDX-License-Identifier: LGPL-2.1-or-later
"""The helper and a real NVMe namespace, as far as packaged kernels have one: without
reservations. How commands and data are translated is with the unit tests."""

import pytest


@pytest.fixture(scope="module")
def lab(guests):
    return guests.run("pr_nvme")


def test_a_namespace_without_reservations_has_no_such_command(lab):
    lab.proves("a namespace without reservations has no such command")


def test_each_request_is_one_command_of_nvme(lab):
    lab.proves("each question is one Report")
    lab.proves("each command is the one of NVMe")


def test_what_nvme_has_not_reaches_no_device(lab):
    lab.proves("what NVMe has not reaches no device")
