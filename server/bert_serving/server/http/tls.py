"""TLS for the connections of the HTTP port: certificates that are read again when they change, and sockets.

waitress has no TLS. It takes a `TlsSocket` for a socket, which shakes hands while it is read from, so that every
deadline and bound that `connections` sets for the headers of a request holds for the handshake, too.
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
"""The most bytes of a record of TLS. Each is written by itself, so that slow readers show progress."""

_HTTPS_WANTED = 'This port speaks TLS: use https://\n'
_PLAIN_RESPONSE = (
    'HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%s'
    % (len(_HTTPS_WANTED), _HTTPS_WANTED)
).encode()


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """The paths of PEM files: the certificate with its chain, its key, and the CAs whose clients are accepted.

    Without `client_ca`, clients need no certificate.
    """

    cert: str
    key: str
    client_ca: str | None = None

    def load(self) -> ssl.SSLContext:
        """A context with what the files hold now: TLS 1.2 or 1.3, no renegotiation, HTTP/1.1.

        Raises:
            UsageError: a file cannot be read or is not as expected, or the key is not that of the certificate.
        """
        _read('-http_tls_cert', self.cert, 'CERTIFICATE-----', 'certificate')
        _read('-http_tls_key', self.key, 'PRIVATE KEY-----', 'private key')
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION
        context.set_alpn_protocols(['http/1.1'])
        is_encrypted = False

        def refuse_password() -> str:  # without this, OpenSSL would ask at the terminal
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
                message = 'the key is not that of the certificate in %s' % self.cert
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
        """A value that is another one after a file has changed, has been replaced, or cannot be found."""
        return tuple(_stamp(path) for path in (self.cert, self.key, self.client_ca) if path is not None)


def _read(option: str, path: str, mark: str, name: str) -> None:
    """Check that the file at `path` can be read and has a PEM block."""
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
    """OpenSSL's words, such as `ee key too small`."""
    reason = getattr(error, 'reason', None)
    return str(reason).replace('_', ' ').lower() if reason else 'it is not valid PEM'


class Tls:
    """The certificate of the port. For the thread that reads the connections."""

    def __init__(self, files: TlsFiles) -> None:
        """Load `files`.

        Raises:
            UsageError: as `TlsFiles.load`.
        """
        self._files = files
        self._signature = files.signature()
        self._context = files.load()

    def wrap(self, connection: socket.socket, on_refused: Callable[[str], None]) -> TlsSocket:
        """A socket that speaks TLS over an accepted connection; `on_refused` gets the reason if the handshake fails."""
        return TlsSocket(connection, self._context, on_refused)

    def refresh(self) -> None:
        """Load the files again if they have changed. Open connections keep the certificate that they began with."""
        signature = self._files.signature()
        if signature == self._signature:
            return
        self._signature = signature
        try:
            self._context = self._files.load()
        except UsageError as error:  # a certificate without its new key, say: the key will come in a moment
            logger.error('kept the previous certificate: %s', error)
        else:
            logger.info('loaded the changed certificate: file=%s', self._files.cert)


class NothingToRead(Exception):
    """The bytes that have come are not yet a record. No OSError, for which waitress would close the connection."""


class PlainHTTP(Exception):
    """The client speaks HTTP without TLS; it has been told to use https."""


class TlsSocket:
    """The methods that waitress calls on a non-blocking socket, with TLS. Thread-safe.

    `recv` shakes hands first. The socket takes no data from a connection without TLS, and gives it none.
    """

    def __init__(self, connection: socket.socket, context: ssl.SSLContext, on_refused: Callable[[str], None]) -> None:
        self._socket = connection  # that, or the same as `_tls`
        self._tls: ssl.SSLSocket | None = None  # from the first byte to the end of TLS: a silent client costs little
        self._context = context
        self._on_refused = on_refused
        self._is_open = self._is_over = False
        self._unfinished = 0
        self._lock = threading.Lock()  # OpenSSL cannot read in one thread while it writes in another
        self.wants_write = False
        """Whether `recv` is to be called when the socket can be written to, and not before."""

    def fileno(self) -> int:
        return self._socket.fileno()

    def setblocking(self, flag: bool) -> None:
        self._socket.setblocking(flag)

    def getsockopt(self, level: int, name: int) -> int:
        return self._socket.getsockopt(level, name)

    def recv(self, size: int) -> bytes:
        """All data that has come; none stays behind, because `poll` would not see it. b'' is the end.

        After `shutdown`, input is read and dropped.

        Raises:
            NothingToRead: no data has come.
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
        """Write as much of `data` as can be written, and return how many bytes that is.

        Data of which nothing could be written must begin the next call, too.

        Raises:
            OSError: the connection is lost or over.
        """
        with self._lock:
            if self._tls is None or not self._is_open:
                raise ConnectionAbortedError(errno.ECONNABORTED, 'no TLS connection')
            view, sent = memoryview(data), 0
            try:
                while sent < len(view):
                    # OpenSSL has encrypted an unfinished record, and wants the same data again.
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
        """Tell the client that no more data comes (`close_notify`), and shut the connection down under TLS."""
        with self._lock:
            self._end()
            self._socket.shutdown(how)

    def close(self) -> None:
        """Tell the client that no more data comes, and close the connection."""
        with self._lock:
            self._end()
            self._socket.close()

    def _end(self) -> None:
        tls, self._tls = self._tls, None
        self._is_over = True
        if tls is None:
            return
        if self._is_open:
            with contextlib.suppress(OSError, ValueError):  # the client's part is not here yet, or it is gone
                tls.unwrap()
        self._is_open = False
        self._socket = socket.socket(fileno=tls.detach())
        self._socket.setblocking(False)
