# SPDX-License-Identifier: LGPL-2.1-or-later
"""What holdfast-consoled does with consoles and clients."""

import os
import socket
import struct
import subprocess
import sys
import textwrap
import time

import pytest

from hftest import console_wire as cw
from hftest import consoled as lib
from hftest.processes import until


def test_what_a_guest_prints_and_a_writer_types_goes_both_ways(daemon, terminal):
    with daemon.attach(path=terminal.path) as client:
        terminal.print(b"login: ")
        client.read_until(b"login: ")
        client.type(b"root\r")
        assert terminal.hear_until(b"root\r") == b"root\r"
        entry, = daemon.consoles()
        assert (entry.state, entry.path, entry.head, entry.written) == (
            cw.HELD, terminal.path, 7, 5)
        assert entry.writer.pid == os.getpid() and entry.writer.via == "test"
    daemon.until_free()


def test_two_paths_to_one_terminal_are_one_console(daemon, terminal, folder):
    other = os.path.join(folder, "other-name")
    os.symlink(terminal.path, other)
    with daemon.attach(path=terminal.path) as writer:
        with pytest.raises(cw.Refused) as refusal:
            daemon.attach(path=other)
        assert refusal.value.writer.pid == os.getpid()
        with daemon.attach(path=other, flags=cw.WATCH) as watcher:
            terminal.print(b"one")
            writer.read_until(b"one")
            watcher.read_until(b"one")
        assert len(daemon.consoles()) == 1


def test_a_refusal_names_the_writer_and_says_what_to_do(daemon, terminal):
    with daemon.attach(path=terminal.path, host="10.0.0.5", via="holdfast console"):
        with pytest.raises(cw.Refused) as refusal:
            daemon.attach(path=terminal.path)
        text = refusal.value.text
        assert f"root (pid {os.getpid()}, from 10.0.0.5, since " in text, text
        assert "idle 0 s, holdfast console)" in text
        assert "--watch" in text and "--force" in text
        assert refusal.value.writer.host == "10.0.0.5"


def test_a_forced_take_over_makes_the_writer_a_watcher_who_is_told_by_whom(daemon, terminal):
    with daemon.attach(path=terminal.path) as first:
        first.type(b"typed before")
        with daemon.attach(path=terminal.path, flags=cw.FORCE, host="elsewhere") as second:
            notice = first.await_notice(cw.DISPLACED)
            assert notice.client.host == "elsewhere" and notice.count == 0
            assert "taken over by root" in notice.text, notice.text
            first.type(b"in vain")
            second.type(b", and after")
            terminal.hear_until(b"and after")
            assert terminal.heard == b"typed before, and after"
            terminal.print(b"both see it")
            first.read_until(b"both see it")
            second.read_until(b"both see it")
            roles = sorted(client.role for client in daemon.consoles()[0].clients)
            assert roles == [0, 1]


def test_an_attachment_takes_and_yields_by_its_token(daemon, terminal):
    with daemon.attach(path=terminal.path) as first, \
            daemon.attach(path=terminal.path, flags=cw.WATCH) as second:
        with pytest.raises(cw.Refused) as refusal:
            second.act(cw.TAKE)
        assert refusal.value.writer.pid == os.getpid()
        first.act(cw.YIELD)
        second.act(cw.TAKE)
        assert second.await_notice(cw.WRITER)
        second.type(b"mine")
        terminal.hear_until(b"mine")
        with pytest.raises(cw.Refused):
            first.act(cw.SIZE, rows=20, columns=70)
        first.act(cw.TAKE, cw.FORCE)
        second.await_notice(cw.DISPLACED)
        first.type(b" again")
        terminal.hear_until(b"mine again")


def test_a_hundred_take_overs_lose_no_byte_of_either_direction(daemon, terminal):
    clients = [daemon.attach(path=terminal.path)]
    typed, printed = b"", b""
    try:
        for i in range(100):
            line = b"<%d:%s>" % (i, b"x" * (i % 37))
            clients[-1].type(line)
            typed += line
            terminal.print(b"[%d]" % i)
            printed += b"[%d]" % i
            clients.append(daemon.attach(path=terminal.path, flags=cw.FORCE))
            terminal.hear()
            if len(clients) > 8:
                old = clients.pop(0)
                old.read_until(b"[%d]" % i)
                assert printed[-len(old.seen):].endswith(old.seen)
                old.close()
        clients[-1].type(b"END")
        terminal.hear_until(b"END")
        assert terminal.heard == typed + b"END"
        for client in clients[:-1]:
            client.read_until(b"[99]")
            assert printed.endswith(client.seen)
    finally:
        for client in clients:
            client.close()


def test_what_the_guest_does_not_take_is_dropped_after_a_second_and_counted(daemon, terminal):
    with daemon.attach(path=terminal.path) as first:
        first.type(b"x" * 150000)
        with daemon.attach(path=terminal.path, flags=cw.FORCE) as second:
            notice = first.await_notice(cw.DISPLACED, timeout=10)
            assert 0 < notice.count < 150000
            second.type(b"now me")
            terminal.hear_until(b"now me")
            assert len(terminal.heard) == 150000 - notice.count + len(b"now me")


def test_what_was_typed_reaches_the_guest_though_its_writer_is_gone(daemon, terminal):
    client = daemon.attach(path=terminal.path)
    client.type(b"y" * 30000 + b"last")
    client.close()
    terminal.hear_until(b"last")
    assert len(terminal.heard) == 30004
    daemon.until_free()


def test_output_of_a_kept_console_is_replayed_with_times(daemon, terminal):
    daemon.attach(path=terminal.path, flags=cw.KEEP).close()
    terminal.print(b"".join(b"line %d\r\n" % n for n in range(100)))
    until(lambda: daemon.consoles()[0].head == 890, "all lines", 10)
    with daemon.attach(path=terminal.path, replay=10) as client:
        assert client.read_until(b"line 99\r\n").startswith(b"line 90\r\n")
        assert client.live == 890 and client.position == 890 - 90
        assert client.marks and client.marks[0][1] > 0


def test_a_watcher_that_is_stuck_holds_up_nobody_and_is_told_what_it_missed(consoled, terminal):
    daemon = consoled(conf="scrollback = 64\n")
    with daemon.attach(path=terminal.path) as quick, \
            daemon.attach(path=terminal.path, flags=cw.WATCH) as stuck:
        data = b"".join(b"%07d\n" % n for n in range(150000))
        at = 0
        while at < len(data):
            terminal.print(data[at:at + 30000])
            at += 30000
            until(lambda: quick.read_some(1) is None or len(quick.seen) >= min(at, len(data)),
                  "the reader", 10)
        assert quick.seen == data
        stuck.read_until(data[-1000:])
        skipped = stuck.await_notice(cw.SKIPPED)
        before, after = stuck.seen[:skipped.position], stuck.seen[skipped.position:]
        assert before == data[:skipped.position]
        assert after == data[skipped.position + skipped.count:]


def test_the_end_of_the_device_is_the_end_of_the_stream_behind_its_last_byte(daemon, terminal):
    with daemon.attach(path=terminal.path) as client:
        terminal.print(b"goodbye")
        client.read_until(b"goodbye")
        terminal.close()
        assert client.read_to_end() == b"goodbye"
        assert client.await_notice(cw.IS_ENDED).position == 7
        assert daemon.consoles()[0].state == cw.ENDED
    daemon.until_free()


def test_a_registered_console_is_held_until_its_vm_is_dead(daemon, terminal, nursery):
    vm = nursery.spawn(["sleep", "1000"])
    state, _ = cw.register(daemon.socket, "web1", "serial0", terminal.path, vm.pid)
    assert state == cw.HELD
    terminal.print(b"nobody is there\r\n")
    until(lambda: daemon.consoles()[0].head, "the first bytes", 10)
    with daemon.attach(vm="web1", replay=5) as client:
        client.read_until(b"nobody is there")
        assert client.entry.vm == "web1" and client.entry.device == "serial0"
        vm.kill()
        vm.wait()
        client.read_to_end()
        assert "VM has ended" in client.await_notice(cw.IS_ENDED).text
    daemon.until_free()


def test_a_vm_that_is_not_known_is_an_error_that_says_so(daemon):
    for how in ({"vm": "nobody"}, {"path": "/dev/pts/99999"}, {"path": "/etc/passwd"},
                {"path": "relative"}, {}):
        with pytest.raises(cw.Refused) as refusal:
            daemon.attach(**how)
        assert refusal.value.text, how
    assert daemon.consoles() == []


def test_the_read_only_socket_watches_what_is_held_and_nothing_else(daemon, terminal):
    def watch(**how):
        return cw.Client(daemon.socket_ro, **how)

    for flags in (0, cw.WATCH, cw.FORCE | cw.ONLY_HELD):
        with pytest.raises(cw.Refused):
            watch(path=terminal.path, flags=flags)
    with daemon.attach(path=terminal.path), \
            watch(path=terminal.path, flags=cw.WATCH | cw.ONLY_HELD) as watcher:
        terminal.print(b"seen")
        watcher.read_until(b"seen")
        with pytest.raises(cw.Refused):
            watcher.socket_path = daemon.socket
            watcher.act(cw.TAKE, cw.FORCE)


def test_a_size_reaches_the_terminal(daemon, terminal):
    import fcntl
    import struct
    import termios
    with daemon.attach(path=terminal.path) as client:
        client.act(cw.SIZE, rows=50, columns=132)
        raw = fcntl.ioctl(terminal.master, termios.TIOCGWINSZ, bytes(8))
        assert struct.unpack("HHHH", raw)[:2] == (50, 132)
        with pytest.raises(cw.Refused):
            client.act(cw.BREAK)


NOBODY = 65534


def as_nobody(daemon, code):
    """What a program of a user without any right prints."""
    lib = os.path.join(os.path.dirname(__file__), "..", "lib")
    head = (f"import sys; sys.path.insert(0, {lib!r})\n"
            "from hftest import console_wire as cw\n"
            f"sock = {daemon.socket!r}\n")
    done = subprocess.run(
        ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--",
         sys.executable, "-B", "-c", head + textwrap.dedent(code)],
        capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be somebody else as well")
def test_others_use_registered_consoles_and_open_nothing(consoled, terminal, nursery):
    daemon = consoled(conf='unix_sock_group = "nogroup"\nunix_sock_rw_perms = "0770"\n')
    os.chmod(f"{daemon.run_dir}/holdfast", 0o755)
    vm = nursery.spawn(["sleep", "1000"])
    with lib.Terminal() as other:
        cw.register(daemon.socket, "web1", "serial0", terminal.path, vm.pid)
        daemon.attach(path=other.path, flags=cw.KEEP).close()
        said = as_nobody(daemon, f"""
            with cw.Client(sock, vm="web1") as client:
                client.type(b"hello")
                print(client.entry.writer, len(cw.consoles(sock)))
            for how in ({{"path": {other.path!r}}}, {{"path": "/dev/tty1"}}):
                try:
                    cw.Client(sock, **how)
                except cw.Refused as refusal:
                    print("refused:", refusal.text)
            try:
                cw.register(sock, "web2", "serial0", "/dev/tty1", 1)
            except cw.Refused as refusal:
                print("refused:", refusal.text)
        """)
        terminal.hear_until(b"hello")
        assert said.count("refused:") == 3 and "only root may open others" in said, said
        assert "console-register is for root alone" in said


def test_more_consoles_and_clients_than_may_be_are_refused_with_a_reason(consoled, terminal):
    daemon = consoled(conf="max_consoles = 1\nmax_clients = 3\n")
    with daemon.attach(path=terminal.path), lib.Terminal() as other:
        with pytest.raises(cw.Refused, match="max_consoles"):
            daemon.attach(path=other.path)
        with daemon.attach(path=terminal.path, flags=cw.WATCH), \
                daemon.attach(path=terminal.path, flags=cw.WATCH):
            with pytest.raises(cw.Refused, match="max_clients"):
                daemon.attach(path=terminal.path, flags=cw.WATCH)


def test_the_same_vm_again_on_another_terminal_replaces_its_console(daemon, terminal, nursery):
    vm, again = nursery.spawn(["sleep", "1000"]), nursery.spawn(["sleep", "1000"])
    with lib.Terminal() as other:
        cw.register(daemon.socket, "web1", "serial0", terminal.path, vm.pid)
        with daemon.attach(vm="web1") as old:
            assert cw.register(daemon.socket, "web1", "serial0", other.path, again.pid)[0] == \
                cw.HELD
            old.read_to_end()
            with daemon.attach(vm="web1") as new:
                other.print(b"second")
                new.read_until(b"second")


def test_a_socket_of_a_guest_is_a_console_too(daemon, folder):
    path = os.path.join(folder, "chardev")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(1)
        with daemon.attach(path=path) as client:
            guest, _ = listener.accept()
            with guest:
                guest.sendall(b"from the guest")
                client.read_until(b"from the guest")
                client.type(b"to the guest")
                assert guest.recv(100) == b"to the guest"
            client.read_to_end()


def test_requests_that_make_no_sense_are_errors(daemon, terminal):
    with daemon.attach(path=terminal.path) as client:
        with pytest.raises(cw.Refused, match="act 9"):
            client.act(9)
        token, client.token = client.token, 12345
        with pytest.raises(cw.Refused, match="token"):
            client.act(cw.YIELD)
        client.token = token
        for proc, payload in ((cw.NOTICES, b""), (99, b""), (cw.ATTACH, b"\xff" * 40),
                              (cw.LIST, struct.pack(">II", 0xffffffff, 0x80))):
            with cw.connect(daemon.socket) as other, pytest.raises(cw.Refused):
                cw.call(other, proc, payload)
        client.type(b"fine")
        terminal.hear_until(b"fine")


def test_a_session_daemon_that_nobody_uses_ends_and_one_with_a_console_does_not(consoled,
                                                                                terminal):
    daemon = consoled(args=["-t", "1"])
    with daemon.attach(path=terminal.path):
        time.sleep(1.5)
        assert daemon.alive
    assert daemon.wait() == 0


def test_a_daemon_that_was_stopped_has_given_all_back_when_it_is_gone(consoled, terminal):
    for n in range(3):
        daemon = consoled(f"c{n}")
        daemon.attach(path=terminal.path, flags=cw.KEEP).close()
        assert len(os.listdir(daemon.locks)) == 3
        daemon.stop()
        assert os.listdir(daemon.locks) == []


def test_mistakes_in_the_settings_and_options_end_it_with_a_reason(nursery, folder):
    for argv, conf, words in (
            (["-f", "CONF"], "scrollback = 1\n", "daemon.conf:2: "),
            (["-f", "DIR/none"], "", "none"),
            (["--frob"], "", "frob"), (["word"], "", "unexpected argument"),
            (["-f", "CONF"], 'unix_sock_group = "no-such-group"\n', "no-such-group")):
        status, said = lib.Consoled.outcome(nursery, os.path.join(folder, "x"), argv, conf=conf)
        assert status != 0 and words in said, (argv, said)


def test_a_second_daemon_in_the_same_place_ends_and_the_first_serves_on(daemon, nursery):
    status, said = lib.Consoled.outcome(nursery, daemon.directory, ["-v"])
    assert status == 1 and "pid" in said, said
    assert daemon.consoles() == []


def test_it_serves_without_a_supervisor_too(consoled, terminal):
    daemon = consoled(args=["--no-supervisor"])
    with daemon.attach(path=terminal.path) as client:
        terminal.print(b"here")
        client.read_until(b"here")
        client.type(b"there")
        terminal.hear_until(b"there")
    daemon.stop()
    assert os.listdir(daemon.locks) == []
