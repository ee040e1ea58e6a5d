"""Certificates of CURVE keys, in the format of pyzmq's `zmq.auth`. Pure, except for reading files.

A certificate is a text with a public key and, for its owner, the secret key. Keys are 40 characters of Z85. The name in
the metadata is the principal's name, which our client puts before its identity.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from ..errors import UsageError
from .principals import is_name
from .regular_file import read_text

PUBLIC_SUFFIX, SECRET_SUFFIX = '.key', '.key_secret'

MAX_CERTIFICATE_BYTES = 1 << 16
"""The maximum size of a certificate, which can have comments."""

_Z85 = '0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#'
_LINE = re.compile(r'\s*(public-key|secret-key|name)\s*=\s*["\']?(.*?)["\']?\s*')


@dataclass(frozen=True)
class Certificate:
    """A public key and, if known, its secret key, in Z85. The `repr` omits the secret."""

    public: str
    secret: str | None = field(default=None, repr=False)
    name: str | None = None

    @cached_property
    def raw_public(self) -> bytes:
        """The 32 bytes of the public key, in the form of libzmq."""
        return decode_z85(self.public)


def decode_z85(key: str) -> bytes:
    """Decode 40 characters of Z85 to 32 bytes. Raise ValueError for anything else."""
    if len(key) != 40 or not set(key) <= set(_Z85):
        raise ValueError('not a key: expected 40 characters of Z85')
    decoded = b''
    for start in range(0, 40, 5):
        value = 0
        for character in key[start : start + 5]:
            value = 85 * value + _Z85.index(character)
        if value >= 1 << 32:
            raise ValueError('not a key: expected 40 characters of Z85')
        decoded += value.to_bytes(4, 'big')
    return decoded


def read_certificate(text: str, file: str) -> Certificate:
    """Read the text of a certificate. `file` is its name for errors.

    Raises:
        UsageError: a key is missing or invalid.
    """
    found = {match[1]: match[2] for line in text.splitlines() if (match := _LINE.fullmatch(line))}
    public, secret = found.get('public-key'), found.get('secret-key')
    if public is None:
        made = 'bert-serving-keys makes one'
        raise UsageError('%s: not a CURVE certificate, because it has no line public-key = "...": %s' % (file, made))
    for kind, key in (('public-key', public), ('secret-key', secret)):
        try:
            if key is not None:
                decode_z85(key)
        except ValueError:
            raise UsageError('%s: its %s is no key: expected 40 characters of Z85' % (file, kind)) from None
    return Certificate(public, secret, found.get('name') or None)


def format_certificate(certificate: Certificate) -> str:
    """Format a certificate. `zmq.auth.load_certificate` reads it, too."""
    if certificate.secret is None:
        lines = ['#   ZeroMQ CURVE public certificate: it may be shown to everybody', '']
    else:
        lines = ['#   ZeroMQ CURVE **secret** certificate: do not give it away', '']
    lines.append('metadata')
    if certificate.name is not None:
        lines.append('    name = "%s"' % certificate.name)
    lines += ['curve', '    public-key = "%s"' % certificate.public]
    if certificate.secret is not None:
        lines.append('    secret-key = "%s"' % certificate.secret)
    return '\n'.join(lines) + '\n'


def read_secret_certificate(path: str, option: str) -> Certificate:
    """Read the file of a secret certificate, which only its owner must be able to read or write.

    Raises:
        UsageError: the file cannot be read, has no secret key, or others can read it; the message names `option`.
    """
    where = '-%s %s' % (option, path)
    try:
        text, mode = read_text(path, MAX_CERTIFICATE_BYTES)
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else 'it is not a text'
        raise UsageError('%s: cannot read it: %s: bert-serving-keys makes one' % (where, why)) from None
    if mode & 0o077:
        raise UsageError('%s: others can read or write it (mode %04o): chmod 600 %s' % (where, mode, path))
    certificate = read_certificate(text, where)
    if certificate.secret is None:
        raise UsageError('%s: it has no secret-key: give the file that ends with %s' % (where, SECRET_SUFFIX))
    return certificate


def read_clients(folder: str) -> tuple[Mapping[bytes, str], list[str]]:
    """Read the public keys of a folder. Return the principal's name of each key, and the problems of other files.

    The principal of `alice.key`, and of `alice.laptop.key`, is alice. Only files that end with `.key` are read.

    Raises:
        UsageError: the folder cannot be listed.
    """
    try:
        files = sorted(name for name in os.listdir(folder) if name.endswith(PUBLIC_SUFFIX))
    except OSError as error:
        raise UsageError('-curve_clients: cannot read the folder %s: %s' % (folder, error.strerror)) from None
    names: dict[bytes, str] = {}
    problems: list[str] = []
    for file in files:
        try:
            certificate, name = _read_client(os.path.join(folder, file)), file.partition('.')[0]
            other = names.setdefault(certificate.raw_public, name)
            if other != name:
                raise UsageError('%s: it has the same key as %s: make another' % (os.path.join(folder, file), other))
        except UsageError as error:
            problems.append(error.message)
    return names, problems


def _read_client(path: str) -> Certificate:
    name = os.path.basename(path).partition('.')[0]
    if not is_name(name):
        expected = 'expected NAME.key, where NAME is a letter or a digit, then letters, digits, - and _'
        raise UsageError('%s: not a valid principal name: %s' % (path, expected))
    try:
        certificate = read_certificate(read_text(path, MAX_CERTIFICATE_BYTES)[0], path)
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else 'it is not a text'
        raise UsageError('%s: cannot read it: %s' % (path, why)) from None
    if certificate.secret is not None:
        raise UsageError('%s: it has the secret key, which only the client must have: make another' % path)
    return certificate


def stamp_clients(folder: str) -> object:
    """A value that changes with the public keys of a folder: names, times and sizes. It never raises OSError."""
    found = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.endswith(PUBLIC_SUFFIX):
                    found.append((entry.name, *_stamp_of(entry.path)))
    except OSError:
        return None
    return sorted(found)


def _stamp_of(path: str) -> tuple[int, ...]:
    """The stamp of a file or of a link's target. It is empty for a broken link, which must not hide other files."""
    try:
        status = os.stat(path)
    except OSError:
        return ()
    return status.st_mtime_ns, status.st_size, status.st_ino


def written_at(folder: str) -> int | None:
    """The time in nanoseconds of the last file added to or removed from a folder, or None if there is no folder."""
    try:
        return os.stat(folder).st_mtime_ns
    except OSError:
        return None
