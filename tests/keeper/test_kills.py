# SPDX-License-Identifier: LGPL-2.1-or-later
"""SIGKILL: whoever of the two processes it hits, descriptors and memory stay."""

import os
import random
import signal

from hftest.keeper import FIRST, HEIR, REPLACED, children
from hftest.processes import until


def kill_quickly(toy, rng, times):
    """Kills the server again and again, at any moment of its life."""
    for _ in range(times):
        old = toy.info()
        for _ in range(rng.randrange(3)):
            toy.client.ask("ping")
        if rng.random() < 0.5:
            toy.client.send("ping")
        os.kill(old["server"], signal.SIGKILL)


def test_server_killed_two_hundred_times_loses_no_lock_no_connection_and_no_count(
        toy, competitor):
    keeper = toy()
    rival = competitor(keeper)
    keeper.ping_all_the_time()
    kill_quickly(keeper, random.Random(1), 200)
    told = keeper.info()
    assert told["generations"] >= 200
    assert told["supervisor"] == keeper.child.pid
    assert keeper.faults_of_pingers() == []
    assert rival.stolen() == 0


def test_server_killed_while_it_takes_over_is_replaced_again(toy, competitor):
    keeper = toy()
    rival = competitor(keeper)
    first = keeper.info()
    known = first["server"]
    for _ in range(50):
        def another(before=known):
            return next((pid for pid in children(keeper.child.pid) if pid != before), None)
        os.kill(known, signal.SIGKILL)
        known = until(another, "another server was made")
    assert keeper.after(first)["start"] == REPLACED
    assert rival.stolen() == 0


def test_next_server_is_told_how_the_last_one_ended(toy):
    keeper = toy()
    assert keeper.info()["start"] == FIRST
    assert keeper.info()["last_status"] == 0
    told = keeper.kill_server()
    assert told["start"] == REPLACED
    assert os.WTERMSIG(told["last_status"]) == signal.SIGKILL


def test_supervisor_killed_is_followed_by_an_heir_with_everything(toy, competitor):
    keeper = toy()
    rival = competitor(keeper)
    keeper.ping_all_the_time()
    old = keeper.info()
    new = keeper.kill_supervisor()
    assert new["start"] == HEIR
    assert new["supervisor"] == old["server"], "the server takes the supervisor's place"
    assert new["parent"] == new["supervisor"]
    assert keeper.kill_server()["start"] == REPLACED, "the heir is a supervisor as well"
    assert keeper.faults_of_pingers() == []
    assert rival.stolen() == 0


def test_either_killed_at_random_fifty_times_loses_nothing(toy, competitor):
    keeper, rng = toy(), random.Random(2)
    rival = competitor(keeper)
    keeper.ping_all_the_time()
    for _ in range(50):
        if rng.random() < 0.5:
            keeper.kill_server()
        else:
            keeper.kill_supervisor()
    assert keeper.faults_of_pingers() == []
    assert rival.stolen() == 0


def test_heir_has_the_name_of_the_program_and_its_file(toy):
    keeper = toy()
    new = keeper.kill_supervisor()
    for pid in (new["supervisor"], new["server"]):
        with open(f"/proc/{pid}/comm", encoding="ascii") as text:
            assert text.read() == "keeper-toy\n"
        assert os.readlink(f"/proc/{pid}/exe") == keeper.program


def test_heir_is_the_same_program_also_where_its_file_is_gone(toy):
    keeper = toy()
    os.unlink(keeper.program)
    assert keeper.kill_supervisor()["start"] == HEIR
    assert keeper.kill_supervisor()["start"] == HEIR


def test_descriptors_do_not_leak_with_the_deaths_of_servers(toy):
    keeper = toy()
    before = keeper.kill_server()["open"]
    for _ in range(50):
        keeper.client.ask("leak 5")
        keeper.kill_server()
    assert keeper.info()["open"] == before
    keeper.client.ask("leak 5")
    keeper.kill_supervisor()
    assert keeper.info()["open"] == before


def test_full_descriptor_table_hinders_neither_the_next_server_nor_an_heir(toy):
    keeper = toy(prefix=["prlimit", "--nofile=128:128"])
    before = keeper.kill_server()["open"]
    keeper.client.ask("leak 1000")
    assert keeper.kill_server()["open"] == before
    keeper.client.ask("leak 1000")
    assert keeper.kill_supervisor()["start"] == HEIR
    assert keeper.info()["open"] == before
