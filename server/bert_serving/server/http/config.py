"""How the HTTP face is to behave: what `Settings` say, with the keys read from their file and the lists taken apart.

Made in the process of the proxy, and by a start that wants to know of a fault before it loads a model.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..errors import UsageError
from ..options.settings import Settings

DEFAULT_PORT = 8125
"""The port of `bert-serving-http`, when none is given."""

_PACKAGES = ('flask', 'flask_cors', 'flask_compress', 'flask_json', 'flask_swagger_ui', 'waitress', 'prometheus_client',
             'bert_serving.client')  # fmt: skip

_ORIGIN = re.compile(r'https?://([\w.-]+|\[[0-9a-f:.]+\])(:\d+)?', re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class HttpConfig:
    """What the options say. The keys are not shown, wherever this is printed."""

    host: str = '0.0.0.0'
    max_connect: int = 10
    max_waiting: int = 128
    timeout_s: float = 60
    max_body: int = 1 << 24
    api_keys: Sequence[str] = field(default=(), repr=False)
    origins: Sequence[str] = ('*',)
    model_names: tuple[str, ...] = ()

    @classmethod
    def from_settings(cls, settings: Settings) -> HttpConfig:
        """What `settings` say.

        Raises:
            UsageError: the file of keys cannot be read or is empty, a key has characters that no header can have, or
                an origin is none.
        """
        keys = read_keys(settings.http_api_key_file) if settings.http_api_key_file else []
        if settings.http_api_key is not None:
            keys.append(settings.http_api_key)
        if not all(key.isascii() and key.isprintable() and key.strip() == key != '' for key in keys):
            raise UsageError('-http_api_key: a key must be printable ASCII, without blanks around it')
        return cls(
            host=settings.http_host,
            max_connect=settings.http_max_connect,
            max_waiting=settings.http_max_waiting,
            timeout_s=settings.http_timeout,
            max_body=settings.http_max_body,
            api_keys=tuple(keys),
            origins=read_origins(settings.cors),
            model_names=split(settings.http_model_name or ''),
        )

    @property
    def is_open_to_all(self) -> bool:
        """Whether whoever reaches this machine may use it."""
        return not self.api_keys and self.host not in ('127.0.0.1', '::1', 'localhost')


def split(text: str) -> tuple[str, ...]:
    """The words between commas or blanks."""
    return tuple(text.replace(',', ' ').split())


def read_origins(text: str) -> tuple[str, ...]:
    """The origins of `-cors`: `*`, or addresses as a browser sends them."""
    origins = split(text)
    for origin in origins:
        if origin not in ('*', 'null') and not _ORIGIN.fullmatch(origin):
            raise UsageError('-cors: %r is not a valid origin: expected *, or a scheme, host and port as in '
                             'https://example.org or http://localhost:3000' % origin)  # fmt: skip
    return origins


def read_keys(path: str) -> list[str]:
    """The keys in a file, one on a line; empty lines and those that begin with # are none."""
    try:
        with open(path, encoding='utf-8') as file:
            lines = [line.strip() for line in file]
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else 'it is no text'
        raise UsageError('-http_api_key_file: %s cannot be read: %s' % (path, why)) from None
    keys = [line for line in lines if line and not line.startswith('#')]
    if not keys:
        raise UsageError('-http_api_key_file: there is no key in %s' % path)
    return keys


def check_installed() -> None:
    """Raise UsageError if what the HTTP face needs beside the server is not there; imports nothing."""
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError("-http_port: %s not installed: pip install 'bert-serving-server[http]>=2'"
                         % (', '.join(missing) + (' is' if len(missing) == 1 else ' are')))  # fmt: skip
