# SPDX-License-Identifier: LGPL-2.1-or-later
"""The protocol, byte by byte, beside QEMU's helper: all of it that needs no disk."""

import os
import struct

import pytest

from hftest import pr_steps, pr_transcript, prhelper
from hftest.processes import until


def transcript(helper, path=None):
    targets = pr_steps.Targets(**({"a": path} if path else {}))
    return pr_steps.record(helper.socket, targets, pr_transcript.without_disk())


def test_every_request_without_a_disk_is_answered_as_by_qemus_helper(ours, stock):
    first, second = transcript(stock()), transcript(ours())
    assert len(first) >= 90, len(first)
    assert pr_steps.differences(first, second) == []
    # What is compared is not one and the same answer all over.
    assert len(set(first.values())) >= 6, set(first.values())


def loop_device():
    """A loop device that nothing is bound to: the kernel knows its SG_IO and refuses it."""
    for number in range(8):
        if (os.path.exists(f"/dev/loop{number}")
                and not os.path.exists(f"/sys/block/loop{number}/loop")):
            return f"/dev/loop{number}"
    return None


@pytest.mark.parametrize("flags", [os.O_RDWR, os.O_RDONLY], ids=["writable", "read-only"])
@pytest.mark.parametrize("command, data", [
    (prhelper.pr_in(prhelper.READ_KEYS), b""),
    (prhelper.pr_out(prhelper.REGISTER), prhelper.parameters(0, 1)),
], ids=["in", "out"])
def test_a_block_device_that_is_no_disk_is_answered_as_by_qemus_helper(
        ours, stock, root, flags, command, data):
    device = loop_device()
    if not device:
        pytest.skip("there is no free loop device here")
    mine, theirs = (h.ask(device, command, data, flags) for h in (ours(), stock()))
    assert mine == theirs
    assert mine.why == ("5/20/00" if data and flags == os.O_RDONLY else "5/24/00")


def test_behind_the_sense_that_a_helper_makes_are_zeros(ours, null):
    """An answer before it leaves nothing in the next one's frame."""
    with ours().client() as client:
        for command, data in [(prhelper.pr_out(0, length=8192), b"\xff" * 8192),
                              (prhelper.pr_in(0), b"")] * 3:
            answer = client.ask(command, null, data)
            assert len(answer.frame) == prhelper.FRAME
            assert answer.sense[:18].hex() == "70000b000000000a00000000000600000000"
            assert answer.sense[18:] == bytes(78)
            assert struct.unpack(">ii", answer.frame[:8]) == (2, 0)


def test_a_connection_lives_as_long_as_its_peer_wants(ours, null):
    helper = ours()
    with helper.client() as first, helper.client() as second:
        for _ in range(50):
            assert first.read(null, 0).why == "B/00/06"
            assert second.write(null, 0, 0, 1).why == "B/00/06"


def open_files(pid):
    return sorted(os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd"))


def test_no_descriptor_of_a_peer_is_open_when_its_answer_comes(ours, null):
    helper = ours()
    with helper.client() as client:
        client.read(null, 0)
        # The one that asked whether we serve may still be there.
        until(lambda: len(helper.children) == 1, "one connection is left")
        (connection,) = helper.children
        before = open_files(connection)
        for _ in range(20):
            client.read(null, 0)
            client.send(prhelper.pr_out(0), null)
            client.send(prhelper.parameters(), null)
            assert client.answer(prhelper.PR_OUT).why == "B/00/06"
        assert open_files(connection) == before


def test_a_peer_that_sends_hundreds_of_descriptors_is_closed_and_nobody_else(ours, null):
    helper = ours()
    with helper.client() as good, helper.client() as bad:
        bad.send(prhelper.pr_in(0), *[null] * 253)
        assert bad.is_closed()
        assert good.read(null, 0).why == "B/00/06"


def test_the_audit_has_the_keys_of_a_list_that_only_the_device_understands(ours, null):
    """TransportIDs of another protocol are no way to change reservations without a trace."""
    helper = ours(config='log_outputs = "1:stderr"\n')
    ids = bytes([0x04] + [0] * 23)
    data = prhelper.parameters(0x1234, 0x5678, 0x09) + len(ids).to_bytes(4, "big") + ids
    with helper.client() as client:
        client.ask(prhelper.pr_out(prhelper.REGISTER, length=len(data)), null, data)
    until(lambda: "register on" in helper.log(), "the audit")
    assert "key 0x1234, new key 0x5678, aptpl" in helper.log()
