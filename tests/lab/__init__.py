# SPDX-License-Identifier: LGPL-2.1-or-later
"""Labs: what a container or a small machine does not have, in guests of an emulated one.

Several hosts on one NFS export, SCSI disks, device-mapper: a distribution's kernel has all that,
and QEMU boots it in some seconds without KVM. The guest sees the machine outside (programs,
libraries, this tree, the build at HF_BUILD) as its own root, read only below a layer of memory:
nothing is installed in it, and nothing that it does gets out, but its report. `make test-lab`
runs all labs; `tools/test tests/lab/test_exclusion.py` one.

A lab is a *job*, which runs within, and tests that judge what it reports:

    # tests/lab/jobs/example.py                 # tests/lab/test_example.py
    from lab.inside import locks, nfs           import pytest

    def run(report):                            @pytest.fixture(scope="module")
        server, hosts = nfs.setup("ab")         def lab(guests):
        daemons = {h: hosts[h].holdfastd()          return guests.run("example")
                   for h in "ab"}
        one, two = (locks.Holder(hosts[h],      def test_it_is_refused_elsewhere(lab):
            daemons[h], "/mnt/leases", "x")         lab.proves("b is refused")
            for h in "ab")
        report.event("a acquires")
        one.acquire()
        answer = two.acquire()
        report.check("b is refused", locks.refused(answer), answer)

A boot is 8 to 10 seconds, with NFS 15: so one job looks at many things, and each becomes a test
of its own. A sentence that the job never came to fails, with the reason that it broke off. Where
the outside has to do something meanwhile (kill the guest, start another), guests.start() gives a
Guest: await_event(), tell(), kill(), finish(). What a job leaves running goes with the guest.

- guest.py: outside. Which kernel, how it is booted, the exit status that alone counts.
- inside/report.py: checks, events (the time line), values; told() waits for Guest.tell().
- inside/machine.py: commands, modules, files of the kernel.
- inside/nfs.py: an NFS server with a lease of 10 s, and hosts: namespaces on a veth pair each.
  host.run(), host.spawn(), host.vm(), host.holdfastd(), host.virtlockd(), host.cli(daemon),
  host.cut(), host.heal(), host.mount("vers=4.1", where), server.stop(), server.start();
  host.configure(text) writes its holdfast.conf.
  With setup(..., version3=True) also host.mount("vers=3,nolock", where). A host is a hftest
  Nursery: all that hftest starts in one can be started on it. A Client is a guest as a whole.
- inside/disks.py: SCSI disks by several paths, logical volumes, udev.
- inside/iscsi.py: a SCSI disk by several iSCSI initiators.
- inside/helpers.py: helpers of persistent reservations, QEMU's and ours.
- inside/locks.py: VMs that ask for locks.
- inside/systemd.py: units, where guests.run("x", systemd=True) has made systemd the first process
  of the guest. Nothing that the machine outside has enabled runs there.
- inside/installed.py, inside/libvirt.py: all that is built, and a stock libvirtd, at their places.
- inside/watch.py: how long a file is free.
- inside/vmm.py: a real QEMU without rights, and the driver of its SCSI adapter.

This package is imported within guests, too: no pytest outside of conftest.py and test_*.py.
"""
