# SPDX-License-Identifier: LGPL-2.1-or-later
"""Places for images whose owner is changed: one for each way in which that is remembered."""

import hashlib
import json
import os
import subprocess

from hftest import daemons

NOBODY = "65534:65534"
# A user and group that exist nowhere: numbers are enough.
OTHER = "4242:4243"
ATTRIBUTE = "trusted.holdfast.label.dac"


def owner(path):
    found = os.stat(path)
    return f"{found.st_uid}:{found.st_gid}"


def settings_dir():
    """The folder that is /etc for the build under test."""
    with open(os.path.join(daemons.BUILD, "meson-info", "intro-buildoptions.json"),
              encoding="utf-8") as text:
        chosen = {option["name"]: option["value"] for option in json.load(text)}
    return os.path.join(chosen["prefix"], chosen["sysconfdir"])


def this_machine():
    """(machine id, boot id) as records have them."""
    with open("/etc/machine-id", encoding="ascii") as text:
        machine = text.read().strip()
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as text:
        return machine, text.read().strip().replace("-", "")


def sign(text):
    """A record with the sum that belongs to it."""
    body = text[:text.index("sum ")].encode()
    return body + b"sum " + hashlib.sha256(body).hexdigest()[:32].encode() + b"\n"


class Place:
    """A folder for images. `kind` "attribute": records go into their attributes; "table": on a
    filesystem without any, in a mount namespace that the command has to enter. The lock
    daemon does not see into that, so disks there have no locks of their own (driver nop)."""

    def __init__(self, cli, nursery, folder, kind):
        self.cli, self.kind = cli, kind
        self.folder = os.path.join(folder, "images")
        self.prefix, self.options = [], []
        os.mkdir(self.folder)
        os.chmod(folder, 0o755)
        self.seen = self.folder
        if kind == "table":
            self.mount(nursery, "mount -t ramfs none \"$1\" && chmod 755 \"$1\"")

    def mount(self, nursery, script):
        holder = nursery.spawn(["unshare", "--mount", "--propagation", "private", "sh", "-c",
                                f"{script} && echo up && exec sleep 600", "sh", self.folder],
                               stdout=subprocess.PIPE, text=True)
        assert holder.stdout.readline() == "up\n"
        self.prefix = ["nsenter", "--mount", f"--target={holder.pid}", "--"]
        self.options = ["--driver=nop"]
        self.seen = f"/proc/{holder.pid}/root{self.folder}"

    def image(self, name="disk.img", uid=0, gid=0):
        """Makes an image; its path as the command has it."""
        with open(os.path.join(self.seen, name), "wb") as out:
            out.write(b"guest data")
        os.chown(os.path.join(self.seen, name), uid, gid)
        return os.path.join(self.folder, name)

    def owner(self, path):
        return owner(self.outside(path))

    def outside(self, path):
        return os.path.join(self.seen, os.path.basename(path))

    def words(self, user, *disks):
        return ["run", *self.options, *([f"--user={user}"] if user else []),
                *(f"--disk={disk}" for disk in disks)]

    def run(self, user, *disks, vmm=("true",), **how):
        return self.cli(*self.words(user, *disks), "--", *vmm, prefix=self.prefix, **how)

    def hold(self, name, user, *disks, vmm=("sh", "-c", "echo up; exec sleep 600")):
        """A VM; returns when it runs. Its `vm` is the VMM's pid."""
        child = self.cli.start(*self.words(user, *disks), f"--name={name}", "--", *vmm,
                               prefix=self.prefix, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        line = child.stdout.readline()
        assert line == "up\n", (line, child.communicate(timeout=30))
        return child

    def label(self, *words):
        return self.cli("label", *words, prefix=self.prefix)

    def labels(self):
        answer = self.cli("label", "list", "--json", prefix=self.prefix)
        assert answer.returncode == 0, answer
        return json.loads(answer.stdout)["labels"]

    def repair(self, *words):
        """Has to succeed."""
        answer = self.label("repair", *words)
        assert answer.returncode == 0, answer
        return answer

    def table(self):
        """The files of the table."""
        folder = os.path.join(self.cli.env["HOLDFAST_RUN_DIR"], "holdfast", "labels")
        return [os.path.join(folder, name) for name in sorted(os.listdir(folder))] \
            if os.path.isdir(folder) else []

    def nothing_is_left(self):
        assert self.labels() == [] and self.table() == []

    def record(self, path):
        if self.kind == "attribute":
            return os.getxattr(self.outside(path), ATTRIBUTE).decode()
        with open(self.table()[0], encoding="ascii") as text:
            return text.read()

    def write_record(self, path, text):
        if self.kind == "attribute":
            os.setxattr(self.outside(path), ATTRIBUTE, text)
            return
        with open(self.table()[0], "wb") as out:
            out.write(text)
