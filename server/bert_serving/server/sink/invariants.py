"""How the deciders of the sink check their own books."""

from __future__ import annotations


def check(condition: bool, otherwise: str) -> None:
    """Raise AssertionError with the text `otherwise` unless `condition` holds."""
    if not condition:
        raise AssertionError(otherwise)
