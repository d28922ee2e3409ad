# SPDX-License-Identifier: LGPL-2.1-or-later
"""Security contexts of images, on a kernel with SELinux and a distribution's policy."""

import os

from hftest import daemons, processes
from hftest.command import Cli, end
from hftest.labels import Place
from lab.inside.machine import load, put, run as command

SELINUXFS = "/sys/fs/selinux"
VM = "system_u:object_r:svirt_image_t:s0:c1,c2"
OTHER = "system_u:object_r:svirt_image_t:s0:c3,c4"
BEFORE = "system_u:object_r:virt_image_t:s0"


def load_policy(report):
    """As a distribution's init does it. Nothing here runs in a domain of its own, so that most of
    it is tried permissive; in the end SELinux enforces."""
    command("mount", "-t", "selinuxfs", "none", SELINUXFS)
    command("load_policy")
    with open(f"{SELINUXFS}/enforce", encoding="ascii") as text:
        report.value("enforcing", text.read())


def context(path):
    return os.getxattr(path, "security.selinux").rstrip(b"\0").decode()


class World:
    """A daemon, and images on a disk of memory with a filesystem of its own."""

    def __init__(self, nursery):
        os.makedirs("/lab")
        command("mount", "-t", "tmpfs", "-o", "mode=755", "lab", "/lab")
        load("loop", "ext4")
        command("truncate", "-s", "32M", "/lab/disk")
        command("mkfs.ext4", "-q", "/lab/disk")
        os.makedirs("/lab/w")
        command("mount", "-o", "loop", "/lab/disk", "/lab/w")
        served = daemons.Holdfastd(nursery, "/lab/d")
        self.cli = Cli(nursery, "/lab/w", served.run_dir)
        self.place = Place(self.cli, nursery, "/lab/w", "attribute")

    def image(self, name):
        path = self.place.image(name)
        os.setxattr(path, "security.selinux", BEFORE.encode())
        return path

    def words(self, label, *disks):
        return ["run", f"--selinux-label={label}", *(f"--disk={disk}" for disk in disks)]

    def hold(self, name, label, *disks):
        child = self.cli.start(*self.words(label, *disks), f"--name={name}", "--", "sh", "-c",
                               "echo up; exec sleep 600", stdout=-1)
        assert child.stdout.readline() == "up\n"
        return child


def one_vm(report, world):
    path = world.image("one.img")
    child = world.hold("web0", VM, path)
    report.check("an image has the context of its VM", context(path) == VM, context(path))
    label, = world.place.labels()
    report.check("what it was before is remembered",
                 (label["kind"], label["original"], label["place"]) ==
                 ("selinux", BEFORE, "attribute"), label)
    answer = world.cli(*world.words(OTHER, f"{path}:ro"), "--", "true")
    report.check("another context is refused", answer.returncode == 75, answer)
    end(child)
    report.check("the context goes back with the VM", context(path) == BEFORE, context(path))
    report.check("nothing is left of it", world.place.labels() == [] and not world.place.table())


def categories(report, world):
    """The kernel has its own way to write them; what is remembered has to be that."""
    path = world.image("other.img")
    child = world.hold("web0", VM.replace("c1,c2", "c2,c1"), path)
    report.check("an image has the context of its VM", context(path) == VM, context(path))
    end(child)
    report.check("the context goes back with the VM", context(path) == BEFORE, context(path))


def sharing(report, world):
    path = world.image("shared.img")
    one, two = (world.hold(name, VM, f"{path}:ro") for name in ("one", "two"))
    end(one)
    report.check("a context stays for the second VM", context(path) == VM, context(path))
    end(two)
    report.check("the context goes back with the VM", context(path) == BEFORE, context(path))


def killed(report, world):
    path = world.image("killed.img")
    child = world.hold("web0", VM, path)
    processes.kill_family(child.pid)
    child.wait(10)
    report.check("a context stays when all are killed", context(path) == VM, context(path))
    world.place.repair()
    report.check("repair gives the context back", context(path) == BEFORE, context(path))


def with_user(report, world):
    path = world.image("both.img")
    answer = world.cli(*world.words(VM, path), "--user=nobody", "--", "stat", "-c", "%U %C", path)
    report.check("owner and context go together", answer.stdout == f"nobody {VM}\n", answer)
    report.check("and back", (context(path), os.stat(path).st_uid) == (BEFORE, 0))


def wrong(report, world):
    path = world.image("wrong.img")
    answer = world.cli(*world.words("system_u:object_r:no_such_t:s0", path), "--", "true")
    report.check("a context that the policy does not know is refused",
                 answer.returncode == 64 and context(path) == BEFORE, answer)


def run(report):
    load_policy(report)
    nursery = processes.Nursery()
    try:
        world = World(nursery)
        for part in (one_vm, categories, sharing, killed, with_user, wrong):
            report.event(part.__name__)
            part(report, world)
        put(f"{SELINUXFS}/enforce", "1")
        report.event("enforcing")
        one_vm(report, world)
        with open(f"{SELINUXFS}/enforce", encoding="ascii") as text:
            report.check("all that holds while SELinux enforces", text.read() == "1")
    finally:
        put(f"{SELINUXFS}/enforce", "0")
        nursery.close()
