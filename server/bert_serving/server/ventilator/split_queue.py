"""The large requests that are being split. Their owners take turns, a slice each; those of one are split in order."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

from ..protocol.ring import Job
from .invariants import check

Slices = Iterator[list[Job]]
"""The jobs of a request, as `splitting.split_in_slices` yields them."""


class SplitQueue:
    """Falsy if no request is being split."""

    def __init__(self) -> None:
        self._owner_of: dict[int, bytes] = {}
        self._of_owner: OrderedDict[bytes, OrderedDict[int, Slices]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._owner_of)

    def add(self, owner: bytes, number: int, slices: Slices) -> None:
        """Let a request wait for its turns behind those of its owner."""
        self._owner_of[number] = owner
        self._of_owner.setdefault(owner, OrderedDict())[number] = slices

    def take_turn(self) -> tuple[int, Slices]:
        """The request of which a slice is split next; the next turn is that of another owner.

        Raises:
            StopIteration: no request is being split.
        """
        owner, requests = next(iter(self._of_owner.items()))
        self._of_owner.move_to_end(owner)
        return next(iter(requests.items()))

    def discard(self, number: int) -> None:
        """Forget a request, if it is being split."""
        owner = self._owner_of.pop(number, None)
        if owner is not None:
            requests = self._of_owner[owner]
            del requests[number]
            if not requests:
                del self._of_owner[owner]

    def check(self) -> None:
        """Raise InvariantError where a request waits under a wrong owner, or an owner without one."""
        found = {number: owner for owner, requests in self._of_owner.items() for number in requests}
        check(found == self._owner_of, 'a request is split in the turns of another')
        check(all(self._of_owner.values()), 'an owner without a request has a turn')
