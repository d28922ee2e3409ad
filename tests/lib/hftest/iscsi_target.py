# SPDX-License-Identifier: LGPL-2.1-or-later
"""A small iSCSI target (RFC 7143) in front of a PR helper.

The disk is memory. PERSISTENT RESERVE goes to a helper, where each initiator name is a nexus of its
own, and before each other command the target looks there whether the initiator may do it: what a
disk with reservations does, and what nobody does where only the helper has them. So a test suite
for disks can judge the helper.

One connection a session, no authentication, no digests; a thread for each connection.
"""

import os
import socket
import struct
import threading

from .prhelper import CHECK, CONFLICT, GOOD, PR_IN, PR_OUT, READ_FULL_STATUS

BLOCK = 512
BLOCKS = 2048
TARGET = "iqn.2025-01.invalid.holdfast:target"
PR_MAX = 8192
THREAD_DEADLINE = 10

NOP_OUT, COMMAND, TASK, LOGIN, TEXT, DATA_OUT, LOGOUT = range(7)
NOP_IN, RESPONSE, TASK_DONE, LOGGED_IN, TEXT_DONE, DATA_IN, LOGGED_OUT = range(0x20, 0x27)
R2T, REJECT = 0x31, 0x3F

# Told to whoever asks, whatever is reserved, and without telling unit attentions.
FREE = {0x12, 0xA0, 0x03}
WRITES = {0x0A, 0x2A, 0x2E, 0xAA, 0xAE, 0x8A, 0x8E, 0x41, 0x93, 0x42, 0x89, 0x04, 0x35, 0x91}
READS = {0x08, 0x28, 0xA8, 0x88, 0x34, 0x90, 0x2F, 0xAF, 0x8F}
# Types by what they keep others from, and whether registrants are among these others.
EXCLUSIVE_ACCESS = {3, 6, 8}
FOR_REGISTRANTS = {5, 6, 7, 8}


def sense(key, code):
    return bytes([0x70, 0, key, 0, 0, 0, 0, 10, 0, 0, 0, 0, code >> 8, code & 0xFF, 0, 0, 0, 0])


def pad(data):
    return data + bytes(-len(data) % 4)


class Refused(Exception):
    """A command's status, and sense for CHECK CONDITION."""

    def __init__(self, status, why=b""):
        super().__init__(status)
        self.status, self.why = status, why


class Session:
    """One connection of an initiator, from login to logout."""

    def __init__(self, target, connection):
        self.target, self.socket = target, connection
        self.initiator, self.stat_sn, self.exp_sn = "", 1, 0
        self.helper = None

    def close(self):
        self.socket.close()
        if self.helper:
            self.helper.close()

    # ---- PDUs ----------------------------------------------------------------------------

    def receive(self, count):
        data = b""
        while len(data) < count:
            more = self.socket.recv(count - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def pdu(self):
        head = self.receive(48)
        length = int.from_bytes(head[5:8], "big")
        data = self.receive(head[4] * 4 + length + -length % 4)[head[4] * 4:]
        return head, data[:length]

    def send(self, opcode, flags, tag, rest, data=b"", status=True):
        """rest: bytes 8-15 (lun or reserved), then 20-47 without 24-35, which are the numbers."""
        head = bytearray(48)
        head[0], head[1] = opcode, flags
        head[5:8] = len(data).to_bytes(3, "big")
        head[16:20] = tag
        for at, value in rest.items():
            head[at:at + len(value)] = value
        struct.pack_into(">III", head, 24, self.stat_sn if status else 0, self.exp_sn,
                         self.exp_sn + 32)
        if status:
            self.stat_sn += 1
        self.socket.sendall(bytes(head) + pad(data))

    # ---- the session ---------------------------------------------------------------------

    def run(self):
        handlers = {NOP_OUT: self.nop, COMMAND: self.command, TASK: self.task, LOGIN: self.login,
                    TEXT: self.text, LOGOUT: self.logout}
        while True:
            head, data = self.pdu()
            opcode = head[0] & 0x3F
            if not head[0] & 0x40 and opcode not in (DATA_OUT,):
                self.exp_sn = (int.from_bytes(head[24:28], "big") + 1) & 0xFFFFFFFF
            elif opcode == LOGIN:
                self.exp_sn = int.from_bytes(head[24:28], "big")
            handlers[opcode](head, data)

    def login(self, head, data):
        keys = dict(item.split(b"=", 1) for item in data.split(b"\0") if b"=" in item)
        self.initiator = keys.get(b"InitiatorName", self.initiator.encode()).decode()
        answers = {b"HeaderDigest": b"None", b"DataDigest": b"None", b"AuthMethod": b"None",
                   b"InitialR2T": b"Yes", b"ImmediateData": b"Yes", b"MaxBurstLength": b"262144",
                   b"FirstBurstLength": b"65536", b"MaxConnections": b"1",
                   b"MaxRecvDataSegmentLength": b"262144", b"DefaultTime2Wait": b"0",
                   b"DefaultTime2Retain": b"0", b"MaxOutstandingR2T": b"1",
                   b"ErrorRecoveryLevel": b"0", b"DataPDUInOrder": b"Yes",
                   b"DataSequenceInOrder": b"Yes"}
        text = b"".join(key + b"=" + answers[key] + b"\0" for key in keys if key in answers)
        if b"TargetName" in keys:
            text += b"TargetPortalGroupTag=1\0"
        if head[1] & 0x80 and head[1] & 3 == 3:
            self.helper = self.target.connect(self.initiator)
        self.send(LOGGED_IN, head[1] & 0x8F, head[16:20],
                  {8: head[8:14] + (b"\0\1" if head[1] & 0x80 else head[14:16])}, text)

    def nop(self, head, data):
        if head[16:20] != b"\xff\xff\xff\xff":
            self.send(NOP_IN, 0x80, head[16:20], {8: head[8:16], 20: b"\xff" * 4}, data)

    def text(self, head, _):
        where = "%s:%d,1" % self.target.address
        self.send(TEXT_DONE, 0x80, head[16:20], {20: b"\xff" * 4},
                  f"TargetName={TARGET}\0TargetAddress={where}\0".encode())

    def task(self, head, _):
        self.send(TASK_DONE, 0x80, head[16:20], {})

    def logout(self, head, _):
        self.send(LOGGED_OUT, 0x80, head[16:20], {})
        raise EOFError

    # ---- commands ------------------------------------------------------------------------

    def command(self, head, data):
        expected = int.from_bytes(head[20:24], "big")
        if head[1] & 0x20 and len(data) < expected:
            data = self.solicit(head, data, expected)
        status, why, answer = GOOD, b"", b""
        try:
            answer = self.target.execute(self.helper, head[8:16], head[32:48], data)
        except Refused as refused:
            status, why = refused.status, refused.why
        if head[1] & 0x40 and answer:
            self.give(head, answer[:expected])
        flags, residual = 0x80, 0
        moved = len(answer) if head[1] & 0x40 else len(data) if head[1] & 0x20 else 0
        if moved < expected:
            flags, residual = 0x82, expected - moved
        elif moved > expected:
            flags, residual = 0x84, moved - expected
        self.send(RESPONSE, flags, head[16:20], {2: bytes([0, status]),
                                                 44: residual.to_bytes(4, "big")},
                  len(why).to_bytes(2, "big") + why if why else b"")

    def give(self, head, answer):
        for number, at in enumerate(range(0, len(answer), 8192)):
            piece = answer[at:at + 8192]
            last = at + len(piece) == len(answer)
            self.send(DATA_IN, 0x80 if last else 0, head[16:20],
                      {20: b"\xff" * 4, 36: struct.pack(">II", number, at)}, piece, status=False)

    def solicit(self, head, data, expected):
        self.send(R2T, 0x80, head[16:20],
                  {8: head[8:16], 20: b"\0\0\0\1",
                   36: struct.pack(">III", 0, len(data), expected - len(data))}, status=False)
        while len(data) < expected:
            piece, more = self.pdu()
            assert piece[0] & 0x3F == DATA_OUT, piece
            data += more
        return data


class Target:
    """Serves on 127.0.0.1; connect(name) gives a client of the helper for that initiator."""

    def __init__(self, connect):
        self.connect = connect
        self.disk = bytearray(BLOCK * BLOCKS)
        self.file = os.open("/dev/null", os.O_RDWR)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = self.listener.getsockname()
        self.sessions, self.threads = [], []
        self.begin(self.accept)

    @property
    def url(self):
        return "iscsi://%s:%d/%s/0" % (*self.address, TARGET)

    def use(self, path):
        """The file whose descriptor goes to the helper."""
        os.close(self.file)
        self.file = os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def begin(self, what, *args):
        thread = threading.Thread(target=what, args=args, daemon=True)
        self.threads.append(thread)
        thread.start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.sessions.append(connection)
            self.begin(self.serve, connection)

    def serve(self, connection):
        session = Session(self, connection)
        try:
            session.run()
        except (EOFError, ConnectionError):
            pass
        finally:
            session.close()

    def close(self):
        """Wakes every thread and waits for it: a number that is free again shall be nobody's."""
        for sleeper in (self.listener, *self.sessions):
            try:
                sleeper.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for thread in self.threads:
            thread.join(THREAD_DEADLINE)
        self.listener.close()
        os.close(self.file)

    # ---- the disk ------------------------------------------------------------------------

    def execute(self, helper, lun, cdb, data):
        """The data of a command; Refused for any status but good."""
        if cdb[0] in (PR_IN, PR_OUT):
            # As QEMU does it: a helper carries no more.
            length = min(int.from_bytes(cdb[7:9], "big"), PR_MAX)
            cdb = cdb[:7] + length.to_bytes(2, "big") + cdb[9:]
            return self.judge(helper.ask(cdb, self.file, data[:length])).data
        if lun != bytes(8) and cdb[0] not in (0x12, 0xA0):
            raise Refused(CHECK, sense(5, 0x2500))
        if cdb[0] not in FREE:
            self.check_access(helper, cdb[0])
        return self.plain(cdb, data)

    @staticmethod
    def judge(answer):
        assert answer is not None, "the helper closed the connection"
        if answer.status == CHECK:
            raise Refused(CHECK, answer.sense[:18])
        if answer.status != GOOD:
            raise Refused(answer.status)
        return answer

    def check_access(self, helper, opcode):
        status = self.judge(helper.read(self.file, READ_FULL_STATUS)).data
        at, end, mine, kind = 8, 8 + int.from_bytes(status[4:8], "big"), None, 0
        while at < end:
            length = int.from_bytes(status[at + 20:at + 24], "big")
            name = status[at + 28:at + 24 + length].rstrip(b"\0").rpartition(b",i,")[0]
            holder = status[at + 12] & 1
            if holder:
                kind = status[at + 13] & 15
            if name.endswith(helper.nexus.encode()):
                mine = bool(holder)
            at += 24 + length
        if kind == 0 or mine or (mine is not None and kind in FOR_REGISTRANTS):
            return
        if opcode in WRITES or (opcode in READS and kind in EXCLUSIVE_ACCESS):
            raise Refused(CONFLICT)

    def plain(self, cdb, data):
        opcode = cdb[0]
        if opcode in (0x00, 0x35, 0x91):
            return b""
        if opcode == 0x12:
            return self.inquiry(cdb)
        if opcode == 0xA0:
            return struct.pack(">II", 8, 0) + bytes(8)
        if opcode == 0x03:
            return sense(0, 0)
        if opcode == 0x25:
            return struct.pack(">II", BLOCKS - 1, BLOCK)
        if opcode == 0x9E and cdb[1] & 31 == 0x10:
            return (struct.pack(">QI", BLOCKS - 1, BLOCK) + bytes(20))[
                :int.from_bytes(cdb[10:14], "big")]
        if opcode == 0x1A:
            return bytes([3, 0, 0, 0])[:cdb[4]]
        if opcode in (0x28, 0x2A):
            return self.move(int.from_bytes(cdb[2:6], "big"), int.from_bytes(cdb[7:9], "big"),
                             data if opcode == 0x2A else None)
        if opcode in (0x88, 0x8A):
            return self.move(int.from_bytes(cdb[2:10], "big"), int.from_bytes(cdb[10:14], "big"),
                             data if opcode == 0x8A else None)
        raise Refused(CHECK, sense(5, 0x2000))

    def move(self, block, count, data):
        if block + count > BLOCKS:
            raise Refused(CHECK, sense(5, 0x2100))
        if data is None:
            return bytes(self.disk[block * BLOCK:(block + count) * BLOCK])
        self.disk[block * BLOCK:(block + count) * BLOCK] = data[:count * BLOCK]
        return b""

    @staticmethod
    def inquiry(cdb):
        room = int.from_bytes(cdb[3:5], "big")
        if not cdb[1] & 1:
            return (bytes([0, 0, 6, 2, 31, 0, 0, 2]) + b"HOLDFAST" + b"TARGET          " +
                    b"0001")[:room]
        pages = {0x00: bytes([0x00, 0x83]),
                 0x83: bytes([1, 3, 0, 8]) + b"\x30\0\0\0\0\0\0\1"}
        if cdb[2] not in pages:
            raise Refused(CHECK, sense(5, 0x2400))
        return (bytes([0, cdb[2]]) + len(pages[cdb[2]]).to_bytes(2, "big") + pages[cdb[2]])[:room]
