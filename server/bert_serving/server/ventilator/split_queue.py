"""The large requests that are being split. Owners take turns of one slice, and an owner's requests keep their order."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

from ..protocol.ring import Job
from .invariants import check

Slices = Iterator[list[Job]]
"""The jobs of a request, as `splitting.split_in_slices` yields them."""


class SplitQueue:
    """A queue for the slices of large requests. Falsy if no request is being split."""

    def __init__(self) -> None:
        self._owner_of: dict[int, bytes] = {}
        self._of_owner: OrderedDict[bytes, OrderedDict[int, Slices]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._owner_of)

    def add(self, owner: bytes, number: int, slices: Slices) -> None:
        """Queue a request behind the other requests of its owner."""
        self._owner_of[number] = owner
        self._of_owner.setdefault(owner, OrderedDict())[number] = slices

    def take_turn(self) -> tuple[int, Slices]:
        """Return the request whose next slice is due, and give the next turn to another owner.

        Raises:
            StopIteration: no request is being split.
        """
        owner, requests = next(iter(self._of_owner.items()))
        self._of_owner.move_to_end(owner)
        return next(iter(requests.items()))

    def discard(self, number: int) -> None:
        """Remove a request if it is being split."""
        owner = self._owner_of.pop(number, None)
        if owner is not None:
            requests = self._of_owner[owner]
            del requests[number]
            if not requests:
                del self._of_owner[owner]

    def check(self) -> None:
        """Raise InvariantError if a request waits under a wrong owner, or an owner has a turn but no request."""
        found = {number: owner for owner, requests in self._of_owner.items() for number in requests}
        check(found == self._owner_of, 'a request is split in the turns of another')
        check(all(self._of_owner.values()), 'an owner without a request has a turn')
