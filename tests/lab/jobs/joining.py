# SPDX-License-Identifier: LGPL-2.1-or-later
"""Two hosts use the server, and a third one joins them."""

from lab.inside import nfs
from lab.inside.machine import run as command

# The lowest card address that may be made up: below those of all hosts, which are random.
LOWEST = "02:00:00:00:00:00"


def keep_server_known(host):
    """The host goes on with the card address that it knows; nothing said later mends it."""
    host.run("ip", "neighbour", "change", nfs.SERVER_ADDRESS, "dev", "eth0", "nud", "permanent")


def join():
    command("ip", "link", "add", "lab-third", "address", LOWEST, "type", "veth")
    command("ip", "link", "set", "lab-third", "master", nfs.BRIDGE, "up")


def reaches_server(host):
    try:
        return host.run("busybox", "ping", "-c", "3", "-W", "5", nfs.SERVER_ADDRESS)
    except OSError as fault:
        print(f"{host.name}: {fault}")
        return ""


def run(report):
    _, hosts = nfs.setup("ab")
    for host in hosts.values():
        keep_server_known(host)
        report.check("a host reaches the server", reaches_server(host), host.name)
    join()
    for host in hosts.values():
        report.check("it still does when another host has joined", reaches_server(host), host.name)
