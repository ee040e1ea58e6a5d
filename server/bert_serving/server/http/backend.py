"""The server behind, as the routes see it: asked over its two ports by clients that are ours for a moment each.

Used by the worker threads of the proxy. A request gets a client of the pool, which is its own until the answer has come,
so that each has its deadline; a client finds a server that was restarted by itself, and sends what is pending again. A
server that is away is waited for only for a moment: whoever asks over HTTP is better told to try again.

The status is asked for by a thread of its own, at most once a second however many want it, so that neither probes nor
metrics need a connection or a thread of the encoding requests.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bert_serving.client import (
    BertClient,
    CancelledError,
    ProtocolError,
    ServerError,
    SharedClientError,
    UnsupportedError,
)

from .errors import HTTPError, error_from_server
from .health import Report
from .requests import Rows

logger = logging.getLogger(__name__)

AWAY_S = 5.0
"""How long a request waits for a connection to the server before it is refused."""

STATUS_TIMEOUT_S = 2.0
"""How long the ventilator may take to answer before it counts as dead."""

STATUS_AGE_S = 1.0
"""How old a status may be that is answered without asking again."""

IsGone = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Encoding:
    """What the server answered: `array` is [B, D] or [B, T, D] (of `tokenize`: ids, [B, T]).

    `tokens` is '' where the server does not show them, `counts` None where it cannot count them (release 1.10).
    """

    array: NDArray[np.generic]
    tokens: Sequence[Sequence[str]] | str
    counts: Sequence[int] | None


class Backend(Protocol):
    """What the routes need of the server behind. `deadline` is a time of `time.monotonic`.

    `is_gone` tells whether nobody waits for the answer any more. All raise `HTTPError` only.
    """

    def encode(self, rows: Rows, deadline: float, is_gone: IsGone, show_tokens: bool = False) -> Encoding: ...

    def tokenize(self, rows: Rows, deadline: float, is_gone: IsGone) -> Encoding: ...

    def report(self, max_age_s: float = STATUS_AGE_S) -> Report: ...

    def client_status(self) -> Mapping[str, Any]: ...


class ServerBackend:
    """The `Backend` that asks a `BertServer`. Thread-safe."""

    def __init__(self, ip: str, port: int, port_out: int) -> None:
        """The server need not be there yet. There will be as many connections as there are threads that ask."""
        self._ip, self._port, self._port_out = ip, port, port_out
        self._lock = threading.Lock()  # guards what follows
        self._clients: list[BertClient] = []
        self._idle: list[BertClient] = []
        self._is_closed = False
        self._watch = StatusWatch(self._make_client())

    def encode(self, rows: Rows, deadline: float, is_gone: IsGone, show_tokens: bool = False) -> Encoding:
        """The vectors of `rows`."""
        with self._asking(deadline, is_gone) as (client, cancelled):
            try:
                encoded = client.encode_with_details(
                    rows.items, rows.form == 'tokens', token_ids=rows.form == 'ids', cancelled=cancelled
                )  # fmt: skip
            except UnsupportedError:
                return _encode_as_1_10(client, rows, show_tokens)
            return Encoding(encoded.array, encoded.tokens, encoded.token_counts)

    def tokenize(self, rows: Rows, deadline: float, is_gone: IsGone) -> Encoding:
        """The tokens and ids of `rows`."""
        with self._asking(deadline, is_gone) as (client, cancelled):
            try:
                encoded = client.tokenize(rows.items, rows.form == 'tokens', cancelled=cancelled)
            except UnsupportedError:
                raise HTTPError(
                    'NotImplemented', 'the server behind cannot tokenise only: it is of release 1.10'
                ) from None
            return Encoding(encoded.array, encoded.tokens, encoded.token_counts)

    def report(self, max_age_s: float = STATUS_AGE_S) -> Report:
        """The status of the server, at most so old."""
        return self._watch.report(max_age_s)

    def client_status(self) -> Mapping[str, Any]:
        """The status of one client of the pool, with the numbers of requests of all."""
        with self._lock:
            parts = [client.status for client in self._clients]
        pending = sorted(set().union(*(part['pending_request'] for part in parts)))
        return {
            **parts[0],
            'identity': parts[0]['identity'].decode('utf-8', 'replace'),
            'num_request': sum(part['num_request'] for part in parts),
            'pending_request': pending,
            'num_pending_request': len(pending),
        }

    def close(self) -> None:
        """End what waits and close every connection."""
        with self._lock:
            self._is_closed = True
            clients = list(self._clients)
        self._watch.close()
        for client in clients:
            client.close()

    @contextlib.contextmanager
    def _asking(self, deadline: float, is_gone: IsGone) -> Iterator[tuple[BertClient, Callable[[], bool]]]:
        """A client for one request, and what ends the request early. What goes wrong leaves as an `HTTPError`."""
        with self._borrowed() as client:
            condition = _CancelCondition(client, is_gone)
            client.timeout = max(0.0, 1000 * (deadline - time.monotonic()))
            try:
                yield client, condition.is_met
            except ServerError as error:
                raise error_from_server(error.type, error.message) from None
            except CancelledError:
                raise condition.error from None
            except TimeoutError:
                raise condition.timeout_error() from None
            except ProtocolError as error:
                raise HTTPError('BadGateway', 'the answer of the server behind cannot be read: %s' % error) from None
            except (TypeError, ValueError) as error:
                raise HTTPError('BadRequest', str(error), type_name=type(error).__name__) from None
            except RuntimeError as error:
                if isinstance(error, SharedClientError) or not self._is_closed:
                    raise
                raise HTTPError('ShuttingDown', 'this proxy is shutting down') from None

    @contextlib.contextmanager
    def _borrowed(self) -> Iterator[BertClient]:
        """An idle client, or a new one: so many are made as there are threads that ask at once."""
        with self._lock:
            if self._is_closed:
                raise HTTPError('ShuttingDown', 'this proxy is shutting down')
            idle = self._idle.pop() if self._idle else None
        client = idle or self._make_client()
        try:
            yield client
        finally:
            with self._lock:
                self._idle.append(client)

    def _make_client(self) -> BertClient:
        client = BertClient(self._ip, self._port, self._port_out, ignore_all_checks=True)
        with self._lock:
            self._clients.append(client)
        return client


def _encode_as_1_10(client: BertClient, rows: Rows, show_tokens: bool) -> Encoding:
    """The same by a request that a server of release 1.10 can read."""
    if rows.form == 'ids':
        raise HTTPError('NotImplemented', 'the server behind takes no token ids: it is of release 1.10', 'input')
    answer = client.encode(rows.items, is_tokenized=rows.form == 'tokens', show_tokens=show_tokens)
    array, tokens = answer if isinstance(answer, tuple) else (answer, '')
    return Encoding(array, tokens, None)


class _CancelCondition:
    """How long one request is waited for: as long as somebody wants its answer and there is a server to give it."""

    def __init__(self, client: BertClient, is_gone: IsGone) -> None:
        self._client = client
        self._is_gone = is_gone
        self._connected_at = time.monotonic()
        self.error = HTTPError('ClientGone', 'the caller has gone')

    def is_met(self) -> bool:
        if self._client.is_connected:
            self._connected_at = time.monotonic()
        elif time.monotonic() - self._connected_at > AWAY_S:
            self.error = self._unavailable()
            return True
        return self._is_gone()

    def timeout_error(self) -> HTTPError:
        if not self._client.is_connected:
            return self._unavailable()
        return HTTPError(
            'DeadlineExceeded', 'there was no answer within the time limit: send less at a time, or try again'
        )

    def _unavailable(self) -> HTTPError:
        return HTTPError('Unavailable', 'there is no connection to the server behind: try again later')


class StatusWatch:
    """Asks for the status, in a thread of its own, when somebody wants one that is younger than the last."""

    def __init__(self, client: BertClient) -> None:
        self._client = client
        self._client.timeout = 1000 * STATUS_TIMEOUT_S
        self._changed = threading.Condition()  # guards what follows
        self._status: Mapping[str, Any] | None = None
        self._is_fresh = False
        self._asked_at = self._asking_since = float('-inf')
        self._is_wanted = False
        self._is_closed = False
        threading.Thread(target=self._run, name='status', daemon=True).start()

    def report(self, max_age_s: float) -> Report:
        """What is known, once that is at most so old, and at the latest after the time that the server has to answer.

        It returns at once if that is so already, but if it is older than `STATUS_AGE_S`, another is asked for, for whoever
        comes next. It never fails: a server that is away is a report that is not fresh.
        """
        with self._changed:
            now = time.monotonic()
            since = now - max_age_s
            is_old = max(self._asked_at, self._asking_since) <= max(since, now - STATUS_AGE_S)
            if is_old:
                self._is_wanted = True
                self._changed.notify_all()
            if self._asked_at <= since:
                self._changed.wait_for(lambda: self._asked_at > since or self._is_closed, STATUS_TIMEOUT_S + 1)
            return Report(self._status, self._is_fresh and self._asked_at > since)

    def close(self) -> None:
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def _run(self) -> None:
        while self._wait_until_wanted():
            with self._changed:
                asked_at = self._asking_since = time.monotonic()
            try:
                status = self._client.server_status
            except Exception as error:  # whatever it is, the next may succeed
                logger.debug('no status: %s: %s', type(error).__name__, error)
                status = None
            with self._changed:
                self._status = status or self._status
                self._is_fresh = status is not None
                self._asked_at = asked_at if status is not None else time.monotonic()
                self._asking_since = float('-inf')
                self._changed.notify_all()

    def _wait_until_wanted(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._is_wanted or self._is_closed)
            self._is_wanted = False
            return not self._is_closed
