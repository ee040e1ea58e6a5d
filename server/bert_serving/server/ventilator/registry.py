"""The registry of accepted, unfinished requests: by number, by key and by client."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from .invariants import check
from .records import Key, RequestRecord


class Holding(NamedTuple):
    """The load of unfinished requests: rows, bytes of memory, and number of requests."""

    rows: int
    memory_bytes: int
    requests: int


NOTHING = Holding(0, 0, 0)

OwnerOf = Callable[[bytes], bytes]
"""A function from the identity of a client to its owner."""


def itself(identity: bytes) -> bytes:
    """Return the identity: without keys, every client is its own owner."""
    return identity


class RequestRegistry:
    """All accepted requests, with the sums of their rows and bytes. Iterable, oldest first."""

    def __init__(self) -> None:
        self.rows = 0
        self.memory_bytes = 0
        self._by_number: dict[int, RequestRecord] = {}
        self._by_key: dict[Key, RequestRecord] = {}
        self._by_identity: dict[bytes, dict[int, RequestRecord]] = {}
        self._by_id: dict[tuple[bytes, bytes], dict[int, RequestRecord]] = {}
        self._holdings: dict[bytes, Holding] = {}
        self._owner_of: OwnerOf = itself
        self._owners: dict[int, bytes] = {}
        self._last_number = 0

    def share_by(self, owner_of: OwnerOf) -> None:
        """Add up the load by owner. Call it before there is a request."""
        self._owner_of = owner_of

    def __len__(self) -> int:
        return len(self._by_number)

    def __iter__(self) -> Iterator[RequestRecord]:
        return iter(self._by_number.values())

    def __getitem__(self, number: int) -> RequestRecord:
        return self._by_number[number]

    def get(self, number: int) -> RequestRecord | None:
        """The request with that number, or None if it was never accepted or is finished."""
        return self._by_number.get(number)

    def find(self, key: Key) -> RequestRecord | None:
        """The unfinished request with this key, or None."""
        return self._by_key.get(key)

    def of_identity(self, identity: bytes) -> Sequence[RequestRecord]:
        """The requests of one client, oldest first."""
        return list(self._by_identity.get(identity, {}).values())

    def with_id(self, identity: bytes, request_id: bytes) -> Sequence[RequestRecord]:
        """The requests of one client with one id, oldest first."""
        return list(self._by_id.get((identity, request_id), {}).values())

    def holding(self, owner: bytes) -> Holding:
        """The load of one owner, with all its clients together."""
        return self._holdings.get(owner, NOTHING)

    def next_number(self) -> int:
        """A number that this server has never given to a request."""
        self._last_number += 1
        return self._last_number

    def add(self, request: RequestRecord) -> None:
        """Add a request with a new number and key."""
        self._by_number[request.number] = request
        self._by_key[request.key] = request
        self._by_identity.setdefault(request.identity, {})[request.number] = request
        self._by_id.setdefault((request.identity, request.ref.request_id), {})[request.number] = request
        owner = self._owners[request.number] = self._owner_of(request.identity)
        self._add_to_sums(owner, Holding(request.rows, request.memory_bytes, 1))

    def remove(self, request: RequestRecord) -> None:
        """Remove a request."""
        del self._by_number[request.number]
        del self._by_key[request.key]
        siblings = self._by_identity[request.identity]
        del siblings[request.number]
        if not siblings:
            del self._by_identity[request.identity]
        same_id = self._by_id[request.identity, request.ref.request_id]
        del same_id[request.number]
        if not same_id:
            del self._by_id[request.identity, request.ref.request_id]
        owner = self._owners.pop(request.number)
        self._add_to_sums(owner, Holding(-request.rows, -request.memory_bytes, -1))

    def _add_to_sums(self, owner: bytes, more: Holding) -> None:
        self.rows += more.rows
        self.memory_bytes += more.memory_bytes
        rows, memory_bytes, requests = self._holdings.get(owner, NOTHING)
        if requests + more.requests:
            self._holdings[owner] = Holding(
                rows + more.rows, memory_bytes + more.memory_bytes, requests + more.requests
            )
        else:
            del self._holdings[owner]

    def check(self) -> None:
        """Raise InvariantError if the indexes or sums differ from the requests."""
        for number, request in self._by_number.items():
            check(request.number == number, 'a request is kept under another number', number)
            check(self._by_key.get(request.key) is request, 'a request is not found by its key', number)
            siblings = self._by_identity.get(request.identity, {})
            check(siblings.get(number) is request, 'a request is not found by its client', number)
        check(len(self._by_key) == len(self), 'a finished request is found by its key')
        indexed = sum(map(len, self._by_identity.values()))
        check(indexed == len(self), 'a finished request is found by its client')
        check(sum(map(len, self._by_id.values())) == len(self), 'a finished request is found by its id')
        check(all(self._by_id.values()), 'an id without requests is remembered')
        check(self._holdings.keys() == set(self._owners.values()), 'what an owner holds is not known')
        check(self._owners.keys() == self._by_number.keys(), 'the owner of a request is not known')
        for owner, holding in self._holdings.items():
            rows = sum(request.rows for request in self if self._owners[request.number] == owner)
            check(holding.rows == rows, 'what an owner holds is miscounted')
        check(all(self._by_identity.values()), 'a client without requests is remembered')
        check(self.rows == sum(request.rows for request in self), 'the rows are miscounted')
        check(self.memory_bytes == sum(request.memory_bytes for request in self), 'the memory is miscounted')
