"""The interface of the routes to the server: pooled `BertClient`s call it through its two ports.

The threads of the proxy use it. Each request borrows a client until its response arrives, so each has its own deadline.
A client reconnects to a restarted server and resends pending requests. Without a connection, a request waits only
`AWAY_S`, because an HTTP client can retry.

A separate thread polls the status, at most once a second for all callers. So probes and metrics take no connection and
no thread from encoding requests.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bert_serving.client import (
    AuthenticationError,
    BertClient,
    CancelledError,
    Encoded,
    ProtocolError,
    ServerError,
    SharedClientError,
    UnsupportedError,
)

from ..protocol.options import EncodingOptions
from ..security.client_keys import NO_KEYS, ClientKeys
from .client_pool import PRINCIPAL, ClientPool, identity_for
from .errors import HTTPError, error_from_server, make_refusal
from .health import StatusSnapshot
from .requests import Rows
from .responses import fit_dimensions

logger = logging.getLogger(__name__)

AWAY_S = 5.0
"""Seconds that a request waits for a connection to the server before it fails."""

STATUS_TIMEOUT_S = 2.0
"""Seconds without a status after which the ventilator counts as dead."""

STATUS_AGE_S = 1.0
"""Age in seconds at which the thread asks for a new status."""

_MARKER = ' ||| '
"""The separator of a pair of texts in 1.10."""

DEFAULT_OPTIONS = EncodingOptions()

TRACEPARENT: ContextVar[str | None] = ContextVar('traceparent', default=None)
"""The parent of the spans of this thread's request, or None if it is not traced (`tracing.py`)."""

IsGone = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Encoding:
    """The result of a call. `array` is [B, D] or [B, T, D]; for `predict` scores [B, L], for `tokenize` ids [B, T].

    `tokens` is '' if the server does not show them. `counts` is None if the server does not count tokens (release
    1.10). `truncated` has the truncated rows, counted from 0; it is empty with release 1.10.
    """

    array: NDArray[np.generic]
    tokens: Sequence[Sequence[str]] | str
    counts: Sequence[int] | None
    truncated: Sequence[int] = ()

    @classmethod
    def of(cls, encoded: Encoded) -> Encoding:
        """Convert the result of a client's call."""
        return cls(encoded.array, encoded.tokens, encoded.token_counts, encoded.truncated_rows)


class Backend(Protocol):
    """The interface of the server to the routes.

    `deadline` is a time of `time.monotonic`. `is_gone` returns whether the HTTP client has disconnected. Methods raise
    only `HTTPError`.
    """

    def encode(
        self,
        rows: Rows,
        deadline: float,
        is_gone: IsGone,
        show_tokens: bool = False,
        options: EncodingOptions = DEFAULT_OPTIONS,
    ) -> Encoding: ...

    def predict(self, rows: Rows, deadline: float, is_gone: IsGone, options: EncodingOptions) -> Encoding: ...

    def tokenize(
        self, rows: Rows, deadline: float, is_gone: IsGone, options: EncodingOptions = DEFAULT_OPTIONS
    ) -> Encoding: ...

    def decode(self, rows: Rows, deadline: float, is_gone: IsGone, options: EncodingOptions) -> list[str]: ...

    def server_status(self, max_age_s: float = STATUS_AGE_S) -> StatusSnapshot: ...

    def client_status(self) -> Mapping[str, Any]: ...


class ServerBackend:
    """The `Backend` that calls a `BertServer`. Thread-safe."""

    def __init__(
        self,
        ip: str,
        port: int,
        port_out: int,
        away_s: float = AWAY_S,
        keys: ClientKeys = NO_KEYS,
        names_principals: bool = False,
    ) -> None:
        """The server need not be running yet. The number of connections grows to the number of concurrent calls.

        `away_s` is how long a request waits for a connection before it fails. With `names_principals`, which is for the
        server's own proxy alone, the identity of a connection says for which principal it is.

        Raises:
            ValueError: `ip` is not an address, or `keys` cannot be read.
        """
        self._keys = keys
        self._ip, self._port, self._port_out, self._away_s = ip, port, port_out, away_s
        self._names_principals = names_principals
        self._pool = ClientPool(self._make_client)
        self._watch = StatusWatch(self._pool.make(''))

    def encode(
        self,
        rows: Rows,
        deadline: float,
        is_gone: IsGone,
        show_tokens: bool = False,
        options: EncodingOptions = DEFAULT_OPTIONS,
    ) -> Encoding:
        """Encode `rows` as vectors."""
        with self._calling(deadline, is_gone) as (client, cancelled):
            is_tokenized, token_ids, wishes = rows.form == 'tokens', rows.form == 'ids', _wishes(options, rows)
            try:
                encoded = client.encode_with_details(
                    rows.items, is_tokenized, token_ids=token_ids, cancelled=cancelled, **wishes, **current_trace()
                )
            except UnsupportedError:
                return _checked(_encode_as_1_10(client, rows, show_tokens, wishes))
            return _checked(Encoding.of(encoded))

    def predict(self, rows: Rows, deadline: float, is_gone: IsGone, options: EncodingOptions) -> Encoding:
        """Score `rows`, which are texts or pairs. `array` is [B, L]."""
        with self._calling(deadline, is_gone) as (client, cancelled):
            try:
                encoded = client.predict_with_details(
                    rows.items, bool(options.raw), options.truncate, cancelled, **current_trace()
                )
            except UnsupportedError:
                raise HTTPError(
                    'NotImplemented', 'the server has release 1.10, which cannot predict scores: update it'
                ) from None
            return _checked(Encoding.of(encoded))

    def tokenize(
        self, rows: Rows, deadline: float, is_gone: IsGone, options: EncodingOptions = DEFAULT_OPTIONS
    ) -> Encoding:
        """Return the tokens and ids of `rows`. With `options.offsets`, `array` is [B, T, 3]: id, start and end."""
        with self._calling(deadline, is_gone) as (client, cancelled):
            try:
                encoded = client.tokenize(
                    rows.items,
                    rows.form == 'tokens',
                    cancelled=cancelled,
                    offsets=bool(options.offsets),
                    prompt_name=options.prompt_name,
                )
            except UnsupportedError:
                raise HTTPError(
                    'NotImplemented', 'the server has release 1.10, which cannot tokenize without encoding: update it'
                ) from None
            return Encoding.of(encoded)

    def decode(self, rows: Rows, deadline: float, is_gone: IsGone, options: EncodingOptions) -> list[str]:
        """Decode the token ids of `rows` to texts."""
        with self._calling(deadline, is_gone) as (client, cancelled):
            try:
                texts: list[str] = client.decode(rows.items, bool(options.special_tokens), cancelled)
            except UnsupportedError:
                raise HTTPError(
                    'NotImplemented', 'the server has release 1.10, which cannot decode token ids: update it'
                ) from None
            return texts

    def server_status(self, max_age_s: float = STATUS_AGE_S) -> StatusSnapshot:
        """The status of the server. A fresh one is at most `max_age_s` old."""
        return self._watch.latest(max_age_s)

    def last_status(self) -> tuple[StatusSnapshot, float]:
        """The last status and the time of its request. If it is old, request the next one without waiting."""
        return self._watch.last()

    def client_status(self) -> Mapping[str, Any]:
        """The status of one pooled client, with the request counts of all."""
        parts, past_requests = self._pool.statuses()
        pending = sorted(set().union(*(part['pending_request'] for part in parts)))
        return {
            **parts[0],
            'identity': parts[0]['identity'].decode('utf-8', 'replace'),
            'num_request': past_requests + sum(part['num_request'] for part in parts),
            'pending_request': pending,
            'num_pending_request': len(pending),
        }

    def close(self) -> None:
        """End every waiting call and close every connection."""
        self._watch.close()
        self._pool.close()

    @contextlib.contextmanager
    def _calling(self, deadline: float, is_gone: IsGone) -> Iterator[tuple[BertClient, Callable[[], bool]]]:
        """Yield a client for one request, with the condition that cancels it. Every failure raises an `HTTPError`."""
        with self._pool.borrow(PRINCIPAL.get() if self._names_principals else '') as client:
            condition = _CancelCondition(client, is_gone, self._away_s)
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
                raise HTTPError('BadGateway', 'cannot read the response of the server: %s' % error) from None
            except (TypeError, ValueError) as error:
                raise HTTPError('BadRequest', str(error), type_name=type(error).__name__) from None
            except AuthenticationError as error:
                raise HTTPError('BadGateway', 'the server rejected the HTTP proxy: %s' % error) from None
            except RuntimeError as error:
                if isinstance(error, SharedClientError) or not self._pool.is_closed:
                    raise
                raise make_refusal('ShuttingDown') from None

    def _make_client(self, principal: str) -> BertClient:
        return BertClient(
            self._ip,
            self._port,
            self._port_out,
            identity=identity_for(principal) if principal else None,
            ignore_all_checks=True,
            server_key=self._keys.server_key,
            key_file=self._keys.key_file,
        )


def current_trace() -> dict[str, Any]:
    """The client's argument for a traced request, or {} for any other."""
    traceparent = TRACEPARENT.get()
    return {} if traceparent is None else {'traceparent': traceparent}


def _checked(encoding: Encoding) -> Encoding:
    """Return `encoding`, or raise HTTPError if a number is not finite, which 1.10 sends but JSON cannot hold."""
    if not np.isfinite(encoding.array).all():
        raise HTTPError('NotFinite', 'the model computed NaN or infinity for a text: leave it out')
    return encoding


def _wishes(options: EncodingOptions, rows: Rows) -> dict[str, Any]:
    """The client's arguments for `options`, or none if 1.10 would give the same result."""
    wishes = options.to_json()
    if wishes.pop('pairs', None) is False and rows.form == 'texts' and any(_MARKER in text for text in rows.items):
        wishes['joined_pairs'] = False
    return wishes


def _encode_as_1_10(client: BertClient, rows: Rows, show_tokens: bool, wishes: dict[str, Any]) -> Encoding:
    """Encode `rows` with a server of release 1.10. This process truncates and normalizes the vectors."""
    if rows.form == 'ids':
        raise HTTPError(
            'NotImplemented', 'the server has release 1.10, which does not accept token ids: send texts', 'input'
        )
    dimensions, normalize = wishes.pop('dimensions', None), wishes.pop('normalize', None)
    if wishes:
        message = "the server has release 1.10, which takes a text with ' ||| ' for a pair: remove it from the text"
        if 'joined_pairs' not in wishes:
            message = 'the server has release 1.10, which does not support "%s": leave it out' % next(iter(wishes))
        raise HTTPError('NotImplemented', message)
    result = client.encode(rows.items, is_tokenized=rows.form == 'tokens', show_tokens=show_tokens)
    array, tokens = result if isinstance(result, tuple) else (result, '')
    if dimensions is not None or normalize:
        array = fit_dimensions(array, dimensions, normalize is not False)
    return Encoding(array, tokens, None)


class _CancelCondition:
    """The condition to cancel a request: its HTTP client has disconnected, or the server is away for too long."""

    def __init__(self, client: BertClient, is_gone: IsGone, away_s: float) -> None:
        self._client = client
        self._away_s = away_s
        self._is_gone = is_gone
        self._connected_at = time.monotonic()
        self.error = HTTPError('ClientGone', 'the client has disconnected')
        """The reason, after `is_met` has returned True."""

    def is_met(self) -> bool:
        if self._client.is_connected:
            self._connected_at = time.monotonic()
        elif time.monotonic() - self._connected_at > self._away_s:
            self.error = self._unavailable()
            return True
        return self._is_gone()

    def timeout_error(self) -> HTTPError:
        """The error of a request whose deadline has passed."""
        if not self._client.is_connected:
            return self._unavailable()
        return HTTPError(
            'DeadlineExceeded', 'no reply from the server within the time limit: send less at a time, or retry later'
        )

    def _unavailable(self) -> HTTPError:
        return HTTPError('Unavailable', 'no connection to the server: retry later')


class StatusWatch:
    """A thread that requests the server's status whenever a caller needs a newer one."""

    def __init__(self, client: BertClient) -> None:
        self._client = client
        self._client.timeout = 1000 * STATUS_TIMEOUT_S
        self._changed = threading.Condition()  # guards everything below
        self._status: Mapping[str, Any] | None = None
        self._has_answered = False
        """Whether the server answered the last request."""
        self._asked_at = float('-inf')
        """The time of the last finished request. Without an answer, the time when it was given up."""
        self._asking_since = float('-inf')
        """The time of the current request, if there is one."""
        self._is_wanted = False
        self._is_closed = False
        threading.Thread(target=self._run, name='status', daemon=True).start()

    def latest(self, max_age_s: float) -> StatusSnapshot:
        """Wait for a status that is at most `max_age_s` old, and return the latest one.

        It waits at most for the server's time limit, and not at all if the status is new enough. If that is older than
        `STATUS_AGE_S`, it also requests the next one for later callers. It never fails: if the server is away, the
        snapshot is not fresh.
        """
        with self._changed:
            oldest = time.monotonic() - max_age_s
            self._refresh(max_age_s)
            if self._asked_at <= oldest:
                self._changed.wait_for(lambda: self._asked_at > oldest or self._is_closed, STATUS_TIMEOUT_S + 1)
            return StatusSnapshot(self._status, self._has_answered and self._asked_at > oldest)

    def last(self) -> tuple[StatusSnapshot, float]:
        """The outcome of the last request, and its time: when it was sent or, without an answer, given up.

        The time is -inf before the first. If it is older than `STATUS_AGE_S`, this requests the next status.
        """
        with self._changed:
            self._refresh(STATUS_AGE_S)
            return StatusSnapshot(self._status, self._has_answered), self._asked_at

    def _refresh(self, max_age_s: float) -> None:
        """Request a status if the last one is older than `max_age_s` or `STATUS_AGE_S`."""
        if max(self._asked_at, self._asking_since) <= time.monotonic() - min(max_age_s, STATUS_AGE_S):
            self._is_wanted = True
            self._changed.notify_all()

    def close(self) -> None:
        """End the thread and every waiting call of `latest`."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def _run(self) -> None:
        while self._wait_until_wanted():
            with self._changed:
                asked_at = self._asking_since = time.monotonic()
            try:
                status = self._client.server_status
            except Exception as error:  # of any kind: the next request might succeed
                logger.debug('could not get the status of the server: %s: %s', type(error).__name__, error)
                status = None
            with self._changed:
                self._status = status or self._status
                self._has_answered = status is not None
                self._asked_at = asked_at if status is not None else time.monotonic()
                self._asking_since = float('-inf')
                self._changed.notify_all()

    def _wait_until_wanted(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._is_wanted or self._is_closed)
            self._is_wanted = False
            return not self._is_closed
