"""The requests of a job: several threads, each with its own connection, send them and return the replies in order."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYetError
from contextlib import ExitStack
from types import TracebackType
from typing import Any

from bert_serving.client import BertClient, CancelledError, ServerError, UnsupportedError

from ..errors import StartError, UsageError
from ..parent.address import Address
from .asking import RETRIED, Encoded, RowsRefusedError, Vectors, encode_texts
from .rows import Piece

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT_MS = 60_000
"""Milliseconds to wait for the first reply of the server of `-server`."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 15.0
"""Seconds before the client sends a rejected request again. The pause doubles each time, up to the longest."""

LOOK_EVERY_S = 1.0
"""Seconds between checks that the server is still running, during a wait for a reply."""


def connect(server: Address, timeout_ms: int) -> BertClient:
    """Connect a client.

    Raises:
        StartError: no server answers in time.
        UsageError: the server belongs to another release.
    """
    try:
        return BertClient(
            server.host,
            server.port,
            server.port_out,
            check_length=False,
            timeout=timeout_ms,
            server_key=server.keys.server_key,
            key_file=server.keys.key_file,
        )
    except TimeoutError:
        raise StartError('-server: no server answered at %s within %d s' % (server, timeout_ms // 1000)) from None
    except AttributeError as error:  # another protocol
        raise UsageError('-server: %s' % error) from None


def describe_server(client: BertClient) -> tuple[dict[str, Any], str]:
    """Return the description of the server's model, and the release of the server.

    Raises:
        UsageError: the server is older than release 2.
    """
    try:
        config = client.server_config
        return dict(client.model), str(config['server_release'])
    except (UnsupportedError, KeyError):
        raise UsageError('-server: the server is older than release 2: update it') from None


def probe(client: BertClient, options: Mapping[str, Any]) -> tuple[int, str]:
    """Return the width and dtype of the arrays that the server returns with these options.

    Raises:
        UsageError: the server rejects the options.
    """
    try:
        answer = client.encode_with_details(['a'], **{**options, 'truncate': None}).array
    except (ServerError, UnsupportedError, TypeError, ValueError) as error:
        raise UsageError(error.message if isinstance(error, ServerError) else str(error)) from None
    if answer.ndim != 2:
        raise UsageError(
            'the server has -pooling_strategy NONE, which returns a vector for each token: start it with '
            'another strategy'
        )
    return int(answer.shape[1]), str(answer.dtype)


class Requests:
    """The requests in flight. A context manager that closes the clients at the end, even if they are waiting."""

    def __init__(
        self,
        server: Address,
        options: Mapping[str, Any],
        concurrency: int,
        why_gone: Callable[[], str | None],
    ) -> None:
        """`why_gone` returns why the server has ended for good, or None while it is running."""
        self._server = server
        self._options = options
        self._concurrency = concurrency
        self._why_gone = why_gone
        self._stop = threading.Event()
        self._clients: list[BertClient] = []
        self._idle: deque[BertClient] = deque()
        self._pending: deque[tuple[Piece, Future[Encoded]]] = deque()
        self._resources = ExitStack()

    def __enter__(self) -> Requests:
        with ExitStack() as stack:
            stack.callback(self._close_clients)
            self._threads = stack.enter_context(ThreadPoolExecutor(self._concurrency))
            stack.callback(self._stop.set)
            self._resources = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._stop.set()
        for _, future in self._pending:
            future.cancel()
        self._resources.close()

    @property
    def is_full(self) -> bool:
        """Whether there are as many requests as clients, plus one that waits."""
        return len(self._pending) > self._concurrency

    def send(self, piece: Piece) -> None:
        """Send a piece to the server."""
        self._pending.append((piece, self._threads.submit(self._encode, piece.texts)))

    def next(self) -> tuple[Piece, Encoded] | None:
        """Wait for the reply to the oldest piece, and return it, or None if there is no piece.

        Raises:
            StartError: the server has ended.
        """
        if not self._pending:
            return None
        piece, future = self._pending[0]
        while True:
            try:
                encoded = future.result(LOOK_EVERY_S)
            except NotYetError:
                if future.done():  # the call failed with such an error
                    raise
                reason = self._why_gone()
                if reason is not None:
                    raise StartError('the server has ended: %s' % reason) from None
            else:
                self._pending.popleft()
                return piece, encoded

    def _encode(self, texts: Sequence[str]) -> Encoded:
        try:
            client = self._idle.popleft()
        except IndexError:  # the first request of this thread
            client = BertClient(
                self._server.host,
                self._server.port,
                self._server.port_out,
                ignore_all_checks=True,  # `connect` has made these checks
                timeout=-1,  # wait for a server that is away
                server_key=self._server.keys.server_key,
                key_file=self._server.keys.key_file,
            )
            self._clients.append(client)
        try:
            return encode_texts(texts, lambda some: self._ask(client, some))
        finally:
            self._idle.append(client)

    def _close_clients(self) -> None:
        for client in self._clients:
            client.close()

    def _ask(self, client: BertClient, texts: Sequence[str]) -> Vectors:
        pause = FIRST_PAUSE_S
        while True:
            try:
                answer = client.encode_with_details(list(texts), cancelled=self._stop.is_set, **self._options)
            except ServerError as error:
                if error.type not in RETRIED:
                    raise RowsRefusedError('%s: %s' % (error.type, error.message)) from None
                logger.debug('waited to send a request again reason=%s pause_s=%g', error.type, pause)
                if self._stop.wait(pause):
                    raise CancelledError('the job has ended') from None
                pause = min(2 * pause, LONGEST_PAUSE_S)
            except ValueError as error:
                raise RowsRefusedError(str(error)) from None
            else:
                return Vectors(answer.array, sum(answer.token_counts))
