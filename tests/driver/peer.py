# SPDX-License-Identifier: LGPL-2.1-or-later
"""A program that uses libholdfast: obeys one JSON line after another, ends with its input.

Started with the library's path. It is a VMM when it is told to "start", and whoever manages
VMs otherwise. Each answer is {"r": return value, "code": ..., "sys": ..., "text": ...} and
what the function gave.
"""

import ctypes as c
import fcntl
import json
import os
import resource
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time


class Error(c.Structure):
    _fields_ = [("code", c.c_int), ("sys", c.c_int), ("text", c.c_char * 1024)]


WARN = c.CFUNCTYPE(None, c.c_void_p, c.c_char_p)


class Holder(c.Structure):
    _fields_ = [("size", c.c_size_t), ("name", c.c_char * 256), ("uuid", c.c_ubyte * 16),
                ("pid", c.c_int), ("host", c.c_char * 256), ("since", c.c_uint64),
                ("via", c.c_char * 64), ("resource", c.c_char * 4096), ("shared", c.c_uint),
                ("host_id", c.c_uint32), ("generation", c.c_uint64), ("state", c.c_char * 256)]


class Waiting(c.Structure):
    _fields_ = [("size", c.c_size_t), ("position", c.c_uint), ("since", c.c_uint64),
                ("resource", c.c_char_p), ("text", c.c_char_p), ("holder", c.POINTER(Holder))]


WAITING = c.CFUNCTYPE(None, c.c_void_p, c.POINTER(Waiting))


class Params(c.Structure):
    _fields_ = [("size", c.c_size_t), ("name", c.c_char_p), ("uuid", c.c_ubyte * 16),
                ("id", c.c_uint32), ("pid", c.c_int), ("via", c.c_char_p),
                ("driver", c.c_char_p), ("config", c.c_char_p), ("timeout_ms", c.c_int),
                ("on_lost", c.c_uint), ("warn", WARN), ("warn_ctx", c.c_void_p),
                ("monitor", c.c_char_p), ("flags", c.c_uint), ("wait_ms", c.c_int),
                ("waiting", WAITING), ("waiting_ctx", c.c_void_p)]


class VmInfo(c.Structure):
    _fields_ = [("size", c.c_size_t), ("name", c.c_char_p), ("uuid", c.c_ubyte * 16),
                ("id", c.c_uint32), ("pid", c.c_int), ("start", c.c_uint64), ("state", c.c_uint),
                ("since", c.c_uint64), ("via", c.c_char_p), ("locks", c.c_uint),
                ("n_connections", c.c_size_t), ("connections", c.POINTER(c.c_uint64)),
                ("paused", c.c_uint), ("client", c.c_uint)]


class Thing(c.Structure):
    _fields_ = [("kind", c.c_uint), ("dev", c.c_uint64), ("ino", c.c_uint64)]


class LockInfo(c.Structure):
    _fields_ = [("size", c.c_size_t), ("lockspace", c.c_char_p), ("name", c.c_char_p),
                ("file", Thing), ("thing", Thing), ("shared", c.c_uint), ("guarantee", c.c_uint),
                ("since", c.c_uint64), ("vm", c.POINTER(VmInfo)), ("lease", c.c_uint),
                ("metadata", c.c_uint)]


class WaiterInfo(c.Structure):
    _fields_ = [("size", c.c_size_t), ("ticket", c.c_uint64), ("position", c.c_uint),
                ("lockspace", c.c_char_p), ("name", c.c_char_p), ("thing", Thing),
                ("shared", c.c_uint), ("metadata", c.c_uint), ("since", c.c_uint64),
                ("until", c.c_uint64), ("vm", c.POINTER(VmInfo))]


class WaiterList(c.Structure):
    _fields_ = [("size", c.c_size_t), ("n", c.c_size_t),
                ("waiters", c.POINTER(c.POINTER(WaiterInfo)))]


class Target(c.Structure):
    _fields_ = [("path", c.c_char_p), ("fd", c.c_int)]


class VmList(c.Structure):
    _fields_ = [("size", c.c_size_t), ("n", c.c_size_t), ("vms", c.POINTER(c.POINTER(VmInfo)))]


class LockList(c.Structure):
    _fields_ = [("size", c.c_size_t), ("n", c.c_size_t),
                ("locks", c.POINTER(c.POINTER(LockInfo)))]


class DaemonInfo(c.Structure):
    _fields_ = [("size", c.c_size_t), ("version", c.c_char_p), ("host", c.c_char_p),
                ("pid", c.c_int), ("socket", c.c_char_p), ("read_only", c.c_uint)]


lib = c.CDLL(sys.argv[1])
lib.holdfast_vm_driver.restype = c.c_char_p
lib.holdfast_version.restype = c.c_char_p
lib.holdfast_guarantee_name.restype = c.c_char_p
libc = c.CDLL(None)
vm = c.c_void_p()
said = []
warn = WARN(lambda ctx, text: said.append(text.decode()))
waited_for = []
waiting = WAITING(lambda ctx, what: waited_for.append(plain(what)))
metadata = {}


def plain(value):
    """A ctypes value as JSON can carry it."""
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, c.Structure):
        return {name: plain(getattr(value, name)) for name, *_ in value._fields_
                if name not in ("connections", "size")}
    if isinstance(value, c.Array):
        return bytes(value).hex()
    if isinstance(value, c._Pointer):
        return plain(value.contents)
    return value


def call(function, *arguments):
    error = Error()
    r = function(*arguments, c.byref(error))
    answer = {"r": r}
    if r < 0:
        answer.update(code=error.code, sys=error.sys, text=error.text.decode())
    return answer


def text(value):
    return None if value is None else value.encode()


def new(name, uuid="", driver=None, config=None, via=None, timeout_ms=0, pid=0, id=0, size=None,
        flags=0, monitor=None, wait_ms=0):
    params = Params(size=c.sizeof(Params) if size is None else size, name=text(name), id=id,
                    pid=pid, via=text(via), driver=text(driver), config=text(config),
                    timeout_ms=timeout_ms, flags=flags, monitor=text(monitor), warn=warn,
                    wait_ms=wait_ms, waiting=waiting)
    params.uuid[:] = list(bytes.fromhex(uuid).ljust(16, b"\0"))
    answer = call(lib.holdfast_vm_new, c.byref(params), c.byref(vm))
    if answer["r"] >= 0:
        answer["driver"] = lib.holdfast_vm_driver(vm).decode()
    return answer


def size_of_params():
    return {"r": 0, "without_wait": Params.wait_ms.offset}


def warnings():
    return {"r": len(said), "said": said}


def wants_monitor():
    return {"r": lib.holdfast_vm_wants_monitor(vm)}


def set_monitor(path):
    return call(lib.holdfast_vm_set_monitor, vm, text(path))


def free():
    lib.holdfast_vm_free(vm)
    vm.value = None
    return {"r": 0}


def set_pid(pid):
    lib.holdfast_vm_set_pid(vm, pid)
    return {"r": 0}


def disk(what, path, flags=0):
    return call(getattr(lib, f"holdfast_vm_{what}_disk"), vm, text(path), c.c_uint(flags))


def lease(what, lockspace, key, path, offset=0):
    return call(getattr(lib, f"holdfast_vm_{what}_lease"), vm, text(lockspace), text(key),
                text(path), c.c_uint64(offset))


def start(paused=False):
    fd = c.c_int(-1)
    answer = call(lib.holdfast_vm_start, vm, c.c_uint(1 if paused else 0), c.byref(fd))
    answer["fd"] = fd.value
    if fd.value >= 0:
        answer["cloexec"] = bool(fcntl.fcntl(fd.value, fcntl.F_GETFD) & fcntl.FD_CLOEXEC)
    return answer


def pause():
    state = c.c_char_p()
    answer = call(lib.holdfast_vm_pause, vm, c.byref(state))
    answer["state"] = plain(state.value)
    return answer


def inquire():
    state = c.c_char_p()
    answer = call(lib.holdfast_vm_inquire, vm, c.byref(state))
    answer["state"] = plain(state.value)
    return answer


def resume(state=None):
    return call(lib.holdfast_vm_resume, vm, text(state))


def refusal(of_first_version=False):
    """With the size that the structure had first, what lies behind it is a mark."""
    mark = b"not yours"
    holder = Holder(size=Holder.host_id.offset if of_first_version else c.sizeof(Holder),
                    state=mark)
    known = lib.holdfast_vm_refusal(vm, c.byref(holder))
    return {"r": known, "overrun": of_first_version and holder.state != mark,
            **(plain(holder) if known else {})}


def guarantee():
    return {"r": lib.holdfast_vm_guarantee(vm),
            "name": lib.holdfast_guarantee_name(lib.holdfast_vm_guarantee(vm)).decode()}


def listed(kind, member, free, function, *arguments):
    """What the library lists: a struct with an array by that name, and n."""
    found = c.POINTER(kind)()
    answer = call(function, *arguments, c.c_uint(0), c.byref(found))
    if answer["r"] >= 0:
        entries = getattr(found.contents, member)
        answer[member] = [plain(entries[i]) for i in range(found.contents.n)]
        free(found)
    return answer


def vms():
    return listed(VmList, "vms", lib.holdfast_vm_list_free, lib.holdfast_list_vms)


def locks_of(function, *arguments):
    return listed(LockList, "locks", lib.holdfast_lock_list_free, function, *arguments)


def locks():
    return locks_of(lib.holdfast_list_locks)


def waiters():
    return listed(WaiterList, "waiters", lib.holdfast_waiter_list_free, lib.holdfast_list_waiters)


def waits():
    return {"r": len(waited_for), "said": waited_for}


def lock_metadata(targets, timeout_ms=0):
    """targets: paths, or numbers of descriptors."""
    array = (Target * len(targets))(*[
        Target(path=None, fd=t) if isinstance(t, int) else Target(path=os.fsencode(t), fd=-1)
        for t in targets])
    held = c.c_void_p()
    answer = call(lib.holdfast_metadata_lock, array, c.c_size_t(len(targets)), c.c_int(timeout_ms),
                  c.byref(held))
    if answer["r"] >= 0:
        metadata[held.value] = len(targets)
        answer["held"] = held.value
    return answer


def unlock_metadata(held):
    lib.holdfast_metadata_unlock(c.c_void_p(held))
    metadata.pop(held, None)
    return {"r": 0}


def metadata_fds(held):
    """Of each target: number, inode, whether it goes through exec and is a mere place."""
    found = []
    for i in range(metadata[held]):
        fd = lib.holdfast_metadata_fd(c.c_void_p(held), c.c_size_t(i))
        found.append({"fd": fd, "ino": os.fstat(fd).st_ino,
                      "cloexec": bool(fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC),
                      "path": bool(fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_PATH)})
    return {"r": 0, "found": found}


def open_file(path, flags=os.O_RDONLY):
    return {"r": os.open(path, flags)}


def lock_record(path):
    """A POSIX lock, which the process loses when it closes any descriptor of the file."""
    fd = os.open(path, os.O_RDWR)
    fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return {"r": fd}


def is_alone(path):
    """Whether nobody else has the file's guard meanwhile."""
    try:
        os.close(os.open(path + ".guard", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    os.unlink(path + ".guard")
    return True


def cross(sets, rounds, timeout_ms=0):
    """A thread for each set locks it again and again; tells of each fault."""
    faults = []

    def work(paths):
        for _ in range(rounds):
            error, held = Error(), c.c_void_p()
            array = (Target * len(paths))(*[Target(path=text(p), fd=-1) for p in paths])
            if lib.holdfast_metadata_lock(array, c.c_size_t(len(paths)), c.c_int(timeout_ms),
                                          c.byref(held), c.byref(error)) < 0:
                faults.append(error.text.decode())
                return
            faults.extend(p for p in paths if not is_alone(p))
            lib.holdfast_metadata_unlock(held)
    threads = [threading.Thread(target=work, args=(paths,)) for paths in sets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"r": len(faults), "faults": faults}


def hold_again_and_again(paths):
    while True:
        held = lock_metadata(paths)
        if held["r"] < 0:
            return held
        unlock_metadata(held["held"])


def more_files(n):
    resource.setrlimit(resource.RLIMIT_NOFILE, (n, n))
    return {"r": 0}


def count(path, who, times, least, most, vms, thinking):
    """Counts on a disk that nobody else has: the sum, and what each VM has counted."""
    record = struct.Struct(f"<{vms + 1}Q")
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        for _ in range(times):
            total, *counts = record.unpack(os.pread(fd, record.size, 0))
            if total != sum(counts) or not least <= counts[who] <= most:
                return {"r": -1, "text": f"VM {who} had counted {least} to {most}: {counts}, "
                                         f"together {total}"}
            time.sleep(thinking)
            counts[who] += 1
            least = most = counts[who]
            os.pwrite(fd, record.pack(total + 1, *counts), 0)
    finally:
        os.close(fd)
    return {"r": least}


def sanlock_release_all(fd):
    """What a VMM that was taken over could try on the connection that it has inherited."""
    with socket.socket(fileno=os.dup(fd)) as connection:
        # In whole seconds and microseconds; one that is restricted may never answer.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 2, 0))
        return {"r": c.CDLL("libsanlock_client.so.1").sanlock_release(fd, -1, 1, 0, None)}


def start_program():
    # All that is not close-on-exec goes with it.
    return {"r": subprocess.Popen(["sleep", "600"], close_fds=False,
                                  stdout=subprocess.DEVNULL).pid}


def fork_idle():
    """A child that has all descriptors and objects, and does nothing until it is killed."""
    pid = os.fork()
    if pid == 0:
        libc.prctl(1, signal.SIGKILL)
        os.close(1)
        while True:
            signal.pause()
    return {"r": pid}


def fork_carrier():
    """A child that has all descriptors and outlives us; it ends when nobody tells us anything."""
    pid = os.fork()
    if pid == 0:
        os.close(1)
        teller = select.poll()
        teller.register(0, 0)
        teller.poll()
        os._exit(0)
    return {"r": pid}


class DriverTable(c.Structure):
    """How struct hf_lock_driver begins."""
    _fields_ = [("size", c.c_size_t), ("abi", c.c_uint32), ("capabilities", c.c_uint32)]


def capabilities(module):
    return {"r": DriverTable.in_dll(c.CDLL(module), "hf_lock_driver").capabilities}


def inheritable():
    """The descriptors that go through exec."""
    fds = []
    for name in os.listdir("/proc/self/fd"):
        try:
            if not fcntl.fcntl(int(name), fcntl.F_GETFD) & fcntl.FD_CLOEXEC:
                fds.append(int(name))
        except OSError:
            pass
    return {"r": len(fds), "fds": fds}


def who(path):
    return locks_of(lib.holdfast_who, text(path))


def daemon():
    info = c.POINTER(DaemonInfo)()
    answer = call(lib.holdfast_get_daemon_info, c.byref(info))
    if answer["r"] >= 0:
        answer.update(plain(info))
        lib.holdfast_daemon_info_free(info)
    return answer


def daemon_start():
    return call(lib.holdfast_daemon_start, c.c_uint(0))


def close(fd):
    os.close(fd)
    return {"r": 0}


def ignore_children():
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    return {"r": 0}


def open_fds():
    return {"r": len(os.listdir("/proc/self/fd"))}


for line in sys.stdin.buffer:
    verb, arguments = json.loads(line)
    given = globals()[verb](**arguments)
    sys.stdout.buffer.write(json.dumps(given).encode() + b"\n")
    sys.stdout.buffer.flush()
