# SPDX-License-Identifier: LGPL-2.1-or-later
"""Upgrades: the next program has everything, and one that cannot start is not started."""

import errno
import os
import shutil
import signal
import subprocess

import pytest

from hftest.command import need
from hftest.keeper import HEIR, REPLACED, TOY, UPGRADED, alive, children
from hftest.processes import until


def upgrade(keeper):
    """Upgrades and returns the new server's info."""
    old = keeper.info()
    assert keeper.client.ask("upgrade") == "upgrades"
    new = keeper.after(old)
    assert new["supervisor"] == old["supervisor"]
    return new


def refused(keeper):
    """Tries to upgrade; returns why not. The old server has to go on."""
    old = keeper.info()
    why = keeper.client.ask("upgrade")
    assert why != "upgrades"
    assert keeper.info()["server"] == old["server"]
    assert keeper.program in why
    return why


def test_twenty_upgrades_under_load_lose_nothing(toy, competitor):
    keeper = toy()
    rival = competitor(keeper)
    keeper.ping_all_the_time()
    for number in range(20):
        keeper.replace(TOY)
        assert upgrade(keeper)["start"] == UPGRADED
        if number % 4 == 0:
            assert keeper.kill_server()["start"] == REPLACED
        if number % 10 == 5:
            assert keeper.kill_supervisor()["start"] == HEIR
    assert keeper.faults_of_pingers() == []
    assert rival.stolen() == 0


def test_upgraded_program_runs_from_the_new_file(toy):
    keeper = toy()
    keeper.replace(TOY)
    new_file = os.stat(keeper.program).st_ino
    assert os.stat(f"/proc/{keeper.child.pid}/exe").st_ino != new_file
    new = upgrade(keeper)
    for pid in (new["supervisor"], new["server"]):
        assert os.stat(f"/proc/{pid}/exe").st_ino == new_file
        with open(f"/proc/{pid}/comm", encoding="ascii") as text:
            assert text.read() == "keeper-toy\n"


def test_missing_program_is_refused(toy):
    keeper = toy()
    os.unlink(keeper.program)
    assert "No such file or directory" in refused(keeper)
    keeper.replace(TOY)
    assert upgrade(keeper)["start"] == UPGRADED


def test_program_that_is_not_executable_is_refused(toy):
    keeper = toy()
    os.chmod(keeper.program, 0o644)
    assert "Permission denied" in refused(keeper)


def test_folder_in_the_place_of_the_program_is_refused(toy):
    keeper = toy()
    os.unlink(keeper.program)
    os.mkdir(keeper.program)
    assert "is no regular file" in refused(keeper)


def test_file_that_is_no_program_is_refused(toy):
    keeper = toy()
    keeper.put("keeper-toy", "#!/no/such/thing\n")
    os.chmod(keeper.program, 0o755)
    assert "cannot execute" in refused(keeper)


def test_program_with_a_missing_library_is_refused(toy, folder):
    keeper = toy()
    library, program = os.path.join(folder, "libgone.so"), os.path.join(folder, "program")
    for name, text in (("lib.c", "int gone(void); int gone(void) { return 0; }"),
                       ("main.c", "int gone(void); int main(void) { return gone(); }")):
        with open(os.path.join(folder, name), "w", encoding="ascii") as out:
            out.write(text)
    subprocess.run([need("cc"), "-shared", "-fPIC", "-o", library, folder + "/lib.c"], check=True)
    subprocess.run([need("cc"), "-o", program, folder + "/main.c", library], check=True)
    os.unlink(library)
    keeper.replace(program)
    assert "exit status 127" in refused(keeper)


def test_program_that_cannot_be_executed_after_all_is_followed_by_the_old_one(toy, competitor):
    keeper = toy()
    rival = competitor(keeper)
    old = keeper.info()
    keeper.client.ask("rush")
    new = keeper.after(old)
    assert (new["start"], new["upgrade_error"]) == (REPLACED, errno.EACCES)
    assert keeper.kill_server()["upgrade_error"] == 0
    assert rival.stolen() == 0
    assert upgrade(keeper)["start"] == UPGRADED


def test_area_grows_and_never_shrinks(toy):
    keeper = toy()
    keeper.client.ask("ping")
    assert keeper.info()["room"] == 1
    keeper.replace(TOY + "-larger")
    assert upgrade(keeper)["room"] == 1, "what was added is zeros"
    assert keeper.kill_server()["room"] > 1
    keeper.replace(TOY)
    assert upgrade(keeper)["counter"] >= 1
    keeper.replace(TOY + "-larger")
    assert upgrade(keeper)["room"] > 2, "what was there is there again"


def test_program_of_another_state_version_is_refused(toy):
    keeper = toy()
    keeper.replace(TOY + "-other")
    assert "cannot take over state version 7" in refused(keeper)


def test_program_that_says_no_is_refused(toy):
    keeper = toy()
    keeper.put("probe-refuses")
    assert "cannot take over state version 7 (exit status 1)" in refused(keeper)
    os.unlink(keeper.path("probe-refuses"))
    keeper.replace(shutil.which("false"))
    assert "exit status 1" in refused(keeper)


def test_probe_that_hangs_is_ended(toy):
    keeper = toy()
    keeper.put("probe-hangs")
    assert "did not say in time" in refused(keeper)
    assert children(keeper.info()["server"]) == []
    os.unlink(keeper.path("probe-hangs"))
    assert upgrade(keeper)["start"] == UPGRADED


def test_probe_has_no_descriptors_of_ours_and_ends_with_the_server(toy, nursery):
    keeper = toy()
    keeper.put("probe-hangs")
    server = keeper.info()["server"]
    keeper.client.send("upgrade")

    def probe():
        for pid in children(server):
            with open(f"/proc/{pid}/cmdline", "rb") as words:
                if b"--probe-state" in words.read():
                    return pid
        return None
    pid = nursery.adopt(until(probe, "a probe runs"))
    opened = {int(fd) for fd in os.listdir(f"/proc/{pid}/fd")}
    os.unlink(keeper.path("probe-hangs"))
    os.kill(server, signal.SIGKILL)
    assert opened == {0, 1, 2}
    until(lambda: not alive(pid), "the probe has ended")
    assert keeper.client.answer() == "upgrades", "the next server has the request again"
    until(lambda: keeper.info()["start"] == UPGRADED, "the upgrade went on")


@pytest.mark.parametrize("who", ["server", "supervisor"])
def test_kill_at_any_moment_of_an_upgrade_ends_in_a_server_that_has_everything(toy, who,
                                                                                competitor):
    """At most one of the two is there to be killed while the program is executed."""
    keeper = toy()
    rival = competitor(keeper)
    ends = set()
    for _ in range(15):
        old = keeper.info()
        if who == "supervisor":
            os.kill(old["supervisor"], signal.SIGSTOP)
        keeper.client.send("upgrade")
        assert keeper.client.answer() == "upgrades"
        try:
            os.kill(old[who], signal.SIGKILL)
        except ProcessLookupError:
            pass  # the supervisor was faster
        new = keeper.after(old)
        ends.add(new["start"])
    if who == "supervisor":
        assert ends == {HEIR}
    else:
        assert ends <= {UPGRADED, REPLACED} and UPGRADED in ends
    assert rival.stolen() == 0
