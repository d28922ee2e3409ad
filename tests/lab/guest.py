# SPDX-License-Identifier: LGPL-2.1-or-later
"""The guest from outside: which kernel, how it is booted, what comes back.

`Machine` is what all guests of a run share: kernel and initramfs. `Guest` is one QEMU with one
job (lab/jobs/NAME.py), which reports through a folder that both see. Only the file `status`
there says that the job has ended; without it the guest broke off, and the end of its console is
all that is known.
"""

import glob
import gzip
import itertools
import json
import lzma
import os
import shutil
import subprocess
import time

from hftest import daemons

HERE = os.path.dirname(os.path.abspath(__file__))
TESTS = os.path.dirname(HERE)

# What has to be there before the machine outside can be seen; a job loads the rest by modprobe.
MODULES = ("virtio_pci", "9p", "9pnet_virtio", "overlay")
# mitigations and nokaslr: an emulated processor needs no protection, and starts sooner.
# no_timer_check: the kernel gives the timer some ticks to prove itself, which an emulated one on a
# busy machine may miss; it panics then.
KERNEL_WORDS = ("console=ttyS0 quiet panic=-1 mitigations=off nokaslr tsc=reliable "
                "no_timer_check random.trust_cpu=on")
# Nothing of the machine outside is mounted or asked for; the lab's own target is all there is.
SYSTEMD_WORDS = ("systemd.unit=lab.target fstab=no systemd.gpt_auto=no systemd.firstboot=off "
                 "systemd.show_status=0")
SYSTEMD = "/lib/systemd/systemd"
UNITS = {
    "lab.target": """\
[Unit]
Description=One job of a lab
Requires=basic.target
After=basic.target
Wants=lab-job.service
AllowIsolate=yes
""",
    "lab-job.service": """\
[Unit]
Description=The job
[Service]
ExecStart=/bin/sh /run/lab/start
KillMode=process
OOMScoreAdjust=-500
""",
}
# What basic.target starts of the machine outside, and what only costs time in a guest.
MASKED = ("systemd-udevd.service", "systemd-udevd-control.socket", "systemd-udevd-kernel.socket",
          "systemd-udev-trigger.service", "systemd-hwdb-update.service", "ldconfig.service",
          "systemd-timesyncd.service", "systemd-remount-fs.service", "systemd-random-seed.service",
          "systemd-update-utmp.service", "systemd-journal-catalog-update.service",
          "systemd-update-done.service", "systemd-machine-id-commit.service",
          "systemd-binfmt.service", "systemd-pstore.service", "timers.target", "swap.target",
          "proc-sys-fs-binfmt_misc.automount")
MEMORY_MIB = 768
# From start to result, for a job that says nothing else: several times what the longest takes on
# a machine that does something else as well.
JOB_DEADLINE = 300.0
# For a test and the guest behind it.
TEST_LIMIT = JOB_DEADLINE + 60
POLL = 0.02
# No two guests of a run may have the same address on a network.
cards = itertools.count(1)
CONSOLE_TAIL = 3000


class Broken(Exception):
    """The lab itself failed. Never an AssertionError: no test may take it for its finding."""


def program(name):
    path = shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin")
    if not path:
        raise Broken(f"{name} is not installed; tools/deps lab installs what labs need")
    return path


def find_kernel():
    """(image, version) of the newest installed kernel that has its modules here."""
    found = [(path, path.rpartition("vmlinuz-")[2]) for path in glob.glob("/boot/vmlinuz-*")]
    found += [(path, path.split("/")[3]) for path in glob.glob("/lib/modules/*/vmlinuz")]
    found = [(path, version) for path, version in found
             if os.path.exists(f"/lib/modules/{version}/modules.dep") and os.access(path, os.R_OK)]
    if not found:
        raise Broken("no readable kernel image with its modules is installed "
                     "(Debian: linux-image-amd64, Fedora: kernel-core)")
    return max(found, key=lambda each: os.stat(each[0]).st_mtime)


def unpack(path):
    """The plain bytes of a module, however the distribution packs it."""
    with open(path, "rb") as packed:
        data = packed.read()
    if path.endswith(".xz"):
        return lzma.decompress(data)
    if path.endswith(".gz"):
        return gzip.decompress(data)
    if path.endswith(".zst"):
        return subprocess.run([program("zstd"), "-dcq", path], check=True,
                              stdout=subprocess.PIPE).stdout
    return data


class Machine:
    """Kernel and initramfs, for all guests of a run."""

    modules = MODULES
    init = os.path.join(HERE, "init")

    def __init__(self, folder):
        self.kernel, self.version = find_kernel()
        self.initramfs = os.path.join(folder, "initramfs")
        tree = os.path.join(folder, "tree")
        os.makedirs(os.path.join(tree, "bin"))
        os.makedirs(os.path.join(tree, "modules"))
        shutil.copy(program("busybox"), os.path.join(tree, "bin", "busybox"))
        shutil.copy(self.init, os.path.join(tree, "init"))
        os.chmod(os.path.join(tree, "init"), 0o755)
        self.add_modules(os.path.join(tree, "modules"))
        self.add_files(tree)
        with open(self.initramfs, "wb") as out:
            names = subprocess.run(["find", "."], cwd=tree, check=True, stdout=subprocess.PIPE)
            subprocess.run([program("cpio"), "-o", "-H", "newc", "--quiet"], cwd=tree, check=True,
                           input=names.stdout, stdout=out)

    def add_files(self, tree):
        """What else there is to be."""

    def add_modules(self, folder):
        order = []
        for module in self.modules:
            said = subprocess.run([program("modprobe"), "-S", self.version, "--show-depends",
                                   module], check=False, capture_output=True, text=True)
            if said.returncode:
                raise Broken(f"kernel {self.version} has no module {module}: {said.stderr}")
            # A line is "insmod PATH OPTION..." or "builtin NAME".
            for path in (line.split()[1] for line in said.stdout.splitlines()
                         if line.startswith("insmod")):
                name = os.path.basename(path).partition(".ko")[0]
                if name in order:
                    continue
                order.append(name)
                with open(os.path.join(folder, name), "wb") as out:
                    out.write(unpack(path))
        with open(os.path.join(folder, "order"), "w", encoding="ascii") as out:
            out.writelines(name + "\n" for name in order)


class Result:
    """What a job reported."""

    def __init__(self, name, report, output):
        self.name, self.output = name, output
        self.checks = report["checks"]
        self.values = report["values"]
        self.failure = report["failure"]
        self.events = report["events"]

    def timeline(self):
        return "\n".join(f"{at:8.2f} s  {text}" for at, text in self.events)

    def proves(self, sentence):
        """Fails unless the job found this to be so, each time that it looked."""
        found = [(ok, detail) for name, ok, detail in self.checks if name == sentence]
        wrong = [detail for ok, detail in found if not ok]
        assert not wrong, f"{sentence}: not so: {wrong[:5]} ({len(wrong)} of {len(found)})"
        assert found, (f"{sentence}: never looked at; the job {self.name} said\n"
                       f"{self.failure or self.output[-CONSOLE_TAIL:]}")


def wire(path):
    """The two ends of a cable between two guests, for their `nets`: the first is started first."""
    end = f"stream,addr.type=unix,addr.path={path},server="
    return f"{end}on", f"{end}off"


class Guest:
    """One guest with one job; `arguments` are for the job, `nets` are ends of wires, `words` more
    of the kernel's command line. systemd: its first process is systemd, whose only unit of ours
    is the job."""

    def __init__(self, machine, nursery, folder, job, arguments=None, nets=(), words="",
                 systemd=False):
        self.name, self.folder = job, folder
        self.words = f"{KERNEL_WORDS} {SYSTEMD_WORDS if systemd else ''} {words}".strip()
        os.makedirs(folder)
        self.share = os.path.join(folder, "share")
        os.makedirs(self.share)
        self.console = os.path.join(folder, "console")
        self.write_job(job, arguments or {})
        if systemd:
            self.write_units()
        self.begin = time.monotonic()
        self.qemu = nursery.spawn(self.command(machine, nets), stdin=subprocess.DEVNULL,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        nursery.at_end(self.kill)

    def write_job(self, job, arguments):
        with open(os.path.join(self.share, "arguments"), "w", encoding="utf-8") as out:
            json.dump(arguments, out)
        build = os.path.abspath(daemons.BUILD)
        # What a sanitizer is told outside holds inside as well.
        words = [f"{name}='{value}'" for name, value in os.environ.items()
                 if name in ("ASAN_OPTIONS", "UBSAN_OPTIONS")]
        words += [f"HF_BUILD='{build}'", f"PYTHONPATH='{TESTS}:{TESTS}/lib'", "HOME=/root",
                  "LC_ALL=C.UTF-8", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"]
        with open(os.path.join(self.share, "start"), "w", encoding="utf-8") as out:
            out.write(f"cd /run/lab\n"
                      f"/usr/bin/env -i {' '.join(words)} /usr/bin/python3 -B -m lab.inside.main "
                      f"'{job}' >output 2>&1\n"
                      f"echo $? >status.new\nmv status.new status\n")

    def write_units(self):
        """What init makes the whole of /etc/systemd/system."""
        program(SYSTEMD)
        folder = os.path.join(self.share, "units")
        os.makedirs(folder)
        for name, text in UNITS.items():
            with open(os.path.join(folder, name), "w", encoding="ascii") as out:
                out.write(text)
        for name in MASKED:
            os.symlink("/dev/null", os.path.join(folder, name))

    def command(self, machine, nets):
        share = ("-fsdev", f"local,id=job,path={self.share},security_model=none,multidevs=remap",
                 "-device", "virtio-9p-pci,fsdev=job,mount_tag=job")
        host = ("-fsdev", "local,id=host,path=/,security_model=none,readonly=on,multidevs=remap",
                "-device", "virtio-9p-pci,fsdev=host,mount_tag=host")
        wires = [word for n, net in enumerate(nets) for word in
                 ("-netdev", f"{net},id=net{n}",
                  "-device", f"virtio-net-pci,netdev=net{n},mac=52:54:00:00:00:{next(cards):02x}")]
        return [program("qemu-system-x86_64"), "-accel", "tcg,thread=multi", "-cpu", "max",
                "-smp", "2", "-m", str(MEMORY_MIB), "-nodefaults", "-display", "none",
                "-no-reboot", "-serial", f"file:{self.console}", "-kernel", machine.kernel,
                "-initrd", machine.initramfs, "-append", self.words, *share, *host, *wires]

    def read(self, name):
        """What the guest has written into a file of the shared folder so far, or ""."""
        try:
            with open(os.path.join(self.share, name), encoding="utf-8", errors="replace") as text:
                return text.read()
        except FileNotFoundError:
            return ""

    def tell(self, word):
        """The job waits for this with Report.told()."""
        with open(os.path.join(self.share, f"told-{word}"), "w", encoding="ascii"):
            pass

    def said(self, text):
        """Whether the job has reported an event with this text in it."""
        return any(text in line for line in self.read("events").splitlines())

    def wait_for(self, condition, what, timeout):
        """Polls; the guest's own end is the end of waiting, too."""
        end = time.monotonic() + timeout
        while not condition():
            ended = self.qemu.poll() is not None
            if condition():
                return
            if ended or time.monotonic() > end:
                why = "ended" if ended else f"did not within {timeout:.0f} s"
                raise Broken(f"guest {self.name} {why}: {what}\n{self.last_words()}")
            time.sleep(POLL)

    def await_event(self, text, timeout=JOB_DEADLINE):
        self.wait_for(lambda: self.said(text), f"event '{text}'", timeout)
        return time.monotonic()

    def finish(self, timeout=JOB_DEADLINE):
        """Waits for the job's end; its Result."""
        try:
            self.wait_for(lambda: self.read("status"), "exit status of the job", timeout)
        finally:
            self.kill()
        status, report = self.read("status").strip(), self.read("result")
        if status != "0" or not report:
            raise Broken(f"job {self.name} ended with status {status}\n{self.last_words()}")
        return Result(self.name, json.loads(report), self.read("output"))

    def last_words(self):
        try:
            with open(self.console, encoding="utf-8", errors="replace") as text:
                console = text.read()[-CONSOLE_TAIL:]
        except FileNotFoundError:
            console = "(none)"
        said = ""
        if self.qemu.poll() is not None and self.qemu.stderr and not self.qemu.stderr.closed:
            said = self.qemu.stderr.read().decode(errors="replace")
        return (f"QEMU: {said or '(nothing)'}\nevents:\n{self.read('events')}\n"
                f"output:\n{self.read('output')[-CONSOLE_TAIL:]}\nend of the console:\n{console}")

    def kill(self):
        """SIGKILL, as if the power failed; nothing when it has ended already."""
        if self.qemu.poll() is None:
            self.qemu.kill()
            self.qemu.wait()
