"""The clients with which a proxy calls a server: one for each request in progress, kept for the next.

The server's own proxy has clients of their own for each principal. Their identities name it, so the server counts what
it asks for over HTTP as its own.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from bert_serving.client import BertClient

from ..security.gate import PROXY
from .errors import make_refusal

PRINCIPAL: ContextVar[str] = ContextVar('principal', default='')
"""The name of the principal whose request this thread serves; empty if it serves none."""

MAX_IDLE = 64
"""Clients that are kept although nobody uses them, if there were never more at once."""


def identity_for(principal: str) -> str:
    """A new identity of the server's own proxy with which it sends for a principal."""
    return '%s.%s.%s' % (PROXY, principal, uuid.uuid4().hex)


class ClientPool:
    """Thread-safe."""

    def __init__(self, make: Callable[[str], BertClient], max_idle: int = MAX_IDLE) -> None:
        """`make` makes a client for the principal of that name, or for none in particular."""
        self._make = make
        self._max_idle = max_idle
        self._lock = threading.Lock()  # guards all below
        self._clients: list[BertClient] = []
        self._idle: list[tuple[str, BertClient]] = []  # the one that was used last is the last
        self._num_borrowed = self._most_borrowed = 0
        self._past_requests = 0
        self._is_closed = False

    @property
    def is_closed(self) -> bool:
        """Whether no client is given out any more."""
        return self._is_closed

    @contextmanager
    def borrow(self, principal: str) -> Iterator[BertClient]:
        """An idle client for a principal, or a new one.

        Raises:
            HTTPError: ShuttingDown, the pool is closed.
        """
        client = self._take(principal)
        try:
            client = client or self.make(principal)
            yield client
        finally:
            for each in self._put_back(principal, client):
                each.close()

    def make(self, principal: str) -> BertClient:
        """Make a client that is closed with the pool; it is not idle.

        Raises:
            HTTPError: ShuttingDown, the pool is closed.
        """
        client = self._make(principal)
        with self._lock:
            if not self._is_closed:
                self._clients.append(client)
                return client
        client.close()
        raise make_refusal('ShuttingDown')

    def statuses(self) -> tuple[list[dict[str, Any]], int]:
        """The status of each client, and the number of requests of those that are closed."""
        with self._lock:
            return [client.status for client in self._clients], self._past_requests

    def close(self) -> None:
        """Close every client, which ends every call that waits."""
        with self._lock:
            self._is_closed = True
            clients = list(self._clients)
        for client in clients:
            client.close()

    def _take(self, principal: str) -> BertClient | None:
        with self._lock:
            if self._is_closed:
                raise make_refusal('ShuttingDown')
            self._num_borrowed += 1
            self._most_borrowed = max(self._most_borrowed, self._num_borrowed)
            for index in reversed(range(len(self._idle))):
                if self._idle[index][0] == principal:
                    return self._idle.pop(index)[1]
        return None

    def _put_back(self, principal: str, client: BertClient | None) -> list[BertClient]:
        """Keep a client for the next request; return those that are too many, which were not used for the longest.

        Without a client, none could be made.
        """
        with self._lock:
            self._num_borrowed -= 1
            if client is None:
                return []
            self._idle.append((principal, client))
            excess = max(0, len(self._idle) - max(self._max_idle, self._most_borrowed))
            removed = [each for _, each in self._idle[:excess]]
            del self._idle[:excess]
            for each in removed:
                self._clients.remove(each)
                self._past_requests += each.status['num_request']
            return removed
