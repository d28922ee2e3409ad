# SPDX-License-Identifier: LGPL-2.1-or-later
"""From outside the two processes are one program: signals, exit status, start."""

import fcntl
import os
import signal
import subprocess

import pytest

from hftest.keeper import FIRST, HEIR, REPLACED, TOY, UPGRADED
from hftest.processes import until


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_signal_to_stop_reaches_the_server(toy, number):
    keeper = toy()
    keeper.info()
    keeper.child.send_signal(number)
    assert keeper.child.wait(10) == number


def test_sighup_reaches_the_server_once(toy):
    keeper = toy()
    keeper.child.send_signal(signal.SIGHUP)
    until(lambda: keeper.info()["hups"] == 1, "the signal was passed on")
    assert keeper.kill_server()["hups"] == 1, "the next server does not get it again"


def test_signal_to_stop_reaches_the_next_server_if_this_one_was_killed(toy):
    keeper = toy()
    server = keeper.info()["server"]
    os.kill(server, signal.SIGSTOP)
    keeper.child.send_signal(signal.SIGTERM)
    until(lambda: int(pending(server), 16) & 1 << signal.SIGTERM - 1, "the signal was passed on")
    os.kill(server, signal.SIGKILL)
    assert keeper.child.wait(10) == signal.SIGTERM


def pending(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as text:
        return next(line.split()[1] for line in text if line.startswith("ShdPnd"))


def test_signal_to_stop_is_not_lost_while_there_is_no_server(toy):
    keeper = toy(files={"crashes": int(signal.SIGKILL)}, wait=False)
    until(lambda: len(keeper.starts()) > 8, "the pauses have become long")
    keeper.child.send_signal(signal.SIGTERM)
    os.unlink(keeper.path("crashes"))
    assert keeper.child.wait(10) == signal.SIGTERM


def test_signal_to_stop_ends_a_program_whose_servers_cannot_live(toy):
    keeper = toy(files={"crashes": int(signal.SIGABRT)}, wait=False)
    until(lambda: len(keeper.starts()) > 4, "it was tried again")
    keeper.child.send_signal(signal.SIGTERM)
    assert keeper.child.wait(10) == 1


@pytest.mark.parametrize("status", [0, 1, 77, 255])
def test_exit_status_of_the_server_is_that_of_the_program(toy, status):
    keeper = toy()
    assert keeper.client.ask(f"exit {status}") == "exits"
    assert keeper.child.wait(10) == status


def test_exit_status_is_passed_on_after_an_upgrade(toy):
    keeper = toy()
    old = keeper.info()
    assert keeper.client.ask("upgrade") == "upgrades"
    assert keeper.after(old)["start"] == UPGRADED
    assert keeper.client.ask("exit 9") == "exits"
    assert keeper.child.wait(10) == 9


def test_server_that_exits_before_it_is_ready_ends_the_program(toy):
    keeper = toy(files={"crashes": -5}, wait=False)
    assert keeper.child.wait(10) == 5
    assert len(keeper.starts()) == 1


@pytest.mark.parametrize("number", [signal.SIGABRT, signal.SIGKILL])
def test_server_that_crashes_before_it_is_ready_is_tried_again_from_nothing_in_growing_pauses(
        toy, number):
    keeper = toy(files={"crashes": int(number)}, wait=False)
    until(lambda: len(keeper.starts()) >= 8, "it was tried again")
    os.unlink(keeper.path("crashes"))
    starts = keeper.starts()
    assert all(start == FIRST and counter == 0 for start, _, counter in starts)
    times = [time for _, time, _ in starts]
    pauses = [after - before for before, after in zip(times, times[1:])]
    # None before the first three, then 10, 20, 40, 80 ms (and what a busy machine adds).
    assert all(pause >= least - 1 for pause, least in zip(pauses[3:7], (10, 20, 40, 80)))
    until(keeper.up, "it serves at last")


def test_server_that_crashes_on_a_request_each_time_is_replaced_in_growing_pauses(toy):
    keeper = toy()
    keeper.client.send(f"die {int(signal.SIGABRT)}")  # each server gets it again
    until(lambda: len(keeper.starts()) >= 9, "it was tried again")
    keeper.client.close()
    times = [time for _, time, _ in keeper.starts()]
    pauses = [after - before for before, after in zip(times, times[1:])]
    assert all(pause >= least - 1 for pause, least in zip(pauses[3:7], (10, 20, 40, 80)))


def test_what_a_server_opened_before_it_was_ready_is_closed_for_the_next(toy):
    """The toy locks its files anew, and ends where one is locked already."""
    keeper = toy(files={"crashes-late": int(signal.SIGKILL)}, wait=False)
    until(lambda: len(keeper.starts()) >= 4, "it was tried again")
    os.unlink(keeper.path("crashes-late"))
    until(keeper.up, "it serves at last")


def test_passed_descriptors_keep_their_numbers(toy):
    # sh, because LISTEN_PID has to name the program itself.
    script = 'exec 3</dev/null 4</dev/null; LISTEN_FDS=2 LISTEN_PID=$$ exec "$0" "$@"'
    keeper = toy(prefix=["sh", "-c", script])
    told = keeper.info()
    assert told["listen_fds"] == 2
    for fd in (3, 4):
        assert os.readlink(f"/proc/{told['server']}/fd/{fd}") == "/dev/null"
    assert "memfd" in os.readlink(f"/proc/{told['server']}/fd/5"), "the keeper's are behind them"
    assert keeper.kill_server()["listen_fds"] == 0


@pytest.mark.parametrize("words", ["LISTEN_FDS=2 LISTEN_PID=1", "LISTEN_FDS=99 LISTEN_PID=$$",
                                   "LISTEN_FDS=-1 LISTEN_PID=$$", "LISTEN_FDS=x LISTEN_PID=$$"])
def test_descriptors_that_were_not_passed_to_us_do_not_count(toy, words):
    keeper = toy(prefix=["sh", "-c", f'{words} exec "$0" "$@"'])
    assert keeper.info()["listen_fds"] == 0


def test_closed_standard_descriptors_are_opened(toy):
    keeper = toy(prefix=["sh", "-c", 'exec "$0" "$@" <&- >&-'])
    server = keeper.info()["server"]
    for fd in (0, 1):
        assert os.readlink(f"/proc/{server}/fd/{fd}") == "/dev/null"
    assert keeper.kill_supervisor()["start"] == HEIR


@pytest.mark.parametrize("value", ["", "3", "x", "-1", "0", "99999999999999999999", "2147483647",
                                   "1 "])
def test_forged_variable_is_ignored(toy, value):
    keeper = toy(env={"HOLDFAST_KEEPER": value})
    told = keeper.info()
    assert (told["start"], told["env"]) == (FIRST, "clean")
    assert keeper.kill_server()["start"] == REPLACED


def test_forged_memory_is_ignored_and_left_alone(toy):
    fd = os.memfd_create("forged", os.MFD_ALLOW_SEALING)
    os.write(fd, b"holdfast keeper\0" + bytes([255]) * 200_000)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
    keeper = toy(env={"HOLDFAST_KEEPER": str(fd)}, pass_fds=(fd,))
    assert keeper.info()["start"] == FIRST
    assert os.pread(fd, 16, 0) == b"holdfast keeper\0"
    assert set(os.pread(fd, 200_000, 16)) == {255}
    os.close(fd)


def test_variable_of_a_running_program_does_not_make_another_one_its_successor(toy, nursery,
                                                                               folder):
    """Somebody who has the memory itself is not the process that it names."""
    keeper = toy()
    area = os.open(f"/proc/{keeper.child.pid}/fd/3", os.O_RDWR)
    before = keeper.info()
    leash, end = os.pipe()
    os.mkdir(os.path.join(folder, "other"))
    other = nursery.spawn([TOY, "--unsupervised", os.path.join(folder, "other")],
                          pass_fds=(area, leash), stdin=subprocess.DEVNULL,
                          env={**os.environ, "HOLDFAST_KEEPER": str(area),
                               "TOY_LEASH": str(leash)})
    until(lambda: os.path.exists(os.path.join(folder, "other", "socket")), "the other one serves")
    assert keeper.info()["generations"] == before["generations"]
    for fd in (area, leash, end):
        os.close(fd)
    assert other.wait(10) == 0


def test_unsupervised_program_serves_in_its_only_process(toy):
    keeper = toy(options=["--unsupervised"])
    told = keeper.info()
    assert told["server"] == told["supervisor"] == keeper.child.pid
    assert told["watches"] == -1
    assert "no upgrade without a supervisor" in keeper.client.ask("upgrade")
    keeper.child.terminate()
    assert keeper.child.wait(10) == signal.SIGTERM
