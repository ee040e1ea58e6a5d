"""The front door: waitress with a connection of our own kind, behind which are the lanes.

Runs in the main thread of the proxy, which reads and writes all connections; the lanes have the threads that serve. A connection
that waits for nothing costs no thread, only a look in each round, so how many there may be is a matter of file descriptors.
"""

from __future__ import annotations

import logging
import resource
import socket
import sys
import time
from typing import Any
from wsgiref.types import WSGIApplication

from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.server import TcpWSGIServer
from waitress.task import WSGITask
from waitress.utilities import Error, RequestEntityTooLarge, RequestHeaderFieldsTooLarge, ServerNotImplemented

from ..errors import StartError
from .admission import REFUSAL
from .backend_call import RECEIVED_AT
from .dispatcher import Lanes
from .errors import Fault, make_refusal

logger = logging.getLogger(__name__)

IDLE_CONNECTION_S = 120
"""How long a connection may be silent, or its answer unread, before it is closed."""

LINGER_S = 30.0
LINGER_SILENT_S = 5.0
"""How long what a caller still sends is read after it was refused: at most, and since it sent something."""

LINGER_BYTES = 1 << 18

ROUND_S = 1.0
"""How often the main thread looks around when nothing happens."""

BUFFER_BYTES = 8 << 20
"""Up to how many bytes a body is kept in memory, and not in a temporary file: an answer to some hundred texts."""

TICKET = 'bert_serving.ticket'
"""In the WSGI environment: the ticket of the request."""

_SPARE_FILES = 256
"""File descriptors that are left for what is not a connection of HTTP."""


class _Task(WSGITask):  # type: ignore[misc]
    """A request for the app, with what the front door knows of it."""

    def execute(self) -> None:
        if self.channel.is_unread or self.channel.server.is_draining:
            self.set_close_on_finish()  # where the next request would begin is not known; none is read when draining
        super().execute()

    def get_environment(self) -> dict[str, Any]:
        environment: dict[str, Any] = super().get_environment()
        environment[RECEIVED_AT] = self.request.received_at
        environment[TICKET] = self.channel.ticket
        if self.request.refusal is not None:
            environment[REFUSAL] = self.request.refusal
        return environment


def _give_places_back(application: WSGIApplication) -> WSGIApplication:
    """`application`, after which a request leaves its lane. What it returns is whole: only to be written."""

    def call(environ: dict[str, Any], start_response: Any) -> Any:
        try:
            return application(environ, start_response)
        finally:
            environ[TICKET].give_place_back()

    return call


class _Channel(HTTPChannel):  # type: ignore[misc]
    """A connection. What waitress could not read is refused by the app, in the shape of its route, and not by waitress.

    After such an answer the caller may still be sending. To close the connection then would make its machine throw the
    answer away unread, so what comes is read and dropped for a while (RFC 9112, 9.6).
    """

    task_class = _Task
    ticket: Any = None
    is_unread = False
    _lingers_since: float | None = None
    _heard_at = 0.0

    def service(self) -> None:
        request = self.requests[0]
        if request.error is not None:
            self.is_unread = True
            request.refusal = _refuse_what_is_unread(request.error)
            request.error = None
            for name in ('command', 'path', 'query', 'request_uri'):
                vars(request).setdefault(name, '')
            request.url_scheme = self.adj.url_scheme
        super().service()

    def send_continue(self) -> None:
        """Ask for the body, but of a request that is refused already, of which waitress would then forget the fault."""
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
            self.recv(LINGER_BYTES)  # which closes the connection when the caller does
        except OSError:
            self.handle_close()

    def handle_close(self) -> None:
        """Close the connection, or first let the caller come to an end."""
        is_open = self.socket is not None  # it may have been closed earlier in the same round
        if is_open and self.is_unread and self._lingers_since is None and not self.total_outbufs_len:
            try:
                self.socket.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # it is gone already
            else:
                self._lingers_since = self._heard_at = time.monotonic()
                self.server.lingering.add(self)
                return
        self.server.lingering.discard(self)
        super().handle_close()

    def linger_no_longer(self, now: float) -> None:
        """Close the connection if its time is over, or nothing has come for a while."""
        if self._lingers_since is not None and (
            now - self._lingers_since > LINGER_S or now - self._heard_at > LINGER_SILENT_S
        ):
            self.handle_close()


def _refuse_what_is_unread(error: Error) -> Fault:
    """What the app is to say of a request that waitress could not read to its end."""
    if isinstance(error, RequestEntityTooLarge):
        return make_refusal('TooLarge')
    kinds = {RequestHeaderFieldsTooLarge: 'HeadersTooLarge', ServerNotImplemented: 'NotImplemented'}
    return Fault(kinds.get(type(error), 'BadRequest'), 'this cannot be read as HTTP: %s' % error.body)


class _Server(TcpWSGIServer):  # type: ignore[misc]
    channel_class = _Channel
    is_draining = False

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.lingering: set[_Channel] = set()
        super().__init__(*arguments, **options)

    def maintenance(self, now: float) -> None:
        """Close what is idle, as waitress does, and what has an answer that nobody reads, even if more was asked for."""
        super().maintenance(now)
        for channel in list(self.active_channels.values()):
            if channel.total_outbufs_len and channel.last_activity < now - self.adj.channel_timeout:
                channel.handle_close()  # here: a socket that cannot be written to has no turn in the loop


class FrontDoor:
    """The listening socket, its connections and the loop that serves them.

    `drain` and `stop` may be called by a signal handler, `round_age_s` by any thread; all else is for the thread that
    calls `run`.
    """

    def __init__(self, application: WSGIApplication, lanes: Lanes, host: str, port: int, max_body: int) -> None:
        """Listens at once, so that the port is known; serves nobody before `run`.

        Raises:
            StartError: `host` is no address of this machine, or the port is taken.
        """
        self._lanes = lanes
        self._map: dict[int, Any] = {}
        self._should_drain = self._should_stop = False
        self._round_at = time.monotonic()
        listener = _listen(host, port)
        self.port: int = listener.getsockname()[1]
        adjustments = Adjustments(
            sockets=[listener], connection_limit=_max_connections(), channel_timeout=IDLE_CONNECTION_S,
            max_request_body_size=max_body + 1, inbuf_overflow=BUFFER_BYTES, outbuf_overflow=BUFFER_BYTES, ident='',
            channel_request_lookahead=1,  # or a caller that hangs up is not noticed before its answer is made
            outbuf_high_watermark=sys.maxsize,  # or a caller that does not read would keep the thread that serves it
            cleanup_interval=IDLE_CONNECTION_S // 4,
        )  # fmt: skip
        self._server = _Server(
            _give_places_back(application), self._map, _sock=listener, dispatcher=lanes, adj=adjustments, bind_socket=False,
            sockinfo=(listener.family, listener.type, listener.proto, listener.getsockname()),
        )  # fmt: skip

    @property
    def is_draining(self) -> bool:
        return self._should_drain

    def run(self, drain_s: float) -> None:
        """Serve until `stop`, or until `drain` and then all that has come is answered, or so many seconds are over."""
        self._lanes.start()
        while not self._should_drain and not self._should_stop:
            self._go_round(ROUND_S)
        wasyncore.dispatcher.close(self._server)  # the port, and not the connections
        deadline = time.monotonic() + drain_s
        while not self._should_stop and self._is_busy() and time.monotonic() < deadline:
            self._go_round(0.05)
        if self._is_busy():
            logger.warning('ended with requests that were not answered')

    def _go_round(self, timeout_s: float) -> None:
        self._round_at = time.monotonic()
        wasyncore.loop(timeout_s, use_poll=True, map=self._map, count=1)
        for channel in list(self._server.lingering):
            channel.linger_no_longer(time.monotonic())

    def round_age_s(self) -> float:
        """How long ago the last round of `run` began: some seconds mean that it is stuck."""
        return time.monotonic() - self._round_at

    def close(self) -> None:
        """Close every connection and end the threads."""
        wasyncore.close_all(self._map)
        self._lanes.shutdown()

    def drain(self) -> None:
        """Take no more connections, answer what has come, and end."""
        self._should_drain = self._server.is_draining = True
        self._server.pull_trigger()

    def stop(self) -> None:
        """End at once."""
        self._should_stop = True
        self._server.pull_trigger()

    def _is_busy(self) -> bool:
        return not self._lanes.are_empty or any(
            channel.total_outbufs_len for channel in self._server.active_channels.values()
        )


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise StartError('-http_host: %s is no address to listen on: %s' % (host, error.strerror)) from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise StartError(
            '-http_port: %s:%d cannot be listened on: %s; is another server running there?'
            % (host, port, error.strerror)
        ) from None
    return listener


def _max_connections() -> int:
    """As many connections as this process may have files, of which the system may grant more than it has set."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(hard, 65536) if hard != resource.RLIM_INFINITY else 65536
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return max(wanted, soft) - _SPARE_FILES if max(wanted, soft) > 2 * _SPARE_FILES else _SPARE_FILES
