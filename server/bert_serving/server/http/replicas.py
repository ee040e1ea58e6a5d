"""One backend for a model that several servers have.

A request goes to the replica with the fewest pending requests. A replica that is away or shutting down gets none until
it sends its status again. Its pending requests go to another replica, once.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from ..protocol.options import EncodingOptions
from . import server_backend
from .backend import DEFAULT_OPTIONS, STATUS_AGE_S, Encoding, IsGone
from .errors import HTTPError
from .health import StatusSnapshot, judge
from .requests import Rows
from .server_backend import ServerBackend
from .upstreams import ReplicaBook, Upstream

logger = logging.getLogger(__name__)

Answer = TypeVar('Answer')

AWAY_S = 1.0
"""Seconds that a request waits for a connection to a replica before it goes to another one."""

_ELSEWHERE = ('Unavailable', 'ShuttingDown')
"""The errors of a server after which a request goes to another replica: it was not computed, or its reply is lost."""


class ReplicatedBackend:
    """The `Backend` for one model name. Thread-safe."""

    def __init__(self, upstreams: Sequence[Upstream]) -> None:
        """The servers need not be running yet.

        Raises:
            ValueError: a host is not an address.
        """
        self.upstreams = list(upstreams)
        away_s = AWAY_S if len(upstreams) > 1 else server_backend.AWAY_S
        self._replicas = [ServerBackend(each.host, each.port, each.port_out, away_s, each.keys) for each in upstreams]
        self._lock = threading.Lock()  # guards the next two
        self._book = ReplicaBook(len(upstreams))
        self._failed_at = [float('-inf')] * len(upstreams)

    def encode(
        self,
        rows: Rows,
        deadline: float,
        is_gone: IsGone,
        show_tokens: bool = False,
        options: EncodingOptions = DEFAULT_OPTIONS,
    ) -> Encoding:
        """The vectors of `rows`."""
        return self._ask(lambda replica: replica.encode(rows, deadline, is_gone, show_tokens, options))

    def predict(self, rows: Rows, deadline: float, is_gone: IsGone, options: EncodingOptions) -> Encoding:
        """The scores of `rows`, which are texts or pairs: `array` is [B, L]."""
        return self._ask(lambda replica: replica.predict(rows, deadline, is_gone, options))

    def tokenize(
        self, rows: Rows, deadline: float, is_gone: IsGone, options: EncodingOptions = DEFAULT_OPTIONS
    ) -> Encoding:
        """The tokens and ids of `rows`, as in `ServerBackend.tokenize`."""
        return self._ask(lambda replica: replica.tokenize(rows, deadline, is_gone, options))

    def decode(self, rows: Rows, deadline: float, is_gone: IsGone, options: EncodingOptions) -> list[str]:
        """Decode rows of token ids to texts."""
        return self._ask(lambda replica: replica.decode(rows, deadline, is_gone, options))

    def server_status(self, max_age_s: float = STATUS_AGE_S) -> StatusSnapshot:
        """The status of an available replica, or else of the first. A fresh one is at most `max_age_s` old."""
        return self._present().server_status(max_age_s)

    def last_status(self) -> tuple[StatusSnapshot, float]:
        """The last status of that replica and its time, as `ServerBackend.last_status` gives them, without waiting."""
        return self._present().last_status()

    def replica_statuses(self) -> list[StatusSnapshot]:
        """The status of each replica, in the order of `upstreams`. It waits for all replicas at the same time."""
        threads, found = [], [StatusSnapshot(None, False)] * len(self._replicas)

        def ask(index: int) -> None:
            found[index] = self._replicas[index].server_status()

        for index in range(len(self._replicas)):
            threads.append(threading.Thread(target=ask, args=(index,), daemon=True))
            threads[-1].start()
        for thread in threads:
            thread.join()
        return found

    def describe(self) -> list[dict[str, Any]]:
        """Describe each replica for the status: its address, its availability, and its request counts."""
        self._look_around()
        with self._lock:
            book = self._book
            return [
                {
                    'address': upstream.address,
                    'is_away': book.is_away[index],
                    'unanswered_requests': book.unanswered[index],
                    'requests': book.requests[index],
                    'errors': book.errors[index],
                }
                for index, upstream in enumerate(self.upstreams)
            ]

    def client_status(self) -> Mapping[str, Any]:
        """The status of a pooled client of the first replica."""
        return self._replicas[0].client_status()

    def close(self) -> None:
        """End every call that waits and close every connection."""
        for replica in self._replicas:
            replica.close()

    def _present(self) -> ServerBackend:
        """The first replica that is there, else the first."""
        self._look_around()
        with self._lock:
            present = [index for index, away in enumerate(self._book.is_away) if not away]
        return self._replicas[present[0] if present else 0]

    def _ask(self, ask: Callable[[ServerBackend], Answer]) -> Answer:
        self._look_around()
        with self._lock:
            first = self._book.choose()
        try:
            return self._ask_one(first, ask)
        except HTTPError as error:
            if error.name not in _ELSEWHERE:
                raise
            with self._lock:
                second = self._book.choose_other(first)
            if second is None:
                raise
            addresses = self.upstreams[first].address, self.upstreams[second].address
            logger.warning('sent a request to another replica from=%s to=%s: %s', *addresses, error.message)
            return self._ask_one(second, ask)

    def _ask_one(self, index: int, ask: Callable[[ServerBackend], Answer]) -> Answer:
        is_error = True
        try:
            answer = ask(self._replicas[index])
            is_error = False
            return answer
        except HTTPError as error:
            is_error = error.status >= 500
            if error.name in _ELSEWHERE:
                with self._lock:
                    self._book.is_away[index] = True
                    self._failed_at[index] = time.monotonic()
            raise
        finally:
            with self._lock:
                self._book.end(index, is_error)

    def _look_around(self) -> None:
        """Update the availability of replicas from their last statuses, and request newer ones without waiting."""
        for index, replica in enumerate(self._replicas):
            snapshot, asked_at = replica.last_status()
            with self._lock:
                if asked_at <= self._failed_at[index]:
                    continue
                was_away, is_away = self._book.is_away[index], not judge(snapshot).is_ready
                self._book.is_away[index] = is_away
            if was_away != is_away:
                state = 'is away' if is_away else 'is back'
                logger.warning('upstream %s at %s %s', self.upstreams[index].name, self.upstreams[index].address, state)
