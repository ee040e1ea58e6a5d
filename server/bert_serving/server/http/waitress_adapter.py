"""The only module that knows waitress: connections, parsed requests and threads behind a small interface of our own.

waitress reads and writes the connections, but it has no hooks for the refusal of malformed requests by the app, for an
orderly end of connections whose request was not read to its end, or for a queue with a bound. This module subclasses
waitress and reads names that its documentation does not promise. Therefore server/pyproject.toml bounds its version
from above, and tests/http/test_http_waitress.py lists every name that is used here.
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
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.server import TcpWSGIServer
from waitress.task import ThreadedTaskDispatcher, WSGITask
from waitress.utilities import Error, RequestEntityTooLarge, RequestHeaderFieldsTooLarge, ServerNotImplemented

from .connections import (
    ADDRESS_SHARE,
    ConnectionState,
    Phase,
    WriteBudget,
    choose_evicted,
    choose_unread,
    is_unread,
)
from .errors import HTTPError, make_refusal

logger = logging.getLogger(__name__)

SWEEP_S = 1.0
"""How often slow connections and those that do not read are looked for."""

LOG_S = 60.0
"""How often the log says how many connections were closed."""

ACCEPT_PAUSE_S = 0.5
"""For how long no connection is accepted after the system had no file for one, or no connection could be closed."""

IDLE_CONNECTION_S = 120
"""Seconds that a connection may be silent, or its response unread, before it is closed."""

LINGER_S = 30.0
LINGER_SILENT_S = 5.0
"""Seconds for which input is still read and dropped after a refusal: in total, and since the last byte came."""

LINGER_BYTES = 1 << 18

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

    def __init__(self, channel: _Channel) -> None:
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
    ) -> None:
        """Listen on `listener`, which is bound; read nothing before `poll`.

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
            ident='',
        )
        self._server = _Server(
            application,
            self._sockets,
            _sock=listener,
            dispatcher=_Submitter(submit),
            adj=adjustments,
            bind_socket=False,
            sockinfo=(listener.family, listener.type, listener.proto, listener.getsockname()),
        )
        self._server.max_connections = max_connections
        self.write_budget = WriteBudget(self._measure_unwritten)

    @property
    def connections(self) -> Collection[HTTPChannel]:
        """The open connections; a view that changes with them."""
        connections: Collection[HTTPChannel] = self._server.active_channels.values()
        return connections

    @property
    def lingering(self) -> Collection[HTTPChannel]:
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


class _Parser(HTTPRequestParser):  # type: ignore[misc]
    """The parser of a request. It rejects requests that another HTTP program could read differently."""

    def parse_header(self, header_plus: bytes) -> None:
        super().parse_header(header_plus)
        if self.version not in ('1.0', '1.1'):
            raise ParsingError('The version of HTTP is not supported: send HTTP/1.1')
        if self.chunked and 'CONTENT_LENGTH' in self.headers:
            raise ParsingError('Content-Length and Transfer-Encoding exclude each other')
        if self.version == '1.0' and 'TRANSFER_ENCODING' in self.headers:
            raise ParsingError('HTTP/1.0 has no Transfer-Encoding')
        host = self.headers.get('HOST', '')
        if (self.version == '1.1' and 'HOST' not in self.headers) or ',' in host:
            raise ParsingError('The request must have one Host header')


class _Submitter:
    """The task dispatcher of waitress's server; passes each request on."""

    def __init__(self, submit: Callable[[PendingRequest], None]) -> None:
        self._submit = submit

    def add_task(self, channel: _Channel) -> None:
        self._submit(PendingRequest(channel))


class _Task(WSGITask):  # type: ignore[misc]
    """One call of the app."""

    def execute(self) -> None:
        if self.channel.is_cut_short or not self.channel.server.keeps_alive:
            self.set_close_on_finish()
        super().execute()

    def get_environment(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environment()
        environ.update(self.channel.environ)
        return environ


class _Channel(HTTPChannel):  # type: ignore[misc]
    """A connection. The app, not waitress, answers a request that could not be read, in the format of its route.

    After such a response the client may still be sending. Closing the connection at once would make the client's
    machine discard the response unread, so for a while the input is read and dropped (RFC 9112, 9.6).
    """

    task_class = _Task
    parser_class = _Parser
    environ: Mapping[str, Any] = {}
    is_cut_short = False
    """Whether a request was not read to its end, so that the start of the next one is unknown."""

    _lingers_since: float | None = None
    _heard_at = 0.0
    _is_counted = True

    def __init__(self, server: _Server, sock: socket.socket, address: Any, *arguments: Any, **options: Any) -> None:
        self.address = str(address[0])
        self._began_at = time.monotonic()
        self._served = 0
        self._bytes_sent = 0
        self._unread_since: float | None = None
        self._sent_before = 0
        super().__init__(server, sock, address, *arguments, **options)

    def state(self, now: float) -> ConnectionState:
        """The connection as `connections` judges it."""
        request, received = self.request, 0
        if self.requests or self.total_outbufs_len or self._lingers_since is not None:
            phase = Phase.BUSY
        elif request is None:
            phase = Phase.IDLE if self._served else Phase.HEADERS
        elif not request.headers_finished:
            phase = Phase.HEADERS
        else:
            phase, received = Phase.BODY, request.body_bytes_received
        return ConnectionState(phase, now - self._began_at, received)

    def is_unread(self, now: float) -> bool:
        """Whether the client does not read its response; to be asked at every sweep."""
        if not self.total_outbufs_len:
            self._unread_since = None
            return False
        if self._unread_since is None:
            self._unread_since, self._sent_before = now, self._bytes_sent
        return is_unread(now - self._unread_since, self._bytes_sent - self._sent_before)

    def received(self, data: bytes) -> bool:
        if self.request is None and not self.requests:
            self._began_at = time.monotonic()
        return bool(super().received(data))

    def send(self, data: bytes, do_close: bool = True) -> int:
        sent: int = super().send(data, do_close)
        self._bytes_sent += sent
        return sent

    def del_channel(self, map: Any = None) -> None:
        if self._is_counted:
            self._is_counted = False
            self.server.forget(self.address)
        super().del_channel(map)

    def serve(self, environ: Mapping[str, Any]) -> None:
        """Serve the first request, with `environ` added to the WSGI environment of the app."""
        self.environ = environ
        request = self.requests[0]
        if request.error is not None:
            self.is_cut_short = True
            request.error = None  # or waitress would answer it
            for name in ('command', 'path', 'query', 'request_uri'):
                vars(request).setdefault(name, '')  # the parser may have stopped before it set them
            request.url_scheme = self.adj.url_scheme
        self.service()
        self._served += 1
        self._began_at = time.monotonic()

    def send_continue(self) -> None:
        """Ask for the body, except of a refused request: waitress would forget its error."""
        if self.request.error is None:
            super().send_continue()
        else:
            self.request.expect_continue = False

    def writable(self) -> bool:
        return self._lingers_since is None and bool(super().writable())

    def readable(self) -> bool:
        return self._lingers_since is not None or bool(super().readable())

    def handle_read(self) -> None:
        if self._lingers_since is None:
            super().handle_read()
            return
        self._heard_at = time.monotonic()
        try:
            self.recv(LINGER_BYTES)  # closes the connection when the client has closed it
        except OSError:
            self.handle_close()

    def handle_close(self) -> None:
        """Close the connection, or first let the client finish sending."""
        is_open = self.socket is not None  # it may have been closed earlier in the same round
        if is_open and self.is_cut_short and self._lingers_since is None and not self.total_outbufs_len:
            try:
                self.socket.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # the client has closed it
            else:
                self._lingers_since = self._heard_at = time.monotonic()
                self.server.lingering.add(self)
                return
        self.server.lingering.discard(self)
        super().handle_close()

    def stop_lingering(self, now: float) -> None:
        """Close the connection if it has lingered, or been silent, for too long."""
        if self._lingers_since is not None and (
            now - self._lingers_since > LINGER_S or now - self._heard_at > LINGER_SILENT_S
        ):
            self.handle_close()


class _Server(TcpWSGIServer):  # type: ignore[misc]
    channel_class = _Channel
    keeps_alive = True
    max_connections = sys.maxsize

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.lingering: set[_Channel] = set()
        self._counts: Counter[str] = Counter()
        self._accepts_from = 0.0
        self._closed: Counter[str] = Counter()
        super().__init__(*arguments, **options)

    def readable(self) -> bool:
        return bool(super().readable()) and time.monotonic() >= self._accepts_from

    def handle_accept(self) -> None:
        """Accept a connection, if there is a file for it and room, or room can be made."""
        try:
            accepted = self.accept()
        except OSError as error:  # EMFILE, say: the listening socket stays readable, so do not ask again at once
            self._accepts_from = time.monotonic() + ACCEPT_PAUSE_S
            logger.warning('cannot accept a connection: %s', error.strerror)
            return
        if accepted is None:
            return
        connection, address = accepted
        if not self._make_room(str(address[0])):
            connection.close()
            self._closed['refused'] += 1
            self._accepts_from = time.monotonic() + ACCEPT_PAUSE_S
            return
        try:
            self.set_socket_options(connection)
        except OSError:  # the client has gone
            connection.close()
            return
        self._counts[str(address[0])] += 1
        self.channel_class(self, connection, address, self.adj, map=self._map)

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

    def _close(self, channels: Collection[_Channel], reason: str) -> None:
        for channel in channels:
            channel.handle_close()
        self._closed[reason] += len(channels)

    def log_closed(self) -> None:
        """Log how many connections were closed since the last call, and why."""
        if self._closed.total():
            counts = ' '.join('%s=%d' % (reason.replace(' ', '_'), n) for reason, n in self._closed.items() if n)
            logger.warning('closed connections of slow clients or of too many: %s', counts)
        self._closed.clear()

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
