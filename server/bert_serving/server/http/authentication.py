"""Authenticate and authorize requests by the key in their `Authorization` header. Thread-safe.

Keys never appear in the log or in a response.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from ..security.principals import ANONYMOUS, NOBODY, Grant, Principal, Principals, read_principals
from ..security.watched_file import WatchedFile
from .errors import HTTPError, make_refusal
from .quotas import Holding, Quotas
from .wrong_keys import WrongKeys, network_of

logger = logging.getLogger(__name__)

API_KEY = 'http_api_key'
"""The name of the principal for the keys of `-http_api_key` and `-http_api_key_file`, which has all grants."""


class Authenticator:
    """The keys of the HTTP port and their principals.

    Without any key the port is open, and every request belongs to `anonymous`. After the first key, the port stays
    closed, even if the file of principals loses the last key.
    """

    def __init__(
        self,
        api_keys: Sequence[str] = (),
        principals_file: str | None = None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Read the file of principals.

        Raises:
            UsageError: it cannot be read, or is wrong.
        """
        self.quotas = Quotas(clock)
        self._now = now
        self._wrong_keys = WrongKeys(clock)
        self._lock = threading.Lock()  # guards `_wrong_keys`
        self._api_keys = {_digest(key): Principal(API_KEY, frozenset(Grant)) for key in api_keys}
        self._file = None if principals_file is None else WatchedFile(principals_file, read_principals, 'principals')
        self._holders: dict[str, Principal] = {}
        self._needs_key = False
        self._use(NOBODY if self._file is None else self._file.value)

    @property
    def needs_key(self) -> bool:
        """Whether requests without a key are refused."""
        return self._needs_key

    @property
    def names(self) -> list[str]:
        """The names of the principals that can use the port, in order."""
        names = {holder.name for holder in self._holders.values()}
        return sorted(names) if self._needs_key else [ANONYMOUS]

    def refresh(self) -> None:
        """Read the file of principals again if it has changed. For one thread only."""
        if self._file is not None and self._file.refresh():
            self._use(self._file.value)

    def _use(self, principals: Principals) -> None:
        self._anonymous = principals.get(ANONYMOUS)
        of_file = {key: principals.get(name) for name in principals.names for key in principals.get(name).http_keys}
        self._holders = {**self._api_keys, **of_file}
        self._needs_key = self._needs_key or bool(self._holders)

    def identify(self, authorization: str | None, address: str) -> Principal:
        """Return the principal for an `Authorization` header from `address`.

        Raises:
            HTTPError: Unauthorized if the key is missing, wrong or expired; WrongKeys if the address has sent too many
                wrong keys.
        """
        if not self._needs_key:
            return self._anonymous
        scheme, _, key = (authorization or '').partition(' ')
        key = key.strip()
        if scheme.lower() != 'bearer' or not key:
            raise make_refusal('Unauthorized')
        digest, network = _digest(key), network_of(address)
        holder = self._holder_of(digest)
        with self._lock:
            blocked_s = self._wrong_keys.blocked_s(network)
            if blocked_s and (holder is None or not self._wrong_keys.is_known(network, digest)):
                seconds = math.ceil(blocked_s)
                raise HTTPError('WrongKeys', _TOO_MANY_WRONG % seconds, retry_after_s=seconds)
            if holder is not None and not holder.has_ended(self._now()):
                self._wrong_keys.note_right(network, digest)
                return holder
            is_blocked = holder is None and self._wrong_keys.note_wrong(network)
        if is_blocked:
            logger.warning('blocked an address for a minute after too many wrong keys address=%s', network)
        if holder is None:
            raise make_refusal('Unauthorized')
        raise HTTPError('Unauthorized', "the key of principal '%s' expired on %s" % (holder.name, holder.ends))

    def admit(
        self, authorization: str | None, address: str, grants: Sequence[Grant] = (), holding: Holding | None = None
    ) -> Principal:
        """Identify the principal, and check that it has one of `grants` (if any) and room for the connection `holding`.

        Raises:
            HTTPError: as in `identify`; Forbidden if it has none of the grants; QuotaExceeded if it has too many
                connections.
        """
        principal = self.identify(authorization, address)
        check_grant(principal, grants)
        if holding is not None:
            holding.pass_to(principal, self.quotas)
        return principal

    def _holder_of(self, digest: str) -> Principal | None:
        """The principal of a key. The time reveals nothing, because all keys are compared."""
        found = None
        for known, holder in self._holders.items():
            if hmac.compare_digest(known, digest):
                found = holder
        return found


_TOO_MANY_WRONG = 'too many wrong API keys came from this address: retry in %d s'


def check_grant(principal: Principal, grants: Sequence[Grant]) -> None:
    """Check that a principal has one of these grants. No grants means that none is needed.

    Raises:
        HTTPError: Forbidden if it has none of them.
    """
    if grants and not any(principal.may(grant) for grant in grants):
        has = ', '.join(sorted(principal.grants)) or 'none'
        lacks = "' or '".join(grants)
        message = "principal '%s' lacks the grant '%s' (it has: %s): see -principals" % (principal.name, lacks, has)
        raise HTTPError('Forbidden', message)


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode('utf-8', 'surrogateescape')).hexdigest()
