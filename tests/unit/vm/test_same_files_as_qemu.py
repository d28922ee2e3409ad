# SPDX-License-Identifier: LGPL-2.1-or-later
"""The reader against QEMU itself.

Each command line is given to a real QEMU, which opens its images and waits (-S); the
descriptors that it then has, and how they are open, are the truth. The reader must find the
same files in the same modes.
"""

import os
import shutil
import socket
import subprocess
import time

import pytest

QEMU = shutil.which("qemu-system-x86_64")
QEMU_IMG = shutil.which("qemu-img")
SHOW = os.environ["HF_SHOW_SPEC"]

pytestmark = pytest.mark.skipif(not (QEMU and QEMU_IMG), reason="no QEMU on this machine")

# A first word that is not one of QEMU's options would be a disk.
BASE = ["-accel", "tcg", "-machine", "pc", "-m", "32", "-nodefaults", "-display", "none",
        "-S", "-monitor", "none", "-qmp", "unix:qmp,server=on,wait=off"]

CONFIG = '[drive "c"]\n  file = "raw"\n  format = "raw"\n  if = "virtio"\n'

SAME = {
    "hda": ["-hda", "raw"],
    "a word alone": ["raw"],
    "a word after a flag": ["-no-reboot", "raw"],
    "a word after a value": ["-name", "vm", "raw"],
    "cdrom": ["-cdrom", "raw"],
    "floppy": ["-fda", "floppy"],
    "flash": ["-pflash", "flash"],
    "drive": ["-drive", "file=raw,format=raw"],
    "two dashes": ["--drive", "file=raw,format=raw"],
    "a comma": ["-drive", "file=a,,b,format=raw"],
    "a comma in -hda": ["-hda", "a,b"],
    "a colon behind file:": ["-drive", "file=file:x:y,format=raw"],
    "a colon behind ./": ["-drive", "file=./x:y,format=raw"],
    "a colon in file.filename": ["-drive", "file.filename=x:y,format=raw"],
    "driver=file": ["-drive", "driver=file,file=raw"],
    "driver=file and filename=": ["-drive", "driver=file,filename=raw"],
    "file.driver": ["-drive", "file.driver=file,file.filename=raw,driver=raw"],
    "the last file= counts": ["-drive", "file=raw,file=base,format=raw"],
    "readonly": ["-drive", "file=raw,format=raw,if=virtio,readonly=on"],
    "read-only": ["-drive", "file=raw,format=raw,if=virtio,read-only=on"],
    "a bare noreadonly": ["-drive", "file=raw,format=raw,noreadonly"],
    "media=cdrom": ["-drive", "file=raw,media=cdrom"],
    "media=cdrom with readonly=off": ["-drive", "file=raw,media=cdrom,readonly=off"],
    "snapshot=on": ["-drive", "file=top,snapshot=on"],
    "-snapshot": ["-snapshot", "-hda", "top"],
    "-snapshot at the end": ["-drive", "file=raw,format=raw", "-snapshot"],
    "-snapshot with snapshot=off": ["-snapshot", "-drive", "file=raw,format=raw,snapshot=off"],
    "-snapshot with -blockdev": ["-snapshot", "-blockdev", "file,filename=raw,node-name=n"],
    "a backing chain": ["-drive", "file=top"],
    "a backing chain with a format": ["-drive", "file=top,format=qcow2"],
    "qcow2 used as raw": ["-drive", "file=top,format=raw"],
    "a chain in another folder": ["-hda", "sub/top"],
    "a chain behind a link": ["-hda", "link"],
    "a json: backing file": ["-hda", "jsonback"],
    "a data file": ["-hda", "ext"],
    "an old qcow": ["-hda", "old"],
    "backing= cuts": ["-drive", "file=top,backing="],
    "backing by key": ["-drive", "file=top,backing.file.filename=raw,backing.driver=raw"],
    "backing.driver alone": ["-drive", "file=top,backing.driver=qcow2"],
    "json:": ["-drive", 'file=json:{"driver":"qcow2",,"file":{"filename":"top"}}'],
    "json: with dots": ["-drive", 'file=json:{"driver":"raw",,"file.filename":"raw"}'],
    "json: with single quotes": ["-hda", "json:{'driver':'raw','file':{'filename':'a,b'}}"],
    "json: without backing": ["-hda", 'json:{"driver":"qcow2","backing":null,'
                                      '"file":{"filename":"top"}}'],
    "blkdebug": ["-drive", "file=blkdebug::raw,format=raw"],
    "qcow2 over raw": ["-drive", "driver=qcow2,file.driver=raw,file.file.filename=top"],
    "throttle": ["-object", "throttle-group,id=g", "-drive",
                 "file.driver=throttle,file.throttle-group=g,file.file.filename=raw,format=raw"],
    "quorum": ["-drive", "driver=quorum,vote-threshold=1,children.0.driver=raw,"
                         "children.0.file.filename=raw,children.1.driver=raw,"
                         "children.1.file.filename=base"],
    "null, vvfat": ["-drive", "file=null-co://,format=raw", "-drive",
                    "file=fat:empty,format=raw,if=virtio,readonly=on"],
    "-set": ["-drive", "id=z,file=base,format=raw", "-set", "drive.z.file=raw"],
    "-readconfig": ["-readconfig", "c.cfg"],
    "blockdev": ["-blockdev", "file,filename=raw,node-name=n"],
    "blockdev, nested": ["-blockdev", "qcow2,node-name=n,file.driver=file,file.filename=top"],
    "blockdev, nested, read-only": [
        "-blockdev", "qcow2,node-name=n,read-only=on,file.driver=file,file.filename=top"],
    "blockdev in JSON": [
        "-blockdev", '{"driver":"qcow2","node-name":"n","file":{"driver":"file",'
                     '"filename":"top"},"backing":null}'],
    "blockdev as libvirt writes it": [
        "-blockdev", '{"driver":"file","filename":"raw","node-name":"libvirt-1-storage",'
                     '"auto-read-only":true,"discard":"unmap"}',
        "-blockdev", '{"node-name":"libvirt-1-format","read-only":false,"driver":"raw",'
                     '"file":"libvirt-1-storage"}',
        "-device", '{"driver":"virtio-blk-pci","drive":"libvirt-1-format","share-rw":true}'],
    "a read-only disk as libvirt writes it": [
        "-blockdev", '{"driver":"file","filename":"raw","node-name":"libvirt-1-storage",'
                     '"read-only":true,"discard":"unmap"}',
        "-blockdev", '{"node-name":"libvirt-1-format","read-only":true,"driver":"raw",'
                     '"file":"libvirt-1-storage"}',
        "-device", "virtio-scsi-pci,id=s", "-device", "scsi-cd,bus=s.0,drive=libvirt-1-format"],
}

# Open for writing in QEMU, but nothing in it writes: the reader says so.
OPEN_BUT_NOT_WRITTEN = {
    "a backing node that is not told to be read-only": (
        ["-blockdev", "qcow2,node-name=b,file.driver=file,file.filename=mid",
         "-blockdev", "qcow2,node-name=t,file.driver=file,file.filename=top,backing=b"], "mid"),
    "a file below a read-only format": (
        ["-blockdev", "file,filename=raw,node-name=f",
         "-blockdev", "raw,file=f,node-name=n,read-only=on"], "raw"),
}


def image(*args):
    subprocess.run([QEMU_IMG, "create", "-q", *args], check=True)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    old = os.getcwd()
    os.chdir(folder)
    for name in "raw", "base", "a,b", "./x:y":
        image("-f", "raw", "file:" + name if ":" in name else name, "1M")
    image("-f", "raw", "floppy", "1440k")
    image("-f", "raw", "flash", "128k")
    image("-f", "qcow2", "-F", "raw", "-b", "base", "mid")
    image("-f", "qcow2", "-F", "qcow2", "-b", "mid", "top")
    image("-f", "qcow2", "-o", "data_file=data,data_file_raw=on", "ext", "1M")
    image("-f", "qcow", "-F", "raw", "-b", "base", "old")
    image("-f", "qcow2", "-F", "qcow2", "-b",
          'json:{"driver":"qcow2","file":{"driver":"file","filename":"mid"}}', "jsonback")
    os.mkdir("empty")
    os.mkdir("sub")
    image("-f", "qcow2", "-F", "qcow2", "-b", "../mid", "sub/top")
    os.symlink("top", "link")
    with open("c.cfg", "w", encoding="ascii") as config:
        config.write(CONFIG)
    yield os.path.realpath(folder)
    os.chdir(old)


def open_images(pid, folder):
    """The images that a process has open: name in the folder -> W or R."""
    modes = {}
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            path = os.readlink(f"/proc/{pid}/fd/{fd}")
            with open(f"/proc/{pid}/fdinfo/{fd}", encoding="ascii") as info:
                flags = next(int(line.split()[1], 8) for line in info if line.startswith("flags"))
        except FileNotFoundError:
            continue  # closed meanwhile, so no image
        name = os.path.relpath(path, folder)
        if path.startswith(folder + "/") and name not in ("qmp", "log"):
            writes = flags & os.O_ACCMODE == os.O_RDWR
            modes[name] = "W" if writes or modes.get(name) == "W" else "R"
    return modes


def connect(qemu, log):
    deadline = time.monotonic() + 30
    qmp = socket.socket(socket.AF_UNIX)
    qmp.settimeout(30)
    while True:
        try:
            qmp.connect("qmp")
            return qmp
        except (FileNotFoundError, ConnectionRefusedError):
            if qemu.poll() is not None or time.monotonic() > deadline:
                qmp.close()
                log.seek(0)
                pytest.fail("QEMU does not start: " + log.read())
            time.sleep(0.01)


def wait_for_main_loop(qemu, log):
    """QEMU greets at once, but it answers from its main loop, when it has opened everything."""
    with connect(qemu, log) as qmp, qmp.makefile("rw", encoding="utf-8") as lines:
        assert "QMP" in lines.readline()
        for command in "qmp_capabilities", "query-status":
            lines.write('{"execute": "%s"}\n' % command)
            lines.flush()
            assert "return" in lines.readline()


def as_qemu_opens(args, folder):
    if os.path.exists("qmp"):
        os.unlink("qmp")
    with open("log", "w+", encoding="utf-8") as log:
        qemu = subprocess.Popen([QEMU, *BASE, *args], stdin=subprocess.DEVNULL,
                                stdout=log, stderr=log)
        try:
            wait_for_main_loop(qemu, log)
            return open_images(qemu.pid, folder)
        finally:
            qemu.kill()
            qemu.wait()


def as_reader_finds(args, folder):
    found = subprocess.run([SHOW, QEMU, *BASE, *args], check=True, text=True,
                           stdout=subprocess.PIPE).stdout
    modes = {}
    for line in found.splitlines():
        mode, rest = line.split(" ", 1)
        path = rest.split(" ", 1)[0]
        name = os.path.relpath(os.path.realpath(path), folder)
        modes[name] = "R" if mode == "R" and modes.get(name) != "W" else "W"
    return modes


@pytest.mark.parametrize("name", SAME)
def test_finds_what_qemu_opens(images, name):
    assert as_reader_finds(SAME[name], images) == as_qemu_opens(SAME[name], images)


@pytest.mark.parametrize("name", OPEN_BUT_NOT_WRITTEN)
def test_knows_what_qemu_does_not_write(images, name):
    args, only_read = OPEN_BUT_NOT_WRITTEN[name]
    qemu = as_qemu_opens(args, images)
    assert qemu[only_read] == "W"
    assert as_reader_finds(args, images) == {**qemu, only_read: "R"}
