# SPDX-License-Identifier: LGPL-2.1-or-later
"""Images have the security context of their VM while it runs."""

import json
import os

import pytest

from hftest import daemons


def built_with_selinux():
    with open(os.path.join(daemons.BUILD, "meson-info", "intro-dependencies.json"),
              encoding="utf-8") as text:
        return any(each["name"] == "libselinux" for each in json.load(text))


@pytest.fixture(scope="module")
def lab(guests):
    if not built_with_selinux():
        pytest.skip("this build has no libselinux (Debian: libselinux1-dev)")
    return guests.run("contexts", words="security=selinux selinux=1")


@pytest.mark.parametrize("sentence", [
    "an image has the context of its VM",
    "what it was before is remembered",
    "another context is refused",
    "the context goes back with the VM",
    "nothing is left of it",
    "a context stays for the second VM",
    "a context stays when all are killed",
    "repair gives the context back",
    "owner and context go together",
    "and back",
    "a context that the policy does not know is refused",
    "all that holds while SELinux enforces",
])
def test_of_contexts_it_is_so_that(lab, sentence):
    lab.proves(sentence)
