# SPDX-License-Identifier: LGPL-2.1-or-later
"""A client of sanlock with nothing of ours in it: obeys one JSON line after another, ends with
its input. What libsanlock returns is the answer's "r", as it is.

A process can talk to one daemon only (SANLOCK_RUN_DIR), and is the holder of what it acquires with
its own connection. A lease is [LOCKSPACE, KEY, PATH, OFFSET].
"""

import ctypes as c
import json
import os
import signal
import socket
import sys

SOURCE_ENDS = 1  # PR_SET_PDEATHSIG
LVER, SHARED = 0x1, 0x4
ADD_ASYNC, INQ_WAIT = 0x1, 0x1
MAX_RESOURCES = 8


class Disk(c.Structure):
    _fields_ = [("path", c.c_char * 1024), ("offset", c.c_uint64), ("pad", c.c_uint32 * 2)]


class Resource(c.Structure):
    _fields_ = [("lockspace", c.c_char * 48), ("name", c.c_char * 48), ("lver", c.c_uint64),
                ("data64", c.c_uint64), ("data32", c.c_uint32), ("unused", c.c_uint32),
                ("flags", c.c_uint32), ("num_disks", c.c_uint32), ("disk", Disk)]


class Lockspace(c.Structure):
    _fields_ = [("name", c.c_char * 48), ("host_id", c.c_uint64), ("flags", c.c_uint32),
                ("disk", Disk)]


class Host(c.Structure):
    _fields_ = [("host_id", c.c_uint64), ("generation", c.c_uint64), ("timestamp", c.c_uint64),
                ("io_timeout", c.c_uint32), ("flags", c.c_uint32)]


lib = c.CDLL("libsanlock_client.so.1")
libc = c.CDLL(None)
sock = -1


def resource(lease, shared=False, version=None):
    lockspace, name, path, offset = lease
    made = Resource(lockspace=lockspace.encode(), name=name.encode(), num_disks=1,
                    disk=Disk(path=path.encode(), offset=offset))
    made.flags = SHARED if shared else 0
    if version is not None:
        made.flags |= LVER
        made.lver = version
    return made


def space(name, host_id, path, offset=0):
    return Lockspace(name=name.encode(), host_id=host_id,
                     disk=Disk(path=path.encode(), offset=offset))


def pointers(resources):
    return (c.POINTER(Resource) * len(resources))(*[c.pointer(r) for r in resources])


def register():
    global sock
    sock = lib.sanlock_register()
    return {"r": sock}


def restrict(flags=0x1):
    return {"r": lib.sanlock_restrict(sock, c.c_uint32(flags))}


def acquire(*leases, shared=False, version=None, flags=0x8, pid=0):
    """With the own connection, or for the pid. The flag is OWNER_NOWAIT."""
    wanted = [resource(lease, shared, version) for lease in leases]
    return {"r": lib.sanlock_acquire(-1 if pid else sock, pid, c.c_uint32(flags), len(wanted),
                                     pointers(wanted), None)}


def release(*leases, flags=0, pid=0):
    given = [resource(lease) for lease in leases]
    return {"r": lib.sanlock_release(-1 if pid else sock, pid, c.c_uint32(flags), len(given),
                                     pointers(given))}


def inquire(pid=0):
    count, text = c.c_int(), c.c_char_p()
    r = lib.sanlock_inquire(-1 if pid else sock, pid, c.c_uint32(0), c.byref(count), c.byref(text))
    return {"r": r, "n": count.value, "state": text.value.decode() if text.value else None}


def convert(lease, shared, flags=0x8, pid=0):
    wanted = resource(lease, shared)
    return {"r": lib.sanlock_convert(-1 if pid else sock, pid, c.c_uint32(flags),
                                     c.byref(wanted))}


def request(lease, mode=1):
    wanted = resource(lease)
    return {"r": lib.sanlock_request(c.c_uint32(1), c.c_uint32(mode), c.byref(wanted))}


def write_resource(lease):
    return {"r": lib.sanlock_write_resource(c.byref(resource(lease)), 0, 0, c.c_uint32(0))}


def read_resource(lease):
    wanted = resource(lease)
    r = lib.sanlock_read_resource(c.byref(wanted), c.c_uint32(0))
    return {"r": r, "lockspace": wanted.lockspace.decode(), "key": wanted.name.decode(),
            "version": wanted.lver}


def hosts_in(array, count):
    return [{"host_id": h.host_id, "generation": h.generation, "timestamp": h.timestamp,
             "io_timeout": h.io_timeout, "state": h.flags & 0xF}
            for h in (array[i] for i in range(count.value))]


def owners(lease):
    array, count = c.POINTER(Host)(), c.c_int()
    r = lib.sanlock_read_resource_owners(c.byref(resource(lease)), c.c_uint32(0), c.byref(array),
                                         c.byref(count))
    return {"r": r, "owners": hosts_in(array, count) if r >= 0 else []}


def hosts(name):
    array, count = c.POINTER(Host)(), c.c_int()
    r = lib.sanlock_get_hosts(name.encode(), c.c_uint64(0), c.byref(array), c.byref(count),
                              c.c_uint32(0))
    return {"r": r, "hosts": hosts_in(array, count) if r >= 0 else []}


def write_lockspace(name, path, io_timeout):
    made = space(name, 0, path)
    return {"r": lib.sanlock_write_lockspace(c.byref(made), 0, c.c_uint32(0),
                                             c.c_uint32(io_timeout))}


def read_lockspace(name, path):
    found, io_timeout = space(name, 0, path), c.c_uint32()
    r = lib.sanlock_read_lockspace(c.byref(found), c.c_uint32(0), c.byref(io_timeout))
    return {"r": r, "name": found.name.decode(), "io_timeout": io_timeout.value}


def join(name, host_id, path, io_timeout, flags=0):
    wanted = space(name, host_id, path)
    return {"r": lib.sanlock_add_lockspace_timeout(c.byref(wanted), c.c_uint32(flags),
                                                   c.c_uint32(io_timeout))}


def joined(name, host_id, path, wait=False):
    asked = space(name, host_id, path)
    return {"r": lib.sanlock_inq_lockspace(c.byref(asked), c.c_uint32(INQ_WAIT if wait else 0))}


def leave(name, host_id, path, flags=0):
    return {"r": lib.sanlock_rem_lockspace(c.byref(space(name, host_id, path)),
                                           c.c_uint32(flags))}


def listen(path):
    """As a VMM that is hung does at its monitor: who connects gets no answer."""
    global monitor
    monitor = socket.socket(socket.AF_UNIX)
    monitor.bind(path)
    monitor.listen()
    return {"r": 0}


def fork_carrier():
    """A child that has all descriptors and does nothing until it is killed."""
    pid = os.fork()
    if pid == 0:
        libc.prctl(SOURCE_ENDS, signal.SIGKILL)
        os.close(0)
        os.close(1)
        while True:
            signal.pause()
    return {"r": pid}


if __name__ == "__main__":
    for line in sys.stdin.buffer:
        verb, words, arguments = json.loads(line)
        given = globals()[verb](*words, **arguments)
        sys.stdout.buffer.write(json.dumps(given).encode() + b"\n")
        sys.stdout.buffer.flush()
