"""Conditions that hold after every event. The tests check them; the product never does."""

from __future__ import annotations


class InvariantError(AssertionError):
    """The state contradicts itself. `number` is the request that shows it, None if no single one does."""

    def __init__(self, message: str, number: int | None = None) -> None:
        super().__init__(message)
        self.number = number


def check(condition: bool, message: str, number: int | None = None) -> None:
    """Raise InvariantError unless `condition` holds."""
    if not condition:
        raise InvariantError(message, number)
