# SPDX-License-Identifier: LGPL-2.1-or-later
"""Sets of resources are had whole or not at all, and waited for in the order of asking."""

import errno
import os
import random
import threading
import time

import pytest
from hftest import own_program as own, wire
from hftest.files import lock_on_first_byte
from hftest.line import Arrivals, Client, clients, hand_over, is_granted, nothing_is_held
from hftest.own_program import FOREVER, GRANTED, HAD, METADATA, REFUSED, metadata_of, want
from hftest.processes import until
from hftest.wire import AUTOCREATE, SHARED

EDEADLK = errno.EDEADLK


@pytest.fixture
def looker(daemon):
    with daemon.connect() as connection:
        yield connection


def held(looker):
    return sorted((os.path.basename(lock.name), lock.owner.name) for lock in own.locks(looker))


def words_of(answer):
    assert answer.error, answer
    return answer.error.message


# ---- a set --------------------------------------------------------------------------------


def test_a_set_is_had_whole_or_not_at_all(daemon, disk, looker):
    a, b, c = disk("a"), disk("b"), disk("c")
    one, two = clients(daemon, 2)
    assert one.take(b).granted == GRANTED
    refused = two.take(a, b, c)
    assert refused.granted == REFUSED and refused.refused == 1
    assert refused.holder.owner.name == "client0" and "client0" in refused.text
    assert lock_on_first_byte(a) == lock_on_first_byte(c) == "unlocked"
    assert held(looker) == [("b", "client0")]
    one.release()
    assert two.take(a, b, c).granted == GRANTED
    assert held(looker) == [("a", "client1"), ("b", "client1"), ("c", "client1")]
    two.release()
    nothing_is_held(daemon)


def test_a_registered_vm_has_sets_like_single_locks(daemon, nursery, disk, looker):
    a, b = disk("a"), disk("b")
    vm = nursery.vm("web1")
    connection = vm.own_connection(daemon)
    first = own.acquire_set(connection, a)
    again = own.acquire_set(connection, a, b)
    assert first.granted == again.granted == GRANTED and first.token < again.token
    assert own.acquire_set(connection, a, b).granted == HAD
    assert own.release_set(connection, again.token).ok
    assert held(looker) == [("a", "web1")], "what it had before is not the set's"
    assert own.release_set(connection, again.token).error
    assert connection.release(a).ok, "a single name goes as ever"
    assert own.release_set(connection, first.token).error
    nothing_is_held(daemon)


def test_what_a_set_names_twice_is_not_in_its_own_way(daemon, disk, folder, looker):
    a = disk("a")
    os.link(a, os.path.join(folder, "b"))
    os.symlink("a", os.path.join(folder, "c"))
    names = [a, os.path.join(folder, "b"), a, os.path.join(folder, "c")]
    for mode in (0, SHARED):
        client, = clients(daemon, 1)
        assert client.take(*(want(n, flags=mode) for n in names)).granted == GRANTED
        assert len(held(looker)) == 3, "by each name once"
        client.release()
        nothing_is_held(daemon)
    for timeout in (0, 5):
        answer = client.take(want(a), want(names[1], flags=SHARED), timeout=timeout)
        assert "twice" in words_of(answer)
    nothing_is_held(daemon)


def test_sharers_go_together_and_pass_nobody(daemon, disk):
    a = disk("a")
    shared = want(a, flags=SHARED)
    holder, one, two, alone, late = clients(daemon, 5)
    assert holder.take(a).granted == GRANTED
    one.ask(shared), two.ask(shared), alone.ask(a), late.ask(shared)
    holder.release()
    assert is_granted(one.hear()) and is_granted(two.hear())
    assert alone.hear(0.1) is None and late.hear(0.1) is None
    one.release()
    assert alone.hear(0.1) is None
    two.release()
    assert is_granted(alone.hear()) and late.hear(0.1) is None
    alone.release()
    assert is_granted(late.hear())


# ---- order --------------------------------------------------------------------------------


@pytest.mark.parametrize("klass", [own.CONTENT, METADATA], ids=["content", "metadata"])
def test_fifty_go_in_the_order_of_asking(daemon, disk, klass, looker):
    path = disk()
    wanted = metadata_of(path) if klass else want(path)
    holder, *waiting = clients(daemon, 51)
    assert holder.take(wanted, klass=klass).granted == GRANTED
    for number, client in enumerate(waiting):
        message = client.ask(wanted, klass=klass)
        assert message.position == number + 1 and message.holder.owner.name == "client0"
    waiters = own.waiters(looker)
    assert [w.owner.name for w in waiters] == [c.name for c in waiting]
    assert [w.position for w in waiters] == list(range(1, 51))
    assert all(w.klass == klass and w.until == FOREVER for w in waiters)
    assert len({w.ticket for w in waiters}) == 50
    holder.release()
    assert hand_over(waiting) == waiting
    nothing_is_held(daemon)


def test_who_waits_for_one_part_keeps_the_others_from_those_who_ask_later(daemon, disk):
    a, b = disk("a"), disk("b")
    holder, both, later = clients(daemon, 3)
    assert holder.take(a).granted == GRANTED
    both.ask(a, b)
    message = later.ask(b)
    assert message.position == 2 and not message.holder and "1 who asked before" in message.text
    assert lock_on_first_byte(b) == "unlocked", "who waits holds nothing"
    holder.release()
    assert is_granted(both.hear()) and later.hear(0.1) is None
    both.release()
    assert is_granted(later.hear())


def test_an_alias_stands_in_the_same_line(daemon, disk, folder):
    a, b = disk("a"), disk("b")
    alias = os.path.join(folder, "alias")
    os.link(a, alias)
    holder, both, later = clients(daemon, 3)
    assert holder.take(b).granted == GRANTED
    both.ask(a, b)
    later.ask(alias)
    holder.release()
    assert is_granted(both.hear()) and later.hear(0.1) is None
    both.release()
    assert is_granted(later.hear())


def test_who_does_not_wait_takes_what_is_free(daemon, disk):
    a, b = disk("a"), disk("b")
    holder, both, hasty = clients(daemon, 3)
    assert holder.take(a).granted == GRANTED
    both.ask(a, b)
    assert hasty.take(b).granted == GRANTED
    holder.release()
    assert both.hear(0.1) is None
    hasty.release()
    assert is_granted(both.hear())


def test_crossing_sets_by_several_processes_have_never_two_holders(daemon, nursery, disk):
    paths = [disk("a"), disk("b")]
    rounds = int(os.environ.get("HF_CROSSING_ROUNDS", "200"))
    inside, most, faults = [0, 0], [0, 0], []
    guard = threading.Lock()

    def cross(connection, order, seed):
        chance = random.Random(seed)
        client = Client(connection, f"crosser{seed}")
        for _ in range(rounds):
            chosen = order if chance.random() < 0.7 else [chance.choice(order)]
            outcome = client.take(*(paths[i] for i in chosen), timeout=30, deadline=40)
            if not is_granted(outcome):
                faults.append(outcome)
                return
            with guard:
                for i in chosen:
                    inside[i] += 1
                    most[i] = max(most[i], inside[i])
            with guard:
                for i in chosen:
                    inside[i] -= 1
            client.release()

    vms = [nursery.vm(f"p{number}") for number in range(4)]
    threads = [threading.Thread(target=cross, args=(vm.connect(daemon.socket),
                                                    [0, 1] if number % 2 else [1, 0], number))
               for number, vm in enumerate(vms)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults and most == [1, 1]
    nothing_is_held(daemon)


# ---- the end of waiting -------------------------------------------------------------------


def test_who_waits_too_long_learns_who_has_it_and_how_long_it_waited(daemon, disk):
    a, b = disk("a"), disk("b")
    holder, first, second = clients(daemon, 3)
    assert holder.take(a).granted == GRANTED
    first.ask(b, a)
    begun = time.monotonic()
    outcome = second.take(a, timeout=0.3)
    assert 0.3 <= time.monotonic() - begun < 5
    assert outcome.granted == REFUSED and 300000 <= outcome.waited < 5000000
    assert outcome.holder.owner.name == "client0" and outcome.refused == 0
    outcome = second.take(b, timeout=0.1)
    assert outcome.granted == REFUSED and not outcome.holder
    assert "1 who asked before" in outcome.text
    holder.release()
    assert is_granted(first.hear())


@pytest.mark.parametrize("way", ["close", "kill", "half close"])
def test_who_vanishes_leaves_the_line_at_once(daemon, nursery, disk, looker, way):
    a, b = disk("a"), disk("b")
    holder, behind = clients(daemon, 2)
    vm = nursery.vm("goner")
    goner = Client(vm.connect(daemon.socket), "goner")
    assert holder.take(a).granted == GRANTED
    goner.ask(a, b)
    behind.ask(b)
    if way == "kill":
        vm.kill()
    elif way == "close":
        goner.close()
    else:
        vm.leave()
    assert is_granted(behind.hear()), "nobody is before it any more"
    assert not own.waiters(looker)
    holder.release()
    assert held(looker) == [("b", "client1")]


def test_a_holder_that_is_killed_hands_over(daemon, nursery, disk):
    path = disk()
    vm = nursery.vm("web1")
    assert vm.own_connection(daemon).acquire(path).ok
    waiting = clients(daemon, 3)
    for client in waiting:
        client.ask(path)
    vm.kill()
    assert hand_over(waiting) == waiting
    nothing_is_held(daemon)


def test_a_release_of_everything_hands_over(daemon, disk):
    a, b = disk("a"), disk("b")
    holder, first, second = clients(daemon, 3)
    assert holder.take(a, b).granted == GRANTED
    first.ask(a)
    second.ask(b, a)
    assert own.call(holder.connection, own.Own.RELEASE_ALL, wire.u32(0)).ok
    assert is_granted(first.hear()) and second.hear(0.1) is None
    first.release()
    assert is_granted(second.hear())


def test_an_owner_that_ends_waits_no_more(daemon, nursery, disk):
    path = disk()
    holder, behind = clients(daemon, 2)
    assert holder.take(path).granted == GRANTED
    vm = nursery.vm("web1")
    for_vm = daemon.connect_as(vm.owner)
    own.send_set(for_vm, path, timeout=FOREVER, flags=own.PROGRESS)
    assert for_vm.receive().proc == own.WAITING
    vm.own_connection(daemon)
    vm.kill()
    assert "has ended" in words_of(for_vm.receive())
    assert behind.ask(path).position == 1


# ---- who may not wait ---------------------------------------------------------------------


def test_who_holds_something_does_not_wait_for_more(daemon, disk):
    a, b = disk("a"), disk("b")
    one, two = clients(daemon, 2)
    assert one.take(a).granted == GRANTED and two.take(b).granted == GRANTED
    answer = one.take(b, timeout=10)
    assert answer.error.int1 == EDEADLK and "client1" in words_of(answer)
    assert "does not wait for more" in words_of(answer)
    assert two.take(a).granted == REFUSED, "to ask without waiting is no fault"
    two.release()
    assert one.take(b, timeout=10).granted == GRANTED, "what is free is had"


def test_who_gets_something_otherwise_waits_no_more(daemon, nursery, disk):
    a, b = disk("a"), disk("b")
    holder, = clients(daemon, 1)
    assert holder.take(a).granted == GRANTED
    vm = nursery.vm("web1")
    waits, takes = daemon.connect_as(vm.owner), daemon.connect_as(vm.owner)
    own.send_set(waits, a, timeout=FOREVER, flags=own.PROGRESS)
    assert waits.receive().proc == own.WAITING
    assert takes.acquire(b).ok
    assert waits.receive().error.int1 == EDEADLK


# ---- what is said meanwhile ---------------------------------------------------------------


def test_who_waits_is_told_when_something_changes_and_not_too_often(daemon, disk):
    path = disk()
    holder, first, second = clients(daemon, 3)
    assert holder.take(path).granted == GRANTED
    first.ask(path)
    assert second.ask(path).position == 2
    begun = time.monotonic()
    holder.release()
    assert is_granted(first.hear())
    answer = second.connection.receive(5)
    message = own.read_waiting(answer)
    assert time.monotonic() - begun > 0.5
    assert message.position == 1 and message.holder.owner.name == "client1"
    assert abs(message.since / 1e6 - time.time()) < 30
    assert second.hear(1.5) is None and len(second.messages) == 1, "nothing has changed since"
    first.release()
    assert is_granted(second.hear())


# ---- what can be wrong --------------------------------------------------------------------


def spoilt(folder, disk):
    loop = os.path.join(folder, "loop")
    os.symlink("loop", loop)
    secret = os.path.join(folder, "directory")
    os.mkdir(secret)
    missing = os.path.join(folder, "missing")
    return {loop: "symbolic link", secret: "directory", missing: "No such file",
            "x" * 4500: "name too long", os.path.join(missing, "deep"): "No such file"}


def test_one_bad_path_is_one_clear_error_and_nothing_is_held(daemon, disk, folder, looker):
    good = disk("good")
    for bad, words in spoilt(folder, disk).items():
        for wants in ([good, bad], [bad, good]):
            for timeout in (0, 10):
                client, = clients(daemon, 1)
                answer = client.take(*wants, timeout=timeout)
                assert words in words_of(answer) or answer.error.int1 == errno.ENAMETOOLONG
                assert held(looker) == [] and lock_on_first_byte(good) == "unlocked"
                client.close()


def test_a_path_that_fails_when_its_turn_has_come_is_an_error_then(daemon, disk, looker):
    a, b = disk("a"), disk("b")
    holder, waits, behind = clients(daemon, 3)
    assert holder.take(a).granted == GRANTED
    waits.ask(a, b)
    behind.ask(a)
    os.unlink(b)
    holder.release()
    assert "No such file" in words_of(waits.hear())
    assert is_granted(behind.hear())
    assert held(looker) == [("a", "client2")]


def test_a_path_that_was_replaced_is_the_new_file_unless_a_certain_one_was_meant(daemon, disk,
                                                                                 looker):
    path = disk("a")
    st = os.stat(path)
    holder, any_file, this_file = clients(daemon, 3)
    assert holder.take(path).granted == GRANTED
    any_file.ask(path)
    this_file.ask(want(path, thing=(1, st.st_dev, st.st_ino)))
    os.rename(disk("new"), path)
    holder.release()
    assert is_granted(any_file.hear())
    assert lock_on_first_byte(path) == "write lock"
    any_file.release()
    assert "was replaced just now" in words_of(this_file.hear())
    nothing_is_held(daemon)


def test_what_goes_while_a_try_is_given_back_is_not_waited_for(daemon, folder):
    before, behind = os.path.join(folder, "a"), os.path.join(folder, "b")
    os.mkdir(behind)
    os.close(os.open(os.path.join(behind, "x"), os.O_CREAT, 0o600))
    os.link(os.path.join(behind, "x"), os.path.join(behind, "y"))
    holder, waiter = clients(daemon, 2)
    for space in before, behind:
        assert holder.connection.create_lockspace(space).ok
    many = [want(f"{number}", before, AUTOCREATE) for number in range(20)]
    for _ in range(3):
        assert holder.take(want("x", behind)).granted == GRANTED
        own.send_set(waiter.connection, *many, want("y", behind), timeout=FOREVER)
        most, now, end = len(many) // 2, 0, time.monotonic() + 10
        while now >= most or most == len(many) // 2:
            most, now = max(most, now), len(os.listdir(before))
            assert time.monotonic() < end, "the others are locked, and given back"
        holder.release()
        assert is_granted(waiter.hear())
        waiter.release()


def test_a_set_that_makes_no_sense_is_refused(daemon, disk):
    path = disk()
    client, = clients(daemon, 1)
    st = os.stat(path)
    for bad in ({"wants": []}, {"wants": [path], "klass": 2},
                {"wants": [want(path, flags=0x100)]}, {"wants": [want(path, space="/nowhere")]},
                {"wants": [path], "klass": METADATA}, {"wants": [path], "flags": 2},
                {"wants": [want(path, flags=SHARED, thing=(1, st.st_dev, st.st_ino))],
                 "klass": METADATA}):
        wants = bad.pop("wants")
        assert client.take(*wants, **bad).error, bad
    stranger = daemon.connect()
    assert own.acquire_set(stranger, path).error, "who is nobody's owner"
    assert own.release_set(client.connection, 0).error
    assert own.release_set(client.connection, 77).error
    assert client.take(path).granted == GRANTED


def test_a_set_larger_than_a_request_may_be_is_one_clear_error(daemon, folder):
    client, = clients(daemon, 1)
    names = [os.path.join(folder, "n" * 100 + str(number)) for number in range(3000)]
    assert "large" in words_of(client.take(*names))
    assert client.take(*["/x"] * 4097).error
    assert own.waiters(client.connection) == []


def test_thousands_of_paths_are_one_set(daemon, folder, looker):
    paths = [os.path.join(folder, f"{number:04}") for number in range(2000)]
    for path in paths:
        with open(path, "w", encoding="ascii") as out:
            out.write("x")
    one, two = clients(daemon, 2)
    assert one.take(*paths).granted == GRANTED
    assert len(own.locks(looker)) == 2000
    two.ask(*reversed(paths))
    assert len(own.waiters(looker)) == 2000
    one.release()
    assert is_granted(two.hear())
    two.release()
    nothing_is_held(daemon)


def test_where_descriptors_run_out_nothing_of_the_set_is_held(holdfastd, folder):
    daemon = holdfastd(rlimit_nofile=128)
    paths = [os.path.join(folder, f"{number:04}") for number in range(200)]
    for path in paths:
        with open(path, "w", encoding="ascii") as out:
            out.write("x")
    client, = clients(daemon, 1)
    assert "Too many open files" in words_of(client.take(*paths, timeout=10))
    nothing_is_held(daemon)
    assert client.take(*paths[:20]).granted == GRANTED


# ---- metadata -----------------------------------------------------------------------------


def test_metadata_is_locked_of_any_file_by_any_name_beside_its_content(daemon, disk, folder,
                                                                       looker):
    path, link = disk("a"), os.path.join(folder, "link")
    os.link(path, link)
    one, two, three = clients(daemon, 3)
    assert one.take(path).granted == GRANTED, "the content is another matter"
    got = two.take(metadata_of(folder), metadata_of(path), metadata_of(link), klass=METADATA)
    assert got.granted == GRANTED
    assert sorted(lock.klass for lock in own.locks(looker)) == [0, 1, 1]
    refused = three.take(metadata_of(link), klass=METADATA)
    assert refused.granted == REFUSED and "the metadata of" in refused.text
    message = three.ask(metadata_of(link), klass=METADATA)
    assert message.holder.owner.name == "client1" and message.holder.klass == METADATA
    assert lock_on_first_byte(path) == "write lock"
    two.close()
    assert is_granted(three.hear())
    one.release()


def test_a_set_is_given_back_by_another_connection_of_the_same_process(daemon, nursery, disk,
                                                                       looker):
    path = disk()
    one, two = clients(daemon, 2)
    token = one.take(path).token
    stranger = Client(nursery.vm("other").connect(daemon.socket), "other")
    assert own.release_set(stranger.connection, token).error
    assert own.release_set(two.connection, token).ok
    assert held(looker) == []
