"""Canonical decomposition (NFD) of any text in linear time. Pure.

`unicodedata.normalize` orders the combining marks after a letter by insertion, which takes a time that is quadratic in
their number: 80 KB of two marks in turns keep it busy for seconds, and a megabyte for an hour.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from functools import cache

from .character_table import CharacterTable

FEW_CHARS = 256
"""A text of so many characters takes no time in any case."""

STRIDE, IN_A_ROW = 16, 4
"""A run of more than `STRIDE * IN_A_ROW` marks is found by a look at every sixteenth character."""


def decompose(text: str) -> str:
    """Return `unicodedata.normalize('NFD', text)`."""
    if len(text) > FEW_CHARS and not text.isascii() and _long_runs().search(text[::STRIDE]):
        return _decompose_slowly(text)
    return unicodedata.normalize('NFD', text)


def _decompose_slowly(text: str) -> str:
    """Decompose each character, then sort each run of marks by class; a sort that keeps the order of equals."""
    return _runs().sub(lambda run: ''.join(sorted(run[0], key=unicodedata.combining)), text.translate(_DECOMPOSED))


def _decomposed(char: str) -> str:
    return unicodedata.normalize('NFD', char)


_DECOMPOSED = CharacterTable(_decomposed)


@cache
def _marks() -> str:
    """The character class of a regular expression for all that is reordered."""
    marks = [code for code in range(sys.maxunicode + 1) if unicodedata.combining(chr(code))]
    return '[%s]' % ''.join(map(chr, marks))


@cache
def _long_runs() -> re.Pattern[str]:
    return re.compile('%s{%d}' % (_marks(), IN_A_ROW))


@cache
def _runs() -> re.Pattern[str]:
    return re.compile('%s{2,}' % _marks())
