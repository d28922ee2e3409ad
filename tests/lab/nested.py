# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a guest boots within itself: a kernel and an initramfs, made outside where time is short.

An emulated machine in an emulated machine runs at a hundredth: so this one has no kernel to
unpack, three modules, and one program, sg_persist.
"""

import gzip
import lzma
import os
import re
import shutil
import struct
import subprocess

from .guest import HERE, Broken, Machine, program

MODULES = ("virtio_pci", "virtio_scsi", "sg")
# Where the boot protocol has the size of the first part, and offset and length of the payload
# in what follows it.
SETUP_SECTORS, PAYLOAD = 0x1F1, 0x248
SECTOR = 512


def plain_kernel(image):
    """The ELF file in a bzImage."""
    with open(image, "rb") as packed:
        data = packed.read()
    begin = ((data[SETUP_SECTORS] or 4) + 1) * SECTOR
    offset, length = struct.unpack_from("<II", data, PAYLOAD)
    payload = data[begin + offset:begin + offset + length]
    if payload.startswith(b"\xfd7zXZ"):
        return lzma.LZMADecompressor().decompress(payload)
    if payload.startswith(b"\x1f\x8b"):
        return gzip.decompress(payload[:-4])  # The size follows, as with the others.
    if payload.startswith(b"\x28\xb5\x2f\xfd"):
        # It takes what follows for another frame, and says so behind the kernel.
        return subprocess.run([program("zstd"), "-dcq"], check=False, input=payload,
                              stdout=subprocess.PIPE).stdout
    raise Broken(f"{image}: packed in a way that is not known here")


def libraries(path):
    """What a program is linked with, and its loader."""
    said = subprocess.run(["ldd", path], check=True, stdout=subprocess.PIPE, text=True).stdout
    return re.findall(r"(/\S+) \(0x", said)


class Nested(Machine):
    """`arguments` are for a job's nested.Guest."""

    modules = MODULES
    init = os.path.join(HERE, "init-nested")

    def __init__(self, folder):
        super().__init__(folder)
        plain = os.path.join(folder, "vmlinux")
        with open(plain, "wb") as out:
            out.write(plain_kernel(self.kernel))
        self.kernel = plain
        # For a QEMU without rights.
        os.chmod(folder, 0o755)
        self.arguments = {"kernel": self.kernel, "initramfs": self.initramfs}

    def add_files(self, tree):
        tool = program("sg_persist")
        for path in (tool, *libraries(tool)):
            place = os.path.join(tree, path.lstrip("/"))
            os.makedirs(os.path.dirname(place), exist_ok=True)
            shutil.copy(path, place)
