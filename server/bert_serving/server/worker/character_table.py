"""Tables for `str.translate` that compute their entries on first use."""

from __future__ import annotations

from collections.abc import Callable


class CharacterTable(dict[int, str]):
    """A table for `str.translate` that computes the replacement of a character on first use.

    It caches only the first two planes, which contain nearly all text. So no sequence of requests can make the table
    grow beyond about 10 MB.
    """

    def __init__(self, rule: Callable[[str], str]) -> None:
        super().__init__()
        self._rule = rule

    def __missing__(self, code: int) -> str:
        replacement = self._rule(chr(code))
        if code < 0x20000:
            self[code] = replacement
        return replacement
