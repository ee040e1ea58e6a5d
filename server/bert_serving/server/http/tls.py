"""TLS for the HTTP port: certificates, read again when they change, and sockets.

waitress does not support TLS. Instead of a socket it gets a `TlsSocket`, which performs the handshake during reads. So
all time and size limits of `connections` for the headers also apply to the handshake.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from ..errors import UsageError

logger = logging.getLogger(__name__)

RECORD_BYTES = 1 << 14
"""The maximum bytes of a TLS record. Each record is written separately, so that slow readers show progress."""

_HTTPS_WANTED = 'This port speaks TLS: use https://\n'
_PLAIN_RESPONSE = (
    'HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%s'
    % (len(_HTTPS_WANTED), _HTTPS_WANTED)
).encode()


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """The paths of PEM files: the certificate with its chain, its key, and the CAs whose clients are accepted.

    Clients need a certificate only if `client_ca` is set.
    """

    cert: str
    key: str
    client_ca: str | None = None

    def load(self) -> ssl.SSLContext:
        """Make a context from the current files: TLS 1.2 or 1.3, no renegotiation, HTTP/1.1.

        Raises:
            UsageError: a file cannot be read or is invalid, or the key does not belong to the certificate.
        """
        _read('-http_tls_cert', self.cert, 'CERTIFICATE-----', 'certificate')
        _read('-http_tls_key', self.key, 'PRIVATE KEY-----', 'private key')
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION
        context.set_alpn_protocols(['http/1.1'])
        is_encrypted = False

        def refuse_password() -> str:  # otherwise OpenSSL would ask for a password on the terminal
            nonlocal is_encrypted
            is_encrypted = True
            return ''

        try:
            context.load_cert_chain(self.cert, self.key, refuse_password)
        except (OSError, ValueError) as error:
            if is_encrypted:
                advice = 'decrypt it with openssl pkey -in %s' % self.key
                raise UsageError('-http_tls_key: %s is encrypted: %s' % (self.key, advice)) from None
            if getattr(error, 'reason', None) == 'KEY_VALUES_MISMATCH':
                message = 'the key does not belong to the certificate in %s' % self.cert
                raise UsageError('-http_tls_key: %s: %s' % (self.key, message)) from None
            message = 'cannot use %s with the key in %s: %s' % (self.cert, self.key, _reason_of(error))
            raise UsageError('-http_tls_cert: %s' % message) from None
        if self.client_ca is not None:
            _read('-http_tls_client_ca', self.client_ca, 'CERTIFICATE-----', 'certificate')
            try:
                context.load_verify_locations(self.client_ca)
            except OSError as error:
                message = 'cannot use %s: %s' % (self.client_ca, _reason_of(error))
                raise UsageError('-http_tls_client_ca: %s' % message) from None
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def signature(self) -> tuple[object, ...]:
        """A value that changes when a file is changed, replaced or removed."""
        return tuple(_stamp(path) for path in (self.cert, self.key, self.client_ca) if path is not None)


def _read(option: str, path: str, mark: str, name: str) -> None:
    """Check that the file at `path` is readable and has a PEM block."""
    try:
        with open(path, encoding='latin-1') as file:
            text = file.read()
    except OSError as error:
        raise UsageError('%s: cannot read %s: %s' % (option, path, error.strerror)) from None
    if '-----BEGIN ' not in text or mark not in text:
        raise UsageError('%s: no %s in %s: expected the PEM format' % (option, name, path))


def _stamp(path: str) -> tuple[int, ...] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size


def _reason_of(error: Exception) -> str:
    """OpenSSL's description of an error, such as `ee key too small`."""
    reason = getattr(error, 'reason', None)
    return str(reason).replace('_', ' ').lower() if reason else 'it is not valid PEM'


class Tls:
    """The certificate of the port. Only for the thread that reads the connections."""

    def __init__(self, files: TlsFiles) -> None:
        """Load `files`.

        Raises:
            UsageError: as in `TlsFiles.load`.
        """
        self._files = files
        self._signature = files.signature()
        self._context = files.load()

    def wrap(self, connection: socket.socket, on_refused: Callable[[str], None]) -> TlsSocket:
        """Wrap an accepted connection in TLS. `on_refused` gets the reason if the handshake fails."""
        return TlsSocket(connection, self._context, on_refused)

    def refresh(self) -> None:
        """Load the files again if they have changed. Open connections keep their certificate."""
        signature = self._files.signature()
        if signature == self._signature:
            return
        self._signature = signature
        try:
            self._context = self._files.load()
        except UsageError as error:  # for example a new certificate whose key file is not written yet
            logger.error('kept the previous certificate: %s', error)
        else:
            logger.info('loaded the changed certificate: file=%s', self._files.cert)


class NothingToRead(Exception):
    """There is no complete record yet. This is not an OSError, because waitress would close the connection."""


class PlainHTTP(Exception):
    """The client speaks HTTP without TLS. It has received a response that says so."""


class TlsSocket:
    """A non-blocking TLS socket with the methods that waitress calls. Thread-safe.

    The first calls of `recv` perform the handshake. Without TLS, no data passes in either direction.
    """

    def __init__(self, connection: socket.socket, context: ssl.SSLContext, on_refused: Callable[[str], None]) -> None:
        self._socket = connection  # or the same as `_tls`
        self._tls: ssl.SSLSocket | None = None  # from the first byte to the end of TLS: a silent client costs little
        self._context = context
        self._on_refused = on_refused
        self._is_open = self._is_over = False
        self._unfinished = 0
        self._lock = threading.Lock()  # OpenSSL cannot read in one thread while it writes in another
        self.wants_write = False
        """Whether to call `recv` only when the socket is writable."""

    def fileno(self) -> int:
        return self._socket.fileno()

    def setblocking(self, flag: bool) -> None:
        self._socket.setblocking(flag)

    def getsockopt(self, level: int, name: int) -> int:
        return self._socket.getsockopt(level, name)

    def recv(self, size: int) -> bytes:
        """Return all received data, because `poll` would not see the rest. b'' is the end.

        After `shutdown`, it reads and drops input.

        Raises:
            NothingToRead: there is no data yet.
            PlainHTTP: the client does not speak TLS.
            OSError: the connection is lost, or the handshake has failed.
        """
        with self._lock:
            self.wants_write = False
            try:
                return self._recv(size)
            except (BlockingIOError, ssl.SSLWantReadError):
                raise NothingToRead from None
            except ssl.SSLWantWriteError:
                self.wants_write = True
                raise NothingToRead from None
            except ssl.SSLError as error:
                raise ConnectionAbortedError(errno.ECONNABORTED, _reason_of(error)) from None

    def _recv(self, size: int) -> bytes:
        if self._is_over:
            if self._socket.recv(size):
                raise NothingToRead
            return b''
        if self._tls is None:
            first = self._socket.recv(1, socket.MSG_PEEK)
            if not first:
                return b''
            if first.isalpha():
                self._refuse_plain()
            self._tls = self._context.wrap_socket(self._socket, server_side=True, do_handshake_on_connect=False)
            self._socket = self._tls
        if not self._is_open:
            self._shake_hands(self._tls)
        data = self._tls.recv(max(size, RECORD_BYTES))
        while rest := self._tls.pending():
            data += self._tls.recv(rest)
        return data

    def _shake_hands(self, tls: ssl.SSLSocket) -> None:
        try:
            tls.do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError, ssl.SSLEOFError):
            raise
        except ssl.SSLError as error:
            self._on_refused(_reason_of(error))
            raise
        self._is_open = True

    def _refuse_plain(self) -> NoReturn:
        self._is_over = True
        self._on_refused('plain http')
        self._socket.send(_PLAIN_RESPONSE)
        raise PlainHTTP

    def send(self, data: bytes) -> int:
        """Write as much of `data` as possible, and return the number of bytes.

        If it is 0, the next call must begin with the same data.

        Raises:
            OSError: the connection is lost or over.
        """
        with self._lock:
            if self._tls is None or not self._is_open:
                raise ConnectionAbortedError(errno.ECONNABORTED, 'no TLS connection')
            view, sent = memoryview(data), 0
            try:
                while sent < len(view):
                    # OpenSSL has already encrypted the record, and requires the same data again.
                    size = self._unfinished or min(RECORD_BYTES, len(view) - sent)
                    self._unfinished = size
                    sent += self._tls.send(view[sent : sent + size])
                    self._unfinished = 0
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                pass
            except ssl.SSLError as error:
                raise ConnectionAbortedError(errno.ECONNABORTED, _reason_of(error)) from None
            return sent

    def shutdown(self, how: int) -> None:
        """Tell the client that no more data follows (`close_notify`), and shut down the TCP connection."""
        with self._lock:
            self._end()
            self._socket.shutdown(how)

    def close(self) -> None:
        """Tell the client that no more data follows, and close the connection."""
        with self._lock:
            self._end()
            self._socket.close()

    def _end(self) -> None:
        tls, self._tls = self._tls, None
        self._is_over = True
        if tls is None:
            return
        if self._is_open:
            with contextlib.suppress(OSError, ValueError):  # the client's part has not arrived, or the client is gone
                tls.unwrap()
        self._is_open = False
        self._socket = socket.socket(fileno=tls.detach())
        self._socket.setblocking(False)
