"""Tables for `str.translate` that are computed as they are used."""

from __future__ import annotations

from collections.abc import Callable


class CharacterTable(dict[int, str]):
    """A table for `str.translate` that computes the replacement of a character on first use.

    Only the first two planes, which contain nearly all text, are cached. No sequence of requests can therefore make the
    table grow beyond about 10 MB.
    """

    def __init__(self, rule: Callable[[str], str]) -> None:
        super().__init__()
        self._rule = rule

    def __missing__(self, code: int) -> str:
        replacement = self._rule(chr(code))
        if code < 0x20000:
            self[code] = replacement
        return replacement
