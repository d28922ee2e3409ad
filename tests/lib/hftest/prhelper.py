# SPDX-License-Identifier: LGPL-2.1-or-later
"""PR helpers, ours and QEMU's own, and a client that speaks their protocol byte by byte.

It runs in the lab's guests too, so it uses nothing beyond the standard library; what
starts processes takes a nursery (processes.py) where there is one.
"""

import array
import os
import shutil
import signal
import socket
import struct
import subprocess
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
OURS = os.path.join(os.environ.get("HF_BUILD", os.path.join(TOP, "build")),
                    "src/prhelper/holdfast-pr-helper")
STOCK = "qemu-pr-helper"

START_DEADLINE = 30.0
STOP_DEADLINE = 15.0
ANSWER_DEADLINE = 20.0
POLL = 0.002

PR_IN, PR_OUT = 0x5E, 0x5F
READ_KEYS, READ_RESERVATION, REPORT_CAPABILITIES, READ_FULL_STATUS = range(4)
(REGISTER, RESERVE, RELEASE, CLEAR, PREEMPT, PREEMPT_AND_ABORT, REGISTER_AND_IGNORE,
 REGISTER_AND_MOVE, REPLACE_LOST) = range(9)
GOOD, CHECK, BUSY, CONFLICT = 0, 2, 8, 0x18
FRAME = 104


def cdb(opcode, action=0, length=0, kind=0, scope=0, **bytes_at):
    """16 bytes; bytes_at: b1=0xe0 and so on are or-ed in."""
    raw = bytearray(16)
    raw[0], raw[1], raw[2] = opcode, action, scope << 4 | kind
    raw[7:9] = length.to_bytes(2, "big")
    for name, value in bytes_at.items():
        raw[int(name[1:])] |= value
    return bytes(raw)


def pr_in(action, length=8192, **more):
    return cdb(PR_IN, action, length, **more)


def pr_out(action, kind=0, length=24, **more):
    return cdb(PR_OUT, action, length, kind, **more)


def parameters(key=0, new_key=0, flags=0):
    """The 24 bytes of an OUT command's list."""
    return struct.pack(">QQ4xB3x", key, new_key, flags)


class Answer:
    """The 104 bytes that a helper sends, and the data behind them."""

    def __init__(self, frame, data=b""):
        self.frame = frame
        self.data = data
        self.status, self.size = struct.unpack(">ii", frame[:8])
        self.sense = frame[8:]

    @property
    def why(self):
        """Sense as "5/24/00", or None where the status is not about any."""
        if self.status != CHECK:
            return None
        if self.sense[0] & 0x7E == 0x72:
            key, asc, ascq = self.sense[1] & 15, self.sense[2], self.sense[3]
        else:
            key, asc, ascq = self.sense[2] & 15, self.sense[12], self.sense[13]
        return f"{key:X}/{asc:02X}/{ascq:02X}"

    @property
    def keys(self):
        """Of READ KEYS: those that came."""
        length = int.from_bytes(self.data[4:8], "big")
        return [int.from_bytes(self.data[i:i + 8], "big")
                for i in range(8, min(8 + length, len(self.data) - 7), 8)]

    @property
    def generation(self):
        return int.from_bytes(self.data[:4], "big")

    @property
    def reservation(self):
        """Of READ RESERVATION: (key, type), or None."""
        if len(self.data) < 24:
            return None
        return int.from_bytes(self.data[8:16], "big"), self.data[21] & 15

    def __eq__(self, other):
        return isinstance(other, Answer) and self.frame == other.frame and self.data == other.data

    def __repr__(self):
        return f"<{self.status:02x} {self.why or ''} {self.size}: {self.data.hex()}>"


class Client:
    """One connection. Every method that waits fails after a deadline, it never hangs."""

    def __init__(self, path, features=0, greet=True):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(ANSWER_DEADLINE)
        self.socket.connect(path)
        self.offered = None
        if greet:
            self.greet(features)

    def greet(self, features=0):
        self.offered = self.receive(4)
        self.send(struct.pack(">I", features))

    def send(self, data, *fds):
        """The bytes in one message, with descriptors if there are any."""
        cargo = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        return self.socket.sendmsg([data], cargo, socket.MSG_NOSIGNAL)

    def receive(self, count):
        """That many bytes, or fewer if the helper closes; then b"" from then on."""
        got = b""
        while len(got) < count:
            try:
                more = self.socket.recv(count - len(got))
            except ConnectionResetError:
                break
            if not more:
                break
            got += more
        return got

    def answer(self, opcode):
        """The next answer, or None where the helper closed instead."""
        frame = self.receive(FRAME)
        if not frame:
            return None
        assert len(frame) == FRAME, f"{len(frame)} bytes of a frame, then the end"
        answer = Answer(frame)
        if opcode == PR_IN and answer.status == GOOD and answer.size > 0:
            answer.data = self.receive(answer.size)
            assert len(answer.data) == answer.size, answer
        return answer

    def ask(self, command, fd, data=b""):
        """One request as QEMU sends it. Returns an Answer, or None where the helper closed."""
        try:
            self.send(command, fd)
            if data:
                self.send(data)
        except (BrokenPipeError, ConnectionResetError):
            return None
        return self.answer(command[0])

    def read(self, fd, action, length=8192, **more):
        return self.ask(pr_in(action, length, **more), fd)

    def write(self, fd, action, key=0, new_key=0, kind=0, flags=0, **more):
        return self.ask(pr_out(action, kind, 24, **more), fd, parameters(key, new_key, flags))

    def is_closed(self):
        """The helper has closed; waits for it, and fails where it sends something or waits on."""
        return self.receive(1) == b""

    def half_close(self):
        self.socket.shutdown(socket.SHUT_WR)

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Helper:
    """A running helper, ours unless `stock`. It serves `socket` in the folder when this returns."""

    def __init__(self, folder, stock=False, nursery=None, args=(), config=None, name=None,
                 wrapper=(), env=None, start=True, own_socket=True):
        os.makedirs(folder, exist_ok=True)
        self.stock = stock
        self.name = name or ("stock" if stock else "ours")
        self.socket = os.path.join(folder, f"{self.name}.sock")
        self.logfile = os.path.join(folder, f"{self.name}.log")
        self.conf = os.path.join(folder, f"{self.name}.conf")
        self.nursery = nursery
        self.program = [shutil.which(STOCK) or STOCK] if stock else [OURS]
        self.wrapper = list(wrapper)
        self.env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOLDFAST_RUN_DIR": folder, **(env or {})}
        self.args = list(args)
        if own_socket:
            self.args += ["-k", self.socket]
        if not stock:
            # Never the machine's own.
            with open(self.conf, "w", encoding="utf-8") as out:
                out.write(config or "")
            self.args += ["--config", self.conf]
        self.process = None
        if start:
            self.start()

    @property
    def pid(self):
        return self.process.pid

    def spawn(self, argv, **how):
        if self.nursery:
            return self.nursery.spawn(argv, **how)
        return subprocess.Popen(argv, **how)

    def start(self, wait=True, **how):
        with open(self.logfile, "ab") as log:
            self.process = self.spawn([*self.wrapper, *self.program, *self.args],
                                      stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                      env=self.env, **how)
        if wait:
            self.await_answering()
        return self

    def await_answering(self):
        end = time.monotonic() + START_DEADLINE
        while True:
            try:
                Client(self.socket).close()
                return
            except (FileNotFoundError, ConnectionRefusedError):
                assert self.process.poll() is None, \
                    f"{self.name} ended with {self.process.returncode} at start:\n{self.log()}"
                assert time.monotonic() < end, f"{self.name} serves no socket:\n{self.log()}"
                time.sleep(POLL)

    def client(self, **how):
        return Client(self.socket, **how)

    def ask(self, path, command, data=b"", flags=os.O_RDWR):
        """One request on a connection and a descriptor of its own."""
        fd = os.open(path, flags | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            with self.client() as client:
                return client.ask(command, fd, data)
        finally:
            os.close(fd)

    @property
    def children(self):
        """The processes of the connections and backends."""
        try:
            with open(f"/proc/{self.pid}/task/{self.pid}/children", encoding="ascii") as text:
                return [int(word) for word in text.read().split()]
        except (FileNotFoundError, ProcessLookupError):
            return []

    @property
    def alive(self):
        return self.process.poll() is None

    def log(self):
        with open(self.logfile, encoding="utf-8", errors="replace") as text:
            return text.read()[-8000:]

    def wait(self, timeout=STOP_DEADLINE):
        return self.process.wait(timeout)

    def kill(self):
        self.process.kill()
        return self.process.wait(STOP_DEADLINE)

    def stop(self, number=signal.SIGTERM):
        """Returns the exit status."""
        if self.alive:
            self.process.send_signal(number)
        return self.process.wait(STOP_DEADLINE)
