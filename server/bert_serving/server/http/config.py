"""The configuration of the HTTP proxy: its part of `Settings`, after reading the key file and splitting the lists.

The proxy makes it. The server makes it at its start, too, to report invalid values before it loads a model.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..errors import UsageError
from ..options.settings import Settings
from ..security.principals import read_principals
from ..security.watched_file import WatchedFile
from .authentication import Authenticator
from .tls import TlsFiles

DEFAULT_PORT = 8125
"""The default port of `bert-serving-http`."""

_PACKAGES = (
    'flask',
    'flask_cors',
    'flask_compress',
    'flask_json',
    'flask_swagger_ui',
    'waitress',
    'prometheus_client',
    'bert_serving.client',
)

_ORIGIN = re.compile(r'https?://([\w.-]+|\[[0-9a-f:.]+\])(:\d+)?', re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class HttpConfig:
    """The values of the options. The `repr` omits the keys."""

    host: str = '0.0.0.0'
    max_connect: int = 10
    max_small: int = 32
    max_waiting: int = 128
    timeout_s: float = 60
    max_body: int = 1 << 24
    api_keys: Sequence[str] = field(default=(), repr=False)
    origins: Sequence[str] = ('*',)
    model_names: tuple[str, ...] = ()
    token_ids: bool = False
    tls: TlsFiles | None = None
    principals_file: str | None = None
    has_keys: bool = False

    @classmethod
    def from_settings(cls, settings: Settings) -> HttpConfig:
        """Make the configuration from `settings`.

        Raises:
            UsageError: the key file cannot be read or has no key, a key has characters that are invalid in a header, an
                origin is invalid, or the certificate, its key, or the file of principals cannot be used.
        """
        keys = read_keys(settings.http_api_key_file) if settings.http_api_key_file else []
        if settings.http_api_key is not None:
            keys.append(settings.http_api_key)
        if not all(key.isascii() and key.isprintable() and key.strip() == key != '' for key in keys):
            raise UsageError('-http_api_key: a key must be printable ASCII, without spaces around it')
        principals = settings.principals and WatchedFile(settings.principals, read_principals, 'principals').value
        return cls(
            host=settings.http_host,
            max_connect=settings.http_max_connect,
            max_small=settings.http_max_small,
            max_waiting=settings.http_max_waiting,
            timeout_s=settings.http_timeout,
            max_body=settings.http_max_body,
            api_keys=tuple(keys),
            origins=read_origins(settings.cors),
            model_names=split(settings.http_model_name or ''),
            token_ids=settings.http_token_ids,
            tls=_read_tls(settings),
            principals_file=settings.principals,
            has_keys=bool(keys) or bool(principals and principals.have_http_keys),
        )

    @property
    def max_outstanding(self) -> int:
        """The maximum requests that are served or wait."""
        return max(self.max_connect, self.max_small) + self.max_waiting

    def make_authenticator(self) -> Authenticator:
        """Make the authenticator with the keys of the port and their principals.

        Raises:
            UsageError: the file of principals cannot be read or is invalid.
        """
        return Authenticator(self.api_keys, self.principals_file)

    @property
    def is_open_to_all(self) -> bool:
        """Whether the port needs no key."""
        return not self.has_keys and self.host not in ('127.0.0.1', '::1', 'localhost')


def _read_tls(settings: Settings) -> TlsFiles | None:
    """The paths of the certificate files, after a trial load."""
    cert, key, client_ca = settings.http_tls_cert, settings.http_tls_key, settings.http_tls_client_ca
    if cert is None and key is None and client_ca is None:
        return None
    if cert is None or key is None:
        raise UsageError('-http_tls_cert and -http_tls_key: TLS needs a certificate and its key: give both')
    files = TlsFiles(cert, key, client_ca)
    files.load()
    return files


def split(text: str) -> tuple[str, ...]:
    """Split a list at commas or spaces."""
    return tuple(text.replace(',', ' ').split())


def read_origins(text: str) -> tuple[str, ...]:
    """Parse the value of `-cors`: `*`, or origins in the form that browsers send."""
    origins = split(text)
    for origin in origins:
        if origin not in ('*', 'null') and not _ORIGIN.fullmatch(origin):
            expected = 'expected *, or a scheme, host and port as in https://example.org or http://localhost:3000'
            raise UsageError('-cors: %r is not a valid origin: %s' % (origin, expected))
    return origins


def read_keys(path: str) -> list[str]:
    """Read the keys in a file, one per line. Empty lines and lines that begin with # are skipped."""
    try:
        with open(path, encoding='utf-8-sig') as file:
            lines = [line.strip() for line in file]
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else 'it is not UTF-8 text'
        raise UsageError('-http_api_key_file: cannot read %s: %s' % (path, why)) from None
    keys = [line for line in lines if line and not line.startswith('#')]
    if not keys:
        raise UsageError('-http_api_key_file: no key in %s: write one on each line' % path)
    return keys


def check_installed() -> None:
    """Check that the packages of the HTTP proxy are installed, without importing them.

    Raises:
        UsageError: a package is not installed.
    """
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        subject = ', '.join(missing) + (' is' if len(missing) == 1 else ' are')
        raise UsageError("-http_port: %s not installed: pip install 'bert-serving-server[http]>=2'" % subject)
