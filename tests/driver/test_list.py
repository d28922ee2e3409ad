# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who holds what, as the library tells it."""

import os
import time

import pytest

NO_DAEMON, DENIED, UNSUPPORTED, INVALID = 4, 5, 8, 2
UUID = "00112233445566778899aabbccddeeff"


def reader(peer, daemon, uid=None):
    return peer({"HOLDFAST_RUN_DIR": daemon.run_dir}, uid=uid)


def test_vms_are_listed_with_all_that_is_known(daemon, peer, image):
    before = time.time()
    vm = reader(peer, daemon)
    vm.must("new", name="web", uuid=UUID, driver="lockd", via="test", id=7)
    vm.must("disk", what="add", path=image("a"))
    vm.must("disk", what="add", path=image("b"), flags=2)
    vm.must("start")
    [found] = reader(peer, daemon).must("vms")["vms"]
    assert found["name"] == "web" and found["uuid"] == UUID and found["pid"] == vm.pid
    assert found["id"] == 7 and found["via"] == "test" and found["locks"] == 2
    assert found["n_connections"] == 1 and found["state"] == 0
    assert before - 1 < found["since"] / 1e6 < time.time() + 1
    with open(f"/proc/{vm.pid}/stat", encoding="utf-8") as stat:
        assert found["start"] == int(stat.read().rsplit(")", 1)[1].split()[19])


def test_locks_are_listed_with_their_owner_and_what_they_protect(daemon, vmm, peer, image):
    vmm(daemon, "web", image("a")).must("start")
    vmm(daemon, "db", image("b"), flags=2).must("start")
    locks = {lock["name"]: lock for lock in reader(peer, daemon).must("locks")["locks"]}
    assert set(locks) == {image("a"), image("b")}
    one = locks[image("a")]
    status = os.stat(image("a"))
    assert one["vm"]["name"] == "web" and one["lockspace"] == "" and one["shared"] == 0
    assert one["thing"] == one["file"] == {"kind": 1, "dev": status.st_dev, "ino": status.st_ino}
    assert one["guarantee"] == 1 and locks[image("b")]["shared"] == 1


def test_who_finds_a_holder_by_any_name_of_the_image(daemon, vmm, peer, image, folder):
    link = os.path.join(folder, "link")
    os.symlink(image("a"), link)
    vmm(daemon, "web", image("a")).must("start")
    image("b")
    ask = reader(peer, daemon)
    for path in (image("a"), link, os.path.relpath(link)):
        [lock] = ask.must("who", path=path)["locks"]
        assert lock["vm"]["name"] == "web" and lock["name"] == image("a")
    assert ask.must("who", path=os.path.join(folder, "b"))["locks"] == []
    assert ask.must("who", path=os.path.join(folder, "none"))["locks"] == []
    assert ask.who(path="")["code"] == INVALID


def test_lists_longer_than_a_page_are_whole(daemon, peer, folder):
    vm = reader(peer, daemon)
    vm.must("new", name="many", driver="lockd")
    paths = set()
    for i in range(1100):
        path = os.path.join(folder, f"disk-{i}")
        with open(path, "wb"):
            paths.add(path)
        vm.must("disk", what="add", path=path)
    vm.must("start")
    locks = reader(peer, daemon).must("locks")["locks"]
    assert len(locks) == 1100 and {lock["name"] for lock in locks} == paths


def test_an_idle_daemon_has_empty_lists_and_says_who_it_is(daemon, peer):
    ask = reader(peer, daemon)
    assert ask.must("vms")["vms"] == [] and ask.must("locks")["locks"] == []
    info = ask.must("daemon")
    assert info["pid"] == daemon.pid and info["host"] == os.uname().nodename
    assert info["socket"] == daemon.own_socket and not info["read_only"]


def test_without_a_daemon_nothing_is_listed(peer, folder):
    assert peer({"HOLDFAST_RUN_DIR": folder}).vms()["code"] == NO_DAEMON


def test_a_stock_daemon_is_said_to_be_unable(virtlockd, peer):
    refused = peer({"HOLDFAST_RUN_DIR": virtlockd().run_dir}).locks()
    assert refused["code"] == UNSUPPORTED and "virtlockd" in refused["text"]


def test_another_user_is_told_so_or_reads_on_the_read_only_socket(daemon, vmm, peer, image):
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    vmm(daemon, "web", image()).must("start")
    stranger = reader(peer, daemon, uid=65534)
    assert stranger.vms()["code"] == DENIED
    # What an administrator does by unix_sock_group.
    read_only = daemon.own_socket + "-ro"
    os.chmod(os.path.dirname(read_only), 0o755)
    os.chmod(read_only, 0o666)
    info = stranger.must("daemon")
    assert info["read_only"] and info["socket"] == read_only
    assert [vm["name"] for vm in stranger.must("vms")["vms"]] == ["web"]
