"""The keys of our own commands for connecting to a server. Pure, except for reading files."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from ..errors import UsageError
from .certificates import (
    MAX_CERTIFICATE_BYTES,
    Certificate,
    decode_z85,
    read_certificate,
    read_secret_certificate,
)
from .regular_file import read_text


@dataclass(frozen=True, slots=True)
class ClientKeys:
    """The public key of a server (or the file of its certificate), and the file of a client's secret certificate.

    Both are empty without keys. Then `BertClient` uses no keys, even if the environment names some.
    """

    server_key: str = ''
    key_file: str = ''

    @classmethod
    def from_args(cls, args: argparse.Namespace) -> ClientKeys:
        """Make keys from the options `-server_key` and `-key_file`.

        Raises:
            UsageError: only one is given.
        """
        server_key = getattr(args, 'server_key', None) or ''  # a program for 1.10 passes its own namespace
        key_file = getattr(args, 'key_file', None) or ''
        if bool(server_key) != bool(key_file):
            raise UsageError('-server_key and -key_file go together: give both, or neither')
        return cls(server_key, key_file)

    def __bool__(self) -> bool:
        return bool(self.server_key)

    def read(self) -> tuple[str, Certificate]:
        """Read the public key of the server, in Z85, and the certificate of the client.

        Raises:
            UsageError: a file cannot be read or has no key.
        """
        own = read_secret_certificate(self.key_file, 'key_file')
        try:
            decode_z85(self.server_key)
        except ValueError:
            return _read_public(self.server_key), own
        return self.server_key, own


NO_KEYS = ClientKeys()


def _read_public(path: str) -> str:
    where = '-server_key %s' % path
    try:
        return read_certificate(read_text(path, MAX_CERTIFICATE_BYTES)[0], where).public
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else 'it is not a text'
        raise UsageError('%s: expected a key of 40 characters, or a file: %s' % (where, why)) from None
