# SPDX-License-Identifier: LGPL-2.1-or-later
"""Reservations on disks with two paths: what our helper does on one is compared with what
mpathpersist does on another, and with what each single path says."""

import os
import time

from hftest import prhelper, processes
from lab.inside import disks, multipath
from lab.inside.report import until

REFUSED = "5/20/00"
WERO, WE, EA = 5, 1, 3
TYPES = {WERO: "5", WE: "1", EA: "3"}
K1, K2, K3 = 0x1111, 0x2222, 0x3333
LIBRARY = "/lib/libmpathpersist.so.0"
WITHOUT_LIBRARY = ("unshare", "-m", "sh", "-c",
                   f'mount --bind /dev/null "$(readlink -f {LIBRARY})" && exec "$@"', "sh")
# The name of a part: by the settings of the helper.
LEFT_OUT = "where it is left out"


def brief(answer):
    """Without the data, of which there are up to 8 KiB."""
    return answer.status, answer.why, answer.size


class World:
    """A disk for us, another for mpathpersist, each by two paths; plain ones by one."""

    def __init__(self, report, nursery):
        self.report, self.nursery = report, nursery
        disks.setup()
        self.plain = disks.Disk("99887766-plain", mib=64)
        report.event("udev and a plain disk are there")
        self.daemon = multipath.start(nursery)
        report.event("multipathd answers")
        self.ours = disks.Disk("a1b2c3d4-ours", mib=64, paths=2)
        self.theirs = disks.Disk("b5c6d7e8-theirs", mib=64, paths=2)
        self.map, self.their_map = (multipath.map_of(disk) for disk in (self.ours, self.theirs))
        self.helper = prhelper.Helper("/run/pr", nursery=nursery)

    def open(self, path):
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self.nursery.at_end(lambda: os.close(fd))
        return fd

    def look(self, disk):
        """[(keys, reservation)] as each path says."""
        with self.helper.client() as client:
            fds = [self.open(node) for node in disk.nodes]
            for fd in fds:  # Who is told of a preempted registration hears of that first.
                client.read(fd, prhelper.READ_KEYS)
            return [(sorted(client.read(fd, prhelper.READ_KEYS).keys),
                     client.read(fd, prhelper.READ_RESERVATION).reservation) for fd in fds]


def hexed(key):
    return f"{key:x}"


# (what, our action, keys and type, mpathpersist's words)
STEPS = [
    ("register and ignore", prhelper.REGISTER_AND_IGNORE, {"new_key": K1},
     ("--register-ignore", f"--param-sark={hexed(K1)}")),
    ("change the key", prhelper.REGISTER, {"key": K1, "new_key": K2},
     ("--register", f"--param-rk={hexed(K1)}", f"--param-sark={hexed(K2)}")),
    ("reserve", prhelper.RESERVE, {"key": K2, "kind": WERO},
     ("--reserve", f"--param-rk={hexed(K2)}", "--prout-type=5")),
    ("reserve as another type", prhelper.RESERVE, {"key": K2, "kind": WE},
     ("--reserve", f"--param-rk={hexed(K2)}", "--prout-type=1")),
    ("release", prhelper.RELEASE, {"key": K2, "kind": WERO},
     ("--release", f"--param-rk={hexed(K2)}", "--prout-type=5")),
    ("reserve again", prhelper.RESERVE, {"key": K2, "kind": WE},
     ("--reserve", f"--param-rk={hexed(K2)}", "--prout-type=1")),
    ("reserve with a wrong key", prhelper.RESERVE, {"key": K3, "kind": WE},
     ("--reserve", f"--param-rk={hexed(K3)}", "--prout-type=1")),
    ("preempt itself", prhelper.PREEMPT, {"key": K2, "new_key": K2, "kind": EA},
     ("--preempt", f"--param-rk={hexed(K2)}", f"--param-sark={hexed(K2)}", "--prout-type=3")),
    ("clear", prhelper.CLEAR, {"key": K2}, ("--clear", f"--param-rk={hexed(K2)}")),
    ("register anew", prhelper.REGISTER, {"new_key": K1},
     ("--register", f"--param-sark={hexed(K1)}")),
    ("unregister", prhelper.REGISTER, {"key": K1},
     ("--register", f"--param-rk={hexed(K1)}", "--param-sark=0")),
]
NAMES = [name for name, *_ in STEPS]


def compare(world):
    """Each step by us on one disk and by mpathpersist on the other leaves both alike."""
    fd = world.open(world.map)
    with world.helper.client() as client:
        for name, action, how, words in STEPS:
            begin = time.monotonic()
            answer = client.write(fd, action, **how)
            took = time.monotonic() - begin
            status, said = multipath.persist(world.their_map, "--out", *words)
            ours, theirs = world.look(world.ours), world.look(world.theirs)
            world.report.event(f"{name}: {answer} in {took:.2f} s, mpathpersist {status}; {ours}")
            world.report.check(f"{name}: it is good where mpathpersist's is",
                               (answer.status == 0) == (status == 0), (answer, status, said))
            world.report.check(f"{name}: keys and reservation are as after mpathpersist",
                               ours == theirs, (ours, theirs))
            if name == "register and ignore":
                world.report.check("a registration reaches all paths",
                                   [keys for keys, _ in ours] == [[K1, K1]] * 2, ours)
            if name == "unregister":
                world.report.check("a registration is taken from all paths",
                                   [keys for keys, _ in ours] == [[]] * 2, ours)


def read_in(world):
    fd = world.open(world.map)
    with world.helper.client() as client:
        client.write(fd, prhelper.REGISTER_AND_IGNORE, new_key=K1)
        client.write(fd, prhelper.RESERVE, key=K1, kind=WERO)
        keys = client.read(fd, prhelper.READ_KEYS, 256)
        world.report.check("the keys are read through the map", keys.keys == [K1, K1] and
                           keys.size == 256, keys)
        held = client.read(fd, prhelper.READ_RESERVATION, 64)
        world.report.check("the reservation is read through the map",
                           held.reservation == (K1, WERO), held)
        can = client.read(fd, prhelper.REPORT_CAPABILITIES, 8)
        world.report.check("the capabilities are the disk's, types in their order",
                           can.data[4:6].hex() == "ea01" and can.data[:2].hex() == "0008", can)
        full = client.read(fd, prhelper.READ_FULL_STATUS)
        world.report.check("full status is refused", full.why == "5/24/00",
                           brief(full))
        for length in range(9):
            short = client.read(fd, prhelper.READ_KEYS, length)
            world.report.check("data below its header is cut", short.status == 0 and
                               short.size == length, (length, short))
        move = client.write(fd, prhelper.REGISTER_AND_MOVE, key=K1, new_key=K2)
        world.report.check("register and move is refused", move.why == "5/24/00", move)
        many = prhelper.parameters(0, K1, 8) + (24 * 300).to_bytes(4, "big") + bytes(24 * 300)
        answer = client.ask(prhelper.pr_out(prhelper.REGISTER, length=len(many)), fd, many)
        world.report.check("more initiators than the library takes are refused",
                           answer.why == "5/26/00", answer)
        client.write(fd, prhelper.CLEAR, key=K1)
    lost = os.open(world.map, os.O_RDONLY)
    with world.helper.client() as client:
        answer = client.write(lost, prhelper.REGISTER_AND_IGNORE, new_key=K1)
    os.close(lost)
    world.report.check("a descriptor for reading registers nothing", answer.why == REFUSED, answer)


def lose_a_path(world):
    """A registration made by one path reaches the other when it is back."""
    fd = world.open(world.map)
    first, second = world.ours.nodes
    multipath.lose(world.ours, second)
    world.report.event("a path is lost")
    with world.helper.client() as client:
        answer = client.write(fd, prhelper.REGISTER_AND_IGNORE, new_key=K1)
        keys = client.read(world.open(first), prhelper.READ_KEYS).keys
        world.report.check("with a path lost the other is registered",
                           answer.status == 0 and keys == [K1], (answer, keys))
        held = client.write(fd, prhelper.RESERVE, key=K1, kind=WERO)
        world.report.check("with a path lost the other reserves", held.status == 0, held)
        multipath.regain(world.ours, second)
        world.report.event("it is back")
        both = until(lambda: client.read(world.open(first), prhelper.READ_KEYS).keys == [K1, K1],
                     "the path that came back is registered", 30)
        world.report.check("a path that comes back is registered", both)
        client.write(fd, prhelper.CLEAR, key=K1)
        lose_all(world, client, fd)
    world.report.check("clear takes all of it", world.look(world.ours) == [([], None)] * 2,
                       world.look(world.ours))


def lose_all(world, client, fd):
    for node in world.ours.nodes:
        multipath.lose(world.ours, node)
    answer = client.write(fd, prhelper.REGISTER_AND_IGNORE, new_key=K1)
    for node in world.ours.nodes:
        multipath.regain(world.ours, node)
    world.report.check("without any path it is an error of the device",
                       answer.status == prhelper.CHECK and answer.why != REFUSED, answer)


def on_top(world):
    """Volumes and tables of one's own, on the map and elsewhere."""
    volume = disks.make_volumes(world.map, "vg0", ["one"], known=False)["one"]
    world.report.event(f"{volume} is there")
    sectors = 8192
    part = multipath.hand_made("part", f"0 {sectors} linear {world.map} 40960\n")
    mixed = multipath.hand_made("mixed", f"0 {sectors} linear {world.map} 49152\n"
                                         f"{sectors} {sectors} linear {world.plain.nodes[0]} 0\n")
    alone = multipath.hand_made("alone", f"0 {sectors} linear {world.plain.nodes[0]} 8192\n")
    above = multipath.hand_made("above", f"0 4096 linear {part} 0\n")
    plain_map = multipath.hand_made(
        "handmade", f"0 {sectors} multipath 0 0 1 1 round-robin 0 1 1 {world.plain.nodes[0]} 1000\n")
    world.report.event("tables by hand are there")
    for name, path in (("a logical volume", volume), ("a partition by hand", part),
                       ("a device on a device on the map", above)):
        with world.helper.client() as client:
            fd = world.open(path)
            answer = client.write(fd, prhelper.REGISTER_AND_IGNORE, new_key=K2)
            seen = world.look(world.ours)
            world.report.check(f"{name} registers on all paths of the map",
                               answer.status == 0 and [keys for keys, _ in seen] == [[K2, K2]] * 2,
                               (answer, seen))
            read = client.read(fd, prhelper.READ_KEYS)
            world.report.check(f"{name} reads the keys of the map", read.keys == [K2, K2],
                               brief(read))
            client.write(fd, prhelper.CLEAR, key=K2)
    for name, path in (("a device on the map and on another disk", mixed),
                       ("a multipath device that multipath-tools did not make", plain_map)):
        with world.helper.client() as client:
            answer = client.write(world.open(path), prhelper.REGISTER_AND_IGNORE, new_key=K2)
        world.report.check(f"{name} is refused", answer.why == REFUSED, answer)
    with world.helper.client() as client:
        answer = client.write(world.open(alone), prhelper.REGISTER_AND_IGNORE, new_key=K3)
        keys = client.read(world.open(world.plain.nodes[0]), prhelper.READ_KEYS).keys
        world.report.check("a mapped device of a plain disk registers with that",
                           answer.status == 0 and keys == [K3], (answer, keys))
    nothing = world.look(world.ours)
    world.report.check("what was refused left nothing behind", nothing == [([], None)] * 2, nothing)


def refusals(world):
    """Where the library cannot work nothing is half registered."""
    for name, how, words in (
            ("without the library", {"wrapper": WITHOUT_LIBRARY}, "install multipath-tools"),
            ("without root", {"args": ["-u", "nobody"]}, "multipathd listens to root alone"),
            (LEFT_OUT, {"config": 'backends = "sgio"\n'}, "leave the backend mpath out")):
        helper = prhelper.Helper("/run/pr", nursery=world.nursery, name=name.replace(" ", "-"),
                                 **how)
        refuse(world, helper, name, words)
        if name == LEFT_OUT:
            answer = helper.ask("/dev/mapper/alone", prhelper.pr_in(prhelper.READ_KEYS))
            world.report.check(f"{name} a mapped device of a plain disk is not refused",
                               answer.status == 0, answer)
        helper.stop()
    world.daemon.terminate()
    world.daemon.wait(20)
    refuse(world, world.helper, "without multipathd", "multipathd does not answer")
    world.daemon = multipath.start_daemon(world.nursery)
    answer = world.helper.ask(world.map, prhelper.pr_out(prhelper.REGISTER_AND_IGNORE),
                              prhelper.parameters(0, K1))
    world.report.check("when multipathd is back it works again", answer.status == 0, answer)


def refuse(world, helper, name, words):
    fd = world.open(world.map)
    with helper.client() as client:
        answers = [client.write(fd, prhelper.REGISTER_AND_IGNORE, new_key=K1),
                   client.read(fd, prhelper.READ_KEYS)]
    world.report.check(f"{name} it is refused", [a.why for a in answers] == [REFUSED] * 2,
                       [brief(answer) for answer in answers])
    world.report.check(f"{name} the log says why, once", helper.log().count(words) == 1,
                       helper.log())
    nothing = world.look(world.ours)
    world.report.check(f"{name} no path is registered", nothing == [([], None)] * 2, nothing)


def run(report):
    nursery = processes.Nursery()
    try:
        world = World(report, nursery)
        report.event(f"{world.map} has two paths")
        for part in (read_in, compare, lose_a_path, on_top, refusals):
            report.event(part.__name__)
            part(world)
        world.helper.stop()
    finally:
        report.event(f"log: {open('/run/pr/ours.log', encoding='utf-8').read()[-3000:]}")
        nursery.close()
