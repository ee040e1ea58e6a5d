"""The clients with which a proxy calls a server: one for each request in progress, kept for later requests.

The server's own proxy has separate clients for each principal. Their identities contain the name of the principal, so
the server charges its HTTP requests to it.
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
"""The minimum idle clients to keep. The pool keeps more if more were ever in use at once."""


def identity_for(principal: str) -> str:
    """Make an identity with which the server's own proxy sends requests for a principal."""
    return '%s.%s.%s' % (PROXY, principal, uuid.uuid4().hex)


class ClientPool:
    """The clients of one proxy. Thread-safe."""

    def __init__(self, make: Callable[[str], BertClient], max_idle: int = MAX_IDLE) -> None:
        """`make` makes a client for the principal of that name, or for no principal if the name is empty."""
        self._make = make
        self._max_idle = max_idle
        self._lock = threading.Lock()  # guards all below
        self._clients: list[BertClient] = []
        self._idle: list[tuple[str, BertClient]] = []  # the most recently used is the last
        self._num_borrowed = self._most_borrowed = 0
        self._past_requests = 0
        self._is_closed = False

    @property
    def is_closed(self) -> bool:
        """Whether the pool is closed and lends no more clients."""
        return self._is_closed

    @contextmanager
    def borrow(self, principal: str) -> Iterator[BertClient]:
        """Lend an idle client for a principal, or a new one.

        Raises:
            HTTPError: ShuttingDown, because the pool is closed.
        """
        client = self._take(principal)
        try:
            client = client or self.make(principal)
            yield client
        finally:
            for each in self._put_back(principal, client):
                each.close()

    def make(self, principal: str) -> BertClient:
        """Make a client that the pool closes but does not lend.

        Raises:
            HTTPError: ShuttingDown, because the pool is closed.
        """
        client = self._make(principal)
        with self._lock:
            if not self._is_closed:
                self._clients.append(client)
                return client
        client.close()
        raise make_refusal('ShuttingDown')

    def statuses(self) -> tuple[list[dict[str, Any]], int]:
        """Return the status of each client, and the number of requests of the closed clients."""
        with self._lock:
            return [client.status for client in self._clients], self._past_requests

    def close(self) -> None:
        """Close every client, which ends all waiting calls."""
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
        """Keep a client for later requests, and return the excess clients, the least recently used.

        `client` is None if it could not be made.
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
