# SPDX-License-Identifier: LGPL-2.1-or-later
"""A virtlockd with one connection that has not registered ends when it is told to execute itself:
holdfast adopt does not tell it then, wherever that connection comes from and whenever."""

import os
import shutil
import subprocess
import sys

import pytest

from hftest import daemons, files
from hftest.adoption import HELD, OK, Host

# So many make one look at all processes last.
MANY = 100000

CONNECT = """
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
print("up", flush=True)
input()
"""

# When virtlockd has been stopped, and is being looked at.
CONNECT_LATER = """
import sys, time
with open(f"/proc/{sys.argv[2]}/stat", "rb", buffering=0) as stat:
    print("up", flush=True)
    while b") T " not in stat.read():
        stat.seek(0)
time.sleep(0.05)
""" + CONNECT

CONNECT_ALWAYS = """
import socket, sys, time
print("up", flush=True)
while True:
    s = socket.socket(socket.AF_UNIX)
    try:
        s.connect(sys.argv[1])
        time.sleep(0.0005)
    except FileNotFoundError:
        pass
    s.close()
    time.sleep(0.004)
"""

HOARD = """
import os, resource, sys
most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
each = min(most, 10000) - 100
for _ in range(each):
    os.dup(0)
for _ in range(int(sys.argv[1]) // each):
    if os.fork() == 0:
        sys.stdin.read()
        os._exit(0)
print("up", flush=True)
input()
"""


@pytest.fixture
def host(nursery, folder, virtlockd, disk):
    if os.geteuid() != 0:
        pytest.skip("needs root, whose virtlockd it is")
    made = Host(nursery, folder, virtlockd)
    made.disk = disk()
    made.vm("web0", made.disk)
    return made


def program(host, text, *words, prefix=(), executable=sys.executable, **how):
    child = host.nursery.spawn([*prefix, executable, "-I", "-S", "-c", text, *words],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **how)
    assert child.stdout.readline() == "up\n"
    return child


def check_unharmed(host):
    assert daemons.is_program(host.stock.pid, "virtlockd")
    assert files.lock_on_first_byte(host.disk) == "write lock"


def test_a_connection_from_another_network_namespace_stops_it(host):
    other = program(host, CONNECT, host.stock.socket, prefix=["unshare", "-n", "--"])
    answer = host.adopt()
    assert answer.returncode == HELD, answer
    assert f"process {other.pid} (python" in answer.stderr and host.mounts() == []
    check_unharmed(host)


def test_a_vm_in_another_network_namespace_is_a_vm(host):
    vm = program(host, CONNECT.replace("import socket, sys",
                                       f"import socket, sys\ndisk = open({host.disk!r})"),
                 host.stock.socket, prefix=["unshare", "-n", "--"])
    assert host.findings() == (set(), set())
    assert vm.poll() is None


def test_who_connects_while_it_looks_at_the_last_connections_stops_it(host):
    program(host, HOARD, str(MANY))
    program(host, CONNECT_LATER, host.stock.socket, str(host.stock.pid))
    answer = host.adopt()
    assert answer.returncode == HELD, answer
    assert "has a connection to virtlockd" in answer.stderr and host.mounts() == []
    check_unharmed(host)


@pytest.mark.parametrize("attempt", range(6))
def test_libvirt_that_connects_all_the_time_is_not_the_end_of_it(host, folder, attempt):
    libvirt = shutil.copy(os.path.realpath(sys.executable), os.path.join(folder, "virtqemud"))
    program(host, CONNECT_ALWAYS, host.stock.socket, executable=libvirt,
            env={"PYTHONHOME": "/usr", "PATH": "/usr/bin:/bin"})
    answer = host.command("adopt")
    assert answer.returncode in (OK, HELD), (attempt, answer)
    assert files.lock_on_first_byte(host.disk) == "write lock"
    assert os.path.exists(host.stock.socket) and not os.path.exists(host.stock.socket + ".adopt")


def test_a_socket_that_a_killed_attempt_has_left_out_of_reach_is_found(host):
    os.rename(host.stock.socket, host.stock.socket + ".adopt")
    answer = host.adopt()
    assert answer.returncode == OK, answer
    assert os.path.exists(host.stock.socket)
