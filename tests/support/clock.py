"""A clock that stands still until a test moves it."""

from __future__ import annotations


class Clock:
    """Seconds, from 1000; a test adds to `now`."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now
