"""The gate of the ZeroMQ ports: the accepted keys and their principals. Thread-safe.

It reads the folder of public keys and the file of principals again when they change. Every process with a port for
clients has its own gate.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache

from ..errors import UsageError
from .access import Peer
from .certificates import decode_z85, read_clients, stamp_clients, written_at
from .principals import ANONYMOUS, NOBODY, Grant, Principal, Principals, read_principals
from .watched_file import WatchedFile

logger = logging.getLogger(__name__)

PROXY = '_http'
"""The name of the server's own HTTP proxy, which no principal can have."""

HEALTH = '_health'
"""The name of one who holds the server's own secret key, as a health check on its machine does."""

LOOK_S = 0.25
"""Seconds between two checks of the files."""


_decode = lru_cache(maxsize=10_000)(decode_z85)
"""Every message is asked about, and every connection a few times a second."""

_HEALTH_CHECK = Principal(HEALTH, frozenset({Grant.STATUS}))


@dataclass(frozen=True, slots=True)
class SecurityConfig:
    """The key settings of a process. The children get it as JSON.

    Attributes:
        public_key, secret_key: the keys of the server, in Z85.
        clients: the folder of public keys.
        principals: the file of principals, or None.
        own_keys: the public keys of our own processes, in Z85, with their names.
    """

    public_key: str
    secret_key: str = field(repr=False)
    clients: str
    principals: str | None = None
    own_keys: Mapping[str, str] = field(default_factory=dict)


class Gate:
    """The current keys and principals."""

    def __init__(self, config: SecurityConfig, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        """Read the files.

        Raises:
            UsageError: one of them cannot be read or is invalid.
        """
        self.config = config
        self._clock = clock
        self._lock = threading.Lock()
        self._written_at = written_at(config.clients)
        self._own = {decode_z85(key): name for key, name in {config.public_key: HEALTH, **config.own_keys}.items()}
        self._stamp = stamp_clients(config.clients)
        self._names, problems = read_clients(config.clients)
        if problems:
            raise UsageError(problems[0])
        self._file = (
            None if config.principals is None else WatchedFile(config.principals, read_principals, 'principals')
        )

    @property
    def names(self) -> frozenset[str]:
        """The principals that have keys."""
        return frozenset(self._names.values())

    @property
    def principals(self) -> Principals:
        """The principals of the file."""
        return NOBODY if self._file is None else self._file.value

    def principal(self, name: str) -> Principal:
        """The principal with that name. The empty name stands for peers without a key."""
        if name == HEALTH:
            return _HEALTH_CHECK
        return self.principals.get(name or ANONYMOUS)

    def name_of(self, raw_key: bytes) -> str | None:
        """The principal of a peer's proven key, or None if the key is not accepted.

        For an unknown key it reads the files again, because the key might be new.
        """
        name = self._find(raw_key)
        if name is None and written_at(self.config.clients) != self._written_at:
            self.refresh()
            name = self._find(raw_key)
        return name

    def lets_in(self, peer: Peer) -> bool:
        """Whether the key of a connected peer is still valid."""
        if not peer.name:
            return True
        try:
            return self._find(_decode(peer.key)) == peer.name
        except ValueError:
            return False

    def refresh(self) -> bool:
        """Read changed files again, and return whether there were any."""
        with self._lock:
            self._written_at = written_at(self.config.clients)
            changed = self._file is not None and self._file.refresh()
            stamp = stamp_clients(self.config.clients)
            if stamp != self._stamp:
                self._stamp = stamp
                changed = self._read_clients() or changed
            return changed

    def _find(self, raw_key: bytes) -> str | None:
        if raw_key in self._own:
            return self._own[raw_key]
        name = self._names.get(raw_key)
        return None if name is None or self.principal(name).has_ended(self._clock()) else name

    def _read_clients(self) -> bool:
        """An invalid file is skipped. A folder that cannot be listed changes nothing."""
        try:
            self._names, problems = read_clients(self.config.clients)
        except UsageError as error:
            logger.error('kept the previous keys: %s', error)
            return False
        for problem in problems:
            logger.error('left out a key: %s', problem)
        logger.info('read the changed public keys keys=%d', len(self._names))
        return True
