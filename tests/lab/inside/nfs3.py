# SPDX-License-Identifier: LGPL-2.1-or-later
"""What NFSv3 needs beside nfsd: a port mapper that agrees to everything, and a mountd that hands
out the root of the export. Files can be used by mounts made with its help; locks on them cannot
be taken, but for those that stay with their host.

Only the little of Sun RPC that the kernel of a guest sends is understood here.
"""

import os
import socket
import struct
import threading

from .machine import load, put

MOUNTD_PORT = 20048
PORT_MAPPER = "/run/rpcbind.sock"
PORT_MAPPER_PORT = 111
# Where the kernel's own lock service is to be.
LOCKS_PORT = 4045
PORT_MAPPER_PROGRAM, MOUNT_PROGRAM, LOCKS_PROGRAM = 100000, 100005, 100021
GETPORT, MNT = 3, 1
LAST_FRAGMENT = 0x80000000
# How nfsd calls the root of an export that has an fsid of its own, 0.
ROOT_HANDLE = bytes([1, 0, 1, 0, 0, 0, 0, 0])
AUTH_SYS = 1


def mapped(call, procedure):
    """What the port mapper says: yes, or a port."""
    # Behind the header and two words with their length: who asks, and the proof of it.
    at = 24
    for _ in range(2):
        at += 8 + struct.unpack_from(">I", call, at + 4)[0]
    if procedure == GETPORT and struct.unpack_from(">I", call, at)[0] == LOCKS_PROGRAM:
        return LOCKS_PORT
    return 1


def answer(call):
    """The reply to one call: accepted, without a verifier, successful; then what it asks for."""
    xid, _, _, program, _, procedure = struct.unpack_from(">6I", call)
    result = b""
    if program == PORT_MAPPER_PROGRAM and procedure:
        result = struct.pack(">I", mapped(call, procedure))
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


def set_lock_service():
    """Who had locks is waited for at its start, too, and nobody opens a file meanwhile."""
    load("lockd")
    put("/proc/sys/fs/nfs/nlm_tcpport", f"{LOCKS_PORT}\n")
    put("/proc/sys/fs/nfs/nlm_timeout", "3\n")
    put("/proc/sys/fs/nfs/nlm_grace_period", "1\n")


def start(shared):
    """Both, until the job ends. Before nfsd, which asks the port mapper first of all.

    shared is a folder that all hosts see.
    """
    set_lock_service()
    mapper = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mapper.bind(f"{shared}/rpcbind")
    os.symlink(f"{shared}/rpcbind", PORT_MAPPER)
    servers = [socket.create_server(("", port)) for port in (PORT_MAPPER_PORT, MOUNTD_PORT)]
    for listener in (mapper, *servers):
        listener.listen()
        threading.Thread(target=listen, args=(listener,), daemon=True).start()
