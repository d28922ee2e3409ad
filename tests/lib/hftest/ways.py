# SPDX-License-Identifier: LGPL-2.1-or-later
"""Ways in which one process of the daemon is followed by another one."""

import os
import signal

from hftest.processes import children, is_there, until


def replaced(daemon, before):
    """Waits for a server that is not the one of before, and that a supervisor watches."""
    def there():
        servers = children(daemon.pid)
        return servers and servers[0] != before and is_there(servers[0])
    until(there, "another server")


def kill_server(daemon):
    server = daemon.server_pid
    os.kill(server, signal.SIGKILL)
    replaced(daemon, server)


def kill_supervisor(daemon):
    server = daemon.server_pid
    os.kill(daemon.pid, signal.SIGKILL)
    # The server itself is the supervisor then.
    until(lambda: daemon.pid == server, "the server in the supervisor's place")
    replaced(daemon, server)


def upgrade(daemon):
    server = daemon.server_pid
    daemon.signal(signal.SIGUSR1)
    replaced(daemon, server)
