# SPDX-License-Identifier: LGPL-2.1-or-later
"""holdfast pr: through a helper with emulated reservations, and through one that lies."""

import json
import os
import struct

import pytest

from hftest.false_helper import FalseHelper, frame, sense
from hftest.prhelper import Helper

KEY, OTHER = "0x11", "0xfedcba9876543210"


@pytest.fixture
def disk(folder):
    path = os.path.join(folder, "disk.img")
    with open(path, "wb") as image:
        image.truncate(1 << 20)
    return path


@pytest.fixture
def start(folder, nursery, disk):
    """Starts a helper with the disk emulated, and more settings; returns it."""
    def start_one(more="", **how):
        config = (f'emulate = "{disk} as one"\nemulation_database = "{folder}/pr.sqlite"\n'
                  f'host_name = "host-a"\n{more}')
        return Helper(folder, nursery=nursery, config=config, **how)
    return start_one


@pytest.fixture
def pr(lonely, start, disk):
    """Runs `holdfast pr VERB ... DISK`; of a document the facts."""
    helper = start()

    def run(verb, *words, status=0, **how):
        done = lonely("pr", verb, f"--socket={helper.socket}", *words, disk, **how)
        assert done.returncode == status, done
        return json.loads(done.stdout) if "--json" in words else done
    return run


@pytest.fixture
def lie(lonely, folder, disk):
    """Runs it with a helper that gives these answers; the helper is in run.helper afterwards."""
    helpers = []

    def run(verb, *words, answers, **how):
        helpers.append(FalseHelper(folder, answers, **how))
        run.helper = helpers[-1]
        return lonely("pr", verb, f"--socket={run.helper.path}", *words, disk)
    yield run
    for helper in helpers:
        helper.close()


@pytest.mark.parametrize("words, missing", [
    (["register"], "--new-key"), (["reserve", "--type=1"], "--key"), (["clear"], "--key"),
    (["reserve", f"--key={KEY}"], "--type"), (["release"], "--key"),
    (["preempt", f"--key={KEY}", "--type=1"], "--victim")])
def test_what_is_missing_is_told_before_anything_is_opened(lonely, folder, words, missing):
    done = lonely("pr", *words, f"--socket={folder}/nobody", f"{folder}/nothing")
    assert done.returncode == 64 and f"{missing} is missing" in done.stderr, done


# ---- with a real helper ----

def test_a_key_is_registered_reserved_with_and_shown(pr, disk):
    assert pr("keys").stdout == ""
    assert pr("status").stdout == f"{disk} is not reserved.\nNobody is registered.\n"
    pr("register", f"--new-key={KEY}")
    assert pr("keys").stdout == f"{KEY}\n"
    pr("reserve", f"--key={KEY}", "--type=write-exclusive-registrants")
    said = pr("status").stdout.splitlines()
    assert said[0] == f"{disk} is reserved, write-exclusive-registrants, by key {KEY}."
    assert said[1].split() == ["KEY", "HOLDER", "INITIATOR", "PORT"]
    assert said[2].split()[:2] == [KEY, "true"]
    pr("release", f"--key={KEY}")
    assert pr("status", "--json")["reservation"] is None
    pr("register", f"--key={KEY}", "--new-key=0x0")
    assert pr("keys", "--json")["keys"] == []


def test_keys_of_64_bits_are_whole_in_json(pr):
    pr("register", f"--new-key={OTHER}")
    facts = pr("keys", "--json")
    assert (facts["schema"], facts["version"]) == ("holdfast.pr.keys", 1)
    assert (facts["keys"], facts["count"], facts["generation"]) == ([OTHER], 1, 1)


def test_a_conflict_is_75_and_names_what_stands_against_it(pr, disk):
    pr("register", f"--new-key={KEY}")
    pr("reserve", f"--key={KEY}", "--type=exclusive-access")
    words = (f"--key={KEY}", "--type=write-exclusive")
    said = pr("reserve", *words, status=75).stderr
    assert said == (f"holdfast: {disk}: reservation conflict: it is reserved, exclusive-access, by "
                    f"key {KEY}; or that key is not what is registered from here\n")
    facts = pr("reserve", *words, "--json", status=75)
    assert facts["conflict"] and not facts["done"]
    assert facts["reservation"] == {"type": "exclusive-access", "key": KEY}


def test_a_key_that_is_not_registered_is_a_conflict_too(pr):
    said = pr("clear", f"--key={KEY}", status=75).stderr
    assert "it is not reserved, so that key is not what is registered from here" in said


def test_ignore_replaces_what_is_registered_and_preempt_ends_it(pr):
    pr("register", f"--new-key={KEY}")
    pr("register", f"--new-key={OTHER}", status=75)
    pr("register", f"--new-key={OTHER}", "--ignore", "--aptpl")
    assert pr("capabilities", "--json")["aptpl_active"]
    pr("reserve", f"--key={OTHER}", "--type=5")
    pr("preempt", f"--key={OTHER}", f"--victim={OTHER}", "--type=write-exclusive", "--abort")
    assert pr("status", "--json")["reservation"] == {"type": "write-exclusive", "key": OTHER}
    pr("clear", f"--key={OTHER}")
    assert pr("status", "--json")["registrants"] == []


def test_without_a_socket_it_is_the_systems_which_the_run_dir_moves(lonely, start, disk):
    helper = start()
    os.makedirs(lonely.env["HOLDFAST_RUN_DIR"])
    os.symlink(helper.socket, os.path.join(lonely.env["HOLDFAST_RUN_DIR"], "qemu-pr-helper.sock"))
    assert lonely("pr", "status", disk).returncode == 0
    # A relative path is taken from here.
    assert lonely("pr", "status", f"--socket={os.path.basename(helper.socket)}",
                  disk).returncode == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: becomes another user")
def test_a_user_needs_nothing_but_the_device_and_the_socket(lonely, start, disk):
    helper = start('socket_mode = "0666"\n')
    os.chmod(disk, 0o666)
    plain = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
             "--bounding-set=-all")
    for words in (["register", f"--new-key={KEY}"], ["keys"]):
        done = lonely("pr", *words, f"--socket={helper.socket}", disk, prefix=plain)
        assert done.returncode == 0, done
    assert done.stdout == f"{KEY}\n"


def test_what_a_rule_denies_is_78_and_a_rule_lets_others_through(lonely, start, disk):
    helper = start(f'rules = [ "deny key={OTHER}", "allow user={os.geteuid()} action=register", '
                   '"deny action=out" ]\n')

    def status(verb, *words):
        return lonely("pr", verb, f"--socket={helper.socket}", *words, disk).returncode
    assert status("register", f"--new-key={OTHER}") == 78
    assert status("register", f"--new-key={KEY}") == 0
    assert status("clear", f"--key={KEY}") == 78
    assert status("keys") == 0


@pytest.mark.parametrize("words", [["register"], ["register", "--new-key=11"],
                                   ["register", "--new-key=0x", "--ignore"],
                                   ["register", "--new-key=0x12345678123456789"],
                                   ["register", f"--new-key={KEY}", f"--key={KEY}", "--ignore"],
                                   ["reserve", f"--key={KEY}"], ["reserve", "--type=1"],
                                   ["reserve", f"--key={KEY}", "--type=2"],
                                   ["reserve", f"--key={KEY}", "--type=unknown"],
                                   ["preempt", f"--key={KEY}", "--type=1"], ["clear"],
                                   ["keys", "--direct"], ["keys", "another"], ["no-such-verb"]])
def test_a_wrong_command_line_is_64(pr, words):
    pr(*words, status=64)


def test_no_helper_is_69_no_device_66_and_direct_on_a_file_71(lonely, folder, disk):
    assert lonely("pr", "keys", f"--socket={folder}/none", disk).returncode == 69
    assert lonely("pr", "keys", f"--socket={folder}/none", f"{folder}/no-disk").returncode == 66
    done = lonely("pr", "keys", "--direct", disk)
    assert done.returncode == 71 and "CAP_SYS_RAWIO" in done.stderr


def test_a_rule_about_a_device_and_a_vm_is_kept_by_the_running_helper(lonely, start, disk, folder):
    link = os.path.join(folder, "link")
    os.symlink(disk, link)
    helper = start(f'rules = [ "allow device={link} vm=db action=register", "allow action=in", '
                   f'"deny device={link}" ]\n', args=["--vm", "db", "-v"])

    def status(verb, *words, path=disk):
        return lonely("pr", verb, f"--socket={helper.socket}", *words, path).returncode
    assert status("register", f"--new-key={KEY}", path=link) == 0
    assert status("reserve", f"--key={KEY}", "--type=1") == 78
    assert status("status") == 0
    said = helper.log()
    assert f'VM "db"): register on {disk} inode' in said and "new key 0x11: good" in said
    assert "reserve write-exclusive on" in said and "denied by rule 3 of the policy" in said


# ---- with one that lies ----

def test_the_descriptor_and_the_bytes_are_as_qemu_sends_them(lie, disk):
    done = lie("preempt", f"--key={KEY}", f"--victim={OTHER}", "--type=6", "--abort",
               answers=[frame()])
    assert done.returncode == 0, done
    (cdb, data, fds), = lie.helper.commands
    assert cdb == bytes([0x5F, 5, 6, 0, 0, 0, 0, 0, 24]).ljust(16, b"\0")
    assert data == struct.pack(">QQ8x", int(KEY, 16), int(OTHER, 16))
    assert fds == [disk]


NONSENSE = {
    "data behind a conflict": frame(0x18, 4) + b"spam",
    "more data than asked for": frame(0, 8193) + bytes(8193),
    "a negative size": frame(0, -1),
    "a status that is none": frame(256),
    "half a frame": frame()[:50],
    "nothing": b"",
    "less data than announced": frame(0, 16) + bytes(8),
    "a list that is no list": frame(0, 9) + b"\0\0\0\1\0\0\0\7\0",
    "no data at all": frame(0, 0),
}


@pytest.mark.parametrize("what", NONSENSE)
@pytest.mark.parametrize("verb", ["keys", "status", "capabilities"])
def test_an_answer_that_makes_no_sense_is_69(lie, what, verb):
    done = lie(verb, answers=[NONSENSE[what]])
    assert done.returncode == 69, done
    assert done.stderr.startswith("holdfast: ") and done.stdout == ""


@pytest.mark.parametrize("what", ["data behind a conflict", "a negative size", "half a frame"])
def test_a_change_is_not_called_done_over_nonsense(lie, what):
    done = lie("register", f"--new-key={KEY}", answers=[NONSENSE[what]])
    assert done.returncode == 69, done


def test_data_with_an_answer_to_a_change_is_refused(lie):
    assert lie("register", f"--new-key={KEY}", answers=[frame(0, 4) + b"spam"]).returncode == 69


def test_news_are_passed_over_but_not_for_ever(lie, folder):
    news = frame(2, 0, sense(6, 0x2A03))
    assert lie("register", f"--new-key={KEY}", answers=[news, news, frame()]).returncode == 0
    assert len(lie.helper.commands) == 3
    os.unlink(lie.helper.path)
    done = lie("register", f"--new-key={KEY}", answers=[news] * 50)
    assert done.returncode == 71 and "unit attention" in done.stderr
    assert len(lie.helper.commands) < 20


ANSWERS = {
    "busy": (frame(8), 71),
    "task set full": (frame(0x28), 71),
    "conflict": (frame(0x18), 75),
    "no such command": (frame(2, 0, sense(5, 0x2000)), 78),
    "a field that it does not like": (frame(2, 0, sense(5, 0x2600)), 64),
    "no device for this": (frame(2, 0, sense(11, 0x0006)), 71),
    "sense that says nothing": (frame(2), 71),
    "sense that is none": (frame(2, 0, b"\xff" * 96), 71),
}


@pytest.mark.parametrize("what", ANSWERS)
def test_what_a_device_answers_has_its_status(lie, what):
    answer, status = ANSWERS[what]
    empty = frame(0, 8) + bytes(8)
    done = lie("clear", f"--key={KEY}", answers=[answer, empty])
    assert done.returncode == status, done


def test_a_device_without_full_status_shows_its_keys(lie):
    keys = struct.pack(">IIQQ", 7, 16, 1, 2)
    held = struct.pack(">IIQ4xxB2x", 7, 16, 2, 5)
    done = lie("status", "--json", answers=[frame(0, len(held)) + held,
                                            frame(2, 0, sense(5, 0x2400)),
                                            frame(0, len(keys)) + keys])
    facts = json.loads(done.stdout)
    assert [one["key"] for one in facts["registrants"]] == ["0x1", "0x2"]
    assert facts["registrants"][0]["holder"] is None
    assert facts["reservation"] == {"type": "write-exclusive-registrants", "key": "0x2"}


def test_keys_that_do_not_fit_are_counted(lie):
    data = struct.pack(">II", 1, 8 * 5000) + struct.pack(">Q", 3) * 1023
    done = lie("keys", answers=[frame(0, 8192) + data])
    assert done.returncode == 0 and len(done.stdout.splitlines()) == 1023
    assert "3977 more do not fit the answer" in done.stderr


def test_a_greeting_cut_short_is_69(lie):
    done = lie("keys", answers=[], greeting=b"\0\0")
    assert done.returncode == 69
