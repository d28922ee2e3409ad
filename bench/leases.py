# SPDX-License-Identifier: LGPL-2.1-or-later
"""A host with sanlock and a lease directory, for the row of the lease driver.

It is the rig of the tests: a daemon of an ordinary user, without a watchdog. The I/O timeout is
5 s, with which a busy disk is no lost one; to join takes 11 s.
"""

import os
import sys
import tempfile

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(TOP, 'tests', 'lib'))

IO_TIMEOUT = 5


class Leases:
    """Made when it is first wanted; all its files are in `work`."""

    def __init__(self, load, driver, work):
        self.load, self.driver, self.work = load, driver, work
        self.nursery = self.host = self.disk = self.as_user = None

    def missing(self):
        """Why there cannot be one, or None."""
        for path in (self.load, self.driver):
            if not os.access(path, os.R_OK):
                return f'{path} is not there (it needs libsanlock-dev to be built)'
        if not os.access('/usr/sbin/sanlock', os.X_OK):
            return 'sanlock is not installed'
        if os.geteuid() != 0 or open('/proc/self/uid_map').read().split()[2] == '1':
            return 'it needs root, to run sanlock as an ordinary user'
        return None

    def start(self):
        from hftest import processes, sanlock
        # sanlock's user has to get through.
        os.chmod(self.work, 0o711)
        tempfile.tempdir = os.environ['HF_SANLOCK_STORAGE'] = self.work
        # Whose files sanlock can open.
        self.as_user = sanlock.as_user
        self.nursery = processes.Nursery()
        cluster = sanlock.Cluster(self.nursery, hosts=1, io_timeout=IO_TIMEOUT)
        self.host, self.disk = cluster[0], cluster.disk()
        return self

    def run(self, bench):
        """What leaseload finds out, in as many rounds as the bench has."""
        if not self.host:
            # As for the figures of one connection: daemon and client together. It is inherited.
            before = os.sched_getaffinity(0)
            os.sched_setaffinity(0, bench.one_cpu)
            self.start()
            os.sched_setaffinity(0, before)
        _, key, path, _ = self.host.cluster.lease_of(self.disk)
        program, *arguments = self.as_user([self.load, self.driver, self.host.conf, self.disk, key,
                                            path, str(bench.leases_rounds)])
        return bench.run(arguments, bench.one_cpu,
                         {'PATH': os.environ['PATH'], 'HOME': self.host.directory,
                          **self.host.env}, program=program)

    def stop(self):
        if self.nursery:
            self.nursery.close()
            self.nursery = None
