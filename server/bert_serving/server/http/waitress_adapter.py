"""A small interface to waitress: its server, parsed requests and threads.

waitress reads and writes the connections. But it has no hooks for the app to refuse malformed requests, for an orderly
end of connections with a partly read request, or for a bounded queue. This module, `waitress_connection` and
`socket_poll`, the only ones that know waitress, subclass it and use undocumented names. Therefore server/pyproject.toml
limits its version, and tests/http/test_http_waitress.py lists every name in use.
"""

from __future__ import annotations

import logging
import socket
import sys
import threading
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
from .socket_poll import SocketPoll
from .tls import Tls
from .waitress_connection import Channel

logger = logging.getLogger(__name__)

SWEEP_S = 1.0
"""Seconds between two searches for connections that are slow or do not read."""

LOG_S = 60.0
"""Seconds between two log lines about closed connections."""

ACCEPT_PAUSE_S = 0.5
"""Seconds without accepting connections, after no file descriptor was left or no connection could be closed."""

ACCEPTED_A_ROUND = 64
"""Connections to accept in one round. A round costs time for each open connection."""

IDLE_CONNECTION_S = 120
"""Seconds that a connection can be silent, or leave its response unread, before it is closed."""

BUFFER_BYTES = 8 << 20
"""Bytes of a request or response above which a temporary file buffers it. The response to a few hundred texts is
smaller."""

SHUTDOWN_S = 1
"""Seconds that `ThreadPool.shutdown` waits for its threads."""


class PendingRequest:
    """A request that was read and waits to be served.

    `error` is the reason why the request cannot be served (malformed or too large), or None. With an error, do not use
    `method`, `path` and `authorization`.
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
        """The path that the app gets: waitress keeps one of several leading slashes."""
        return '/' + str(self._parsed.path).lstrip('/')

    @property
    def authorization(self) -> str | None:
        """The `Authorization` header."""
        header: str | None = self._parsed.headers.get('AUTHORIZATION')
        return header

    @property
    def address(self) -> str:
        """The IP address of the client, or of the proxy in front."""
        return self._channel.address

    def is_small(self, most_bytes: int, most_strings: int) -> bool:
        """Whether the body has at most `most_bytes` bytes and, if it is JSON, at most `most_strings` strings."""
        if self._parsed.body_bytes_received > most_bytes:
            return False
        stream = self._parsed.get_body_stream()
        body = stream.read()
        stream.seek(0)
        return bool(body.count(b'"') <= 2 * most_strings)

    @property
    def holding(self) -> Holding:
        """The owner of the connection."""
        return self._channel.holding

    def is_gone(self) -> bool:
        """Whether the client has disconnected."""
        return not self._channel.connected

    def serve(self, environ: Mapping[str, Any]) -> None:
        """Call the app with `environ` added to its WSGI environment, and write the response. This blocks."""
        self._channel.serve(environ)

    def cancel(self) -> None:
        """Close the connection without a response."""
        self._channel.cancel()


def _error_of(error: Error) -> HTTPError:
    """The error that the app reports for a request that waitress could not read completely."""
    if isinstance(error, RequestEntityTooLarge):
        return make_refusal('TooLarge')
    kinds = {RequestHeaderFieldsTooLarge: 'HeadersTooLarge', ServerNotImplemented: 'NotImplemented'}
    return HTTPError(kinds.get(type(error), 'BadRequest'), 'malformed HTTP request: %s' % error.body)


class Server:
    """A listening socket and its connections. Other threads can call only `wake` and `refuse_keep_alive`."""

    def __init__(
        self,
        application: WSGIApplication,
        listener: socket.socket,
        submit: Callable[[PendingRequest], None],
        max_body: int,
        max_connections: int,
        tls: Tls | None = None,
    ) -> None:
        """Listen on the bound socket `listener`. `poll` reads the connections. With `tls`, accept only TLS.

        `submit` gets each request, from the thread that calls `poll` or the one that served the previous request on the
        same connection. A body of more than `max_body` bytes is refused. Beyond `max_connections`, the server closes
        the connections that have waited longest for their clients.
        """
        self._sockets = SocketPoll()
        self._swept_at = self._logged_at = time.monotonic()
        adjustments = Adjustments(
            sockets=[listener],
            connection_limit=sys.maxsize,  # the server makes room instead of not accepting
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
        """A live view of the open connections."""
        connections: Collection[Channel] = self._server.active_channels.values()
        return connections

    @property
    def lingering(self) -> Collection[Channel]:
        """The connections with a refused request, whose input is still read and dropped."""
        return self._server.lingering

    @property
    def is_writing(self) -> bool:
        """Whether any response is not yet written."""
        return any(channel.total_outbufs_len for channel in self.connections)

    def _measure_unwritten(self) -> int:
        return sum(channel.total_outbufs_len for channel in list(self.connections))

    def poll(self, timeout_s: float) -> None:
        """Wait for input, output or `wake`, and handle it."""
        self._sockets.wait(timeout_s)
        now = time.monotonic()
        for channel in list(self._server.lingering):
            channel.stop_lingering(now)
        if now - self._swept_at >= SWEEP_S:
            self._swept_at = now
            self._server.close_overdue(now)
            self._server.close_unread(now, self.write_budget.most)
            if self._server.tls is not None:
                self._server.tls.refresh()
            self._sockets.ask_all()
        if now - self._logged_at >= LOG_S:
            self._logged_at = now
            self._server.log_closed()

    def wake(self) -> None:
        """Make `poll` return."""
        self._server.pull_trigger()

    def refuse_keep_alive(self) -> None:
        """Close each connection after its current or next response."""
        self._server.keeps_alive = False

    def stop_listening(self) -> None:
        """Close the port but keep the connections."""
        wasyncore.dispatcher.close(self._server)

    def close(self) -> None:
        """Close the port and every connection."""
        self._sockets.close()


class _Submitter:
    """The task dispatcher for waitress's server, which passes each request on."""

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
        self._served = threading.local()
        super().__init__(*arguments, **options)

    def serve(self, channel: Channel) -> None:
        """Serve a request in this thread. The loop wakes up only if the connection then waits for something else."""
        self._served.descriptor = channel.descriptor
        try:
            channel.service()
        finally:
            self._served.descriptor = None

    def pull_trigger(self) -> None:
        """Wake the loop, which waitress does for every request."""
        descriptor: int | None = getattr(self._served, 'descriptor', None)
        if descriptor is None or self._map.changed(descriptor):
            super().pull_trigger()

    def readable(self) -> bool:
        return bool(super().readable()) and time.monotonic() >= self._accepts_from

    def handle_accept(self) -> None:
        """Accept waiting connections, as long as there are file descriptors and there is, or can be made, room."""
        for _ in range(ACCEPTED_A_ROUND):
            if not self._accept_one():
                return

    def _accept_one(self) -> bool:
        """Accept a connection. Return whether to try another."""
        try:
            accepted = self.accept()
        except OSError as error:  # such as EMFILE: the listening socket stays readable, so do not retry immediately
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
        """Record that a connection from `address` was closed."""
        self._counts[address] -= 1
        if not self._counts[address]:
            del self._counts[address]

    def _make_room(self, address: str) -> bool:
        """Close connections if there are too many, from this address or in all, and return whether there is room."""
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
        """Close the connections whose request is late."""
        channels = list(self.active_channels.values())
        self._close([channel for channel in channels if channel.state(now).is_overdue], 'too slow')

    def close_unread(self, now: float, most: int) -> None:
        """Close connections that do not read their responses, if these take more than half of `most` bytes."""
        channels = list(self.active_channels.values())
        unread = [(channel, channel.total_outbufs_len) for channel in channels if channel.is_unread(now)]
        total = sum(channel.total_outbufs_len for channel in channels)
        self._close(choose_unread(unread, total, most), 'not reading')

    def _close(self, channels: Collection[Channel], reason: str) -> None:
        for channel in channels:
            channel.handle_close()
        self._closed[reason] += len(channels)

    def log_closed(self) -> None:
        """Log the number of connections closed and refused since the last call, with the reasons."""
        for what, counter in (
            ('closed connections of slow clients or of too many', self._closed),
            ('refused connections that did not get through the TLS handshake', self._refused),
        ):
            if counter.total():
                counts = ' '.join('%s=%d' % (reason.replace(' ', '_'), n) for reason, n in counter.items() if n)
                logger.warning('%s: %s', what, counts)
            counter.clear()

    def maintenance(self, now: float) -> None:
        """Close idle connections, as waitress does, and those with an unread response, even if more requests arrive."""
        super().maintenance(now)
        for channel in list(self.active_channels.values()):
            if channel.total_outbufs_len and channel.last_activity < now - self.adj.channel_timeout:
                channel.handle_close()  # immediately: the loop never returns to a socket that is not writable


class Task(Protocol):
    """A unit of work for a `ThreadPool`, which calls one of the two methods once."""

    def service(self) -> None: ...

    def cancel(self) -> None: ...


class ThreadPool:
    """Threads that take tasks from an unbounded queue, first in, first out. Thread-safe."""

    def __init__(self) -> None:
        self._threads = ThreadedTaskDispatcher()
        self._threads.queue_logger.setLevel(logging.ERROR)  # the metrics show the number of waiting requests

    def start(self, threads: int) -> None:
        """Start `count` threads."""
        self._threads.set_thread_count(threads)

    def submit(self, task: Task) -> None:
        """Append a task to the queue."""
        self._threads.add_task(task)

    def shutdown(self) -> None:
        """End the threads and cancel the tasks in the queue. A thread that stays busy ends with the process."""
        self._threads.shutdown(cancel_pending=True, timeout=SHUTDOWN_S)
