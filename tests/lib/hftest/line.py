# SPDX-License-Identifier: LGPL-2.1-or-later
"""Connections that acquire sets, and wait in line."""

import collections
import select

from . import own_program as own
from .own_program import FOREVER, GRANTED, PROGRESS
from .processes import until


class Client:
    """A connection that stands for itself, with a set that it waits for or has."""

    def __init__(self, connection, name):
        self.connection = connection
        self.name = name
        self.token = None
        self.messages = []
        answer = own.client(connection, name)
        assert answer.ok, answer

    def take(self, *wants, **how):
        """Asks, and has what came of it."""
        return self._note(own.acquire_set(self.connection, *wants, **how))

    def _note(self, outcome):
        if is_granted(outcome):
            self.token = outcome.token
        return outcome

    def ask(self, *wants, timeout=FOREVER, **how):
        """Asks for a set that is held, and is in line when this returns."""
        own.send_set(self.connection, *wants, timeout=timeout, flags=PROGRESS, **how)
        answer = self.connection.receive()
        assert answer.ok and answer.proc == own.WAITING, answer
        self.messages.append(own.read_waiting(answer))
        return self.messages[-1]

    def hear(self, timeout=None):
        """The outcome of what was asked for, behind all messages; None: there is none yet."""
        while True:
            answer = self.connection.receive(timeout)
            if answer.outcome == "silence":
                return None
            if answer.ok and answer.proc == own.WAITING:
                self.messages.append(own.read_waiting(answer))
                continue
            return self._note(own.read_set(answer))

    def release(self):
        answer = own.release_set(self.connection, self.token)
        assert answer.ok, answer
        self.token = None

    def close(self):
        self.connection.close()


def clients(daemon, n, prefix="client"):
    return [Client(daemon.connect(), f"{prefix}{number}") for number in range(n)]


def is_granted(outcome):
    return getattr(outcome, "granted", None) == GRANTED


class Arrivals:
    """In which order answers come to many connections: each is looked at when there are bytes."""

    def __init__(self, waiting):
        self.waiting = {client.connection.transport.sock.fileno(): client for client in waiting}
        self.poll = select.poll()
        for fd in self.waiting:
            self.poll.register(fd, select.POLLIN)
        self.ready = collections.deque()

    def next(self, timeout=10):
        """The next client that has an outcome, with that; None when none comes."""
        while True:
            if not self.ready:
                self.ready.extend(fd for fd, _ in self.poll.poll(timeout * 1000))
            if not self.ready:
                return None, None
            client = self.waiting[self.ready.popleft()]
            outcome = client.hear(0)
            if outcome is not None:
                fd = client.connection.transport.sock.fileno()
                self.poll.unregister(fd)
                del self.waiting[fd]
                return client, outcome


def hand_over(waiting):
    """Each that is granted gives back; returns the clients in the order of that."""
    arrivals, order = Arrivals(waiting), []
    for _ in waiting:
        client, outcome = arrivals.next()
        assert client, f"nobody is granted anything after {len(order)}"
        assert is_granted(outcome), outcome
        order.append(client)
        client.release()
    return order


def nothing_is_held(daemon):
    with daemon.connect() as looker:
        until(lambda: not own.locks(looker), "nothing is held")
        assert own.waiters(looker) == []
