# SPDX-License-Identifier: LGPL-2.1-or-later
"""Metadata locks: files of any type, all of a set at once, by what they are and not by their names."""

import errno
import os
import signal
import socket
import subprocess

import pytest

from hftest import daemons
from hftest.processes import until

INVALID, BUSY, DENIED, SYSTEM = 2, 3, 5, 1
SHORT_MS = 200


@pytest.fixture
def user(peer, daemon):
    """Makes a program that asks the daemon."""
    return lambda: peer({"HOLDFAST_RUN_DIR": daemon.run_dir})


def lock(user, *targets, timeout_ms=0):
    return user.must("lock_metadata", targets=list(targets), timeout_ms=timeout_ms)["held"]


def is_free(user, *targets):
    """Whether another program gets them now."""
    answer = user.lock_metadata(targets=list(targets), timeout_ms=1)
    if answer["r"] < 0:
        assert (answer["r"], answer["code"]) == (-errno.EBUSY, BUSY), answer
        return False
    user.unlock_metadata(held=answer["held"])
    return True


def waiting(user, n=1):
    until(lambda: len({w["ticket"] for w in user.waiters()["waiters"]}) == n, f"{n} wait")


def make_directory(path):
    os.mkdir(path)


def make_socket(path):
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(path)


def make_file(path):
    with open(path, "wb"):
        pass
    os.chmod(path, 0)


def make_node(path):
    os.mknod(path, 0o600 | 0o020000, os.makedev(1, 3))


@pytest.mark.parametrize("make", [make_directory, make_socket, make_file, os.mkfifo, make_node])
def test_files_of_any_type_are_locked_also_by_their_other_names(user, folder, make):
    path, other = os.path.join(folder, "it"), os.path.join(folder, "link")
    if make is make_node and os.geteuid() != 0:
        pytest.skip("needs root to make a device node")
    make(path)
    os.symlink(path, other)
    holder, second = user(), user()
    held = lock(holder, path)
    assert not is_free(second, path) and not is_free(second, other)
    holder.unlock_metadata(held=held)
    assert is_free(second, other)


def test_a_block_device_node_is_the_node_and_not_the_device(user, folder):
    nodes = [os.path.join(folder, name) for name in "ab"]
    if os.geteuid() != 0:
        pytest.skip("needs root to make a device node")
    for node in nodes:
        os.mknod(node, 0o600 | 0o060000, os.makedev(7, 250))
    holder, second = user(), user()
    lock(holder, nodes[0])
    assert not is_free(second, nodes[0]) and is_free(second, nodes[1])


def test_a_descriptor_is_what_it_was_opened_from(user, image):
    holder, second = user(), user()
    for flags in (os.O_RDONLY, os.O_RDWR, os.O_PATH):
        fd = holder.open_file(path=image(), flags=flags)["r"]
        held = lock(holder, fd)
        assert not is_free(second, image())
        [found] = holder.metadata_fds(held=held)["found"]
        assert found["fd"] != fd and found["ino"] == os.stat(image()).st_ino
        assert found["cloexec"] and found["path"]
        holder.unlock_metadata(held=held)
        assert is_free(second, image())


def test_a_file_that_is_named_twice_is_locked_once(user, image, folder):
    os.link(image(), os.path.join(folder, "hard"))
    os.symlink("disk", os.path.join(folder, "soft"))
    holder = user()
    held = lock(holder, image(), os.path.join(folder, "hard"), image("b"),
                os.path.join(folder, "soft"))
    fds = [found["fd"] for found in holder.metadata_fds(held=held)["found"]]
    assert fds[0] == fds[1] == fds[3] != fds[2]
    assert len(holder.locks()["locks"]) == 2


def test_the_lock_on_what_is_in_the_file_stands_against_nothing_and_back(user, vmm, daemon, image):
    vm = vmm(daemon, "vm", image())
    vm.must("start")
    changer = user()
    held = lock(changer, image())
    assert [bool(found["metadata"]) for found in changer.locks()["locks"]] == [False, True]
    other = vmm(daemon, "other", image("b"))
    lock(changer, image("b"))
    other.must("start")
    changer.unlock_metadata(held=held)
    [left] = [found for found in changer.locks()["locks"] if found["name"] == image()]
    assert left["vm"]["name"] == "vm" and not left["metadata"]


def test_no_lock_of_the_asking_process_is_lost(user, image):
    """Neither by path nor by descriptor, though POSIX locks go with any descriptor that is closed."""
    holder, other = user(), user()
    fd = holder.lock_record(path=image())["r"]
    for target in (image(), fd):
        held = lock(holder, target)
        holder.unlock_metadata(held=held)
        assert holder.lock_metadata(targets=[target, "/nowhere"])["r"] == -errno.ENOENT
    taken = subprocess.run(["python3", "-c", "import fcntl, sys; fcntl.lockf(open(sys.argv[1], "
                            "'r+'), fcntl.LOCK_EX | fcntl.LOCK_NB)", image()], check=False,
                           stderr=subprocess.PIPE, text=True)
    assert taken.returncode == 1 and "BlockingIOError" in taken.stderr
    assert is_free(other, image())


def test_no_descriptor_stays(user, image):
    holder = user()
    before = holder.open_fds()["r"]
    for _ in range(3):
        held = lock(holder, image("a"), image("b"), "/")
        assert holder.open_fds()["r"] == before + 4
        holder.unlock_metadata(held=held)
        assert holder.lock_metadata(targets=[image("a"), "/nowhere"])["r"] < 0
    assert holder.open_fds()["r"] == before


def test_nothing_to_lock_is_locked_without_a_daemon(peer, folder):
    alone = peer({"HOLDFAST_RUN_DIR": folder, "HOLDFAST_DAEMON": "/nowhere"})
    alone.unlock_metadata(held=lock(alone))
    alone.unlock_metadata(held=None)
    answer = alone.lock_metadata(targets=["/"])
    assert answer["r"] < 0 and answer["code"] == 4 and "/nowhere" in answer["text"]


@pytest.mark.parametrize("target, number, code", [
    ("/nowhere/at/all", errno.ENOENT, SYSTEM), ("loop", errno.ELOOP, SYSTEM),
    ("", errno.ENOENT, SYSTEM), ("disk/below", errno.ENOTDIR, SYSTEM),
    ("x" * 5000, errno.ENAMETOOLONG, SYSTEM), (999, errno.EBADF, SYSTEM),
    (-1, errno.EBADF, SYSTEM)], ids=["missing", "loop", "empty", "below a file", "too long",
                                     "not open", "no descriptor"])
def test_what_cannot_be_found_is_one_error_that_names_it(user, image, folder, target, number, code):
    os.symlink("loop", os.path.join(folder, "loop"))
    path = target if isinstance(target, int) or not target or target[0] in "/x" \
        else os.path.join(folder, target)
    image()
    asker, other = user(), user()
    answer = asker.lock_metadata(targets=[image("free"), path])
    assert (answer["r"], answer["code"], answer["sys"]) == (-number, code, number)
    assert (str(target) or '""')[-40:] in answer["text"] or number == errno.ENAMETOOLONG
    assert is_free(other, image("free"))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody without permission")
def test_a_directory_that_may_not_be_searched_is_denied(peer, folder, image):
    os.mkdir(os.path.join(folder, "closed"), 0o700)
    answer = peer({"HOLDFAST_RUN_DIR": os.path.join(folder, "none")}, uid=65534).lock_metadata(
        targets=[os.path.join(folder, "closed", "x")])
    assert (answer["r"], answer["code"]) == (-errno.EACCES, DENIED)
    assert "closed/x" in answer["text"]


def many(folder, n):
    paths = [os.path.join(folder, f"{i:04}" + "x" * 80) for i in range(n)]
    for path in paths:
        os.mknod(path)
    return paths


def test_thousands_of_files_are_locked_at_once_or_refused_in_one_sentence(user, folder, peer, daemon):
    paths = many(folder, 2049)
    holder, other = user(), user()
    holder.must("more_files", n=4096)
    answer = holder.lock_metadata(targets=paths)
    assert (answer["r"], answer["code"]) == (-errno.E2BIG, INVALID)
    assert "more than 2048 files" in answer["text"]
    # The same ones twice are no more files than before.
    held = lock(holder, *paths[:2048], *paths[:100])
    assert not is_free(other, paths[2047]) and is_free(other, paths[2048])
    holder.unlock_metadata(held=held)
    assert is_free(other, *paths[:500])
    few = user()
    few.must("more_files", n=64)
    answer = few.lock_metadata(targets=paths[:200])
    assert answer["r"] == -errno.EMFILE and "Too many open files" in answer["text"]
    assert is_free(few, paths[0])


def test_time_that_is_up_names_the_holder_and_how_long_it_was(user, image):
    holder, second = user(), user()
    lock(holder, image())
    answer = second.lock_metadata(targets=[image("b"), image()], timeout_ms=SHORT_MS)
    assert (answer["r"], answer["code"]) == (-errno.EBUSY, BUSY)
    assert answer["text"].startswith(f"cannot lock the metadata of {image()}: ")
    assert f"pid {holder.pid}" in answer["text"] and "waited 0.2 s" in answer["text"]
    assert is_free(second, image("b"))


def test_those_who_wait_are_served_in_their_order(user, image):
    holder, first, second = user(), user(), user()
    held = lock(holder, image())
    first.begin("lock_metadata", targets=[image()], timeout_ms=-1)
    waiting(holder, 1)
    second.begin("lock_metadata", targets=[image()], timeout_ms=-1)
    waiting(holder, 2)
    listed = holder.waiters()["waiters"]
    assert [(w["position"], w["vm"]["pid"], bool(w["metadata"])) for w in listed] == [
        (1, first.pid, True), (2, second.pid, True)]
    holder.unlock_metadata(held=held)
    held = first.answer("the first")["held"]
    assert not second.has_answered(0.2)
    first.unlock_metadata(held=held)
    assert second.answer("the second")["r"] == 0


def test_nothing_is_held_while_it_waits(user, image):
    holder, second, third = user(), user(), user()
    lock(holder, image("a"))
    second.begin("lock_metadata", targets=[image("b"), image("a")], timeout_ms=-1)
    waiting(holder)
    assert is_free(third, image("c"))
    assert [found["name"] for found in holder.locks()["locks"]] == [image("a")]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_holder_that_is_killed_hands_over(user, image, number):
    holder, second = user(), user()
    lock(holder, image())
    second.begin("lock_metadata", targets=[image()], timeout_ms=-1)
    waiting(user())
    os.kill(holder.pid, number)
    assert second.answer("the lock")["r"] == 0
    assert user().waiters()["waiters"] == []


def test_a_waiter_that_is_killed_leaves_the_line(user, image):
    holder, second, third = user(), user(), user()
    held = lock(holder, image())
    second.begin("lock_metadata", targets=[image()], timeout_ms=-1)
    waiting(holder)
    os.kill(second.pid, signal.SIGKILL)
    waiting(holder, 0)
    holder.unlock_metadata(held=held)
    assert is_free(third, image())


def test_a_path_that_was_replaced_while_it_waited_is_stale_and_nothing_is_locked(user, image, folder):
    holder, second, third = user(), user(), user()
    held = lock(holder, image())
    second.begin("lock_metadata", targets=[image("b"), image()], timeout_ms=-1)
    waiting(holder)
    os.rename(image("new"), image())
    holder.unlock_metadata(held=held)
    answer = second.answer("the lock")
    assert (answer["r"], answer["sys"]) == (-errno.ESTALE, errno.ESTALE)
    assert f"{folder}/disk leads elsewhere" in answer["text"]
    assert is_free(third, os.path.join(folder, "b"), os.path.join(folder, "disk"))


def test_an_unlock_counts_at_once_though_a_child_has_the_connection(user, image, nursery):
    holder, second = user(), user()
    held = lock(holder, image())
    child = nursery.adopt(holder.fork_idle()["r"])
    holder.unlock_metadata(held=held)
    assert is_free(second, image())
    # While one that dies without a word leaves it to the child.
    lock(holder, image())
    os.kill(child, signal.SIGKILL)


def test_a_program_that_the_holder_has_started_inherits_nothing(user, image, nursery):
    holder, second = user(), user()
    lock(holder, image())
    child = nursery.adopt(holder.start_program()["r"])
    os.kill(holder.pid, signal.SIGKILL)
    until(lambda: is_free(second, image()), "the lock went with its holder")
    assert os.path.exists(f"/proc/{child}")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to have mounts of its own")
def test_a_path_in_other_mounts_is_the_same_file(daemon, user, image, folder, peer):
    """A file has other names there, and is found under none of its own here."""
    os.mkdir(os.path.join(folder, "elsewhere"))
    os.mkdir(os.path.join(folder, "real"))
    image("real/disk")
    held = user()
    lock(held, image("real/disk"))
    inside = peer({"HOLDFAST_RUN_DIR": daemon.run_dir}, prefix=[
        "unshare", "-m", "sh", "-c", f"mount --bind {folder}/real {folder}/elsewhere && exec \"$@\"",
        "sh"])
    assert not is_free(inside, os.path.join(folder, "elsewhere", "disk"))
    mine = lock(inside, os.path.join(folder, "elsewhere"))
    assert not is_free(held, os.path.join(folder, "real"))
    assert is_free(held, os.path.join(folder, "elsewhere"))
    inside.unlock_metadata(held=mine)


def test_several_threads_and_processes_cross_their_sets_without_fault(user, image, folder):
    a, b, c = (image(name) for name in "abc")
    rounds = int(os.environ.get("HF_CROSS_ROUNDS", "30"))
    users = [user() for _ in range(3)]
    for one in users:
        one.begin("cross", sets=[[a, b], [b, a], [b, c, a], [c]], rounds=rounds)
    for one in users:
        answer = one.answer("cross")
        assert answer["faults"] == []
    assert users[0].locks()["locks"] == [] and users[0].waiters()["waiters"] == []


def test_holders_that_are_killed_in_the_middle_leave_nothing_behind(user, image):
    a, b = image("a"), image("b")
    steady = user()
    steady.begin("cross", sets=[[a, b], [b, a]], rounds=100)
    for _ in range(5):
        victim = user()
        victim.begin("hold_again_and_again", paths=[b, a])
        assert not victim.has_answered(0.05)
        os.kill(victim.pid, signal.SIGKILL)
    assert steady.answer("cross")["faults"] == []


def test_a_lock_that_outlived_its_daemon_is_released_by_the_next_one(user, image, daemon):
    holder, second = user(), user()
    held = lock(holder, image())
    daemon.kill()
    daemon.start()
    until(lambda: second.locks()["r"] >= 0, "the daemon is back")
    assert not is_free(second, image())
    holder.unlock_metadata(held=held)
    assert is_free(second, image())


def test_the_sessions_daemon_is_started_when_it_is_needed(peer, folder, image, nursery):
    run_dir = os.path.join(folder, "s")
    one = peer({"HOLDFAST_RUN_DIR": run_dir, "HOLDFAST_DAEMON": daemons.HOLDFASTD})
    held = lock(one, image())
    with open(os.path.join(run_dir, "holdfast", "holdfastd.pid"), encoding="ascii") as text:
        nursery.adopt(int(text.read()))
    one.unlock_metadata(held=held)
