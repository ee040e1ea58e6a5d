"""Small requests that arrive while the server is busy share a call.

A call costs the proxy, the ventilator and the sink about as much for one text as for ten. The first request waits a
moment for others, and then calls the server with the texts of all. With fewer than two pending requests, nobody waits.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from ..protocol.options import EncodingOptions
from .backend import Encoding, IsGone
from .errors import HTTPError
from .requests import Rows
from .sharing import BUSY_REQUESTS, Pace, split_encoding

EncodeRows = Callable[[Rows, float, IsGone, EncodingOptions], Encoding]
"""A call of the server: rows, deadline, whether nobody waits for the result any more, and options."""

_REFUSALS = ('Busy', 'ShuttingDown', 'Unavailable', 'ClientGone')
"""The errors of a shared call that each of its requests gets, so that a server in trouble does not get more calls.

After any other error each request calls alone, because perhaps only one of them is at fault."""


class _Request:
    """A request that shares a call. After `wait`, it has an `encoding` or a `refusal`, or neither and calls alone."""

    __slots__ = ('_lock', 'deadline', 'encoding', 'is_gone', 'refusal', 'rows')

    def __init__(self, rows: Rows, deadline: float, is_gone: IsGone) -> None:
        self.rows = rows
        self.deadline = deadline
        self.is_gone = is_gone
        self._lock = threading.Lock()  # held until the call is done: an Event would cost several times as much
        self._lock.acquire()
        self.encoding: Encoding | None = None
        self.refusal: HTTPError | None = None

    def wait(self) -> None:
        """Wait for `finish`. Only one thread may wait, and only once."""
        self._lock.acquire()

    def finish(self) -> None:
        """Let the waiting thread go on."""
        self._lock.release()


class _SharedCall:
    """The requests of a call that is not sent yet."""

    __slots__ = ('_room', 'is_full', 'requests')

    def __init__(self, first: _Request, max_rows: int) -> None:
        self.requests = [first]
        self._room = max_rows - len(first.rows.items)
        self.is_full = threading.Event()

    def add(self, request: _Request) -> bool:
        """Add a request if there is room, and return whether there was."""
        self._room -= len(request.rows.items)
        if self._room <= 0:
            self.is_full.set()
        if self._room < 0:
            return False
        self.requests.append(request)
        return True


class SharedCalls:
    """The calls of small requests. Thread-safe."""

    def __init__(self, call: EncodeRows, max_rows: Callable[[], int]) -> None:
        """`max_rows` returns the maximum number of texts in a shared call; 1 if none should be shared."""
        self._call = call
        self._max_rows = max_rows
        self._lock = threading.Lock()  # guards all below
        self._open: dict[tuple[str, EncodingOptions], _SharedCall] = {}
        self._pending = 0
        self._pace = Pace()

    def encode(
        self, rows: Rows, deadline: float, is_gone: IsGone, options: EncodingOptions, principal: str = ''
    ) -> Encoding:
        """Encode `rows`, in a call with other requests of the same principal and options if the server is busy.

        `deadline` is a time of `time.monotonic`. The array of the result is [B, D], one row for each of `rows`.

        Raises:
            HTTPError: as the call.
        """
        wait_s = self._pace.wait_s if self._pending >= BUSY_REQUESTS else 0.0
        if wait_s and deadline - time.monotonic() > self._pace.least_left_s:
            max_rows = self._max_rows()
            if len(rows.items) < max_rows:
                request = _Request(rows, deadline, is_gone)
                self._share(request, (principal, options), max_rows, wait_s)
                if request.encoding is not None:
                    return request.encoding
                if request.refusal is not None:
                    raise request.refusal.copy()
        return self._timed(rows, deadline, is_gone, options)

    def _share(self, request: _Request, key: tuple[str, EncodingOptions], max_rows: int, wait_s: float) -> None:
        with self._lock:
            shared = self._open.get(key)
            is_first = shared is None or not shared.add(request)
            if is_first:
                shared = self._open[key] = _SharedCall(request, max_rows)
        assert shared is not None
        if not is_first:
            request.wait()
            return
        shared.is_full.wait(wait_s)
        with self._lock:  # from now on, nobody joins
            if self._open.get(key) is shared:
                del self._open[key]
        self._send(shared.requests, key[1])

    def _send(self, requests: Sequence[_Request], options: EncodingOptions) -> None:
        if len(requests) == 1:
            return
        deadline = min(request.deadline for request in requests)
        try:
            encoding = self._timed(
                Rows([text for request in requests for text in request.rows.items]),
                deadline,
                lambda: all(request.is_gone() for request in requests),
                options,
                len(requests),
            )
            if encoding.array.ndim > 2:
                return  # the server has restarted with the strategy NONE, which pads the rows of a call to one length
            sizes = [len(request.rows.items) for request in requests]
            for request, part in zip(requests, split_encoding(encoding, sizes)):
                request.encoding = part
        except HTTPError as error:
            is_late = error.name == 'Unavailable' and time.monotonic() >= deadline  # the others have time to call again
            if error.name in _REFUSALS and not is_late:
                for request in requests:
                    request.refusal = error
        finally:
            for request in requests:
                request.finish()

    def _timed(
        self, rows: Rows, deadline: float, is_gone: IsGone, options: EncodingOptions, num_requests: int = 1
    ) -> Encoding:
        began_at = time.monotonic()
        with self._lock:
            self._pending += num_requests
        try:
            return self._call(rows, deadline, is_gone, options)
        finally:
            with self._lock:
                self._pending -= num_requests
                self._pace.record(time.monotonic() - began_at)
