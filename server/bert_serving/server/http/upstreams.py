"""Upstreams: several servers behind one address, distinguished by the names of their models.

Pure. Upstreams with the same name are replicas. `read_upstream` parses the option, and `ReplicaBook` chooses a replica
for each request.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..addresses import with_brackets, without_brackets
from ..errors import UsageError
from ..security.client_keys import NO_KEYS, ClientKeys

_EXPECTED = 'expected NAME=HOST:PORT,PORT_OUT, as in bge=10.0.0.7:5555,5556'


@dataclass(frozen=True, slots=True)
class Upstream:
    """A server: the name of its model, its address (IPv6 without brackets), and the keys to connect with.

    With `names_principals` these are the keys of its own proxy, which names the principals that it sends for.
    """

    name: str
    host: str
    port: int
    port_out: int
    keys: ClientKeys = NO_KEYS
    names_principals: bool = False

    @property
    def address(self) -> str:
        """The address in the form of the option."""
        return '%s:%d,%d' % (with_brackets(self.host), self.port, self.port_out)


def read_upstream(text: str) -> Upstream:
    """Parse `NAME=HOST:PORT,PORT_OUT`.

    Raises:
        ValueError: the text has another form; the message says what was expected.
    """
    name, equals, address = text.strip().partition('=')
    host, colon, ports = address.rpartition(':')
    port, _, port_out = ports.partition(',')
    if not (name.strip() and equals and host and colon and _is_port(port) and _is_port(port_out)):
        raise ValueError('%s, got %r' % (_EXPECTED, text))
    if ':' in host and host[:1] != '[':
        raise ValueError('%s, got %r: put an IPv6 address in brackets' % (_EXPECTED, text))
    return Upstream(name.strip(), without_brackets(host), int(port), int(port_out))


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and 0 < int(text) < 65536


def read_upstream_file(path: str) -> list[Upstream]:
    """Read the upstreams in a file, one per line. Empty lines and lines that begin with # are skipped.

    Raises:
        UsageError: the file cannot be read, has no upstream, or has an invalid line.
    """
    try:
        with open(path, encoding='utf-8-sig') as file:
            lines = [(number, line.strip()) for number, line in enumerate(file, 1)]
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else 'it is not UTF-8 text'
        raise UsageError('-upstream_file: cannot read %s: %s' % (path, why)) from None
    found = []
    for number, line in lines:
        if line and not line.startswith('#'):
            try:
                found.append(read_upstream(line))
            except ValueError as error:
                raise UsageError('-upstream_file: line %d of %s: %s' % (number, path, error)) from None
    if not found:
        raise UsageError('-upstream_file: no upstream in %s: write one on each line' % path)
    return found


def by_name(upstreams: Iterable[Upstream]) -> dict[str, list[Upstream]]:
    """Group the replicas by name, in the given order.

    Raises:
        UsageError: an address is given twice.
    """
    groups: dict[str, list[Upstream]] = {}
    seen: set[str] = set()
    for upstream in upstreams:
        if upstream.address in seen:
            raise UsageError('-upstream: %s is given twice: remove one' % upstream.address)
        seen.add(upstream.address)
        groups.setdefault(upstream.name, []).append(upstream)
    return groups


class ReplicaBook:
    """Chooses the replica for the next request: of the available ones, the one with the fewest pending requests.

    Among equals, it takes the one that was not chosen for longest. If all are away, it tries any.

    It counts for each replica the `requests`, the `unanswered` ones, and the `errors` that the caller did not cause.
    """

    def __init__(self, count: int) -> None:
        self.requests = [0] * count
        self.errors = [0] * count
        self.unanswered = [0] * count
        self.is_away = [False] * count
        self._chosen_at = [0] * count
        self._turn = 0

    def choose(self) -> int:
        """Choose a replica for a request, and count the request."""
        everyone = range(len(self.unanswered))
        return self._take([index for index in everyone if not self.is_away[index]] or everyone)

    def choose_other(self, failed: int) -> int | None:
        """Choose a replica other than the failed one, and count the request. Return None if no other is available."""
        others = [index for index, away in enumerate(self.is_away) if not away and index != failed]
        return self._take(others) if others else None

    def _take(self, indices: Iterable[int]) -> int:
        index = min(indices, key=lambda index: (self.unanswered[index], self._chosen_at[index]))
        self._turn += 1
        self._chosen_at[index] = self._turn
        self.requests[index] += 1
        self.unanswered[index] += 1
        return index

    def end(self, index: int, is_error: bool = False) -> None:
        """Count the end of a request."""
        self.errors[index] += is_error
        self.unanswered[index] -= 1
