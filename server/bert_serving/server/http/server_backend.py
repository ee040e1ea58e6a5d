"""The `Backend` that is a server: pooled `BertClient`s call it through its two ports.

The threads of the proxy use it. Each call borrows a client until its response arrives, so each has its own deadline.
A client reconnects to a restarted server and resends pending requests. Without a connection, a call waits only
`AWAY_S`, because an HTTP client can retry. Small requests share calls while the server is busy (`shared_calls.py`).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any

import numpy as np

from bert_serving.client import (
    AuthenticationError,
    BertClient,
    CancelledError,
    ProtocolError,
    ServerError,
    SharedClientError,
    UnsupportedError,
)

from ..protocol.options import EncodingOptions
from ..security.client_keys import NO_KEYS, ClientKeys
from .backend import DEFAULT_OPTIONS, STATUS_AGE_S, Encoding, IsGone
from .client_pool import PRINCIPAL, ClientPool, identity_for
from .errors import HTTPError, error_from_server, make_refusal
from .health import StatusSnapshot
from .requests import Rows
from .responses import fit_dimensions
from .shared_calls import SharedCalls
from .sharing import can_share, max_shared_rows
from .status_watch import StatusWatch

AWAY_S = 5.0
"""Seconds that a request waits for a connection to the server before it fails."""

_MARKER = ' ||| '
"""The separator of a pair of texts in 1.10."""

TRACEPARENT: ContextVar[str | None] = ContextVar('traceparent', default=None)
"""The parent of the spans of this thread's request, or None if it is not traced (`tracing.py`)."""


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
        self._shared = SharedCalls(self._encode, lambda: max_shared_rows(self._watch.last()[0].status))

    def encode(
        self,
        rows: Rows,
        deadline: float,
        is_gone: IsGone,
        show_tokens: bool = False,
        options: EncodingOptions = DEFAULT_OPTIONS,
    ) -> Encoding:
        """Encode `rows` as vectors. A small request can share a call with others, unless it is traced."""
        if show_tokens or TRACEPARENT.get() is not None or not can_share(rows):
            return self._encode(rows, deadline, is_gone, options, show_tokens)
        return self._shared.encode(rows, deadline, is_gone, options, self._principal)

    def _encode(
        self, rows: Rows, deadline: float, is_gone: IsGone, options: EncodingOptions, show_tokens: bool = False
    ) -> Encoding:
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

    @property
    def _principal(self) -> str:
        """The principal for whom this thread calls, or '' if the server does not get to know."""
        return PRINCIPAL.get() if self._names_principals else ''

    @contextlib.contextmanager
    def _calling(self, deadline: float, is_gone: IsGone) -> Iterator[tuple[BertClient, Callable[[], bool]]]:
        """Yield a client for one request, with the condition that cancels it. Every failure raises an `HTTPError`."""
        with self._pool.borrow(self._principal) as client:
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
