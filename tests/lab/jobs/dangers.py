# SPDX-License-Identifier: LGPL-2.1-or-later
"""What `check` warns of, and `explain` advises, where hosts share a filesystem: a and b have
holdfastd, s has stock virtlockd. Each image has a scene for itself; the last one ends host a."""

import hashlib
import json
import os
import signal

from hftest import cloud_hypervisor as stand_in_of, command
from lab.inside import locks, nfs
from lab.inside.machine import load, put, run as shell
from lab.inside.report import until

SPACE = f"{nfs.MOUNT}/locks-a"
OTHER = f"{nfs.MOUNT}/locks-b"
RETAKE = "/sys/module/nfs/parameters/recover_lost_locks"
STRICT, HELD = 78, 75
# storage/record.h: where things are in a record, and what of it is hashed.
MACHINE, BOOT, HASHED = slice(48, 64), slice(64, 80), 496
VERSION_3 = {"vers=3": "vers=3", "vers=3,nolock": "nolock"}


def setting(folder):
    return f'file_lockspace_dir = "{folder}"\n'


def stand_in(image):
    return hashlib.sha256(image.encode()).hexdigest()


class World:
    def __init__(self, report):
        load("loop")
        self.report = report
        _, self.hosts = nfs.setup("abs", version3=True)
        self.daemons = {"a": self.hosts["a"].holdfastd(), "b": self.hosts["b"].holdfastd(),
                        "s": self.hosts["s"].virtlockd()}
        self.a, self.b = (self.hosts[h].cli(self.daemons[h]) for h in "ab")

    def image(self, name):
        with open(f"{nfs.EXPORT}/{name}.img", "wb") as image:
            image.truncate(1 << 20)
        return f"{nfs.MOUNT}/{name}.img"

    def configure(self, **texts):
        for name, text in texts.items():
            self.hosts[name].configure(text)

    def check(self, path):
        """(answer, keys of its warnings, how it tells of the image) at host b."""
        answer = self.b("check", "--json", "--name=web2", f"--disk={path}", "--", "true")
        told = json.loads(answer.stdout)
        return answer, [warning["key"] for warning in told["warnings"]], told["images"][0]

    def warns(self, sentence, path, key, *words):
        """check at b warns of this alone, in these words, and is strict when it is to be."""
        answer, keys, image = self.check(path)
        self.report.check(sentence, answer.returncode == 0 and keys == [key] and
                          all(word in answer.stderr for word in words), answer)
        answer = self.b("check", "--strict", f"--disk={path}", "--", "true")
        self.report.check(f"{sentence}, and --strict answers no", answer.returncode == STRICT,
                          answer)
        return image

    def explain(self, path):
        answer = self.b("explain", "--json", path)
        return json.loads(answer.stdout) if answer.returncode == 0 else {"problem": answer}


def retaking(world):
    """First of all: what nobody will notice is said with the first lock on a filesystem."""
    report, path = world.report, world.image("retake")
    put(RETAKE, "Y")
    world.warns("a kernel that takes lost locks again is warned of", path, "recover-lost-locks",
                "recover_lost_locks")
    command.end(world.b.hold("web2", f"--disk={path}"))
    put(RETAKE, "N")
    report.check("the daemon says so when it has such a lock",
                 "recover_lost_locks" in world.daemons["b"].log(), world.daemons["b"].log())
    answer, keys, _ = world.check(path)
    report.check("a kernel that does not is not", not keys, answer)


def places(world):
    """Host a locks the disk in a lockspace; b elsewhere, and then in the same one."""
    report, path = world.report, world.image("places")
    world.configure(a=setting(SPACE), b=setting(OTHER))
    vm = world.a.hold("web1", f"--disk={path}")
    world.warns("another lockspace directory is warned of", path, "other-lockspace", "host a",
                SPACE, OTHER)
    for _ in range(2):
        answer = world.b("run", "--name=web2", f"--disk={path}", "--", "true")
        report.check("run warns of it, each time",
                     answer.returncode == 0 and "warning" in answer.stderr and
                     "host a" in answer.stderr, answer)
    world.configure(b="")
    world.warns("a lock on the disk itself where others have a lockspace is warned of", path,
                "other-lockspace", "host a", SPACE, "itself")
    world.configure(b=setting(SPACE))
    answer, keys, image = world.check(path)
    report.check("the same directory is not warned of", not keys and "warning" not in
                 answer.stderr, answer)
    report.check("check names VM and host by the lock file", answer.returncode == HELD and
                 "web1" in image["holder"] and "host a" in image["holder"], answer)
    report.check("what the lock would be worth is that of the lock file",
                 image["guarantee"] == "cluster-advisory", image)
    holders = world.b.holders(path)
    report.check("so does who", [(h["kind"], h["name"], h["host"]) for h in holders] ==
                 [("elsewhere", "web1", "a")], holders)
    answer = world.b("run", "--name=web2", f"--disk={path}", "--", "true")
    report.check("so does the refusal of run", answer.returncode == HELD and
                 "web1" in answer.stderr and "host a" in answer.stderr, answer)
    elsewhere(report, world.explain(path), vm)
    locked = world.a.vms()["web1"]["locks"][0]
    report.check("ps says cluster-advisory of a lock file on NFS",
                 locked["guarantee"] == "cluster-advisory", locked)
    command.end(vm)


def itself(world):
    """Host a locks the disk itself, b in a lockspace, where nobody has it."""
    path = world.image("itself")
    world.configure(b=setting(SPACE))
    # What host b has not found there it must not go by later.
    answer, keys, _ = world.check(path)
    world.report.check("a disk that nobody has is not warned of", answer.returncode == 0 and
                       not keys, answer)
    vm = world.a.hold("web1", f"--disk={path}")
    answer, keys, _ = world.check(path)
    world.report.check("a lockspace where others lock the disk itself is warned of",
                       answer.returncode == HELD and keys == ["other-lockspace"], answer)
    answer = world.b("run", "--name=web2", f"--disk={path}", "--", "true")
    world.report.check("run sees the lock on the disk itself, and does not start",
                       answer.returncode == HELD and "web1" in answer.stderr and
                       "host a" in answer.stderr, answer)
    command.end(vm)
    answer = world.b("run", "--name=web2", f"--disk={path}", "--", "true")
    world.report.check("it starts when that lock is gone", answer.returncode == 0, answer)


def elsewhere(report, told, vm):
    report.check("explain knows that it is held elsewhere", told.get("situation") == "elsewhere",
                 told)
    report.check("explain names VM, process and host", "web1" in told["verdict"] and
                 f"pid {command.descendants(vm.pid)[0]}" in told["verdict"] and
                 "host a" in told["verdict"], told)
    report.check("explain tells the seconds of the lease", told["lock_file"]["lease_seconds"] ==
                 nfs.LEASE and f"{nfs.LEASE} seconds" in told["next"], told)
    report.check("explain says where to go on", "On host a" in told["next"], told)


def local_space(world):
    path, folder = world.image("local"), f"{world.hosts['b'].folder}/locks"
    # Which the daemon will make.
    world.configure(b=setting(folder))
    image = world.warns("a lockspace that other hosts do not see is warned of", path,
                        "local-lockspace", folder)
    world.report.check("its lock is said to be worth host", image["guarantee"] == "host", image)
    vm = world.b.hold("web2", f"--disk={path}")
    locked = world.b.vms()["web2"]["locks"][0]
    world.report.check("ps says host of a lock file on tmpfs", locked["guarantee"] == "host",
                       locked)
    command.end(vm)
    world.configure(b="")


def version_3(world):
    world.image("three")
    for options, word in VERSION_3.items():
        where = f"/mnt-{word}"
        world.hosts["b"].mount(options, where)
        image = world.warns(f"{options} is warned of", f"{where}/three.img", "no-reach")
        world.report.check(f"a lock on {options} is said to be worth host, and why",
                           image["guarantee"] == "host" and word in image["guarantee_reason"],
                           image)


def forge(block, **parts):
    """The record, as another machine would have it."""
    block = bytearray(block)
    for part, where in (("machine", MACHINE), ("boot", BOOT)):
        if part in parts:
            block[where] = parts[part]
    block[HASHED:] = hashlib.sha256(block[:HASHED]).digest()[:len(block) - HASHED]
    return bytes(block)


def client_ids(world):
    """Another machine with the name of b, which is what makes its NFS client's id."""
    path = world.image("clone")
    file = f"{nfs.EXPORT}/locks-a/{stand_in(path)}"
    world.configure(b=setting(SPACE))
    vm = world.b.hold("web2", f"--disk={path}")
    with open(file, "rb") as record:
        own = record.read()
    answer, keys, _ = world.check(path)
    world.report.check("what this host holds itself is not warned of", not keys, answer)
    command.end(vm)
    write(file, forge(own, machine=b"another machine!"))
    world.warns("a machine with this host's NFS client id is warned of", path, "same-client-id",
                "nfs4_unique_id")
    # A copy of the machine, its id included, that runs at the same time.
    world.configure(a=setting(SPACE))
    vm = world.a.hold("web1", f"--disk={path}")
    write(file, forge(own, boot=b"another life ..."))
    answer, keys, _ = world.check(path)
    world.report.check("so is a copy of this machine that has the lock now",
                       answer.returncode == HELD and keys == ["same-client-id"], answer)
    command.end(vm)


def write(path, data):
    with open(path, "wb") as out:
        out.write(data)


def device(world):
    with open(f"{nfs.SHARED}/backing", "wb") as backing:
        backing.truncate(1 << 20)
    node = shell("losetup", "--find", "--show", f"{nfs.SHARED}/backing").strip()
    world.configure(b="")
    world.warns("a lock on a device node is warned of", node, "device-node",
                "lvm_lockspace_dir")
    world.configure(b=setting(SPACE))
    answer, keys, image = world.check(node)
    world.report.check("a lockspace on NFS cures that", answer.returncode == 0 and not keys and
                       image["guarantee"] == "cluster-advisory", answer)


def stock(world):
    path = world.image("stock")
    world.configure(b=setting(SPACE))
    holder = locks.Holder(world.hosts["s"], world.daemons["s"], SPACE, stand_in(path))
    answer = holder.acquire()
    assert answer.ok, answer
    told = world.explain(path)
    world.report.check("whom a stock virtlockd has it for is unknown to explain",
                       told.get("situation") == "unknown" and "virtlockd" in told["verdict"] and
                       "on the other hosts" in told["next"], told)
    holder.leave()


def cloud_hypervisor(world):
    """It locks the whole image itself; our lock is in a directory beside the daemon's socket."""
    path = world.image("ch")
    ours = [stand_in_of.make(nfs.SHARED), "--disk", f"path={path}"]
    world.configure(a="", b="")
    vm = world.a.hold("ch1", vmm=ours)
    answer = world.b("run", "--", *command.qemu("-drive", f"file={path},format=raw,if=virtio"))
    world.report.check("a QEMU on the image of a cloud-hypervisor elsewhere is refused",
                       answer.returncode == HELD and path in answer.stderr, answer)
    told = world.explain(path)
    world.report.check("explain says that somebody elsewhere has it",
                       told.get("situation") == "unknown", told)
    command.end(vm)
    vm = world.b.hold("web2", f"--disk={path}")
    answer = world.a("run", "--", *ours)
    world.report.check("a cloud-hypervisor does not start on the image of a VM elsewhere",
                       answer.returncode == HELD and "web2" in answer.stderr and
                       "host b" in answer.stderr, answer)
    command.end(vm)
    world.configure(a=setting(SPACE), b=setting(SPACE))
    vm = world.a.hold("ch1", vmm=ours)
    answer = world.b("run", "--", *ours)
    world.report.check("with a lockspace the cloud-hypervisor elsewhere is named",
                       answer.returncode == HELD and "ch1" in answer.stderr and
                       "host a" in answer.stderr, answer)
    command.end(vm)


def death(world):
    """All of host a's processes end at once, so that nobody clears anything."""
    path, daemon = world.image("death"), world.daemons["a"]
    world.configure(a=setting(SPACE), b=setting(SPACE))
    vm = world.a.hold("web1", f"--disk={path}")
    for pid in (daemon.pid, daemon.server_pid):
        os.kill(pid, signal.SIGSTOP)
    command.end(vm)
    told = world.explain(path)
    world.report.check("a VM whose daemon is stopped still has it", told["situation"] ==
                       "elsewhere", told)
    for pid in (daemon.server_pid, daemon.pid):
        os.kill(pid, signal.SIGKILL)
    until(lambda: world.explain(path).get("free"), "nobody has it")
    told = world.explain(path)
    world.report.check("explain tells of the last holder when all of its host's has died",
                       told["situation"] == "free" and "last held by web1" in told["verdict"] and
                       "host a" in told["verdict"] and "holdfast run" in told["next"], told)
    answer = world.b("run", "--name=web2", f"--disk={path}", "--", "true")
    world.report.check("and what it advises succeeds", answer.returncode == 0, answer)


SCENES = (retaking, places, itself, local_space, version_3, client_ids, device, stock,
          cloud_hypervisor, death)


def run(report):
    world = World(report)
    report.event("three daemons answer")
    for scene in SCENES:
        world.configure(a="", b="")
        scene(world)
        report.event(f"{scene.__name__}: done")
    for host in world.hosts.values():
        host.close()
