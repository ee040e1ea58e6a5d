"""waitress's connections: parse and answer their requests. Only `waitress_adapter` uses this module.

Both modules subclass waitress and use undocumented names.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from typing import Any, Protocol

from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.task import WSGITask

from ..addresses import is_host
from .connections import ConnectionState, Phase, is_unread
from .quotas import Holding
from .tls import NothingToRead, PlainHTTP, TlsSocket

LINGER_S = 30.0
LINGER_SILENT_S = 5.0
"""Seconds to read and drop input after a refusal: in total, and since the last byte."""

LINGER_BYTES = 1 << 18


class Owner(Protocol):
    """The interface of a connection to its server."""

    keeps_alive: bool
    lingering: set[Channel]

    def forget(self, address: str) -> None: ...

    def serve(self, channel: Channel) -> None: ...


class Parser(HTTPRequestParser):  # type: ignore[misc]
    """The parser of a request. It rejects requests that other HTTP programs could parse differently."""

    def parse_header(self, header_plus: bytes) -> None:
        try:
            super().parse_header(header_plus)
        except ValueError:  # Python converts no more than 4,300 digits
            raise ParsingError('Content-Length is invalid') from None
        if self.version not in ('1.0', '1.1'):
            raise ParsingError('The version of HTTP is not supported: send HTTP/1.1')
        if self.chunked and 'CONTENT_LENGTH' in self.headers:
            raise ParsingError('Content-Length and Transfer-Encoding exclude each other')
        if self.version == '1.0' and 'TRANSFER_ENCODING' in self.headers:
            raise ParsingError('HTTP/1.0 has no Transfer-Encoding')
        host = self.headers.get('HOST', '')
        if (self.version == '1.1' and 'HOST' not in self.headers) or ',' in host:
            raise ParsingError('The request must have one Host header')
        if not is_host(host):
            raise ParsingError('The Host header is invalid')


class Task(WSGITask):  # type: ignore[misc]
    """One call of the app."""

    def execute(self) -> None:
        if self.channel.is_cut_short or not self.channel.server.keeps_alive:
            self.set_close_on_finish()
        super().execute()

    def finish(self) -> None:
        super().finish()
        self.channel.flush()

    def get_environment(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environment()
        environ.update(self.channel.environ)
        return environ


class Channel(HTTPChannel):  # type: ignore[misc]
    """A connection. The app, not waitress, answers unreadable requests, in the format of their route.

    After such a response the client might still be sending. If the server closed the connection immediately, the
    client's machine would discard the response. So the server reads and drops input for a while (RFC 9112, 9.6).
    """

    task_class = Task
    parser_class = Parser
    environ: Mapping[str, Any] = {}
    is_cut_short = False
    """Whether a request was not read completely, so that the start of the next one is unknown."""

    _lingers_since: float | None = None
    _heard_at = 0.0
    _is_counted = True

    def __init__(self, server: Owner, sock: socket.socket, address: Any, *arguments: Any, **options: Any) -> None:
        self.address = str(address[0])
        self._began_at = time.monotonic()
        self.holding = Holding()
        self._served = 0
        self._bytes_sent = 0
        self._unread_since: float | None = None
        self._sent_before = 0
        super().__init__(server, sock, address, *arguments, **options)

    def state(self, now: float) -> ConnectionState:
        """The state of the connection for `connections`."""
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
        """Whether the client does not read its response. Call it in every sweep."""
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
            self.holding.close()
        super().del_channel(map)

    def serve(self, environ: Mapping[str, Any]) -> None:
        """Serve the first request with `environ` added to the WSGI environment."""
        self.environ = environ
        request = self.requests[0]
        if request.error is not None:
            self.is_cut_short = True
            request.error = None  # otherwise waitress would answer it
            for name in ('command', 'path', 'query', 'request_uri'):
                vars(request).setdefault(name, '')  # the parser might have stopped before setting them
            request.url_scheme = self.adj.url_scheme
        self.server.serve(self)
        self._served += 1
        self._began_at = time.monotonic()

    @property
    def descriptor(self) -> int | None:
        """The file descriptor, or None after the connection was closed."""
        descriptor: int | None = self._fileno
        return descriptor

    def flush(self) -> None:
        """Write what the socket takes of a response in this thread. The loop writes the rest."""
        with self.outbuf_lock:
            if self.total_outbufs_len:
                self._flush_exception(self._flush_some, do_close=False)

    def send_continue(self) -> None:
        """Ask for the body, except after a refusal, because waitress would forget the error."""
        if self.request.error is None:
            super().send_continue()
        else:
            self.request.expect_continue = False

    @property
    def _wants_write(self) -> bool:
        """Whether TLS must write before it can read more."""
        return isinstance(self.socket, TlsSocket) and self.socket.wants_write

    def writable(self) -> bool:
        """Whether `handle_write` would do something now.

        waitress also says so while a thread makes a small response. The loop would run in circles until it is written.
        """
        if self._lingers_since is not None:
            return False
        if self._wants_write or self.will_close:
            return True
        if not self.requests or not self.total_outbufs_len:
            return bool(self.total_outbufs_len or self.close_when_flushed)
        return self.total_outbufs_len >= self.adj.send_bytes and not self._is_being_written

    @property
    def _is_being_written(self) -> bool:
        """Whether another thread is writing to the socket or its buffers."""
        if not self.outbuf_lock.acquire(False):
            return True
        self.outbuf_lock.release()
        return False

    def readable(self) -> bool:
        return self._lingers_since is not None or (not self._wants_write and bool(super().readable()))

    def handle_write(self) -> None:
        if self._wants_write:
            self.handle_read()
        else:
            super().handle_write()

    def handle_read(self) -> None:
        try:
            if self._lingers_since is None:
                super().handle_read()
            else:
                self._heard_at = time.monotonic()
                self.recv(LINGER_BYTES)  # closes the connection after the client has closed it
        except NothingToRead:
            pass
        except PlainHTTP:
            self.is_cut_short = True
            self.handle_close()
        except OSError:
            self.handle_close()

    def handle_close(self) -> None:
        """Close the connection, or first let the client finish sending."""
        is_open = self.socket is not None  # it might have been closed earlier in this round
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
        """Close the connection if it has lingered or been silent for too long."""
        if self._lingers_since is not None and (
            now - self._lingers_since > LINGER_S or now - self._heard_at > LINGER_SILENT_S
        ):
            self.handle_close()
