# SPDX-License-Identifier: LGPL-2.1-or-later
"""pr-policy.conf as it is installed, and as Augeas changes it, is what the helper reads."""

import os
import re
import shutil
import subprocess

import pytest

from hftest.daemons import REPO
from hftest.prhelper import OURS, Helper

SHIPPED = os.path.join(REPO, "data", "pr-policy.conf")
LENSES = os.path.join(REPO, "data", "augeas")

# Of lists the first item is set.
VALUES = {
    "rules[1]/1": "deny vm=db", "emulate[1]/1": "/dev/null as one", "backends[1]/1": "sgio",
    "emulation_database": "/var/lib/x", "emulation_dir": "/srv/x", "nexus": "vm",
    "host_name": "b", "max_clients": "7", "max_user_clients": "7", "request_timeout": "9",
    "socket_group": "root", "socket_mode": "0600", "log_level": "4", "log_filters": "1:pr",
    "log_outputs": "2:stderr",
}


def shipped():
    with open(SHIPPED, encoding="utf-8") as text:
        return text.read()


def test_the_installed_file_is_read_and_allows_all(nursery, folder):
    helper = Helper(folder, nursery=nursery, config=shipped())
    assert helper.alive and helper.log() == ""


def test_the_table_of_this_test_has_every_key_of_the_lens():
    with open(os.path.join(LENSES, "holdfast_pr_policy.aug"), encoding="ascii") as lens:
        keys = set(re.findall(r'\bsetting "(\w+)"', lens.read()))
    assert keys == {re.sub(r"\[.*", "", key) for key in VALUES}


@pytest.mark.parametrize("key", VALUES)
def test_each_key_can_be_set_and_the_helper_serves(nursery, folder, key):
    if not shutil.which("augtool"):
        pytest.skip("augtool is not here (Debian: augeas-tools)")
    path = os.path.join(folder, "root/etc/holdfast/pr-policy.conf")
    os.makedirs(os.path.dirname(path))
    shutil.copyfile(SHIPPED, path)
    # This lens alone, as all of Augeas' own take a second to load.
    done = subprocess.run(["augtool", "-A", "-t", "Holdfast_pr_policy incl /etc/holdfast/pr-policy.conf",
                           "-r", os.path.join(folder, "root"), "-I", LENSES, "-s", "set",
                           f"/files/etc/holdfast/pr-policy.conf/{key}", f'"{VALUES[key]}"'],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "Saved 1 file" in done.stdout, done
    with open(path, encoding="utf-8") as text:
        written = text.read()
    assert written.startswith(shipped()) and VALUES[key] in written[len(shipped()):]
    # What is emulated has to be kept somewhere.
    more = 'emulation_dir = "/srv/x"\n' if key.startswith("emulate[") else ""
    assert Helper(folder, nursery=nursery, config=written + more).alive


@pytest.mark.parametrize("text", ["rule = [ 'deny' ]\n", "rules = [ 'deny vms=x' ]\n",
                                  "rules = [ 'allow' ]\nrules = [ 'deny' ]\n"])
def test_a_file_that_is_not_understood_starts_no_helper(folder, text):
    helper = Helper(folder, config=text, start=False)
    done = subprocess.run([OURS, *helper.args], capture_output=True, text=True, timeout=10,
                          env=helper.env, check=False)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert helper.conf in done.stderr and not os.path.exists(helper.socket)
