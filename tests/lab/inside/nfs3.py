# SPDX-License-Identifier: LGPL-2.1-or-later
"""What NFSv3 needs beside nfsd: a port mapper that agrees to everything, and a mountd that hands
out the root of the export. Mounts made with its help have no locks beyond their host.

Only the little of Sun RPC that the kernel of a guest sends is understood here.
"""

import os
import socket
import struct
import threading

MOUNTD_PORT = 20048
PORT_MAPPER = "/run/rpcbind.sock"
PORT_MAPPER_PROGRAM, MOUNT_PROGRAM = 100000, 100005
MNT = 1
LAST_FRAGMENT = 0x80000000
# How nfsd calls the root of an export that has an fsid of its own, 0.
ROOT_HANDLE = bytes([1, 0, 1, 0, 0, 0, 0, 0])
AUTH_SYS = 1


def answer(call):
    """The reply to one call: accepted, without a verifier, successful; then what it asks for."""
    xid, _, _, program, _, procedure = struct.unpack_from(">6I", call)
    result = b""
    if program == PORT_MAPPER_PROGRAM and procedure:
        result = struct.pack(">I", 1)
    elif program == MOUNT_PROGRAM and procedure == MNT:
        result = struct.pack(">2I8s2I", 0, len(ROOT_HANDLE), ROOT_HANDLE, 1, AUTH_SYS)
    return struct.pack(">6I", xid, 1, 0, 0, 0, 0) + result


def receive(stream, size):
    data = b""
    while len(data) < size:
        piece = stream.recv(size - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data


def talk(stream):
    """Calls come as records of one fragment."""
    with stream:
        try:
            while True:
                size, = struct.unpack(">I", receive(stream, 4))
                reply = answer(receive(stream, size & ~LAST_FRAGMENT))
                stream.sendall(struct.pack(">I", LAST_FRAGMENT | len(reply)) + reply)
        except (EOFError, OSError):
            pass


def listen(listener):
    while True:
        stream, _ = listener.accept()
        threading.Thread(target=talk, args=(stream,), daemon=True).start()


def start():
    """Both, until the job ends. Before nfsd, which asks the port mapper first of all."""
    mapper = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mapper.bind(PORT_MAPPER)
    os.chmod(PORT_MAPPER, 0o666)
    mountd = socket.create_server(("", MOUNTD_PORT))
    for listener in (mapper, mountd):
        listener.listen()
        threading.Thread(target=listen, args=(listener,), daemon=True).start()
