"""waitress behind a small interface of our own: its server, parsed requests and threads.

waitress reads and writes the connections, but it has no hooks for the refusal of malformed requests by the app, for an
orderly end of connections whose request was not read to its end, or for a queue with a bound. This module
and `waitress_connection`, the only ones that know waitress, subclass it and read names that its documentation does not
promise. Therefore server/pyproject.toml bounds its version from above, and tests/http/test_http_waitress.py lists every
name that is used here.
"""

from __future__ import annotations

import logging
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol
from wsgiref.types import WSGIApplication

from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.server import TcpWSGIServer
from waitress.task import ThreadedTaskDispatcher
from waitress.utilities import Error, RequestEntityTooLarge, RequestHeaderFieldsTooLarge, ServerNotImplemented

from .connections import ADDRESS_SHARE, WriteBudget, choose_evicted, choose_unread
from .errors import HTTPError, make_refusal
from .quotas import Holding
from .tls import Tls
from .waitress_connection import Channel

logger = logging.getLogger(__name__)

SWEEP_S = 1.0
"""How often slow connections and those that do not read are looked for."""

LOG_S = 60.0
"""How often the log says how many connections were closed."""

ACCEPT_PAUSE_S = 0.5
"""For how long no connection is accepted after the system had no file for one, or no connection could be closed."""

ACCEPTED_A_ROUND = 64
"""Connections accepted before others are served: a round costs time for each open connection."""

IDLE_CONNECTION_S = 120
"""Seconds that a connection may be silent, or its response unread, before it is closed."""

BUFFER_BYTES = 8 << 20
"""A larger request or response is buffered in a temporary file. The response to some hundred texts is smaller."""

SHUTDOWN_S = 1
"""Seconds that `ThreadPool.shutdown` waits for its threads."""


class PendingRequest:
    """A request that was read from its connection and waits to be served.

    `error` is None, or the reason why the request cannot be served: it is malformed or too large, and `method`, `path`
    and `authorization` must not be read.
    """

    __slots__ = ('_channel', '_parsed', 'error')

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._parsed = channel.requests[0]
        self.error = None if self._parsed.error is None else _error_of(self._parsed.error)

    @property
    def method(self) -> str:
        method: str = self._parsed.command
        return method

    @property
    def path(self) -> str:
        """The path as the app sees it: waitress leaves one of several leading slashes."""
        return '/' + str(self._parsed.path).lstrip('/')

    @property
    def authorization(self) -> str | None:
        """The `Authorization` header."""
        header: str | None = self._parsed.headers.get('AUTHORIZATION')
        return header

    @property
    def address(self) -> str:
        """The IP address of the client, or of the proxy through which it comes."""
        return self._channel.address

    def is_small(self, most_bytes: int, most_strings: int) -> bool:
        """Whether the body has at most so many bytes and so many strings, if it is JSON."""
        if self._parsed.body_bytes_received > most_bytes:
            return False
        stream = self._parsed.get_body_stream()
        body = stream.read()
        stream.seek(0)
        return bool(body.count(b'"') <= 2 * most_strings)

    @property
    def holding(self) -> Holding:
        """Whose the connection is."""
        return self._channel.holding

    def is_gone(self) -> bool:
        """Whether the client has disconnected."""
        return not self._channel.connected

    def serve(self, environ: Mapping[str, Any]) -> None:
        """Call the app, with `environ` added to its WSGI environment, and write the response. Blocks."""
        self._channel.serve(environ)

    def cancel(self) -> None:
        """Close the connection instead."""
        self._channel.cancel()


def _error_of(error: Error) -> HTTPError:
    """The error that the app reports for a request that waitress could not read to its end."""
    if isinstance(error, RequestEntityTooLarge):
        return make_refusal('TooLarge')
    kinds = {RequestHeaderFieldsTooLarge: 'HeadersTooLarge', ServerNotImplemented: 'NotImplemented'}
    return HTTPError(kinds.get(type(error), 'BadRequest'), 'malformed HTTP request: %s' % error.body)


class Server:
    """A listening socket and its connections. Only `wake` and `refuse_keep_alive` may be called by other threads."""

    def __init__(
        self,
        application: WSGIApplication,
        listener: socket.socket,
        submit: Callable[[PendingRequest], None],
        max_body: int,
        max_connections: int,
        tls: Tls | None = None,
    ) -> None:
        """Listen on `listener`, which is bound; read nothing before `poll`. With `tls`, speak nothing else.

        Each request is given to `submit`, by the thread that calls `poll` or by the one that served the request before
        it on the same connection. A body of more than `max_body` bytes is refused. Beyond `max_connections`, the
        connections that wait longest for their clients are closed.
        """
        self._sockets: dict[int, Any] = {}
        self._swept_at = self._logged_at = time.monotonic()
        adjustments = Adjustments(
            sockets=[listener],
            connection_limit=sys.maxsize,  # the server makes room instead of going deaf
            channel_timeout=IDLE_CONNECTION_S,
            cleanup_interval=IDLE_CONNECTION_S // 4,
            max_request_body_size=max_body + 1,
            inbuf_overflow=BUFFER_BYTES,
            outbuf_overflow=BUFFER_BYTES,
            channel_request_lookahead=1,  # without it a disconnect is noticed only after the response
            outbuf_high_watermark=sys.maxsize,  # with a bound, a client that does not read would hold a thread
            url_scheme='http' if tls is None else 'https',
            ident='',
        )
        self._server = ListeningServer(
            application,
            self._sockets,
            _sock=listener,
            dispatcher=_Submitter(submit),
            adj=adjustments,
            bind_socket=False,
            sockinfo=(listener.family, listener.type, listener.proto, listener.getsockname()),
        )
        self._server.max_connections = max_connections
        self._server.tls = tls
        self.write_budget = WriteBudget(self._measure_unwritten)

    @property
    def connections(self) -> Collection[Channel]:
        """The open connections; a view that changes with them."""
        connections: Collection[Channel] = self._server.active_channels.values()
        return connections

    @property
    def lingering(self) -> Collection[Channel]:
        """Those whose request was refused, and of which the input is still read and dropped."""
        return self._server.lingering

    @property
    def is_writing(self) -> bool:
        """Whether any response is not yet sent."""
        return any(channel.total_outbufs_len for channel in self.connections)

    def _measure_unwritten(self) -> int:
        return sum(channel.total_outbufs_len for channel in list(self.connections))

    def poll(self, timeout_s: float) -> None:
        """Wait for input, output or `wake`, and handle what is there."""
        wasyncore.loop(timeout_s, use_poll=True, map=self._sockets, count=1)
        now = time.monotonic()
        for channel in list(self._server.lingering):
            channel.stop_lingering(now)
        if now - self._swept_at >= SWEEP_S:
            self._swept_at = now
            self._server.close_overdue(now)
            self._server.close_unread(now, self.write_budget.most)
            if self._server.tls is not None:
                self._server.tls.refresh()
        if now - self._logged_at >= LOG_S:
            self._logged_at = now
            self._server.log_closed()

    def wake(self) -> None:
        """Let `poll` return."""
        self._server.pull_trigger()

    def refuse_keep_alive(self) -> None:
        """Close each connection after the response that is being made, or made next, on it."""
        self._server.keeps_alive = False

    def stop_listening(self) -> None:
        """Free the port and keep the connections."""
        wasyncore.dispatcher.close(self._server)

    def close(self) -> None:
        """Close the port and every connection."""
        wasyncore.close_all(self._sockets)


class _Submitter:
    """The task dispatcher of waitress's server; passes each request on."""

    def __init__(self, submit: Callable[[PendingRequest], None]) -> None:
        self._submit = submit

    def add_task(self, channel: Channel) -> None:
        self._submit(PendingRequest(channel))


class ListeningServer(TcpWSGIServer):  # type: ignore[misc]
    channel_class = Channel
    keeps_alive = True
    max_connections = sys.maxsize
    tls: Tls | None = None

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.lingering: set[Channel] = set()
        self._counts: Counter[str] = Counter()
        self._accepts_from = 0.0
        self._closed: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        super().__init__(*arguments, **options)

    def readable(self) -> bool:
        return bool(super().readable()) and time.monotonic() >= self._accepts_from

    def handle_accept(self) -> None:
        """Accept the connections that have come, as long as there are files for them, and room, or room can be made."""
        for _ in range(ACCEPTED_A_ROUND):
            if not self._accept_one():
                return

    def _accept_one(self) -> bool:
        """Accept a connection; whether to look for another."""
        try:
            accepted = self.accept()
        except OSError as error:  # EMFILE, say: the listening socket stays readable, so do not ask again at once
            self._accepts_from = time.monotonic() + ACCEPT_PAUSE_S
            logger.warning('cannot accept a connection: %s', error.strerror)
            return False
        if accepted is None:
            return False
        connection, address = accepted
        if not self._make_room(str(address[0])):
            connection.close()
            self._closed['refused'] += 1
            self._accepts_from = time.monotonic() + ACCEPT_PAUSE_S
            return False
        try:
            self.set_socket_options(connection)
        except OSError:  # the client has gone
            connection.close()
            return True
        self._counts[str(address[0])] += 1
        if self.tls is not None:
            connection = self.tls.wrap(connection, self._count_refused)
        self.channel_class(self, connection, address, self.adj, map=self._map)
        return True

    def _count_refused(self, reason: str) -> None:
        self._refused[reason] += 1

    def forget(self, address: str) -> None:
        """Note that a connection from `address` has been closed."""
        self._counts[address] -= 1
        if not self._counts[address]:
            del self._counts[address]

    def _make_room(self, address: str) -> bool:
        """Close connections if there are too many, of this address or of all; return whether there is room."""
        if self._counts[address] >= max(1, self.max_connections // ADDRESS_SHARE):
            holder = address
        elif len(self.active_channels) >= self.max_connections:
            ((holder, _),) = self._counts.most_common(1)
        else:
            return True
        now = time.monotonic()
        channels = [channel for channel in self.active_channels.values() if channel.address == holder]
        evicted = choose_evicted((channel, channel.state(now)) for channel in channels)
        self._close(evicted, 'too many')
        return bool(evicted)

    def close_overdue(self, now: float) -> None:
        """Close the connections whose request should have come by now."""
        channels = list(self.active_channels.values())
        self._close([channel for channel in channels if channel.state(now).is_overdue], 'too slow')

    def close_unread(self, now: float, most: int) -> None:
        """Close connections whose responses are not read, if those take more than half of `most` bytes."""
        channels = list(self.active_channels.values())
        unread = [(channel, channel.total_outbufs_len) for channel in channels if channel.is_unread(now)]
        total = sum(channel.total_outbufs_len for channel in channels)
        self._close(choose_unread(unread, total, most), 'not reading')

    def _close(self, channels: Collection[Channel], reason: str) -> None:
        for channel in channels:
            channel.handle_close()
        self._closed[reason] += len(channels)

    def log_closed(self) -> None:
        """Log how many connections were closed, and how many were refused, since the last call, and why."""
        for what, counter in (
            ('closed connections of slow clients or of too many', self._closed),
            ('refused connections that did not get through the TLS handshake', self._refused),
        ):
            if counter.total():
                counts = ' '.join('%s=%d' % (reason.replace(' ', '_'), n) for reason, n in counter.items() if n)
                logger.warning('%s: %s', what, counts)
            counter.clear()

    def maintenance(self, now: float) -> None:
        """Close idle connections, as waitress does, and those whose response is not read, even with more requests."""
        super().maintenance(now)
        for channel in list(self.active_channels.values()):
            if channel.total_outbufs_len and channel.last_activity < now - self.adj.channel_timeout:
                channel.handle_close()  # at once: the loop never returns to a socket that cannot be written to


class Task(Protocol):
    """One unit of work for a `ThreadPool`: either method is called once."""

    def service(self) -> None: ...

    def cancel(self) -> None: ...


class ThreadPool:
    """Threads that take tasks from an unbounded queue, first in, first out. Thread-safe."""

    def __init__(self) -> None:
        self._threads = ThreadedTaskDispatcher()
        self._threads.queue_logger.setLevel(logging.ERROR)  # the metrics show how many requests wait

    def start(self, threads: int) -> None:
        """Start so many threads."""
        self._threads.set_thread_count(threads)

    def submit(self, task: Task) -> None:
        """Append a task to the queue."""
        self._threads.add_task(task)

    def shutdown(self) -> None:
        """End the threads and cancel the tasks in the queue. A thread that is still busy ends with the process."""
        self._threads.shutdown(cancel_pending=True, timeout=SHUTDOWN_S)
