"""Consistency checks of the sink's deciders."""

from __future__ import annotations


def check(condition: bool, otherwise: str) -> None:
    """Raise AssertionError with the text `otherwise` unless `condition` holds."""
    if not condition:
        raise AssertionError(otherwise)
