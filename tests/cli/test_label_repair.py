# SPDX-License-Identifier: LGPL-2.1-or-later
"""Whatever is killed, and whenever: images get back the owner that they had."""

import json
import os
import random
import re
import shlex
import signal
import subprocess
import threading

import pytest

from hftest.command import HOLDFAST, descendants, need, qemu
from hftest.labels import NOBODY, OTHER, sign, this_machine
from hftest.processes import kill_family, until

# Length of what takes its time; by hand HF_LABEL_ROUNDS=1000.
ROUNDS = int(os.environ.get("HF_LABEL_ROUNDS", "15"))
QEMUS = int(os.environ.get("HF_LABEL_QEMUS", "2"))
ELSEWHERE = "f" * 32
ONLY_ATTRIBUTE = pytest.mark.parametrize("place", ["attribute"], indirect=True)
ONLY_TABLE = pytest.mark.parametrize("place", ["table"], indirect=True)


def outcomes(place, *words):
    answer = place.label("repair", "--json", *words)
    return {(os.path.basename(row["path"]), row["outcome"])
            for row in json.loads(answer.stdout)["labels"]}, answer.returncode


def kill_vm(child):
    """The VM and who waits for it, neither of whom learns of the other's end."""
    kill_family(child.pid)
    child.wait(10)


@pytest.fixture
def left(place):
    """An image of a VM that was killed together with all that waited for it."""
    def make(name="disk.img"):
        path = place.image(name, 5, 6)
        kill_vm(place.hold(f"vm of {name}", NOBODY, path))
        assert place.owner(path) == NOBODY
        return path
    return make


def test_a_vm_whose_waiter_was_killed_goes_on_and_keeps_its_image(place):
    path = place.image()
    child = place.hold("web0", NOBODY, path)
    vmm = [pid for pid in descendants(child.pid)]
    os.kill(child.pid, signal.SIGKILL)
    child.wait(10)
    assert outcomes(place) == ({("disk.img", "in-use")}, 0) and place.owner(path) == NOBODY
    for pid in vmm:
        os.kill(pid, signal.SIGKILL)
    until(lambda: place.repair() and place.owner(path) == "0:0", "the image goes back")
    place.nothing_is_left()


def test_repair_gives_an_image_back_whose_vm_is_gone(place, left):
    path = left()
    assert place.labels()[0]["users"][0]["state"] == "gone"
    assert outcomes(place) == ({("disk.img", "restored")}, 0)
    assert place.owner(path) == "5:6"
    place.nothing_is_left()
    assert outcomes(place) == (set(), 0)


def test_repair_of_one_path_leaves_the_others(place, left):
    one, two = left("one.img"), left("two.img")
    place.repair(one)
    assert (place.owner(one), place.owner(two)) == ("5:6", NOBODY)


def test_the_next_vm_gives_back_first_also_for_another_user(place, left):
    path = left()
    answer = place.run(OTHER, path, vmm=["stat", "-c", "%u:%g", path])
    assert answer.stdout == f"{OTHER}\n", answer
    assert place.owner(path) == "5:6"
    place.nothing_is_left()


def test_a_vanished_image_is_reported_and_does_not_stop_the_rest(place, left):
    one, two = left("one.img"), left("two.img")
    os.unlink(place.outside(one))
    found, status = outcomes(place)
    assert ("two.img", "restored") in found and place.owner(two) == "5:6"
    if place.kind == "attribute":
        assert ("one.img", "gone") in found and status == 0
    else:
        # Without handles nobody can tell a deleted file from a renamed one.
        assert ("one.img", "missing") in found and status == 71
        place.repair("--forget", one)
    place.nothing_is_left()


def test_a_path_that_was_mistyped_is_said_to_be_nothing(place, left):
    one = left("one.img")
    answer = place.label("repair", one + "x", one)
    assert answer.returncode == 66 and "No such file" in answer.stderr
    assert len(answer.stderr.splitlines()) == 1
    assert place.owner(one) == "5:6"


def test_an_image_made_anew_is_not_touched(place, left):
    path = left()
    os.unlink(place.outside(path))
    place.image("disk.img", 65534, 65534)
    found, status = outcomes(place)
    assert found == {("disk.img", "gone")} and status == 0
    assert place.owner(path) == NOBODY
    place.nothing_is_left()


@ONLY_ATTRIBUTE
def test_an_inode_that_is_used_again_is_another_file(place, left):
    """The table would give the owner back to whoever got the number; its birth tells."""
    path = left()
    number = os.stat(path).st_ino
    text = place.record(path)
    table, = place.table()
    os.unlink(path)
    for n in range(64):
        again = place.image(f"again{n}.img", 65534, 65534)
        if os.stat(again).st_ino == number:
            break
    else:
        pytest.skip("this filesystem did not use the number again")
    os.rename(again, path)
    with open(table, "wb") as out:
        out.write(sign(re.sub("(?m)^path .*", f"path {path}",
                              text.replace("place attribute", "place table"))))
    assert outcomes(place) == ({("disk.img", "gone")}, 0)
    assert place.owner(path) == NOBODY
    place.nothing_is_left()


@ONLY_ATTRIBUTE
def test_an_image_that_was_renamed_is_found(place, left):
    path = left()
    os.rename(path, os.path.join(place.folder, "renamed.img"))
    assert outcomes(place) == ({("renamed.img", "restored")}, 0)
    assert place.owner("renamed.img") == "5:6"
    place.nothing_is_left()


@ONLY_TABLE
def test_a_table_is_found_again_after_devices_were_numbered_anew(place, left):
    path = left()
    table, = place.table()
    machine, boot = this_machine()
    text = place.record(path).replace(boot, "a" * 32)
    device = re.search(r"(?m)^file \d+ \d+ \S+ (\d+)$", text)[1]
    text = text.replace(f" {device}\n", " 99999\n")
    os.unlink(table)
    with open(table.replace(f"-{int(device):x}.", "-1869f."), "wb") as out:
        out.write(sign(text))
    assert machine in text and place.owner(path) == NOBODY
    assert place.run(OTHER, path).returncode == 0
    assert place.owner(path) == "5:6"
    place.nothing_is_left()


def test_users_of_before_the_host_was_started_are_gone(place):
    path = place.image()
    child = place.hold("web0", NOBODY, path)
    _, boot = this_machine()
    place.write_record(path, sign(place.record(path).replace(boot, "b" * 32)))
    assert place.labels()[0]["users"][0]["state"] == "gone"
    kill_vm(child)
    place.repair()
    assert place.owner(path) == "0:0"


def test_users_of_another_host_stay_until_it_is_said_to_be_gone(place, left):
    path = left()
    machine, _ = this_machine()
    text = re.sub(r"(?m)^(user .*) \S+ (\S+)$", r"\1 beta \2", place.record(path))
    place.write_record(path, sign(text.replace(machine, ELSEWHERE)))
    assert place.labels()[0]["users"][0]["state"] == "elsewhere"
    assert outcomes(place) == ({("disk.img", "in-use")}, 0)
    assert outcomes(place, "--host-gone=alpha") == ({("disk.img", "in-use")}, 0)
    assert place.run(OTHER, path).returncode == 75 and place.owner(path) == NOBODY
    assert outcomes(place, "--host-gone=beta") == ({("disk.img", "restored")}, 0)
    assert place.owner(path) == "5:6"


def test_a_damaged_record_is_never_half_believed(place, left):
    path = left()
    place.write_record(path, place.record(path).replace("5:6", "0:0").encode())
    answer = place.run(NOBODY, path)
    assert answer.returncode == 71 and "damaged" in answer.stderr, answer
    assert place.label("repair").returncode == 71 and place.owner(path) == NOBODY
    place.repair("--forget", path)
    assert place.owner(path) == NOBODY
    place.nothing_is_left()


@ONLY_ATTRIBUTE
def test_an_image_that_cannot_be_given_back_does_not_stop_the_rest(place, left):
    one, two = left("one.img"), left("two.img")
    done = subprocess.run([need("chattr"), "+i", one], check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"this filesystem has no immutable files: {done.stderr}")
    try:
        found, status = outcomes(place)
    finally:
        subprocess.run(["chattr", "-i", one], check=True)
    assert found == {("one.img", "failed"), ("two.img", "restored")} and status == 71
    assert outcomes(place) == ({("one.img", "restored")}, 0)


# ---- killed at every step ----

# Calls that change something, or that may be the last before one. `when=N` counts each by itself.
# HF_LABEL_STEPS has other ones, by hand.
STEPS = os.environ.get("HF_LABEL_STEPS", "setxattr removexattr fchownat renameat unlinkat fsync "
                       "setresuid sendto sendmsg execve").split()


def killed_at(place, call, n, words):
    """Runs it to its end or to the Nth of that call in any of its processes; whether it was
    killed there."""
    command = ["strace", "-f", "-qq", "-o", os.devnull, "-e", f"trace={call}",
               f"--inject={call}:signal=KILL:when={n}"]
    done = subprocess.run([*place.prefix, need("strace"), *command[1:], HOLDFAST, *words],
                          env=place.cli.env, cwd=place.cli.folder, check=False,
                          capture_output=True, timeout=60, stdin=subprocess.DEVNULL)
    return done.returncode in (-9, 137)


@pytest.mark.parametrize("call", STEPS)
def test_killed_at_any_step_repair_gives_the_owner_back(place, call):
    """Each process of `run` counts its own calls: the one that becomes the VM when it labels, the
    one that waits when it gives back, and with them what a repair does."""
    one, two = place.image("one.img", 5, 6), place.image("two.img", 7, 8)
    words = [*place.words(NOBODY, one, two), "--", "true"]
    for n in range(1, 400):
        killed = killed_at(place, call, n, words)
        killed_at(place, call, n, ["label", "repair"])
        place.repair()
        assert (place.owner(one), place.owner(two)) == ("5:6", "7:8"), f"{call} {n}"
        place.nothing_is_left()
        if not killed:
            break
    else:
        pytest.fail(f"{call} never came to an end")


# ---- two VMs ----

def come_and_go(place, rounds, vmm, expected):
    """Two VMs at a time, each some times after another, on one image that both read."""
    path, own = place.image("base.img", 5, 6), [place.image("a.img", 1, 2),
                                                place.image("b.img", 3, 4)]
    wrong = []

    def one(mine):
        for _ in range(rounds):
            done = place.run(NOBODY, f"{path}:ro", mine, vmm=vmm(path, mine))
            if done.stdout.split() != expected or done.stderr:
                wrong.append(done)
    both = [threading.Thread(target=one, args=(mine,)) for mine in own]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert not wrong
    assert [place.owner(each) for each in (path, *own)] == ["5:6", "1:2", "3:4"]
    place.nothing_is_left()


def test_two_vms_that_share_an_image_and_come_and_go_leave_it_as_it_was(place):
    come_and_go(place, ROUNDS, lambda *images: ["stat", "-c", "%u:%g", *images], [NOBODY, NOBODY])


@ONLY_ATTRIBUTE
def test_two_qemus_that_share_an_image_and_come_and_go_leave_it_as_it_was(place):
    def vmm(base, mine):
        words = shlex.join(qemu("-drive", f"file={base},format=raw,if=virtio,readonly=on", "-drive",
                                f"file={mine},format=raw,if=virtio", "-monitor", "stdio"))
        return ["sh", "-c", f"echo quit | {words} >/dev/null && echo ended"]
    come_and_go(place, QEMUS, vmm, ["ended"])


@ONLY_ATTRIBUTE
def test_two_vms_killed_in_the_middle_with_everything_leave_what_repair_gives_back(place):
    chance = random.Random(1)
    path = place.image("base.img", 5, 6)
    for _ in range(ROUNDS):
        both = [place.cli.start(*place.words(NOBODY, f"{path}:ro"), "--", "true")
                for _ in range(2)]
        until(lambda end=chance.randrange(30): not wait_a_little(end), "")
        for child in both:
            if child.poll() is None:
                kill_family(child.pid)
                child.wait(10)
        place.repair()
        assert place.owner(path) == "5:6"
        place.nothing_is_left()


def wait_a_little(milliseconds):
    """Not for anything: to be at another place each time."""
    threading.Event().wait(milliseconds / 1000)
