# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a guest boots within itself: a kernel and an initramfs, made outside where time is short.

The kernel is not packed, because to unpack it would be the longest part of an emulation in an
emulation; there are the modules for two disks, and one program, sg_persist.
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
    """`vmlinux` and `initramfs` in the folder, which is everybody's to read: for a QEMU without
    rights."""

    modules = MODULES
    init = os.path.join(HERE, "init-nested")

    def __init__(self, folder):
        super().__init__(folder)
        self.folder = folder
        with open(os.path.join(folder, "vmlinux"), "wb") as out:
            out.write(plain_kernel(self.kernel))
        os.chmod(folder, 0o755)

    def add_files(self, tree):
        tool = program("sg_persist")
        for path in (tool, *libraries(tool)):
            place = os.path.join(tree, path.lstrip("/"))
            os.makedirs(os.path.dirname(place), exist_ok=True)
            shutil.copy(path, place)
