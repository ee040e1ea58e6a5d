"""The listening socket of the proxy and the loop that reads and writes its connections.

`Frontend.run` is the main thread of the proxy. The threads of `dispatcher` serve the requests. An idle connection costs
no thread, only a little work in each poll, so only the number of file descriptors limits the connections.
"""

from __future__ import annotations

import logging
import resource
import socket
import time
from collections.abc import Callable
from wsgiref.types import WSGIApplication

from ..addresses import without_brackets
from ..errors import StartError
from .dispatcher import Dispatcher, release_place_after
from .tls import Tls, TlsFiles
from .waitress_adapter import Server

logger = logging.getLogger(__name__)

POLL_S = 1.0
"""Seconds between two checks of the main thread when nothing happens."""

DRAIN_POLL_S = 0.05

REFRESH_S = 1.0
"""Seconds between two checks for changed files."""

MAX_FILES = 65536
"""The number of file descriptors that the proxy asks for. The hard limit of the system can be lower."""

MAX_TLS_CONNECTIONS = 8192
"""The maximum number of TLS connections. OpenSSL takes about 50 KB for each, 400 MB in all."""

SPARE_FILES = 96
FILES_PER_CLIENT = 20
"""File descriptors to keep from HTTP connections: for the log, for large requests and responses (buffered in files),
and for each client of the server's two ports."""


class Frontend:
    """The listening socket, its connections, and the loop that serves them.

    Signal handlers can call `drain` and `stop`, and any thread can call `round_age_s`. All other methods are for the
    thread that calls `run`.
    """

    def __init__(
        self,
        application: WSGIApplication,
        dispatcher: Dispatcher,
        host: str,
        port: int,
        max_body: int,
        tls_files: TlsFiles | None = None,
        refresh: Callable[[], None] | None = None,
    ) -> None:
        """Listen, which determines `port` (0 takes a free one). `run` serves requests.

        With `tls_files` the port speaks only TLS. The loop calls `refresh` about every second.

        Raises:
            UsageError: as in `TlsFiles.load`.
            StartError: `host` is not an address of this machine, or the port is in use.
        """
        self._dispatcher = dispatcher
        self._refresh = refresh
        self._refreshed_at = time.monotonic()
        self._should_drain = self._should_stop = False
        self._round_at = time.monotonic()
        tls = None if tls_files is None else Tls(tls_files)
        self.scheme = 'http' if tls is None else 'https'
        listener = _listen(host, port)
        self.port: int = listener.getsockname()[1]
        connections = max_connections(raise_file_limit(), clients=dispatcher.threads + 1)
        if tls is not None:
            connections = min(connections, MAX_TLS_CONNECTIONS)
        self._server = Server(release_place_after(application), listener, dispatcher.submit, max_body, connections, tls)
        dispatcher.write_budget = self._server.write_budget

    @property
    def is_draining(self) -> bool:
        return self._should_drain

    def run(self, drain_s: float) -> None:
        """Serve until `stop`, or until `drain` and the end of all requests, for at most `drain_s` more seconds."""
        self._dispatcher.start()
        while not self._should_drain and not self._should_stop:
            self._poll(POLL_S)
        self._server.stop_listening()
        deadline = time.monotonic() + drain_s
        while not self._should_stop and self._is_busy() and time.monotonic() < deadline:
            self._poll(DRAIN_POLL_S)
        if self._is_busy():
            logger.warning('stopped with unanswered requests')

    def _poll(self, timeout_s: float) -> None:
        self._round_at = time.monotonic()
        if self._refresh is not None and self._round_at - self._refreshed_at >= REFRESH_S:
            self._refreshed_at = self._round_at
            self._refresh()
        self._server.poll(timeout_s)

    def round_age_s(self) -> float:
        """Seconds since the last round of `run` began. More than a few mean that the loop is stuck."""
        return time.monotonic() - self._round_at

    def close(self) -> None:
        """Close every connection and end the threads."""
        self._server.close()
        self._dispatcher.shutdown()

    def drain(self) -> None:
        """Stop accepting connections, answer the requests that were read, and end `run`."""
        self._server.refuse_keep_alive()
        self._dispatcher.drain()
        self._should_drain = True
        self._server.wake()

    def stop(self) -> None:
        """End `run` immediately."""
        self._should_stop = True
        self._server.wake()

    def _is_busy(self) -> bool:
        return not self._dispatcher.is_idle or self._server.is_writing


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            without_brackets(host), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise StartError('-http_host: cannot listen on %s: %s' % (host, error.strerror)) from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise StartError(
            '-http_port: cannot listen on %s:%d: %s; is another server using it?' % (host, port, error.strerror)
        ) from None
    return listener


def raise_file_limit() -> int:
    """Raise the limit on file descriptors to `MAX_FILES`, or the hard limit if that is lower, and return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_FILES)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return MAX_FILES if soft == resource.RLIM_INFINITY else soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted


def max_connections(files: int, clients: int) -> int:
    """The number of connections that the file limit allows with `clients` concurrent calls: at least a quarter."""
    return max(1, files // 4, files - SPARE_FILES - FILES_PER_CLIENT * clients)
