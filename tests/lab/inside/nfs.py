# SPDX-License-Identifier: LGPL-2.1-or-later
"""An NFS server, and hosts that mount from it, all in one guest.

The server is the kernel's own, in the root namespaces, without any program beside it: what
mountd would answer lies in the kernel's caches from the start. A `Host` is a network, a UTS and
a mount namespace on one end of a veth pair. To the server it is a client like any other: it has
an address and, since the client's identity contains the nodename, an identity of its own. A
`Client` is a guest as a whole, for when a host has to die as a host does.
"""

import json
import os

from hftest import daemons, processes
from hftest.command import Cli

from . import nfs3
from .machine import load, put, run
from .report import until

NFSD = "/proc/fs/nfsd"
CACHES = "/proc/net/rpc"
SERVER_ADDRESS = "10.77.0.1"
BRIDGE = "lab0"
# Given, it stays. A bridge that has to find one takes the lowest of its ports: another one with a
# host that joins, while those that are there go on for up to a minute with the one they know.
BRIDGE_CARD = "02:00:00:00:00:01"
# Memory that all hosts see under the same path, besides what NFS shows them.
SHARED = "/lab"
EXPORT = f"{SHARED}/export"
MOUNT = "/mnt"

# Folders of settings that each host has for itself: those of stock programs, and those of the
# build, which may be elsewhere.
SETTINGS = ("holdfast", "libvirt")

# The shortest that nfsd accepts. Whoever waits for a lease waits this long and a bit.
LEASE = 10
THREADS = 8
PORT = 2049
# In the caches' answers: a point in time that never comes, and how the export behaves
# (insecure port, asynchronous, no subtree check, has an fsid).
NEVER = 2 ** 31 - 1
FLAGS = 0x2 | 0x10 | 0x400 | 0x2000
NOBODY = 65534


class Server:
    """nfsd, serving EXPORT (a tmpfs) as its root to `clients` (addresses)."""

    def __init__(self, clients, version3=False):
        load("nfsd")
        if version3:
            nfs3.start(SHARED)
        if not os.path.exists(f"{NFSD}/threads"):
            run("mount", "-t", "nfsd", "nfsd", NFSD)
        recovery = f"{SHARED}/recovery"
        for folder in (EXPORT, recovery):
            os.makedirs(folder)
        run("mount", "-t", "tmpfs", "-o", "mode=777", "export", EXPORT)
        put(f"{NFSD}/nfsv4leasetime", f"{LEASE}\n")
        put(f"{NFSD}/nfsv4gracetime", f"{LEASE}\n")
        put(f"{NFSD}/nfsv4recoverydir", f"{recovery}\n")
        put(f"{NFSD}/versions", f"{'+' if version3 else '-'}3 +4 +4.1 +4.2\n")
        self.clients = clients
        self.start()
        # Nobody has anything to claim back from a server that never ran.
        put(f"{NFSD}/v4_end_grace", "Y\n")

    def start(self):
        """What mountd would answer; the kernel has forgotten it at each stop."""
        for client in self.clients:
            put(f"{CACHES}/auth.unix.ip/channel", f"nfsd {client} {NEVER} lab\n")
        put(f"{CACHES}/nfsd.export/channel",
            f"lab {EXPORT} {NEVER} {FLAGS} {NOBODY} {NOBODY} 0\n")
        put(f"{CACHES}/nfsd.fh/channel", f"lab 1 \\x00000000 {NEVER} {EXPORT}\n")
        put(f"{NFSD}/threads", f"{THREADS}\n")

    def stop(self):
        """All state goes with the last thread; after the next start clients are waited for,
        LEASE seconds long, to claim what they had."""
        put(f"{NFSD}/threads", "0\n")


def settings_root():
    """Where the build looks for settings; /etc when it was configured so."""
    path = os.path.join(daemons.BUILD, "meson-info", "intro-buildoptions.json")
    with open(path, encoding="utf-8") as text:
        options = {option["name"]: option["value"] for option in json.load(text)}
    return os.path.join(options["prefix"], options["sysconfdir"])


def address_of(number):
    return f"10.77.0.{number + 10}"


def make_shared():
    os.makedirs(SHARED)
    run("mount", "-t", "tmpfs", "-o", "mode=755", "lab", SHARED)


def serve(count, wires=(), **how):
    """The server, on a bridge of its own with these network cards; for `count` hosts."""
    load("bridge", "virtio_net")
    make_shared()
    run("ip", "link", "add", BRIDGE, "address", BRIDGE_CARD, "type", "bridge")
    run("ip", "address", "add", f"{SERVER_ADDRESS}/24", "dev", BRIDGE)
    for wire in wires:
        run("ip", "link", "set", wire, "master", BRIDGE, "up")
    run("ip", "link", "set", BRIDGE, "up")
    run("ip", "link", "set", "lo", "up")
    return Server([address_of(number) for number in range(count)], **how)


def setup(names, **how):
    """A server, and hosts by name in namespaces that have its export mounted."""
    load("veth", "nfs", "nfsv4")
    server = serve(len(names), **how)
    return server, {name: Host(name, number) for number, name in enumerate(names)}


class Client(processes.Nursery):
    """A machine on the server's network: what is spawned through it ends with it.

    `folder` is for its daemons' files. This one is the guest itself, with its first network
    card; the server is another guest.
    """

    def __init__(self, name, number):
        super().__init__()
        self.name = name
        self.address = address_of(number)
        self.folder = f"{SHARED}/{name}"
        self.enter = []
        self.wire()
        os.makedirs(self.folder)

    def wire(self):
        load("virtio_net", "nfs", "nfsv4")
        make_shared()
        self.bring_up()

    def bring_up(self):
        self.run("sh", "-ec", f"hostname {self.name}; ip -batch -", input=(
            f"link set lo up\naddress add {self.address}/24 dev eth0\nlink set eth0 up\n"))

    def close(self):
        """Ends what has an end to watch, such as daemons; the rest goes with the guest's power.

        Not one by one: the last process of a host would wait for the server to say good-bye.
        """
        while self.closers:
            self.closers.pop()()

    def run(self, *argv, **how):
        """A command on the host, which has to succeed; what it printed."""
        return run(*self.enter, *argv, **how)

    def spawn(self, argv, leashed=True, **how):
        return super().spawn([*self.enter, *argv], leashed=leashed, **how)

    def mount(self, options="vers=4.2", where=MOUNT, remote=SERVER_ADDRESS):
        os.makedirs(where, exist_ok=True)
        # Without mount.nfs, which only finds out what is said here.
        if "vers=3" in options:
            self.run("ln", "-sf", f"{SHARED}/rpcbind", nfs3.PORT_MAPPER)
            options += f",proto=tcp,port={PORT},mountproto=tcp,mountport={nfs3.MOUNTD_PORT}"
        self.run("mount", "-i", "-t", "nfs", "-o",
                 f"{options},addr={remote},clientaddr={self.address}", f"{remote}:/", where)

    def holdfastd(self, **how):
        """Our daemon, in the host's folder."""
        return daemons.Holdfastd(self, f"{self.folder}/holdfastd", **how)

    def virtlockd(self, **how):
        """Stock virtlockd, at its usual place in a /run of its own."""
        return daemons.StockVirtlockd(self, f"{self.folder}/virtlockd", **how)

    def cli(self, daemon):
        """The command `holdfast` of this host, as hftest.command.Cli; it asks this daemon."""
        return HostCli(self, self.folder, daemon.run_dir)


class Host(Client):
    """One of several hosts in one guest: namespaces on one end of a veth pair.

    /run and the settings are its own, so daemons may be at their usual places.
    The export is at MOUNT, with these options, unless there are none. `folder` is at the same
    path for everybody; `path()` leads from the root namespaces to what only the host sees.
    """

    def __init__(self, name, number, mount="vers=4.2"):
        super().__init__(name, number)
        folders = {f"{root}/{name}" for root in ("/etc", settings_root()) for name in SETTINGS}
        for path in folders:
            os.makedirs(path, exist_ok=True)
        self.run("sh", "-ec", "for at; do mount -t tmpfs -o mode=755 private $at; done", "sh",
                 "/run", *folders)
        if mount:
            self.mount(mount)

    def wire(self):
        # The namespaces live as long as this process.
        self.holder = self.spawn(["unshare", "--net", "--uts", "--mount", "--propagation",
                                  "private", "sleep", "infinity"])
        until(self.is_apart, f"the namespaces of {self.name}")
        self.enter = ["nsenter", "-t", str(self.holder.pid), "-n", "-u", "-m", "--"]
        self.link = f"lab-{self.name}"
        run("ip", "link", "add", self.link, "type", "veth", "peer", "name", "eth0",
            "netns", str(self.holder.pid))
        run("ip", "link", "set", self.link, "master", BRIDGE, "up")
        self.bring_up()

    def is_apart(self):
        return os.path.basename(os.readlink(f"/proc/{self.holder.pid}/exe")) == "sleep"

    def path(self, path):
        """What the host has at this path, for somebody who is not on it."""
        return f"/proc/{self.holder.pid}/root{path}"

    def configure(self, text, file="holdfast/holdfast.conf"):
        """Settings of its VMs, from now on."""
        with open(self.path(f"{settings_root()}/{file}"), "w", encoding="utf-8") as out:
            out.write(text)

    def cut(self):
        run("ip", "link", "set", self.link, "down")

    def heal(self):
        run("ip", "link", "set", self.link, "up")


class HostCli(Cli):
    def __call__(self, *words, prefix=(), **how):
        return super().__call__(*words, prefix=[*self.nursery.enter, *prefix], **how)
