"""Principals: their grants and quotas. Pure, except for reading a file.

A principal is a named holder of keys. The file of `-principals` is TOML, with a table for each principal:

    [alice]
    grants = ["encode", "predict", "status"]
    weight = 2
    http_keys = ["sha256:<64 hexadecimal digits>"]
    ends = 2027-01-31
    [alice.quota]
    rows_queued = 100000

Each key of a table is optional. A principal without a table has the defaults of `Principal`. The table `[anonymous]` is
for peers without a key, if the server accepts them.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from hashlib import sha256
from typing import Any

from ..console.suggestions import did_you_mean
from ..errors import UsageError

ANONYMOUS = 'anonymous'
"""The name of peers without a key."""

MAX_NAME = 64
"""The maximum length of a name. With a dot and a UUID, it fits into an identity."""

_NAME = re.compile(r'[A-Za-z0-9][A-Za-z0-9_-]{0,%d}' % (MAX_NAME - 1))
_HTTP_KEY = re.compile(r'sha256:([0-9a-fA-F]{64})')


class Grant(StrEnum):
    """A permission of a principal."""

    ENCODE = 'encode'
    """Request vectors, tokens or token ids from a model of vectors."""
    PREDICT = 'predict'
    """Request scores, tokens or token ids from a model of scores."""
    STATUS = 'status'
    """Read the configuration and the counters."""
    TERMINATE = 'terminate'
    """Stop the server."""


DEFAULT_GRANTS = frozenset({Grant.ENCODE, Grant.PREDICT, Grant.STATUS})


@dataclass(frozen=True, slots=True)
class Quota:
    """The limits of a principal, for all its clients together. None means no limit.

    Attributes:
        rows_queued: accepted and unanswered rows.
        bytes_queued: bytes of accepted and unanswered messages.
        bytes_unread: bytes of unread replies.
        connections: connections to each of the two ZeroMQ ports, and to the HTTP port.
        rows_per_second: rows per second, averaged over a few seconds.
    """

    rows_queued: int | None = None
    bytes_queued: int | None = None
    bytes_unread: int | None = None
    connections: int | None = None
    rows_per_second: int | None = None


@dataclass(frozen=True, slots=True)
class Principal:
    """A named holder of keys.

    Attributes:
        name: letters, digits, `-` and `_`; the identities of its clients begin with it and a dot.
        grants: its permissions.
        weight: its share of the workers, relative to the default of 1.
        http_keys: the SHA-256 of each of its HTTP keys, in lowercase hexadecimal digits.
        ends: the expiry time of its keys, or None.
        quota: its limits.
    """

    name: str
    grants: frozenset[Grant] = DEFAULT_GRANTS
    weight: float = 1.0
    http_keys: frozenset[str] = field(default=frozenset(), repr=False)
    ends: datetime | None = None
    quota: Quota = Quota()

    def may(self, grant: Grant) -> bool:
        """Whether the principal has a grant."""
        return grant in self.grants

    def has_ended(self, now: datetime) -> bool:
        """Whether its keys have expired. `now` has a time zone."""
        return self.ends is not None and now >= self.ends

    @property
    def prefix(self) -> bytes:
        """The prefix of the identities of its clients."""
        return self.name.encode('ascii') + b'.'


class Principals:
    """The principals of one file. Falsy if it names none."""

    def __init__(self, principals: Iterable[Principal] = ()) -> None:
        self._by_name = {principal.name: principal for principal in principals}
        self._by_http_key = {key: principal for principal in self._by_name.values() for key in principal.http_keys}

    def __len__(self) -> int:
        return len(self._by_name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Principals) and self._by_name == other._by_name

    def __hash__(self) -> int:
        return hash(frozenset(self._by_name))

    @property
    def names(self) -> frozenset[str]:
        """The principals that the file names."""
        return frozenset(self._by_name)

    @property
    def have_http_keys(self) -> bool:
        """Whether any of them has an HTTP key."""
        return bool(self._by_http_key)

    def get(self, name: str) -> Principal:
        """The principal with that name. By default it has the default grants and no quota."""
        return self._by_name.get(name) or Principal(name)

    def of_http_key(self, key: str) -> Principal | None:
        """The principal of an HTTP key, possibly expired, or None."""
        return self._by_http_key.get(hash_of_http_key(key))


NOBODY = Principals()


def hash_of_http_key(key: str) -> str:
    """The SHA-256 of an HTTP key, in lowercase hexadecimal digits."""
    return sha256(key.encode()).hexdigest()


def is_name(text: str) -> bool:
    """Whether `name` is a valid name of a principal."""
    return _NAME.fullmatch(text) is not None


def read_principals(text: str, file: str = '-principals') -> Principals:
    """Read the text of a file of principals. `file` is its name for errors.

    Raises:
        UsageError: the text is not TOML, or a name or value is invalid; the message says where, and what is expected.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError('%s: not TOML: %s' % (file, error)) from None
    principals = [_read_principal(name, table, '%s: [%s]' % (file, name)) for name, table in document.items()]
    _check_http_keys(principals, file)
    return Principals(principals)


def _read_principal(name: str, table: Any, where: str) -> Principal:
    if not is_name(name):
        expected = 'expected a letter or a digit, then letters, digits, - and _, %d in all' % MAX_NAME
        raise UsageError('%s: not a valid principal name: %s' % (where, expected))
    if not isinstance(table, dict):
        raise UsageError('%s: expected a table, as in\n[%s]\ngrants = ["encode"]' % (where, name))
    _check_names(table, ('grants', 'weight', 'http_keys', 'ends', 'quota'), where)
    values: dict[str, Any] = {}
    if 'grants' in table:
        values['grants'] = frozenset(map(Grant, _read_words(table['grants'], tuple(Grant), where + ': grants')))
    if 'weight' in table:
        values['weight'] = _read_weight(table['weight'], where + ': weight')
    if 'http_keys' in table:
        values['http_keys'] = _read_http_keys(table['http_keys'], where + ': http_keys')
    if 'ends' in table:
        values['ends'] = _read_end(table['ends'], where + ': ends')
    if 'quota' in table:
        values['quota'] = _read_quota(table['quota'], where + ': quota')
    return Principal(name, **values)


def _check_names(table: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    for name in table:
        if name not in known:
            hint = did_you_mean(name, known) or ': expected one of %s' % ', '.join(known)
            raise UsageError('%s: unknown key %r%s' % (where, name, hint))


def _read_words(value: Any, known: Iterable[str], where: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise UsageError('%s: expected a list of %s, got %r' % (where, ', '.join(known), value))
    for word in value:
        if word not in known:
            hint = did_you_mean(word, known) or ': expected one of %s' % ', '.join(known)
            raise UsageError('%s: unknown grant %r%s' % (where, word, hint))
    return value


def _read_weight(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.01 <= value <= 100:
        raise UsageError('%s: expected a number from 0.01 to 100, got %r' % (where, value))
    return float(value)


def _read_http_keys(value: Any, where: str) -> frozenset[str]:
    expected = 'expected a list of "sha256:" and 64 hexadecimal digits, as bert-serving-keys http prints them'
    if not isinstance(value, list):
        raise UsageError('%s: %s' % (where, expected))
    keys = set()
    for number, word in enumerate(value, 1):
        found = _HTTP_KEY.fullmatch(word) if isinstance(word, str) else None
        if found is None:  # do not print it, because it might be the key itself
            raise UsageError('%s: element %d is not a SHA-256: %s' % (where, number, expected))
        keys.add(found[1].lower())
    return frozenset(keys)


def _read_end(value: Any, where: str) -> datetime:
    """Read an expiry: a date is the last valid day. Dates, and times without a zone, are in UTC."""
    if isinstance(value, datetime):
        return value if value.tzinfo is not None else value.replace(tzinfo=UTC)
    if isinstance(value, date) and value != date.max:
        return datetime.combine(value + timedelta(days=1), time(), UTC)
    expected = 'expected a date or a time, without quotes, as in 2027-01-31 or 2027-01-31T12:00:00Z'
    raise UsageError('%s: %s, got %r' % (where, expected, value))


def _read_quota(table: Any, where: str) -> Quota:
    if not isinstance(table, dict):
        raise UsageError('%s: expected a table, got %r' % (where, table))
    known = tuple(Quota.__dataclass_fields__)
    _check_names(table, known, where)
    for name, value in table.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise UsageError('%s: %s: expected a whole number of at least 1, got %r' % (where, name, value))
    return Quota(**table)


def _check_http_keys(principals: Iterable[Principal], file: str) -> None:
    """Raise UsageError if two principals have the same HTTP key, which would be ambiguous."""
    owners: dict[str, str] = {}
    for principal in principals:
        for key in principal.http_keys:
            other = owners.setdefault(key, principal.name)
            if other != principal.name:
                raise UsageError(
                    '%s: [%s]: http_keys: the key sha256:%s... also belongs to [%s]: give each principal its own key'
                    % (file, principal.name, key[:8], other)
                )
