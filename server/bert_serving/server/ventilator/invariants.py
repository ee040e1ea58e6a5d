"""Conditions that hold after every event. Only tests check them."""

from __future__ import annotations


class InvariantError(AssertionError):
    """The state is inconsistent. `number` is the affected request, or None if there is no single one."""

    def __init__(self, message: str, number: int | None = None) -> None:
        super().__init__(message)
        self.number = number


def check(condition: bool, message: str, number: int | None = None) -> None:
    """Raise InvariantError unless `condition` holds."""
    if not condition:
        raise InvariantError(message, number)
