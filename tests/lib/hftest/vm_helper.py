# SPDX-License-Identifier: LGPL-2.1-or-later
"""The process behind processes.Vm: obeys one JSON line after another, ends with its input.

Started isolated and without site packages, because a test starts dozens of them.
"""

import fcntl
import json
import os
import select
import signal
import socket
import struct
import sys

F_OFD_SETLK = 37

leash = int(sys.argv[1])
connections = []


def connect(path):
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.connect(path)
    connections.append(sock)
    return len(connections) - 1


def send(conn, data):
    try:
        connections[conn].sendall(bytes.fromhex(data))
        return True
    except (BrokenPipeError, ConnectionResetError):
        return False


def receive(conn, count, timeout):
    waiter = select.poll()
    waiter.register(connections[conn], select.POLLIN)
    if not waiter.poll(timeout * 1000):
        return None
    try:
        return connections[conn].recv(count).hex()
    except ConnectionResetError:
        return ""


def half_close(conn):
    connections[conn].shutdown(socket.SHUT_WR)


def close(conn):
    connections[conn].close()


def ignore(signals):
    for number in signals:
        signal.signal(number, signal.SIG_IGN)


def open_file(path, flags):
    return os.open(path, flags)


def close_file(fd):
    os.close(fd)


def lock(path, ofd, mode, start, length):
    fd = os.open(path, os.O_RDWR)
    request = struct.pack("hhqqi4x", mode, os.SEEK_SET, start, length, 0)
    fcntl.fcntl(fd, F_OFD_SETLK if ofd else fcntl.F_SETLK, request)
    return fd


def fork():
    pid = os.fork()
    if pid:
        return pid
    os.close(0)
    os.close(1)
    os.read(leash, 1)
    os._exit(0)


VERBS = {
    "connect": connect, "send": send, "receive": receive, "half_close": half_close,
    "close": close, "ignore": ignore, "open": open_file, "close_file": close_file, "lock": lock,
    "fork": fork,
}

for line in sys.stdin.buffer:
    verb, arguments = json.loads(line)
    try:
        answer = {"value": VERBS[verb](**arguments)}
    except OSError as fault:
        answer = {"error": str(fault), "errno": fault.errno}
    sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n")
    sys.stdout.buffer.flush()
